//! A PostgreSQL server of this run's own, as the tests have it.

use std::time::{Duration, Instant};

#[path = "../../tests/it/support/ended.rs"]
mod ended;

#[expect(dead_code, reason = "shared with the tests, which use the rest")]
#[path = "../../tests/it/support/postgres.rs"]
pub mod postgres;

/// Waits until something is there.
pub fn wait<T>(patience: Duration, mut what: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + patience;
    let (_sender, never) = std::sync::mpsc::channel::<()>();
    loop {
        if let Some(found) = what() {
            return found;
        }
        assert!(Instant::now() < deadline, "did not come within {patience:?}");
        let _ = never.recv_timeout(Duration::from_millis(2));
    }
}
