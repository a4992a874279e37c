//! What looks like a credential, and is therefore not taken: the ledger keeps references to Secrets, never their
//! contents. It is named by its place, and its value is repeated nowhere.

use serde_json::Value;

use super::{join, members};
use crate::problem::Fault;
use portcullis_tenancy::credentials::betrayed_by;

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

/// Ends that count where a word of the key begins with them: `DB_PASS` and not `compass`, `JWT_SECRET`, `secret`.
const WORDS: [&str; 4] = ["pass", "pwd", "secret", "secrets"];

/// Before those they make a reference of it: `existingSecret`, `imagePullSecrets`, whose values are names.
const REFERENCES: [&str; 4] = ["existing", "pull", "ref", "name"];

const REMEDY: &str = "put it into a Secret and refer to that by `credentialsSecretRef` or `valueFrom`";

/// Everything in a document that looks like a credential. `at` is where the document stands.
pub fn scan(document: &Value, at: &str) -> Vec<Fault> {
    let mut issues = Vec::new();
    walk(document, at, &mut issues);
    issues
}

fn walk(value: &Value, at: &str, issues: &mut Vec<Fault>) {
    if let Value::String(text) = value
        && let Some(what) = betrayed_by(text)
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
