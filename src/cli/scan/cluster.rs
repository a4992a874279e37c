//! Reads the tenants' Namespaces of a cluster and the objects in them, of every kind that a policy matches.

use std::sync::Arc;

use anyhow::Context as _;

use super::CLUSTER;
use super::context::ScanContext;
use super::source::{Content, Emit, ListDefaults, Location, PassedOver, Piece};
use portcullis_admission::kinds::Resource;
use portcullis_cluster::ClusterArgs;
use portcullis_cluster::list::{ListError, ListableResource, ListedObject};
use portcullis_policy::{Operation, PolicySet, Query};
use portcullis_tenancy::snapshot::{Kind, Snapshot};

/// Kinds of the cluster's own bookkeeping, for which the gate is not called either.
const UPKEEP: [(&str, &str); 5] = [
    ("", "events"),
    ("events.k8s.io", "events"),
    ("coordination.k8s.io", "leases"),
    ("", "endpoints"),
    ("discovery.k8s.io", "endpointslices"),
];
/// Aggregated groups whose objects are computed and not stored.
const SHOWN: [&str; 3] = ["metrics.k8s.io", "custom.metrics.k8s.io", "external.metrics.k8s.io"];

/// Blocks. A kind that cannot be listed becomes a broken piece with the reason.
pub fn read(
    args: &ClusterArgs,
    page: u32,
    context: &ScanContext,
    excluded: &dyn Fn(&str) -> bool,
    emit: Emit<'_>,
) -> anyhow::Result<PassedOver> {
    let policy_sets: Vec<&PolicySet> = std::iter::once(&context.evaluator)
        .chain(&context.baseline)
        .map(|evaluator| &*evaluator.policies)
        .collect();
    let tenancy = &context.evaluator.tenancy.snapshot;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let cluster = args.connect().await?;
        cluster.reach().await?;
        let mut passed = PassedOver::default();
        let (listed, missing) = cluster
            .listable_resources()
            .await
            .context("the resources of the cluster cannot be discovered")?;
        missing
            .iter()
            .filter(|missing| !SHOWN.iter().any(|group| missing.what.starts_with(group)))
            .try_for_each(|missing| emit(not_judged(missing)))?;
        for listed in listed.into_iter().filter(|listed| wanted(listed, &policy_sets)) {
            if excluded(&listed.notation()) {
                passed.excluded += 1;
                continue;
            }
            let of = Arc::new(of(&listed));
            let give = |item: ListedObject<'_>| {
                if ours(tenancy, &listed, &item) { emit(piece(&of, item.text)) } else { Ok(()) }
            };
            match cluster.list_each(&listed, page, give).await {
                Ok(given) => given?,
                Err(missing) => emit(not_judged(&missing))?,
            }
        }
        Ok(passed)
    })
}

fn not_judged(missing: &ListError) -> Piece {
    Piece::broken(&Arc::from(CLUSTER), 0, missing.to_string())
}

/// Whether a policy could match the kind in a tenant's namespace.
fn wanted(listed: &ListableResource, policy_sets: &[&PolicySet]) -> bool {
    let (group, resource) = (listed.group.as_str(), listed.resource.as_str());
    if UPKEEP.contains(&(group, resource)) || SHOWN.contains(&group) {
        return false;
    }
    if !listed.namespaced && (group, resource) != ("", "namespaces") {
        return false;
    }
    let speaks = |policies: &PolicySet, kind: Kind| {
        let query =
            Query { operation: Operation::Create, group, resource, subresource: "", kind, layout: None };
        let plan = policies.plan(&query);
        !plan.broken.is_empty()
            || policies.planned(&plan).any(|policy| policy.defines("deny") || policy.defines("warn"))
    };
    let kinds = [Kind::App, Kind::Sandbox, Kind::Unregistered];
    policy_sets.iter().any(|policies| kinds.iter().any(|kind| speaks(policies, *kind)))
}

fn ours(tenancy: &Snapshot, listed: &ListableResource, item: &ListedObject<'_>) -> bool {
    let namespace = if listed.namespaced { item.namespace } else { item.name };
    matches!(tenancy.kind(namespace), Kind::App | Kind::Sandbox | Kind::Unregistered)
}

fn of(listed: &ListableResource) -> ListDefaults {
    ListDefaults {
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

fn piece(of: &Arc<ListDefaults>, text: &str) -> Piece {
    let place = Location { source: Arc::from(CLUSTER), line: 0 };
    Piece { place, content: Content::Json(text.to_owned(), Some(Arc::clone(of))) }
}
