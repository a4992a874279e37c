//! What a connection is doing, so that its deadlines cost a request a few stores, no timer and no clock.
//!
//! hyper's own header timeout starts when a connection turns idle, not when a request begins: it can either cut
//! kept-alive connections after 10 s, which an API server must not meet, or let a slow loris have the idle time.
//! So the two are told apart here, where the first byte of a request passes. Time is the watcher's business: it
//! looks once in a while, and what looks the same as before has lasted since then.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The state of one connection. Relaxed throughout: each word is the whole message.
pub(super) struct Pulse {
    /// Counts the changes; the lowest bit says that a head has begun.
    beat: AtomicU64,
    /// Requests being answered; more than one on HTTP/2 only.
    open: AtomicU32,
    /// Counts the times that the caller began and ceased to be behind with reading; the lowest bit says that it is.
    behind: AtomicU64,
    /// Answers of HTTP/2 that the caller's windows hold up, and how many were sent.
    unsent: AtomicU32,
    sent: AtomicU64,
    /// Whether a byte begins a request. On HTTP/2 it may as well be a ping or a window: there a head that does not
    /// end holds up its whole connection, and the idle time ends that.
    heads: bool,
}

/// Looks at a pulse now and then, and says for how long nothing has changed.
pub(super) struct Watcher {
    pulse: Arc<Pulse>,
    seen: (u64, Phase),
    since: Instant,
    unread: Option<(u64, u64)>,
    unread_since: Instant,
}

/// What a connection is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Nothing: between requests.
    Idle,
    /// A request has begun, and its head is not complete.
    Head,
    /// A request is being answered; its body and its handler have bounds of their own.
    Busy,
}

/// An IO that tells the pulse when bytes arrive.
pub(super) struct Watched<I> {
    io: I,
    pulse: Arc<Pulse>,
}

/// A request being answered, for as long as it lives.
pub(super) struct Open(Arc<Pulse>);

/// An answer of HTTP/2 that is not sent yet, for as long as it lives.
pub(super) struct Unsent(Arc<Pulse>);

// === impl Pulse ===

impl Pulse {
    pub(super) fn new(heads: bool) -> Arc<Self> {
        let [beat, behind, sent] = std::array::from_fn(|_| AtomicU64::new(0));
        let [open, unsent] = std::array::from_fn(|_| AtomicU32::new(0));
        Arc::new(Self { beat, open, behind, unsent, sent, heads })
    }

    /// A request has come whole, but for its body.
    pub(super) fn open(self: &Arc<Self>) -> Open {
        self.open.fetch_add(1, Ordering::Relaxed);
        self.change(0);
        Open(self.clone())
    }

    /// An answer is ready, but for its way to the caller.
    pub(super) fn unsent(self: &Arc<Self>) -> Unsent {
        self.unsent.fetch_add(1, Ordering::Relaxed);
        Unsent(self.clone())
    }

    /// The socket takes no more, or has taken everything. One task writes, so nothing comes between.
    fn behind(&self, is: bool) {
        let behind = self.behind.load(Ordering::Relaxed);
        if (behind & 1 == 1) != is {
            self.behind.store(behind + 1, Ordering::Relaxed);
        }
    }

    /// What changes while a caller reads; none where there is nothing for it to read.
    fn unread(&self) -> Option<(u64, u64)> {
        let (behind, sent) = (self.behind.load(Ordering::Relaxed), self.sent.load(Ordering::Relaxed));
        (behind & 1 == 1 || self.unsent.load(Ordering::Relaxed) > 0).then_some((behind, sent))
    }

    fn bytes_came(&self) {
        if self.heads && self.look().1 == Phase::Idle {
            self.change(1);
        }
    }

    fn look(&self) -> (u64, Phase) {
        let beat = self.beat.load(Ordering::Relaxed);
        let phase = match (self.open.load(Ordering::Relaxed), beat & 1) {
            (0, 0) => Phase::Idle,
            (0, _) => Phase::Head,
            _ => Phase::Busy,
        };
        (beat, phase)
    }

