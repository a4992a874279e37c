//! Kubernetes Events of this replica about a ConfigMap, which `kubectl describe` shows.

use k8s_openapi::api::core::v1::{Event, EventSource, ObjectReference};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta, Time};
use kube::Api;
use kube::api::PostParams;

use super::client::Cluster;
use super::configmaps::ConfigMapData;
use super::error::{ClusterError, Need};

/// The API server accepts 1024 bytes.
const MESSAGE_CHARS_MAX: usize = 240;

const CONTROLLER: &str = "portcullis.kubenova.io/gate";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventType {
    Normal,
    Warning,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventMessage {
    pub event_type: EventType,
    /// One word in CamelCase.
    pub reason: &'static str,
    /// One sentence, cut at the maximum.
    pub message: String,
}

/// Permission of [`publish`].
pub fn need(namespace: &str) -> Need {
    Need::new("create", "", "events").within(namespace)
}

pub async fn publish(
    cluster: &Cluster,
    about: &ConfigMapData,
    message: &EventMessage,
) -> Result<(), ClusterError> {
    let api: Api<Event> = Api::namespaced(cluster.client.clone(), &cluster.namespace);
    let event = event(&cluster.namespace, about, message);
    let sent = api.create(&PostParams::default(), &event).await;
    sent.map(drop).map_err(|error| need(&cluster.namespace).failed(&error))
}

fn event(namespace: &str, about: &ConfigMapData, message: &EventMessage) -> Event {
    let now = jiff::Timestamp::now();
    let replica = replica();
    let unique = uuid::Uuid::now_v7().simple();
    Event {
        metadata: ObjectMeta {
            name: Some(format!("{}.{unique}", about.name)),
            namespace: Some(namespace.to_owned()),
            ..ObjectMeta::default()
        },
        involved_object: ObjectReference {
            api_version: Some("v1".to_owned()),
            kind: Some("ConfigMap".to_owned()),
            name: Some(about.name.clone()),
            namespace: Some(namespace.to_owned()),
            uid: Some(about.uid.clone()),
            resource_version: Some(about.version.clone()),
            ..ObjectReference::default()
        },
        type_: Some(if message.event_type == EventType::Normal { "Normal" } else { "Warning" }.to_owned()),
        reason: Some(message.reason.to_owned()),
        message: Some(message.message.chars().take(MESSAGE_CHARS_MAX).collect()),
        action: Some("Load".to_owned()),
        event_time: Some(MicroTime(now)),
        first_timestamp: Some(Time(now)),
        last_timestamp: Some(Time(now)),
        count: Some(1),
        reporting_component: Some(CONTROLLER.to_owned()),
        reporting_instance: Some(replica.clone()),
        source: Some(EventSource { component: Some("portcullis".to_owned()), host: Some(replica) }),
        ..Event::default()
    }
}

/// The host name of a Pod is the Pod's name.
fn replica() -> String {
    let name = std::env::var("HOSTNAME").ok().or_else(|| std::fs::read_to_string("/etc/hostname").ok());
    name.map(|name| name.trim().to_owned())
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| "gate".to_owned())
}
