//! Whether a patch is idempotent: asked again on its own result, a policy has nothing more to change. The API server asks
//! twice where another webhook changed the object in between, and a patch that appends each time would append twice.

use std::fmt;

use serde_json::Value as Json;

use super::harm::with_object;
use super::{Operations, Refused, operations};
use crate::changes;
use crate::facts::Facts;
use crate::review::{Endpoint, Review};
use crate::validate::{self, Inputs};
use crate::verdict::Verdict;
use portcullis_policy::{Budget, Meter, Policy, PolicySet};
use portcullis_telemetry::words::Outcome;

/// A policy that changes what it made itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repeat {
    /// Its id.
    pub policy: String,
    /// File and line of the rule, `patch` or `merge`.
    pub place: (String, u32),
    /// The operation that it gives the second time, or why it gives none.
    pub again: String,
}

impl fmt::Display for Repeat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (file, line) = &self.place;
        write!(
            f,
            "{file}:{line}: the patch of `{}` is not idempotent: on its own result it gives {}",
            self.policy, self.again
        )
    }
}

/// Asks those policies again of which a verdict holds a patch, and that `asked` wants asked; names those that would change
/// the object once more. Takes as long as asking them did; a caller that waits for an answer asks for few.
pub fn repeats(
    law: &PolicySet,
    facts: &Facts,
    review: &Review,
    verdict: &Verdict,
    budget: Budget,
    asked: impl Fn(&Policy) -> bool,
) -> Vec<Repeat> {
    let Some(operation) = review.header.operation() else { return Vec::new() };
    if review.endpoint != Endpoint::Mutate || verdict.patch.is_empty() {
        return Vec::new();
    }
    let plan = law.plan(&review.header.query(operation, facts.kind));
    let patched = |policy: &Policy| {
        verdict.outcomes.iter().any(|(id, said, _)| *id == policy.manifest.id && *said == Outcome::Patch)
    };
    let policies = plan.policies.iter().filter_map(|at| Some((*at, law.policies.get(*at)?)));
    let policies: Vec<_> = policies.filter(|(_, policy)| patched(policy) && asked(policy)).collect();
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
        let Ok(inputs) = Inputs::build(&plan, facts, &review, false) else { return Vec::new() };
        let effective = validate::effective(law, facts);
        let data = validate::data(law, facts, effective.as_ref(), &facts.cluster(plan.cluster));
        let mut meter = Meter::new(budget);
        let mut found = Vec::new();
        for (at, policy) in policies {
            meter.enter(at);
            match operations(policy, inputs.of(policy, &review), &data, &mut meter, &object) {
                Ok(Some(operations)) => found.extend(more(policy, &operations, &object)),
                // What fails under the budget of a second look says nothing of the patch.
                Ok(None) | Err(Refused::Failed(_)) => {}
                Err(Refused::Patch(error)) => found.push(repeat(policy, "patch", error.to_string())),
            }
        }
        found
    })
}

/// The first operation after which the object is another; one that does not apply is another too.
fn more(policy: &Policy, operations: &Operations, object: &Json) -> Option<Repeat> {
    let mut changed = object.clone();
    operations.all.iter().enumerate().find_map(|(at, operation)| {
        let rule = if at < operations.of_patch { "patch" } else { "merge" };
        let text = || serde_json::to_string(operation).unwrap_or_default();
        match json_patch::patch(&mut changed, std::slice::from_ref(operation)) {
            Err(error) => Some(repeat(policy, rule, format!("{}, which does not apply: {error}", text()))),
            Ok(()) => (changed != *object).then(|| repeat(policy, rule, text())),
        }
    })
}

fn repeat(policy: &Policy, rule: &str, again: String) -> Repeat {
    let place = policy.place_of(rule).unwrap_or(&policy.manifest.place).clone();
    Repeat { policy: policy.manifest.id.clone(), place, again }
}
