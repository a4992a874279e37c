//! Break-glass: a signed document that lifts named laws for named people in named namespaces, for hours.
//!
//! It is judged by its signature alone, so it may come by any road: the ledger's snapshot or a file. Who may sign is the
//! gate's to know; this is what is signed, and what must hold of it.

use std::sync::Arc;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The longest that a document holds: eight hours.
pub const SECONDS_MAX: i64 = 8 * 60 * 60;

/// Who may do what, where, from when until when, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[schemars(rename = "BreakglassDocument")]
pub struct Document {
    /// UUID, lower case; names it in messages, annotations and when it is closed.
    #[schemars(extend("format" = "uuid"))]
    pub id: Arc<str>,
    /// Usernames, exact; at least one, at most 20.
    #[schemars(length(min = 1, max = 20))]
    pub people: Vec<Arc<str>>,
    /// Namespaces, exact; at least one, at most 100.
    #[schemars(length(min = 1, max = 100))]
    pub namespaces: Vec<Arc<str>>,
    /// Ids of the policies that do not hold; at least one, at most 50.
    #[schemars(length(min = 1, max = 50))]
    pub laws: Vec<Arc<str>>,
    /// Why, for those who read the audit log; 1 to 1000 characters.
    pub reason: Arc<str>,
    /// From when on it holds, RFC 3339.
    #[schemars(extend("format" = "date-time"))]
    pub not_before: Arc<str>,
    /// Until when, RFC 3339; eight hours after `notBefore` at most.
    #[schemars(extend("format" = "date-time"))]
    pub expires: Arc<str>,
}

/// What a channel says of one document: here it is, or it is closed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Breakglass")]
pub struct Entry {
    /// The document; absent once it is closed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub document: Option<Document>,
    /// Ed25519 over [`Document::signed`], base64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<Arc<str>>,
    /// It was closed before its time; then a copy of it that came by another road holds no more either.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub closed: bool,
}

/// What is wrong with a document, whatever its signature says.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DocumentError {
    /// Not a UUID.
    #[error("`id` is not a UUID in lower case")]
    Id,
    /// A list with nothing in it, or with too much.
    #[error("`{field}` has {found} entries (allowed: 1 to {max})")]
    Count {
        /// Which list.
        field: &'static str,
        /// How many are there.
        found: usize,
        /// How many may be there.
        max: usize,
    },
    /// A time that is none.
    #[error("`{0}` is no time of RFC 3339, as in `2026-11-21T10:00:00Z`")]
    Time(&'static str),
    /// It ends before it begins, or after more than eight hours.
    #[error("`expires` is not within eight hours after `notBefore`")]
    Window,
    /// Nobody says why.
    #[error("`reason` is empty or has more than 1000 characters")]
    Reason,
}

impl Document {
    /// The text that is signed: this JSON, its fields in the order of this type, without spaces.
    pub fn signed(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// From when until when it holds.
    ///
    /// # Errors
    /// What is wrong with it; such a document holds at no time.
    pub fn window(&self) -> Result<(Timestamp, Timestamp), DocumentError> {
        if !super::text::is_uuid(&self.id) {
            return Err(DocumentError::Id);
        }
        let lists = [
            ("people", self.people.len(), 20),
            ("namespaces", self.namespaces.len(), 100),
            ("laws", self.laws.len(), 50),
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
            people: vec![text("kim@example.com")],
            namespaces: vec![text("tn-acme-shop-app-frontend")],
            laws: vec![text("app-namespace-writers")],
            reason: text("the shop is down"),
            not_before: text("2026-11-21T10:00:00Z"),
            expires: text("2026-11-21T11:00:00Z"),
        }
    }

    #[test]
    fn what_is_signed_is_this_text() {
        // A contract: documents signed by one version must verify in the next.
        assert_eq!(
            document().signed(),
            r#"{"id":"018f2b7c-0000-7000-8000-0000000000b1","people":["kim@example.com"],"namespaces":["tn-acme-shop-app-frontend"],"laws":["app-namespace-writers"],"reason":"the shop is down","notBefore":"2026-11-21T10:00:00Z","expires":"2026-11-21T11:00:00Z"}"#
        );
    }

    #[test]
    fn a_document_is_bounded() {
        assert!(document().window().is_ok());
        let with = |change: fn(&mut Document)| {
            let mut document = document();
            change(&mut document);
            document.window().unwrap_err().to_string()
        };
        assert_eq!(with(|d| d.id = "x".into()), "`id` is not a UUID in lower case");
        assert_eq!(with(|d| d.people.clear()), "`people` has 0 entries (allowed: 1 to 20)");
        assert_eq!(with(|d| d.laws = vec!["a".into(); 51]), "`laws` has 51 entries (allowed: 1 to 50)");
        assert_eq!(with(|d| d.reason = " ".into()), "`reason` is empty or has more than 1000 characters");
        let window = "`expires` is not within eight hours after `notBefore`";
        assert_eq!(with(|d| d.expires = "2026-11-21T18:00:01Z".into()), window);
        assert_eq!(with(|d| d.expires = d.not_before.clone()), window);
        assert_eq!(
            with(|d| d.expires = "soon".into()),
            "`expires` is no time of RFC 3339, as in `2026-11-21T10:00:00Z`"
        );
    }
}
