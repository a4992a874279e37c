//! One connection after its handshake: limits, timeouts, and the drain.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Request, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use hyper::body::{Body as _, Frame, Incoming, SizeHint};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, sleep_until};
use tower::{Service, ServiceExt as _};

use super::args::Timeouts;
use super::idle_timeout::{ConnectionActivity, IdleWatcher, Phase, RequestGuard, UnsentGuard, WatchedStream};
use super::limits::{BodyLimits, Caller, InflightLimit, Rejection, UnsentResponse, plain, read_body};
use portcullis_lifecycle::drain::Drain;
use portcullis_telemetry::metrics;

/// Limit of an HTTP/1.1 head and of one piece of a body. kube-apiserver's heads are below 1 KiB.
const HTTP1_BUFFER: usize = 16 * 1024;

const HTTP2_HEADERS: u32 = 16 * 1024;

/// The default of Go's HTTP/2 server.
const HTTP2_STREAMS: u32 = 250;

/// At a round trip of 1 ms this allows 64 MB per second. Only a body that waits for memory leaves its window unread, and an
/// address has at most 72 of them: the connection window holds them all, so that they do not block other streams.
const HTTP2_STREAM_WINDOW: u32 = 64 << 10;
const HTTP2_WINDOW: u32 = 8 << 20;

/// Streams that the client resets before they are accepted. More of them are a rapid reset attack (CVE-2023-44487), and
/// the connection is closed.
const HTTP2_RESETS: usize = 20;

/// Streams that the server resets because of client errors (CVE-2025-8671).
const HTTP2_LOCAL_RESETS: usize = 100;

/// From `GOAWAY` on an idle connection to its close.
const GOAWAY_GRACE: Duration = Duration::from_secs(1);

/// The client of a request; an extension of each request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    pub address: SocketAddr,
    /// It showed a certificate that `--client-ca` signed.
    pub verified: bool,
}

/// When the head of a request was complete; an extension of each request. The timeout of the client counts from it.
#[derive(Debug, Clone, Copy)]
pub struct Arrival(pub std::time::Instant);

/// Builds the response to a rejected request.
pub type RejectionResponse = fn(&HeaderMap, Rejection) -> Response;

/// State that all connections of a listener share.
pub(super) struct ServerContext {
    pub(super) inflight: InflightLimit,
    pub(super) bodies: BodyLimits,
    pub(super) timeouts: Timeouts,
    pub(super) drain: Drain,
    /// Whether `portcullis_inflight_requests` counts its requests: reviews, but not probes.
    pub(super) is_counted: bool,
    rejection_response: RejectionResponse,
    http1: Builder<TokioExecutor>,
    http2: Builder<TokioExecutor>,
}

/// State that all requests of a connection share.
struct Session {
    server: Arc<ServerContext>,
    caller: Arc<Caller>,
    activity: Arc<ConnectionActivity>,
    peer: Peer,
    http2: bool,
    closing: tokio_util::sync::CancellationToken,
}

/// A request in flight, until it is dropped.
struct InflightGuard(Arc<Session>);

// === impl ServerContext ===

impl ServerContext {
    pub(super) fn new(
        inflight: InflightLimit,
        bodies: BodyLimits,
        timeouts: Timeouts,
        drain: Drain,
        is_counted: bool,
        rejection_response: RejectionResponse,
    ) -> Arc<Self> {
        // ALPN determines the protocol. Detection from the first bytes has no timeout, so a silent client would keep its
        // connection for ever.
        let mut http1 = Builder::new(TokioExecutor::new()).http1_only();
        http1.http1().header_read_timeout(None).max_buf_size(HTTP1_BUFFER);
        let mut http2 = Builder::new(TokioExecutor::new()).http2_only();
        http2
            .http2()
            .max_concurrent_streams(HTTP2_STREAMS)
            .max_header_list_size(HTTP2_HEADERS)
            .initial_stream_window_size(HTTP2_STREAM_WINDOW)
            .initial_connection_window_size(HTTP2_WINDOW)
            .max_pending_accept_reset_streams(HTTP2_RESETS)
            .max_local_error_reset_streams(HTTP2_LOCAL_RESETS);
        Arc::new(Self { inflight, bodies, timeouts, drain, is_counted, rejection_response, http1, http2 })
    }
}

