//! `/mutate`: runs the `patch` and `merge` rules. The `deny` rules then run on the patched object, and a patch that causes
//! a denial is dropped. All other denials are left to the validating call.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Instant;

use json_patch::PatchOperation;
use serde_json::Value as Json;

use super::changes;
use super::context::ReviewContext;
use super::decode;
use super::patch::{self, Composed, PatchError};
use super::review::Review;
use super::validate::{self, Inputs};
use super::verdict::{Named, Verdict};
use portcullis_policy::effective::Effective;
use portcullis_policy::{Finding, Meter, Mode, Operation, Plan, Policy, PolicySet, Value};
use portcullis_rego::EvalError;
use portcullis_telemetry::labels::Outcome;

/// Runs the plan's patching policies and sets the verdict's patch.
pub(crate) fn run(
    set: &PolicySet,
    plan: &Plan,
    context: &ReviewContext,
    review: &Review,
    meter: &mut Meter,
    verdict: &mut Verdict,
) {
    let patchable = matches!(review.header.operation(), Some(Operation::Create | Operation::Update))
        && review.object.is_some();
    if !plan.patches || !patchable {
        return;
    }
    let inputs = match Inputs::build(plan, context, review, false) {
        Ok(inputs) => inputs,
        Err(error) => return verdict.fail("", "shape", format!("the object cannot be judged: {error}")),
    };
    let effective = validate::effective(set, context);
    let data = validate::data(set, context, effective.as_ref(), &context.cluster(plan.cluster));
    let mut composed = Composed::new(changes::object(review));
    let mut before = Instant::now();
    let mut patching = Vec::new();
    for (at, policy, mode) in
        enforced(set, plan, context, effective.as_ref()).filter(|(_, policy, _)| policy.patches())
    {
        verdict.evaluated += 1;
        validate::check_params(policy, mode, effective.as_ref(), verdict);
        meter.enter(at);
        match add(policy, inputs.of(policy, review), &data, meter, &mut composed) {
            Ok(()) => patching.push((policy, mode)),
            Err(PolicyError::Failed(error)) => {
                record_outcome(policy, mode, Outcome::Error, verdict);
                validate::failed(policy, mode, &error, verdict);
            }
            Err(PolicyError::Patch(error)) => {
                patching.push((policy, mode));
                drop_patch(verdict, &policy.manifest.id, error.to_string());
            }
        }
        let now = Instant::now();
        policy.metrics.record_duration(now.duration_since(before));
        before = now;
    }
    if composed.parts.iter().any(|(_, part)| !part.is_empty()) {
        let checker = PatchChecker {
            set,
            plan,
            context,
            review,
            effective: effective.as_ref(),
            data: &data,
            inputs: &inputs,
        };
        composed = checker.drop_denied(composed, meter, verdict);
    }
    if verdict.failures.iter().any(|failure| failure.denies) {
        composed.parts.clear();
    }
    for (policy, mode) in patching {
        // Only now is it known which patches were dropped.
        if composed.parts.iter().any(|(id, part)| *id == policy.manifest.id && !part.is_empty()) {
            record_outcome(policy, mode, Outcome::Patch, verdict);
        } else {
            policy.metrics.count_outcome(Outcome::Pass, verdict.dry_run);
        }
    }
    verdict.outcomes.sort_by(|(a, ..), (b, ..)| a.cmp(b));
    verdict.patch = composed.operations();
}

/// Why a policy added no operations.
pub(crate) enum PolicyError {
    Failed(EvalError),
    Patch(PatchError),
}

impl From<PatchError> for PolicyError {
    fn from(error: PatchError) -> Self {
        Self::Patch(error)
    }
}

impl From<EvalError> for PolicyError {
    fn from(error: EvalError) -> Self {
        Self::Failed(error)
    }
}

/// The policies in mode `enforce`. In `warn` and `audit` a policy must not change an object.
fn enforced<'a>(
    set: &'a PolicySet,
    plan: &'a Plan,
    context: &'a ReviewContext,
    effective: Option<&'a Arc<Effective>>,
) -> impl Iterator<Item = (usize, &'a Policy, Mode)> {
    let planned = plan.policies.iter().filter_map(|at| Some((*at, set.policies.get(*at)?)));
    planned
        .map(move |(at, policy)| (at, policy, validate::mode(policy, context, effective)))
        .filter(|(.., mode)| *mode == Mode::Enforce)
}

fn add(
    policy: &Policy,
    input: &Value,
    data: &Value,
    meter: &mut Meter,
    composed: &mut Composed,
) -> Result<(), PolicyError> {
    let Some(operations) = operations(policy, input, data, meter, &composed.object)? else { return Ok(()) };
    Ok(composed.add(&policy.manifest.id, operations.all)?)
}

/// The operations of one policy.
pub(crate) struct Operations {
    pub(crate) all: Vec<PatchOperation>,
    /// The number of operations from the rule `patch`; those from `merge` come after.
    pub(crate) of_patch: usize,
}

