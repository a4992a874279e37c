//! The effective parameters and modes of a tenant: the bundle's, changed by the policy sets attached to it.
//!
//! A set of the plan or the platform replaces values. A set of the tenant tightens them or has no effect: the ledger refuses
//! a looser value, and if the platform's value changes later, combining them still never loosens it.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use serde_json::{Map, Value as Json};

use super::combine::Combine;
use super::manifest::{Manifest, Mode};
use super::set::PolicySet;
use portcullis_rego::Value;
use portcullis_tenancy::snapshot::{Origin, PolicySet as Attached, Rule};

/// Entries of the cache; a full cache is cleared.
const CACHE_MAX: usize = 4096;

/// The parameters and modes that are effective for one tenant and project.
#[derive(Debug)]
pub struct Effective {
    /// Unique in the process; never 0.
    pub id: u64,
    /// `data.params`.
    pub params: Value,
    modes: BTreeMap<String, ModeOverride>,
    broken: BTreeMap<String, String>,
}

static NEXT_ID: AtomicU64 = AtomicU64::new(1);

#[derive(Debug, Clone, Copy, Default)]
struct ModeOverride {
    replaced: Option<Mode>,
    at_least: Option<Mode>,
}

/// A parameter or a mode and its sources, for the API.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Sourced {
    pub value: Json,
    /// `bundle`, or `plan`, `platform` or `tenant` with the name of the set, for example `tenant: strict`; the lowest first.
    pub from: Vec<String>,
}

/// The effective parameters and mode of one policy, with their sources.
#[derive(Debug, Clone, Default, PartialEq, serde::Serialize)]
pub struct Explained {
    pub params: BTreeMap<String, Sourced>,
    /// Absent where no set changes the bundle's mode.
    pub mode: Option<Sourced>,
    /// Values of the tenant that have no effect, each with the reason.
    pub without_effect: Vec<String>,
    /// Values of the plan or the platform that do not fit the policy's schema, each with the reason. They make the policy
    /// fail, because its effective parameters are unknown.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub broken: Vec<String>,
}

/// Effective values by attached sets and project.
#[derive(Debug, Default)]
pub struct EffectiveCache(RwLock<HashMap<CacheKey, Arc<Effective>>>);

type CacheKey = (Arc<[Attached]>, Option<Arc<str>>);

impl Effective {
    /// The effective mode of a policy whose mode in the bundle is `own`.
    pub fn mode(&self, policy: &str, own: Mode) -> Mode {
        let Some(found) = self.modes.get(policy) else { return own };
        let replaced = found.replaced.unwrap_or(own);
        found.at_least.map_or(replaced, |least| least.max(replaced))
    }

    /// Why a policy cannot be evaluated: a set gives it a value that does not fit its schema.
    pub fn broken(&self, policy: &str) -> Option<&str> {
        self.broken.get(policy).map(String::as_str)
    }
}

impl EffectiveCache {
    /// `None` where no set is attached, so that the bundle's values are effective.
    pub fn get(
        &self,
        policies: &PolicySet,
        sets: &Arc<[Attached]>,
        project: Option<&Arc<str>>,
    ) -> Option<Arc<Effective>> {
        if sets.is_empty() {
            return None;
        }
        let key: CacheKey = (Arc::clone(sets), project.cloned());
        if let Some(known) = self.0.read().unwrap_or_else(PoisonError::into_inner).get(&key) {
            return Some(Arc::clone(known));
        }
        let computed = Arc::new(effective(policies, &policies.expanded(sets), project.map(AsRef::as_ref)));
        let mut all = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= CACHE_MAX {
            all.clear();
        }
        Some(Arc::clone(all.entry(key).or_insert(computed)))
    }
}

