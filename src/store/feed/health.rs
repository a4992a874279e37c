//! How fresh the snapshot is, as `/readyz` and the metrics tell it.
//!
//! A gate decides from what it has, so being out of touch is a detail of a gate that is ready; only without any snapshot is
//! it not.

use std::convert::Infallible;
use std::fmt::Display;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jiff::{Timestamp, Unit};
use tokio_util::sync::CancellationToken;

use portcullis_lifecycle::ready::Condition;
use portcullis_telemetry::metrics;

/// How often it is looked whether the snapshot has become stale.
const TICK: Duration = Duration::from_secs(1);

/// The freshness of one snapshot; all clones are one.
#[derive(Clone)]
pub struct Health(Arc<Shared>);

struct Shared {
    condition: Condition,
    stale_after: Duration,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Of the snapshot in force.
    revision: Option<u64>,
    /// When it was last known to be the newest; absent before the first time.
    confirmed: Option<Instant>,
    /// What stands between us and the source, and since when.
    trouble: Option<Trouble>,
    /// How many tenants, and how many other entries, stay at an earlier state.
    held: (usize, usize),
}

struct Trouble {
    kind: TroubleKind,
    reason: String,
    since: Timestamp,
}

/// What kind of trouble it is: they are not mended at the same end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TroubleKind {
    /// The source does not answer.
    OutOfTouch,
    /// The source answers, and what it says is not taken.
    Refused,
    /// The database answers, and its schema is not complete yet.
    Migrating,
}

impl TroubleKind {
    const fn as_str(self) -> &'static str {
        match self {
            Self::OutOfTouch => "out of touch",
            Self::Refused => "what the ledger offers is refused",
            Self::Migrating => "the ledger is being migrated",
        }
    }
}

impl Health {
    /// Nothing is in force yet. Once the source has been out of touch for `stale_after`, the snapshot is called stale.
    pub fn new(condition: Condition, stale_after: Duration) -> Self {
        Self(Arc::new(Shared { condition, stale_after, state: Mutex::default() }))
    }

    /// A snapshot is in force.
    pub(super) fn entered(&self, revision: u64) {
        self.lock().revision = Some(revision);
        metrics::snapshot_revision(revision);
        self.tell();
    }

    /// What is in force was the newest so long ago.
    pub(super) fn confirmed_before(&self, ago: Duration) {
        self.lock().confirmed = Instant::now().checked_sub(ago);
        metrics::snapshot_confirmed(ago);
    }

    /// What is in force is the newest.
    pub fn confirmed(&self) {
        let trouble = {
            let mut state = self.lock();
            state.confirmed = Some(Instant::now());
            state.trouble.take()
        };
        metrics::snapshot_confirmed(Duration::ZERO);
        if let Some(Trouble { kind, reason, since }) = trouble {
            // That the schema is complete is told by the snapshot in force.
            if kind != TroubleKind::Migrating {
                tracing::info!(%reason, since = %shown(since), "in touch with the ledger again");
            }
            self.tell();
        }
    }

    /// So many tenants, and so many other entries, of what is in force stay at an earlier state.
    pub(super) fn held(&self, tenants: usize, others: usize) {
        metrics::snapshot_held(tenants, others);
        let before = std::mem::replace(&mut self.lock().held, (tenants, others));
        if before != (tenants, others) {
            self.tell();
        }
    }

    /// The source cannot be reached, or what it says is not taken, for this reason.
    pub fn trouble(&self, kind: TroubleKind, reason: impl Display) {
        let reason = reason.to_string();
        let news = {
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
        if news {
            log(kind, self.lock().revision.is_some(), &reason);
            self.tell();
        }
    }

    /// Tells when a snapshot becomes stale, which is nobody's call but the clock's.
    ///
    /// # Errors
    /// Never; a task that ends is a task that died.
    pub async fn watch(self, stop: CancellationToken) -> Result<(), Infallible> {
        loop {
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                () = tokio::time::sleep(TICK) => self.tell(),
            }
        }
    }

