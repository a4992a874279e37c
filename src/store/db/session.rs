//! One transaction on one connection: whose it is, how it begins, and that it never ends by accident.

use sqlx::any::AnyTransactionManager;
use sqlx::pool::PoolConnection;
use sqlx::{Any, AnyConnection, AnyPool, AssertSqlSafe, SqlSafeStr as _, SqlStr};
use sqlx_core::transaction::TransactionManager as _;
use tokio::sync::OwnedSemaphorePermit;

use super::{Database, Kind, faults};
use crate::error::StoreError;
use portcullis_access::Power;

/// What a transaction is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// One consistent picture, changing nothing.
    Read,
    /// May change things.
    Write,
}

/// Whose rows a transaction sees; on PostgreSQL a role and a variable, both of this transaction alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Wall {
    /// All.
    Admin,
    /// Those of one tenant.
    Tenant(String),
    /// All, to read.
    Feed,
    /// None; it may record that somebody was turned away.
    Nobody,
    /// The tables themselves; of their rows none that belong to a tenant.
    Owner,
}

impl From<&Power> for Wall {
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
    _turn: Option<OwnedSemaphorePermit>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// Between `BEGIN` and its answer: nobody knows whether there is a transaction.
    Unsure,
    Open,
    Done,
}

impl Database {
    /// Begins a transaction in one round trip.
    pub(crate) async fn begin(&self, wall: &Wall, mode: Mode) -> Result<Session, StoreError> {
        self.begin_on(&self.pool, wall, mode).await
    }

    /// A reading transaction that sees all that is committed, for whoever holds the ledger's row in another.
    pub(crate) async fn begin_aside(&self) -> Result<Session, StoreError> {
        self.begin_on(&self.aside, &Wall::Feed, Mode::Read).await
    }

    async fn begin_on(&self, pool: &AnyPool, wall: &Wall, mode: Mode) -> Result<Session, StoreError> {
        let statement = opening(self.kind, wall, mode)?;
        let turn = match (self.kind, mode) {
            (Kind::Sqlite, Mode::Write) => Some(self.turn().await?),
            _ => None,
        };
        // Connections that died while they lay idle show it at the first use; as many as may lie there are tried.
        let mut tries = pool.size().saturating_add(1);
        loop {
            let mut session =
                Session { connection: pool.acquire().await?, state: State::Unsure, _turn: None };
            let begun = AnyTransactionManager::begin(&mut session.connection, Some(statement.clone())).await;
            tries = tries.saturating_sub(1);
            match begun {
                Ok(()) => {
                    session.state = State::Open;
                    session._turn = turn;
                    return Ok(session);
                }
                Err(error) if faults::is_broken(&error) && tries > 0 => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    async fn turn(&self) -> Result<OwnedSemaphorePermit, StoreError> {
        let waiting = std::sync::Arc::clone(&self.writer).acquire_owned();
        match tokio::time::timeout(self.patience, waiting).await {
            Ok(Ok(turn)) => Ok(turn),
            _ => Err(StoreError::unavailable("too many are waiting to write")),
        }
    }
}

impl Session {
    pub(crate) fn connection(&mut self) -> &mut AnyConnection {
        &mut self.connection
    }

    pub(crate) async fn commit(mut self) -> Result<(), StoreError> {
        // Whether a commit that was not answered took place is for the database to know.
        self.state = State::Unsure;
        AnyTransactionManager::commit(&mut self.connection).await?;
        self.state = State::Done;
        Ok(())
    }

    pub(crate) async fn rollback(mut self) -> Result<(), StoreError> {
        self.state = State::Unsure;
        AnyTransactionManager::rollback(&mut self.connection).await?;
        self.state = State::Done;
        Ok(())
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        match self.state {
            // A connection in the middle of something, with a role of somebody's, is not given to the next.
            State::Unsure => self.connection.close_on_drop(),
            State::Open => AnyTransactionManager::start_rollback(&mut self.connection),
            State::Done => {}
        }
    }
}

/// The words that begin a transaction: one text, so one round trip.
fn opening(kind: Kind, wall: &Wall, mode: Mode) -> Result<SqlStr, StoreError> {
    if kind == Kind::Sqlite {
        return Ok(match mode {
            Mode::Read => "BEGIN".into_sql_str(),
            // Now, not at the first change: whoever read first and then cannot write has read for nothing.
            Mode::Write => "BEGIN IMMEDIATE".into_sql_str(),
        });
    }
    let begin = match mode {
        Mode::Read => "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
        Mode::Write => "BEGIN",
    };
    let (role, tenant) = match wall {
        Wall::Admin => ("portcullis_admin", ""),
        Wall::Tenant(id) => ("portcullis_app", id.as_str()),
        Wall::Feed => ("portcullis_snapshot", ""),
        Wall::Nobody => ("portcullis_app", ""),
        Wall::Owner => ("portcullis_owner", ""),
    };
    // This text takes no parameters; an id has characters that need none. An empty one would be nobody.
    let plain = tenant.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
    if !plain || (tenant.is_empty() && matches!(wall, Wall::Tenant(_))) {
        return Err(StoreError::NotFound("tenant"));
    }
    let text =
        format!("{begin}; SET LOCAL ROLE {role}; SELECT set_config('app.tenant_id', '{tenant}', true)");
    Ok(AssertSqlSafe(text).into_sql_str())
}
