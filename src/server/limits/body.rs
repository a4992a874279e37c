//! Reading a body within bounds of size, time and memory, and refusing one so that the caller sees the answer.
//!
//! A body that is here when it is first looked at costs a poll. One that has to be waited for counts against its address,
//! and never against what other addresses may have in flight.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::http::{HeaderMap, header};
use bytes::{Bytes, BytesMut};
use hyper::body::Body;
use tokio::time::{Instant, Sleep, sleep_until, timeout, timeout_at};
use tokio_util::task::TaskTracker;

use super::Caller;
use super::memory::{Pools, Reserved, SMALL, SmallBytes};
use super::rejection::Rejection;
use super::unfinished::Unfinished;
use crate::args::Timeouts;
use portcullis_telemetry::metrics;

/// What is read and thrown away after a refusal: four of the largest bodies, or as much as comes within 5 s. Past
/// that a caller is not confused but hostile.
const DISCARD: usize = 4;
const DISCARD_TIME: Duration = Duration::from_secs(5);

/// The slowest that a body over [`SMALL`] may come after its first second: 16 MiB take four seconds more.
const BYTES_PER_SECOND: usize = 4 << 20;

/// Names who a body belongs to by its first 64 KiB, so that those with many large bodies wait for each other alone.
pub type Owner = fn(&[u8]) -> Option<&[u8]>;

/// The bounds of the bodies of one listener; all clones are one.
#[derive(Clone)]
pub(crate) struct BodyLimits(Arc<Inner>);

struct Inner {
    max: usize,
    times: Timeouts,
    pools: Pools,
    owner: Owner,
    discards: TaskTracker,
}

// === impl BodyLimits ===

impl BodyLimits {
    /// At most `max` bytes, as fast as `times` says.
    pub(crate) fn new(max: usize, times: Timeouts, owner: Owner) -> Self {
        Self(Arc::new(Inner { max, times, pools: Pools::new(max), owner, discards: TaskTracker::new() }))
    }

    /// Reads on and throws away, so that the caller can finish writing and look at the answer; a connection that
    /// is closed over unread bytes is reset, and the answer lost. Whoever waits for `100 Continue` has sent nothing,
    /// and polling the body would ask for it.
    fn discard<B>(&self, expects: bool, mut body: B)
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
fn expects_continue(headers: &HeaderMap) -> bool {
    headers.get(header::EXPECT).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"))
}

/// Reads the whole body. Costs no copy where it came in one piece and no timer where it is already here.
pub(crate) async fn read_body<B>(
    headers: &HeaderMap,
    body: B,
    limits: &BodyLimits,
    caller: &Arc<Caller>,
) -> Result<Bytes, Rejection>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
{
    let inner = &*limits.0;
    let declared = body.size_hint().exact().and_then(|n| usize::try_from(n).ok());
    if declared.is_some_and(|n| n > inner.max) || body.size_hint().lower() > inner.max as u64 {
        limits.discard(expects_continue(headers), body);
        return Err(Rejection::TooLong { max: inner.max });
    }
    let mut reader = Reader { body, wait: None, inner, caller };
    let whole = reader.whole(declared).await;
    // What is too long, or finds no room, is read on; what is slow has had its time.
    if let Err(Rejection::TooLong { .. } | Rejection::Memory) = whole {
        limits.discard(false, reader.body);
    }
    if let Err(rejection) = &whole
        && let Some(reason) = rejection.shed()
    {
        metrics::shed(reason);
    }
    whole
}

// === impl Reader ===

/// The body, and how it is waited for once there is something to wait for.
struct Reader<'a, B> {
    body: B,
    wait: Option<Wait>,
    inner: &'a Inner,
    caller: &'a Arc<Caller>,
}

/// A body that is waited for, with its clock.
struct Wait {
    timer: Pin<Box<Sleep>>,
    /// When it counts as slow; none once it does.
    slow: Option<Instant>,
    end: Instant,
    progress: Instant,
    unfinished: Unfinished,
}

/// A larger body together with what it holds of the memory of all.
struct Kept {
    whole: BytesMut,
    _reserved: Reserved,
}

