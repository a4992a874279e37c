//! What a source may not contain: credentials, and objects without a namespace.
//!
//! A credential is named by its position only; its value is never repeated.

use serde_json::Value;

use super::structure::{join, members};
use crate::problem::Fault;
use portcullis_tenancy::credentials::find_credential;

/// Suffixes of keys that hold credentials, in lower case and without separators.
const ENDINGS: [&str; 18] = [
    "password",
    "passwords",
    "passwd",
    "passphrase",
    "token",
    "tokens",
    "apikey",
    "accesskey",
    "accesskeyid",
    "secretkey",
    "secretaccesskey",
    "clientsecret",
    "privatekey",
    "idrsa",
    "tlskey",
    "dockerconfigjson",
    "dockercfg",
    "credentials",
];

/// Suffixes that must be a whole word of the key: `DB_PASS` and `JWT_SECRET`, not `compass`.
const WORDS: [&str; 4] = ["pass", "pwd", "secret", "secrets"];

/// Words before them that make the key a reference: `existingSecret`, `imagePullSecrets`.
const REFERENCES: [&str; 4] = ["existing", "pull", "ref", "name"];

const REMEDY: &str = "put it into a Secret and reference the Secret by `credentialsSecretRef` or `valueFrom`";

/// Everything in a document that looks like a credential. `at` is where the document stands.
pub fn credentials(document: &Value, at: &str) -> Vec<Fault> {
    let mut issues = Vec::new();
    find_credentials(document, at, &mut issues);
    issues
}

fn find_credentials(value: &Value, at: &str, issues: &mut Vec<Fault>) {
    if let Value::String(text) = value
        && let Some(what) = find_credential(text)
    {
        issues.push(Fault::new(at, format!("holds {what}; {REMEDY}")));
        return;
    }
    if let Value::Object(fields) = value {
        if fields.get("kind").and_then(Value::as_str) == Some("Secret") {
            let held = ["data", "stringData"].into_iter().filter(|key| fields.contains_key(*key));
            issues.extend(held.map(|key| {
                Fault::new(
                    join(at, key),
                    "must not contain the contents of a Secret; create the Secret in the cluster and reference it",
                )
            }));
            return;
        }
        issues.extend(variable(value, at));
    }
    for (pointer, member) in members(value, at) {
        let key = pointer.rsplit('/').next().unwrap_or_default();
        if value.is_object() && looks_like_one(key) && carries(member) {
            issues.push(Fault::new(pointer, format!("looks like a credential by its name; {REMEDY}")));
        } else {
            find_credentials(member, &pointer, issues);
        }
    }
}

/// An environment variable with a value of its own and a name such as `DB_PASSWORD`.
fn variable(entry: &Value, at: &str) -> Option<Fault> {
    let name = entry.get("name")?.as_str()?;
    let value = entry.get("value")?;
    let found = looks_like_one(name) && carries(value);
    found.then(|| {
        Fault::new(join(at, "value"), format!("belongs to a name that looks like a credential; {REMEDY}"))
    })
}

fn looks_like_one(key: &str) -> bool {
    let plain: String =
        key.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect();
    ENDINGS.iter().any(|ending| plain.ends_with(ending)) || ends_with_word(key)
}

/// Whether the last word of a key, as separators or capitals part it, is one of [`WORDS`].
fn ends_with_word(key: &str) -> bool {
    let mut words: Vec<String> = vec![String::new()];
    let mut lower = false;
    for c in key.chars() {
        if !c.is_ascii_alphanumeric() || (lower && c.is_ascii_uppercase()) {
            words.push(String::new());
        }
        lower = c.is_ascii_lowercase();
        if let (true, Some(word)) = (c.is_ascii_alphanumeric(), words.last_mut()) {
            word.push(c.to_ascii_lowercase());
        }
    }
    words.retain(|word| !word.is_empty());
    let Some((last, before)) = words.split_last() else { return false };
    let refers = before.last().is_some_and(|word| REFERENCES.contains(&word.as_str()));
    WORDS.contains(&last.as_str()) && !refers
}

/// Whether a value could be a secret itself: text, a number, or a list of such, or one in `value`. A
/// reference is none.
fn carries(value: &Value) -> bool {
    match value {
        Value::String(text) => !text.is_empty(),
        Value::Number(_) => true,
        Value::Array(items) => items.iter().any(carries),
        Value::Object(fields) => fields.get("value").is_some_and(carries),
        Value::Null | Value::Bool(_) => false,
    }
}

/// Kinds of Kubernetes itself that have no namespace.
const CLUSTER_SCOPED_KINDS: [&str; 31] = [
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
pub fn cluster_scoped(document: &Value, at: &str) -> Vec<Fault> {
    let mut faults = Vec::new();
    find_cluster_scoped(document, at, &mut faults);
    faults
}

fn find_cluster_scoped(value: &Value, at: &str, faults: &mut Vec<Fault>) {
    let text = |key: &str| value.get(key).and_then(Value::as_str);
    // A reference such as `roleRef` names a kind too, and has `apiGroup` or nothing beside it.
    if let (Some(_), Some(kind)) = (text("apiVersion"), text("kind"))
        && (CLUSTER_SCOPED_KINDS.contains(&kind)
            || kind.strip_suffix("List").is_some_and(|one| CLUSTER_SCOPED_KINDS.contains(&one)))
        && (value.get("metadata").is_some() || value.get("items").is_some())
    {
        let detail = format!("is a {kind}, which has no namespace; an app of a tenant cannot install it");
        faults.push(Fault::new(at, detail));
        return;
    }
    for (pointer, member) in members(value, at) {
        find_cluster_scoped(member, &pointer, faults);
    }
}
