//! Reads a body within limits of size, time and memory, and rejects one so that the client receives the response.
//!
//! A body that is complete at the first poll costs no timer. An unfinished one counts against its address, not against the
//! requests in flight.

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

use super::inflight::{Caller, UnfinishedBody};
use super::memory::{BodyMemory, Reservation, SMALL_BODY_BYTES, SmallBytes};
use super::rejection::Rejection;
use crate::args::Timeouts;
use portcullis_telemetry::metrics;

/// How much is read and discarded after a rejection, as a multiple of the largest body; and for how long.
const DISCARD_FACTOR: usize = 4;
const DISCARD_TIME: Duration = Duration::from_secs(5);

/// The minimum rate of a body over [`SMALL_BODY_BYTES`] after its first second: 16 MiB may take four more seconds.
const MIN_BYTES_PER_SECOND: usize = 4 << 20;

/// Returns the owner of a large body from its first 64 KiB. Large bodies of one owner wait for each other.
pub type BodyOwner = fn(&[u8]) -> Option<&[u8]>;

/// The limits on bodies of one listener; clones share their state.
#[derive(Clone)]
pub(crate) struct BodyLimits(Arc<Limits>);

struct Limits {
    max: usize,
    timeouts: Timeouts,
    memory: BodyMemory,
    owner: BodyOwner,
    discards: TaskTracker,
}

// === impl BodyLimits ===

impl BodyLimits {
    /// `max` is the limit of one body in bytes.
    pub(crate) fn new(max: usize, timeouts: Timeouts, owner: BodyOwner) -> Self {
        Self(Arc::new(Limits {
            max,
            timeouts,
            memory: BodyMemory::new(max),
            owner,
            discards: TaskTracker::new(),
        }))
    }

    /// Reads and discards the rest, so that the client receives the response: closing a connection with unread bytes resets
    /// it. A client that waits for `100 Continue` has sent nothing, and polling the body would request it.
    fn discard<B>(&self, expects_continue: bool, mut body: B)
    where
        B: Body<Data = Bytes> + Send + Unpin + 'static,
    {
        if expects_continue || body.is_end_stream() {
            return;
        }
        let max = DISCARD_FACTOR.saturating_mul(self.0.max);
        self.0.discards.spawn(async move {
            let mut discarded = 0;
            let drain = async {
                while let Some(Ok(frame)) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
                    discarded += frame.data_ref().map_or(0, Bytes::len);
                    if discarded > max {
                        break;
                    }
                }
            };
            // Dropping the body closes the stream.
            let _ = timeout(DISCARD_TIME, drain).await;
        });
    }
}

fn expects_continue(headers: &HeaderMap) -> bool {
    headers.get(header::EXPECT).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"))
}

/// Reads the whole body, without a copy if it arrives in one piece.
pub(crate) async fn read_body<B>(
    headers: &HeaderMap,
    body: B,
    limits: &BodyLimits,
    caller: &Arc<Caller>,
) -> Result<Bytes, Rejection>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
{
    let config = &*limits.0;
    let declared = body.size_hint().exact().and_then(|n| usize::try_from(n).ok());
    if declared.is_some_and(|n| n > config.max) || body.size_hint().lower() > config.max as u64 {
        limits.discard(expects_continue(headers), body);
        return Err(Rejection::TooLong { max: config.max });
    }
    let mut reader = Reader { body, deadlines: None, limits: config, caller };
    let whole = reader.whole(declared).await;
    // The rest of a slow body is not read.
    if let Err(Rejection::TooLong { .. } | Rejection::Memory) = whole {
        limits.discard(false, reader.body);
    }
    if let Err(rejection) = &whole
        && let Some(reason) = rejection.reason()
    {
        metrics::request_rejected(reason);
    }
    whole
}

// === impl Reader ===

struct Reader<'a, B> {
    body: B,
    deadlines: Option<Deadlines>,
    limits: &'a Limits,
    caller: &'a Arc<Caller>,
}

/// The deadlines of an unfinished body.
struct Deadlines {
    timer: Pin<Box<Sleep>>,
    /// When it becomes slow; none if it is.
    slow: Option<Instant>,
    end: Instant,
    progress: Instant,
    unfinished: UnfinishedBody,
}

/// A large body and its reservation.
struct ReservedBytes {
    whole: BytesMut,
    _reservation: Reservation,
}

