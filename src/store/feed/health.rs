//! Freshness and size of the snapshot, reported by `/readyz` and metrics. A gate decides with the snapshot it has, so lost
//! contact with the ledger is a detail of a ready gate; without any snapshot the gate is not ready.

use std::convert::Infallible;
use std::fmt::Display;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jiff::{Timestamp, Unit};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use portcullis_lifecycle::ready::Condition;
use portcullis_telemetry::metrics;
use portcullis_tenancy::snapshot::{Snapshot, json_len};

/// How often staleness is checked.
const TICK: Duration = Duration::from_secs(1);

#[derive(Clone)]
pub struct Health(Arc<HealthState>);

struct HealthState {
    condition: Condition,
    stale_after: Duration,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    revision: Option<u64>,
    /// When the snapshot was last known to be the newest.
    confirmed: Option<Instant>,
    trouble: Option<Trouble>,
    /// Tenants and other entries that stay at an earlier state.
    fallbacks: (usize, usize),
}

struct Trouble {
    kind: TroubleKind,
    reason: String,
    since: Timestamp,
}

/// Kinds of failure that are fixed at different places.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TroubleKind {
    /// The source does not answer.
    Unreachable,
    /// The source answers, but its snapshot is rejected.
    Refused,
    /// The schema of the database is incomplete.
    Migrating,
}

impl TroubleKind {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Unreachable => "no contact with the ledger",
            Self::Refused => "the snapshot of the ledger is rejected",
            Self::Migrating => "the ledger is being migrated",
        }
    }
}

impl Health {
    /// Without contact for `stale_after`, the snapshot is reported as stale.
    pub fn new(condition: Condition, stale_after: Duration) -> Self {
        Self(Arc::new(HealthState { condition, stale_after, state: Mutex::default() }))
    }

    pub(super) fn applied(&self, revision: u64) {
        self.lock().revision = Some(revision);
        metrics::snapshot_revision(revision);
        self.report();
    }

    /// The snapshot was the newest this long ago.
    pub(super) fn confirmed_before(&self, ago: Duration) {
        self.lock().confirmed = Instant::now().checked_sub(ago);
        metrics::snapshot_confirmed(ago);
    }

    /// The snapshot is the newest.
    pub fn confirmed(&self) {
        let trouble = {
            let mut state = self.lock();
            state.confirmed = Some(Instant::now());
            state.trouble.take()
        };
        metrics::snapshot_confirmed(Duration::ZERO);
        if let Some(Trouble { kind, reason, since }) = trouble {
            // The end of a migration is visible by the snapshot in force.
            if kind != TroubleKind::Migrating {
                tracing::info!(%reason, since = %rounded(since), "contact with the ledger restored");
            }
            self.report();
        }
    }

    pub(super) fn report_fallbacks(&self, tenants: usize, others: usize) {
        metrics::snapshot_held(tenants, others);
        let before = std::mem::replace(&mut self.lock().fallbacks, (tenants, others));
        if before != (tenants, others) {
            self.report();
        }
    }

    pub fn trouble(&self, kind: TroubleKind, reason: impl Display) {
        let reason = reason.to_string();
        let changed = {
            let mut state = self.lock();
            match &mut state.trouble {
                Some(known) if known.reason == reason => false,
                Some(known) => {
                    known.kind = kind;
                    known.reason.clone_from(&reason);
                    true
                }
                none => {
                    *none = Some(Trouble { kind, reason: reason.clone(), since: Timestamp::now() });
                    true
                }
            }
        };
        if changed {
            log(kind, self.lock().revision.is_some(), &reason);
            self.report();
        }
    }

