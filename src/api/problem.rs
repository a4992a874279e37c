//! Problem documents (RFC 9457). Handlers return [`Problem`]; only this module knows its form on the wire.
//!
//! 400 is for malformed requests, 422 for semantically invalid ones. An internal cause is logged here once, and the caller
//! gets a fixed sentence with the request id.

pub mod code;

use std::time::Duration;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

pub use code::Code;
use portcullis_access::{Denied, TokenError};
use portcullis_store::StoreError;

/// The media type of every problem.
pub const MEDIA_TYPE: &str = "application/problem+json";

/// One thing that is wrong with a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Fault {
    /// Where: a JSON pointer into the body, `?name` for a query parameter, `name:` for a header.
    #[schema(example = "/labels/tier")]
    pub pointer: String,
    /// What is wrong, in a sentence without the offending value.
    #[schema(example = "is longer than 63 characters")]
    pub detail: String,
}

/// A refusal on its way to the caller.
#[derive(Debug, Clone)]
pub struct Problem {
    code: Code,
    detail: String,
    errors: Vec<Fault>,
    retry_after: Option<Duration>,
}

/// The document, as it is sent. The request's id is filled in on the way out, by [`super::request_id`].
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Problem)]
pub struct Document {
    /// The code as a reference into the page of all codes.
    #[schema(example = "/docs#CONFLICT")]
    pub r#type: String,
    /// The code in words; the same for every problem of this code.
    #[schema(example = "Conflict")]
    pub title: String,
    /// The HTTP status.
    #[schema(example = 409, minimum = 400, maximum = 599)]
    pub status: u16,
    /// What happened here, in a sentence.
    #[schema(example = "a cluster named `eu-1` exists already")]
    pub detail: String,
    /// Stable, and what programs should look at.
    #[schema(example = "CONFLICT")]
    pub code: String,
    /// Of the request; the same as in the header `x-request-id`, in the log and in the audit.
    #[schema(example = "0198c5f2-7a4e-7c31-b1f5-4a3a7c1d2e9f")]
    pub request_id: String,
    /// With a validation or a meaning: everything that is wrong, at once.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    pub errors: Vec<Fault>,
}

// === impl Problem ===

impl Problem {
    /// A problem with a sentence of its own: lower case, no final period, what the caller gave in backticks.
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into(), errors: Vec::new(), retry_after: code.retry_after() }
    }

    /// 400: every fault of shape there is; never empty.
    pub fn invalid(errors: Vec<Fault>) -> Self {
        Self::faults(Code::ValidationError, errors)
    }

    /// A code that speaks of fields (422), with every field it speaks of.
    pub fn faults(code: Code, errors: Vec<Fault>) -> Self {
        let detail = match errors.as_slice() {
            [one] if one.pointer.is_empty() => one.detail.clone(),
            [one] => format!("`{}` {}", one.pointer, one.detail),
            many => format!("the request has {} errors", many.len()),
        };
        Self { errors, ..Self::new(code, detail) }
    }

    /// One fault of meaning at this pointer.
    pub fn meaning(code: Code, pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::faults(code, vec![Fault::new(pointer, detail)])
    }

    /// A problem with the meaning of its code as detail.
    pub fn of(code: Code) -> Self {
        let sentence = code.meaning().trim_end_matches('.');
        let mut letters = sentence.chars();
        let first = letters.next().map(|letter| letter.to_ascii_lowercase());
        Self::new(code, first.into_iter().chain(letters).collect::<String>())
    }

    /// 500. The cause goes to the log and not to the caller.
    pub fn internal(cause: &(dyn std::error::Error + 'static)) -> Self {
        let causes = std::iter::successors(Some(cause), |cause| cause.source());
        let chain: Vec<_> = causes.map(ToString::to_string).collect();
        tracing::error!(error = chain.join(": "), "a request failed with an internal error");
        Self::new(
            Code::Internal,
            "an internal error occurred; the server's log has details under this request id",
        )
    }

    /// The caller may come again after this long.
    #[must_use]
    pub fn after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }

    /// What programs look at.
    pub fn code(&self) -> Code {
        self.code
    }

    /// The sentence.
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// Everything that is wrong with the request, where the code speaks of that.
    pub fn errors(&self) -> &[Fault] {
        &self.errors
    }
}

impl Fault {
    /// A fault; see the fields.
    pub fn new(pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { pointer: pointer.into(), detail: detail.into() }
    }
}

/// Carried by the response until the request's id is known; see [`super::request_id`].
#[derive(Debug, Clone)]
pub(super) struct Unsigned(pub(super) Problem);

