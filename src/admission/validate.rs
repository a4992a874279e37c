//! `/validate`: runs the `deny` and `warn` rules of every matching policy and collects all findings.

use std::sync::Arc;
use std::time::Instant;

use super::context::ReviewContext;
use super::input;
use super::review::Review;
use super::verdict::{Named, Verdict};
use portcullis_policy::effective::Effective;
use portcullis_policy::verdict_cache::{CacheInput, PolicyFindings};
use portcullis_policy::{Finding, Meter, Mode, Plan, Policy, PolicySet, Value};
use portcullis_rego::{EvalError, Object};
use portcullis_telemetry::labels::Outcome;

/// The largest input, in bytes, for which single policies are cached too: each of them digests what it reads.
const SINGLE_MAX: usize = 64 << 10;

/// Runs the plan's policies and adds their findings to the verdict.
pub(crate) fn run(
    set: &PolicySet,
    plan: &Plan,
    context: &ReviewContext,
    review: &Review,
    meter: &mut Meter,
    verdict: &mut Verdict,
) {
    let effective = effective(set, context);
    let effective = effective.as_ref();
    let active = active_policies(set, plan, context, effective);
    for (_, policy, mode) in &active {
        check_params(policy, *mode, effective, verdict);
    }
    let policies: Vec<usize> = active.iter().map(|(at, ..)| *at).collect();
    if policies.is_empty() {
        return;
    }
    let with_clear = active.iter().any(|(_, policy, _)| reads_clear(policy, review));
    let parts = input::InputParts::gather(review, context, &plan.reads, false);
    let values = parts.values();
    let cluster = context.cluster(plan.cluster);
    let (tenancy, cluster) = (&context.tenancy_digest, &cluster);
    let cache_input =
        CacheInput { plan: plan.id, policies: &policies, parts: &values, tenancy, cluster, effective };
    // Findings about Secret values are not cached.
    let key = if with_clear { None } else { cache_input.key() };
    if let Some(cached) = key.and_then(|key| set.verdict_cache.get(&key)) {
        for (found, (_, policy, mode)) in cached.iter().zip(&active) {
            add(policy, *mode, found.clone(), verdict);
        }
        return;
    }
    let inputs = match Inputs::of_parts(&parts, plan, context, review, with_clear) {
        Ok(inputs) => inputs,
        Err(error) => return verdict.fail("", "shape", format!("the object cannot be judged: {error}")),
    };
    let cached = !plan.whole && key.is_some_and(|key| key.size <= SINGLE_MAX);
    let single = SinglePolicyCache { set, context, cluster, effective, cached };
    let data = data(set, context, effective, cluster);
    let mut all = Vec::with_capacity(active.len());
    let mut before = Instant::now();
    for (at, policy, mode) in &active {
        let input = inputs.of(policy, review);
        meter.enter(*at);
        let found = single.get_or_evaluate(*at, policy, input, |input| {
            let found = evaluate(*at, policy, *mode, input, &data, meter, verdict);
            let now = Instant::now();
            policy.metrics.record_duration(now.duration_since(before));
            before = now;
            found
        });
        if let Some(found) = found {
            if key.is_some() {
                all.push(found.clone());
            }
            add(policy, *mode, found, verdict);
        }
    }
    if let Some(key) = key.filter(|_| all.len() == active.len()) {
        set.verdict_cache.insert(key, all);
    }
}

/// Adds a failure where a policy set gives the policy a parameter that its schema rejects.
pub(crate) fn check_params(
    policy: &Policy,
    mode: Mode,
    effective: Option<&Arc<Effective>>,
    verdict: &mut Verdict,
) {
    if let Some(why) = effective.and_then(|effective| effective.broken(&policy.manifest.id)) {
        portcullis_telemetry::metrics::policy_error(&policy.manifest.id, "params");
        verdict.failed_policy(policy, mode, "params", why.to_owned());
    }
}

/// Caches the findings of single policies: a new review is seldom new to every policy.
struct SinglePolicyCache<'a> {
    set: &'a PolicySet,
    context: &'a ReviewContext,
    cluster: &'a Value,
    effective: Option<&'a Arc<Effective>>,
    /// False with `--full-input`, where the analysis of what a policy reads is not relied on.
    cached: bool,
}

impl SinglePolicyCache<'_> {
    fn get_or_evaluate(
        &self,
        at: usize,
        policy: &Policy,
        input: &Value,
        evaluate: impl FnOnce(&Value) -> Option<PolicyFindings>,
    ) -> Option<PolicyFindings> {
        let mut parts = Vec::with_capacity(16);
        if !self.cached || policy.reads.values(input, &mut parts).is_none() {
            return evaluate(input);
        }
        let (tenancy, effective) = (&self.context.tenancy_digest, self.effective);
        let cluster = if policy.reads_cluster { self.cluster } else { &Value::Null };
        let cache_input = CacheInput { plan: 0, policies: &[at], parts: &parts, tenancy, cluster, effective };
        let Some(key) = cache_input.key() else { return evaluate(input) };
        if let Some(cached) = self.set.verdict_cache.get(&key) {
            return cached.first().cloned();
        }
        let found = evaluate(input)?;
        self.set.verdict_cache.insert(key, vec![found.clone()]);
        Some(found)
    }
}

/// The plan's policies with a `deny` or `warn` rule that are not off, in order, with their modes.
fn active_policies<'a>(
    set: &'a PolicySet,
    plan: &Plan,
    context: &ReviewContext,
    effective: Option<&Arc<Effective>>,
) -> Vec<(usize, &'a Policy, Mode)> {
    let policies = plan.policies.iter().filter_map(|at| Some((*at, set.policies.get(*at)?)));
    let finding = policies.filter(|(_, policy)| policy.defines("deny") || policy.defines("warn"));
    finding
        .map(|(at, policy)| (at, policy, mode(policy, context, effective)))
        .filter(|(_, _, mode)| *mode != Mode::Off)
        .collect()
}