impl<B: Body<Data = Bytes> + Send + Unpin + 'static> Reader<'_, B> {
    async fn whole(&mut self, declared: Option<usize>) -> Result<Bytes, Rejection> {
        let max = self.limits.max;
        let mut piece = match self.next().await? {
            None => return Ok(Bytes::new()),
            Some(first) if first.len() <= max && self.body.is_end_stream() => return Ok(first),
            Some(first) => first,
        };
        let mut whole = BytesMut::with_capacity(declared.unwrap_or(0).min(SMALL_BODY_BYTES).max(piece.len()));
        let mut small = Some(SmallBytes::new(&self.limits.memory, self.caller));
        let mut reserved = None;
        loop {
            let length = whole.len() + piece.len();
            if length > max {
                return Err(Rejection::TooLong { max });
            }
            if length > SMALL_BODY_BYTES && reserved.is_none() {
                small = None;
                reserved = Some(self.reserve(&whole, declared.unwrap_or(max)).await?);
                // The exact size, because growth would double the allocation.
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
            Some(reserved) => Bytes::from_owner(ReservedBytes { whole, _reservation: reserved.complete() }),
        })
    }

    /// Waits for memory, and sets the deadline by the size of the body.
    async fn reserve(&mut self, start: &[u8], bytes: usize) -> Result<Reservation, Rejection> {
        let owner = (self.limits.owner)(start);
        let memory = &self.limits.memory;
        let (caller, end) = (self.caller, self.deadlines()?.end);
        let reserved = timeout_at(end, memory.reserve(caller, owner, bytes)).await;
        let reserved = reserved.ok().flatten().ok_or(Rejection::Memory)?;
        let now = Instant::now();
        let more = Duration::from_millis((bytes.saturating_mul(1_000) / MIN_BYTES_PER_SECOND) as u64);
        let deadline = now + self.limits.timeouts.body_slow + more;
        let deadlines = self.deadlines()?;
        deadlines.end = deadlines.end.min(deadline);
        deadlines.progress = now;
        Ok(reserved)
    }

    /// The next piece of data; trailers are ignored.
    async fn next(&mut self) -> Result<Option<Bytes>, Rejection> {
        let mut waited = false;
        loop {
            let frame = poll_fn(|cx| match Pin::new(&mut self.body).poll_frame(cx) {
                Poll::Ready(frame) => Poll::Ready(Ok(frame)),
                Poll::Pending => {
                    waited = true;
                    let stall = self.limits.timeouts.body_stall;
                    match self.deadlines() {
                        Ok(deadlines) => deadlines.poll_expired(cx, stall).map(Err),
                        Err(rejection) => Poll::Ready(Err(rejection)),
                    }
                }
            })
            .await?;
            if let (true, Some(deadlines)) = (waited, &mut self.deadlines) {
                deadlines.progress = Instant::now();
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

    fn deadlines(&mut self) -> Result<&mut Deadlines, Rejection> {
        match &mut self.deadlines {
            Some(deadlines) => Ok(deadlines),
            empty => {
                let unfinished = UnfinishedBody::begin(self.caller).ok_or(Rejection::Unfinished)?;
                Ok(empty.insert(Deadlines::new(&self.limits.timeouts, unfinished)))
            }
        }
    }
}

impl Deadlines {
    fn new(timeouts: &Timeouts, unfinished: UnfinishedBody) -> Self {
        let now = Instant::now();
        let (slow, end) = (now + timeouts.body_slow, now + timeouts.body_whole);
        let first = slow.min(end).min(now + timeouts.body_stall);
        Self { timer: Box::pin(sleep_until(first)), slow: Some(slow), end, progress: now, unfinished }
    }

    /// Ready if a deadline has passed. The timer is reset when it fires, not for each piece.
    fn poll_expired(&mut self, cx: &mut Context<'_>, stall: Duration) -> Poll<Rejection> {
        loop {
            ready!(self.timer.as_mut().poll(cx));
            let now = Instant::now();
            let deadline = self.end.min(self.progress + stall);
            if deadline <= now {
                return Poll::Ready(Rejection::Slow);
            }
            if self.slow.is_some_and(|slow| slow <= now) {
                self.slow = None;
                if !self.unfinished.mark_slow() {
                    return Poll::Ready(Rejection::Unfinished);
                }
            }
            self.timer.as_mut().reset(self.slow.map_or(deadline, |slow| slow.min(deadline)));
        }
    }
}

impl AsRef<[u8]> for ReservedBytes {
    fn as_ref(&self) -> &[u8] {
        &self.whole
    }
}

#[cfg(test)]
mod tests;