impl Problem {
    /// The document, with the id of the request it answers.
    pub(crate) fn document(&self, request_id: &str) -> Document {
        Document {
            r#type: format!("/docs#{}", self.code.as_str()),
            title: self.code.title().to_owned(),
            status: self.code.status().as_u16(),
            detail: self.detail.clone(),
            code: self.code.as_str().to_owned(),
            request_id: request_id.to_owned(),
            errors: self.errors.clone(),
        }
    }

    /// The whole answer, signed with the id of the request.
    pub fn answer(&self, request_id: &str) -> Response {
        let body = serde_json::to_vec(&self.document(request_id)).unwrap_or_default();
        let mut response = Response::new(body.into());
        *response.status_mut() = self.code.status();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
        if let Some(wait) = self.retry_after {
            // Whole seconds, rounded up: a caller that comes a moment early is refused again.
            let seconds = wait.as_millis().div_ceil(1_000).max(1);
            headers
                .insert(header::RETRY_AFTER, HeaderValue::from(u64::try_from(seconds).unwrap_or(u64::MAX)));
        }
        if self.code.status() == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = Response::default();
        *response.status_mut() = self.code.status();
        response.extensions_mut().insert(Unsigned(self));
        response
    }
}

/// The kinds of things that are not found, in the words of the ledger.
const NOT_FOUND: &[(&str, Code)] = &[
    ("cluster", Code::ClusterNotFound),
    ("tenant", Code::TenantNotFound),
    ("project", Code::ProjectNotFound),
    ("app", Code::AppNotFound),
    ("sandbox", Code::SandboxNotFound),
    ("catalog item", Code::CatalogItemNotFound),
    ("catalog version", Code::CatalogItemNotFound),
    ("policy", Code::PolicyNotFound),
    ("policy set", Code::PolicyNotFound),
    ("policy revision", Code::PolicyNotFound),
    ("exception", Code::ExceptionNotFound),
    ("breakglass", Code::BreakglassNotFound),
    ("scan", Code::ScanNotFound),
];

/// Conflicts that have a code of their own, by the word that the ledger gives them.
const CONFLICTS: &[(&str, Code)] = &[
    ("tenant.suspended", Code::TenantSuspended),
    ("registry", Code::RegistryNotAllowed),
    ("quota", Code::QuotaExceeded),
    ("name.length", Code::NameTooLong),
    ("sandbox.target", Code::SandboxTargetForbidden),
    ("policy", Code::PolicyInvalid),
];

impl From<Denied> for Problem {
    fn from(denied: Denied) -> Self {
        match denied {
            Denied::Forbidden { .. } => Self::new(Code::Forbidden, denied.to_string()),
            // A tenant of others and an absent tenant look the same.
            Denied::Hidden => Self::new(Code::TenantNotFound, StoreError::NotFound("tenant").to_string()),
        }
    }
}

impl From<TokenError> for Problem {
    fn from(error: TokenError) -> Self {
        let code = match error {
            TokenError::Expired => Code::TokenExpired,
            TokenError::NoKeys => Code::ServiceUnavailable,
            _ => Code::Unauthorized,
        };
        Self::new(code, error.to_string())
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        let sentence = error.to_string();
        match error {
            StoreError::NotFound(what) => {
                let code = NOT_FOUND.iter().find(|(word, _)| *word == what);
                Self::new(code.map_or(Code::NotFound, |(_, code)| *code), sentence)
            }
            StoreError::Conflict { constraint, detail } => {
                let code = CONFLICTS.iter().find(|(word, _)| *word == constraint);
                Self::new(code.map_or(Code::Conflict, |(_, code)| *code), detail)
            }
            StoreError::Dependents { .. } => Self::new(Code::HasDependents, sentence),
            StoreError::Exhausted { .. } | StoreError::Reference { .. } => {
                Self::new(Code::Conflict, sentence)
            }
            StoreError::Stale => Self::new(Code::PreconditionFailed, sentence),
            StoreError::Refused { constraint, .. } => {
                // The schema of the request should have caught it; the row was not written either way.
                tracing::warn!(constraint, "the database rejected a value that the API accepted");
                let fault = Fault::new("", "holds a value that the ledger rejects");
                Self::faults(Code::UnprocessableEntity, vec![fault])
            }
            StoreError::Unreadable { problems } => {
                // The route should have caught it, with a pointer into the body; nothing was committed either way.
                tracing::warn!(
                    problem = problems.first(),
                    "a commit was rejected because gates could not read the snapshot"
                );
                let faults = problems.into_iter().map(|problem| Fault::new("", problem)).collect();
                Self::faults(Code::UnprocessableEntity, faults)
            }
            StoreError::Migrating | StoreError::RolledBack { .. } => {
                Self::new(Code::ServiceUnavailable, sentence)
            }
            StoreError::Unavailable { .. } => {
                tracing::warn!(error = sentence, "the ledger is unavailable");
                Self::of(Code::ServiceUnavailable)
            }
            error => Self::internal(&error),
        }
    }
}
