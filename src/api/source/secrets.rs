//! What looks like a credential, and is therefore not taken: the ledger keeps references to Secrets, never their
//! contents. It is named by its place, and its value is repeated nowhere.

use serde_json::Value;

use super::{join, members};
use crate::api::problem::Fault;

/// Ends of keys, in lower case and without separators, under which people keep what nobody else may know.
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

/// How a private key begins, of whatever kind it is.
const KEY_BLOCK: &str = "PRIVATE KEY-----";

const REMEDY: &str = "put it into a Secret and refer to that by `credentialsSecretRef` or `valueFrom`";

/// Everything in a document that looks like a credential. `at` is where the document stands.
pub fn scan(document: &Value, at: &str) -> Vec<Fault> {
    let mut issues = Vec::new();
    walk(document, at, &mut issues);
    issues
}

fn walk(value: &Value, at: &str, issues: &mut Vec<Fault>) {
    if let Value::String(text) = value
        && let Some(what) = betrays(text)
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
                    "a Secret's contents are not kept here; create it in the cluster and refer to it",
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
            walk(member, &pointer, issues);
        }
    }
}

/// An environment variable with a value of its own and a name such as `DB_PASSWORD`.
fn variable(entry: &Value, at: &str) -> Option<Fault> {
    let name = entry.get("name")?.as_str()?;
    let value = entry.get("value")?;
    let found = looks_like_one(name) && carries(value);
    found.then(|| {
        Fault::new(join(at, "value"), format!("belongs to a name that looks like a credential's; {REMEDY}"))
    })
}

fn looks_like_one(key: &str) -> bool {
    let plain: String =
        key.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect();
    ENDINGS.iter().any(|ending| plain.ends_with(ending))
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

/// What a text gives away, whatever its key.
fn betrays(text: &str) -> Option<&'static str> {
    if text.contains(KEY_BLOCK) {
        return Some("a private key");
    }
    let (_, rest) = text.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let (user, _) = authority.rsplit_once('@')?;
    let (_, password) = user.split_once(':')?;
    (!password.is_empty()).then_some("an address with a password")
}