    /// Two threads that change at once (HTTP/2) may count as one: it is still another number than before.
    fn change(&self, head: u64) {
        let beat = self.beat.load(Ordering::Relaxed);
        self.beat.store((((beat >> 1) + 1) << 1) | head, Ordering::Relaxed);
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.change(0);
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Drop for Unsent {
    fn drop(&mut self) {
        self.0.sent.fetch_add(1, Ordering::Relaxed);
        self.0.unsent.fetch_sub(1, Ordering::Relaxed);
    }
}

// === impl Watcher ===

impl Watcher {
    pub(super) fn new(pulse: Arc<Pulse>) -> Self {
        let (seen, unread, now) = (pulse.look(), pulse.unread(), Instant::now());
        Self { pulse, seen, since: now, unread, unread_since: now }
    }

    /// For how long the caller has been seen to leave unread what is sent to it.
    pub(super) fn unread(&mut self) -> Duration {
        let now = self.pulse.unread();
        if now != self.unread {
            (self.unread, self.unread_since) = (now, Instant::now());
        }
        if now.is_some() { self.unread_since.elapsed() } else { Duration::ZERO }
    }

    /// What the connection is doing, and for how long it has been seen to do just that.
    pub(super) fn look(&mut self) -> (Phase, Duration) {
        let now = self.pulse.look();
        if now != self.seen {
            (self.seen, self.since) = (now, Instant::now());
        }
        (self.seen.1, self.since.elapsed())
    }
}

// === impl Watched ===

impl<I> Watched<I> {
    pub(super) fn new(io: I, pulse: Arc<Pulse>) -> Self {
        Self { io, pulse }
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for Watched<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.io).poll_read(cx, buf))?;
        if buf.filled().len() > before {
            self.pulse.bytes_came();
        }
        Poll::Ready(Ok(()))
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for Watched<I> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write(cx, buf);
        if written.is_pending() {
            self.pulse.behind(true);
        }
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[std::io::IoSlice<'_>],
    ) -> Poll<std::io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write_vectored(cx, bufs);
        if written.is_pending() {
            self.pulse.behind(true);
        }
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        let flushed = Pin::new(&mut self.io).poll_flush(cx);
        self.pulse.behind(flushed.is_pending());
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_between_requests_begin_a_head_and_those_of_a_body_do_not() {
        let pulse = Pulse::new(true);
        let phase = || pulse.look().1;
        assert_eq!(phase(), Phase::Idle);
        pulse.bytes_came();
        assert_eq!(phase(), Phase::Head);
        let (first, second) = (pulse.open(), pulse.open());
        pulse.bytes_came();
        assert_eq!(phase(), Phase::Busy);
        drop(first);
        assert_eq!(phase(), Phase::Busy);
        drop(second);
        assert_eq!(phase(), Phase::Idle);
    }

    #[test]
    fn a_request_between_two_looks_starts_the_time_again() {
        let pulse = Pulse::new(true);
        let mut watcher = Watcher::new(pulse.clone());
        watcher.since -= Duration::from_mins(1);
        assert!(watcher.look().1 >= Duration::from_mins(1));
        drop(pulse.open());
        let (phase, since) = watcher.look();
        assert!(phase == Phase::Idle && since < Duration::from_mins(1));
    }

    #[test]
    fn caller_that_reads_nothing_is_seen_and_one_that_reads_starts_the_time_again() {
        let pulse = Pulse::new(true);
        let mut watcher = Watcher::new(pulse.clone());
        let minute = Duration::from_mins(1);
        let mut unread_for_a_minute = || {
            watcher.unread();
            watcher.unread_since -= minute;
            watcher.unread() >= minute
        };
        assert!(!unread_for_a_minute(), "there is nothing to read");
        pulse.behind(true);
        assert!(unread_for_a_minute());
        pulse.behind(false);
        assert!(!unread_for_a_minute());
        let (first, second) = (pulse.unsent(), pulse.unsent());
        assert!(unread_for_a_minute());
        drop(first);
        assert!(watcher.unread() < minute, "one was sent");
        drop(second);
        assert_eq!(watcher.unread(), Duration::ZERO);
    }

    #[test]
    fn frames_of_http2_are_not_heads() {
        let pulse = Pulse::new(false);
        pulse.bytes_came();
        assert_eq!(pulse.look().1, Phase::Idle);
    }
}
