//! The id of a request: taken from the caller where it is a sane one, else made; in the answer, the log and the audit.
//!
//! This is also the last thing an answer passes, so here every refusal becomes a problem document, whoever refused.

use std::time::Instant;

use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;

use super::front::Routed;
use super::problem::{Code, MEDIA_TYPE, Problem, Unsigned};
use portcullis_telemetry::metrics;

/// The header, both ways.
pub const HEADER: HeaderName = HeaderName::from_static("x-request-id");

/// An extension of every request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestId(pub String);

/// The id that a request is known by.
pub fn of(headers: &HeaderMap) -> RequestId {
    let given = headers.get(HEADER).and_then(|value| value.to_str().ok()).filter(|text| sane(text));
    RequestId(given.map_or_else(|| uuid::Uuid::now_v7().to_string(), str::to_owned))
}

/// Goes into logs and rows unquoted, so it may hold nothing that means something there.
fn sane(text: &str) -> bool {
    (8..=64).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

/// The layer around everything.
pub(super) async fn sign(mut request: Request, next: Next) -> Response {
    let began = Instant::now();
    let id = of(request.headers());
    let method = method(request.method());
    request.extensions_mut().insert(id.clone());
    let response = next.run(request).await;
    let rule = response.extensions().get::<Routed>().map(|routed| routed.0);
    let response = finish(response, &id);
    let (status, took) = (response.status().as_u16(), began.elapsed());
    metrics::answered(rule.map_or("other", |rule| rule.path), method, status, took);
    let action = rule.map(|rule| rule.action.as_str());
    let millis = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    tracing::debug!(request = id.0, action, method, status, millis, "answered");
    response
}

/// A method as metrics have it: the caller may send any word.
fn method(method: &Method) -> &'static str {
    const KNOWN: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
    KNOWN.into_iter().find(|known| *known == method.as_str()).unwrap_or("other")
}

/// What is left to do for an answer before it goes out.
pub(super) fn finish(response: Response, id: &RequestId) -> Response {
    let mut response = match problem_of(&response) {
        Some(problem) => {
            let mut signed = problem.answer(&id.0);
            if let Some(allow) = response.headers().get(header::ALLOW) {
                signed.headers_mut().insert(header::ALLOW, allow.clone());
            }
            signed
        }
        None => response,
    };
    let headers = response.headers_mut();
    if let Ok(value) = HeaderValue::from_str(&id.0) {
        headers.insert(HEADER, value);
    }
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    // What is shown depends on who asks, and some of it is secret.
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

/// The problem that an answer is, where it is not written out yet. Refusals of the framework's own, which know only a
/// status, become one too.
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
    fn an_id_is_taken_only_where_it_can_do_no_harm() {
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
