//! ConfigMaps that somebody has labelled for us, in one namespace.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::{Api, ResourceExt as _};
use tokio_util::sync::CancellationToken;

use super::client::Cluster;
use super::error::Need;
use super::follow::{Followed, News};
use super::touch::Touch;

/// One of them, as it was last told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Labelled {
    /// Its name.
    pub name: String,
    /// Another after it was deleted and made anew.
    pub uid: String,
    /// Its `resourceVersion`.
    pub version: String,
    /// Texts by key.
    pub data: BTreeMap<String, String>,
    /// Keys of `binaryData`.
    pub binary: Vec<String>,
}

/// All of them, by name.
pub type All = BTreeMap<String, Labelled>;

/// What [`follow`] needs of RBAC.
pub fn needs(namespace: &str) -> [Need; 2] {
    ["list", "watch"].map(|verb| Need::new(verb, "", "configmaps").within(namespace))
}

/// Follows the ConfigMaps of the cluster's own namespace that a label selector names, until told to stop. `tell` is given
/// all of them whenever one of them is another.
pub async fn follow(
    cluster: Cluster,
    selector: String,
    touch: Touch,
    mut tell: impl FnMut(All) + Send,
    stop: CancellationToken,
) {
    let [need, _] = needs(&cluster.namespace);
    let api = Api::namespaced(cluster.client, &cluster.namespace);
    let followed = Followed { api, need, labels: selector, fields: String::new() };
    let mut known = All::new();
    let hear = move |news: News<ConfigMap>| {
        touch.hear(&news);
        match news {
            News::All(all) => known = all.into_iter().map(labelled).collect(),
            News::Is(one) => known.extend([labelled(one)]),
            News::Gone(one) => drop(known.remove(&one.name_any())),
            News::Heard | News::Lost(_) => return,
        }
        tell(known.clone());
    };
    followed.follow(stop, hear).await;
}

fn labelled(map: ConfigMap) -> (String, Labelled) {
    let name = map.name_any();
    let labelled = Labelled {
        uid: map.metadata.uid.unwrap_or_default(),
        version: map.metadata.resource_version.unwrap_or_default(),
        data: map.data.unwrap_or_default(),
        binary: map.binary_data.unwrap_or_default().into_keys().collect(),
        name: name.clone(),
    };
    (name, labelled)
}
