//! Checks that patches are idempotent: applied to its own result, a policy changes nothing more. The API server calls the
//! webhook again when another webhook changed the object, and a patch that appends would append twice.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::Instant;

use serde_json::Value as Json;

use super::changes;
use super::context::ReviewContext;
use super::mutate::{Operations, PolicyError, operations, with_object};
use super::review::{Endpoint, Review};
use super::validate::{self, Inputs};
use super::verdict::Verdict;
use portcullis_lifecycle::ready::Condition;
use portcullis_policy::{Budget, Meter, Policy, PolicySet};
use portcullis_telemetry::labels::Outcome;
use portcullis_telemetry::metrics;

/// The time between two checks of one policy. A check takes as long as the review itself, so ten a second cost little
/// under load.
const PAUSE_MS: u64 = 100;

/// The number of policies that the readiness condition names.
const NAMED_MAX: usize = 5;

static STARTED: LazyLock<Instant> = LazyLock::new(Instant::now);

/// A policy whose patch is not idempotent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepeatedPatch {
    pub policy: String,
    /// File and line of the rule, `patch` or `merge`.
    pub location: (String, u32),
    /// The second operation, or why it does not apply.
    pub second: String,
}

impl fmt::Display for RepeatedPatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (file, line) = &self.location;
        write!(
            f,
            "{file}:{line}: the patch of `{}` is not idempotent: on its own result it gives {}",
            self.policy, self.second
        )
    }
}

/// Runs the patching policies of a verdict on the patched object, those that `select` accepts, and returns those that
/// change it again. Takes as long as the review did.
pub fn repeated_patches(
    set: &PolicySet,
    context: &ReviewContext,
    review: &Review,
    verdict: &Verdict,
    budget: Budget,
    select: impl Fn(&Policy) -> bool,
) -> Vec<RepeatedPatch> {
    let Some(operation) = review.header.operation() else { return Vec::new() };
    if review.endpoint != Endpoint::Mutate || verdict.patch.is_empty() {
        return Vec::new();
    }
    let plan = set.plan(&review.header.query(operation, context.kind));
    let patched = |policy: &Policy| {
        let mut outcomes = verdict.outcomes.iter();
        outcomes.any(|(id, outcome, _)| *id == policy.manifest.id && *outcome == Outcome::Patch)
    };
    let policies = plan.policies.iter().filter_map(|at| Some((*at, set.policies.get(*at)?)));
    let policies: Vec<_> = policies.filter(|(_, policy)| patched(policy) && select(policy)).collect();
    if policies.is_empty() {
        return Vec::new();
    }
    changes::with_stack(review, || {
        let whole;
        let review = if review.covers(&plan) {
            review
        } else {
            let Ok(decoded) = review.whole() else { return Vec::new() };
            whole = decoded;
            &whole
        };
        let mut object = changes::object(review);
        if json_patch::patch(&mut object, &json_patch::Patch(verdict.patch.clone())).is_err() {
            return Vec::new();
        }
        let review = with_object(&plan, review, &object);
        let Ok(inputs) = Inputs::build(&plan, context, &review, false) else { return Vec::new() };
        let effective = validate::effective(set, context);
        let data = validate::data(set, context, effective.as_ref(), &context.cluster(plan.cluster));
        let mut meter = Meter::new(budget);
        let mut repeated = Vec::new();
        for (at, policy) in policies {
            meter.enter(at);
            match operations(policy, inputs.of(policy, &review), &data, &mut meter, &object) {
                Ok(Some(operations)) => repeated.extend(first_change(policy, &operations, &object)),
                // A failure under the budget of the check says nothing about the patch.
                Ok(None) | Err(PolicyError::Failed(_)) => {}
                Err(PolicyError::Patch(error)) => {
                    repeated.push(repeated_patch(policy, "patch", error.to_string()));
                }
            }
        }
        repeated
    })
}

