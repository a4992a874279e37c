//! Keeps the newest snapshot on disk, beside the road: what it does delays no change, and what it cannot do stops none.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::kept::Kept;
use portcullis_telemetry::metrics;
use portcullis_tenancy::snapshot::Snapshot;

/// Between a change and its copy: a burst of changes is one write.
const DEBOUNCE: Duration = Duration::from_millis(500);

/// Until a write that failed is tried again, if nothing changes before.
const RETRY: Duration = Duration::from_secs(30);

/// Writes each new snapshot, until told to stop; what is new then is still written.
///
/// # Errors
/// Never; a task that ends is a task that died.
pub async fn keep(
    kept: Kept,
    mut latest: watch::Receiver<Option<Arc<Snapshot>>>,
    stop: CancellationToken,
) -> Result<(), Infallible> {
    let mut failed: Option<String> = None;
    let mut unwritten = false;
    loop {
        let retry =
            async { if unwritten { tokio::time::sleep(RETRY).await } else { std::future::pending().await } };
        tokio::select! {
            () = stop.cancelled() => {}
            () = retry => {}
            changed = latest.changed() => match changed {
                Ok(()) => unwritten = true,
                Err(_) => stop.cancelled().await, // nobody is left to send one
            },
        }
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(DEBOUNCE) => {}
        }
        let over = stop.is_cancelled();
        unwritten |= latest.has_changed().unwrap_or(false);
        let snapshot = latest.borrow_and_update().clone();
        if let Some(snapshot) = snapshot.filter(|_| unwritten) {
            let file = kept.clone();
            let written = tokio::task::spawn_blocking(move || file.write(&snapshot)).await;
            let error = match written {
                Ok(Ok(())) => None,
                Ok(Err(error)) => Some(error.to_string()),
                Err(error) => Some(error.to_string()),
            };
            tell(&kept, failed.as_ref(), error.as_ref());
            unwritten = error.is_some();
            failed = error;
        }
        if over {
            return Ok(());
        }
    }
}

fn tell(kept: &Kept, before: Option<&String>, error: Option<&String>) {
    metrics::snapshot_kept(error.is_none());
    let file = kept.path().display();
    match error {
        Some(error) if before != Some(error) => {
            tracing::error!(%file, %error, "the snapshot could not be kept for the next start; deciding goes on");
        }
        None if before.is_some() => tracing::info!(%file, "the snapshot is kept on disk again"),
        _ => {}
    }
}
