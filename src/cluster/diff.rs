//! Tenant Namespaces that only the cluster or only the ledger has. They are reported and change no verdict: the ledger
//! decides what a Namespace is.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::view::{Namespaces, View};
use portcullis_telemetry::metrics;
use portcullis_tenancy::snapshot::Snapshot;

/// A difference is reported when two comparisons in a row find it, because a new namespace reaches one side first.
const INTERVAL: Duration = Duration::from_secs(3);

const NAMES_MAX: usize = 20;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct NamespaceDrift {
    /// Namespaces under the tenant prefix that are not terminating and that the ledger does not have.
    pub not_in_ledger: BTreeSet<Arc<str>>,
    pub not_in_cluster: BTreeSet<Arc<str>>,
}

impl NamespaceDrift {
    fn of(snapshot: &Snapshot, cluster: &Namespaces) -> Self {
        let prefix = format!("{}-", snapshot.settings.prefix);
        let foreign = cluster.0.iter().filter(|(name, namespace)| {
            name.starts_with(&prefix)
                && namespace.phase != "Terminating"
                && snapshot.namespace(name).is_none()
        });
        let absent = snapshot.namespaces.iter().filter(|(name, _)| cluster.get(name).is_none());
        Self {
            not_in_ledger: foreign.map(|(name, _)| Arc::clone(name)).collect(),
            not_in_cluster: absent.map(|(name, _)| Arc::clone(name)).collect(),
        }
    }

    fn intersection(&self, other: &Self) -> Self {
        let both = |a: &BTreeSet<Arc<str>>, b: &BTreeSet<Arc<str>>| a.intersection(b).cloned().collect();
        Self {
            not_in_ledger: both(&self.not_in_ledger, &other.not_in_ledger),
            not_in_cluster: both(&self.not_in_cluster, &other.not_in_cluster),
        }
    }
}

/// Runs until `stop` is cancelled.
pub async fn watch(
    snapshot: impl Fn() -> Option<Arc<Snapshot>> + Send,
    view: View,
    stop: CancellationToken,
) -> Result<(), Infallible> {
    let (mut last, mut logged) = (NamespaceDrift::default(), NamespaceDrift::default());
    loop {
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = tokio::time::sleep(INTERVAL) => {}
        }
        let (Some(snapshot), Some(cluster)) = (snapshot(), view.load()) else { continue };
        let now = NamespaceDrift::of(&snapshot, &cluster);
        let lasting = now.intersection(&last);
        metrics::namespace_drift("not_in_ledger", lasting.not_in_ledger.len());
        metrics::namespace_drift("not_in_cluster", lasting.not_in_cluster.len());
        warn_new(
            &lasting.not_in_ledger,
            &logged.not_in_ledger,
            "the cluster has tenant namespaces that the ledger does not have",
        );
        warn_new(
            &lasting.not_in_cluster,
            &logged.not_in_cluster,
            "the ledger has namespaces that the cluster does not have",
        );
        (last, logged) = (now, lasting);
    }
}

fn warn_new(names: &BTreeSet<Arc<str>>, logged: &BTreeSet<Arc<str>>, message: &str) {
    let new: Vec<&str> = names.difference(logged).map(AsRef::as_ref).collect();
    if !new.is_empty() {
        let shown = new.get(..NAMES_MAX).unwrap_or(&new).join(", ");
        tracing::warn!(count = new.len(), names = %shown, "{message}");
    }
}
