//! What a request carries: a body, a query, the variables of its path. Each is checked whole before a handler sees it.

use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, header};
use bytes::Bytes;
use serde::de::DeserializeOwned;
use utoipa::ToSchema;

use super::problem::{Code, Problem};
use super::route::{Named, Part, Shape};
use super::{Api, json};

/// The longest body.
pub const BODY_MAX: usize = 1 << 20;

/// A JSON body that fits the schema of its type; unknown fields are refused.
#[derive(Debug, Clone)]
pub struct Body<T>(pub T);

/// The same, and no body at all is the default.
#[derive(Debug, Clone)]
pub struct MaybeBody<T>(pub T);

/// A query that fits the schema of its type, an object of its parameters; unknown names are refused.
#[derive(Debug, Clone)]
pub struct Query<T>(pub T);

/// The variables of the path, in order. What cannot be one names nothing: 404.
#[derive(Debug, Clone)]
pub struct Path<T>(pub T);

impl<T: ToSchema + DeserializeOwned> FromRequest<Api> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, api: &Api) -> Result<Self, Problem> {
        let (head, bytes) = read(request).await?;
        declared(&head)?;
        api.schemas().read(json::parse(&bytes)?).map(Self)
    }
}

impl<T: ToSchema + DeserializeOwned + Default> FromRequest<Api> for MaybeBody<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, api: &Api) -> Result<Self, Problem> {
        let (head, bytes) = read(request).await?;
        if bytes.is_empty() {
            return Ok(Self(T::default()));
        }
        declared(&head)?;
        api.schemas().read(json::parse(&bytes)?).map(Self)
    }
}

async fn read(request: Request) -> Result<(Parts, Bytes), Problem> {
    let (head, body) = request.into_parts();
    let bytes = axum::body::to_bytes(body, BODY_MAX).await;
    let bytes = bytes.map_err(|_| Problem::new(Code::PayloadTooLarge, too_long()))?;
    Ok((head, bytes))
}

/// The sentence of 413.
pub(super) fn too_long() -> String {
    format!("the body is longer than the {BODY_MAX} bytes that are read here")
}

/// 415 unless the body is declared as JSON, in UTF-8 where it says so.
fn declared(head: &Parts) -> Result<(), Problem> {
    let kind = media_type(&head.headers).unwrap_or_default();
    let merge = head.method == Method::PATCH && kind == "application/merge-patch+json";
    if kind == "application/json" || merge {
        return Ok(());
    }
    Err(Problem::new(Code::UnsupportedMediaType, "the body has to be `application/json`"))
}

/// The media type in lower case without parameters; nothing where a charset says that it is not UTF-8.
fn media_type(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(header::CONTENT_TYPE)?.to_str().ok()?.to_ascii_lowercase();
    let mut parts = value.split(';').map(str::trim);
    let kind = parts.next()?.to_owned();
    let foreign = parts.any(|parameter| {
        parameter.strip_prefix("charset=").is_some_and(|charset| charset.trim_matches('"') != "utf-8")
    });
    (!foreign).then_some(kind)
}

impl<T: ToSchema + DeserializeOwned> FromRequestParts<Api> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Problem> {
        let pairs = axum::extract::Query::<Vec<(String, String)>>::try_from_uri(&parts.uri);
        let pairs = pairs.map(|pairs| pairs.0).unwrap_or_default();
        api.schemas().query(pairs).map(Self)
    }
}

impl<T: DeserializeOwned + Send> FromRequestParts<Api> for Path<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Problem> {
        let path = axum::extract::Path::<T>::from_request_parts(parts, api).await;
        path.map(|path| Self(path.0)).map_err(|_| Problem::of(Code::NotFound))
    }
}

impl<T: ToSchema> Part for Body<T> {
    fn describe(shape: &mut Shape) {
        shape.body = Some(Named::of::<T>());
    }
}

impl<T: ToSchema> Part for MaybeBody<T> {
    fn describe(shape: &mut Shape) {
        shape.body = Some(Named::of::<T>());
        shape.body_optional = true;
    }
}

impl<T: ToSchema> Part for Query<T> {
    fn describe(shape: &mut Shape) {
        shape.query = Some(Named::of::<T>());
    }
}

impl<T> Part for Path<T> {
    fn describe(_: &mut Shape) {}
}
