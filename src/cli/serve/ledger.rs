//! The ledger of this process: opened whether its database is there or not, followed, and told to whoever waits.

use std::convert::Infallible;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::roles::{Follow, Source};
use portcullis_lifecycle::ready::{Condition, Readiness};
use portcullis_lifecycle::tasks::Tasks;
use portcullis_store::feed::database::{Follower, listen};
use portcullis_store::feed::{Enter, Health, Intake, Kept, TroubleKind, keeper, measure, remote, token_end};
use portcullis_store::mirror::{Mirror, Touch};
use portcullis_store::{Ledger, Options, Stage, StoreError};
use portcullis_telemetry::metrics;

/// A ledger that is opened, and what it was opened by.
pub struct Opened {
    /// The ledger; its database may be down.
    pub ledger: Ledger,
    url: String,
    migrate: bool,
}

impl Opened {
    /// Opens it without asking whether it is there: a gate starts with the database down.
    ///
    /// # Errors
    /// The address is none.
    pub fn new(source: &Source) -> Result<Option<Self>, StoreError> {
        let Source::Database { url, connections, migrate } = source else { return Ok(None) };
        let options = Options { connections: *connections, migrate: *migrate, ..Options::default() };
        let ledger = Ledger::lazy(url, &options)?;
        Ok(Some(Self { ledger, url: url.clone(), migrate: *migrate }))
    }
}

/// The way in for snapshots, beginning with the one that was kept, and with the next one kept in its place.
pub fn intake(follow: &Follow, enter: Enter, condition: Condition, tasks: &mut Tasks) -> Intake {
    let health = Health::new(condition, follow.stale_after.0);
    let mut intake = Intake::new(enter, health.clone());
    tasks.spawn("freshness", |stop| health.watch(stop));
    let in_force = intake.in_force();
    tasks.spawn("snapshot size", |stop| measure::measure(in_force, stop));
    let Some(directory) = &follow.cache else { return intake };
    let kept = Kept::new(directory, follow.cluster.clone());
    let file = kept.path().display().to_string();
    match kept.read() {
        Ok(Some((snapshot, ago))) => {
            tracing::info!(
                file,
                revision = snapshot.revision,
                ?ago,
                "starting with the snapshot that was kept"
            );
            intake.resume(snapshot, ago);
        }
        Ok(None) => {}
        Err(error) => {
            tracing::error!(file, %error, "the snapshot that was kept cannot be used, and is passed over")
        }
    }
    let latest = intake.latest();
    tasks.spawn("snapshot cache", |stop| keeper::keep(kept, latest, stop));
    intake
}

/// Follows a ledger by its database. `mirror` is told what others wait for.
///
/// # Errors
/// The address is another database's than the ledger's.
pub fn follow(
    opened: &Opened,
    follow: &Follow,
    intake: Intake,
    mirror: Option<Mirror>,
    tasks: &mut Tasks,
) -> anyhow::Result<()> {
    let Opened { ledger, url, migrate } = opened;
    if let Some(at) = intake.position() {
        ledger.remember(at.ledger, at.revision);
    }
    let (news, heard) = watch::channel(0);
    let ear = listen::Ear::of(ledger, url)?;
    tasks.spawn("ledger's news", |stop| listen::listen(ear, news, stop));
    // What cannot be mended by waiting ends a process that serves the ledger; a gate only tells of it, and decides.
    let strict = mirror.is_some();
    let follower = Follower::new(ledger.clone(), follow.cluster.clone(), mirror, follow.reconcile.0)?;
    let (ledger, migrate) = (ledger.clone(), *migrate);
    tasks.spawn("ledger", move |stop| async move {
        if prepare(&ledger, migrate, strict, intake.health(), stop.clone()).await? {
            let Ok(()) = follower.run(intake, heard, stop).await;
        }
        Ok::<_, StoreError>(())
    });
    Ok(())
}

/// Follows a ledger by another process's API, and when the token for it ends.
pub fn follow_remote(
    remote: remote::Remote,
    follow: &Follow,
    intake: Intake,
    readiness: &Readiness,
    tasks: &mut Tasks,
) {
    let reconcile = follow.reconcile.0;
    if let Some(path) = remote.token.clone() {
        let condition = readiness.condition("ledger_token", "not read yet");
        tasks.spawn("ledger's token", |stop| token_end::watch(path, condition, stop));
    }
    tasks.spawn("ledger", move |stop| remote::follow(remote, intake, reconcile, stop));
}

/// Tells whether the database is there, which an API needs and a gate does not.
pub fn watch_database(
    ledger: &Ledger,
    mirror: &Mirror,
    needed: bool,
    readiness: &Readiness,
    tasks: &mut Tasks,
) {
    let condition = readiness.condition("database", "not reached yet");
    if !needed {
        condition.good_but("not reached yet: the API answers 503");
    }
    let (mut touch, mut stage) = (mirror.touch(), ledger.stage());
    tasks.spawn("database", move |stop: CancellationToken| async move {
        loop {
            tokio::select! {
                () = stop.cancelled() => return Ok::<_, Infallible>(()),
                changed = touch.changed() => if changed.is_err() { stop.cancelled().await },
                changed = stage.changed() => if changed.is_err() { stop.cancelled().await },
            }
            let why = match (*touch.borrow_and_update(), *stage.borrow_and_update()) {
                (_, Stage::TurnedBack { seen, found }) => {
                    Some(StoreError::TurnedBack { seen, found }.to_string())
                }
                (Touch::InTouch, _) => None,
                (_, Stage::Migrating) => Some(StoreError::Migrating.to_string()),
                (Touch::Refuses, _) => {
                    Some("the ledger's document does not read; the log says why".to_owned())
                }
                (Touch::Away, _) => Some("the database does not answer".to_owned()),
            };
            let _ = match (why, needed) {
                (None, _) => condition.good(),
                (Some(why), true) => condition.bad(why),
                (Some(why), false) => condition.good_but(format!("{why}: the API answers 503")),
            };
        }
    });
}

/// Waits for the database, and brings its schema up to date. False once it is time to stop.
async fn prepare(
    ledger: &Ledger,
    migrate: bool,
    strict: bool,
    health: &Health,
    stop: CancellationToken,
) -> Result<bool, StoreError> {
    let mut pace = portcullis_store::feed::Pace::new(stop.clone());
    loop {
        let migrating = async {
            let _ = ledger.stage().wait_for(|stage| *stage == Stage::Migrating).await;
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
            Err(error) if strict && !error.is_passing() => return Err(error),
            Err(error) => {
                metrics::database_reachable(false);
                health.trouble(TroubleKind::OutOfTouch, error);
            }
        }
        if !pace.failed().await {
            return Ok(false);
        }
    }
}
