//! The Namespaces of the cluster: one watch writes them, a reader pays one atomic load.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use k8s_openapi::api::core::v1 as core;
use kube::{Api, ResourceExt as _};
use tokio_util::sync::CancellationToken;

use super::client::Cluster;
use super::error::Need;
use super::follow::{WatchUpdate, Watcher};
use super::last_contact::LastContact;
use portcullis_telemetry::metrics;
use portcullis_tenancy::snapshot::Map;

/// Annotations that no policy reads and that hold whole objects.
const DROPPED_ANNOTATIONS: &[&str] = &["kubectl.kubernetes.io/last-applied-configuration"];

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamespaceMeta {
    pub labels: BTreeMap<String, String>,
    pub annotations: BTreeMap<String, String>,
    /// `Active` or `Terminating`.
    pub phase: String,
    /// Changes when the Namespace is deleted and created again.
    pub uid: String,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub struct Namespaces(pub Map<NamespaceMeta>);

#[derive(Debug, Clone, Default)]
pub struct View(Arc<ArcSwapOption<Namespaces>>);

impl View {
    /// `None` before the first list and without `--watch-namespaces`.
    pub fn load(&self) -> Option<Arc<Namespaces>> {
        self.0.load_full()
    }

    pub fn store(&self, namespaces: Namespaces) {
        self.0.store(Some(Arc::new(namespaces)));
    }

    fn apply(&self, update: &WatchUpdate<core::Namespace>) {
        let mut namespaces = self.load().map(|known| Namespaces::clone(&known)).unwrap_or_default();
        match update {
            WatchUpdate::Listed(all) => {
                namespaces = Namespaces::default();
                for namespace in all {
                    namespaces.put(namespace);
                }
            }
            WatchUpdate::Applied(namespace) => namespaces.put(namespace),
            WatchUpdate::Deleted(namespace) => drop(namespaces.0.remove(&namespace.name_any())),
            WatchUpdate::Alive | WatchUpdate::Failed(_) => return,
        }
        metrics::cluster_namespaces(namespaces.0.len());
        self.store(namespaces);
    }
}

impl Namespaces {
    pub fn get(&self, name: &str) -> Option<&NamespaceMeta> {
        self.0.get(name)
    }

    pub fn put(&mut self, namespace: &core::Namespace) {
        let name: Arc<str> = namespace.name_any().into();
        let mut annotations = namespace.metadata.annotations.clone().unwrap_or_default();
        annotations.retain(|key, _| !DROPPED_ANNOTATIONS.contains(&key.as_str()));
        let meta = NamespaceMeta {
            labels: namespace.metadata.labels.clone().unwrap_or_default(),
            annotations,
            phase: namespace.status.as_ref().and_then(|status| status.phase.clone()).unwrap_or_default(),
            uid: namespace.metadata.uid.clone().unwrap_or_default(),
        };
        let _ = self.0.insert(name, meta);
    }
}

/// Permissions of [`follow`].
pub const NEEDS: [Need; 2] = [Need::new("list", "", "namespaces"), Need::new("watch", "", "namespaces")];

/// Runs until `stop` is cancelled.
pub async fn follow(
    cluster: Cluster,
    view: View,
    last_contact: LastContact,
    stop: CancellationToken,
) -> Result<(), Infallible> {
    let [need, _] = NEEDS;
    let (labels, fields) = (String::new(), String::new());
    let watcher = Watcher { api: Api::all(cluster.client), need, labels, fields };
    let contact = last_contact.clone();
    let update = move |update| {
        // Readiness follows once readers see the update.
        view.apply(&update);
        contact.observe(&update);
    };
    tokio::join!(watcher.follow(stop.clone(), update), last_contact.limit_first_wait(stop));
    Ok(())
}
