//! Success responses of handlers: 200, 201 with `Location`, 202, 204.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use serde::Serialize;
use utoipa::ToSchema;

use super::problem::Problem;
use super::route::{NamedSchema, Signature, SignaturePart, Success};

/// 200 with a value.
#[derive(Debug, Clone)]
pub struct Answer<T> {
    value: T,
    version: Option<i64>,
}

/// 201 with what was made and where it is.
#[derive(Debug, Clone)]
pub struct Created<T> {
    value: T,
    location: String,
    version: Option<i64>,
}

/// 202: stored, and carried out later.
#[derive(Debug, Clone)]
pub struct Accepted<T>(pub T);

/// 204.
#[derive(Debug, Clone, Copy)]
pub struct NoContent;

/// Either of two answers.
#[derive(Debug, Clone)]
pub enum Either<A, B> {
    /// One.
    This(A),
    /// The other.
    That(B),
}

/// A serialized response, to send now or to replay later.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredAnswer {
    /// 200, 201, 202 or 204.
    pub status: u16,
    /// Header `Location`.
    pub location: Option<String>,
    /// Header `ETag`.
    pub etag: Option<String>,
    /// JSON, or nothing.
    pub body: String,
}

/// A response that can be serialized.
pub trait Reply {
    /// Down to its bytes.
    ///
    /// # Errors
    /// 500 where it cannot be written as JSON.
    fn stored(&self) -> Result<StoredAnswer, Problem>;
}

// === impl Answer ===

impl<T> Answer<T> {
    /// A value without a version.
    pub fn new(value: T) -> Self {
        Self { value, version: None }
    }

    /// A value whose version `If-Match` may name.
    pub fn versioned(value: T, version: i64) -> Self {
        Self { value, version: Some(version) }
    }
}

impl<T> Created<T> {
    /// What was made, with its first version, at this path.
    pub fn at(location: impl Into<String>, value: T, version: i64) -> Self {
        Self { value, location: location.into(), version: Some(version) }
    }

    /// The same for what has no versions, because it never changes.
    pub fn fixed_at(location: impl Into<String>, value: T) -> Self {
        Self { value, location: location.into(), version: None }
    }
}

fn json(value: &impl Serialize) -> Result<String, Problem> {
    serde_json::to_string(value).map_err(|error| Problem::internal(&error))
}

impl<T: Serialize> Reply for Answer<T> {
    fn stored(&self) -> Result<StoredAnswer, Problem> {
        let etag = self.version.map(super::etag::format);
        Ok(StoredAnswer { status: 200, location: None, etag, body: json(&self.value)? })
    }
}

impl<T: Serialize> Reply for Created<T> {
    fn stored(&self) -> Result<StoredAnswer, Problem> {
        let etag = self.version.map(super::etag::format);
        Ok(StoredAnswer {
            status: 201,
            location: Some(self.location.clone()),
            etag,
            body: json(&self.value)?,
        })
    }
}

impl<T: Serialize> Reply for Accepted<T> {
    fn stored(&self) -> Result<StoredAnswer, Problem> {
        Ok(StoredAnswer { status: 202, location: None, etag: None, body: json(&self.0)? })
    }
}

impl Reply for NoContent {
    fn stored(&self) -> Result<StoredAnswer, Problem> {
        Ok(StoredAnswer { status: 204, location: None, etag: None, body: String::new() })
    }
}

impl<A: Reply, B: Reply> Reply for Either<A, B> {
    fn stored(&self) -> Result<StoredAnswer, Problem> {
        match self {
            Self::This(a) => a.stored(),
            Self::That(b) => b.stored(),
        }
    }
}

// === impl StoredAnswer ===

impl IntoResponse for StoredAnswer {
    fn into_response(self) -> Response {
        let empty = self.body.is_empty();
        let mut response = Response::new(Bytes::from(self.body).into());
        *response.status_mut() = StatusCode::from_u16(self.status).unwrap_or(StatusCode::OK);
        let headers = response.headers_mut();
        if !empty {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        // Ids and slugs are ASCII, so neither can fail; were it otherwise, the answer goes without.
        for (name, value) in [(header::LOCATION, self.location), (header::ETAG, self.etag)] {
            if let Some(Ok(value)) = value.map(HeaderValue::try_from) {
                headers.insert(name, value);
            }
        }
        response
    }
}

macro_rules! into_response {
    ($($reply:ty [$($generic:ident)*])*) => {$(
        impl<$($generic,)*> IntoResponse for $reply
        where
            $reply: Reply,
        {
            fn into_response(self) -> Response {
                self.stored().into_response()
            }
        }
    )*};
}

into_response! { Answer<T> [T] Created<T> [T] Accepted<T> [T] NoContent [] Either<A, B> [A B] }

// === impl SignaturePart ===

const JSON: &str = "application/json";

fn success<T: ToSchema>(status: u16) -> Success {
    Success {
        status,
        body: Some((JSON, Some(NamedSchema::of::<T>()))),
        location: status == 201,
        etag: status < 202,
    }
}

impl<T: ToSchema> SignaturePart for Answer<T> {
    fn describe(signature: &mut Signature) {
        signature.success.push(success::<T>(200));
    }
}

impl<T: ToSchema> SignaturePart for Created<T> {
    fn describe(signature: &mut Signature) {
        signature.success.push(success::<T>(201));
    }
}

impl<T: ToSchema> SignaturePart for Accepted<T> {
    fn describe(signature: &mut Signature) {
        signature.success.push(success::<T>(202));
    }
}

impl SignaturePart for NoContent {
    fn describe(signature: &mut Signature) {
        signature.success.push(Success { status: 204, body: None, location: false, etag: false });
    }
}

impl<A: SignaturePart, B: SignaturePart> SignaturePart for Either<A, B> {
    fn describe(signature: &mut Signature) {
        A::describe(signature);
        B::describe(signature);
    }
}
