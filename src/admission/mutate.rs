//! `/mutate`: patches only. `deny` rules run on the patched object, so that no patch of ours is what denies a request;
//! whatever else they would deny is left to the validating call, which says so in its sentence.

mod again;
mod harm;

use std::sync::Arc;
use std::time::Instant;

use json_patch::PatchOperation;
use serde_json::Value as Json;

pub use self::again::{Repeat, repeats};
use self::harm::Judge;

use super::changes;
use super::facts::Facts;
use super::patch::{self, Composed, PatchError};
use super::review::Review;
use super::validate::{self, Inputs};
use super::verdict::Verdict;
use portcullis_policy::effective::Effective;
use portcullis_policy::{Meter, Mode, Operation, Plan, Policy, PolicySet, Value};
use portcullis_rego::EvalError;
use portcullis_telemetry::words::Outcome;

/// Runs the plan's patching policies and keeps what of it stands.
pub fn run(
    law: &PolicySet,
    plan: &Plan,
    facts: &Facts,
    review: &Review,
    meter: &mut Meter,
    verdict: &mut Verdict,
) {
    let patchable = matches!(review.header.operation(), Some(Operation::Create | Operation::Update))
        && review.object.is_some();
    if !plan.patches || !patchable {
        return;
    }
    let inputs = match Inputs::build(plan, facts, review, false) {
        Ok(inputs) => inputs,
        Err(error) => return verdict.fail("", "shape", format!("the object cannot be judged: {error}")),
    };
    let effective = validate::effective(law, facts);
    let data = validate::data(law, facts, effective.as_ref(), &facts.cluster(plan.cluster));
    let mut composed = Composed::new(changes::object(review));
    let mut before = Instant::now();
    let mut answered = Vec::new();
    for (at, policy, mode) in
        enforced(law, plan, facts, effective.as_ref()).filter(|(_, policy, _)| policy.patches())
    {
        verdict.evaluated += 1;
        validate::misfit(policy, mode, effective.as_ref(), verdict);
        meter.enter(at);
        match add(policy, inputs.of(policy, review), &data, meter, &mut composed) {
            Ok(()) => answered.push((policy, mode)),
            Err(Refused::Failed(error)) => {
                said(policy, mode, Outcome::Error, verdict);
                validate::failed(policy, mode, &error, verdict);
            }
            Err(Refused::Patch(error)) => {
                answered.push((policy, mode));
                drop_patch(verdict, &policy.manifest.id, error.to_string());
            }
        }
        let now = Instant::now();
        policy.metrics.took(now.duration_since(before));
        before = now;
    }
    if composed.parts.iter().any(|(_, part)| !part.is_empty()) {
        let judge =
            Judge { law, plan, facts, review, effective: effective.as_ref(), data: &data, inputs: &inputs };
        composed = judge.without_harm(composed, meter, verdict);
    }
    if verdict.failures.iter().any(|failure| failure.denies) {
        composed.parts.clear();
    }
    for (policy, mode) in answered {
        // Only now is it known whose patch stands; one that was dropped has changed nothing.
        if composed.parts.iter().any(|(id, part)| *id == policy.manifest.id && !part.is_empty()) {
            said(policy, mode, Outcome::Patch, verdict);
        } else {
            policy.metrics.decided(Outcome::Pass, verdict.dry_run);
        }
    }
    verdict.outcomes.sort_by(|(a, ..), (b, ..)| a.cmp(b));
    verdict.patch = composed.operations();
}

/// Why a policy has added nothing.
enum Refused {
    Failed(EvalError),
    Patch(PatchError),
}

impl From<PatchError> for Refused {
    fn from(error: PatchError) -> Self {
        Self::Patch(error)
    }
}

impl From<EvalError> for Refused {
    fn from(error: EvalError) -> Self {
        Self::Failed(error)
    }
}

/// Only an enforced policy changes an object; under `warn` and `audit` a patch would be more than was asked for.
fn enforced<'a>(
    law: &'a PolicySet,
    plan: &'a Plan,
    facts: &'a Facts,
    effective: Option<&'a Arc<Effective>>,
) -> impl Iterator<Item = (usize, &'a Policy, Mode)> {
    let planned = plan.policies.iter().filter_map(|at| Some((*at, law.policies.get(*at)?)));
    planned
        .map(move |(at, policy)| (at, policy, validate::mode(policy, facts, effective)))
        .filter(|(.., mode)| *mode == Mode::Enforce)
}

fn add(
    policy: &Policy,
    input: &Value,
    data: &Value,
    meter: &mut Meter,
    composed: &mut Composed,
) -> Result<(), Refused> {
    let Some(operations) = operations(policy, input, data, meter, &composed.object)? else { return Ok(()) };
    Ok(composed.add(&policy.manifest.id, operations.all)?)
}

/// What a policy would do to an object.
struct Operations {
    all: Vec<PatchOperation>,
    /// How many of them, the first, are of the rule `patch`; the others are of `merge`.
    of_patch: usize,
}

fn operations(
    policy: &Policy,
    input: &Value,
    data: &Value,
    meter: &mut Meter,
    object: &Json,
) -> Result<Option<Operations>, Refused> {
    let merges = policy.documents("merge", input, data, meter)?;
    let patches = policy.documents("patch", input, data, meter)?;
    let mut all = patch::from_operations(patches)?;
    let of_patch = all.len();
    let mut merged: Option<Json> = None;
    let fragments = merges.len();
    for (at, fragment) in merges.into_iter().enumerate() {
        let part = patch::from_merge(merged.as_ref().unwrap_or(object), &fragment)?;
        // Only a fragment that comes after another has to see what that one makes.
        if at + 1 < fragments && !part.is_empty() {
            json_patch::patch(merged.get_or_insert_with(|| object.clone()), &json_patch::Patch(part.clone()))
                .map_err(|error| PatchError::Apply(error.to_string()))?;
        }
        all.extend(part);
    }
    Ok((!all.is_empty()).then_some(Operations { all, of_patch }))
}

fn said(policy: &Policy, mode: Mode, outcome: Outcome, verdict: &mut Verdict) {
    policy.metrics.decided(outcome, verdict.dry_run);
    verdict.outcomes.push((policy.manifest.id.clone(), outcome, mode));
}

fn drop_patch(verdict: &mut Verdict, policy: &str, why: String) {
    portcullis_telemetry::metrics::patch_dropped(policy);
    verdict.dropped.push((policy.to_owned(), why));
}

#[cfg(test)]
mod tests;
