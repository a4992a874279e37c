//! `/validate` and `/mutate` as HTTP has them: method, path and content type, then bytes in and bytes out.

use std::time::Duration;

use axum::http::header::{ALLOW, CONTENT_TYPE};
use axum::http::request::Parts;
use axum::http::{HeaderValue, Method, StatusCode};
use axum::response::Response;

use super::response;
use super::review::Endpoint;
use super::verdict::Verdict;

/// What is kept of the caller's patience for the way back.
const MARGIN: Duration = Duration::from_millis(200);

/// Where a request goes; `Err` is the answer to one that goes nowhere.
///
/// # Errors
/// 404 for another path, 405 for another method, 415 for another content type; each with a sentence.
#[expect(
    clippy::result_large_err,
    reason = "a response is what a refusal is, and it is made once a connection at most"
)]
pub fn route(head: &Parts) -> Result<Endpoint, Response> {
    let endpoint = match head.uri.path() {
        "/validate" => Endpoint::Validate,
        "/mutate" => Endpoint::Mutate,
        _ => {
            return Err(refuse(
                StatusCode::NOT_FOUND,
                "there is nothing here; the webhook answers POST /validate and POST /mutate",
            ));
        }
    };
    if head.method != Method::POST {
        let mut response = refuse(StatusCode::METHOD_NOT_ALLOWED, "send an AdmissionReview by POST");
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
        return Err(response);
    }
    let essence = head
        .headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next());
    if !essence.is_some_and(|essence| essence.trim().eq_ignore_ascii_case("application/json")) {
        return Err(refuse(StatusCode::UNSUPPORTED_MEDIA_TYPE, "the content type must be application/json"));
    }
    Ok(endpoint)
}

/// What the caller's `?timeout=3s` leaves for us; kube-apiserver rounds it up to whole seconds.
pub fn patience(head: &Parts) -> Option<Duration> {
    let query = head.uri.query()?;
    let seconds = query.split('&').find_map(|pair| pair.strip_prefix("timeout="))?.strip_suffix('s')?;
    let seconds = Duration::from_secs(seconds.parse().ok().filter(|seconds| (1..=30).contains(seconds))?);
    Some(seconds.saturating_sub(MARGIN))
}

/// The answer that carries a verdict.
pub fn answer(verdict: &Verdict) -> Response {
    let mut response = Response::new(response::encode(verdict).into());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// An answer in plain text, for what is no review; counted by status.
pub fn refuse(status: StatusCode, sentence: &str) -> Response {
    portcullis_telemetry::metrics::rejected(status.as_u16());
    let mut response = Response::new(format!("{sentence}\n").into());
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}
