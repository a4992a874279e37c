//! Where the cluster and the ledger disagree about which tenant namespaces there are. Nobody is refused for it: the ledger
//! says what a namespace is, and somebody should know that one of the two has missed something.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::view::{Namespaces, View};
use portcullis_telemetry::metrics;
use portcullis_tenancy::snapshot::Snapshot;

/// Between two looks. What is the same in two of them is told: a namespace is in one of both first.
const LOOK: Duration = Duration::from_secs(3);

/// Names in one line of the log.
const NAMES_MAX: usize = 20;

/// Names of namespaces, by kind of difference.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Disagreement {
    /// In the cluster under a tenant's prefix, and not on their way out; the ledger knows none of the name.
    pub not_in_ledger: BTreeSet<Arc<str>>,
    /// The ledger has them, and the cluster does not.
    pub not_in_cluster: BTreeSet<Arc<str>>,
}

impl Disagreement {
    /// Compares the two as they are.
    pub fn of(snapshot: &Snapshot, seen: &Namespaces) -> Self {
        let prefix = format!("{}-", snapshot.settings.prefix);
        let foreign = seen.0.iter().filter(|(name, namespace)| {
            name.starts_with(&prefix)
                && namespace.phase != "Terminating"
                && snapshot.namespace(name).is_none()
        });
        let absent = snapshot.namespaces.iter().filter(|(name, _)| seen.get(name).is_none());
        Self {
            not_in_ledger: foreign.map(|(name, _)| Arc::clone(name)).collect(),
            not_in_cluster: absent.map(|(name, _)| Arc::clone(name)).collect(),
        }
    }

    /// What is in both.
    fn and(&self, other: &Self) -> Self {
        let both = |a: &BTreeSet<Arc<str>>, b: &BTreeSet<Arc<str>>| a.intersection(b).cloned().collect();
        Self {
            not_in_ledger: both(&self.not_in_ledger, &other.not_in_ledger),
            not_in_cluster: both(&self.not_in_cluster, &other.not_in_cluster),
        }
    }
}

/// Tells of what lasts until told to stop; `snapshot` is asked for the newest each time.
///
/// # Errors
/// Never; a task that ends is a task that died.
pub async fn watch(
    snapshot: impl Fn() -> Option<Arc<Snapshot>> + Send,
    view: View,
    stop: CancellationToken,
) -> Result<(), Infallible> {
    let (mut last, mut told) = (Disagreement::default(), Disagreement::default());
    loop {
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = tokio::time::sleep(LOOK) => {}
        }
        let (Some(snapshot), Some(seen)) = (snapshot(), view.load()) else { continue };
        let now = Disagreement::of(&snapshot, &seen);
        let lasting = now.and(&last);
        metrics::cluster_disagreement("not_in_ledger", lasting.not_in_ledger.len());
        metrics::cluster_disagreement("not_in_cluster", lasting.not_in_cluster.len());
        tell(
            &lasting.not_in_ledger,
            &told.not_in_ledger,
            "the cluster has namespaces that the ledger does not know",
        );
        tell(
            &lasting.not_in_cluster,
            &told.not_in_cluster,
            "the ledger has namespaces that the cluster does not",
        );
        (last, told) = (now, lasting);
    }
}

fn tell(names: &BTreeSet<Arc<str>>, told: &BTreeSet<Arc<str>>, what: &str) {
    let news: Vec<&str> = names.difference(told).map(AsRef::as_ref).collect();
    if !news.is_empty() {
        let shown = news.get(..NAMES_MAX).unwrap_or(&news).join(", ");
        tracing::warn!(count = news.len(), names = %shown, "{what}");
    }
}
