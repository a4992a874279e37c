//! The catalogue of codes. `docs/errors.md` is printed from it, and a test holds the two together.

use std::time::Duration;

use axum::http::StatusCode;

/// The enum and its table from one list, so that a code cannot be without its row.
macro_rules! codes {
    ($($name:ident $status:ident $word:literal $title:literal $meaning:literal)*) => {
        /// Every code that a problem may carry.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code {
            $(#[doc = $meaning] $name,)*
        }

        impl Code {
            /// All of them, in the order of the page.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $word,)* }
            }

            /// The HTTP status that comes with it.
            pub const fn status(self) -> StatusCode {
                match self { $(Self::$name => StatusCode::$status,)* }
            }

            /// A few words; the same for every problem of this code.
            pub const fn title(self) -> &'static str {
                match self { $(Self::$name => $title,)* }
            }

            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$name => $meaning,)* }
            }
        }
    };
}

codes! {
    ValidationError BAD_REQUEST "VALIDATION_ERROR" "Invalid request" "The request is malformed: a field is unknown, missing, of the wrong type or out of bounds; `errors` lists every one."
    MalformedJson BAD_REQUEST "MALFORMED_JSON" "Malformed JSON" "The body is not JSON, nests deeper than 64 levels, or has a duplicate key; `detail` names the line and column."
    Unauthorized UNAUTHORIZED "UNAUTHORIZED" "Unauthorized" "The bearer token is missing or not trusted."
    TokenExpired UNAUTHORIZED "TOKEN_EXPIRED" "Token expired" "The token has expired."
    TokenRevoked UNAUTHORIZED "TOKEN_REVOKED" "Token revoked" "The token was revoked, or the membership that it was minted for has ended."
    Forbidden FORBIDDEN "FORBIDDEN" "Forbidden" "The caller's role does not allow this action."
    TenantSuspended FORBIDDEN "TENANT_SUSPENDED" "Tenant suspended" "The tenant is suspended: only reads and deletes are allowed."
    NotFound NOT_FOUND "NOT_FOUND" "Not found" "Nothing exists at this path, or the caller may not see it."
    TenantNotFound NOT_FOUND "TENANT_NOT_FOUND" "Tenant not found" "The tenant does not exist, or the caller is not a member."
    ProjectNotFound NOT_FOUND "PROJECT_NOT_FOUND" "Project not found" "The project does not exist in this tenant, or the caller has no access to it."
    AppNotFound NOT_FOUND "APP_NOT_FOUND" "App not found" "The app does not exist in this project."
    ClusterNotFound NOT_FOUND "CLUSTER_NOT_FOUND" "Cluster not found" "The cluster does not exist, or the caller's tenant is not on it."
    SandboxNotFound NOT_FOUND "SANDBOX_NOT_FOUND" "Sandbox not found" "The sandbox does not exist in this project, or the caller has no access to it."
    CatalogItemNotFound NOT_FOUND "CATALOG_ITEM_NOT_FOUND" "Catalog item not found" "The item or its version does not exist in the caller's catalog."
    PolicyNotFound NOT_FOUND "POLICY_NOT_FOUND" "Policy not found" "The policy, policy set or revision does not exist."
    ExceptionNotFound NOT_FOUND "EXCEPTION_NOT_FOUND" "Exception not found" "The exception does not exist, or belongs to another tenant."
    BreakglassNotFound NOT_FOUND "BREAKGLASS_NOT_FOUND" "Break-glass not found" "The break-glass document does not exist."
    ScanNotFound NOT_FOUND "SCAN_NOT_FOUND" "Scan not found" "The scan does not exist."
    MethodNotAllowed METHOD_NOT_ALLOWED "METHOD_NOT_ALLOWED" "Method not allowed" "The path does not support this method; `Allow` lists the supported ones."
    RequestTimeout REQUEST_TIMEOUT "REQUEST_TIMEOUT" "Request timeout" "The body of the request arrived too slowly."
    Conflict CONFLICT "CONFLICT" "Conflict" "The name already exists, or the current state does not allow this change."
    HasDependents CONFLICT "HAS_DEPENDENTS" "Has dependents" "Other resources depend on this one; delete them first."
    PreconditionFailed PRECONDITION_FAILED "PRECONDITION_FAILED" "Precondition failed" "The resource has changed since the version in `If-Match`."
    PayloadTooLarge PAYLOAD_TOO_LARGE "PAYLOAD_TOO_LARGE" "Payload too large" "The body is longer than 1 MiB."
    UnsupportedMediaType UNSUPPORTED_MEDIA_TYPE "UNSUPPORTED_MEDIA_TYPE" "Unsupported media type" "The body is not declared as `application/json`."
    UnprocessableEntity UNPROCESSABLE_ENTITY "UNPROCESSABLE_ENTITY" "Unprocessable entity" "The request is well formed but semantically invalid; `errors` lists every error."
    RegistryNotAllowed UNPROCESSABLE_ENTITY "REGISTRY_NOT_ALLOWED" "Registry not allowed" "A registry or an image is outside the registries of the platform or the tenant."
    SandboxTargetForbidden UNPROCESSABLE_ENTITY "SANDBOX_TARGET_FORBIDDEN" "Sandbox target forbidden" "Apps and catalog items cannot be installed into a sandbox."
    QuotaExceeded UNPROCESSABLE_ENTITY "QUOTA_EXCEEDED" "Quota exceeded" "The tenant has reached the quota of its plan."
    NameTooLong UNPROCESSABLE_ENTITY "NAME_TOO_LONG" "Name too long" "The namespace name, composed of the slugs, would be longer than 63 characters."
    PolicyInvalid UNPROCESSABLE_ENTITY "POLICY_INVALID" "Policy invalid" "The policies do not compile, their tests fail, or a tenant's policy set loosens a policy; `errors` lists every error."
    MasterKeyMissing UNPROCESSABLE_ENTITY "MASTER_KEY_MISSING" "Master key missing" "The server cannot store secrets because it runs without `--master-key-file`."
    RateLimitExceeded TOO_MANY_REQUESTS "RATE_LIMIT_EXCEEDED" "Rate limit exceeded" "The rate limit is exceeded; `Retry-After` says when to retry."
    Internal INTERNAL_SERVER_ERROR "INTERNAL" "Internal error" "An internal error occurred; the server's log has details under the request id."
    ServiceUnavailable SERVICE_UNAVAILABLE "SERVICE_UNAVAILABLE" "Service unavailable" "The ledger is unavailable or overloaded; `Retry-After` says when to retry."
}

impl Code {
    /// How long a caller should wait where nothing better is known: a database fails over within seconds.
    pub(crate) const fn retry_after(self) -> Option<Duration> {
        match self {
            Self::ServiceUnavailable => Some(Duration::from_secs(2)),
            Self::RateLimitExceeded => Some(Duration::from_secs(1)),
            _ => None,
        }
    }

    /// The code of this word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|code| code.as_str() == word)
    }
}
