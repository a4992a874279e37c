//! The audit log: who did what, written in the transaction that did it, in hash chains that reveal later changes.
//!
//! # Chains
//!
//! Each tenant has a chain named by its id; actions without a tenant go into `system`. The hash of a row covers the hash of
//! the previous row and all its own fields:
//!
//! ```text
//! hash = sha256( "portcullis-audit-1\n" ‖ field ‖ field ‖ … )
//! field = 0x00                                      for null
//!       = 0x01 ‖ length in bytes, 8 bytes, big endian ‖ bytes     for text
//! ```
//!
//! The fields are, in this order: `prev_hash chain seq at request_id actor minted_by actor_roles tenant_id action
//! resource_type resource_id resource_name result attempts first_at before after reason`. Numbers are decimal text,
//! documents exactly the text that is stored, hashes lower-case hex. The first row of a chain has 64 zeros before it.
//!
//! `audit_heads` holds the newest sequence number and hash of each chain. Its row is locked shortly before the commit, so a
//! chain has one order, and a chain that lost its newest rows is shorter than its head says.

mod chain;
mod list;
mod verify;

pub use chain::Denial;
pub use list::{Filter, Record, list};
pub use verify::{Chain, PROVES, Report, verify};

pub(super) use chain::Denials;
pub(super) use chain::append;

use serde_json::Value;

use portcullis_tenancy::credentials::find_credential;

/// The chain of actions that belong to no tenant.
pub const SYSTEM: &str = "system";

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Outcome {
    #[default]
    Ok,
    Denied,
    Error,
}

impl Outcome {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Denied => "denied",
            Self::Error => "error",
        }
    }
}

/// One action; the scope of the transaction holds the actor and the request id. Values under keys that look like credentials
/// are removed from `before` and `after`. The caller limits the length of texts.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// `tenant.create`, `app.install`: a noun, a dot, a verb.
    pub action: &'static str,
    pub resource_type: &'static str,
    pub resource_id: Option<String>,
    pub resource_name: Option<String>,
    /// The chain; by default the tenant of the scope, else `system`.
    pub tenant_id: Option<String>,
    pub outcome: Outcome,
    pub before: Option<Value>,
    pub after: Option<Value>,
    pub reason: Option<String>,
}

impl Entry {
    pub const fn new(action: &'static str, resource_type: &'static str) -> Self {
        Self {
            action,
            resource_type,
            resource_id: None,
            resource_name: None,
            tenant_id: None,
            outcome: Outcome::Ok,
            before: None,
            after: None,
            reason: None,
        }
    }

    #[must_use]
    pub fn of(mut self, id: &str, name: &str) -> Self {
        self.resource_id = Some(id.to_owned());
        self.resource_name = Some(name.to_owned());
        self
    }

    #[must_use]
    pub fn tenant(mut self, id: &str) -> Self {
        self.tenant_id = Some(id.to_owned());
        self
    }

    #[must_use]
    pub fn before(mut self, value: Value) -> Self {
        self.before = Some(value);
        self
    }

    #[must_use]
    pub fn after(mut self, value: Value) -> Self {
        self.after = Some(value);
        self
    }

    #[must_use]
    pub fn because(mut self, reason: &str) -> Self {
        self.reason = Some(reason.to_owned());
        self
    }

    pub(crate) fn redacted(mut self) -> Self {
        [&mut self.before, &mut self.after].into_iter().flatten().for_each(redact);
        self
    }
}

pub const REDACTED: &str = "[redacted]";

/// Deeper than any document of the API; values below it are removed.
const DEPTH_MAX: usize = 64;

/// A key that contains one of these is a credential: `dbPassword`, `api_key`, `X-Auth-Token`.
const CREDENTIAL_PARTS: [&str; 13] = [
    "password",
    "passwd",
    "passphrase",
    "token",
    "apikey",
    "accesskey",
    "secretkey",
    "privatekey",
    "dockerconfig",
    "dockercfg",
    "kubeconfig",
    "authorization",
    "credential",
];

const CREDENTIAL_SUFFIXES: [&str; 3] = ["secret", "secrets", "pwd"];

/// A key that ends so refers to a credential: `credentialsSecretRef`, `tokenTtlSeconds`.
const REFERENCE_SUFFIXES: [&str; 6] = ["ref", "refs", "name", "seconds", "expiresat", "id"];

/// Case and punctuation of the key are ignored.
fn is_credential(key: &str) -> bool {
    let plain: String =
        key.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect();
    let refers = REFERENCE_SUFFIXES.iter().any(|end| plain.ends_with(end));
    !refers
        && (CREDENTIAL_PARTS.iter().any(|word| plain.contains(word))
            || CREDENTIAL_SUFFIXES.iter().any(|end| plain.ends_with(end)))
}

/// Also removes private keys under any key.
fn redact(document: &mut Value) {
    redact_below(document, 0);
}

fn redact_below(value: &mut Value, depth: usize) {
    match value {
        Value::Object(_) | Value::Array(_) if depth == DEPTH_MAX => *value = REDACTED.into(),
        Value::Object(fields) => {
            for (key, value) in fields {
                if is_credential(key) && !value.is_null() {
                    *value = REDACTED.into();
                } else {
                    redact_below(value, depth + 1);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| redact_below(item, depth + 1)),
        Value::String(text) if find_credential(text).is_some() => *value = REDACTED.into(),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn credential_keys_are_recognised() {
        for key in
            ["password", "dbPassword", "X-Auth-Token", "api_key", ".dockerconfigjson", "clientSecret", "pwd"]
        {
            assert!(is_credential(key), "{key}");
        }
        for key in
            ["credentialsSecretRef", "secretName", "name", "tokenTtlSeconds", "secretary", "image", "tokenId"]
        {
            assert!(!is_credential(key), "{key}");
        }
    }

    #[test]
    fn credential_values_are_redacted_and_references_stay() {
        let mut document = json!({
            "helmOci": {"credentialsSecretRef": {"name": "pull", "namespace": "x"}, "values": [{"adminPassword": "a"}]},
            "url": "https://me:hunter2@example.com", "aws": "AKIAAAAAAAAAAAAAAAAA",
            "note": "-----BEGIN EC PRIVATE KEY-----\nx",
            "token": null,
        });
        redact(&mut document);
        assert_eq!(
            document,
            json!({
                "helmOci": {"credentialsSecretRef": {"name": "pull", "namespace": "x"}, "values": [{"adminPassword": REDACTED}]},
                "url": REDACTED, "aws": REDACTED,
                "note": REDACTED,
                "token": null,
            })
        );
    }

    #[test]
    fn values_below_the_depth_limit_are_redacted() {
        let mut document = json!("x");
        for _ in 0..100 {
            document = json!([document]);
        }
        redact(&mut document);
        assert!(!document.to_string().contains('x'));
    }
}
