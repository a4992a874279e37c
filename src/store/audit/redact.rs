//! What may not be written down, because it is a key to something.

use serde_json::Value;

use portcullis_tenancy::credentials::betrayed_by;

/// What stands in the place of a value that was taken out.
pub const REDACTED: &str = "[redacted]";

/// Deeper than any document that the API takes; what lies below is taken out whole.
const DEPTH_MAX: usize = 64;

/// A key that holds one of these is a credential's, whatever else is in it: `dbPassword`, `api_key`, `X-Auth-Token`.
const WITHIN: [&str; 13] = [
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

/// A key that ends so is one, but for the references.
const AT_END: [&str; 3] = ["secret", "secrets", "pwd"];

/// A key that ends so names where something is, not what it is: `credentialsSecretRef`, `tokenTtlSeconds`.
const REFERENCES: [&str; 6] = ["ref", "refs", "name", "seconds", "expiresat", "id"];

/// Whether a key of a document looks like that of a credential. Case and punctuation do not matter.
pub fn is_credential(key: &str) -> bool {
    let plain: String =
        key.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect();
    let refers = REFERENCES.iter().any(|end| plain.ends_with(end));
    !refers
        && (WITHIN.iter().any(|word| plain.contains(word)) || AT_END.iter().any(|end| plain.ends_with(end)))
}

/// Takes the values of credentials out of a document, and private keys wherever they stand.
pub(super) fn redact(document: &mut Value) {
    walk(document, 0);
}

fn walk(value: &mut Value, depth: usize) {
    match value {
        Value::Object(_) | Value::Array(_) if depth == DEPTH_MAX => *value = REDACTED.into(),
        Value::Object(fields) => {
            for (key, value) in fields {
                if is_credential(key) && !value.is_null() {
                    *value = REDACTED.into();
                } else {
                    walk(value, depth + 1);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| walk(item, depth + 1)),
        Value::String(text) if betrayed_by(text).is_some() => *value = REDACTED.into(),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn keys_that_look_like_credentials() {
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
    fn values_of_credentials_go_and_references_stay() {
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
    fn what_is_too_deep_goes_whole() {
        let mut document = json!("x");
        for _ in 0..100 {
            document = json!([document]);
        }
        redact(&mut document);
        assert!(!document.to_string().contains('x'));
    }
}