pub(crate) fn operations(
    policy: &Policy,
    input: &Value,
    data: &Value,
    meter: &mut Meter,
    object: &Json,
) -> Result<Option<Operations>, PolicyError> {
    let merges = policy.documents("merge", input, data, meter)?;
    let patches = policy.documents("patch", input, data, meter)?;
    let mut all = patch::from_operations(patches)?;
    let of_patch = all.len();
    let mut merged: Option<Json> = None;
    let fragments = merges.len();
    for (at, fragment) in merges.into_iter().enumerate() {
        let part = patch::from_merge(merged.as_ref().unwrap_or(object), &fragment)?;
        // A fragment sees the result of the fragments before it.
        if at + 1 < fragments && !part.is_empty() {
            json_patch::patch(merged.get_or_insert_with(|| object.clone()), &json_patch::Patch(part.clone()))
                .map_err(|error| PatchError::Apply(error.to_string()))?;
        }
        all.extend(part);
    }
    Ok((!all.is_empty()).then_some(Operations { all, of_patch }))
}

fn record_outcome(policy: &Policy, mode: Mode, outcome: Outcome, verdict: &mut Verdict) {
    policy.metrics.count_outcome(outcome, verdict.dry_run);
    verdict.outcomes.push((policy.manifest.id.clone(), outcome, mode));
}

fn drop_patch(verdict: &mut Verdict, policy: &str, why: String) {
    portcullis_telemetry::metrics::patch_dropped(policy);
    verdict.dropped.push((policy.to_owned(), why));
}

/// Runs the `deny` rules on a patched object.
struct PatchChecker<'a> {
    set: &'a PolicySet,
    plan: &'a Plan,
    context: &'a ReviewContext,
    review: &'a Review,
    effective: Option<&'a Arc<Effective>>,
    data: &'a Value,
    /// The inputs of the unpatched object.
    inputs: &'a Inputs,
}

impl PatchChecker<'_> {
    /// Drops the patches that cause a denial.
    fn drop_denied(&self, composed: Composed, meter: &mut Meter, verdict: &mut Verdict) -> Composed {
        let after = self.denials(&composed.object, meter);
        if after.is_empty() {
            return composed;
        }
        let original = changes::object(self.review);
        let before: HashSet<Named> =
            self.found(self.inputs, self.review, meter, |_| true).into_iter().collect();
        if after.iter().all(|named| before.contains(named)) {
            return composed;
        }
        let mut accepted = Composed::new(original);
        for (policy, operations) in composed.parts {
            if let Err(error) = meter.check() {
                drop_patch(verdict, &policy, error.to_string());
                continue;
            }
            let mut with = accepted.clone();
            if let Err(error) = with.add(&policy, operations) {
                drop_patch(verdict, &policy, error.to_string());
                continue;
            }
            match self.denials(&with.object, meter).into_iter().find(|named| !before.contains(named)) {
                Some(named) => {
                    drop_patch(verdict, &policy, format!("{} would deny its result", named.policy))
                }
                None => accepted = with,
            }
        }
        accepted
    }

    /// The denials of a patched object, by the policies whose input the patch changes; for the others nothing changes.
    fn denials(&self, object: &Json, meter: &mut Meter) -> Vec<Named> {
        let patched = with_object(self.plan, self.review, object);
        let Ok(inputs) = Inputs::build(self.plan, self.context, &patched, false) else {
            return vec![failure("portcullis")];
        };
        self.found(&inputs, &patched, meter, |policy| {
            // With `--full-input` the analysis of what a policy reads is not relied on.
            self.plan.whole
                || reads_difference(policy, self.inputs.of(policy, self.review), inputs.of(policy, &patched))
        })
    }

    /// The denials of the enforced policies. A failure counts as a denial, because the patch may be its cause.
    fn found(
        &self,
        inputs: &Inputs,
        review: &Review,
        meter: &mut Meter,
        select: impl Fn(&Policy) -> bool,
    ) -> Vec<Named> {
        let mut found = Vec::new();
        let denying = enforced(self.set, self.plan, self.context, self.effective)
            .filter(|(_, policy, _)| policy.defines("deny") && select(policy));
        for (at, policy, _) in denying {
            let id = &policy.manifest.id;
            meter.enter(at);
            match policy.findings("deny", inputs.of(policy, review), self.data, meter) {
                Ok(findings) => found.extend(findings.into_iter().map(|finding| Named {
                    policy: id.clone(),
                    // Details may contain the patched value; the denial is the same.
                    finding: Finding { details: None, ..finding },
                })),
                Err(_) => found.push(failure(id)),
            }
        }
        found
    }
}

/// The review with another object.
pub(crate) fn with_object(plan: &Plan, review: &Review, object: &Json) -> Review {
    let object_value = decode::project(object, &review.projection.object);
    let mut patched = Review { object: Some(object_value), ..review.clone() };
    // Serializing the object is costly, so the body is replaced only where a policy reads what is derived from it.
    let compared = ["changed", "finalizerRemoval"].iter().any(|part| plan.reads.touches(&[part]));
    let update = review.header.operation() == Some(Operation::Update);
    if (compared && update) || plan.reads.touches(&["templates"]) {
        patched.body = changes::body_with(review, object);
    }
    patched
}

/// Whether two inputs differ in anything that the policy reads.
fn reads_difference(policy: &Policy, one: &Value, other: &Value) -> bool {
    let (mut a, mut b) = (Vec::new(), Vec::new());
    let read = policy.reads.values(one, &mut a).and(policy.reads.values(other, &mut b));
    read.is_none() || a != b
}

fn failure(policy: &str) -> Named {
    Named { policy: policy.to_owned(), finding: Finding { msg: "failed".to_owned(), ..Default::default() } }
}

#[cfg(test)]
mod tests;
