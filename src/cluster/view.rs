//! The Namespaces of the cluster as the API server last told them: read by anybody at the cost of one load, written by one
//! watch.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use k8s_openapi::api::core::v1 as core;
use kube::{Api, ResourceExt as _};
use tokio_util::sync::CancellationToken;

use super::client::Cluster;
use super::error::Need;
use super::follow::{Followed, News};
use super::touch::Touch;
use portcullis_telemetry::metrics;
use portcullis_tenancy::snapshot::Map;

/// Annotations that nobody judges by and that hold whole objects.
const NOT_KEPT: &[&str] = &["kubectl.kubernetes.io/last-applied-configuration"];

/// What is seen of one Namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its annotations, less what `kubectl apply` keeps there for itself.
    pub annotations: BTreeMap<String, String>,
    /// `Active` or `Terminating`.
    pub phase: String,
    /// Another after it was deleted and made anew.
    pub uid: String,
}

/// Namespaces by name; immutable.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Namespaces(pub Map<Seen>);

/// A handle on what is seen now; cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct View(Arc<ArcSwapOption<Namespaces>>);

impl View {
    /// What is seen now; `None` before the first list, and where nobody looks.
    pub fn load(&self) -> Option<Arc<Namespaces>> {
        self.0.load_full()
    }

    /// Takes what is seen from now on.
    pub fn enter(&self, namespaces: Namespaces) {
        self.0.store(Some(Arc::new(namespaces)));
    }

    fn take(&self, news: &News<core::Namespace>) {
        let mut namespaces = self.load().map(|seen| Namespaces::clone(&seen)).unwrap_or_default();
        match news {
            News::All(all) => {
                namespaces = Namespaces::default();
                for namespace in all {
                    namespaces.put(namespace);
                }
            }
            News::Is(namespace) => namespaces.put(namespace),
            News::Gone(namespace) => drop(namespaces.0.remove(&namespace.name_any())),
            News::Heard | News::Lost(_) => return,
        }
        metrics::cluster_namespaces(namespaces.0.len());
        self.enter(namespaces);
    }
}

impl Namespaces {
    /// What is seen of a namespace.
    pub fn get(&self, name: &str) -> Option<&Seen> {
        self.0.get(name)
    }

    /// Adds one, or another state of it.
    pub fn put(&mut self, namespace: &core::Namespace) {
        let name: Arc<str> = namespace.name_any().into();
        let mut annotations = namespace.metadata.annotations.clone().unwrap_or_default();
        annotations.retain(|key, _| !NOT_KEPT.contains(&key.as_str()));
        let seen = Seen {
            labels: namespace.metadata.labels.clone().unwrap_or_default(),
            annotations,
            phase: namespace.status.as_ref().and_then(|status| status.phase.clone()).unwrap_or_default(),
            uid: namespace.metadata.uid.clone().unwrap_or_default(),
        };
        let _ = self.0.insert(name, seen);
    }
}

/// What [`follow`] needs of RBAC.
pub const NEEDS: [Need; 2] = [Need::new("list", "", "namespaces"), Need::new("watch", "", "namespaces")];

/// Follows the Namespaces until told to stop.
///
/// # Errors
/// Never; a task that ends is a task that died.
pub async fn follow(
    cluster: Cluster,
    view: View,
    touch: Touch,
    stop: CancellationToken,
) -> Result<(), Infallible> {
    let [need, _] = NEEDS;
    let (labels, fields) = (String::new(), String::new());
    let followed = Followed { api: Api::all(cluster.client), need, labels, fields };
    let heard = touch.clone();
    let tell = move |news| {
        // Ready only once it is seen.
        view.take(&news);
        heard.hear(&news);
    };
    tokio::join!(followed.follow(stop.clone(), tell), touch.wait_no_longer(stop));
    Ok(())
}
