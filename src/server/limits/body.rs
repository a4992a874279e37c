//! Reading a body within bounds of size, time and memory, and refusing one so that the caller sees the answer.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Poll, ready};
use std::time::Duration;

use axum::http::{HeaderValue, StatusCode, header, request::Parts};
use axum::response::{IntoResponse, Response};
use bytes::{Bytes, BytesMut};
use hyper::body::Body;
use tokio::time::{Instant, Sleep, sleep_until, timeout};
use tokio_util::task::TaskTracker;

use super::plain;
use crate::telemetry::metrics;

/// Bodies up to this size are not counted against the memory of all: 1,024 in flight are 64 MiB at worst, and
/// nearly every review is smaller.
const SMALL: usize = 64 * 1024;

/// What larger bodies may hold together, 16 of the largest; buffers grow by doubling, so up to twice that.
const BODIES: usize = 16;

/// What is read and thrown away after a refusal: four of the largest bodies, or as much as comes within 5 s. Past
/// that a caller is not confused but hostile.
const DISCARD: usize = 4;
const DISCARD_TIME: Duration = Duration::from_secs(5);

/// The bounds of bodies; all clones are one.
#[derive(Clone)]
pub struct BodyLimits(Arc<Inner>);

struct Inner {
    max: usize,
    stall: Duration,
    whole: Duration,
    /// Bytes that larger bodies hold, until the last reference to each is dropped.
    held: AtomicUsize,
    discards: TaskTracker,
}

/// Why there is no body; as a response, the answer to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// 413
    #[error("the body is longer than the {max} bytes that are read here")]
    TooLong {
        /// The bound.
        max: usize,
    },
    /// 408
    #[error("the body came too slowly")]
    Slow,
    /// 400
    #[error("the body ended before its end")]
    Broken,
    /// 503
    #[error("too many large bodies at once; nothing was judged")]
    Memory,
}

// === impl BodyLimits ===

impl BodyLimits {
    /// At most `max` bytes, with at most `stall` between two pieces and `whole` altogether.
    pub fn new(max: usize, stall: Duration, whole: Duration) -> Self {
        Self(Arc::new(Inner { max, stall, whole, held: AtomicUsize::new(0), discards: TaskTracker::new() }))
    }

    /// The bound in bytes.
    pub fn max(&self) -> usize {
        self.0.max
    }

    /// Reads on and throws away, so that the caller can finish writing and look at the answer; a connection that
    /// is closed over unread bytes is reset, and the answer lost. Whoever waits for `100 Continue` has sent nothing,
    /// and polling the body would ask for it.
    pub(in crate::server) fn discard<B>(&self, expects: bool, mut body: B)
    where
        B: Body<Data = Bytes> + Send + Unpin + 'static,
    {
        if expects || body.is_end_stream() {
            return;
        }
        let bound = DISCARD.saturating_mul(self.0.max);
        self.0.discards.spawn(async move {
            let mut seen = 0;
            let drain = async {
                while let Some(Ok(frame)) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
                    seen += frame.data_ref().map_or(0, Bytes::len);
                    if seen > bound {
                        break;
                    }
                }
            };
            // Either way the body is dropped here, which closes what is left of it.
            let _ = timeout(DISCARD_TIME, drain).await;
        });
    }
}

/// Whether the caller sends the body only after a `100 Continue`.
pub(in crate::server) fn expects_continue(headers: &header::HeaderMap) -> bool {
    headers.get(header::EXPECT).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"))
}

/// Reads the whole body. Costs no copy where it came in one piece and no timer where it is already here.
pub async fn read_body<B>(head: &Parts, body: B, limits: &BodyLimits) -> Result<Bytes, Rejection>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
{
    let inner = &limits.0;
    let expects = expects_continue(&head.headers);
    let declared = body.size_hint().exact().and_then(|n| usize::try_from(n).ok());
    if declared.is_some_and(|n| n > inner.max) || body.size_hint().lower() > inner.max as u64 {
        limits.discard(expects, body);
        return Err(Rejection::TooLong { max: inner.max });
    }
    let mut reader = Reader { body, clock: None, limits: inner };
    let first = match reader.next().await? {
        Some(first) if first.len() <= inner.max => first,
        Some(_) => return Err(reader.refuse(limits, Rejection::TooLong { max: inner.max })),
        None => return Ok(Bytes::new()),
    };
    if reader.body.is_end_stream() {
        return Ok(first);
    }
    let mut memory = Held { inner: inner.clone(), bytes: 0 };
    let mut whole = BytesMut::with_capacity(declared.unwrap_or(0).min(SMALL).max(first.len()));
    whole.extend_from_slice(&first);
    while let Some(piece) = reader.next().await? {
        let length = whole.len() + piece.len();
        if length > inner.max {
            return Err(reader.refuse(limits, Rejection::TooLong { max: inner.max }));
        }
        if length > SMALL && !memory.grow(length) {
            metrics::shed("memory");
            return Err(reader.refuse(limits, Rejection::Memory));
        }
        whole.extend_from_slice(&piece);
    }
    Ok(if memory.bytes == 0 { whole.freeze() } else { Bytes::from_owner(Kept { whole, _held: memory }) })
}

