//! How soon a source is asked again: after a failure later each time, after a success at once but for a breath.

use std::time::Duration;

use backon::{BackoffBuilder as _, ExponentialBackoff, ExponentialBuilder};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Between two snapshots that are put in force, at least: under a storm of writes several changes become one, and the gate
/// keeps its processor for reviews: one that comes costs a gate 150 µs. A change that comes alone does not wait.
const BREATH: Duration = Duration::from_millis(10);

/// After failures: doubled from the first to the second, and scattered, so that gates do not come back all at once.
const RETRY: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// The pace of one source.
pub struct Pace {
    stop: CancellationToken,
    failures: ExponentialBackoff,
    last: Instant,
}

impl Pace {
    /// Nothing has failed yet.
    pub fn new(stop: CancellationToken) -> Self {
        Self { stop, failures: fresh(), last: Instant::now() }
    }

    /// Waits after a failure. False once it is time to stop.
    pub async fn failed(&mut self) -> bool {
        let wait = self.failures.next().unwrap_or(RETRY.1);
        self.sleep_until(Instant::now() + wait).await
    }

    /// Waits after a success, where it brought something. False once it is time to stop.
    pub async fn went_well(&mut self, news: bool) -> bool {
        self.failures = fresh();
        if !news {
            // A look that came too early must not hold up the one that it was early for.
            return !self.stop.is_cancelled();
        }
        let until = self.last + BREATH;
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

fn fresh() -> ExponentialBackoff {
    ExponentialBuilder::new()
        .with_min_delay(RETRY.0)
        .with_max_delay(RETRY.1)
        .without_max_times()
        .with_jitter()
        .build()
}