impl PolicySet {
    /// The sets with the rules that the bundle has under a plan's set name. An unknown name is logged and has no rules.
    pub fn expanded(&self, sets: &[Attached]) -> Vec<Attached> {
        let expand = |set: &Attached| match self.sets.get(&*set.name) {
            _ if set.origin != Origin::Plan || !set.rules.is_empty() => set.clone(),
            Some(known) => Attached { rules: known.rules.clone(), ..set.clone() },
            None => {
                tracing::error!(set = %set.name, "a plan names a policy set that the bundle does not have");
                set.clone()
            }
        };
        sets.iter().map(expand).collect()
    }
}

fn effective(policies: &PolicySet, sets: &[Attached], project: Option<&str>) -> Effective {
    let mut params = serde_json::to_value(&policies.params).unwrap_or_default();
    let (mut modes, mut broken) = (BTreeMap::new(), BTreeMap::new());
    for policy in &policies.policies {
        let id = &policy.manifest.id;
        let found = explain(&policy.manifest, params.get(id), sets, project);
        if !found.broken.is_empty() {
            broken.insert(id.clone(), found.broken.join("; "));
        }
        let changed: Map<String, Json> =
            found.params.into_iter().map(|(name, sourced)| (name, sourced.value)).collect();
        if !changed.is_empty()
            && let Some(all) = params.as_object_mut()
        {
            all.insert(id.clone(), changed.into());
        }
        let overrides = rules_of(&policy.manifest, sets, project)
            .fold(ModeOverride::default(), |overrides, (set, rule)| override_mode(overrides, set, rule));
        if overrides.replaced.is_some() || overrides.at_least.is_some() {
            modes.insert(id.clone(), overrides);
        }
    }
    Effective { id: NEXT_ID.fetch_add(1, Ordering::Relaxed), params: Value::from(params), modes, broken }
}

fn override_mode(overrides: ModeOverride, set: &Attached, rule: &Rule) -> ModeOverride {
    let Some(mode) = rule.mode.as_deref().and_then(Mode::parse) else { return overrides };
    match set.origin {
        Origin::Tenant => ModeOverride { at_least: overrides.at_least.max(Some(mode)), ..overrides },
        Origin::Plan | Origin::Platform => ModeOverride { replaced: Some(mode), ..overrides },
    }
}

/// Every rule about a policy that applies in a project, in order.
fn rules_of<'a>(
    manifest: &'a Manifest,
    sets: &'a [Attached],
    project: Option<&'a str>,
) -> impl Iterator<Item = (&'a Attached, &'a Rule)> {
    let here = sets.iter().filter(move |set| set.holds_in(project));
    here.flat_map(move |set| {
        // A tenant can tighten a locked policy for itself; plans and the platform cannot change it.
        let free = !manifest.locked || set.origin == Origin::Tenant;
        let rules = set.rules.iter().filter(move |rule| free && *rule.policy == *manifest.id);
        rules.map(move |rule| (set, rule))
    })
}

/// The effective parameters and mode of one policy; `base` are its parameters in the bundle.
pub fn explain(
    manifest: &Manifest,
    base: Option<&Json>,
    sets: &[Attached],
    project: Option<&str>,
) -> Explained {
    let bundle = |value: &Json| Sourced { value: value.clone(), from: vec!["bundle".to_owned()] };
    let mut found = Explained::default();
    if let Some(base) = base.and_then(Json::as_object) {
        found.params.extend(base.iter().map(|(name, value)| (name.clone(), bundle(value))));
    }
    for (set, rule) in rules_of(manifest, sets, project) {
        let from = format!("{}: {}", set.origin.as_str(), set.name);
        for (name, own) in &rule.params {
            found.add(manifest, set.origin, name, own, &from);
        }
        if let Some(mode) = rule.mode.as_deref().and_then(Mode::parse) {
            let before = found.mode.as_ref().and_then(|mode| Mode::parse(mode.value.as_str()?));
            let milder = set.origin == Origin::Tenant && mode <= before.unwrap_or(manifest.mode);
            match &mut found.mode {
                _ if milder => {}
                Some(known) => {
                    known.value = mode.as_str().into();
                    known.from.push(from);
                }
                None => found.mode = Some(Sourced { value: mode.as_str().into(), from: vec![from] }),
            }
        }
    }
    found
}

