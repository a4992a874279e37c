//! The ledger as a whole: opened once, shared by clones.

use std::sync::{Arc, OnceLock};

use tokio::sync::watch;

use super::audit::Denials;
use super::db::{Database, Kind, Mode, Options, Session, Wall};
use super::error::StoreError;
use super::migrate::{self, Migration};
use super::reader::Reader;
use super::revision;
use super::tx::Tx;
use portcullis_access::Scope;

/// A ledger that is open: a pool, and the newest revision that was heard of. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Ledger {
    database: Database,
    hub: Hub,
    denials: Denials,
    reader: Reader,
    stage: watch::Sender<Stage>,
    /// Id and revision of the ledger as this process knows it from before it was opened.
    seen: Arc<OnceLock<(String, u64)>>,
}

/// How far the schema is, as far as this process knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Stage {
    /// The schema has not been looked at yet.
    #[default]
    Unknown,
    /// It is not complete: this process brings it up to date, or waits for another that does.
    Migrating,
    /// It is this program's.
    Ready,
    /// It is, and the ledger in it is older than what this process has seen of it.
    TurnedBack {
        /// The newest revision that this process has seen.
        seen: u64,
        /// What the database has.
        found: u64,
    },
}

/// Where a revision is announced within this process.
#[derive(Debug, Clone)]
pub(super) struct Hub(watch::Sender<u64>);

impl Hub {
    /// Two commits may be heard of in the wrong order; the newer one stays.
    pub(super) fn heard(&self, revision: u64) {
        self.0.send_if_modified(|known| {
            let news = revision > *known;
            *known = (*known).max(revision);
            news
        });
    }
}

impl Ledger {
    /// Opens a ledger: `sqlite:PATH`, made where it is missing, or `postgres://…`.
    ///
    /// With [`Options::migrate`] its schema is brought up to date first, which two processes may do at once.
    pub async fn open(url: &str, options: &Options) -> Result<Self, StoreError> {
        let ledger = Self::connect(url, options).await?;
        match ledger.prepare(options.migrate).await {
            // Opening a ledger waits for no other process.
            Err(StoreError::Migrating) => Err(StoreError::unmigrated()),
            prepared => prepared.map(|()| ledger),
        }
    }

    /// A ledger whose database may be down now, and whose schema may be an older one: [`Ledger::prepare`] it once it is
    /// there. Until then transactions fail.
    pub fn lazy(url: &str, options: &Options) -> Result<Self, StoreError> {
        let database = Database::lazy(url, options)?;
        Ok(Self {
            database,
            hub: Hub(watch::Sender::new(0)),
            denials: Denials::default(),
            reader: Reader::default(),
            stage: watch::Sender::default(),
            seen: Arc::default(),
        })
    }

    /// Brings the schema up to date, or with `migrate` false says whether it is; then reads where the ledger is.
    ///
    /// # Errors
    /// `Migrating` where there is no schema at all and `migrate` is false; `Schema` where it is an older one.
    pub async fn prepare(&self, migrate: bool) -> Result<(), StoreError> {
        let pending = self.pending().await?;
        if !pending.is_empty() {
            self.stage.send_replace(Stage::Migrating);
            if migrate {
                self.migrate(migrate::all(self.kind())).await?;
            } else if pending.len() == migrate::all(self.kind()).len() {
                return Err(StoreError::Migrating);
            } else {
                return Err(StoreError::unmigrated());
            }
        }
        let mut session = self.database.begin(&Wall::Feed, Mode::Read).await?;
        let now = revision::now(session.connection()).await?;
        session.rollback().await?;
        self.hub.heard(now.revision);
        let seen = self.seen.get().filter(|(ledger, _)| *ledger == now.ledger).map(|(_, seen)| *seen);
        self.found(seen, now.revision);
        Ok(())
    }

    /// Says what is known of the ledger from before: a snapshot that was kept. The first word counts.
    pub fn remember(&self, ledger: &str, revision: u64) {
        let _ = self.seen.set((ledger.to_owned(), revision));
    }

    /// Tells at which revision the database is, and which was seen of the same ledger. While it is older than that,
    /// transactions fail but for those that look.
    pub(super) fn found(&self, seen: Option<u64>, found: u64) {
        let next = match seen.filter(|seen| *seen > found) {
            Some(seen) => Stage::TurnedBack { seen, found },
            None => Stage::Ready,
        };
        self.stage.send_if_modified(|stage| std::mem::replace(stage, next) != next);
    }

