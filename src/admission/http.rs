//! The HTTP side of `/validate` and `/mutate`: path, method, content type, timeout and responses.

use std::time::Duration;

use axum::http::header::{ALLOW, CONTENT_TYPE};
use axum::http::request::Parts;
use axum::http::{HeaderValue, Method, StatusCode};
use axum::response::Response;

use super::response;
use super::review::Endpoint;
use super::verdict::Verdict;

/// The part of the caller's timeout that is reserved for sending the response.
const MARGIN: Duration = Duration::from_millis(200);

/// The endpoint of a request.
///
/// # Errors
/// The response to send: 404 for another path, 405 for another method, 415 for another content type.
#[expect(clippy::result_large_err, reason = "the error is the response to send, and errors are rare")]
pub fn route(head: &Parts) -> Result<Endpoint, Response> {
    let endpoint = match head.uri.path() {
        "/validate" => Endpoint::Validate,
        "/mutate" => Endpoint::Mutate,
        _ => {
            return Err(reject(
                StatusCode::NOT_FOUND,
                "not found; the webhook serves POST /validate and POST /mutate",
            ));
        }
    };
    if head.method != Method::POST {
        let mut response = reject(StatusCode::METHOD_NOT_ALLOWED, "send an AdmissionReview by POST");
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
        return Err(response);
    }
    let essence = head
        .headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next());
    if !essence.is_some_and(|essence| essence.trim().eq_ignore_ascii_case("application/json")) {
        return Err(reject(StatusCode::UNSUPPORTED_MEDIA_TYPE, "the content type must be application/json"));
    }
    Ok(endpoint)
}

/// The caller's `?timeout=3s` less a margin. kube-apiserver rounds it up to whole seconds.
pub fn timeout(head: &Parts) -> Option<Duration> {
    let query = head.uri.query()?;
    let seconds = query.split('&').find_map(|pair| pair.strip_prefix("timeout="))?.strip_suffix('s')?;
    let seconds = Duration::from_secs(seconds.parse().ok().filter(|seconds| (1..=30).contains(seconds))?);
    Some(seconds.saturating_sub(MARGIN))
}

/// The response with a verdict.
pub fn respond(verdict: &Verdict) -> Response {
    let mut response = Response::new(response::encode(verdict).into());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// A plain-text error response, counted by status.
pub fn reject(status: StatusCode, message: &str) -> Response {
    portcullis_telemetry::metrics::http_rejected(status.as_u16());
    let mut response = Response::new(format!("{message}\n").into());
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}
