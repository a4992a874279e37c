//! Probes and metrics on their own port, in plain HTTP: `/livez`, `/readyz`, `/metrics`, `/version`.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::http::{HeaderValue, Method, Request, StatusCode, header};
use axum::response::Response;
use hyper::body::Incoming;
use tower::Service;

use super::limits::plain;
use crate::lifecycle::ready::Readiness;

/// What the pages show, where this room does not know it.
#[derive(Clone)]
pub struct Pages {
    /// `/metrics`: Prometheus text.
    pub metrics: Arc<dyn Fn() -> String + Send + Sync>,
    /// `/version`: a JSON object, asked for each time because revisions change.
    pub version: Arc<dyn Fn() -> serde_json::Value + Send + Sync>,
}

/// The pages as a service.
#[derive(Clone)]
pub(super) struct Admin {
    pub(super) readiness: Readiness,
    pub(super) pages: Pages,
}

impl Admin {
    fn answer(&self, method: &Method, path: &str) -> Response {
        // The response of HEAD loses its body on the way out.
        if method != Method::GET && method != Method::HEAD {
            let mut response = plain(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD are answered here\n");
            response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
            return response;
        }
        match path {
            // Alive is whoever answers: a gate that waits for its tenancy must not be restarted for it.
            "/livez" => plain(StatusCode::OK, "ok\n"),
            "/readyz" => {
                let report = self.readiness.report();
                let status = if report.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
                json(status, &report)
            }
            "/metrics" => {
                let mut response = plain(StatusCode::OK, (self.pages.metrics)());
                let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
                response.headers_mut().insert(header::CONTENT_TYPE, kind);
                response
            }
            "/version" => json(StatusCode::OK, &(self.pages.version)()),
            _ => plain(StatusCode::NOT_FOUND, "there are /livez, /readyz, /metrics and /version here\n"),
        }
    }
}

impl Service<Request<Incoming>> for Admin {
    type Response = Response;
    type Error = Infallible;
    type Future = Ready<Result<Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Incoming>) -> Self::Future {
        ready(Ok(self.answer(request.method(), request.uri().path())))
    }
}

fn json(status: StatusCode, value: &impl serde::Serialize) -> Response {
    match serde_json::to_string(value) {
        Ok(mut text) => {
            text.push('\n');
            let mut response = plain(status, text);
            let kind = HeaderValue::from_static("application/json");
            response.headers_mut().insert(header::CONTENT_TYPE, kind);
            response
        }
        Err(error) => plain(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")),
    }
}
