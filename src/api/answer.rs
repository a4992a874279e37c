//! What a handler answers when all is well: 200, 201 with where it is, 202, 204.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use serde::Serialize;
use utoipa::ToSchema;

use super::problem::Problem;
use super::route::{Named, Part, Shape, Success};

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

/// 202: written down, and done by somebody else.
#[derive(Debug, Clone)]
pub struct Accepted<T>(pub T);

/// 204: it is gone, or done, and there is nothing to say.
#[derive(Debug, Clone, Copy)]
pub struct Done;

/// Either of two answers.
#[derive(Debug, Clone)]
pub enum Either<A, B> {
    /// One.
    This(A),
    /// The other.
    That(B),
}

/// An answer down to its bytes: what is sent, and what is kept to be sent again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plain {
    /// 200, 201, 202 or 204.
    pub status: u16,
    /// Header `Location`.
    pub location: Option<String>,
    /// Header `ETag`.
    pub etag: Option<String>,
    /// JSON, or nothing.
    pub body: String,
}

/// Something that can be answered, and kept.
pub trait Reply {
    /// Down to its bytes.
    ///
    /// # Errors
    /// 500 where it cannot be written as JSON.
    fn plain(&self) -> Result<Plain, Problem>;
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
    fn plain(&self) -> Result<Plain, Problem> {
        let etag = self.version.map(super::etag::format);
        Ok(Plain { status: 200, location: None, etag, body: json(&self.value)? })
    }
}

impl<T: Serialize> Reply for Created<T> {
    fn plain(&self) -> Result<Plain, Problem> {
        let etag = self.version.map(super::etag::format);
        Ok(Plain { status: 201, location: Some(self.location.clone()), etag, body: json(&self.value)? })
    }
}

impl<T: Serialize> Reply for Accepted<T> {
    fn plain(&self) -> Result<Plain, Problem> {
        Ok(Plain { status: 202, location: None, etag: None, body: json(&self.0)? })
    }
}

impl Reply for Done {
    fn plain(&self) -> Result<Plain, Problem> {
        Ok(Plain { status: 204, location: None, etag: None, body: String::new() })
    }
}

impl<A: Reply, B: Reply> Reply for Either<A, B> {
    fn plain(&self) -> Result<Plain, Problem> {
        match self {
            Self::This(a) => a.plain(),
            Self::That(b) => b.plain(),
        }
    }
}

// === impl Plain ===

impl IntoResponse for Plain {
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
                self.plain().into_response()
            }
        }
    )*};
}

into_response! { Answer<T> [T] Created<T> [T] Accepted<T> [T] Done [] Either<A, B> [A B] }

// === impl Part ===

const JSON: &str = "application/json";

fn success<T: ToSchema>(status: u16) -> Success {
    Success {
        status,
        body: Some((JSON, Some(Named::of::<T>()))),
        location: status == 201,
        etag: status < 202,
    }
}

impl<T: ToSchema> Part for Answer<T> {
    fn describe(shape: &mut Shape) {
        shape.success.push(success::<T>(200));
    }
}

impl<T: ToSchema> Part for Created<T> {
    fn describe(shape: &mut Shape) {
        shape.success.push(success::<T>(201));
    }
}

impl<T: ToSchema> Part for Accepted<T> {
    fn describe(shape: &mut Shape) {
        shape.success.push(success::<T>(202));
    }
}

impl Part for Done {
    fn describe(shape: &mut Shape) {
        shape.success.push(Success { status: 204, body: None, location: false, etag: false });
    }
}

impl<A: Part, B: Part> Part for Either<A, B> {
    fn describe(shape: &mut Shape) {
        A::describe(shape);
        B::describe(shape);
    }
}
