//! `ETag` and `If-Match`: a version is named on the way out, and may be demanded on the way in.

use axum::extract::FromRequestParts;
use axum::http::header;
use axum::http::request::Parts;

use super::Api;
use super::problem::{Fault, Problem};
use super::route::{Signature, SignaturePart};
use portcullis_store::StoreError;

/// The version that a change is meant for. Without the header, or with `*`, it is meant for whatever is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IfMatch(pub Option<i64>);

/// The longest tag that is looked at; ours have a few digits.
pub const TAG_MAX: usize = 64;

/// No row ever has it, so a tag that cannot be one of ours is a version that has passed.
const NEVER: i64 = -1;

impl IfMatch {
    /// Whether it is meant for what has this version.
    ///
    /// # Errors
    /// `PRECONDITION_FAILED`.
    pub fn check(self, version: i64) -> Result<(), StoreError> {
        if self.0.is_none_or(|expected| expected == version) { Ok(()) } else { Err(StoreError::Stale) }
    }
}

/// A version as `ETag` writes it.
pub fn format(version: i64) -> String {
    format!("\"{version}\"")
}

impl FromRequestParts<Api> for IfMatch {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &Api) -> Result<Self, Problem> {
        let mut values = parts.headers.get_all(header::IF_MATCH).iter();
        let Some(value) = values.next() else { return Ok(Self(None)) };
        let text = value.to_str().unwrap_or_default().trim();
        if values.next().is_some() || text.contains(',') {
            let fault = Fault::new("if-match:", "must be one entity tag or `*`");
            return Err(Problem::invalid(vec![fault]));
        }
        if !(1..=TAG_MAX).contains(&text.len()) {
            let detail = format!("must be an entity tag of 1 to {TAG_MAX} characters");
            return Err(Problem::invalid(vec![Fault::new("if-match:", detail)]));
        }
        Ok(Self(parse(text)))
    }
}

/// A weak tag never matches here (RFC 9110, 13.1.1), and neither does one that we did not make.
fn parse(text: &str) -> Option<i64> {
    if text == "*" {
        return None;
    }
    let inner = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    let version = inner.and_then(|digits| digits.parse::<u32>().ok()).map(i64::from);
    Some(version.filter(|version| format(*version) == text).unwrap_or(NEVER))
}

impl SignaturePart for IfMatch {
    fn describe(signature: &mut Signature) {
        signature.if_match = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tag_is_a_version_or_never_matches() {
        let cases = [
            ("*", None),
            ("\"7\"", Some(7)),
            ("\"07\"", Some(NEVER)),
            ("\"+7\"", Some(NEVER)),
            ("W/\"7\"", Some(NEVER)),
            ("7", Some(NEVER)),
            ("\"-1\"", Some(NEVER)),
            ("\"99999999999999999999\"", Some(NEVER)),
            ("\"", Some(NEVER)),
            ("", Some(NEVER)),
        ];
        for (text, expected) in cases {
            assert_eq!(parse(text), expected, "{text}");
        }
        assert_eq!(parse(&format(12)), Some(12));
    }
}
