//! `/validate`: every matching policy is asked, all findings at once.

use std::time::Instant;

use super::facts::Facts;
use super::input;
use super::review::Review;
use super::verdict::{Named, Verdict};
use crate::policy::engine::{EvalError, Object};
use crate::policy::{Budget, Mode, Plan, Policy, PolicySet, Value};
use crate::telemetry::words::Outcome;

/// Runs the plan's policies and adds what they say.
pub fn run(
    law: &PolicySet,
    plan: &Plan,
    facts: &Facts,
    review: &Review,
    budget: Budget,
    verdict: &mut Verdict,
) {
    let tenant = facts.tenant();
    let active = || {
        law.planned(plan).filter_map(|policy| {
            Some((policy, policy.mode(tenant, facts.kind))).filter(|(_, mode)| *mode != Mode::Off)
        })
    };
    let asks = |policy: &Policy| policy.defines("deny") || policy.defines("warn");
    if !active().any(|(policy, _)| asks(policy)) {
        return;
    }
    let inputs = match Inputs::build(plan, facts, review, active().any(|(policy, _)| clear(policy, review))) {
        Ok(inputs) => inputs,
        Err(error) => return verdict.fail("", "shape", format!("the object cannot be judged: {error}")),
    };
    let data = data(law, facts);
    let mut before = Instant::now();
    for (policy, mode) in active().filter(|(policy, _)| asks(policy)) {
        ask(policy, mode, inputs.of(policy, review), &data, budget, verdict);
        let now = Instant::now();
        policy.metrics.took(now.duration_since(before));
        before = now;
    }
}

fn ask(policy: &Policy, mode: Mode, input: &Value, data: &Value, budget: Budget, verdict: &mut Verdict) {
    verdict.evaluated += 1;
    let (denials, warnings) = (verdict.denials.len(), verdict.warnings.len());
    let (audited, failures) = (verdict.audited.len(), verdict.failures.len());
    match policy.findings("deny", input, data, budget) {
        Ok(findings) => verdict.found(policy, mode, findings),
        Err(error) => failed(policy, mode, &error, verdict),
    }
    match policy.findings("warn", input, data, budget) {
        Ok(findings) => {
            let id = &policy.manifest.id;
            verdict
                .warnings
                .extend(findings.into_iter().map(|finding| Named { policy: id.clone(), finding }));
        }
        Err(error) => failed(policy, mode, &error, verdict),
    }
    let mut said = vec![];
    said.extend((verdict.failures.len() > failures).then_some(Outcome::Error));
    said.extend((verdict.denials.len() > denials).then_some(Outcome::Deny));
    said.extend((verdict.warnings.len() > warnings).then_some(Outcome::Warn));
    said.extend((verdict.audited.len() > audited).then_some(Outcome::Audit));
    if said.is_empty() {
        policy.metrics.decided(Outcome::Pass, verdict.dry_run);
    }
    for outcome in said {
        policy.metrics.decided(outcome, verdict.dry_run);
        verdict.outcomes.push((policy.manifest.id.clone(), outcome, mode));
    }
}

/// Notes and counts that a policy failed.
pub fn failed(policy: &Policy, mode: Mode, error: &EvalError, verdict: &mut Verdict) {
    crate::telemetry::metrics::policy_error(&policy.manifest.id, error.reason());
    verdict.failed_policy(policy, mode, error.reason(), error.to_string());
}

/// Whether a policy sees Secret values in the clear here.
fn clear(policy: &Policy, review: &Review) -> bool {
    policy.manifest.reads_secrets && review.header.is_secret()
}

/// The input, and where a policy reads Secret values, a second one in the clear.
pub struct Inputs {
    masked: Value,
    clear: Option<Value>,
}

impl Inputs {
    /// Builds what the plan's policies read.
    ///
    /// # Errors
    /// See [`input::build`].
    pub fn build(
        plan: &Plan,
        facts: &Facts,
        review: &Review,
        with_clear: bool,
    ) -> Result<Self, super::workload::ShapeError> {
        let masked = input::build(review, facts, &plan.reads, false)?;
        let clear = if with_clear { Some(input::build(review, facts, &plan.reads, true)?) } else { None };
        Ok(Self { masked, clear })
    }

    /// The input of one policy.
    pub fn of(&self, policy: &Policy, review: &Review) -> &Value {
        self.clear.as_ref().filter(|_| clear(policy, review)).unwrap_or(&self.masked)
    }
}

/// `data`: the tenants of this review, parameters, and the cluster.
pub fn data(law: &PolicySet, facts: &Facts) -> Value {
    let key = super::decode::interned;
    let entries = [
        (key("tenancy"), facts.tenancy.clone()),
        (key("params"), law.params.clone()),
        (key("cluster"), Value::new_object()),
    ];
    Value::from(entries.into_iter().collect::<Object>())
}