pub(super) async fn serve<I, S>(
    server: Arc<ServerContext>,
    caller: Arc<Caller>,
    io: I,
    peer: Peer,
    http2: bool,
    service: S,
) where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: Service<Request<Bytes>, Response = Response, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    let activity = ConnectionActivity::new(!http2);
    let drain = &server.drain;
    // HTTP/2 gets a `GOAWAY` at the start of the drain. Closing an idle HTTP/1.1 connection races with its next request, so
    // until the listener stops its responses only have `Connection: close`.
    let end = if http2 { drain.closing() } else { drain.stopping() };
    let closing = drain.closing();
    let session = Arc::new(Session {
        server: server.clone(),
        caller,
        activity: activity.clone(),
        peer,
        http2,
        closing,
    });
    let handler = service_fn(move |request| handle(session.clone(), service.clone(), request));
    let builder = if http2 { &server.http2 } else { &server.http1 };
    let connection =
        builder.serve_connection(TokioIo::new(WatchedStream::new(io, activity.clone())), handler);
    let mut connection = std::pin::pin!(connection);

    // Half of the head timeout: a slow head is closed after at most 1.5 timeouts, and a busy connection wakes once in 5 s.
    let tick = server.timeouts.head / 2;
    let mut clock = std::pin::pin!(sleep_until(Instant::now() + tick));
    let mut watcher = IdleWatcher::new(activity);
    let mut is_ending = false;
    let mut goaway_sent = None;
    loop {
        tokio::select! {
            biased;
            // If the client disconnects, its handlers are dropped.
            _ = connection.as_mut() => return,
            () = clock.as_mut() => clock.as_mut().reset(Instant::now() + tick),
            () = end.cancelled(), if !is_ending => is_ending = true,
        }
        if watcher.unread_for() >= server.timeouts.response {
            return;
        }
        let (phase, since) = watcher.phase();
        match phase {
            Phase::ReadingHead if since >= server.timeouts.head => return,
            // The response to this request will have `Connection: close`.
            Phase::ReadingHead => continue,
            Phase::Idle if since >= server.timeouts.idle => {}
            _ if is_ending => {}
            _ => continue,
        }
        match goaway_sent {
            None => {
                connection.as_mut().graceful_shutdown();
                goaway_sent = Some(Instant::now());
            }
            // The client does not close its idle connection.
            Some(sent) if phase == Phase::Idle && since.min(sent.elapsed()) >= GOAWAY_GRACE => return,
            Some(_) => {}
        }
    }
}

/// Reads the body, counts the request as in flight, and calls the service.
async fn handle<S>(
    session: Arc<Session>,
    service: S,
    request: Request<Incoming>,
) -> Result<Response, Infallible>
where
    S: Service<Request<Bytes>, Response = Response, Error = Infallible>,
{
    let _request: RequestGuard = session.activity.request_started();
    let arrival = Arrival(std::time::Instant::now());
    let (mut head, body) = request.into_parts();
    let mut response = match admit(&session, &head.headers, body).await {
        Ok((bytes, _inflight)) => {
            head.extensions.insert(session.peer);
            head.extensions.insert(arrival);
            catch_panic(service.oneshot(Request::from_parts(head, bytes))).await
        }
        Err(rejection) => session.reject(&head.headers, rejection),
    };
    if !session.http2 && session.closing.is_cancelled() {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    } else if session.http2 {
        // HTTP/2 does not allow the header that a handler may have set.
        response.headers_mut().remove(header::CONNECTION);
        response = count_until_sent(response, &session.caller, &session.activity);
    }
    Ok(response)
}

async fn admit(
    session: &Arc<Session>,
    headers: &HeaderMap,
    body: Incoming,
) -> Result<(Bytes, InflightGuard), Rejection> {
    let server = &session.server;
    let bytes = read_body(headers, body, &server.bodies, &session.caller).await?;
    server
        .inflight
        .acquire(&session.caller)
        .inspect_err(|limit| metrics::request_rejected(limit.reason()))?;
    Ok((bytes, InflightGuard::new(session.clone())))
}

/// A handler that panics answers 500; other requests of the connection go on.
async fn catch_panic(future: impl Future<Output = Result<Response, Infallible>>) -> Response {
    let mut future = std::pin::pin!(future);
    let caught = std::future::poll_fn(|cx| {
        // The future is not polled again after a panic, so its inconsistent state is not observed.
        match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))) {
            Ok(Poll::Ready(Ok(response))) => Poll::Ready(Some(response)),
            Ok(Poll::Pending) => Poll::Pending,
            Err(_) => Poll::Ready(None),
        }
    });
    caught.await.unwrap_or_else(|| {
        tracing::error!("a request handler panicked; the response is 500");
        plain(StatusCode::INTERNAL_SERVER_ERROR, "internal error; the request was not evaluated\n")
    })
}

// === impl Session ===

impl Session {
    fn reject(&self, headers: &HeaderMap, rejection: Rejection) -> Response {
        let response = (self.server.rejection_response)(headers, rejection);
        // A reached limit is counted by its reason instead.
        if self.server.is_counted && response.status() != StatusCode::SERVICE_UNAVAILABLE {
            metrics::http_rejected(response.status().as_u16());
        }
        response
    }
}

pub(super) fn plain_text_rejection(_: &HeaderMap, rejection: Rejection) -> Response {
    rejection.into_response()
}

// === impl InflightGuard ===

impl InflightGuard {
    /// The caller has called [`InflightLimit::acquire`].
    fn new(session: Arc<Session>) -> Self {
        if session.server.is_counted {
            metrics::inflight(1);
        }
        Self(session)
    }
}

impl Drop for InflightGuard {
    fn drop(&mut self) {
        let server = &self.0.server;
        server.inflight.release(&self.0.caller);
        if server.is_counted {
            metrics::inflight(-1);
        }
    }
}

/// Counts an HTTP/2 response until it is sent: a client with closed windows could otherwise accumulate any number of them.
fn count_until_sent(
    response: Response,
    caller: &Arc<Caller>,
    activity: &Arc<ConnectionActivity>,
) -> Response {
    if response.body().is_end_stream() {
        return response;
    }
    let Some(address_count) = caller.count_unsent() else {
        metrics::request_rejected("unread");
        let mut response = Response::default();
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        return response;
    };
    let unsent = (activity.response_ready(), address_count);
    response.map(|body| Body::new(CountedBody { body, _unsent: unsent }))
}

/// The body of a response that is counted until it is sent.
struct CountedBody {
    body: Body,
    _unsent: (UnsentGuard, UnsentResponse),
}

impl hyper::body::Body for CountedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
