//! Attempts that were turned away: counted in memory, written a few at a time, so that nobody fills the disk by failing.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::chain::{self, Row};
use super::{Outcome, SYSTEM};
use crate::error::StoreError;
use crate::ledger::Ledger;

/// Rows written at a time, every five seconds: some three a second, for ever, however many fail.
const ROWS_MAX: usize = 16;

/// Different attempts that are told apart; those of still others are counted together, by what was attempted.
const KINDS_MAX: usize = 256;

/// Longest text of a caller's that is written down, in bytes.
const TEXT_MAX: usize = 256;

/// Whose attempts are counted together once there are too many to tell apart.
const OTHERS: &str = "(others)";

/// An attempt that was turned away.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Denial {
    /// `issuer#sub`; a word such as `anonymous` where nobody was recognised. Cut at 256 bytes.
    pub actor: String,
    /// Id of the tenant that the caller belongs to, whose owners may read of it.
    pub tenant_id: Option<String>,
    /// What it wanted: `tenant.delete`, `auth.failed`, ….
    pub action: &'static str,
    /// Of what.
    pub resource_type: &'static str,
    /// Why not, in our words: `expired`, `forbidden`, ….
    pub reason: &'static str,
}

/// How often, from when to when, and the request of the last time.
#[derive(Debug, Clone)]
struct Seen {
    attempts: i64,
    first: i64,
    last: i64,
    request_id: String,
}

/// What has not been written yet.
#[derive(Debug, Clone, Default)]
pub(crate) struct Denials(Arc<Mutex<BTreeMap<Denial, Seen>>>);

impl Denials {
    fn count(&self, mut denial: Denial, seen: Seen) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= KINDS_MAX && !known.contains_key(&denial) {
            denial = Denial { actor: OTHERS.to_owned(), tenant_id: None, ..denial };
        }
        known
            .entry(denial)
            .and_modify(|before| {
                before.attempts = before.attempts.saturating_add(seen.attempts);
                before.first = before.first.min(seen.first);
                if seen.last >= before.last {
                    before.last = seen.last;
                    before.request_id.clone_from(&seen.request_id);
                }
            })
            .or_insert(seen);
    }

    /// Those that have waited longest: however many fail, nobody's attempts wait for ever.
    fn take(&self) -> Vec<(Denial, Seen)> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut order: Vec<(i64, Denial)> =
            known.iter().map(|(denial, seen)| (seen.first, denial.clone())).collect();
        order.sort();
        order.truncate(ROWS_MAX);
        order.into_iter().filter_map(|(_, denial)| known.remove_entry(&denial)).collect()
    }
}

impl Ledger {
    /// Counts an attempt that was turned away. Never waits, and never fails.
    pub fn denied(&self, mut denial: Denial, request_id: &str) {
        let end = denial.actor.floor_char_boundary(TEXT_MAX);
        denial.actor.truncate(end);
        let now = jiff::Timestamp::now().as_millisecond();
        let end = request_id.floor_char_boundary(TEXT_MAX);
        let request_id = request_id.get(..end).unwrap_or_default().to_owned();
        self.denials().count(denial, Seen { attempts: 1, first: now, last: now, request_id });
    }

    /// Writes some of what was counted into the chain `system`, at most 16 rows; how many. What could not be written is
    /// counted on.
    pub async fn write_denied(&self) -> Result<usize, StoreError> {
        let taken = self.denials().take();
        if taken.is_empty() {
            return Ok(0);
        }
        let written = self.append(&taken).await;
        if written.is_err() {
            taken.iter().for_each(|(denial, seen)| self.denials().count(denial.clone(), seen.clone()));
        }
        written.map(|()| taken.len())
    }

    async fn append(&self, denials: &[(Denial, Seen)]) -> Result<(), StoreError> {
        let mut session = self.begin_nobody().await?;
        chain::write(&mut session, self.kind(), denials.iter().map(|(denial, seen)| row(denial, seen)))
            .await?;
        session.commit().await
    }
}

fn row(denial: &Denial, seen: &Seen) -> Row {
    Row {
        chain: SYSTEM.to_owned(),
        seq: 0,
        at: seen.last,
        request_id: seen.request_id.clone(),
        actor: denial.actor.clone(),
        minted_by: None,
        actor_roles: "[]".to_owned(),
        tenant_id: denial.tenant_id.clone(),
        action: denial.action.to_owned(),
        resource_type: denial.resource_type.to_owned(),
        resource_id: None,
        resource_name: None,
        result: Outcome::Denied.as_str().to_owned(),
        attempts: seen.attempts,
        first_at: Some(seen.first),
        before: None,
        after: None,
        reason: Some(denial.reason.to_owned()),
    }
}
