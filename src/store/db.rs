//! Everything that differs between SQLite and PostgreSQL: how a database is opened and how a transaction begins. Both are used
//! through the `Any` driver of sqlx, so that each statement is written once.

use std::path::{Path, PathBuf};
use std::str::FromStr as _;
use std::sync::Arc;
use std::time::Duration;

use directories::ProjectDirs;
use sqlx::any::{AnyPoolOptions, AnyTransactionManager};
use sqlx::pool::PoolConnection;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{Any, AnyConnection, AnyPool, AssertSqlSafe, Executor as _, SqlSafeStr as _, SqlStr};
use sqlx_core::transaction::TransactionManager as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::{self, StoreError};
use portcullis_access::Power;

/// A connection that was idle for longer is tested before use.
const PING_AFTER_IDLE: Duration = Duration::from_secs(5);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A file; one process writes at a time.
    Sqlite,
    Postgres,
}

#[derive(Debug, Clone)]
pub struct Options {
    /// 1 to 100; default 8.
    pub connections: u32,
    /// How long a transaction waits for a connection or a lock; default 5 s.
    pub wait_timeout: Duration,
    /// Migrate the schema when opening it; default true. Otherwise an older schema is an error.
    pub migrate: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { connections: 8, wait_timeout: Duration::from_secs(5), migrate: true }
    }
}

#[derive(Debug, Clone)]
pub(super) struct Database {
    pool: AnyPool,
    /// A second connection for a transaction that holds the row of the ledger: transactions that wait for it may use up `pool`.
    second: AnyPool,
    kind: Kind,
    wait_timeout: Duration,
    /// SQLite has one writer at a time. This queue is fair; the busy loop of SQLite is not.
    writer: Arc<Semaphore>,
}

impl Database {
    /// Connects once to verify that the database is there.
    pub(super) async fn open(url: &str, options: &Options) -> Result<Self, StoreError> {
        let database = Self::lazy(url, options)?;
        drop(database.connection().await?);
        Ok(database)
    }

    /// Does not connect; creates the file of SQLite, readable by its owner only.
    pub(super) fn lazy(url: &str, options: &Options) -> Result<Self, StoreError> {
        let (kind, url) = prepare_address(url)?;
        sqlx::any::install_default_drivers();
        let wait_timeout = options.wait_timeout;
        let many = pool(options.connections.clamp(1, 100), kind, wait_timeout).connect_lazy(&url)?;
        let second = pool(1, kind, wait_timeout).connect_lazy(&url)?;
        Ok(Self { pool: many, second, kind, wait_timeout, writer: Arc::new(Semaphore::new(1)) })
    }

    pub(super) const fn kind(&self) -> Kind {
        self.kind
    }

    /// A connection without transaction and role.
    pub(super) async fn connection(&self) -> Result<PoolConnection<Any>, StoreError> {
        Ok(self.pool.acquire().await?)
    }

    pub(super) async fn close(&self) {
        self.pool.close().await;
        self.second.close().await;
    }
}

fn pool(connections: u32, kind: Kind, wait_timeout: Duration) -> AnyPoolOptions {
    AnyPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(wait_timeout)
        .test_before_acquire(false)
        .before_acquire(|connection, idle| {
            Box::pin(async move {
                if idle.idle_for > PING_AFTER_IDLE {
                    sqlx::Connection::ping(connection).await?;
                }
                Ok(true)
            })
        })
        .after_connect(move |connection, _| {
            Box::pin(async move {
                for statement in setup_statements(kind, wait_timeout) {
                    run_setup(connection, &statement).await?;
                }
                Ok(())
            })
        })
}

