//! An AdmissionReview as it comes in: the request's header, typed, and its objects, built as far as the law reads.

mod read;

use std::sync::Arc;

use bytes::Bytes;

use self::read::Request;
use super::workload;
use portcullis_policy::select::Wanted;
use portcullis_policy::{Operation, Plan, Query, Value};
use portcullis_strict_json as json;
use portcullis_tenancy::snapshot::Kind as NamespaceKind;

pub use portcullis_telemetry::words::Endpoint;

/// `group/version, Kind` or `group/version/resource`, as the request names it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Gvk {
    /// API group; empty for the core group.
    pub group: String,
    /// API version.
    pub version: String,
    /// Kind, in `kind`.
    pub kind: String,
    /// Plural resource, in `resource`.
    pub resource: String,
}

/// Who asks, as the API server authenticated or impersonated them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UserInfo {
    /// Empty for anonymous callers of a test; never matched by prefix.
    pub username: String,
    /// Group names, compared whole; null is none.
    pub groups: Vec<String>,
}

/// Subresources of a Namespace, which its policies cover.
pub const KNOWN_OF_NAMESPACES: [&str; 2] = ["status", "finalize"];

/// The request without its objects.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Header {
    /// Echoed in the answer; 1 to 256 bytes.
    pub uid: String,
    /// What the objects are.
    pub kind: Gvk,
    /// What is written.
    pub resource: Gvk,
    /// Empty for the object itself.
    pub subresource: String,
    /// Object name; empty with `generateName` and in a collection delete.
    pub name: String,
    /// Namespace; empty for what has none.
    pub namespace: String,
    /// The word as sent.
    pub operation: String,
    /// Who asks.
    pub user: UserInfo,
    /// Whether nothing will be stored.
    pub dry_run: bool,
}

impl Header {
    /// What policies are looked up by, for a namespace of a kind.
    pub fn query(&self, operation: Operation, kind: NamespaceKind) -> Query<'_> {
        Query {
            operation,
            group: &self.resource.group,
            resource: &self.resource.resource,
            subresource: &self.subresource,
            kind,
            layout: workload::layout(self),
        }
    }

    /// The operation, if it is one we know.
    pub fn operation(&self) -> Option<Operation> {
        Operation::parse(&self.operation)
    }

    /// Whether the object under review is a Namespace.
    pub fn is_namespace(&self) -> bool {
        self.resource.group.is_empty() && self.resource.resource == "namespaces"
    }

    /// Whether it is a subresource of a Namespace that no policy is written for.
    pub fn is_unknown_form_of_namespace(&self) -> bool {
        self.is_namespace()
            && !self.subresource.is_empty()
            && !KNOWN_OF_NAMESPACES.contains(&self.subresource.as_str())
    }

    /// Whether the object under review is a Secret.
    pub fn is_secret(&self) -> bool {
        self.resource.group.is_empty() && self.resource.resource == "secrets"
    }
}

/// Why a body is no review. All of them are HTTP 400: without a uid there is nothing to echo.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// Not UTF-8.
    #[error("the body is not UTF-8 at byte {0}")]
    Utf8(usize),
    /// Not JSON, nested beyond 10,000, a name longer than Kubernetes' bound, a key twice, a number out of range, or a field of the wrong type.
    #[error("the body is no AdmissionReview: {0}")]
    Json(#[from] json::Error),
    /// Another kind or version.
    #[error("`{0}` is not supported; send `admission.k8s.io/v1`, kind `AdmissionReview`")]
    Version(String),
    /// No request.
    #[error("`request` is missing")]
    NoRequest,
    /// No uid.
    #[error("`request.uid` is missing, empty or longer than 256 bytes")]
    NoUid,
}

/// A decoded review.
#[derive(Debug, Clone)]
pub struct Review {
    /// The header.
    pub header: Header,
    /// Which endpoint was asked.
    pub endpoint: Endpoint,
    /// `request.object`, as far as it was wanted; `None` where absent or null.
    pub object: Option<Value>,
    /// `request.oldObject`, likewise.
    pub old_object: Option<Value>,
    /// The other fields of the request that were wanted, by key.
    pub fields: Vec<(Value, Value)>,
    /// The body, for the rare paths that need all of it.
    pub body: Bytes,
    /// What of the body was built.
    pub built: Arc<Wanted>,
    /// Objects and lists that are open at once somewhere in the body; 0 where it were at most 127.
    pub depth: u16,
    /// Whether something of what was to be built lies too deep, and is null.
    pub cut: bool,
}

impl Review {
    /// Whether what a plan reads was built.
    pub fn covers(&self, plan: &Plan) -> bool {
        let built = &self.built;
        let everything =
            [&built.request, &built.object, &built.old_object].iter().all(|reads| reads.is_everything());
        everything || plan.wanted.get().is_some_and(|wanted| Arc::ptr_eq(wanted, built))
    }

    /// The same review with everything built.
    ///
    /// # Errors
    /// None that the first decoding has not had.
    pub fn whole(&self) -> Result<Self, DecodeError> {
        decode(self.body.clone(), self.endpoint, &|_| Wanted::everything())
    }
}

/// Decodes a body. `want` is asked once the header is known.
///
/// # Errors
/// The body is no review; see [`DecodeError`].
pub fn decode(
    body: Bytes,
    endpoint: Endpoint,
    want: &dyn Fn(&Header) -> Arc<Wanted>,
) -> Result<Review, DecodeError> {
    let text = std::str::from_utf8(&body).map_err(|error| DecodeError::Utf8(error.valid_up_to()))?;
    let found = read::envelope(text, want)?;
    if found.api_version != "admission.k8s.io/v1" || found.kind != "AdmissionReview" {
        return Err(DecodeError::Version(shorten(&format!("{}, kind {}", found.api_version, found.kind))));
    }
    let Some(request) = found.request else { return Err(DecodeError::NoRequest) };
    if request.header.uid.is_empty() || request.header.uid.len() > 256 {
        return Err(DecodeError::NoUid);
    }
    let Request { header, object, old_object, fields, built, cut } = request;
    let depth = found.depth;
    Ok(Review { header, endpoint, object, old_object, fields, body, built, depth, cut })
}

fn shorten(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(100).collect()
}
