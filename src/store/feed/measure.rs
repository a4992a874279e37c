//! Measures the snapshot in force, so that its growth is seen long before a reader refuses it.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use portcullis_telemetry::metrics;
use portcullis_tenancy::snapshot::{Snapshot, bytes_of};

/// Between two measurements: one of 100,000 namespaces takes some 50 ms of a processor.
const PAUSE: Duration = Duration::from_secs(10);

/// Measures the newest snapshot, at most every ten seconds, until told to stop.
///
/// # Errors
/// Never; a task that ends is a task that died.
pub async fn measure(
    mut in_force: watch::Receiver<Option<Arc<Snapshot>>>,
    stop: CancellationToken,
) -> Result<(), Infallible> {
    loop {
        let snapshot = in_force.borrow_and_update().clone();
        if let Some(snapshot) = snapshot {
            let measured = tokio::task::spawn_blocking(move || bytes_of(&*snapshot)).await;
            if let Ok(bytes) = measured {
                metrics::snapshot_bytes(bytes);
            }
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                () = tokio::time::sleep(PAUSE) => {}
            }
        }
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            changed = in_force.changed() => if changed.is_err() { stop.cancelled().await },
        }
    }
}
