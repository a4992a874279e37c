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

            /// The word on the wire.
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

            /// What it says, in a sentence.
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$name => $meaning,)* }
            }
        }
    };
}

codes! {
    ValidationError BAD_REQUEST "VALIDATION_ERROR" "Invalid request" "The request has a field that is unknown, missing, of the wrong type, out of bounds or not in its grammar; `errors` names every one."
    MalformedJson BAD_REQUEST "MALFORMED_JSON" "Malformed JSON" "The body is not JSON, nests deeper than 64, or has a key twice in one object; the sentence says at which line and column."
    Unauthorized UNAUTHORIZED "UNAUTHORIZED" "Not signed in" "There is no bearer token, or it is none that this server trusts."
    TokenExpired UNAUTHORIZED "TOKEN_EXPIRED" "Token expired" "The token was good, and its time is over."
    TokenRevoked UNAUTHORIZED "TOKEN_REVOKED" "Token revoked" "The token was good, and has been revoked; or the membership that it was minted for has ended."
    Forbidden FORBIDDEN "FORBIDDEN" "Forbidden" "The caller is known, and its role may not do this."
    TenantSuspended FORBIDDEN "TENANT_SUSPENDED" "Tenant suspended" "The tenant is suspended: it may read and delete, and change nothing else."
    NotFound NOT_FOUND "NOT_FOUND" "Not found" "There is nothing at this path, or nothing the caller may know of."
    TenantNotFound NOT_FOUND "TENANT_NOT_FOUND" "Tenant not found" "There is no such tenant, or it is another's."
    ProjectNotFound NOT_FOUND "PROJECT_NOT_FOUND" "Project not found" "There is no such project in this tenant, or it is none of the caller's."
    AppNotFound NOT_FOUND "APP_NOT_FOUND" "App not found" "There is no such app in this project."
    ClusterNotFound NOT_FOUND "CLUSTER_NOT_FOUND" "Cluster not found" "There is no such cluster, or the caller's tenant is not on it."
    SandboxNotFound NOT_FOUND "SANDBOX_NOT_FOUND" "Sandbox not found" "There is no such sandbox in this project, or it is another's."
    CatalogItemNotFound NOT_FOUND "CATALOG_ITEM_NOT_FOUND" "Catalog item not found" "There is no such item, or no such version of it, in the catalog of the caller."
    PolicyNotFound NOT_FOUND "POLICY_NOT_FOUND" "Policy not found" "There is no such policy, policy set or revision."
    ExceptionNotFound NOT_FOUND "EXCEPTION_NOT_FOUND" "Exception not found" "There is no such exception, or it is another tenant's."
    BreakglassNotFound NOT_FOUND "BREAKGLASS_NOT_FOUND" "Break-glass not found" "There is no such break-glass document."
    ScanNotFound NOT_FOUND "SCAN_NOT_FOUND" "Scan not found" "There is no such scan."
    MethodNotAllowed METHOD_NOT_ALLOWED "METHOD_NOT_ALLOWED" "Method not allowed" "The path exists, and does not know this method; `Allow` lists those it knows."
    RequestTimeout REQUEST_TIMEOUT "REQUEST_TIMEOUT" "Request timeout" "The body of the request came too slowly."
    Conflict CONFLICT "CONFLICT" "Conflict" "Something of this name exists already, or the state of the thing does not allow this."
    HasDependents CONFLICT "HAS_DEPENDENTS" "Has dependents" "Other things depend on it; they have to go first."
    PreconditionFailed PRECONDITION_FAILED "PRECONDITION_FAILED" "Precondition failed" "It has changed since the version that `If-Match` names."
    PayloadTooLarge PAYLOAD_TOO_LARGE "PAYLOAD_TOO_LARGE" "Payload too large" "The body is longer than 1 MiB."
    UnsupportedMediaType UNSUPPORTED_MEDIA_TYPE "UNSUPPORTED_MEDIA_TYPE" "Unsupported media type" "The body is not declared as `application/json`."
    UnprocessableEntity UNPROCESSABLE_ENTITY "UNPROCESSABLE_ENTITY" "Unprocessable" "The request is well formed and cannot be true here; `errors` says where."
    RegistryNotAllowed UNPROCESSABLE_ENTITY "REGISTRY_NOT_ALLOWED" "Registry not allowed" "A registry or an image lies outside of what the platform, or the tenant, admits."
    SandboxTargetForbidden UNPROCESSABLE_ENTITY "SANDBOX_TARGET_FORBIDDEN" "Sandbox is no target" "Apps and catalog items are never installed into a sandbox."
    QuotaExceeded UNPROCESSABLE_ENTITY "QUOTA_EXCEEDED" "Quota exceeded" "The tenant has as many of these as its plan allows."
    NameTooLong UNPROCESSABLE_ENTITY "NAME_TOO_LONG" "Name too long" "The name of the namespace, composed from the slugs, would be longer than 63 characters."
    PolicyInvalid UNPROCESSABLE_ENTITY "POLICY_INVALID" "Policy invalid" "The policies do not compile or fail their tests, or a policy set does not tighten; `errors` says what `policy check` would."
    MasterKeyMissing UNPROCESSABLE_ENTITY "MASTER_KEY_MISSING" "No master key" "The server keeps no secrets, since it was started without `--master-key-file`."
    RateLimitExceeded TOO_MANY_REQUESTS "RATE_LIMIT_EXCEEDED" "Rate limit exceeded" "The caller asks more often than it may; `Retry-After` says when to come again."
    Internal INTERNAL_SERVER_ERROR "INTERNAL" "Internal error" "Something is wrong on our side; the log knows more under the request's id."
    ServiceUnavailable SERVICE_UNAVAILABLE "SERVICE_UNAVAILABLE" "Service unavailable" "The ledger cannot be reached now, or is too busy; `Retry-After` says when to come again."
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
