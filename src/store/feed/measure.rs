//! Measures the snapshot in force, so that its growth is seen long before a reader refuses it.

use std::convert::Infallible;
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::telemetry::metrics;
use crate::tenancy::snapshot::Snapshot;

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
            let measured = tokio::task::spawn_blocking(move || length(&snapshot)).await;
            if let Ok(Ok(bytes)) = measured {
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

/// Bytes of the document as JSON, which are what a reader bounds.
fn length(snapshot: &Snapshot) -> Result<usize, serde_json::Error> {
    let mut count = Count(0);
    serde_json::to_writer(&mut count, snapshot)?;
    Ok(count.0)
}

struct Count(usize);

impl Write for Count {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tenancy::snapshot::tests::world;

    #[test]
    fn length_is_that_of_the_document() {
        assert_eq!(length(&world()).unwrap(), serde_json::to_vec(&world()).unwrap().len());
    }
}
