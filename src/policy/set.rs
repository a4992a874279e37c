//! A compiled policy set: every policy with its program, and the index that selects policies for a request.

mod compile;
mod lint;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::Bundle;
use super::bundle::BundledSet;
use super::effective::EffectiveCache;
use super::finding::{self, Details, Finding};
use super::manifest::{Manifest, Match, Mode, OnError};
use super::params::Modes;
use super::select::{Index, Plan, PlanCache, Query};
use super::verdict_cache::VerdictCache;
use portcullis_rego::Problems;
use portcullis_rego::reads::Reads;
use portcullis_rego::{Compiled, EvalError, Meter, Value};
use portcullis_telemetry::metrics::PolicyMetrics;
use portcullis_tenancy::snapshot::Kind;

pub(crate) use lint::DATA_ROOTS;
pub use lint::input_names;

/// The rules that the gate evaluates, in the order of [`Policy::rules`].
pub const RULES: [&str; 4] = ["deny", "warn", "patch", "merge"];

/// A compiled policy.
#[derive(Debug)]
pub struct Policy {
    pub manifest: Manifest,
    /// With `data.` in front.
    pub package: String,
    /// The [`RULES`] that it defines, in that order.
    pub rules: Vec<&'static str>,
    /// File and line of each of `rules`.
    rule_locations: Vec<(String, u32)>,
    /// The paths of the input that it can read.
    pub reads: Arc<Reads>,
    /// Whether it can read `data.cluster`.
    pub reads_cluster: bool,
    pub metrics: PolicyMetrics,
    /// Limits how often its patch is applied to its own result, to check that it is idempotent.
    pub patch_recheck: Throttle,
    compiled: Arc<Compiled>,
    modes: Modes,
    key: String,
}

/// Milliseconds since the process began when something was last done; 0 for never.
#[derive(Debug, Default)]
pub struct Throttle(AtomicU64);

impl Throttle {
    /// Whether `pause_ms` have passed since the last time. Only one of several threads gets `true`.
    pub fn due(&self, now_ms: u64, pause_ms: u64) -> bool {
        let last = self.0.load(Ordering::Relaxed);
        let due = last == 0 || now_ms.saturating_sub(last) >= pause_ms;
        due && self.0.compare_exchange(last, now_ms.max(1), Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }
}

/// A policy that does not load, and answers requests that it matches by its `on_error`.
#[derive(Debug, Clone)]
pub struct BrokenPolicy {
    /// Its file where METADATA cannot be read.
    pub id: String,
    pub on_error: OnError,
    /// Everything in tenant namespaces where METADATA cannot be read.
    pub matches: Vec<Match>,
    pub problems: Problems,
}

#[derive(Debug)]
pub struct PolicySet {
    /// In order of id.
    pub policies: Vec<Policy>,
    /// Empty, except after a start without last good policies.
    pub broken: Vec<BrokenPolicy>,
    /// The bundle's digest, lower-case hex.
    pub digest: String,
    /// `data.params`.
    pub params: Value,
    /// Policy sets that plans name.
    pub sets: BTreeMap<String, BundledSet>,
    index: Index,
    broken_index: Index,
    full_input: bool,
    analyses: compile::Analyses,
    plans: PlanCache,
    pub effective: EffectiveCache,
    pub verdict_cache: VerdictCache,
}

#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// Run every policy on the interpreter; slower, with the same verdicts. For tests that compare the engines.
    pub interpreter: bool,
    /// Build the whole input for every policy, whatever it reads.
    pub full_input: bool,
}

impl PolicySet {
    /// Compiles a bundle; any problem refuses all of it. Programs of `previous` whose sources are unchanged are reused.
    pub fn compile(bundle: &Bundle, options: Options, previous: Option<&Self>) -> Result<Self, Problems> {
        let set = Self::compile_partial(bundle, options, previous);
        let problems = Problems(set.broken.iter().flat_map(|broken| broken.problems.0.clone()).collect());
        problems.into_result(set)
    }

    /// Compiles the policies that load; the others are [`BrokenPolicy`]. For a start without last good policies.
    pub fn compile_partial(bundle: &Bundle, options: Options, previous: Option<&Self>) -> Self {
        let compile::Compilation { mut policies, broken, analyses } = compile::run(bundle, options, previous);
        policies.sort_by(|a, b| a.manifest.id.cmp(&b.manifest.id));
        let (mut index, mut broken_index) = (Index::default(), Index::default());
        policies.iter().enumerate().for_each(|(at, policy)| index.add(at, &policy.manifest.matches));
        broken.iter().enumerate().for_each(|(at, policy)| broken_index.add(at, &policy.matches));
        let params = serde_json::Value::Object(bundle.params.clone().into_iter().collect());
        Self {
            policies,
            broken,
            digest: bundle.digest.clone(),
            params: Value::from(params),
            sets: bundle.sets.clone(),
            index,
            broken_index,
            full_input: options.full_input,
            analyses,
            plans: PlanCache::default(),
            effective: EffectiveCache::default(),
            verdict_cache: VerdictCache::default(),
        }
    }

