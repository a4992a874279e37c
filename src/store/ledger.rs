//! The open ledger, shared by its clones.

use std::sync::{Arc, OnceLock};

use tokio::sync::watch;

use super::audit::Denials;
use super::db::{Database, Kind, Mode, Options, RowAccess, Session};
use super::error::StoreError;
use super::migrate::{self, Migration};
use super::revision::{self, RevisionChannel};
use super::tx::{Resources, Tx};
use super::validator::SnapshotValidator;
use portcullis_access::Scope;

#[derive(Debug, Clone)]
pub struct Ledger {
    database: Database,
    channel: RevisionChannel,
    denials: Denials,
    validator: SnapshotValidator,
    state: watch::Sender<SchemaState>,
    /// Id and revision of the ledger that this process knew before it opened the database.
    seen: Arc<OnceLock<(String, u64)>>,
}

/// State of the schema as far as this process knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SchemaState {
    #[default]
    Unknown,
    /// Incomplete: this process migrates it, or waits for a process that does.
    Migrating,
    Ready,
    /// Complete, but the database is older than a revision that this process has seen.
    RolledBack {
        seen: u64,
        found: u64,
    },
}

impl Ledger {
    /// Opens `sqlite:PATH`, which is created if missing, or `postgres://…`. Two processes may migrate at the same time.
    pub async fn open(url: &str, options: &Options) -> Result<Self, StoreError> {
        let ledger = Self::connect(url, options).await?;
        match ledger.prepare(options.migrate).await {
            // `open` does not wait for another process that migrates.
            Err(StoreError::Migrating) => Err(StoreError::unmigrated()),
            prepared => prepared.map(|()| ledger),
        }
    }

    /// Does not connect yet. Transactions fail until [`Ledger::prepare`] has succeeded.
    pub fn lazy(url: &str, options: &Options) -> Result<Self, StoreError> {
        let database = Database::lazy(url, options)?;
        Ok(Self {
            database,
            channel: RevisionChannel::default(),
            denials: Denials::default(),
            validator: SnapshotValidator::default(),
            state: watch::Sender::default(),
            seen: Arc::default(),
        })
    }

    /// Migrates the schema, or with `migrate` false checks it: `Migrating` where there is no schema, `Schema` where it is older.
    pub async fn prepare(&self, migrate: bool) -> Result<(), StoreError> {
        let pending = self.pending().await?;
        if !pending.is_empty() {
            self.state.send_replace(SchemaState::Migrating);
            if migrate {
                self.migrate(migrate::all(self.kind())).await?;
            } else if pending.len() == migrate::all(self.kind()).len() {
                return Err(StoreError::Migrating);
            } else {
                return Err(StoreError::unmigrated());
            }
        }
        let mut session = self.database.begin(&RowAccess::Feed, Mode::Read).await?;
        let now = revision::head(session.connection()).await?;
        session.rollback().await?;
        self.channel.announce(now.revision);
        let seen = self.seen.get().filter(|(ledger, _)| *ledger == now.ledger).map(|(_, seen)| *seen);
        self.compare_revisions(seen, now.revision);
        Ok(())
    }

    /// Sets the revision of a cached snapshot, to detect a database that was rolled back. Only the first call counts.
    pub fn remember(&self, ledger: &str, revision: u64) {
        let _ = self.seen.set((ledger.to_owned(), revision));
    }

    /// While the database is older than `seen`, transactions fail except [`Ledger::read_any_state`].
    pub(super) fn compare_revisions(&self, seen: Option<u64>, found: u64) {
        let next = match seen.filter(|seen| *seen > found) {
            Some(seen) => SchemaState::RolledBack { seen, found },
            None => SchemaState::Ready,
        };
        self.state.send_if_modified(|state| std::mem::replace(state, next) != next);
    }

    pub fn state(&self) -> watch::Receiver<SchemaState> {
        self.state.subscribe()
    }