// === impl Reader ===

/// The body with its clock, which is made only when there is something to wait for.
struct Reader<'a, B> {
    body: B,
    clock: Option<Clock>,
    limits: &'a Inner,
}

struct Clock {
    timer: Pin<Box<Sleep>>,
    end: Instant,
    progress: Instant,
}

impl<B: Body<Data = Bytes> + Send + Unpin + 'static> Reader<'_, B> {
    /// The next piece; trailers are none of our business.
    async fn next(&mut self) -> Result<Option<Bytes>, Rejection> {
        let mut waited = false;
        loop {
            let frame = poll_fn(|cx| match Pin::new(&mut self.body).poll_frame(cx) {
                Poll::Ready(frame) => Poll::Ready(Ok(frame)),
                Poll::Pending => {
                    waited = true;
                    let limits = self.limits;
                    let clock = self.clock.get_or_insert_with(|| Clock::new(limits));
                    ready!(clock.poll_expired(cx, limits));
                    Poll::Ready(Err(Rejection::Slow))
                }
            })
            .await?;
            if let (true, Some(clock)) = (waited, &mut self.clock) {
                clock.progress = Instant::now();
            }
            match frame {
                None => return Ok(None),
                Some(Err(_)) => return Err(Rejection::Broken),
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) if !data.is_empty() => return Ok(Some(data)),
                    _ => {}
                },
            }
        }
    }

    /// The body is refused although more of it is on the way.
    fn refuse(self, limits: &BodyLimits, rejection: Rejection) -> Rejection {
        // Bytes have come, so nobody waits for `100 Continue` any more.
        limits.discard(false, self.body);
        rejection
    }
}

impl Clock {
    fn new(limits: &Inner) -> Self {
        let now = Instant::now();
        let end = now + limits.whole;
        Self { timer: Box::pin(sleep_until(end.min(now + limits.stall))), end, progress: now }
    }

    /// The timer is moved when it fires, not at each piece: a body of a thousand pieces costs one timer.
    fn poll_expired(&mut self, cx: &mut std::task::Context<'_>, limits: &Inner) -> Poll<()> {
        loop {
            ready!(self.timer.as_mut().poll(cx));
            let deadline = self.end.min(self.progress + limits.stall);
            if deadline <= Instant::now() {
                return Poll::Ready(());
            }
            self.timer.as_mut().reset(deadline);
        }
    }
}

// === impl Held ===

/// What one larger body holds of the memory of all.
struct Held {
    inner: Arc<Inner>,
    bytes: usize,
}

/// A larger body together with what it holds.
struct Kept {
    whole: BytesMut,
    _held: Held,
}

impl Held {
    /// Grows to `bytes` altogether, or says that there is no room. Counts what has come, not what was declared:
    /// a caller cannot fill the memory of all with promises.
    fn grow(&mut self, bytes: usize) -> bool {
        let more = bytes.saturating_sub(self.bytes);
        let before = self.inner.held.fetch_add(more, Ordering::Relaxed);
        self.bytes += more;
        before + more <= BODIES.saturating_mul(self.inner.max)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.inner.held.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

impl AsRef<[u8]> for Kept {
    fn as_ref(&self) -> &[u8] {
        &self.whole
    }
}

// === impl Rejection ===

impl Rejection {
    /// The status of the answer.
    pub fn status(self) -> StatusCode {
        match self {
            Self::TooLong { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Slow => StatusCode::REQUEST_TIMEOUT,
            Self::Broken => StatusCode::BAD_REQUEST,
            Self::Memory => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

impl IntoResponse for Rejection {
    /// The connection is closed after it: what is left of the body is not worth a second request.
    fn into_response(self) -> Response {
        let mut response = plain(self.status(), format!("{self}\n"));
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        response
    }
}

#[cfg(test)]
mod tests;
