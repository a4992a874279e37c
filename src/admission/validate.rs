//! `/validate`: every matching policy is asked, all findings at once.

use std::sync::Arc;
use std::time::Instant;

use super::facts::Facts;
use super::input;
use super::review::Review;
use super::verdict::{Named, Verdict};
use portcullis_policy::effective::Effective;
use portcullis_policy::verdicts::{Found, Question};
use portcullis_policy::{Finding, Meter, Mode, Plan, Policy, PolicySet, Value};
use portcullis_rego::{EvalError, Object};
use portcullis_telemetry::words::Outcome;

/// Bytes of a question up to which each policy is looked up by itself too: every one of them digests what it reads.
const ALONE_MAX: usize = 64 << 10;

/// Runs the plan's policies and adds what they say.
pub fn run(
    law: &PolicySet,
    plan: &Plan,
    facts: &Facts,
    review: &Review,
    meter: &mut Meter,
    verdict: &mut Verdict,
) {
    let effective = effective(law, facts);
    let effective = effective.as_ref();
    let asked = asked(law, plan, facts, effective);
    for (_, policy, mode) in &asked {
        misfit(policy, *mode, effective, verdict);
    }
    let policies: Vec<usize> = asked.iter().map(|(at, ..)| *at).collect();
    if policies.is_empty() {
        return;
    }
    let with_clear = asked.iter().any(|(_, policy, _)| clear(policy, review));
    let parts = input::Parts::gather(review, facts, &plan.reads, false);
    let values = parts.values();
    let cluster = facts.cluster(plan.cluster);
    let (tenancy, seen) = (&facts.tenancy_digest, &cluster);
    let question =
        Question { plan: plan.id, policies: &policies, parts: &values, tenancy, cluster: seen, effective };
    // A policy that sees Secret values is asked each time: nothing of theirs is kept.
    let key = if with_clear { None } else { question.key() };
    if let Some(known) = key.and_then(|key| law.verdicts.get(&key)) {
        for (found, (_, policy, mode)) in known.iter().zip(&asked) {
            tell(policy, *mode, found.clone(), verdict);
        }
        return;
    }
    let inputs = match Inputs::of_parts(&parts, plan, facts, review, with_clear) {
        Ok(inputs) => inputs,
        Err(error) => return verdict.fail("", "shape", format!("the object cannot be judged: {error}")),
    };
    let remember = !plan.whole && key.is_some_and(|key| key.size <= ALONE_MAX);
    let alone = Alone { law, facts, cluster: seen, effective, remember };
    let data = data(law, facts, effective, seen);
    let mut all = Vec::with_capacity(asked.len());
    let mut before = Instant::now();
    for (at, policy, mode) in &asked {
        let input = inputs.of(policy, review);
        meter.enter(*at);
        let found = alone.ask(*at, policy, input, |input| {
            let found = ask(*at, policy, *mode, input, &data, meter, verdict);
            let now = Instant::now();
            policy.metrics.took(now.duration_since(before));
            before = now;
            found
        });
        if let Some(found) = found {
            if key.is_some() {
                all.push(found.clone());
            }
            tell(policy, *mode, found, verdict);
        }
    }
    if let Some(key) = key.filter(|_| all.len() == asked.len()) {
        law.verdicts.insert(key, all);
    }
}

/// Notes that a policy cannot be asked, because a policy set gives it a parameter that its schema refuses.
pub fn misfit(policy: &Policy, mode: Mode, effective: Option<&Arc<Effective>>, verdict: &mut Verdict) {
    if let Some(why) = effective.and_then(|effective| effective.broken(&policy.manifest.id)) {
        portcullis_telemetry::metrics::policy_error(&policy.manifest.id, "params");
        verdict.failed_policy(policy, mode, "params", why.to_owned());
    }
}

/// One policy by itself: what is new in a review is seldom new to all of them.
struct Alone<'a> {
    law: &'a PolicySet,
    facts: &'a Facts,
    cluster: &'a Value,
    effective: Option<&'a Arc<Effective>>,
    /// Not where the whole input is to be judged, whatever the policies are known to read.
    remember: bool,
}

impl Alone<'_> {
    /// What a policy finds, from memory where it was asked the same before.
    fn ask(
        &self,
        at: usize,
        policy: &Policy,
        input: &Value,
        evaluate: impl FnOnce(&Value) -> Option<Found>,
    ) -> Option<Found> {
        let mut parts = Vec::with_capacity(16);
        if !self.remember || policy.reads.values(input, &mut parts).is_none() {
            return evaluate(input);
        }
        let (tenancy, effective) = (&self.facts.tenancy_digest, self.effective);
        let cluster = if policy.reads_cluster { self.cluster } else { &Value::Null };
        let question = Question { plan: 0, policies: &[at], parts: &parts, tenancy, cluster, effective };
        let Some(key) = question.key() else { return evaluate(input) };
        if let Some(known) = self.law.verdicts.get(&key) {
            return known.first().cloned();
        }
        let found = evaluate(input)?;
        self.law.verdicts.insert(key, vec![found.clone()]);
        Some(found)
    }
}

