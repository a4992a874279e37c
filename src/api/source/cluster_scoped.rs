//! Objects that belong to no namespace: a tenant's app installs none, for what they grant reaches beyond the tenant.

use serde_json::Value;

use super::members;
use crate::problem::Fault;

/// Kinds of Kubernetes itself that have no namespace.
const KINDS: [&str; 31] = [
    "APIService",
    "CSIDriver",
    "CSINode",
    "CertificateSigningRequest",
    "ClusterRole",
    "ClusterRoleBinding",
    "ClusterTrustBundle",
    "ComponentStatus",
    "CustomResourceDefinition",
    "DeviceClass",
    "FlowSchema",
    "IPAddress",
    "IngressClass",
    "MutatingAdmissionPolicy",
    "MutatingAdmissionPolicyBinding",
    "MutatingWebhookConfiguration",
    "Namespace",
    "Node",
    "PersistentVolume",
    "PriorityClass",
    "PriorityLevelConfiguration",
    "ResourceSlice",
    "RuntimeClass",
    "ServiceCIDR",
    "StorageClass",
    "StorageVersion",
    "ValidatingAdmissionPolicy",
    "ValidatingAdmissionPolicyBinding",
    "ValidatingWebhookConfiguration",
    "VolumeAttachment",
    "VolumeAttributesClass",
];

/// Every such object in a document that has been bounded; `at` is where the document stands.
pub fn scan(document: &Value, at: &str) -> Vec<Fault> {
    let mut faults = Vec::new();
    walk(document, at, &mut faults);
    faults
}

fn walk(value: &Value, at: &str, faults: &mut Vec<Fault>) {
    let text = |key: &str| value.get(key).and_then(Value::as_str);
    // A reference such as `roleRef` names a kind too, and has `apiGroup` or nothing beside it.
    if let (Some(_), Some(kind)) = (text("apiVersion"), text("kind"))
        && (KINDS.contains(&kind) || kind.strip_suffix("List").is_some_and(|one| KINDS.contains(&one)))
        && (value.get("metadata").is_some() || value.get("items").is_some())
    {
        let detail = format!("is a {kind}, which belongs to no namespace; a tenant's app installs none");
        faults.push(Fault::new(at, detail));
        return;
    }
    for (pointer, member) in members(value, at) {
        walk(member, &pointer, faults);
    }
}
