//! One connection, from the end of its handshake to its close: requests within bounds, deadlines, the drain.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use axum::http::{HeaderMap, HeaderValue, Request, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, sleep_until};
use tower::{Service, ServiceExt as _};

use super::args::Timeouts;
use super::limits::{BodyLimits, Caller, Inflight, Rejection, plain, read_body};
use super::pulse::{Open, Phase, Pulse, Watched, Watcher};
use super::sending;
use portcullis_lifecycle::drain::Drain;
use portcullis_telemetry::metrics;

/// The head of an HTTP/1.1 request, and the largest piece of a body. kube-apiserver's heads are below 1 KiB.
const HTTP1_BUFFER: usize = 16 * 1024;

/// All header fields of an HTTP/2 request.
const HTTP2_HEADERS: u32 = 16 * 1024;

/// Twice what Go opens before it takes another connection would be 500; one review at a time needs one.
const HTTP2_STREAMS: u32 = 250;

/// What a stream may send that is not read yet; at a round trip of 1 ms this lets 64 MB through in a second. Only a body
/// that waits for memory leaves it unread, of which an address has 72: its connection has room for all of them, so that
/// they do not hold up the streams beside them.
const HTTP2_STREAM_WINDOW: u32 = 64 << 10;
const HTTP2_WINDOW: u32 = 8 << 20;

/// Streams that the peer reset before we took them up. Past this the connection is a rapid reset attack
/// (CVE-2023-44487) and is closed.
const HTTP2_RESETS: usize = 20;

/// Streams that we reset for the peer's faults (CVE-2025-8671), likewise.
const HTTP2_LOCAL_RESETS: usize = 100;

/// Between asking an idle connection to end and ending it: a `GOAWAY` takes a round trip.
const GOODBYE: Duration = Duration::from_secs(1);

/// Who is calling; an extension of each request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    /// The other end of the connection.
    pub address: SocketAddr,
    /// It showed a certificate that `--client-ca` vouches for.
    pub verified: bool,
}

/// When the head of a request was here; an extension of each request. What a caller allows for its answer runs from then.
#[derive(Debug, Clone, Copy)]
pub struct Arrival(pub std::time::Instant);

/// The answer to a request that is not served, in the words of the listener.
pub type Refuse = fn(&HeaderMap, Rejection) -> Response;

/// What all connections of a listener share.
pub(super) struct House {
    pub(super) inflight: Inflight,
    pub(super) bodies: BodyLimits,
    pub(super) timeouts: Timeouts,
    pub(super) drain: Drain,
    /// Whether requests show in `portcullis_inflight_requests`: reviews do, probes do not.
    pub(super) counted: bool,
    refuse: Refuse,
    http1: Builder<TokioExecutor>,
    http2: Builder<TokioExecutor>,
}

/// What all requests of a connection share, behind one reference.
struct Session {
    house: Arc<House>,
    caller: Arc<Caller>,
    pulse: Arc<Pulse>,
    peer: Peer,
    http2: bool,
    closing: tokio_util::sync::CancellationToken,
}

/// A place among the requests in flight.
struct Place(Arc<Session>);

// === impl House ===

impl House {
    pub(super) fn new(
        inflight: Inflight,
        bodies: BodyLimits,
        timeouts: Timeouts,
        drain: Drain,
        counted: bool,
        refuse: Refuse,
    ) -> Arc<Self> {
        // ALPN has already said which of the two it is, so neither guesses from the first bytes: the guess has no
        // deadline, and a client that says nothing would sit in it for ever.
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
        Arc::new(Self { inflight, bodies, timeouts, drain, counted, refuse, http1, http2 })
    }
}

