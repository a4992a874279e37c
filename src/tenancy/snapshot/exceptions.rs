//! Exceptions as the snapshot carries them: leave from one policy that somebody was granted.

use std::sync::Arc;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::error::{At, Problems};
use crate::resource::Pattern;
use crate::text::{is_dns_label, quoted};

/// Leave from one policy, for some subjects and objects, until a day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Exception {
    /// The policy's id.
    #[schemars(length(min = 1, max = 63))]
    pub policy: Arc<str>,
    /// Slug of the tenant in whose namespaces it holds; absent means everywhere. One that is not here holds nowhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<Arc<str>>,
    /// Usernames and groups, exact, at most 100; empty or absent means everybody.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100))]
    pub subjects: Vec<Arc<str>>,
    /// The objects, 1 to 100; one that fits is enough.
    #[schemars(length(min = 1, max = 100))]
    pub objects: Vec<Objects>,
    /// When it ends, RFC 3339.
    #[schemars(extend("format" = "date-time"))]
    pub expires: Arc<str>,
}

/// Objects of an exception; what is absent is any.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "ExceptionObjects")]
pub struct Objects {
    /// Namespace, exact.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<Arc<str>>,
    /// Resource in kubectl notation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource: Option<Arc<str>>,
    /// Name, exact.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<Arc<str>>,
}

pub(super) fn check(id: &str, exception: &Exception, problems: &mut Problems) {
    let at = At::item("exceptions", id);
    if !is_dns_label(&exception.policy) {
        problems.add(at.field("policy"), quoted(&exception.policy), "the id of a policy");
    }
    for (field, found, range) in
        [("subjects", exception.subjects.len(), 0..=100), ("objects", exception.objects.len(), 1..=100)]
    {
        if !range.contains(&found) {
            problems.add(
                at.field(field),
                format_args!("{found} entries"),
                format_args!("{} to {}", range.start(), range.end()),
            );
        }
    }
    for (index, objects) in exception.objects.iter().enumerate() {
        if let Some(Err(error)) = objects.resource.as_deref().map(Pattern::parse) {
            problems.add_error(at.field("objects").index(index), error);
        }
    }
    if exception.expires.parse::<Timestamp>().is_err() {
        problems.add(at.field("expires"), quoted(&exception.expires), "a time of RFC 3339");
    }
}
