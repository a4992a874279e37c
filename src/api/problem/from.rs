//! What other rooms refuse, as problems: one table, so that a refusal has the same code wherever it happens.

use super::{Code, Fault, Problem};
use portcullis_access::Denied;
use portcullis_access::token::TokenError;
use portcullis_store::StoreError;

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
            // Another's and nobody's look the same.
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
                tracing::warn!(constraint, "the database refused a value that the API let through");
                let fault = Fault::new("", "holds a value that the ledger does not take");
                Self::faults(Code::UnprocessableEntity, vec![fault])
            }
            StoreError::Unreadable { problems } => {
                // The route should have caught it, with a pointer into the body; nothing was committed either way.
                tracing::warn!(
                    problem = problems.first(),
                    "a commit was refused that gates could not have read"
                );
                let faults = problems.into_iter().map(|problem| Fault::new("", problem)).collect();
                Self::faults(Code::UnprocessableEntity, faults)
            }
            StoreError::Migrating | StoreError::TurnedBack { .. } => {
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
