//! What is told of the process as a whole: where it listens, and how it ended.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use tokio_util::sync::CancellationToken;

use super::doors::Addresses;
use portcullis_lifecycle::ready::Readiness;
use portcullis_lifecycle::tasks::Tasks;
use portcullis_server::Drained;
use portcullis_telemetry::decisions::DecisionLog;

/// SIGHUP opens the decision log again, as log rotation expects.
pub(super) fn follow_log(log: &DecisionLog, tasks: &mut Tasks) {
    let log = log.clone();
    tasks.spawn("decision log", |stop| async move {
        let mut hangup = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::hangup())?;
        loop {
            tokio::select! {
                () = stop.cancelled() => return Ok::<(), std::io::Error>(()),
                _ = hangup.recv() => log.reopen(),
            }
        }
    });
}

/// Removes the ready file of a process that was killed: this one is not ready yet.
pub(super) fn forget(ready_file: Option<&Path>) -> anyhow::Result<()> {
    let Some(path) = ready_file else { return Ok(()) };
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("ready file {}", path.display()))
        }
        _ => Ok(()),
    }
}

/// Writes the ready file when the process is ready, and removes it at the end.
pub(super) async fn announce(
    path: PathBuf,
    addresses: Addresses,
    readiness: Readiness,
    stop: CancellationToken,
) -> Result<(), std::io::Error> {
    tokio::select! {
        () = stop.cancelled() => return Ok(()),
        () = readiness.wait() => {}
    }
    // Written aside and renamed: whoever waits for the file reads all of it.
    let aside = path.with_extension("part");
    let mut file = std::fs::File::create(&aside)?;
    file.write_all(&serde_json::to_vec(&addresses)?)?;
    file.sync_all()?;
    std::fs::rename(&aside, &path)?;
    tracing::info!(file = %path.display(), "ready");
    stop.cancelled().await;
    let _ = std::fs::remove_file(&path);
    Ok(())
}

/// Writes the decision log out.
pub(super) async fn close(log: DecisionLog, drained: Drained) {
    let written =
        tokio::task::spawn_blocking(move || log.close(Duration::from_secs(2))).await.unwrap_or(false);
    if !written {
        tracing::warn!("the last lines of the decision log could not be written in time");
    }
    if drained.cut > 0 {
        tracing::warn!(connections = drained.cut, "connections were cut at the end of the grace period");
    }
}
