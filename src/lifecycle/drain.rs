//! Shutdown: the first signal drains, the second aborts.
//!
//! ```text
//! signal ─► unready ──delay/2──► closing ──delay/2──► stopping ──≤ grace──► done
//!           load balancers       every response says  no accepts; requests
//!           stop sending         `Connection: close`  in flight finish
//! ```
//!
//! kube-apiserver keeps a connection until the server closes it, and does not repeat a POST that was cut off. So the
//! second half of the delay moves callers to other replicas by their responses.

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

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// Between the first signal and the end of accepting.
    pub delay: Duration,
    /// For requests in flight after that.
    pub grace: Duration,
}

/// The state of the drain, which listeners watch. Clones share it.
#[derive(Clone)]
pub struct Drain {
    state: Arc<DrainState>,
}

/// Runs the phases of the drain.
pub struct Conductor {
    timing: Timing,
    readiness: Readiness,
    drain: Drain,
}

pub enum Signals {
    /// SIGTERM and SIGINT of this process.
    Os {
        /// From the kubelet.
        terminate: Signal,
        /// From a terminal.
        interrupt: Signal,
    },
    /// Signals sent through a channel, in tests and for servers that the process starts itself.
    Manual(mpsc::Receiver<()>),
}

#[derive(Debug)]
pub struct Finished<T> {
    pub output: T,
    /// The background task whose end started the drain; the process then exits with an error.
    pub died: Option<Died>,
}

#[derive(Debug, thiserror::Error)]
#[error("a second signal aborted the drain")]
pub struct Aborted;

struct DrainState {
    closing: CancellationToken,
    stopping: CancellationToken,
    grace: Duration,
}

// === impl Drain ===

impl Drain {
    /// `grace` bounds the requests in flight once [`Drain::stop`] is called.
    pub fn new(grace: Duration) -> Self {
        let (closing, stopping) = (CancellationToken::new(), CancellationToken::new());
        Self { state: Arc::new(DrainState { closing, stopping, grace }) }
    }

    /// From now on every response says `Connection: close`.
    pub fn close(&self) {
        self.state.closing.cancel();
    }

    /// From now on no connection is accepted. Implies [`Drain::close`].
    pub fn stop(&self) {
        self.state.closing.cancel();
        self.state.stopping.cancel();
    }

    /// Cancelled by [`Drain::close`]. A child token, so that waiters do not contend on one lock.
    pub fn closing(&self) -> CancellationToken {
        self.state.closing.child_token()
    }

    /// Cancelled by [`Drain::stop`]. A child token, so that waiters do not contend on one lock.
    pub fn stopping(&self) -> CancellationToken {
        self.state.stopping.child_token()
    }

    pub fn grace(&self) -> Duration {
        self.state.grace
    }
}

// === impl Conductor ===

impl Conductor {
    pub fn new(timing: Timing, readiness: Readiness) -> (Self, Drain) {
        let drain = Drain::new(timing.grace);
        (Self { timing, readiness, drain: drain.clone() }, drain)
    }

    /// Runs `work` to its end. A signal, or the end of a background task, starts the drain, which `work` observes
    /// through its [`Drain`]; the next signal drops `work`.
    pub async fn conduct<T>(
        self,
        mut signals: Signals,
        died: impl Future<Output = Died>,
        work: impl Future<Output = T>,
    ) -> Result<Finished<T>, Aborted> {
        let mut work = std::pin::pin!(work);
        // Biased: finished work wins over a signal that arrives at the same moment.
        let died = tokio::select! {
            biased;
            output = &mut work => return Ok(Finished { output, died: None }),
            () = signals.recv() => None,
            died = died => Some(died),
        };
        if let Some(died) = &died {
            tracing::error!(error = %died, "a background task ended; the process shuts down");
        }
        tracing::info!(delay = ?self.timing.delay, grace = ?self.timing.grace, "draining");
        tokio::select! {
            biased;
            output = work => Ok(Finished { output, died }),
            never = self.lead() => match never {},
            () = signals.recv() => Err(Aborted),
        }
    }

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
    /// Replaces the default handlers of SIGTERM and SIGINT.
    pub fn os() -> io::Result<Self> {
        let terminate = signal(SignalKind::terminate())?;
        Ok(Self::Os { terminate, interrupt: signal(SignalKind::interrupt())? })
    }

    pub fn manual() -> (mpsc::Sender<()>, Self) {
        // Only two signals have a meaning: one drains, one aborts.
        let (sender, receiver) = mpsc::channel(2);
        (sender, Self::Manual(receiver))
    }

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
