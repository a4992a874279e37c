//! Hears of commits of other processes: PostgreSQL notifies, and SQLite's files are written.

use std::convert::Infallible;
use std::path::PathBuf;
use std::str::FromStr as _;
use std::time::Duration;

use sqlx::Executor as _;
use sqlx::postgres::PgListener;
use sqlx::sqlite::SqliteConnectOptions;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::super::pace::Pace;
use crate::lifecycle::watch::{Watch, around};
use crate::store::error::StoreError;
use crate::store::revision::CHANNEL;
use crate::store::{Kind, Ledger};

/// A server that takes longer to be connected to is down.
const PATIENCE: Duration = Duration::from_secs(10);

/// A connection on which nothing was heard for so long is asked whether it still is one.
const SILENCE: Duration = Duration::from_secs(30);

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
            let mut watch = Watch::new();
            loop {
                watch.follow(around(&file));
                tokio::select! {
                    () = stop.cancelled() => return Ok(()),
                    () = watch.changed() => tell(&news),
                }
            }
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
                let go_on = if heard { pace.went_well().await } else { pace.failed().await };
                if !go_on {
                    return Ok(());
                }
            }
        }
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
