//! `/mutate`: patches only. `deny` rules run on the patched object, so that no patch of ours is what denies a request;
//! whatever else they would deny is left to the validating call, which says so in its sentence.

use std::sync::Arc;
use std::time::Instant;

use serde_json::Value as Json;

use super::changes;
use super::decode;
use super::facts::Facts;
use super::patch::{self, Composed, PatchError};
use super::review::Review;
use super::validate::{self, Inputs};
use super::verdict::{Named, Verdict};
use crate::policy::effective::Effective;
use crate::policy::engine::EvalError;
use crate::policy::{Budget, Mode, Operation, Plan, Policy, PolicySet, Value};
use crate::telemetry::words::Outcome;

/// Runs the plan's patching policies and keeps what of it stands.
pub fn run(
    law: &PolicySet,
    plan: &Plan,
    facts: &Facts,
    review: &Review,
    budget: Budget,
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
    let (object, _) = changes::objects(review);
    let mut composed = Composed::new(object);
    let mut before = Instant::now();
    let mut answered = Vec::new();
    for (policy, mode) in
        enforced(law, plan, facts, effective.as_ref()).filter(|(policy, _)| policy.patches())
    {
        verdict.evaluated += 1;
        match add(policy, inputs.of(policy, review), &data, budget, &mut composed) {
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
        composed = without_harm(law, plan, facts, review, budget, composed, verdict);
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
) -> impl Iterator<Item = (&'a Policy, Mode)> {
    law.planned(plan)
        .map(move |policy| (policy, validate::mode(policy, facts, effective)))
        .filter(|(_, mode)| *mode == Mode::Enforce)
}

fn add(
    policy: &Policy,
    input: &Value,
    data: &Value,
    budget: Budget,
    composed: &mut Composed,
) -> Result<(), Refused> {
    let merges = policy.documents("merge", input, data, budget)?;
    let patches = policy.documents("patch", input, data, budget)?;
    let mut operations = patch::from_operations(patches)?;
    let mut scratch = composed.object.clone();
    for fragment in merges {
        let part = patch::from_merge(&scratch, &fragment)?;
        json_patch::patch(&mut scratch, &json_patch::Patch(part.clone()))
            .map_err(|error| PatchError::Apply(error.to_string()))?;
        operations.extend(part);
    }
    if operations.is_empty() {
        return Ok(());
    }
    Ok(composed.add(&policy.manifest.id, operations)?)
}

fn said(policy: &Policy, mode: Mode, outcome: Outcome, verdict: &mut Verdict) {
    policy.metrics.decided(outcome, verdict.dry_run);
    verdict.outcomes.push((policy.manifest.id.clone(), outcome, mode));
}

fn drop_patch(verdict: &mut Verdict, policy: &str, why: String) {
    crate::telemetry::metrics::patch_dropped(policy);
    verdict.dropped.push((policy.to_owned(), why));
}

/// Drops the patches that make a denial of a request that would have passed.
fn without_harm(
    law: &PolicySet,
    plan: &Plan,
    facts: &Facts,
    review: &Review,
    budget: Budget,
    composed: Composed,
    verdict: &mut Verdict,
) -> Composed {
    let denied = |object: &Json| denials(law, plan, facts, review, budget, object);
    let after = denied(&composed.object);
    if after.is_empty() {
        return composed;
    }
    let (original, _) = changes::objects(review);
    let before = denied(&original);
    if after.iter().all(|named| before.contains(named)) {
        return composed;
    }
    let mut kept = Composed::new(original);
    for (policy, operations) in composed.parts {
        let mut with = kept.clone();
        if let Err(error) = with.add(&policy, operations) {
            drop_patch(verdict, &policy, error.to_string());
            continue;
        }
        match denied(&with.object).into_iter().find(|named| !before.contains(named)) {
            Some(named) => drop_patch(verdict, &policy, format!("{} would deny its result", named.policy)),
            None => kept = with,
        }
    }
    kept
}

/// What `deny` says of an object in the place of the review's own. A failure counts as a denial: the patch is not known to be harmless.
fn denials(
    law: &PolicySet,
    plan: &Plan,
    facts: &Facts,
    review: &Review,
    budget: Budget,
    object: &Json,
) -> Vec<Named> {
    let unknown = |policy: &str| Named {
        policy: policy.to_owned(),
        finding: crate::policy::Finding { msg: "failed".to_owned(), ..Default::default() },
    };
    let mut patched = Review { object: Some(decode::whole(object)), ..review.clone() };
    if ["changed", "finalizerRemoval"].iter().any(|part| plan.reads.touches(&[part])) {
        patched.body = changes::body_with(review, object);
    }
    let Ok(inputs) = Inputs::build(plan, facts, &patched, false) else { return vec![unknown("portcullis")] };
    let effective = validate::effective(law, facts);
    let data = validate::data(law, facts, effective.as_ref(), &facts.cluster(plan.cluster));
    let mut found = Vec::new();
    for (policy, _) in
        enforced(law, plan, facts, effective.as_ref()).filter(|(policy, _)| policy.defines("deny"))
    {
        match policy.findings("deny", inputs.of(policy, review), &data, budget) {
            Ok(findings) => found.extend(
                findings.into_iter().map(|finding| Named { policy: policy.manifest.id.clone(), finding }),
            ),
            Err(_) => found.push(unknown(&policy.manifest.id)),
        }
    }
    found
}

#[cfg(test)]
mod tests;