/// Runs one policy. `None` where it failed; the failure is added to the verdict.
fn evaluate(
    at: usize,
    policy: &Policy,
    mode: Mode,
    input: &Value,
    data: &Value,
    meter: &mut Meter,
    verdict: &mut Verdict,
) -> Option<PolicyFindings> {
    let deny = policy.findings("deny", input, data, meter);
    let warn = policy.findings("warn", input, data, meter);
    match (deny, warn) {
        (Ok(deny), Ok(warn)) => Some(PolicyFindings { policy: at, deny, warn }),
        (deny, warn) => {
            verdict.evaluated += 1;
            policy.metrics.count_outcome(Outcome::Error, verdict.dry_run);
            verdict.outcomes.push((policy.manifest.id.clone(), Outcome::Error, mode));
            // The findings of the rule that did not fail are added too.
            let (deny, warn) = [deny, warn]
                .map(|found| found.map_err(|error| failed(policy, mode, &error, verdict)).unwrap_or_default())
                .into();
            add_findings(policy, mode, deny, warn, verdict);
            None
        }
    }
}

/// Adds and counts the findings of a policy.
fn add(policy: &Policy, mode: Mode, found: PolicyFindings, verdict: &mut Verdict) {
    verdict.evaluated += 1;
    let denied = (!found.deny.is_empty()).then_some(match mode {
        Mode::Enforce => Outcome::Deny,
        Mode::Warn => Outcome::Warn,
        Mode::Audit | Mode::Off => Outcome::Audit,
    });
    let warned = (!found.warn.is_empty()).then_some(Outcome::Warn).filter(|_| denied != Some(Outcome::Warn));
    if denied.or(warned).is_none() {
        policy.metrics.count_outcome(Outcome::Pass, verdict.dry_run);
        return;
    }
    for outcome in denied.into_iter().chain(warned) {
        policy.metrics.count_outcome(outcome, verdict.dry_run);
        verdict.outcomes.push((policy.manifest.id.clone(), outcome, mode));
    }
    add_findings(policy, mode, found.deny, found.warn, verdict);
}

fn add_findings(policy: &Policy, mode: Mode, deny: Vec<Finding>, warn: Vec<Finding>, verdict: &mut Verdict) {
    verdict.add_findings(policy, mode, deny);
    let id = &policy.manifest.id;
    verdict.warnings.extend(warn.into_iter().map(|finding| Named { policy: id.clone(), finding }));
}

/// Adds and counts the failure of a policy.
pub(crate) fn failed(policy: &Policy, mode: Mode, error: &EvalError, verdict: &mut Verdict) {
    portcullis_telemetry::metrics::policy_error(&policy.manifest.id, error.reason());
    verdict.failed_policy(policy, mode, error.reason(), error.to_string());
}

/// Whether the policy reads unmasked Secret values in this review.
fn reads_clear(policy: &Policy, review: &Review) -> bool {
    policy.manifest.reads_secrets && review.header.is_secret()
}

/// The input of a plan's policies, and a second one with unmasked Secret values where a policy reads them.
pub struct Inputs {
    masked: Value,
    clear: Option<Value>,
}

impl Inputs {
    /// # Errors
    /// See [`input::build`].
    pub fn build(
        plan: &Plan,
        context: &ReviewContext,
        review: &Review,
        with_clear: bool,
    ) -> Result<Self, super::workload::ShapeError> {
        let parts = input::InputParts::gather(review, context, &plan.reads, false);
        Self::of_parts(&parts, plan, context, review, with_clear)
    }

    fn of_parts(
        parts: &input::InputParts<'_>,
        plan: &Plan,
        context: &ReviewContext,
        review: &Review,
        with_clear: bool,
    ) -> Result<Self, super::workload::ShapeError> {
        let masked = parts.build()?;
        let clear = if with_clear { Some(input::build(review, context, &plan.reads, true)?) } else { None };
        Ok(Self { masked, clear })
    }

    /// The input of one policy.
    pub fn of(&self, policy: &Policy, review: &Review) -> &Value {
        self.clear.as_ref().filter(|_| reads_clear(policy, review)).unwrap_or(&self.masked)
    }
}

/// The policies under the policy sets of the namespace's tenant; `None` where it has none.
pub fn effective(set: &PolicySet, context: &ReviewContext) -> Option<Arc<Effective>> {
    set.effective.get(set, &context.policy_sets, context.project())
}

/// The mode of a policy in this review.
pub fn mode(policy: &Policy, context: &ReviewContext, effective: Option<&Arc<Effective>>) -> Mode {
    let own = policy.mode(context.tenant(), context.kind);
    effective.map_or(own, |effective| effective.mode(&policy.manifest.id, own))
}

/// `data`: the tenants of this review, the parameters and [`ReviewContext::cluster`].
pub fn data(
    set: &PolicySet,
    context: &ReviewContext,
    effective: Option<&Arc<Effective>>,
    cluster: &Value,
) -> Value {
    let key = super::decode::interned;
    let mut entries = Object::from_iter([
        (key("tenancy"), context.tenancy.clone()),
        (key("params"), effective.map_or(&set.params, |effective| &effective.params).clone()),
    ]);
    if matches!(cluster, Value::Object(_)) {
        entries.insert(key("cluster"), cluster.clone());
    }
    Value::from(entries)
}
