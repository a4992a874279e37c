//! When a source is read again: after a failure with exponential backoff, after a success almost at once.

use std::time::Duration;

use backon::{BackoffBuilder as _, ExponentialBackoff, ExponentialBuilder};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Between two applied snapshots, so that under many writes several changes become one. A single change does not wait.
const MIN_INTERVAL: Duration = Duration::from_millis(10);

/// First and longest delay, with jitter.
const RETRY: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

pub struct Backoff {
    stop: CancellationToken,
    failures: ExponentialBackoff,
    last: Instant,
}

impl Backoff {
    pub fn new(stop: CancellationToken) -> Self {
        Self { stop, failures: exponential(), last: Instant::now() }
    }

    /// Waits after a failure; `false` once stopped.
    pub async fn failed(&mut self) -> bool {
        let wait = self.failures.next().unwrap_or(RETRY.1);
        self.sleep_until(Instant::now() + wait).await
    }

    /// Waits after a success with a change; `false` once stopped.
    pub async fn succeeded(&mut self, changed: bool) -> bool {
        self.failures = exponential();
        if !changed {
            // A read that came too early must not delay the next one.
            return !self.stop.is_cancelled();
        }
        let until = self.last + MIN_INTERVAL;
        let go_on = self.sleep_until(until).await;
        self.last = Instant::now();
        go_on
    }

    async fn sleep_until(&self, until: Instant) -> bool {
        tokio::select! {
            () = self.stop.cancelled() => false,
            () = tokio::time::sleep_until(until) => true,
        }
    }
}

fn exponential() -> ExponentialBackoff {
    ExponentialBuilder::new()
        .with_min_delay(RETRY.0)
        .with_max_delay(RETRY.1)
        .without_max_times()
        .with_jitter()
        .build()
}
