//! Webhook configurations and admission policies in the cluster, written by server-side apply. They are untyped JSON: a typed
//! object would also write its defaults, and the gate would own fields of others.

use kube::Api;
use kube::api::{ApiResource, DynamicObject, GroupVersionKind, Patch, PatchParams};
use serde_json::Value;

use super::client::Cluster;
use super::error::{ClusterError, Need};

/// Field manager of `portcullis manifests --apply`.
pub const MANAGER: &str = "portcullis";

pub const GROUP: &str = "admissionregistration.k8s.io";

/// Kind and plural.
const KINDS: &[(&str, &str)] = &[
    ("MutatingWebhookConfiguration", "mutatingwebhookconfigurations"),
    ("ValidatingWebhookConfiguration", "validatingwebhookconfigurations"),
    ("ValidatingAdmissionPolicy", "validatingadmissionpolicies"),
    ("ValidatingAdmissionPolicyBinding", "validatingadmissionpolicybindings"),
];

#[derive(Debug, Clone, Copy)]
pub struct ApplyOptions {
    pub manager: &'static str,
    /// Take ownership of fields that other managers set to another value.
    pub force: bool,
    /// Validate only.
    pub dry_run: bool,
}

/// `unknown` for other kinds, which the API server then rejects.
pub fn plural(kind: &str) -> &'static str {
    KINDS.iter().find(|(known, _)| *known == kind).map_or("unknown", |(_, plural)| plural)
}

pub fn api(cluster: &Cluster, kind: &str) -> Api<DynamicObject> {
    let kind = GroupVersionKind::gvk(GROUP, "v1", kind);
    let resource = ApiResource::from_gvk_with_plural(&kind, plural(&kind.kind));
    Api::all_with(cluster.client.clone(), &resource)
}

pub async fn read(cluster: &Cluster, kind: &str, name: &str) -> Result<Option<Value>, ClusterError> {
    let need = Need::new("get", GROUP, plural(kind)).of(name);
    let found = api(cluster, kind).get_opt(name).await.map_err(|error| need.failed(&error))?;
    Ok(found.map(|object| document(kind, &object)))
}

pub async fn apply(
    cluster: &Cluster,
    document: &Value,
    options: ApplyOptions,
) -> Result<Value, ClusterError> {
    let text = |pointer| document.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let (kind, name) = (text("/kind"), text("/metadata/name"));
    let need = Need::new("patch", GROUP, plural(kind)).of(name);
    let params = PatchParams {
        dry_run: options.dry_run,
        force: options.force,
        field_manager: Some(options.manager.to_owned()),
        ..PatchParams::default()
    };
    let written = api(cluster, kind).patch(name, &params, &Patch::Apply(document)).await;
    written.map(|object| self::document(kind, &object)).map_err(|error| need.failed(&error))
}

/// Objects of a list lack `kind` and `apiVersion`, so they are added.
pub fn document(kind: &str, object: &DynamicObject) -> Value {
    let mut document = serde_json::to_value(object).unwrap_or_default();
    if let Some(fields) = document.as_object_mut() {
        fields.insert("kind".to_owned(), kind.into());
        fields.insert("apiVersion".to_owned(), format!("{GROUP}/v1").into());
    }
    document
}

/// The first target of a webhook configuration that is not `ours`, in the form of [`target`].
pub fn foreign_target(configuration: &Value, ours: &str) -> Option<String> {
    webhooks(configuration).map(|webhook| target(&webhook["clientConfig"])).find(|target| target != ours)
}

pub fn webhooks(configuration: &Value) -> impl Iterator<Item = &Value> {
    configuration.get("webhooks").and_then(Value::as_array).into_iter().flatten()
}

/// `NAMESPACE/NAME`, with `:PORT` where that is not 443, or `https://HOST:PORT`.
fn target(client: &Value) -> String {
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
    fn target_omits_path_and_default_port() {
        let service = |port: Value| json!({"service": {"namespace": "a", "name": "b", "port": port, "path": "/validate"}});
        for (client, expected) in [
            (service(json!(443)), "a/b"),
            (service(Value::Null), "a/b"),
            (service(json!(8443)), "a/b:8443"),
            (json!({"url": "https://10.0.0.1:8443/validate"}), "https://10.0.0.1:8443"),
            (json!({"url": "https://gate"}), "https://gate"),
        ] {
            assert_eq!(target(&client), expected);
            let configuration = json!({"webhooks": [{"name": "x", "clientConfig": client}]});
            assert_eq!(foreign_target(&configuration, expected), None);
            assert_eq!(foreign_target(&configuration, "c/d").as_deref(), Some(expected));
        }
        assert_eq!(foreign_target(&json!({}), "a/b"), None);
    }
}
