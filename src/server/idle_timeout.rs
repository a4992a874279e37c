//! Tracks what a connection does, so that its header, idle and send timeouts need no timer per request.
//!
//! hyper's header timeout starts when a connection becomes idle, so it would close kept-alive connections, or allow a slow
//! client the whole idle time. Here the first byte of a request is noticed; a watcher compares the state from time to time.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The state of one connection. Relaxed ordering: the fields are independent.
pub(super) struct ConnectionActivity {
    /// Counts the changes; the lowest bit is set while a head is read.
    changes: AtomicU64,
    /// Requests that are served; more than one only on HTTP/2.
    serving: AtomicU32,
    /// Counts the changes of whether the socket blocks writes; the lowest bit is set while it does.
    blocked: AtomicU64,
    /// Unsent responses of HTTP/2, and the number of sent ones.
    unsent: AtomicU32,
    sent: AtomicU64,
    /// Whether a byte starts a request. On HTTP/2 it may be another frame, and an unfinished head is closed by the idle
    /// timeout.
    http1: bool,
}

/// Measures for how long the state has not changed.
pub(super) struct IdleWatcher {
    activity: Arc<ConnectionActivity>,
    last: (u64, Phase),
    since: Instant,
    unread: Option<(u64, u64)>,
    unread_since: Instant,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Between requests.
    Idle,
    /// A request has started, and its head is incomplete.
    ReadingHead,
    /// A request is served; its body and its handler have their own limits.
    Serving,
}

/// Records reads and blocked writes of a stream.
pub(super) struct WatchedStream<I> {
    io: I,
    activity: Arc<ConnectionActivity>,
}

/// A request that is served, until it is dropped.
pub(super) struct RequestGuard(Arc<ConnectionActivity>);

/// An unsent HTTP/2 response, until it is dropped.
pub(super) struct UnsentGuard(Arc<ConnectionActivity>);

// === impl ConnectionActivity ===

impl ConnectionActivity {
    pub(super) fn new(http1: bool) -> Arc<Self> {
        let [changes, blocked, sent] = std::array::from_fn(|_| AtomicU64::new(0));
        let [serving, unsent] = std::array::from_fn(|_| AtomicU32::new(0));
        Arc::new(Self { changes, serving, blocked, unsent, sent, http1 })
    }

    /// The head of a request is complete.
    pub(super) fn request_started(self: &Arc<Self>) -> RequestGuard {
        self.serving.fetch_add(1, Ordering::Relaxed);
        self.mark_changed(0);
        RequestGuard(self.clone())
    }

    /// A response is ready and not sent yet.
    pub(super) fn response_ready(self: &Arc<Self>) -> UnsentGuard {
        self.unsent.fetch_add(1, Ordering::Relaxed);
        UnsentGuard(self.clone())
    }

    /// Only one task writes, so a load and a store are enough.
    fn set_write_blocked(&self, is_blocked: bool) {
        let blocked = self.blocked.load(Ordering::Relaxed);
        if (blocked & 1 == 1) != is_blocked {
            self.blocked.store(blocked + 1, Ordering::Relaxed);
        }
    }

    /// A value that changes while the client reads; none if there is nothing to send.
    fn send_progress(&self) -> Option<(u64, u64)> {
        let (blocked, sent) = (self.blocked.load(Ordering::Relaxed), self.sent.load(Ordering::Relaxed));
        (blocked & 1 == 1 || self.unsent.load(Ordering::Relaxed) > 0).then_some((blocked, sent))
    }

    fn bytes_received(&self) {
        if self.http1 && self.state().1 == Phase::Idle {
            self.mark_changed(1);
        }
    }

    fn state(&self) -> (u64, Phase) {
        let changes = self.changes.load(Ordering::Relaxed);
        let phase = match (self.serving.load(Ordering::Relaxed), changes & 1) {
            (0, 0) => Phase::Idle,
            (0, _) => Phase::ReadingHead,
            _ => Phase::Serving,
        };
        (changes, phase)
    }

    /// Concurrent changes on HTTP/2 may count as one; the number still differs.
    fn mark_changed(&self, head: u64) {
        let changes = self.changes.load(Ordering::Relaxed);
        self.changes.store((((changes >> 1) + 1) << 1) | head, Ordering::Relaxed);
    }
}

