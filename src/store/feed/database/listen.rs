//! Hears of commits of other processes: PostgreSQL notifies, and SQLite's files are written.

use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::str::FromStr as _;
use std::time::Duration;

use sqlx::Executor as _;
use sqlx::postgres::PgListener;
use sqlx::sqlite::SqliteConnectOptions;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::super::pace::Pace;
use crate::error::StoreError;
use crate::revision::CHANNEL;
use crate::{Kind, Ledger};
use portcullis_lifecycle::watch::{Watch, around};

/// A server that takes longer to be connected to is down.
const PATIENCE: Duration = Duration::from_secs(10);

/// A connection on which nothing was heard for so long is asked whether it still is one.
const SILENCE: Duration = Duration::from_secs(30);

/// After a write to SQLite's files it is looked again, at first after so long, and each time after half as long again, up
/// to so long. Between the write and the commit that it belongs to lies a sync of the disk, which takes what it takes; its
/// end shows in shared memory alone, of which nobody is told.
const AGAIN: (Duration, Duration) = (Duration::from_millis(4), Duration::from_secs(5));

/// Where commits are heard of.
#[derive(Debug, Clone)]
pub enum Ear {
    /// The notifications of a server, by its address. Not through a proxy that pools transactions: it swallows them.
    Postgres(String),
    /// The file of an embedded ledger.
    Sqlite(PathBuf),
}

impl Ear {
    /// Where commits of a ledger are heard of; `url` is the address that it was opened by.
    ///
    /// # Errors
    /// It is another one's.
    pub fn of(ledger: &Ledger, url: &str) -> Result<Self, StoreError> {
        if ledger.kind() == Kind::Postgres {
            return Ok(Self::Postgres(url.to_owned()));
        }
        Ok(Self::Sqlite(SqliteConnectOptions::from_str(url)?.get_filename().to_path_buf()))
    }
}

/// Moves `news` whenever there may have been a commit, until told to stop.
///
/// # Errors
/// Never; a task that ends is a task that died.
pub async fn listen(ear: Ear, news: watch::Sender<u64>, stop: CancellationToken) -> Result<(), Infallible> {
    match ear {
        Ear::Sqlite(file) => {
            tokio::select! {
                () = stop.cancelled() => {}
                never = watch(&file, &news) => match never {},
            }
            Ok(())
        }
        Ear::Postgres(url) => {
            let mut pace = Pace::new(stop.clone());
            loop {
                let mut heard = false;
                let error = tokio::select! {
                    () = stop.cancelled() => return Ok(()),
                    error = hear(&url, &news, &mut heard) => error,
                };
                // What was notified while nobody listened is lost: the follower looks by itself.
                tell(&news);
                tracing::debug!(%error, "not listening to the ledger; connecting again");
                let go_on = if heard { pace.went_well(true).await } else { pace.failed().await };
                if !go_on {
                    return Ok(());
                }
            }
        }
    }
}

/// Tells of every write to a file and those beside it, and for a while after.
async fn watch(file: &Path, news: &watch::Sender<u64>) -> Infallible {
    let (mut watch, mut again) = (Watch::new(), AGAIN.1);
    loop {
        watch.follow(around(file));
        let mut written = std::pin::pin!(watch.changed());
        while tokio::time::timeout(again, &mut written).await.is_err() {
            tell(news);
            again = (again * 3 / 2).min(AGAIN.1);
        }
        tell(news);
        again = AGAIN.0;
    }
}

/// Listens until that ends, and says why it did.
async fn hear(url: &str, news: &watch::Sender<u64>, heard: &mut bool) -> sqlx::Error {
    let connected = tokio::time::timeout(PATIENCE, async {
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
    // Listening from here on, and not before: what was committed until now nobody notifies.
    tell(news);
    loop {
        let received = tokio::select! {
            received = listener.try_recv() => received,
            () = tokio::time::sleep(SILENCE) => match tokio::time::timeout(PATIENCE, listener.execute("SELECT 1")).await {
                Ok(Ok(_)) => continue,
                Ok(Err(error)) => Err(error),
                Err(_) => return sqlx::Error::PoolTimedOut,
            },
        };
        match received {
            Ok(Some(_)) => {
                *heard = true;
                tell(news);
            }
            Ok(None) => return sqlx::Error::WorkerCrashed,
            Err(error) => return error,
        }
    }
}

fn tell(news: &watch::Sender<u64>) {
    news.send_modify(|count| *count = count.wrapping_add(1));
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A commit counts some time after it was written, when the disk has it; a look at once would come too early, and the
    /// next only with the heartbeat.
    #[tokio::test]
    async fn a_write_is_looked_after_until_the_disk_has_it() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("ledger.db");
        std::fs::write(&file, "").unwrap();
        let (news, mut heard) = watch::channel(0);
        let stop = CancellationToken::new();
        let listening = tokio::spawn(listen(Ear::Sqlite(file.clone()), news, stop.clone()));
        tokio::time::sleep(Duration::from_millis(100)).await;
        let before = *heard.borrow_and_update();
        std::fs::write(dir.path().join("ledger.db-wal"), "the first half of a commit").unwrap();
        let begun = tokio::time::Instant::now();
        let mut looks = Vec::new();
        while begun.elapsed() < Duration::from_millis(400) {
            if tokio::time::timeout(Duration::from_millis(400), heard.changed()).await.is_ok() {
                looks.push(begun.elapsed());
            }
        }
        assert!(*heard.borrow_and_update() > before + 5, "{looks:?}");
        // However long the disk takes, it is looked no later than half as long after.
        for took in [20, 50, 100, 200].map(Duration::from_millis) {
            let late = took + took / 2 + Duration::from_millis(50);
            assert!(looks.iter().any(|at| *at >= took && *at < late), "{took:?}: {looks:?}");
        }
        stop.cancel();
        let Ok(()) = listening.await.unwrap();
    }
}
