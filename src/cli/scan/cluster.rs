//! What exists in a cluster: the tenants' Namespaces and what lies in them, of every kind about which the law can say
//! something.

use std::sync::Arc;

use anyhow::Context as _;

use super::CLUSTER;
use super::judge::Court;
use super::source::{Content, Emit, Of, PassedOver, Piece, Place};
use portcullis_admission::ask::kinds::Resource;
use portcullis_cluster::ClusterArgs;
use portcullis_cluster::list::{Item, Listed, NotListed};
use portcullis_policy::{Operation, PolicySet, Query};
use portcullis_tenancy::snapshot::{Kind, Snapshot};

/// Kinds by which the cluster keeps itself going; the gate is not asked about them either.
const UPKEEP: [(&str, &str); 5] = [
    ("", "events"),
    ("events.k8s.io", "events"),
    ("coordination.k8s.io", "leases"),
    ("", "endpoints"),
    ("discovery.k8s.io", "endpointslices"),
];
/// Groups whose API servers are aggregated; what they show exists nowhere.
const SHOWN: [&str; 3] = ["metrics.k8s.io", "custom.metrics.k8s.io", "external.metrics.k8s.io"];

/// Reads a cluster; blocks while it does. What may not or cannot be listed is a piece of its own.
///
/// # Errors
/// The cluster cannot be found or reached; nobody wants more.
pub fn read(
    args: &ClusterArgs,
    page: u32,
    court: &Court,
    excluded: &dyn Fn(&str) -> bool,
    emit: Emit<'_>,
) -> anyhow::Result<PassedOver> {
    let laws: Vec<&PolicySet> =
        std::iter::once(&court.judge).chain(&court.against).map(|judge| &*judge.law).collect();
    let world = &court.judge.world.snapshot;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let cluster = args.connect().await?;
        cluster.reach().await?;
        let mut passed = PassedOver::default();
        let (listed, missing) = cluster.listed().await.context("what there is cannot be asked for")?;
        missing
            .iter()
            .filter(|missing| !SHOWN.iter().any(|group| missing.what.starts_with(group)))
            .try_for_each(|missing| emit(not_judged(missing)))?;
        for listed in listed.into_iter().filter(|listed| wanted(listed, &laws)) {
            if excluded(&listed.notation()) {
                passed.excluded += 1;
                continue;
            }
            let of = Arc::new(of(&listed));
            let give = |item: Item<'_>| {
                if ours(world, &listed, &item) { emit(piece(&of, item.text)) } else { Ok(()) }
            };
            match cluster.each(&listed, page, give).await {
                Ok(given) => given?,
                Err(missing) => emit(not_judged(&missing))?,
            }
        }
        Ok(passed)
    })
}

fn not_judged(missing: &NotListed) -> Piece {
    Piece::broken(&Arc::from(CLUSTER), 0, missing.to_string())
}

/// Whether a law has something to say about the kind in a tenant's namespace.
fn wanted(listed: &Listed, laws: &[&PolicySet]) -> bool {
    let (group, resource) = (listed.group.as_str(), listed.resource.as_str());
    if UPKEEP.contains(&(group, resource)) || SHOWN.contains(&group) {
        return false;
    }
    if !listed.namespaced && (group, resource) != ("", "namespaces") {
        return false;
    }
    let speaks = |law: &PolicySet, kind: Kind| {
        let query =
            Query { operation: Operation::Create, group, resource, subresource: "", kind, layout: None };
        let plan = law.plan(&query);
        !plan.broken.is_empty()
            || law.planned(&plan).any(|policy| policy.defines("deny") || policy.defines("warn"))
    };
    let kinds = [Kind::App, Kind::Sandbox, Kind::Unregistered];
    laws.iter().any(|law| kinds.iter().any(|kind| speaks(law, *kind)))
}

/// Whether an object is a tenant's Namespace or lies in one.
fn ours(world: &Snapshot, listed: &Listed, item: &Item<'_>) -> bool {
    let namespace = if listed.namespaced { item.namespace } else { item.name };
    matches!(world.kind(namespace), Kind::App | Kind::Sandbox | Kind::Unregistered)
}

fn of(listed: &Listed) -> Of {
    Of {
        kind: listed.kind.clone(),
        api_version: listed.api_version.clone(),
        resource: Some(Resource {
            resource: listed.resource.clone(),
            group: listed.group.clone(),
            subresource: String::new(),
            namespaced: Some(listed.namespaced),
            guessed: false,
        }),
    }
}

fn piece(of: &Arc<Of>, text: &str) -> Piece {
    let place = Place { source: Arc::from(CLUSTER), line: 0 };
    Piece { place, content: Content::Json(text.to_owned(), Some(Arc::clone(of))) }
}
