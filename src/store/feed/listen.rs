//! Learns of commits of other processes: notifications of PostgreSQL, or writes to the files of SQLite.

use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::str::FromStr as _;
use std::time::Duration;

use sqlx::Executor as _;
use sqlx::postgres::PgListener;
use sqlx::sqlite::SqliteConnectOptions;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::backoff::Backoff;
use crate::error::StoreError;
use crate::revision::CHANNEL;
use crate::{Kind, Ledger};
use portcullis_lifecycle::watch::{Watch, around};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// A connection without notifications for this long is tested.
const PROBE_AFTER: Duration = Duration::from_secs(30);

/// After a write to the files of SQLite the ledger is read again after the first delay, then each time after half as long
/// again, up to the second: the commit becomes visible in shared memory some time after the write.
const RECHECK: (Duration, Duration) = (Duration::from_millis(4), Duration::from_secs(5));

#[derive(Debug, Clone)]
pub enum CommitSource {
    /// Address of the server. A proxy that pools transactions drops notifications.
    Postgres(String),
    Sqlite(PathBuf),
}

impl CommitSource {
    /// `url` is the address by which the ledger was opened.
    pub fn of(ledger: &Ledger, url: &str) -> Result<Self, StoreError> {
        if ledger.kind() == Kind::Postgres {
            return Ok(Self::Postgres(url.to_owned()));
        }
        Ok(Self::Sqlite(SqliteConnectOptions::from_str(url)?.get_filename().to_path_buf()))
    }
}

/// Increments `news` whenever there may be a commit, until `stop` is cancelled.
pub async fn listen(
    source: CommitSource,
    news: watch::Sender<u64>,
    stop: CancellationToken,
) -> Result<(), Infallible> {
    match source {
        CommitSource::Sqlite(file) => {
            tokio::select! {
                () = stop.cancelled() => {}
                never = watch(&file, &news) => match never {},
            }
            Ok(())
        }
        CommitSource::Postgres(url) => {
            let mut backoff = Backoff::new(stop.clone());
            loop {
                let mut received_any = false;
                let error = tokio::select! {
                    () = stop.cancelled() => return Ok(()),
                    error = receive(&url, &news, &mut received_any) => error,
                };
                // Notifications during the interruption are lost, so the follower reads the ledger.
                wake(&news);
                tracing::debug!(%error, "the listening connection ended; reconnecting");
                let go_on = if received_any { backoff.succeeded(true).await } else { backoff.failed().await };
                if !go_on {
                    return Ok(());
                }
            }
        }
    }
}

/// Wakes for every write to the file or a file beside it, and for a while after it.
async fn watch(file: &Path, news: &watch::Sender<u64>) -> Infallible {
    let (mut watch, mut delay) = (Watch::new(), RECHECK.1);
    loop {
        watch.follow(around(file));
        let mut written = std::pin::pin!(watch.changed());
        while tokio::time::timeout(delay, &mut written).await.is_err() {
            wake(news);
            delay = (delay * 3 / 2).min(RECHECK.1);
        }
        wake(news);
        delay = RECHECK.0;
    }
}

/// Listens until the connection ends.
async fn receive(url: &str, news: &watch::Sender<u64>, received_any: &mut bool) -> sqlx::Error {
    let connected = tokio::time::timeout(CONNECT_TIMEOUT, async {
        let mut listener = PgListener::connect(url).await?;
        listener.eager_reconnect(false);
        listener.listen(CHANNEL).await?;
        Ok(listener)
    });
    let mut listener = match connected.await {
        Ok(Ok(listener)) => listener,
        Ok(Err(error)) => return error,
        Err(_) => return sqlx::Error::PoolTimedOut,
    };
    // Commits before this point were not notified.
    wake(news);
    loop {
        let received = tokio::select! {
            received = listener.try_recv() => received,
            () = tokio::time::sleep(PROBE_AFTER) => match tokio::time::timeout(CONNECT_TIMEOUT, listener.execute("SELECT 1")).await {
                Ok(Ok(_)) => continue,
                Ok(Err(error)) => Err(error),
                Err(_) => return sqlx::Error::PoolTimedOut,
            },
        };
        match received {
            Ok(Some(_)) => {
                *received_any = true;
                wake(news);
            }
            Ok(None) => return sqlx::Error::WorkerCrashed,
            Err(error) => return error,
        }
    }
}

fn wake(news: &watch::Sender<u64>) {
    news.send_modify(|count| *count = count.wrapping_add(1));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn write_is_rechecked_until_the_commit_is_visible() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("ledger.db");
        std::fs::write(&file, "").unwrap();
        let (news, mut heard) = watch::channel(0);
        let stop = CancellationToken::new();
        let listening = tokio::spawn(listen(CommitSource::Sqlite(file.clone()), news, stop.clone()));
        tokio::time::sleep(Duration::from_millis(100)).await;
        let before = *heard.borrow_and_update();
        std::fs::write(dir.path().join("ledger.db-wal"), "the first half of a commit").unwrap();
        let begun = tokio::time::Instant::now();
        let mut wakes = Vec::new();
        while begun.elapsed() < Duration::from_millis(400) {
            if tokio::time::timeout(Duration::from_millis(400), heard.changed()).await.is_ok() {
                wakes.push(begun.elapsed());
            }
        }
        assert!(*heard.borrow_and_update() > before + 5, "{wakes:?}");
        // Whatever the sync takes, the next check is at most half as long after.
        for took in [20, 50, 100, 200].map(Duration::from_millis) {
            let late = took + took / 2 + Duration::from_millis(50);
            assert!(wakes.iter().any(|at| *at >= took && *at < late), "{took:?}: {wakes:?}");
        }
        stop.cancel();
        let Ok(()) = listening.await.unwrap();
    }
}
