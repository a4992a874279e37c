//! Events: what this replica has to say about somebody's object, where `kubectl describe` shows it.

use k8s_openapi::api::core::v1::{Event, EventSource, ObjectReference};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta, Time};
use kube::Api;
use kube::api::PostParams;

use super::client::Cluster;
use super::configmaps::Labelled;
use super::error::{ClusterError, Need};

/// Characters of a message; the API server takes 1024 bytes.
const MESSAGE_CHARS_MAX: usize = 240;

/// Who reports, in the words of the Events API.
const CONTROLLER: &str = "portcullis.kubenova.io/gate";

/// How much of a matter it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weight {
    /// As it should be.
    Normal,
    /// Somebody should look.
    Warning,
}

/// What is to be said of a ConfigMap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// How much of a matter it is.
    pub weight: Weight,
    /// One word in CamelCase.
    pub reason: &'static str,
    /// One sentence; what is too long is cut.
    pub message: String,
}

/// What [`tell`] needs of RBAC.
pub fn need(namespace: &str) -> Need {
    Need::new("create", "", "events").within(namespace)
}

/// Says it, as this replica.
///
/// # Errors
/// The API server does not take it.
pub async fn tell(cluster: &Cluster, about: &Labelled, said: &Said) -> Result<(), ClusterError> {
    let api: Api<Event> = Api::namespaced(cluster.client.clone(), &cluster.namespace);
    let event = event(&cluster.namespace, about, said);
    let sent = api.create(&PostParams::default(), &event).await;
    sent.map(drop).map_err(|error| need(&cluster.namespace).failed(&error))
}

fn event(namespace: &str, about: &Labelled, said: &Said) -> Event {
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
        type_: Some(if said.weight == Weight::Normal { "Normal" } else { "Warning" }.to_owned()),
        reason: Some(said.reason.to_owned()),
        message: Some(said.message.chars().take(MESSAGE_CHARS_MAX).collect()),
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

/// The name of this replica: a Pod's host name is the Pod's name.
fn replica() -> String {
    let name = std::env::var("HOSTNAME").ok().or_else(|| std::fs::read_to_string("/etc/hostname").ok());
    name.map(|name| name.trim().to_owned())
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| "gate".to_owned())
}
