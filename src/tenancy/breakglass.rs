//! Break-glass: a signed document that bypasses named policies for named users in named namespaces, for at most eight
//! hours.
//!
//! It counts by its signature alone, so it may come from the ledger's snapshot or from a file. The gate knows which
//! keys may sign.

use std::sync::Arc;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Longest validity of a document: eight hours.
pub const SECONDS_MAX: i64 = 8 * 60 * 60;

/// Which policies do not apply, for whom, where, when and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[schemars(rename = "BreakglassDocument")]
pub struct Document {
    /// UUID, lower case; names it in messages, annotations and when it is closed.
    #[schemars(extend("format" = "uuid"))]
    pub id: Arc<str>,
    /// Usernames, exact; at least one, at most 20.
    #[schemars(length(min = 1, max = 20))]
    pub users: Vec<Arc<str>>,
    /// Namespaces, exact; at least one, at most 100.
    #[schemars(length(min = 1, max = 100))]
    pub namespaces: Vec<Arc<str>>,
    /// Ids of the policies that are bypassed; at least one, at most 50.
    #[schemars(length(min = 1, max = 50))]
    pub policies: Vec<Arc<str>>,
    /// Why, for the audit log; 1 to 1000 characters.
    pub reason: Arc<str>,
    /// Start, RFC 3339.
    #[schemars(extend("format" = "date-time"))]
    pub not_before: Arc<str>,
    /// End, RFC 3339; at most eight hours after `notBefore`.
    #[schemars(extend("format" = "date-time"))]
    pub expires: Arc<str>,
}

/// A break-glass document of one id, or the mark that it is closed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Breakglass")]
pub struct BreakglassEntry {
    /// The document; absent once it is closed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub document: Option<Document>,
    /// Ed25519 over [`Document::signed`], base64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<Arc<str>>,
    /// Closed before its end; a copy of the document from another source does not count either.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub closed: bool,
}

/// Why a document is invalid, independent of its signature.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DocumentError {
    #[error("`id` is not a UUID in lower case")]
    Id,
    #[error("`{field}` has {found} entries (allowed: 1 to {max})")]
    Count { field: &'static str, found: usize, max: usize },
    #[error("`{0}` is not an RFC 3339 time, as in `2026-11-21T10:00:00Z`")]
    Time(&'static str),
    #[error("`expires` must be after `notBefore`, by at most 8h")]
    Window,
    #[error("`reason` is empty or has more than 1000 characters")]
    Reason,
}

impl Document {
    /// The signed text: this JSON, fields in the order of this type, without spaces.
    pub fn signed(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// When the document holds.
    ///
    /// # Errors
    /// The document is invalid and never holds.
    pub fn window(&self) -> Result<(Timestamp, Timestamp), DocumentError> {
        if !super::text::is_uuid(&self.id) {
            return Err(DocumentError::Id);
        }
        let lists = [
            ("users", self.users.len(), 20),
            ("namespaces", self.namespaces.len(), 100),
            ("policies", self.policies.len(), 50),
        ];
        for (field, found, max) in lists {
            if found == 0 || found > max {
                return Err(DocumentError::Count { field, found, max });
            }
        }
        if self.reason.trim().is_empty() || self.reason.chars().count() > 1000 {
            return Err(DocumentError::Reason);
        }
        let from: Timestamp = self.not_before.parse().map_err(|_| DocumentError::Time("notBefore"))?;
        let until: Timestamp = self.expires.parse().map_err(|_| DocumentError::Time("expires"))?;
        let seconds = until.duration_since(from).as_secs();
        if until <= from || seconds > SECONDS_MAX {
            return Err(DocumentError::Window);
        }
        Ok((from, until))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document() -> Document {
        let text = |text: &str| Arc::from(text);
        Document {
            id: text("018f2b7c-0000-7000-8000-0000000000b1"),
            users: vec![text("kim@example.com")],
            namespaces: vec![text("tn-acme-shop-app-frontend")],
            policies: vec![text("app-namespace-writers")],
            reason: text("the shop is down"),
            not_before: text("2026-11-21T10:00:00Z"),
            expires: text("2026-11-21T11:00:00Z"),
        }
    }

    #[test]
    fn signed_text_is_stable() {
        // Documents signed by one version must verify in the next.
        assert_eq!(
            document().signed(),
            r#"{"id":"018f2b7c-0000-7000-8000-0000000000b1","users":["kim@example.com"],"namespaces":["tn-acme-shop-app-frontend"],"policies":["app-namespace-writers"],"reason":"the shop is down","notBefore":"2026-11-21T10:00:00Z","expires":"2026-11-21T11:00:00Z"}"#
        );
    }

    #[test]
    fn invalid_document_is_refused() {
        assert!(document().window().is_ok());
        let with = |change: fn(&mut Document)| {
            let mut document = document();
            change(&mut document);
            document.window().unwrap_err().to_string()
        };
        assert_eq!(with(|d| d.id = "x".into()), "`id` is not a UUID in lower case");
        assert_eq!(with(|d| d.users.clear()), "`users` has 0 entries (allowed: 1 to 20)");
        assert_eq!(
            with(|d| d.policies = vec!["a".into(); 51]),
            "`policies` has 51 entries (allowed: 1 to 50)"
        );
        assert_eq!(with(|d| d.reason = " ".into()), "`reason` is empty or has more than 1000 characters");
        let window = "`expires` must be after `notBefore`, by at most 8h";
        assert_eq!(with(|d| d.expires = "2026-11-21T18:00:01Z".into()), window);
        assert_eq!(with(|d| d.expires = d.not_before.clone()), window);
        assert_eq!(
            with(|d| d.expires = "soon".into()),
            "`expires` is not an RFC 3339 time, as in `2026-11-21T10:00:00Z`"
        );
    }
}
