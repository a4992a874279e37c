//! The end of the process: the first signal drains, the second aborts.
//!
//! ```text
//! signal ─► unready ──delay/2──► closing ──delay/2──► stopping ──≤ grace──► done
//!           balancers look       every answer says     no accepts; what is
//!           away                 `Connection: close`   in flight finishes
//! ```
//!
//! kube-apiserver sticks to a connection until it is told to leave it, and does not replay a POST on a connection
//! that is closed under it. So the second half of the delay moves the callers away with answers, which races with
//! nothing; only what stayed idle all that time is closed from our side.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::ready::Readiness;
use super::tasks::Died;

/// How long the drain waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// Between unready and the end of accepting.
    pub delay: Duration,
    /// For what is in flight after that.
    pub grace: Duration,
}

/// What listeners watch; all clones are one.
#[derive(Clone)]
pub struct Drain {
    shared: Arc<Shared>,
}

/// Leads the process through its drain; made together with the [`Drain`] that others watch.
pub struct Conductor {
    timing: Timing,
    readiness: Readiness,
    drain: Drain,
}

/// Where signals come from.
pub enum Signals {
    /// SIGTERM and SIGINT of this process.
    Os {
        /// From the kubelet.
        terminate: Signal,
        /// From a terminal.
        interrupt: Signal,
    },
    /// Handed in: by tests, and by whoever ends a server that it started itself.
    Manual(mpsc::Receiver<()>),
}

/// The work came to its end after a drain, or by itself.
#[derive(Debug)]
pub struct Finished<T> {
    /// What the work returned.
    pub output: T,
    /// The background task whose death began the drain: the process ends, but not well.
    pub died: Option<Died>,
}

/// A second signal came before the drain was over; what was in flight is lost.
#[derive(Debug, thiserror::Error)]
#[error("a second signal aborted the drain")]
pub struct Aborted;

struct Shared {
    closing: CancellationToken,
    stopping: CancellationToken,
    grace: Duration,
}

// === impl Drain ===

impl Drain {
    /// Nothing has begun. `grace` bounds what is in flight once [`Drain::stop`] is called.
    pub fn new(grace: Duration) -> Self {
        let (closing, stopping) = (CancellationToken::new(), CancellationToken::new());
        Self { shared: Arc::new(Shared { closing, stopping, grace }) }
    }

    /// From here on callers are told to leave.
    pub fn close(&self) {
        self.shared.closing.cancel();
    }

    /// From here on nothing is accepted. Implies [`Drain::close`].
    pub fn stop(&self) {
        self.shared.closing.cancel();
        self.shared.stopping.cancel();
    }

    /// Cancelled by [`Drain::close`]. A child, so that watching it contends with nobody.
    pub fn closing(&self) -> CancellationToken {
        self.shared.closing.child_token()
    }

    /// Cancelled by [`Drain::stop`]. A child, so that watching it contends with nobody.
    pub fn stopping(&self) -> CancellationToken {
        self.shared.stopping.child_token()
    }

    /// How long what is in flight may take after [`Drain::stop`].
    pub fn grace(&self) -> Duration {
        self.shared.grace
    }
}

// === impl Conductor ===

impl Conductor {
    /// The conductor and what it conducts.
    pub fn new(timing: Timing, readiness: Readiness) -> (Self, Drain) {
        let drain = Drain::new(timing.grace);
        (Self { timing, readiness, drain: drain.clone() }, drain)
    }

    /// Runs `work` until it is over. A signal, or the death of a background task, begins the drain, which `work`
    /// notices through its [`Drain`]; the next signal drops `work` where it stands.
    pub async fn conduct<T>(
        self,
        mut signals: Signals,
        died: impl Future<Output = Died>,
        work: impl Future<Output = T>,
    ) -> Result<Finished<T>, Aborted> {
        let mut work = std::pin::pin!(work);
        // Biased: work that is done is done, whatever arrives at the same moment.
        let died = tokio::select! {
            biased;
            output = &mut work => return Ok(Finished { output, died: None }),
            () = signals.recv() => None,
            died = died => Some(died),
        };
        if let Some(died) = &died {
            tracing::error!(error = %died, "a task is gone, and so the process ends");
        }
        tracing::info!(delay = ?self.timing.delay, grace = ?self.timing.grace, "draining");
        tokio::select! {
            biased;
            output = work => Ok(Finished { output, died }),
            never = self.lead() => match never {},
            () = signals.recv() => Err(Aborted),
        }
    }

    /// Takes the phases in turn, then leaves the end to the work.
    async fn lead(&self) -> Infallible {
        self.readiness.drain();
        tokio::time::sleep(self.timing.delay / 2).await;
        self.drain.close();
        tokio::time::sleep(self.timing.delay / 2).await;
        self.drain.stop();
        std::future::pending().await
    }
}

// === impl Signals ===

impl Signals {
    /// Takes SIGTERM and SIGINT over from their defaults.
    pub fn os() -> io::Result<Self> {
        let terminate = signal(SignalKind::terminate())?;
        Ok(Self::Os { terminate, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Signals that are sent by hand. Once every sender is gone, none comes any more.
    pub fn manual() -> (mpsc::Sender<()>, Self) {
        // Two are all that mean anything: one drains, one aborts.
        let (sender, receiver) = mpsc::channel(2);
        (sender, Self::Manual(receiver))
    }

    /// The next signal.
    pub async fn recv(&mut self) {
        let received = match self {
            Self::Os { terminate, interrupt } => tokio::select! {
                got = terminate.recv() => got,
                got = interrupt.recv() => got,
            },
            Self::Manual(receiver) => receiver.recv().await,
        };
        if received.is_none() {
            std::future::pending::<()>().await;
        }
    }
}

#[cfg(test)]
mod tests;