    /// The plan for a request, from the cache.
    pub fn plan(&self, query: &Query<'_>) -> Arc<Plan> {
        let find = || (self.index.find(query), self.broken_index.find(query));
        self.plans.get(query, find, |policies, broken| {
            let mut plan = Plan { policies, broken, whole: self.full_input, ..Plan::default() };
            for policy in plan.policies.iter().filter_map(|at| self.policies.get(*at)) {
                plan.reads.merge(&policy.reads);
                plan.patches |= policy.patches();
                plan.cluster |= policy.reads_cluster;
            }
            plan
        })
    }

    /// The policies of a plan, in order of id.
    pub fn planned<'a>(&'a self, plan: &'a Plan) -> impl Iterator<Item = &'a Policy> {
        plan.policies.iter().filter_map(|at| self.policies.get(*at))
    }

    pub fn policy(&self, id: &str) -> Option<&Policy> {
        self.policies.iter().find(|policy| policy.manifest.id == id)
    }
}

impl Policy {
    /// The mode in a tenant's namespace of a kind.
    pub fn mode(&self, tenant: Option<&str>, kind: Kind) -> Mode {
        self.modes.mode(self.manifest.mode, tenant, kind)
    }

    /// Whether parameters override its mode for a tenant or a namespace kind.
    pub fn has_mode_overrides(&self) -> bool {
        !self.modes.is_empty()
    }

    /// File and line of the rule.
    pub fn rule_location(&self, rule: &str) -> Option<&(String, u32)> {
        self.rule_locations.get(self.rules.iter().position(|name| *name == rule)?)
    }

    pub fn patches(&self) -> bool {
        self.defines("patch") || self.defines("merge")
    }

    pub fn defines(&self, rule: &str) -> bool {
        self.rules.contains(&rule)
    }

    /// Why it runs on the interpreter; `None` on the register machine.
    pub fn fallback(&self) -> Option<&str> {
        self.compiled.fallback()
    }

    /// Findings of `deny` or `warn`; none where it does not define the rule.
    ///
    /// # Errors
    /// Evaluation failed, or the value is not a set of findings.
    pub fn findings(
        &self,
        rule: &str,
        input: &Value,
        data: &Value,
        meter: &mut Meter,
    ) -> Result<Vec<Finding>, EvalError> {
        let Some(value) = self.value(rule, input, data, meter)? else { return Ok(Vec::new()) };
        let mut findings = finding::findings(rule, &value).map_err(EvalError::Engine)?;
        if self.manifest.reads_secrets {
            findings.iter_mut().filter_map(|finding| finding.details.as_mut()).for_each(Details::mask);
        }
        Ok(findings)
    }

    /// The value of a rule; an empty set where the policy does not define it.
    pub fn raw(
        &self,
        rule: &str,
        input: &Value,
        data: &Value,
        meter: &mut Meter,
    ) -> Result<Value, EvalError> {
        Ok(self.value(rule, input, data, meter)?.unwrap_or_else(Value::new_set))
    }

    /// Documents of `patch` or `merge`; none where it does not define the rule.
    ///
    /// # Errors
    /// Evaluation failed, or the value is not a set.
    pub fn documents(
        &self,
        rule: &str,
        input: &Value,
        data: &Value,
        meter: &mut Meter,
    ) -> Result<Vec<serde_json::Value>, EvalError> {
        match self.value(rule, input, data, meter)? {
            Some(value) => finding::documents(rule, &value).map_err(EvalError::Engine),
            None => Ok(Vec::new()),
        }
    }

    fn value(
        &self,
        rule: &str,
        input: &Value,
        data: &Value,
        meter: &mut Meter,
    ) -> Result<Option<Value>, EvalError> {
        let Some(index) = self.rules.iter().position(|known| *known == rule) else { return Ok(None) };
        // Without `data.cluster` a rule that tests a label would be undefined and not deny.
        if self.reads_cluster && !lint::has_cluster(data) {
            return Err(EvalError::Data(
                "`data.cluster` is unknown: the gate does not watch Namespaces, or has not listed them yet"
                    .to_owned(),
            ));
        }
        self.compiled.evaluate(index, input, data, self.manifest.budget, meter).map(Some)
    }
}

#[cfg(test)]
mod tests;