impl Explained {
    fn add(&mut self, manifest: &Manifest, origin: Origin, name: &str, own: &Json, from: &str) {
        if let Some(why) = manifest.param_violation(name, own) {
            let message = format!("{from}: {}.{name}: {why}", manifest.id);
            let list = if origin == Origin::Tenant { &mut self.without_effect } else { &mut self.broken };
            return list.push(message);
        }
        if origin != Origin::Tenant {
            self.params.insert(name.to_owned(), Sourced { value: own.clone(), from: vec![from.to_owned()] });
            return;
        }
        let before = self.params.get(name);
        match manifest.combine(name).join(before.map(|sourced| &sourced.value), own) {
            Ok(value) => {
                let mut sources = before.map(|sourced| sourced.from.clone()).unwrap_or_default();
                sources.push(from.to_owned());
                self.params.insert(name.to_owned(), Sourced { value, from: sources });
            }
            Err(why) => self.without_effect.push(format!("{from}: {}.{name}: {why}", manifest.id)),
        }
    }
}

/// Why a tenant's set cannot have a rule: (JSON pointer inside the rule, reason) for each parameter or mode. `before` is what
/// is effective without the rule.
pub fn objections(
    manifest: &Manifest,
    before: &Explained,
    own_mode: Mode,
    rule: &Rule,
) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for (name, own) in &rule.params {
        let base = before.params.get(name).map(|sourced| &sourced.value);
        if let Err(why) = manifest.combine(name).check(base, own) {
            found
                .push((format!("/params/{name}"), format!("parameter `{name}` of `{}`: {why}", manifest.id)));
        }
    }
    let mode = before.mode.as_ref().and_then(|mode| Mode::parse(mode.value.as_str()?)).unwrap_or(own_mode);
    if let Some(own) = rule.mode.as_deref().and_then(Mode::parse)
        && own < mode
    {
        found.push((
            "/mode".to_owned(),
            format!("mode of `{}`: `{own}` is milder than `{mode}`", manifest.id),
        ));
    }
    found
}

impl Manifest {
    /// `combine` of a parameter's schema.
    pub fn combine(&self, name: &str) -> Combine {
        let schema = self.params_schema.as_deref();
        let property =
            schema.and_then(|schema| schema.get("properties")?.get(name)?.get("combine")?.as_str());
        property.and_then(Combine::parse).unwrap_or(Combine::PlatformOnly)
    }

    /// Why a value does not fit a parameter's schema, where it does not.
    pub fn param_violation(&self, name: &str, value: &Json) -> Option<String> {
        let schema = self.params_schema.as_deref()?;
        let Some(property) = schema.get("properties").and_then(|all| all.get(name)) else {
            return Some(format!("policy `{}` has no parameter `{name}`", self.id));
        };
        if let Some(mut long) = super::params::long_list(value) {
            long.steps.insert(0, name.to_owned());
            return Some(long.to_string());
        }
        let validator = jsonschema::validator_for(property).ok()?;
        validator.validate(value).err().map(|error| error.to_string())
    }

    /// Unknown values of `combine` in the schema, by parameter.
    pub(crate) fn unknown_combines(&self) -> Vec<(String, String)> {
        let properties =
            self.params_schema.as_deref().and_then(|schema| schema.get("properties")?.as_object());
        let words = properties
            .into_iter()
            .flatten()
            .filter_map(|(name, property)| Some((name, property.get("combine")?)));
        words
            .filter(|(_, word)| word.as_str().and_then(Combine::parse).is_none())
            .map(|(name, word)| (name.clone(), word.to_string()))
            .collect()
    }
}

#[cfg(test)]
mod tests;