impl Drop for RequestGuard {
    fn drop(&mut self) {
        self.0.mark_changed(0);
        self.0.serving.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Drop for UnsentGuard {
    fn drop(&mut self) {
        self.0.sent.fetch_add(1, Ordering::Relaxed);
        self.0.unsent.fetch_sub(1, Ordering::Relaxed);
    }
}

// === impl IdleWatcher ===

impl IdleWatcher {
    pub(super) fn new(activity: Arc<ConnectionActivity>) -> Self {
        let (last, unread, now) = (activity.state(), activity.send_progress(), Instant::now());
        Self { activity, last, since: now, unread, unread_since: now }
    }

    /// For how long the client has not read a pending response.
    pub(super) fn unread_for(&mut self) -> Duration {
        let now = self.activity.send_progress();
        if now != self.unread {
            (self.unread, self.unread_since) = (now, Instant::now());
        }
        if now.is_some() { self.unread_since.elapsed() } else { Duration::ZERO }
    }

    /// The phase, and for how long the state has not changed.
    pub(super) fn phase(&mut self) -> (Phase, Duration) {
        let now = self.activity.state();
        if now != self.last {
            (self.last, self.since) = (now, Instant::now());
        }
        (self.last.1, self.since.elapsed())
    }
}

// === impl WatchedStream ===

impl<I> WatchedStream<I> {
    pub(super) fn new(io: I, activity: Arc<ConnectionActivity>) -> Self {
        Self { io, activity }
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for WatchedStream<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.io).poll_read(cx, buf))?;
        if buf.filled().len() > before {
            self.activity.bytes_received();
        }
        Poll::Ready(Ok(()))
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for WatchedStream<I> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write(cx, buf);
        if written.is_pending() {
            self.activity.set_write_blocked(true);
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
            self.activity.set_write_blocked(true);
        }
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        let flushed = Pin::new(&mut self.io).poll_flush(cx);
        self.activity.set_write_blocked(flushed.is_pending());
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
    fn bytes_between_requests_start_a_head_and_bytes_of_a_body_do_not() {
        let activity = ConnectionActivity::new(true);
        let phase = || activity.state().1;
        assert_eq!(phase(), Phase::Idle);
        activity.bytes_received();
        assert_eq!(phase(), Phase::ReadingHead);
        let (first, second) = (activity.request_started(), activity.request_started());
        activity.bytes_received();
        assert_eq!(phase(), Phase::Serving);
        drop(first);
        assert_eq!(phase(), Phase::Serving);
        drop(second);
        assert_eq!(phase(), Phase::Idle);
    }

    #[test]
    fn request_between_two_checks_resets_the_timeout() {
        let activity = ConnectionActivity::new(true);
        let mut watcher = IdleWatcher::new(activity.clone());
        watcher.since -= Duration::from_mins(1);
        assert!(watcher.phase().1 >= Duration::from_mins(1));
        drop(activity.request_started());
        let (phase, since) = watcher.phase();
        assert!(phase == Phase::Idle && since < Duration::from_mins(1));
    }

    #[test]
    fn client_that_does_not_read_is_detected_and_reading_resets_the_timeout() {
        let activity = ConnectionActivity::new(true);
        let mut watcher = IdleWatcher::new(activity.clone());
        let minute = Duration::from_mins(1);
        let mut unread_for_a_minute = || {
            watcher.unread_for();
            watcher.unread_since -= minute;
            watcher.unread_for() >= minute
        };
        assert!(!unread_for_a_minute(), "no response is pending");
        activity.set_write_blocked(true);
        assert!(unread_for_a_minute());
        activity.set_write_blocked(false);
        assert!(!unread_for_a_minute());
        let (first, second) = (activity.response_ready(), activity.response_ready());
        assert!(unread_for_a_minute());
        drop(first);
        assert!(watcher.unread_for() < minute, "one was sent");
        drop(second);
        assert_eq!(watcher.unread_for(), Duration::ZERO);
    }

    #[test]
    fn http2_frames_do_not_start_a_head() {
        let activity = ConnectionActivity::new(false);
        activity.bytes_received();
        assert_eq!(activity.state().1, Phase::Idle);
    }
}
