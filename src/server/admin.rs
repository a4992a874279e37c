//! Probes and metrics on their own port, in plain HTTP: `/livez`, `/readyz`, `/metrics`, `/version`.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Method, Request, StatusCode, header};
use axum::response::Response;
use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tower::Service;

use super::limits::plain;
use portcullis_lifecycle::ready::Readiness;
use portcullis_telemetry::gzip;

/// Responses of `/metrics` that exist at once. With 4,096 policies one has 4 MiB, and it is in memory until it is sent.
const SCRAPES_MAX: usize = 4;

/// Content that other components provide.
#[derive(Clone)]
pub struct Pages {
    /// `/metrics` in the Prometheus text format.
    pub metrics: Arc<dyn Fn() -> String + Send + Sync>,
    /// `/version`, a JSON object; called for each request, because revisions change.
    pub version: Arc<dyn Fn() -> serde_json::Value + Send + Sync>,
}

#[derive(Clone)]
pub(super) struct Admin {
    readiness: Readiness,
    pages: Pages,
    scrapes: Arc<Semaphore>,
}

/// A response of `/metrics`, which holds its permit until it is sent.
struct MetricsPage {
    bytes: Vec<u8>,
    _permit: OwnedSemaphorePermit,
}

impl Admin {
    pub(super) fn new(readiness: Readiness, pages: Pages) -> Self {
        Self { readiness, pages, scrapes: Arc::new(Semaphore::new(SCRAPES_MAX)) }
    }

    async fn answer(self, request: Request<Bytes>) -> Response {
        // hyper drops the body of a response to HEAD.
        if request.method() != Method::GET && request.method() != Method::HEAD {
            let mut response = plain(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD are allowed\n");
            response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
            return response;
        }
        match request.uri().path() {
            // Independent of readiness: a restart does not help a gate that waits for its snapshot.
            "/livez" => plain(StatusCode::OK, "ok\n"),
            "/readyz" => {
                let report = self.readiness.report();
                let status = if report.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
                json(status, &report)
            }
            "/metrics" => self.scrape(accepts_gzip(request.headers())).await,
            "/version" => json(StatusCode::OK, &(self.pages.version)()),
            _ => plain(
                StatusCode::NOT_FOUND,
                "not found; the paths are /livez, /readyz, /metrics and /version\n",
            ),
        }
    }

    async fn scrape(self, compressed: bool) -> Response {
        let Ok(permit) = self.scrapes.clone().try_acquire_owned() else {
            return plain(StatusCode::SERVICE_UNAVAILABLE, "too many scrapes at once; try again\n");
        };
        // Off the runtime workers: with thousands of policies it takes tens of milliseconds.
        let rendered = tokio::task::spawn_blocking(move || {
            let page = (self.pages.metrics)().into_bytes();
            if compressed { gzip::compress(&page) } else { Ok(page) }
        });
        let Ok(Ok(bytes)) = rendered.await else {
            return plain(StatusCode::INTERNAL_SERVER_ERROR, "cannot render the metrics\n");
        };
        let mut response =
            plain(StatusCode::OK, Body::from(Bytes::from_owner(MetricsPage { bytes, _permit: permit })));
        let headers = response.headers_mut();
        let content_type = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
        headers.insert(header::CONTENT_TYPE, content_type);
        headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
        if compressed {
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        response
    }
}

impl AsRef<[u8]> for MetricsPage {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

fn accepts_gzip(headers: &HeaderMap) -> bool {
    let values = headers.get_all(header::ACCEPT_ENCODING).iter();
    gzip::is_accepted(values.filter_map(|value| value.to_str().ok()))
}

impl Service<Request<Bytes>> for Admin {
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Bytes>) -> Self::Future {
        let admin = self.clone();
        Box::pin(async move { Ok(admin.answer(request).await) })
    }
}

fn json(status: StatusCode, value: &impl serde::Serialize) -> Response {
    match serde_json::to_string(value) {
        Ok(mut text) => {
            text.push('\n');
            let mut response = plain(status, text);
            let content_type = HeaderValue::from_static("application/json");
            response.headers_mut().insert(header::CONTENT_TYPE, content_type);
            response
        }
        Err(error) => plain(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")),
    }
}
