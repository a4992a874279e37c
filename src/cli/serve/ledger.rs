//! The ledger of this process: opens its database lazily, follows its changes, and reports its state in /readyz.

use std::convert::Infallible;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::roles::{Follow, Source};
use portcullis_lifecycle::ready::{Condition, Readiness};
use portcullis_lifecycle::tasks::Tasks;
use portcullis_store::change_buffer::{ChangeBuffer, LedgerContact};
use portcullis_store::feed::database::Follower;
use portcullis_store::feed::{
    Backoff, Health, LastGood, OnSnapshot, SnapshotApplier, TroubleKind, health, last_good, listen, remote,
    token_expiry,
};
use portcullis_store::{Ledger, Options, SchemaState, StoreError};
use portcullis_telemetry::metrics;

pub struct Opened {
    /// The database may be unreachable.
    pub ledger: Ledger,
    url: String,
    migrate: bool,
}

impl Opened {
    /// Does not connect: a gate starts with the database down.
    pub fn new(source: &Source) -> Result<Option<Self>, StoreError> {
        let Source::Database { url, connections, migrate } = source else { return Ok(None) };
        let options = Options { connections: *connections, migrate: *migrate, ..Options::default() };
        let ledger = Ledger::lazy(url, &options)?;
        Ok(Some(Self { ledger, url: url.clone(), migrate: *migrate }))
    }
}

/// Accepts new snapshots. Starts with the last good snapshot on disk, and writes each new one there.
pub fn applier(
    follow: &Follow,
    on_snapshot: OnSnapshot,
    condition: Condition,
    tasks: &mut Tasks,
) -> SnapshotApplier {
    let freshness = Health::new(condition, follow.max_staleness.0);
    let mut applier = SnapshotApplier::new(on_snapshot, freshness.clone());
    tasks.spawn("freshness", |stop| freshness.watch(stop));
    let in_force = applier.in_force();
    tasks.spawn("snapshot size", |stop| health::measure_size(in_force, stop));
    let Some(directory) = &follow.cache else { return applier };
    let last_good_file = LastGood::new(directory, follow.cluster.clone());
    let file = last_good_file.path().display().to_string();
    match last_good_file.read() {
        Ok(Some((snapshot, ago))) => {
            tracing::info!(file, revision = snapshot.revision, ?ago, "starting with the cached snapshot");
            applier.resume(snapshot, ago);
        }
        Ok(None) => {}
        Err(error) => {
            tracing::error!(file, %error, "the cached snapshot cannot be used and is skipped")
        }
    }
    let latest = applier.latest();
    tasks.spawn("snapshot cache", |stop| last_good::write_updates(last_good_file, latest, stop));
    applier
}

/// Follows a ledger in its database.
pub fn follow(
    opened: &Opened,
    follow: &Follow,
    applier: SnapshotApplier,
    buffer: Option<ChangeBuffer>,
    tasks: &mut Tasks,
) -> anyhow::Result<()> {
    let Opened { ledger, url, migrate } = opened;
    if let Some(at) = applier.position() {
        ledger.remember(at.ledger, at.revision);
    }
    let (news, heard) = watch::channel(0);
    let source = listen::CommitSource::of(ledger, url)?;
    tasks.spawn("ledger's news", |stop| listen::listen(source, news, stop));
    // An error that waiting cannot resolve ends a process that serves the ledger; a gate reports it and goes on deciding.
    let strict = buffer.is_some();
    let follower = Follower::new(ledger.clone(), follow.cluster.clone(), buffer, follow.resync_interval.0)?;
    let (ledger, migrate) = (ledger.clone(), *migrate);
    tasks.spawn("ledger", move |stop| async move {
        if prepare(&ledger, migrate, strict, applier.health(), stop.clone()).await? {
            let Ok(()) = follower.run(applier, heard, stop).await;
        }
        Ok::<_, StoreError>(())
    });
    Ok(())
}

/// Follows a ledger through another process's API, and watches the expiry of the token for it.
pub fn follow_remote(
    remote: remote::Remote,
    follow: &Follow,
    applier: SnapshotApplier,
    readiness: &Readiness,
    tasks: &mut Tasks,
) {
    let resync_interval = follow.resync_interval.0;
    if let Some(path) = remote.token.clone() {
        let condition = readiness.condition("ledger_token", "not read yet");
        tasks.spawn("ledger's token", |stop| token_expiry::watch(path, condition, stop));
    }
    tasks.spawn("ledger", move |stop| remote::follow(remote, applier, resync_interval, stop));
}

/// Reports the state of the database in /readyz; only a process without a gate needs it to be ready.
pub fn watch_database(
    ledger: &Ledger,
    buffer: &ChangeBuffer,
    needed: bool,
    readiness: &Readiness,
    tasks: &mut Tasks,
) {
    let condition = readiness.condition("database", "not reached yet");
    if !needed {
        condition.good_but("not reached yet: the API answers 503");
    }
    let (mut contact, mut state) = (buffer.contact(), ledger.state());
    tasks.spawn("database", move |stop: CancellationToken| async move {
        loop {
            tokio::select! {
                () = stop.cancelled() => return Ok::<_, Infallible>(()),
                changed = contact.changed() => if changed.is_err() { stop.cancelled().await },
                changed = state.changed() => if changed.is_err() { stop.cancelled().await },
            }
            let why = match (*contact.borrow_and_update(), *state.borrow_and_update()) {
                (_, SchemaState::RolledBack { seen, found }) => {
                    Some(StoreError::RolledBack { seen, found }.to_string())
                }
                (LedgerContact::Connected, _) => None,
                (_, SchemaState::Migrating) => Some(StoreError::Migrating.to_string()),
                (LedgerContact::Invalid, _) => {
                    Some("the snapshot of the ledger is invalid; see the log".to_owned())
                }
                (LedgerContact::Disconnected, _) => Some("the database does not answer".to_owned()),
            };
            let _ = match (why, needed) {
                (None, _) => condition.good(),
                (Some(why), true) => condition.bad(why),
                (Some(why), false) => condition.good_but(format!("{why}: the API answers 503")),
            };
        }
    });
}

/// Waits for the database and migrates its schema. Returns false when the process stops.
async fn prepare(
    ledger: &Ledger,
    migrate: bool,
    strict: bool,
    health: &Health,
    stop: CancellationToken,
) -> Result<bool, StoreError> {
    let mut backoff = Backoff::new(stop.clone());
    loop {
        let migrating = async {
            let _ = ledger.state().wait_for(|state| *state == SchemaState::Migrating).await;
            health.trouble(TroubleKind::Migrating, StoreError::Migrating);
            std::future::pending::<()>().await;
        };
        let prepared = tokio::select! {
            () = stop.cancelled() => return Ok(false),
            prepared = ledger.prepare(migrate) => prepared,
            () = migrating => return Ok(false),
        };
        match prepared {
            Ok(()) => return Ok(true),
            Err(StoreError::Migrating) if strict => return Err(StoreError::unmigrated()),
            Err(StoreError::Migrating) => health.trouble(TroubleKind::Migrating, StoreError::Migrating),
            Err(error) if strict && !error.is_transient() => return Err(error),
            Err(error) => {
                metrics::database_reachable(false);
                health.trouble(TroubleKind::Unreachable, error);
            }
        }
        if !backoff.failed().await {
            return Ok(false);
        }
    }
}
