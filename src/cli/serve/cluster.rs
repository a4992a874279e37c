//! What a server follows of the cluster it stands in, each behind a flag of its own.

use std::convert::Infallible;
use std::path::Path;

use anyhow::Context as _;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::registration::RegistrationArgs;
use portcullis_admission::Gate;
use portcullis_cluster::keep::{self, Bundle};
use portcullis_cluster::touch::Touch;
use portcullis_cluster::{Cluster, ClusterArgs, ClusterError, Need, configmaps, differ, events, view};
use portcullis_lifecycle::ready::Readiness;
use portcullis_lifecycle::tasks::Tasks;
use portcullis_policy::layers::Layers;
use portcullis_policy::registration::NAME;
use portcullis_policy::source::configmaps::Follower;
use portcullis_policy::source::kept::Kept;

/// What is followed, and where the cluster is.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Cluster")]
pub struct FollowArgs {
    /// Follow the Namespaces of the cluster, for policies that read `data.cluster`
    #[arg(long, env = "PORTCULLIS_WATCH_NAMESPACES")]
    watch_namespaces: bool,

    /// Follow ConfigMaps of the own namespace with this label, `portcullis.kubenova.io/policies=true` for example: law over
    /// --policies and under the ledger's
    #[arg(long, env = "PORTCULLIS_POLICY_CONFIGMAPS", value_name = "SELECTOR")]
    policy_configmaps: Option<String>,

    #[command(flatten)]
    registration: RegistrationArgs,

    #[command(flatten)]
    pub(super) cluster: ClusterArgs,

    #[command(flatten)]
    pub(super) scan: super::scan::ScanArgs,
}

impl FollowArgs {
    /// Holds every snapshot of this process to what is registered; to be called before the first one is read.
    pub(super) fn expect_registered(&self, gate: bool) {
        self.registration.expect(gate);
    }
}

/// Follows what the flags name; of the law, its layers and where it is kept; `made` is what
/// callers have to trust, where the certificate is of our own making. The API server may be away: what can be known without it is.
///
/// # Errors
/// Nothing says where the cluster is, or what says so is no good.
pub async fn follow(
    args: &FollowArgs,
    gate: &Gate,
    law: (&Layers, Option<&Path>),
    made: Option<watch::Receiver<Bundle>>,
    readiness: &Readiness,
    tasks: &mut Tasks,
) -> anyhow::Result<()> {
    let mut needs = Vec::new();
    let law_of_now = gate.law.load();
    for policy in law_of_now.policies.iter().filter(|policy| policy.reads_cluster && !args.watch_namespaces) {
        let policy = &policy.manifest.id;
        tracing::warn!(%policy, "it reads data.cluster, and answers by its on_error without --watch-namespaces");
    }
    if !args.watch_namespaces && args.policy_configmaps.is_none() && !args.registration.wanted() {
        return Ok(());
    }
    let cluster = args.cluster.connect().await.context("the cluster to follow")?;
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
    if let Some(selector) = &args.policy_configmaps {
        needs.extend(configmaps::needs(&cluster.namespace));
        needs.push(events::need(&cluster.namespace));
        let follower = Follower {
            layers: law.0.clone(),
            cluster: cluster.clone(),
            selector: selector.clone(),
            kept: law.1.map(Kept::of_configmaps),
            condition: readiness.condition("configmaps", "not listed yet"),
            touch: Touch::new(readiness.condition("configmaps watch", "not listed yet"), "configmaps"),
        };
        tasks.spawn("configmaps", |stop| follower.run(stop));
    }
    if args.registration.wanted() {
        needs.extend(keep::needs(NAME));
        args.registration.start(&cluster, gate.worlds(), made, readiness, tasks)?;
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
