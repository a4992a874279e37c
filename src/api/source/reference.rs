//! References to Secrets: only into app namespaces of the same tenant, and of projects that the caller reaches. A sandbox is written by anybody of the tenant, and
//! what stands in another tenant's namespace, or in the platform's, is not this tenant's to use.

use serde_json::Value;

use super::join;
use portcullis_tenancy::source::SourceKind;

/// What is said of a reference elsewhere.
pub const ELSEWHERE: &str = "is no app namespace of this tenant in a project of the caller; without `namespace` the app's own is meant";

/// The namespace that a source's `credentialsSecretRef` names, and where it does; `None` where it names none.
pub fn namespace(source: &Value, kind: SourceKind, at: &str) -> Option<(String, String)> {
    let keys = [kind.as_str(), "credentialsSecretRef", "namespace"];
    let named = keys.iter().try_fold(source, |value, key| value.get(key))?.as_str()?;
    Some((named.to_owned(), keys.iter().fold(at.to_owned(), |at, key| join(&at, key))))
}
