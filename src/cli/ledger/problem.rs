//! What the API refuses, as people read it.

use std::fmt;

use serde::Deserialize;

/// A problem document (RFC 9457) as the API writes it.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Refused {
    /// The status of the answer.
    #[serde(default)]
    pub status: u16,
    #[serde(default)]
    title: String,
    #[serde(default)]
    detail: Option<String>,
    /// The stable code, as `docs/errors.md` lists them.
    #[serde(default)]
    pub code: String,
    #[serde(default)]
    request_id: Option<String>,
    #[serde(default)]
    errors: Vec<Place>,
}

#[derive(Debug, Clone, Deserialize)]
struct Place {
    #[serde(default)]
    pointer: String,
    #[serde(default)]
    detail: String,
}

impl Refused {
    /// Reads the body of an answer that is no success.
    pub fn read(status: u16, body: &str) -> Self {
        let plain = || Self {
            status,
            title: format!("the server answered {status}"),
            detail: Some(body.trim().chars().take(500).collect()),
            code: String::new(),
            request_id: None,
            errors: Vec::new(),
        };
        serde_json::from_str(body).map_or_else(|_| plain(), |refused| Self { status, ..refused })
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.detail.as_deref().filter(|detail| !detail.is_empty()).unwrap_or(&self.title))?;
        for place in &self.errors {
            let pointer = if place.pointer.is_empty() { "/" } else { &place.pointer };
            write!(f, "\n  {pointer}: {}", place.detail)?;
        }
        if !self.code.is_empty() {
            write!(f, "\n  {} ({})", self.code, self.status)?;
        }
        if let Some(id) = self.request_id.as_deref().filter(|_| self.status >= 500) {
            write!(f, ", request {id}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Refused {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_names_every_place() {
        let body = r#"{"title": "Bad Request", "status": 400, "detail": "two fields are wrong", "code": "VALIDATION_ERROR",
            "requestId": "r1", "errors": [{"pointer": "/name", "detail": "is missing"}, {"pointer": "/x", "detail": "is unknown"}]}"#;
        let said = Refused::read(400, body).to_string();
        assert_eq!(
            said,
            "two fields are wrong\n  /name: is missing\n  /x: is unknown\n  VALIDATION_ERROR (400)"
        );
    }

    #[test]
    fn what_is_no_problem_document_is_told_as_it_is() {
        assert_eq!(Refused::read(502, "bad gateway\n").to_string(), "bad gateway");
    }
}
