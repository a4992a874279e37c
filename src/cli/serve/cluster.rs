//! What a server follows of the cluster it stands in, each behind a flag of its own.

use std::convert::Infallible;

use anyhow::Context as _;
use tokio_util::sync::CancellationToken;

use crate::admission::Gate;
use crate::cluster::touch::Touch;
use crate::cluster::{Cluster, ClusterArgs, ClusterError, Need, differ, view};
use crate::lifecycle::ready::Readiness;
use crate::lifecycle::tasks::Tasks;

/// What is followed, and where the cluster is.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Cluster")]
pub struct FollowArgs {
    /// Follow the Namespaces of the cluster, for policies that read `data.cluster`
    #[arg(long, env = "PORTCULLIS_WATCH_NAMESPACES")]
    watch_namespaces: bool,

    #[command(flatten)]
    pub(super) cluster: ClusterArgs,
}

/// Follows what the flags name. The API server may be away: what can be known without it is.
///
/// # Errors
/// Nothing says where the cluster is, or what says so is no good.
pub async fn follow(
    args: &FollowArgs,
    gate: &Gate,
    readiness: &Readiness,
    tasks: &mut Tasks,
) -> anyhow::Result<()> {
    let mut needs = Vec::new();
    if !args.watch_namespaces {
        return Ok(());
    }
    let cluster = args.cluster.connect().await.context("--watch-namespaces")?;
    tracing::info!(server = %cluster.server, namespace = %cluster.namespace, "following the cluster");
    if args.watch_namespaces {
        needs.extend(view::NEEDS);
        let (worlds, view) = (gate.worlds(), gate.worlds().view());
        let touch = Touch::new(readiness.condition("namespaces", "not listed yet"), "namespaces");
        let (cluster, seen) = (cluster.clone(), view.clone());
        tasks.spawn("namespaces", |stop| view::follow(cluster, seen, touch, stop));
        let snapshot = move || worlds.load().map(|world| world.snapshot.clone());
        tasks.spawn("disagreement", |stop| differ::watch(snapshot, view, stop));
    }
    tasks.spawn("permissions", |stop| permissions(cluster, needs, stop));
    Ok(())
}

/// Says once and all together which permissions are missing; each watch says for itself what it lacks later on.
async fn permissions(cluster: Cluster, needs: Vec<Need>, stop: CancellationToken) -> Result<(), Infallible> {
    tokio::select! {
        () = stop.cancelled() => return Ok(()),
        answer = cluster.may(&needs) => match answer {
            Err(error @ ClusterError::Forbidden(_)) => tracing::error!(%error, "permissions are missing"),
            Err(error) => tracing::warn!(%error, "it could not be asked which permissions are missing"),
            Ok(()) => {}
        },
    }
    stop.cancelled().await;
    Ok(())
}