    /// How far the schema is, as that changes.
    pub fn stage(&self) -> watch::Receiver<Stage> {
        self.stage.subscribe()
    }

    /// # Errors
    /// The schema is not known to be complete: a statement would be refused as a defect of this program.
    fn is_ready(&self) -> Result<(), StoreError> {
        match *self.stage.borrow() {
            Stage::Ready => Ok(()),
            Stage::Migrating => Err(StoreError::Migrating),
            Stage::TurnedBack { seen, found } => Err(StoreError::TurnedBack { seen, found }),
            Stage::Unknown => Err(StoreError::unavailable("it has not answered since this process started")),
        }
    }

    /// Opens a database as it is, whatever its schema. For [`Ledger::migrate`] and [`Ledger::pending`] only.
    pub async fn connect(url: &str, options: &Options) -> Result<Self, StoreError> {
        let database = Database::open(url, options).await?;
        Ok(Self {
            database,
            hub: Hub(watch::Sender::new(0)),
            denials: Denials::default(),
            reader: Reader::default(),
            stage: watch::Sender::default(),
            seen: Arc::default(),
        })
    }

    /// What of this program's schema the database does not have.
    pub async fn pending(&self) -> Result<Vec<Migration>, StoreError> {
        migrate::pending(&self.database, migrate::all(self.kind())).await
    }

    /// Applies what is missing of these migrations ([`migrate::all`]), all or nothing, one process at a time; says what
    /// it applied.
    pub async fn migrate(&self, migrations: &[Migration]) -> Result<Vec<Migration>, StoreError> {
        migrate::run(&self.database, migrations).await
    }

    /// Begins a transaction that reads one consistent picture.
    pub async fn read(&self, scope: &Scope) -> Result<Tx, StoreError> {
        self.begin(scope, Mode::Read).await
    }

    /// Begins a transaction that may change things. On SQLite there is one at a time; the others wait for their turn.
    pub async fn write(&self, scope: &Scope) -> Result<Tx, StoreError> {
        self.begin(scope, Mode::Write).await
    }

    /// As [`Ledger::read`], whether or not the database was turned back: to see what it has.
    pub(super) async fn look(&self, scope: &Scope) -> Result<Tx, StoreError> {
        match self.is_ready() {
            Ok(()) | Err(StoreError::TurnedBack { .. }) => {}
            Err(error) => return Err(error),
        }
        let session = self.database.begin(&scope.power().into(), Mode::Read).await?;
        Ok(Tx::new(session, Mode::Read, scope.clone(), self))
    }

    async fn begin(&self, scope: &Scope, mode: Mode) -> Result<Tx, StoreError> {
        self.is_ready()?;
        let session = self.database.begin(&scope.power().into(), mode).await?;
        Ok(Tx::new(session, mode, scope.clone(), self))
    }

    /// A transaction of nobody's, which may record that somebody was turned away.
    pub(super) async fn begin_nobody(&self) -> Result<Session, StoreError> {
        self.is_ready()?;
        self.database.begin(&Wall::Nobody, Mode::Write).await
    }

    /// A transaction of the ledger's own, for what belongs to no request.
    pub(super) async fn begin_own(&self) -> Result<Session, StoreError> {
        self.is_ready()?;
        self.database.begin(&Wall::Admin, Mode::Write).await
    }

    pub(super) const fn hub(&self) -> &Hub {
        &self.hub
    }

    pub(super) const fn database(&self) -> &Database {
        &self.database
    }

    pub(super) const fn reader(&self) -> &Reader {
        &self.reader
    }

    pub(super) const fn denials(&self) -> &Denials {
        &self.denials
    }

    /// The newest revision of the snapshot, as it grows. What other processes commit is heard by whoever listens for
    /// it, and told here with [`Ledger::heard`].
    pub fn revision(&self) -> watch::Receiver<u64> {
        self.hub.0.subscribe()
    }

    /// Tells of a revision that another process committed. One that is not newer changes nothing.
    pub fn heard(&self, revision: u64) {
        self.hub.heard(revision);
    }

    /// Tells that the ledger was restored: it has another id, and its revisions begin wherever they do.
    pub fn restored(&self, revision: u64) {
        self.hub.0.send_replace(revision);
    }

    /// Which database it is on.
    pub const fn kind(&self) -> Kind {
        self.database.kind()
    }

    /// Closes every connection, waiting for transactions that are under way.
    pub async fn close(&self) {
        self.database.close().await;
    }
}
