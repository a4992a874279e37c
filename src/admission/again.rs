//! Patches that are not idempotent, found while the gate runs: a few of the answers with a patch are asked again on their
//! own result. The answer stays as it is; what is found is told.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::Instant;

use super::facts::Facts;
use super::mutate;
use super::review::Review;
use super::verdict::Verdict;
use portcullis_lifecycle::ready::Condition;
use portcullis_policy::{Budget, PolicySet};
use portcullis_telemetry::metrics;

/// Between two looks at one policy. A second look takes as long as the first answer did, so at ten in a second it costs
/// a gate under load next to nothing.
const PAUSE_MS: u64 = 100;

/// Policies that are named in readiness.
const NAMED_MAX: usize = 5;

static STARTED: LazyLock<Instant> = LazyLock::new(Instant::now);

/// What was found under the policies in force.
#[derive(Default)]
pub(super) struct Again {
    condition: Option<Condition>,
    any: AtomicBool,
    found: Mutex<Found>,
}

#[derive(Default)]
struct Found {
    /// The digest of the policies.
    law: String,
    /// Where the rule begins, by policy.
    places: BTreeMap<String, (String, u32)>,
}

impl Again {
    pub(super) fn new(condition: Condition) -> Self {
        condition.good();
        Self { condition: Some(condition), ..Self::default() }
    }

    /// Asks again where that is due, and tells what it finds.
    pub(super) fn look(
        &self,
        law: &PolicySet,
        facts: &Facts,
        review: &Review,
        verdict: &Verdict,
        budget: Budget,
    ) {
        if self.any.load(Ordering::Relaxed) {
            self.forget_others(law);
        }
        if verdict.patch.is_empty() {
            return;
        }
        let now = u64::try_from(STARTED.elapsed().as_millis()).unwrap_or(u64::MAX);
        let due = |policy: &portcullis_policy::Policy| policy.asked_again.due(now, PAUSE_MS);
        for repeat in mutate::repeats(law, facts, review, verdict, budget, due) {
            metrics::patch_repeats(&repeat.policy);
            let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
            found.law.clone_from(&law.digest);
            if found.places.insert(repeat.policy.clone(), repeat.place.clone()).is_none() {
                tracing::error!(policy = %repeat.policy, decision = %verdict.decision_id, "{repeat}");
            }
            self.any.store(true, Ordering::Relaxed);
            self.tell(&found);
        }
    }

    /// What was found under other policies no longer holds.
    fn forget_others(&self, law: &PolicySet) {
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        if found.law != law.digest {
            *found = Found::default();
            self.any.store(false, Ordering::Relaxed);
            self.tell(&found);
        }
    }

    fn tell(&self, found: &Found) {
        let Some(condition) = &self.condition else { return };
        if found.places.is_empty() {
            condition.good();
            return;
        }
        let named: Vec<String> = found
            .places
            .iter()
            .take(NAMED_MAX)
            .map(|(policy, (file, line))| format!("`{policy}` ({file}:{line})"))
            .collect();
        let more = found.places.len().saturating_sub(NAMED_MAX);
        let more = if more == 0 { String::new() } else { format!(" and {more} more") };
        condition.good_but(format!(
            "patches of {}{more} are not idempotent: asked twice, they change the object twice",
            named.join(", ")
        ));
    }
}