/// The first operation that changes the object or does not apply.
fn first_change(policy: &Policy, operations: &Operations, object: &Json) -> Option<RepeatedPatch> {
    let mut changed = object.clone();
    operations.all.iter().enumerate().find_map(|(at, operation)| {
        let rule = if at < operations.of_patch { "patch" } else { "merge" };
        let text = || serde_json::to_string(operation).unwrap_or_default();
        match json_patch::patch(&mut changed, std::slice::from_ref(operation)) {
            Err(error) => {
                Some(repeated_patch(policy, rule, format!("{}, which does not apply: {error}", text())))
            }
            Ok(()) => (changed != *object).then(|| repeated_patch(policy, rule, text())),
        }
    })
}

fn repeated_patch(policy: &Policy, rule: &str, second: String) -> RepeatedPatch {
    let location = policy.rule_location(rule).unwrap_or(&policy.manifest.location).clone();
    RepeatedPatch { policy: policy.manifest.id.clone(), location, second }
}

/// Checks a sample of the gate's patches, logs the policies that are not idempotent and names them in readiness. The
/// verdict is not changed.
#[derive(Default)]
pub(crate) struct IdempotenceChecks {
    condition: Option<Condition>,
    any: AtomicBool,
    repeated: Mutex<RepeatedPolicies>,
}

#[derive(Default)]
struct RepeatedPolicies {
    /// The digest of the policy set.
    digest: String,
    /// File and line of the rule, by policy.
    locations: BTreeMap<String, (String, u32)>,
}

impl IdempotenceChecks {
    pub(crate) fn new(condition: Condition) -> Self {
        condition.good();
        Self { condition: Some(condition), ..Self::default() }
    }

    /// Checks the policies that were not checked for [`PAUSE_MS`].
    pub(crate) fn check(
        &self,
        set: &PolicySet,
        context: &ReviewContext,
        review: &Review,
        verdict: &Verdict,
        budget: Budget,
    ) {
        if self.any.load(Ordering::Relaxed) {
            self.clear_other_sets(set);
        }
        if verdict.patch.is_empty() {
            return;
        }
        let now = u64::try_from(STARTED.elapsed().as_millis()).unwrap_or(u64::MAX);
        let due = |policy: &Policy| policy.patch_recheck.due(now, PAUSE_MS);
        for repeat in repeated_patches(set, context, review, verdict, budget, due) {
            metrics::patch_repeats(&repeat.policy);
            let mut repeated = self.repeated.lock().unwrap_or_else(PoisonError::into_inner);
            repeated.digest.clone_from(&set.digest);
            if repeated.locations.insert(repeat.policy.clone(), repeat.location.clone()).is_none() {
                tracing::error!(policy = %repeat.policy, decision = %verdict.decision_id, "{repeat}");
            }
            self.any.store(true, Ordering::Relaxed);
            self.report(&repeated);
        }
    }

    fn clear_other_sets(&self, set: &PolicySet) {
        let mut repeated = self.repeated.lock().unwrap_or_else(PoisonError::into_inner);
        if repeated.digest != set.digest {
            *repeated = RepeatedPolicies::default();
            self.any.store(false, Ordering::Relaxed);
            self.report(&repeated);
        }
    }

    fn report(&self, repeated: &RepeatedPolicies) {
        let Some(condition) = &self.condition else { return };
        if repeated.locations.is_empty() {
            condition.good();
            return;
        }
        let named: Vec<String> = repeated
            .locations
            .iter()
            .take(NAMED_MAX)
            .map(|(policy, (file, line))| format!("`{policy}` ({file}:{line})"))
            .collect();
        let more = repeated.locations.len().saturating_sub(NAMED_MAX);
        let more = if more == 0 { String::new() } else { format!(" and {more} more") };
        condition.good_but(format!(
            "patches of {}{more} are not idempotent: applied twice, they change the object twice",
            named.join(", ")
        ));
    }
}

#[cfg(test)]
mod tests;
