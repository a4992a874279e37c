//! Webhook configurations and admission policies in the cluster: read, and written by server-side apply. Documents go as they
//! are: a type of ours would write its defaults too, and make us owner of what others own.

use kube::Api;
use kube::api::{ApiResource, DynamicObject, GroupVersionKind, Patch, PatchParams};
use serde_json::Value;

use super::client::Cluster;
use super::error::{ClusterError, Need};

/// Who owns what `portcullis manifests --apply` writes.
pub const MANAGER: &str = "portcullis";

/// API group of all of them.
pub const GROUP: &str = "admissionregistration.k8s.io";

/// Kind and plural of what is written.
const KINDS: &[(&str, &str)] = &[
    ("MutatingWebhookConfiguration", "mutatingwebhookconfigurations"),
    ("ValidatingWebhookConfiguration", "validatingwebhookconfigurations"),
    ("ValidatingAdmissionPolicy", "validatingadmissionpolicies"),
    ("ValidatingAdmissionPolicyBinding", "validatingadmissionpolicybindings"),
];

/// How something is written.
#[derive(Debug, Clone, Copy)]
pub struct How {
    /// The field manager, which owns what is written.
    pub manager: &'static str,
    /// Take fields from other managers that want something else.
    pub force: bool,
    /// Have it judged, and store nothing.
    pub dry_run: bool,
}

/// Plural of a kind; the kind itself where it is none of ours, which the API server then does not know.
pub fn plural(kind: &str) -> &'static str {
    KINDS.iter().find(|(known, _)| *known == kind).map_or("unknown", |(_, plural)| plural)
}

/// Objects of one of the kinds.
pub fn api(cluster: &Cluster, kind: &str) -> Api<DynamicObject> {
    let kind = GroupVersionKind::gvk(GROUP, "v1", kind);
    let resource = ApiResource::from_gvk_with_plural(&kind, plural(&kind.kind));
    Api::all_with(cluster.client.clone(), &resource)
}

/// One object as it is in the cluster, if it is.
///
/// # Errors
/// The API server cannot be asked, or does not let us.
pub async fn read(cluster: &Cluster, kind: &str, name: &str) -> Result<Option<Value>, ClusterError> {
    let need = Need::new("get", GROUP, plural(kind)).of(name);
    let found = api(cluster, kind).get_opt(name).await.map_err(|error| need.failed(&error))?;
    Ok(found.map(|object| document(kind, &object)))
}

/// Writes a document that has a kind of ours and a name; what came of it.
///
/// # Errors
/// The API server cannot be asked, does not let us, or another manager owns a field with another value.
pub async fn apply(cluster: &Cluster, document: &Value, how: How) -> Result<Value, ClusterError> {
    let text = |pointer| document.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let (kind, name) = (text("/kind"), text("/metadata/name"));
    let need = Need::new("patch", GROUP, plural(kind)).of(name);
    let params = PatchParams {
        dry_run: how.dry_run,
        force: how.force,
        field_manager: Some(how.manager.to_owned()),
        ..PatchParams::default()
    };
    let written = api(cluster, kind).patch(name, &params, &Patch::Apply(document)).await;
    written.map(|object| self::document(kind, &object)).map_err(|error| need.failed(&error))
}

/// The object as a document; one of a list does not say of what kind it is.
pub fn document(kind: &str, object: &DynamicObject) -> Value {
    let mut document = serde_json::to_value(object).unwrap_or_default();
    if let Some(fields) = document.as_object_mut() {
        fields.insert("kind".to_owned(), kind.into());
        fields.insert("apiVersion".to_owned(), format!("{GROUP}/v1").into());
    }
    document
}

/// Whom a webhook configuration calls other than `ours`, as people say it: a Service, or an address without its path.
pub fn stranger(configuration: &Value, ours: &str) -> Option<String> {
    webhooks(configuration).map(|webhook| called(&webhook["clientConfig"])).find(|called| called != ours)
}

/// The webhooks of a configuration.
pub fn webhooks(configuration: &Value) -> impl Iterator<Item = &Value> {
    configuration.get("webhooks").and_then(Value::as_array).into_iter().flatten()
}

/// `NAMESPACE/NAME`, with `:PORT` where that is not 443, or `https://HOST:PORT`.
fn called(client: &Value) -> String {
    let text = |pointer| client.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    if let Some(url) = client.get("url").and_then(Value::as_str) {
        let path = url.strip_prefix("https://").and_then(|rest| rest.find('/'));
        return path.and_then(|at| url.get(..at + "https://".len())).unwrap_or(url).to_owned();
    }
    let port = client.pointer("/service/port").and_then(Value::as_u64).filter(|port| *port != 443);
    let port = port.map(|port| format!(":{port}")).unwrap_or_default();
    format!("{}/{}{port}", text("/service/namespace"), text("/service/name"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn who_is_called_is_told_without_path_and_usual_port() {
        let service = |port: Value| json!({"service": {"namespace": "a", "name": "b", "port": port, "path": "/validate"}});
        for (client, expected) in [
            (service(json!(443)), "a/b"),
            (service(Value::Null), "a/b"),
            (service(json!(8443)), "a/b:8443"),
            (json!({"url": "https://10.0.0.1:8443/validate"}), "https://10.0.0.1:8443"),
            (json!({"url": "https://gate"}), "https://gate"),
        ] {
            assert_eq!(called(&client), expected);
            let configuration = json!({"webhooks": [{"name": "x", "clientConfig": client}]});
            assert_eq!(stranger(&configuration, expected), None);
            assert_eq!(stranger(&configuration, "c/d").as_deref(), Some(expected));
        }
        assert_eq!(stranger(&json!({}), "a/b"), None);
    }
}
