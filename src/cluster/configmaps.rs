//! ConfigMaps of one namespace that a label selector matches.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::{Api, ResourceExt as _};
use tokio_util::sync::CancellationToken;

use super::client::Cluster;
use super::error::Need;
use super::follow::{WatchUpdate, Watcher};
use super::last_contact::LastContact;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigMapData {
    pub name: String,
    /// Changes when the ConfigMap is deleted and created again.
    pub uid: String,
    /// Its `resourceVersion`.
    pub version: String,
    pub data: BTreeMap<String, String>,
    /// Keys of `binaryData`.
    pub binary: Vec<String>,
}

/// By name.
pub type ConfigMaps = BTreeMap<String, ConfigMapData>;

/// Permissions of [`follow`].
pub fn needs(namespace: &str) -> [Need; 2] {
    ["list", "watch"].map(|verb| Need::new(verb, "", "configmaps").within(namespace))
}

/// Calls `changed` with all matching ConfigMaps whenever one of them changes, until `stop` is cancelled.
pub async fn follow(
    cluster: Cluster,
    selector: String,
    last_contact: LastContact,
    mut changed: impl FnMut(ConfigMaps) + Send,
    stop: CancellationToken,
) {
    let [need, _] = needs(&cluster.namespace);
    let api = Api::namespaced(cluster.client, &cluster.namespace);
    let watcher = Watcher { api, need, labels: selector, fields: String::new() };
    let mut known = ConfigMaps::new();
    let update = move |update: WatchUpdate<ConfigMap>| {
        last_contact.observe(&update);
        match update {
            WatchUpdate::Listed(all) => known = all.into_iter().map(entry).collect(),
            WatchUpdate::Applied(one) => known.extend([entry(one)]),
            WatchUpdate::Deleted(one) => drop(known.remove(&one.name_any())),
            WatchUpdate::Alive | WatchUpdate::Failed(_) => return,
        }
        changed(known.clone());
    };
    watcher.follow(stop, update).await;
}

fn entry(map: ConfigMap) -> (String, ConfigMapData) {
    let name = map.name_any();
    let data = ConfigMapData {
        uid: map.metadata.uid.unwrap_or_default(),
        version: map.metadata.resource_version.unwrap_or_default(),
        data: map.data.unwrap_or_default(),
        binary: map.binary_data.unwrap_or_default().into_keys().collect(),
        name: name.clone(),
    };
    (name, data)
}