    /// Without this check, a statement on an incomplete schema would look like a defect of this program.
    fn check_ready(&self) -> Result<(), StoreError> {
        match *self.state.borrow() {
            SchemaState::Ready => Ok(()),
            SchemaState::Migrating => Err(StoreError::Migrating),
            SchemaState::RolledBack { seen, found } => Err(StoreError::RolledBack { seen, found }),
            SchemaState::Unknown => {
                Err(StoreError::unavailable("the database has not answered since this process started"))
            }
        }
    }

    /// Opens a database with any schema. For [`Ledger::migrate`] and [`Ledger::pending`] only.
    pub async fn connect(url: &str, options: &Options) -> Result<Self, StoreError> {
        let database = Database::open(url, options).await?;
        Ok(Self {
            database,
            channel: RevisionChannel::default(),
            denials: Denials::default(),
            validator: SnapshotValidator::default(),
            state: watch::Sender::default(),
            seen: Arc::default(),
        })
    }

    pub async fn pending(&self) -> Result<Vec<Migration>, StoreError> {
        migrate::pending(&self.database, migrate::all(self.kind())).await
    }

    /// Applies the missing ones of [`migrate::all`] in one transaction and returns them.
    pub async fn migrate(&self, migrations: &[Migration]) -> Result<Vec<Migration>, StoreError> {
        migrate::run(&self.database, migrations).await
    }

    /// Begins a read-only transaction with one consistent snapshot.
    pub async fn read(&self, scope: &Scope) -> Result<Tx, StoreError> {
        self.begin(scope, Mode::Read).await
    }

    /// Begins a read-write transaction. SQLite has one at a time; the others wait.
    pub async fn write(&self, scope: &Scope) -> Result<Tx, StoreError> {
        self.begin(scope, Mode::Write).await
    }

    /// As [`Ledger::read`], also if the database was rolled back.
    pub(super) async fn read_any_state(&self, scope: &Scope) -> Result<Tx, StoreError> {
        match self.check_ready() {
            Ok(()) | Err(StoreError::RolledBack { .. }) => {}
            Err(error) => return Err(error),
        }
        let session = self.database.begin(&scope.power().into(), Mode::Read).await?;
        Ok(self.transaction(session, Mode::Read, scope.clone()))
    }

    async fn begin(&self, scope: &Scope, mode: Mode) -> Result<Tx, StoreError> {
        self.check_ready()?;
        let session = self.database.begin(&scope.power().into(), mode).await?;
        Ok(self.transaction(session, mode, scope.clone()))
    }

    /// Sees no rows; may record a denied attempt.
    pub(super) async fn begin_anonymous(&self) -> Result<Session, StoreError> {
        self.check_ready()?;
        self.database.begin(&RowAccess::None, Mode::Write).await
    }

    /// For work that belongs to no request.
    pub(super) async fn begin_system(&self) -> Result<Session, StoreError> {
        self.check_ready()?;
        self.database.begin(&RowAccess::Admin, Mode::Write).await
    }

    pub(super) fn transaction(&self, session: Session, mode: Mode, scope: Scope) -> Tx {
        let (channel, database, validator) =
            (self.channel.clone(), self.database.clone(), self.validator.clone());
        Tx::new(session, mode, scope, Resources { channel, database, validator })
    }

    pub(super) const fn database(&self) -> &Database {
        &self.database
    }

    pub(super) const fn validator(&self) -> &SnapshotValidator {
        &self.validator
    }

    pub(super) const fn denials(&self) -> &Denials {
        &self.denials
    }

    /// The newest revision; commits of other processes arrive through [`Ledger::announce`].
    pub fn revision(&self) -> watch::Receiver<u64> {
        self.channel.subscribe()
    }

    pub fn announce(&self, revision: u64) {
        self.channel.announce(revision);
    }

    /// After a restore the ledger has another id, and its revision may be lower.
    pub fn restored(&self, revision: u64) {
        self.channel.replace(revision);
    }

    pub const fn kind(&self) -> Kind {
        self.database.kind()
    }

    /// Waits for transactions in progress.
    pub async fn close(&self) {
        self.database.close().await;
    }
}
