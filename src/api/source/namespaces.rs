//! References from a source into namespaces that its author may not use.
//!
//! A `credentialsSecretRef` may name app namespaces of the same tenant in projects of the caller. ProjectPath of namespaces of other
//! projects are found in every text and key, because manifests, values and parameters have no fixed field for them. The
//! address of a Service (`db.tn-acme-blog-app-db.svc`) grants nothing and is allowed.

use std::collections::BTreeSet;

use serde_json::Value;

use super::structure::{join, members};
use crate::problem::Fault;
use portcullis_store::{StoreError, Tx, namespaces};
use portcullis_tenancy::source::SourceKind;

pub const NOT_AN_APP_NAMESPACE: &str = "must be an app namespace of this tenant in one of the caller's projects; omit `namespace` for the app's own";

/// The namespace that a source's `credentialsSecretRef` names, and where it does; `None` where it names none.
pub fn secret_namespace(source: &Value, kind: SourceKind, at: &str) -> Option<(String, String)> {
    let keys = [kind.as_str(), "credentialsSecretRef", "namespace"];
    let named = keys.iter().try_fold(source, |value, key| value.get(key))?.as_str()?;
    Some((named.to_owned(), keys.iter().fold(at.to_owned(), |at, key| join(&at, key))))
}

/// The same text for registered and unregistered names, so that it does not reveal which projects exist.
pub const OTHER_PROJECT: &str =
    "names a namespace of the tenant outside the caller's projects, or one that is not registered";

/// ProjectPath of namespaces in a document, each with where it stands.
type Named = Vec<(String, String)>;

/// Every name in the documents that begins as the tenant's namespaces do, and is not of the caller's projects. `own` is
/// the namespace of the app itself.
pub async fn of_other_projects(
    tx: &mut Tx,
    tenant: (&str, &str),
    own: &str,
    documents: &[(&str, &Value)],
) -> Result<Vec<Fault>, StoreError> {
    let (id, slug) = tenant;
    if tx.scope().reaches_all_projects() {
        return Ok(Vec::new());
    }
    let prefix = own.split('-').next().unwrap_or_default();
    let stem = format!("{prefix}-{slug}-");
    let mut named = Named::new();
    for (at, document) in documents {
        walk(document, at, &stem, &mut named);
    }
    named.retain(|(name, _)| name != own);
    if named.is_empty() {
        return Ok(Vec::new());
    }
    let reached: BTreeSet<String> = namespaces::visible_names(tx, id).await?.into_iter().collect();
    let foreign = named.into_iter().filter(|(name, _)| !reached.contains(name));
    Ok(foreign.map(|(_, at)| Fault::new(at, OTHER_PROJECT)).collect())
}

fn walk(value: &Value, at: &str, stem: &str, named: &mut Named) {
    if let Value::String(text) = value {
        named.extend(names(text, stem).map(|name| (name.to_owned(), at.to_owned())));
    }
    for key in value.as_object().into_iter().flat_map(serde_json::Map::keys) {
        named.extend(names(key, stem).map(|name| (name.to_owned(), at.to_owned())));
    }
    for (pointer, member) in members(value, at) {
        walk(member, &pointer, stem, named);
    }
}

/// ProjectPath in a text that begin with `stem`, as whole words; not those in the address of a Service.
fn names<'a>(text: &'a str, stem: &'a str) -> impl Iterator<Item = &'a str> {
    text.match_indices(stem).filter_map(move |(begin, _)| {
        let (before, rest) = text.split_at_checked(begin)?;
        // Asked first: within a word that holds the beginning many times, the rest is read once.
        if before.ends_with(is_part) {
            return None;
        }
        let end = rest.find(|c: char| !is_part(c)).unwrap_or(rest.len());
        let (name, after) = rest.split_at_checked(end)?;
        let address = before.ends_with('.')
            && after.strip_prefix(".svc").is_some_and(|after| !after.starts_with(is_part));
        (!address).then_some(name)
    })
}

const fn is_part(c: char) -> bool {
    c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-'
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn names_are_found_in_every_text_and_key() {
        for (document, expected) in [
            (json!({"metadata": {"namespace": "tn-acme-blog-app-web"}}), vec!["/metadata/namespace"]),
            (json!(["system:serviceaccount:tn-acme-blog-app-web:default"]), vec!["/0"]),
            (
                json!({"annotations": {"auth-secret": "tn-acme-blog-sbx-001/tls"}}),
                vec!["/annotations/auth-secret"],
            ),
            (json!({"tn-acme-blog-app-web": 1}), vec![""]),
            (json!("a: tn-acme-blog-app-a\nb: 'tn-acme-blog-app-b'"), vec!["", ""]),
            (json!("tn-acme-blog-app-web.svc"), vec![""]),
            (json!("db.tn-acme-blog-app-web.svcx"), vec![""]),
            (json!("http://db.tn-acme-blog-app-web.svc.cluster.local:80/tn-acme-x"), vec![""]),
            (json!("http://db.tn-acme-blog-app-web.svc:80"), vec![]),
            (json!("xtn-acme-blog-app-web tn-globex-shop-app-web tn-acme"), vec![]),
        ] {
            let mut named = Named::new();
            walk(&document, "", "tn-acme-", &mut named);
            let found: Vec<&str> = named.iter().map(|(_, at)| at.as_str()).collect();
            assert_eq!(found, expected, "{document}");
        }
    }

    /// Quadratic work on it would take minutes.
    #[test]
    fn word_that_begins_again_and_again_is_read_once() {
        let text = "tn-acme-".repeat(128 * 1024);
        assert_eq!(names(&text, "tn-acme-").map(str::len).collect::<Vec<_>>(), [text.len()]);
    }
}