    /// Reports when a snapshot becomes stale, until `stop` is cancelled.
    pub async fn watch(self, stop: CancellationToken) -> Result<(), Infallible> {
        loop {
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                () = tokio::time::sleep(TICK) => self.report(),
            }
        }
    }

    fn report(&self) {
        let state = self.lock();
        let stale = state.confirmed.is_none_or(|at| at.elapsed() > self.0.stale_after);
        let _ = match (&state.revision, &state.trouble) {
            (None, None) => self.0.condition.bad("no snapshot loaded yet"),
            (None, Some(Trouble { reason, .. })) => {
                self.0.condition.bad(format!("no snapshot loaded yet: {reason}"))
            }
            (Some(revision), Some(Trouble { kind, reason, since })) => {
                let word = if stale { "good but stale" } else { "good" };
                let (kind, since) = (kind.as_str(), rounded(*since));
                self.0.condition.good_but(format!(
                    "{word}: deciding with revision {revision}, {kind} since {since}: {reason}"
                ))
            }
            (Some(revision), None) if state.fallbacks != (0, 0) => {
                let word = if stale { "good but stale" } else { "good" };
                let (tenants, others) = state.fallbacks;
                self.0.condition.good_but(format!(
                    "{word}: deciding with revision {revision}, of which {tenants} tenants and {others} other entries \
                     stay at their last good state because they are invalid in the ledger; the log names them"
                ))
            }
            (Some(revision), None) if stale => self.0.condition.good_but(format!(
                "good but stale: deciding with revision {revision}, no contact with the ledger"
            )),
            (Some(_), None) => self.0.condition.good(),
        };
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Every change of the state is complete, so a poisoned lock is usable.
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn log(kind: TroubleKind, snapshot: bool, reason: &str) {
    match (kind, snapshot) {
        (TroubleKind::Unreachable, true) => {
            tracing::warn!(%reason, "no contact with the ledger; deciding with the last good snapshot");
        }
        (TroubleKind::Unreachable, false) => {
            tracing::warn!(%reason, "no contact with the ledger; no snapshot loaded yet");
        }
        (TroubleKind::Refused, true) => {
            tracing::error!(%reason, "the snapshot of the ledger is rejected; deciding with the last good snapshot");
        }
        (TroubleKind::Refused, false) => {
            tracing::error!(%reason, "the snapshot of the ledger is rejected; no snapshot loaded yet");
        }
        (TroubleKind::Migrating, _) => tracing::info!(%reason, "waiting for the schema of the ledger"),
    }
}

fn rounded(at: Timestamp) -> Timestamp {
    at.round(Unit::Second).unwrap_or(at)
}

/// Measuring 100,000 namespaces takes 50 ms.
const MEASURE_INTERVAL: Duration = Duration::from_secs(10);

/// Measures the newest snapshot until `stop` is cancelled, so that growth is visible before the limit.
pub async fn measure_size(
    mut in_force: watch::Receiver<Option<Arc<Snapshot>>>,
    stop: CancellationToken,
) -> Result<(), Infallible> {
    loop {
        let snapshot = in_force.borrow_and_update().clone();
        if let Some(snapshot) = snapshot {
            let measured = tokio::task::spawn_blocking(move || json_len(&*snapshot)).await;
            if let Ok(bytes) = measured {
                metrics::snapshot_bytes(bytes);
            }
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                () = tokio::time::sleep(MEASURE_INTERVAL) => {}
            }
        }
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            changed = in_force.changed() => if changed.is_err() { stop.cancelled().await },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use portcullis_lifecycle::ready::Readiness;

    #[test]
    fn lost_contact_is_a_detail_and_no_snapshot_is_not_ready() {
        let readiness = Readiness::new();
        let condition = readiness.condition("tenancy", "?");
        let health = Health::new(condition, Duration::from_mins(1));
        let reason = || readiness.report().conditions.first().unwrap().reason.clone();
        health.trouble(TroubleKind::Unreachable, "connection refused");
        assert!(!readiness.is_ready());
        assert_eq!(reason(), "no snapshot loaded yet: connection refused");
        health.confirmed_before(Duration::from_secs(5));
        health.applied(7);
        assert!(readiness.is_ready());
        assert!(
            reason().starts_with("good: deciding with revision 7, no contact with the ledger since 2"),
            "{}",
            reason()
        );
        health.confirmed_before(Duration::from_secs(61));
        health.report();
        assert!(readiness.is_ready());
        assert!(
            reason()
                .starts_with("good but stale: deciding with revision 7, no contact with the ledger since 2"),
            "{}",
            reason()
        );
        health.trouble(TroubleKind::Refused, "unsupported version 2");
        assert!(
            reason().contains("revision 7, the snapshot of the ledger is rejected since 2"),
            "{}",
            reason()
        );
        health.confirmed();
        assert_eq!((readiness.is_ready(), reason()), (true, String::new()));
        health.report_fallbacks(1, 0);
        assert!(readiness.is_ready());
        assert!(
            reason().contains("of which 1 tenants and 0 other entries stay at their last good state"),
            "{}",
            reason()
        );
        health.report_fallbacks(0, 0);
        assert_eq!(reason(), "");
    }
}