/// The policies that are asked, in order, with their modes: all that apply, less those that are off or only patch.
fn asked<'a>(
    law: &'a PolicySet,
    plan: &Plan,
    facts: &Facts,
    effective: Option<&Arc<Effective>>,
) -> Vec<(usize, &'a Policy, Mode)> {
    let policies = plan.policies.iter().filter_map(|at| Some((*at, law.policies.get(*at)?)));
    let asks = policies.filter(|(_, policy)| policy.defines("deny") || policy.defines("warn"));
    asks.map(|(at, policy)| (at, policy, mode(policy, facts, effective)))
        .filter(|(_, _, mode)| *mode != Mode::Off)
        .collect()
}

/// What a policy found; `None` where it failed, which the verdict then says.
fn ask(
    at: usize,
    policy: &Policy,
    mode: Mode,
    input: &Value,
    data: &Value,
    meter: &mut Meter,
    verdict: &mut Verdict,
) -> Option<Found> {
    let deny = policy.findings("deny", input, data, meter);
    let warn = policy.findings("warn", input, data, meter);
    match (deny, warn) {
        (Ok(deny), Ok(warn)) => Some(Found { policy: at, deny, warn }),
        (deny, warn) => {
            verdict.evaluated += 1;
            policy.metrics.decided(Outcome::Error, verdict.dry_run);
            verdict.outcomes.push((policy.manifest.id.clone(), Outcome::Error, mode));
            // What it did find stands beside its failure.
            let (deny, warn) = [deny, warn]
                .map(|found| found.map_err(|error| failed(policy, mode, &error, verdict)).unwrap_or_default())
                .into();
            tell_findings(policy, mode, deny, warn, verdict);
            None
        }
    }
}

/// Adds what a policy found, and counts it.
fn tell(policy: &Policy, mode: Mode, found: Found, verdict: &mut Verdict) {
    verdict.evaluated += 1;
    let denied = (!found.deny.is_empty()).then_some(match mode {
        Mode::Enforce => Outcome::Deny,
        Mode::Warn => Outcome::Warn,
        Mode::Audit | Mode::Off => Outcome::Audit,
    });
    let warned = (!found.warn.is_empty()).then_some(Outcome::Warn).filter(|_| denied != Some(Outcome::Warn));
    if denied.or(warned).is_none() {
        policy.metrics.decided(Outcome::Pass, verdict.dry_run);
        return;
    }
    for outcome in denied.into_iter().chain(warned) {
        policy.metrics.decided(outcome, verdict.dry_run);
        verdict.outcomes.push((policy.manifest.id.clone(), outcome, mode));
    }
    tell_findings(policy, mode, found.deny, found.warn, verdict);
}

fn tell_findings(policy: &Policy, mode: Mode, deny: Vec<Finding>, warn: Vec<Finding>, verdict: &mut Verdict) {
    verdict.found(policy, mode, deny);
    let id = &policy.manifest.id;
    verdict.warnings.extend(warn.into_iter().map(|finding| Named { policy: id.clone(), finding }));
}

/// Notes and counts that a policy failed.
pub fn failed(policy: &Policy, mode: Mode, error: &EvalError, verdict: &mut Verdict) {
    portcullis_telemetry::metrics::policy_error(&policy.manifest.id, error.reason());
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
        let parts = input::Parts::gather(review, facts, &plan.reads, false);
        Self::of_parts(&parts, plan, facts, review, with_clear)
    }

    fn of_parts(
        parts: &input::Parts<'_>,
        plan: &Plan,
        facts: &Facts,
        review: &Review,
        with_clear: bool,
    ) -> Result<Self, super::workload::ShapeError> {
        let masked = parts.build()?;
        let clear = if with_clear { Some(input::build(review, facts, &plan.reads, true)?) } else { None };
        Ok(Self { masked, clear })
    }

    /// The input of one policy.
    pub fn of(&self, policy: &Policy, review: &Review) -> &Value {
        self.clear.as_ref().filter(|_| clear(policy, review)).unwrap_or(&self.masked)
    }
}

/// What policy sets of the namespace's tenant make of the law; `None` where it has none.
pub fn effective(law: &PolicySet, facts: &Facts) -> Option<Arc<Effective>> {
    law.effective.get(law, &facts.policy_sets, facts.project())
}

/// The mode of a policy in this review.
pub fn mode(policy: &Policy, facts: &Facts, effective: Option<&Arc<Effective>>) -> Mode {
    let own = policy.mode(facts.tenant(), facts.kind);
    effective.map_or(own, |effective| effective.mode(&policy.manifest.id, own))
}

/// `data`: the tenants of this review, parameters, and of the cluster what [`Facts::cluster`] says.
pub fn data(law: &PolicySet, facts: &Facts, effective: Option<&Arc<Effective>>, cluster: &Value) -> Value {
    let key = super::decode::interned;
    let mut entries = Object::from_iter([
        (key("tenancy"), facts.tenancy.clone()),
        (key("params"), effective.map_or(&law.params, |effective| &effective.params).clone()),
    ]);
    if matches!(cluster, Value::Object(_)) {
        entries.insert(key("cluster"), cluster.clone());
    }
    Value::from(entries)
}