    fn tell(&self) {
        let state = self.lock();
        let stale = state.confirmed.is_none_or(|at| at.elapsed() > self.0.stale_after);
        let _ = match (&state.revision, &state.trouble) {
            (None, None) => self.0.condition.bad("no snapshot loaded yet"),
            (None, Some(Trouble { reason, .. })) => {
                self.0.condition.bad(format!("no snapshot loaded yet: {reason}"))
            }
            (Some(revision), Some(Trouble { kind, reason, since })) => {
                let word = if stale { "good but stale" } else { "good" };
                let (kind, since) = (kind.as_str(), shown(*since));
                self.0.condition.good_but(format!(
                    "{word}: deciding by revision {revision}, {kind} since {since}: {reason}"
                ))
            }
            (Some(revision), None) if state.held != (0, 0) => {
                let word = if stale { "good but stale" } else { "good" };
                let (tenants, others) = state.held;
                self.0.condition.good_but(format!(
                    "{word}: deciding by revision {revision}, of which {tenants} tenants and {others} other entries \
                     stay at their last good state, because what the ledger has of them does not read; the log names them"
                ))
            }
            (Some(revision), None) if stale => self.0.condition.good_but(format!(
                "good but stale: deciding by revision {revision}, and no word from the ledger"
            )),
            (Some(_), None) => self.0.condition.good(),
        };
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Every edit leaves it whole.
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A fixed sentence for each kind; without a snapshot it speaks of none.
fn log(kind: TroubleKind, snapshot: bool, reason: &str) {
    match (kind, snapshot) {
        (TroubleKind::OutOfTouch, true) => {
            tracing::warn!(%reason, "out of touch with the ledger; deciding by the last good snapshot");
        }
        (TroubleKind::OutOfTouch, false) => {
            tracing::warn!(%reason, "out of touch with the ledger; there is no snapshot yet");
        }
        (TroubleKind::Refused, true) => {
            tracing::error!(%reason, "what the ledger offers is refused; deciding by the last good snapshot");
        }
        (TroubleKind::Refused, false) => {
            tracing::error!(%reason, "what the ledger offers is refused; there is no snapshot yet");
        }
        (TroubleKind::Migrating, _) => tracing::info!(%reason, "waiting for the ledger's schema"),
    }
}

fn shown(at: Timestamp) -> Timestamp {
    at.round(Unit::Second).unwrap_or(at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use portcullis_lifecycle::ready::Readiness;

    #[test]
    fn out_of_touch_is_a_detail_and_nothing_at_all_is_not_ready() {
        let readiness = Readiness::new();
        let condition = readiness.condition("tenancy", "?");
        let health = Health::new(condition, Duration::from_mins(1));
        let said = || readiness.report().conditions.first().unwrap().reason.clone();
        health.trouble(TroubleKind::OutOfTouch, "nobody answers");
        assert!(!readiness.is_ready());
        assert_eq!(said(), "no snapshot loaded yet: nobody answers");
        health.confirmed_before(Duration::from_secs(5));
        health.entered(7);
        assert!(readiness.is_ready());
        assert!(said().starts_with("good: deciding by revision 7, out of touch since 2"), "{}", said());
        health.confirmed_before(Duration::from_secs(61));
        health.tell();
        assert!(readiness.is_ready());
        assert!(
            said().starts_with("good but stale: deciding by revision 7, out of touch since 2"),
            "{}",
            said()
        );
        health.trouble(TroubleKind::Refused, "it is of version 2");
        assert!(said().contains("revision 7, what the ledger offers is refused since 2"), "{}", said());
        health.confirmed();
        assert_eq!((readiness.is_ready(), said()), (true, String::new()));
        health.held(1, 0);
        assert!(readiness.is_ready());
        assert!(
            said().contains("of which 1 tenants and 0 other entries stay at their last good state"),
            "{}",
            said()
        );
        health.held(0, 0);
        assert_eq!(said(), "");
    }
}