/// Serves one connection to its end.
pub(super) async fn serve<I, S>(
    house: Arc<House>,
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
    let pulse = Pulse::new(!http2);
    let drain = &house.drain;
    // `GOAWAY` races with nothing, so HTTP/2 is sent off as soon as callers should leave. An idle HTTP/1.1
    // connection can only be closed, which races with the next request; until the listener stops, its answers
    // say so instead.
    let leave = if http2 { drain.closing() } else { drain.stopping() };
    let closing = drain.closing();
    let session =
        Arc::new(Session { house: house.clone(), caller, pulse: pulse.clone(), peer, http2, closing });
    let handler = service_fn(move |request| handle(session.clone(), service.clone(), request));
    let builder = if http2 { &house.http2 } else { &house.http1 };
    let connection = builder.serve_connection(TokioIo::new(Watched::new(io, pulse.clone())), handler);
    let mut connection = std::pin::pin!(connection);

    // Half a head timeout: a slow head is cut after at most one and a half of it, and a connection that is kept
    // busy is woken for it once in 5 s, not once a request.
    let tick = house.timeouts.head / 2;
    let mut clock = std::pin::pin!(sleep_until(Instant::now() + tick));
    let mut watcher = Watcher::new(pulse);
    let mut leaving = false;
    let mut goodbye = None;
    loop {
        tokio::select! {
            biased;
            // A caller that breaks off is no event of ours: its handler is dropped, and that is all.
            _ = connection.as_mut() => return,
            () = clock.as_mut() => clock.as_mut().reset(Instant::now() + tick),
            () = leave.cancelled(), if !leaving => leaving = true,
        }
        if watcher.unread() >= house.timeouts.answer {
            return;
        }
        let (phase, since) = watcher.look();
        match phase {
            Phase::Head if since >= house.timeouts.head => return,
            // Part of a request is here: its answer will say `Connection: close`.
            Phase::Head => continue,
            Phase::Idle if since >= house.timeouts.idle => {}
            _ if leaving => {}
            _ => continue,
        }
        match goodbye {
            None => {
                connection.as_mut().graceful_shutdown();
                goodbye = Some(Instant::now());
            }
            // Still there although it is idle: it does not read, or does not answer.
            Some(asked) if phase == Phase::Idle && since.min(asked.elapsed()) >= GOODBYE => return,
            Some(_) => {}
        }
    }
}

/// One request: its body is read, then it takes a place among those in flight, then it is served.
async fn handle<S>(
    session: Arc<Session>,
    service: S,
    request: Request<Incoming>,
) -> Result<Response, Infallible>
where
    S: Service<Request<Bytes>, Response = Response, Error = Infallible>,
{
    let _open: Open = session.pulse.open();
    let arrival = Arrival(std::time::Instant::now());
    let (mut head, body) = request.into_parts();
    let mut response = match admit(&session, &head.headers, body).await {
        Ok((bytes, _place)) => {
            head.extensions.insert(session.peer);
            head.extensions.insert(arrival);
            guarded(service.oneshot(Request::from_parts(head, bytes))).await
        }
        Err(rejection) => session.refuse(&head.headers, rejection),
    };
    if !session.http2 && session.closing.is_cancelled() {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    } else if session.http2 {
        // A handler need not know the protocol to ask for the end of a connection.
        response.headers_mut().remove(header::CONNECTION);
        response = sending::counted(response, &session.caller, &session.pulse);
    }
    Ok(response)
}

/// The body of a request, and its place.
async fn admit(
    session: &Arc<Session>,
    headers: &HeaderMap,
    body: Incoming,
) -> Result<(Bytes, Place), Rejection> {
    let house = &session.house;
    let bytes = read_body(headers, body, &house.bodies, &session.caller).await?;
    house.inflight.enter(&session.caller).inspect_err(|shed| metrics::shed(shed.reason()))?;
    Ok((bytes, Place::new(session.clone())))
}

/// A handler that panics answers 500 and takes nobody with it, not even the other requests of its connection.
async fn guarded(future: impl Future<Output = Result<Response, Infallible>>) -> Response {
    let mut future = std::pin::pin!(future);
    let caught = std::future::poll_fn(|cx| {
        // The future is not polled again after a panic, so nothing half done is seen.
        match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))) {
            Ok(Poll::Ready(Ok(response))) => Poll::Ready(Some(response)),
            Ok(Poll::Pending) => Poll::Pending,
            Err(_) => Poll::Ready(None),
        }
    });
    caught.await.unwrap_or_else(|| {
        tracing::error!("a request handler panicked; the caller was answered 500");
        plain(StatusCode::INTERNAL_SERVER_ERROR, "internal error; nothing was judged\n")
    })
}

// === impl Session ===

impl Session {
    fn refuse(&self, headers: &HeaderMap, rejection: Rejection) -> Response {
        let response = (self.house.refuse)(headers, rejection);
        // What found no room is counted where it was refused, by its reason.
        if self.house.counted && response.status() != StatusCode::SERVICE_UNAVAILABLE {
            metrics::rejected(response.status().as_u16());
        }
        response
    }
}

/// The answer in plain text.
pub(super) fn refuse_in_words(_: &HeaderMap, rejection: Rejection) -> Response {
    rejection.into_response()
}

// === impl Place ===

impl Place {
    /// The place was taken with [`Inflight::enter`].
    fn new(session: Arc<Session>) -> Self {
        if session.house.counted {
            metrics::inflight(1);
        }
        Self(session)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let house = &self.0.house;
        house.inflight.leave(&self.0.caller);
        if house.counted {
            metrics::inflight(-1);
        }
    }
}
