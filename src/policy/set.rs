//! A compiled law: every policy with its program, and the index that says which apply.

mod compile;
mod lint;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::Bundle;
use super::bundle::BuiltIn;
use super::effective::Known;
use super::finding::{self, Details, Finding};
use super::manifest::{Manifest, Match, Mode, OnError};
use super::params::Modes;
use super::select::{Index, Plan, Plans, Query};
use super::verdicts::VerdictCache;
use portcullis_rego::problem::Problems;
use portcullis_rego::reads::Reads;
use portcullis_rego::{Compiled, EvalError, Meter, Value};
use portcullis_telemetry::metrics::PolicyMetrics;
use portcullis_tenancy::snapshot::Kind;

pub(crate) use lint::DATA_ROOTS;
pub use lint::input_names;

/// The rules a policy may define, in the order their indexes have in [`Policy::rules`].
pub const RULES: [&str; 4] = ["deny", "warn", "patch", "merge"];

/// One policy, ready to run.
#[derive(Debug)]
pub struct Policy {
    /// What its METADATA says.
    pub manifest: Manifest,
    /// Its package, as `data.portcullis.…`.
    pub package: String,
    /// Which of [`RULES`] it defines, in that order.
    pub rules: Vec<&'static str>,
    /// File and line where each of them begins, in the same order.
    pub rule_places: Vec<(String, u32)>,
    /// What it can read of the input.
    pub reads: Arc<Reads>,
    /// Whether it can read `data.cluster`.
    pub reads_cluster: bool,
    /// Its counters.
    pub metrics: PolicyMetrics,
    /// When its patch was last asked for again on its own result.
    pub asked_again: Paced,
    compiled: Arc<Compiled>,
    modes: Modes,
    key: String,
}

/// When something was last done, in milliseconds since the process began; what is done for the first time is due.
#[derive(Debug, Default)]
pub struct Paced(AtomicU64);

impl Paced {
    /// Whether it is due again, `pause_ms` after the last time; of several threads one is told so.
    pub fn due(&self, now_ms: u64, pause_ms: u64) -> bool {
        let last = self.0.load(Ordering::Relaxed);
        let due = last == 0 || now_ms.saturating_sub(last) >= pause_ms;
        due && self.0.compare_exchange(last, now_ms.max(1), Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }
}

/// A policy that does not load: what it answers, and for what.
#[derive(Debug, Clone)]
pub struct Broken {
    /// Its id where METADATA could be read, else its file.
    pub id: String,
    /// What it answers for what its `match` covers.
    pub on_error: OnError,
    /// What it covers; where METADATA cannot be read, everything in tenant namespaces.
    pub matches: Vec<Match>,
    /// What is wrong.
    pub problems: Problems,
}

/// Compiled policies, immutable.
#[derive(Debug)]
pub struct PolicySet {
    /// In order of id.
    pub policies: Vec<Policy>,
    /// What did not load; empty but at a start without a last good set.
    pub broken: Vec<Broken>,
    /// The bundle's digest, lower-case hex.
    pub digest: String,
    /// `data.params`.
    pub params: Value,
    /// Policy sets that plans name.
    pub sets: BTreeMap<String, BuiltIn>,
    index: Index,
    broken_index: Index,
    full_input: bool,
    analyses: compile::Analyses,
    plans: Plans,
    /// What holds for tenants with policy sets of their own.
    pub effective: Known,
    /// What was found for input that comes again.
    pub verdicts: VerdictCache,
}

/// How to compile.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// Every policy on the interpreter, as the differential test has it; slower, and never another verdict.
    pub interpreter: bool,
    /// Hand every policy the whole input, whatever it reads.
    pub full_input: bool,
}

impl PolicySet {
    /// Compiles a bundle; any problem refuses it whole. Policies of `previous` whose sources are the same are kept.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn compile(bundle: &Bundle, options: Options, previous: Option<&Self>) -> Result<Self, Problems> {
        let set = Self::compile_what_can_be(bundle, options, previous);
        let problems = Problems(set.broken.iter().flat_map(|broken| broken.problems.0.clone()).collect());
        problems.into_result(set)
    }

    /// Compiles what can be; the rest is [`Broken`] and answers by its `on_error`. For a start without a last good set.
    pub fn compile_what_can_be(bundle: &Bundle, options: Options, previous: Option<&Self>) -> Self {
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
            plans: Plans::default(),
            effective: Known::default(),
            verdicts: VerdictCache::default(),
        }
    }

    /// What applies to a request.
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

    /// A policy by id.
    pub fn policy(&self, id: &str) -> Option<&Policy> {
        self.policies.iter().find(|policy| policy.manifest.id == id)
    }
}

impl Policy {
    /// The mode for a tenant's namespace of a kind.
    pub fn mode(&self, tenant: Option<&str>, kind: Kind) -> Mode {
        self.modes.mode(self.manifest.mode, tenant, kind)
    }

    /// Whether parameters override its mode for somebody.
    pub fn has_mode_overrides(&self) -> bool {
        !self.modes.is_empty()
    }

    /// File and line where a rule of it begins.
    pub fn place_of(&self, rule: &str) -> Option<&(String, u32)> {
        self.rule_places.get(self.rules.iter().position(|name| *name == rule)?)
    }

    /// Whether it defines `patch` or `merge`.
    pub fn patches(&self) -> bool {
        self.defines("patch") || self.defines("merge")
    }

    /// Whether it defines a rule.
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
    /// The policy failed, or said something that is no finding.
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
            findings.iter_mut().filter_map(|finding| finding.details.as_mut()).for_each(Details::hide);
        }
        Ok(findings)
    }

    /// The value of a rule as it is; an empty set where the policy does not define the rule.
    ///
    /// # Errors
    /// The policy failed.
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
    /// The policy failed, or said something that is no document.
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
        // What is not known is an error: undefined, a rule that waits for a label would be silent.
        if self.reads_cluster && !lint::has_cluster(data) {
            return Err(EvalError::Data("what the cluster says of the namespace is not known".to_owned()));
        }
        self.compiled.evaluate(index, input, data, self.manifest.budget, meter).map(Some)
    }
}

#[cfg(test)]
mod tests;
