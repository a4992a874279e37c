//! The outermost layer: it gives each request an id and turns every error response into a problem document.
//!
//! A well-formed id of the caller is kept, else one is generated. It stands in the response, the log and the audit log.

use std::time::Instant;

use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;

use super::problem::{Code, MEDIA_TYPE, Problem, Unsigned};
use portcullis_access::matrix::Rule;
use portcullis_telemetry::metrics;

pub const HEADER: HeaderName = HeaderName::from_static("x-request-id");

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestId(pub String);

/// The rule of the route that answered, as an extension of the response.
#[derive(Clone, Copy)]
pub(super) struct RoutedRule(pub(super) &'static Rule);

/// The id of a request.
pub fn of(headers: &HeaderMap) -> RequestId {
    let given = headers.get(HEADER).and_then(|value| value.to_str().ok()).filter(|text| is_valid(text));
    RequestId(given.map_or_else(|| uuid::Uuid::now_v7().to_string(), str::to_owned))
}

/// The id goes into logs and rows unquoted, so it may only hold characters without a meaning there.
fn is_valid(text: &str) -> bool {
    (8..=64).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

pub(super) async fn layer(mut request: Request, next: Next) -> Response {
    let began = Instant::now();
    let id = of(request.headers());
    let method = method(request.method());
    request.extensions_mut().insert(id.clone());
    let response = next.run(request).await;
    let rule = response.extensions().get::<RoutedRule>().map(|rule| rule.0);
    let response = finish(response, &id);
    let (status, took) = (response.status().as_u16(), began.elapsed());
    metrics::api_request(rule.map_or("other", |rule| rule.path), method, status, took);
    let action = rule.map(|rule| rule.action.as_str());
    let millis = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    tracing::debug!(request = id.0, action, method, status, millis, "answered");
    response
}

/// A bounded metric label: the caller may send any method.
fn method(method: &Method) -> &'static str {
    const KNOWN: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
    KNOWN.into_iter().find(|known| *known == method.as_str()).unwrap_or("other")
}

pub(super) fn finish(response: Response, id: &RequestId) -> Response {
    let mut response = match problem_of(&response) {
        Some(problem) => {
            let mut written = problem.answer(&id.0);
            if let Some(allow) = response.headers().get(header::ALLOW) {
                written.headers_mut().insert(header::ALLOW, allow.clone());
            }
            written
        }
        None => response,
    };
    let headers = response.headers_mut();
    if let Ok(value) = HeaderValue::from_str(&id.0) {
        headers.insert(HEADER, value);
    }
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    // Responses depend on the caller and may hold secrets.
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

/// The problem that is still to be written: one of a handler, or one made from an error status of the framework.
fn problem_of(response: &Response) -> Option<Problem> {
    if let Some(Unsigned(problem)) = response.extensions().get() {
        return Some(problem.clone());
    }
    let status = response.status();
    let written = response.headers().get(header::CONTENT_TYPE).is_some_and(|kind| kind == MEDIA_TYPE);
    if written || !(status.is_client_error() || status.is_server_error()) {
        return None;
    }
    let code = match status {
        StatusCode::NOT_FOUND => Code::NotFound,
        StatusCode::METHOD_NOT_ALLOWED => Code::MethodNotAllowed,
        StatusCode::PAYLOAD_TOO_LARGE => Code::PayloadTooLarge,
        StatusCode::UNSUPPORTED_MEDIA_TYPE => Code::UnsupportedMediaType,
        StatusCode::REQUEST_TIMEOUT => Code::RequestTimeout,
        StatusCode::SERVICE_UNAVAILABLE => Code::ServiceUnavailable,
        status if status.is_server_error() => Code::Internal,
        _ => Code::ValidationError,
    };
    Some(Problem::of(code))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_well_formed_id_of_the_caller_is_kept() {
        let taken = ["0198c5f2-7a4e-7c31-b1f5-4a3a7c1d2e9f", "build_42-step", &"a".repeat(64)];
        let refused = ["", "short", &"a".repeat(65), "with space", "quote\"quote", "semi;colon", "ünïcodeid"];
        let of = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(HEADER, HeaderValue::from_bytes(text.as_bytes()).unwrap());
            of(&headers).0
        };
        for text in taken {
            assert_eq!(of(text), text);
        }
        for text in refused {
            assert_eq!(of(text).len(), 36, "{text}");
        }
        assert_ne!(of(""), of(""));
    }
}
