//! What a request carries: a body, a query, path variables and `?dryRun`. Each is checked against its schema before the
//! handler runs.

use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::uri::PathAndQuery;
use axum::http::{HeaderMap, Method, Uri, header};
use bytes::Bytes;
use serde::de::DeserializeOwned;
use utoipa::ToSchema;

use super::problem::{Code, Fault, Problem};
use super::route::{NamedSchema, Signature, SignaturePart};
use super::{Api, json};

/// The longest body.
pub const BODY_MAX: usize = 1 << 20;

/// A JSON body that fits the schema of its type; unknown fields are refused.
#[derive(Debug, Clone)]
pub struct Body<T>(pub T);

/// As [`Body`], but an absent body is the default value.
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
    let bytes = bytes.map_err(|_| Problem::new(Code::PayloadTooLarge, body_too_long()))?;
    Ok((head, bytes))
}

pub(super) fn body_too_long() -> String {
    format!("the body is longer than {BODY_MAX} bytes")
}

/// 415 unless the body is declared as JSON in UTF-8.
fn declared(head: &Parts) -> Result<(), Problem> {
    let kind = media_type(&head.headers).unwrap_or_default();
    let merge = head.method == Method::PATCH && kind == "application/merge-patch+json";
    if kind == "application/json" || merge {
        return Ok(());
    }
    Err(Problem::new(Code::UnsupportedMediaType, "the body must be declared as `application/json`"))
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

impl<T: ToSchema> SignaturePart for Body<T> {
    fn describe(signature: &mut Signature) {
        signature.body = Some(NamedSchema::of::<T>());
    }
}

impl<T: ToSchema> SignaturePart for MaybeBody<T> {
    fn describe(signature: &mut Signature) {
        signature.body = Some(NamedSchema::of::<T>());
        signature.body_optional = true;
    }
}

impl<T: ToSchema> SignaturePart for Query<T> {
    fn describe(signature: &mut Signature) {
        signature.query = Some(NamedSchema::of::<T>());
    }
}

impl<T> SignaturePart for Path<T> {
    fn describe(_: &mut Signature) {}
}

/// The query parameter of every route that changes something.
pub(crate) const DRY_RUN: &str = "dryRun";

/// Removes `dryRun` from the query before the route's schema sees it, and returns its value.
///
/// # Errors
/// 400 for another word than `true` or `false`, or the parameter twice.
pub(crate) fn take_dry_run(mut request: Request) -> Result<(Request, bool), Problem> {
    let Some(query) = request.uri().query() else { return Ok((request, false)) };
    let own = |pair: &&str| pair.split('=').next() == Some(DRY_RUN);
    let given: Vec<String> = query.split('&').filter(own).map(str::to_owned).collect();
    let dry = match given.as_slice() {
        [] => return Ok((request, false)),
        [one] if one == "dryRun=true" => true,
        [one] if one == "dryRun=false" => false,
        _ => {
            return Err(Problem::invalid(vec![Fault::new(
                format!("?{DRY_RUN}"),
                "must be `true` or `false`",
            )]));
        }
    };
    let rest: Vec<&str> = query.split('&').filter(|pair| !own(pair)).collect();
    let path = request.uri().path();
    let path = if rest.is_empty() { path.to_owned() } else { format!("{path}?{}", rest.join("&")) };
    let mut parts = request.uri().clone().into_parts();
    parts.path_and_query = PathAndQuery::try_from(path).ok();
    if let Ok(uri) = Uri::from_parts(parts) {
        *request.uri_mut() = uri;
    }
    Ok((request, dry))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(uri: &str) -> Option<(String, bool)> {
        let request = Request::builder().uri(uri).body(axum::body::Body::empty()).unwrap();
        take_dry_run(request).ok().map(|(request, dry)| (request.uri().to_string(), dry))
    }

    #[test]
    fn dry_run_is_removed_and_other_parameters_stay() {
        let same = |uri: &str| Some((uri.to_owned(), false));
        assert_eq!(taken("/x"), same("/x"));
        assert_eq!(taken("/x?a=1&b=2"), same("/x?a=1&b=2"));
        assert_eq!(taken("/x?dryRun=true"), Some(("/x".to_owned(), true)));
        assert_eq!(taken("/x?a=1&dryRun=true&b=2"), Some(("/x?a=1&b=2".to_owned(), true)));
        assert_eq!(taken("/x?dryRun=false"), same("/x"));
        for wrong in ["/x?dryRun", "/x?dryRun=All", "/x?dryRun=true&dryRun=true"] {
            assert_eq!(taken(wrong), None, "{wrong}");
        }
    }
}
