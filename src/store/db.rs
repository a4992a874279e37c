//! The fork: what differs between SQLite and PostgreSQL, and nothing else.
//!
//! Both are reached through sqlx' `Any`, so that a statement is written once. What cannot be the same is here: how a
//! database is opened, how a transaction begins and whose it is, and what an error means.

mod address;
pub(super) mod faults;
mod session;

use std::sync::Arc;
use std::time::Duration;

use sqlx::any::AnyPoolOptions;
use sqlx::pool::PoolConnection;
use sqlx::{Any, AnyConnection, AnyPool, Executor as _};
use tokio::sync::Semaphore;

use super::error::StoreError;
pub use address::{default_dir, default_url};
pub(super) use session::{Mode, Session, Wall};

/// A connection that has been idle for longer is asked whether it still lives before it is used.
const TRUSTED_IDLE: Duration = Duration::from_secs(5);

/// Which database it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A file of this machine, for one process at a time that writes much and any number that read.
    Sqlite,
    /// A server, for any number of processes.
    Postgres,
}

/// How a ledger is opened.
#[derive(Debug, Clone)]
pub struct Options {
    /// Most connections at a time, 1 to 100; default 8.
    pub connections: u32,
    /// How long a transaction waits for a connection, or for a lock that another holds; default 5 s.
    pub patience: Duration,
    /// Bring the schema up to date while opening it; default true. Otherwise an older schema is an error.
    pub migrate: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { connections: 8, patience: Duration::from_secs(5), migrate: true }
    }
}

/// The pool, and what a transaction needs to know to begin on it.
#[derive(Debug, Clone)]
pub(super) struct Database {
    pool: AnyPool,
    /// One connection for whoever holds the ledger's row: waiting for one of `pool` it would wait for those who wait for it.
    aside: AnyPool,
    kind: Kind,
    patience: Duration,
    /// SQLite has one writer at a time. Whoever waits for it in a queue of ours is served in turn and at once; in
    /// SQLite's own loop, by chance and late.
    writer: Arc<Semaphore>,
}

impl Database {
    /// Opens a pool and a connection of it, so that it is known to be there.
    pub(super) async fn open(url: &str, options: &Options) -> Result<Self, StoreError> {
        let database = Self::lazy(url, options)?;
        drop(database.connection().await?);
        Ok(database)
    }

    /// A pool without a connection yet; SQLite's file is made, readable by its owner alone, where it is missing.
    pub(super) fn lazy(url: &str, options: &Options) -> Result<Self, StoreError> {
        let (kind, url) = address::read(url)?;
        sqlx::any::install_default_drivers();
        let patience = options.patience;
        let many = pool(options.connections.clamp(1, 100), kind, patience).connect_lazy(&url)?;
        let aside = pool(1, kind, patience).connect_lazy(&url)?;
        Ok(Self { pool: many, aside, kind, patience, writer: Arc::new(Semaphore::new(1)) })
    }

    pub(super) const fn kind(&self) -> Kind {
        self.kind
    }

    /// A connection without a transaction and without a role, for what is asked about the database itself.
    pub(super) async fn connection(&self) -> Result<PoolConnection<Any>, StoreError> {
        Ok(self.pool.acquire().await?)
    }

    pub(super) async fn close(&self) {
        self.pool.close().await;
        self.aside.close().await;
    }
}

fn pool(connections: u32, kind: Kind, patience: Duration) -> AnyPoolOptions {
    AnyPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(patience)
        .test_before_acquire(false)
        .before_acquire(|connection, idle| {
            Box::pin(async move {
                if idle.idle_for > TRUSTED_IDLE {
                    sqlx::Connection::ping(connection).await?;
                }
                Ok(true)
            })
        })
        .after_connect(move |connection, _| {
            Box::pin(async move {
                for statement in habits(kind, patience) {
                    settle(connection, &statement).await?;
                }
                Ok(())
            })
        })
}

/// What every connection is told first. A frozen process must not hold its locks for ever, hence the bounds.
fn habits(kind: Kind, patience: Duration) -> Vec<String> {
    let ms = patience.as_millis();
    match kind {
        Kind::Sqlite => vec![
            format!("PRAGMA busy_timeout = {ms}"),
            "PRAGMA journal_mode = WAL".to_owned(),
            "PRAGMA synchronous = FULL".to_owned(),
            "PRAGMA foreign_keys = ON".to_owned(),
            "PRAGMA recursive_triggers = ON".to_owned(),
        ],
        Kind::Postgres => vec![format!(
            "SET application_name = 'portcullis'; SET lock_timeout = {ms}; SET statement_timeout = '30s'; \
             SET idle_in_transaction_session_timeout = '30s'; SET client_min_messages = 'warning'"
        )],
    }
}

/// Runs a statement of [`habits`]. A new file of SQLite becomes one with a write-ahead log under a lock that its busy
/// timeout does not wait for; whoever opens it at the same time comes a moment later.
async fn settle(connection: &mut AnyConnection, statement: &str) -> Result<(), sqlx::Error> {
    const TRIES: u32 = 100;
    let mut tries = TRIES;
    loop {
        match connection.execute(sqlx::raw_sql(sqlx::AssertSqlSafe(statement))).await {
            Err(error) if tries > 0 && faults::is_busy(&error) => tries -= 1,
            done => return done.map(drop),
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

impl Kind {
    /// An expression that is the text of one key of a JSON object in a column, or null. The key is the parameter `$n`.
    pub fn json_text(self, column: &str, parameter: usize) -> String {
        match self {
            Self::Sqlite => format!("({column} ->> ${parameter})"),
            Self::Postgres => format!("({column}::jsonb ->> ${parameter})"),
        }
    }
}