/// Run on every new connection. The timeouts prevent a frozen process from holding locks forever.
fn setup_statements(kind: Kind, wait_timeout: Duration) -> Vec<String> {
    let ms = wait_timeout.as_millis();
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

/// A new SQLite file switches to WAL under a lock that the busy timeout does not cover, so the statement is tried again.
async fn run_setup(connection: &mut AnyConnection, statement: &str) -> Result<(), sqlx::Error> {
    const TRIES: u32 = 100;
    let mut tries = TRIES;
    loop {
        match connection.execute(sqlx::raw_sql(sqlx::AssertSqlSafe(statement))).await {
            Err(error) if tries > 0 && error::is_busy(&error) => tries -= 1,
            done => return done.map(drop),
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// The data directory of the user, such as `~/.local/share/portcullis`.
pub fn default_dir() -> Result<PathBuf, StoreError> {
    let dirs = ProjectDirs::from("", "", "portcullis")
        .ok_or_else(|| address_error("", "no home directory was found; set --database"))?;
    Ok(dirs.data_dir().to_path_buf())
}

/// `ledger.db` in [`default_dir`].
pub fn default_url() -> Result<String, StoreError> {
    Ok(format!("sqlite://{}", escape_path(&default_dir()?.join("ledger.db"))))
}

fn prepare_address(url: &str) -> Result<(Kind, String), StoreError> {
    let scheme = url.split_once(':').map_or("", |(scheme, _)| scheme);
    match scheme {
        "postgres" | "postgresql" => Ok((Kind::Postgres, url.to_owned())),
        "sqlite" => {
            let options = SqliteConnectOptions::from_str(url)
                .map_err(|error| address_error(url, &error.to_string()))?;
            let file = options.get_filename();
            if url.contains(":memory:") || url.contains("mode=memory") || file.as_os_str().is_empty() {
                return Err(address_error(url, "the ledger must be a file, not in memory"));
            }
            create_file(file)?;
            Ok((Kind::Sqlite, url.to_owned()))
        }
        _ => Err(address_error(url, "it must begin with `sqlite:` or `postgres:`")),
    }
}

/// Created for its owner only; SQLite gives `-wal` and `-shm` the same mode.
fn create_file(file: &Path) -> Result<(), StoreError> {
    let failed = |source| StoreError::File { path: file.display().to_string(), source };
    if let Some(dir) = file.parent().filter(|dir| !dir.as_os_str().is_empty()) {
        let mut builder = std::fs::DirBuilder::new();
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.recursive(true).create(dir).map_err(failed)?;
    }
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(file) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => Err(failed(error)),
        _ => Ok(()),
    }
}

fn escape_path(path: &Path) -> String {
    let text = path.display().to_string();
    text.replace('%', "%25").replace('?', "%3F").replace('#', "%23").replace(' ', "%20")
}

fn address_error(url: &str, problem: &str) -> StoreError {
    // The part before the `@` can hold a password.
    let shown = match url.split_once("://") {
        Some((scheme, rest)) => match rest.rsplit_once('@') {
            Some((_, rest)) => format!("{scheme}://…@{rest}"),
            None => url.to_owned(),
        },
        None => url.to_owned(),
    };
    StoreError::Address { url: shown, problem: problem.to_owned() }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Read,
    Write,
}

/// Visible rows of a transaction; on PostgreSQL a role and a variable of the transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum RowAccess {
    Admin,
    Tenant(String),
    /// All, read-only.
    Feed,
    /// None; may record a denied attempt.
    None,
    /// May change the schema; sees no rows of tenants.
    Owner,
}

impl From<&Power> for RowAccess {
    fn from(power: &Power) -> Self {
        match power {
            Power::Admin => Self::Admin,
            Power::Tenant { id, .. } => Self::Tenant(id.clone()),
            Power::Feed { .. } => Self::Feed,
        }
    }
}

/// A transaction that rolls back unless it is committed.
pub(crate) struct Session {
    connection: PoolConnection<Any>,
    state: State,
    _permit: Option<OwnedSemaphorePermit>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// A statement that begins or ends the transaction is in progress.
    Unknown,
    Open,
    Done,
}

impl Database {
    pub(crate) async fn begin(&self, access: &RowAccess, mode: Mode) -> Result<Session, StoreError> {
        self.begin_on(&self.pool, access, mode).await
    }

    /// A read-only transaction for the holder of the ledger row; sees all committed rows.
    pub(crate) async fn begin_second(&self) -> Result<Session, StoreError> {
        self.begin_on(&self.second, &RowAccess::Feed, Mode::Read).await
    }

    async fn begin_on(&self, pool: &AnyPool, access: &RowAccess, mode: Mode) -> Result<Session, StoreError> {
        let statement = begin_statement(self.kind, access, mode)?;
        let permit = match (self.kind, mode) {
            (Kind::Sqlite, Mode::Write) => Some(self.writer_permit().await?),
            _ => None,
        };
        // A connection that broke while idle fails at its first use; every connection of the pool is tried.
        let mut tries = pool.size().saturating_add(1);
        loop {
            let mut session =
                Session { connection: pool.acquire().await?, state: State::Unknown, _permit: None };
            let begun = AnyTransactionManager::begin(&mut session.connection, Some(statement.clone())).await;
            tries = tries.saturating_sub(1);
            match begun {
                Ok(()) => {
                    session.state = State::Open;
                    session._permit = permit;
                    return Ok(session);
                }
                Err(error) if error::is_broken(&error) && tries > 0 => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    async fn writer_permit(&self) -> Result<OwnedSemaphorePermit, StoreError> {
        let acquire = std::sync::Arc::clone(&self.writer).acquire_owned();
        match tokio::time::timeout(self.wait_timeout, acquire).await {
            Ok(Ok(permit)) => Ok(permit),
            _ => Err(StoreError::unavailable("too many transactions wait to write")),
        }
    }
}

impl Session {
    pub(crate) fn connection(&mut self) -> &mut AnyConnection {
        &mut self.connection
    }

    pub(crate) async fn commit(mut self) -> Result<(), StoreError> {
        // An unanswered commit may or may not have happened.
        self.state = State::Unknown;
        AnyTransactionManager::commit(&mut self.connection).await?;
        self.state = State::Done;
        Ok(())
    }

    pub(crate) async fn rollback(mut self) -> Result<(), StoreError> {
        self.state = State::Unknown;
        AnyTransactionManager::rollback(&mut self.connection).await?;
        self.state = State::Done;
        Ok(())
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        match self.state {
            // The role of the transaction may still be set, so the connection is not reused.
            State::Unknown => self.connection.close_on_drop(),
            State::Open => AnyTransactionManager::start_rollback(&mut self.connection),
            State::Done => {}
        }
    }
}

/// One text, so one round trip.
fn begin_statement(kind: Kind, access: &RowAccess, mode: Mode) -> Result<SqlStr, StoreError> {
    if kind == Kind::Sqlite {
        return Ok(match mode {
            Mode::Read => "BEGIN".into_sql_str(),
            // Takes the write lock now, so that a transaction does not fail after it has read.
            Mode::Write => "BEGIN IMMEDIATE".into_sql_str(),
        });
    }
    let begin = match mode {
        Mode::Read => "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
        Mode::Write => "BEGIN",
    };
    let (role, tenant) = match access {
        RowAccess::Admin => ("portcullis_admin", ""),
        RowAccess::Tenant(id) => ("portcullis_app", id.as_str()),
        RowAccess::Feed => ("portcullis_snapshot", ""),
        RowAccess::None => ("portcullis_app", ""),
        RowAccess::Owner => ("portcullis_owner", ""),
    };
    // This text takes no parameters, so only characters of ids are allowed. An empty id would match no tenant.
    let plain = tenant.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
    if !plain || (tenant.is_empty() && matches!(access, RowAccess::Tenant(_))) {
        return Err(StoreError::NotFound("tenant"));
    }
    let text =
        format!("{begin}; SET LOCAL ROLE {role}; SELECT set_config('app.tenant_id', '{tenant}', true)");
    Ok(AssertSqlSafe(text).into_sql_str())
}