impl<B: Body<Data = Bytes> + Send + Unpin + 'static> Reader<'_, B> {
    async fn whole(&mut self, declared: Option<usize>) -> Result<Bytes, Rejection> {
        let max = self.inner.max;
        let mut piece = match self.next().await? {
            None => return Ok(Bytes::new()),
            Some(first) if first.len() <= max && self.body.is_end_stream() => return Ok(first),
            Some(first) => first,
        };
        let mut whole = BytesMut::with_capacity(declared.unwrap_or(0).min(SMALL).max(piece.len()));
        let mut small = Some(SmallBytes::new(&self.inner.pools, self.caller));
        let mut reserved = None;
        loop {
            let length = whole.len() + piece.len();
            if length > max {
                return Err(Rejection::TooLong { max });
            }
            if length > SMALL && reserved.is_none() {
                small = None;
                reserved = Some(self.reserve(&whole, declared.unwrap_or(max)).await?);
                // Exact, so that a body takes its own size and not twice that while it grows.
                whole.reserve(declared.unwrap_or(length).max(length) - whole.len());
            }
            if small.as_mut().is_some_and(|small| !small.grow(length)) {
                return Err(Rejection::Memory);
            }
            whole.extend_from_slice(&piece);
            piece = match self.next().await? {
                Some(piece) => piece,
                None => break,
            };
        }
        Ok(match reserved {
            None => whole.freeze(),
            Some(reserved) => Bytes::from_owner(Kept { whole, _reserved: reserved.arrived() }),
        })
    }

    /// Waits until a body of `bytes` has its place in memory, and gives it the time that its size needs.
    async fn reserve(&mut self, begun: &[u8], bytes: usize) -> Result<Reserved, Rejection> {
        let owner = (self.inner.owner)(begun);
        let pools = &self.inner.pools;
        let (caller, end) = (self.caller, self.wait()?.end);
        let reserved = timeout_at(end, pools.reserve(caller, owner, bytes)).await;
        let reserved = reserved.ok().flatten().ok_or(Rejection::Memory)?;
        let now = Instant::now();
        let more = Duration::from_millis((bytes.saturating_mul(1_000) / BYTES_PER_SECOND) as u64);
        let needs = now + self.inner.times.body_slow + more;
        let wait = self.wait()?;
        wait.end = wait.end.min(needs);
        wait.progress = now;
        Ok(reserved)
    }

    /// The next piece; trailers are none of our business.
    async fn next(&mut self) -> Result<Option<Bytes>, Rejection> {
        let mut waited = false;
        loop {
            let frame = poll_fn(|cx| match Pin::new(&mut self.body).poll_frame(cx) {
                Poll::Ready(frame) => Poll::Ready(Ok(frame)),
                Poll::Pending => {
                    waited = true;
                    let stall = self.inner.times.body_stall;
                    match self.wait() {
                        Ok(wait) => wait.poll_over(cx, stall).map(Err),
                        Err(rejection) => Poll::Ready(Err(rejection)),
                    }
                }
            })
            .await?;
            if let (true, Some(wait)) = (waited, &mut self.wait) {
                wait.progress = Instant::now();
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

    fn wait(&mut self) -> Result<&mut Wait, Rejection> {
        match &mut self.wait {
            Some(wait) => Ok(wait),
            none => {
                let unfinished = Unfinished::begin(self.caller).ok_or(Rejection::Unfinished)?;
                Ok(none.insert(Wait::new(&self.inner.times, unfinished)))
            }
        }
    }
}

impl Wait {
    fn new(times: &Timeouts, unfinished: Unfinished) -> Self {
        let now = Instant::now();
        let (slow, end) = (now + times.body_slow, now + times.body_whole);
        let first = slow.min(end).min(now + times.body_stall);
        Self { timer: Box::pin(sleep_until(first)), slow: Some(slow), end, progress: now, unfinished }
    }

    /// Ready with why it is not waited for any longer. The timer is moved when it fires, not at each piece: a body of a
    /// thousand pieces costs one timer.
    fn poll_over(&mut self, cx: &mut Context<'_>, stall: Duration) -> Poll<Rejection> {
        loop {
            ready!(self.timer.as_mut().poll(cx));
            let now = Instant::now();
            let deadline = self.end.min(self.progress + stall);
            if deadline <= now {
                return Poll::Ready(Rejection::Slow);
            }
            if self.slow.is_some_and(|slow| slow <= now) {
                self.slow = None;
                if !self.unfinished.slow() {
                    return Poll::Ready(Rejection::Unfinished);
                }
            }
            self.timer.as_mut().reset(self.slow.map_or(deadline, |slow| slow.min(deadline)));
        }
    }
}

impl AsRef<[u8]> for Kept {
    fn as_ref(&self) -> &[u8] {
        &self.whole
    }
}

#[cfg(test)]
mod tests;
