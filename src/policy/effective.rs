//! What holds for a tenant: the bundle's parameters and modes, and over them the policy sets attached to it.
//!
//! A set of the plan or the platform replaces what is below it. A set of the tenant tightens or is without effect: the
//! ledger refuses what does not, and should the value above it change later, the join still never goes beyond it.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use serde_json::{Map, Value as Json};

use super::combine::Combine;
use super::manifest::{Manifest, Mode};
use super::set::PolicySet;
use portcullis_rego::Value;
use portcullis_tenancy::snapshot::{Origin, PolicySet as Attached, Rule};

/// Tenants and projects whose law is remembered; beyond it the memory is emptied.
const KNOWN_MAX: usize = 4096;

/// Parameters and modes as they hold somewhere.
#[derive(Debug)]
pub struct Effective {
    /// No two of a process have the same; never 0.
    pub id: u64,
    /// `data.params`.
    pub params: Value,
    modes: BTreeMap<String, Override>,
    broken: BTreeMap<String, String>,
}

/// The next [`Effective::id`].
static NEXT: AtomicU64 = AtomicU64::new(1);

/// What sets say of one policy's mode.
#[derive(Debug, Clone, Copy, Default)]
struct Override {
    replaced: Option<Mode>,
    at_least: Option<Mode>,
}

/// A parameter or a mode, and where it comes from, for people.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Sourced {
    /// The value.
    pub value: Json,
    /// `bundle`, or `plan`, `platform` or `tenant` with the name of the set: `tenant: strict`. All that had a part in
    /// it, the lowest first.
    pub from: Vec<String>,
}

/// What holds for one policy, explained.
#[derive(Debug, Clone, Default, PartialEq, serde::Serialize)]
pub struct Explained {
    /// By name of the parameter.
    pub params: BTreeMap<String, Sourced>,
    /// The mode that sets ask for; absent where the bundle's own holds.
    pub mode: Option<Sourced>,
    /// What was asked for and has no effect, each with the reason.
    pub without_effect: Vec<String>,
    /// Values of the plan or the platform that do not fit the policy's schema, each with the reason. What would hold is
    /// unknown then, so the policy fails.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub broken: Vec<String>,
}

/// Remembers what holds, by the sets themselves.
#[derive(Debug, Default)]
pub struct Known(RwLock<HashMap<Key, Arc<Effective>>>);

type Key = (Arc<[Attached]>, Option<Arc<str>>);

impl Effective {
    /// The mode of a policy, of which the bundle says `own`.
    pub fn mode(&self, policy: &str, own: Mode) -> Mode {
        let Some(found) = self.modes.get(policy) else { return own };
        let replaced = found.replaced.unwrap_or(own);
        found.at_least.map_or(replaced, |least| least.max(replaced))
    }

    /// Why a policy cannot be asked here: a set gives it a value that its schema does not know.
    pub fn broken(&self, policy: &str) -> Option<&str> {
        self.broken.get(policy).map(String::as_str)
    }
}

impl Known {
    /// What holds under these sets in a project; `None` where nothing is attached and the bundle's own holds.
    pub fn get(
        &self,
        law: &PolicySet,
        sets: &Arc<[Attached]>,
        project: Option<&Arc<str>>,
    ) -> Option<Arc<Effective>> {
        if sets.is_empty() {
            return None;
        }
        let key: Key = (Arc::clone(sets), project.cloned());
        if let Some(known) = self.0.read().unwrap_or_else(PoisonError::into_inner).get(&key) {
            return Some(Arc::clone(known));
        }
        let made = Arc::new(effective(law, &law.expanded(sets), project.map(AsRef::as_ref)));
        let mut all = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= KNOWN_MAX {
            all.clear();
        }
        Some(Arc::clone(all.entry(key).or_insert(made)))
    }
}

impl PolicySet {
    /// Sets of the plan with what the law says under their names; one that the law does not have says nothing, and is
    /// told.
    pub fn expanded(&self, sets: &[Attached]) -> Vec<Attached> {
        let expand = |set: &Attached| match self.sets.get(&*set.name) {
            _ if set.origin != Origin::Plan || !set.rules.is_empty() => set.clone(),
            Some(known) => Attached { rules: known.rules.clone(), ..set.clone() },
            None => {
                tracing::error!(set = %set.name, "a plan names a policy set that the law does not have");
                set.clone()
            }
        };
        sets.iter().map(expand).collect()
    }
}

fn effective(law: &PolicySet, sets: &[Attached], project: Option<&str>) -> Effective {
    let mut params = serde_json::to_value(&law.params).unwrap_or_default();
    let (mut modes, mut broken) = (BTreeMap::new(), BTreeMap::new());
    for policy in &law.policies {
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
        let said = said_of(&policy.manifest, sets, project)
            .fold(Override::default(), |said, (set, rule)| fold(said, set, rule));
        if said.replaced.is_some() || said.at_least.is_some() {
            modes.insert(id.clone(), said);
        }
    }
    Effective { id: NEXT.fetch_add(1, Ordering::Relaxed), params: Value::from(params), modes, broken }
}

fn fold(said: Override, set: &Attached, rule: &Rule) -> Override {
    let Some(mode) = rule.mode.as_deref().and_then(Mode::parse) else { return said };
    match set.origin {
        Origin::Tenant => Override { at_least: said.at_least.max(Some(mode)), ..said },
        Origin::Plan | Origin::Platform => Override { replaced: Some(mode), ..said },
    }
}

/// Every rule about a policy that holds in a project, in the order in which they apply.
fn said_of<'a>(
    manifest: &'a Manifest,
    sets: &'a [Attached],
    project: Option<&'a str>,
) -> impl Iterator<Item = (&'a Attached, &'a Rule)> {
    let here = sets.iter().filter(move |set| set.holds_in(project));
    here.flat_map(move |set| {
        // What is locked may be tightened by a tenant for itself, and is nobody's to loosen.
        let free = !manifest.locked || set.origin == Origin::Tenant;
        let rules = set.rules.iter().filter(move |rule| free && *rule.policy == *manifest.id);
        rules.map(move |rule| (set, rule))
    })
}

/// What holds for one policy, whose parameters the bundle gives as `base`.
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
    for (set, rule) in said_of(manifest, sets, project) {
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
        if let Some(why) = manifest.misfit(name, own) {
            let told = format!("{from}: {}.{name}: {why}", manifest.id);
            let list = if origin == Origin::Tenant { &mut self.without_effect } else { &mut self.broken };
            return list.push(told);
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

/// Why a rule may not stand in a set of a tenant; one entry a parameter or mode: (JSON pointer inside the rule, why).
///
/// `before` is what holds without it.
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
    /// How values of a parameter meet, as its schema says.
    pub fn combine(&self, name: &str) -> Combine {
        let schema = self.params_schema.as_deref();
        let property =
            schema.and_then(|schema| schema.get("properties")?.get(name)?.get("combine")?.as_str());
        property.and_then(Combine::parse).unwrap_or(Combine::PlatformOnly)
    }

    /// Why a value cannot be that of a parameter, by the parameter's own schema.
    pub fn misfit(&self, name: &str, value: &Json) -> Option<String> {
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

    /// The words of `combine` in its schema that mean nothing, by parameter.
    pub fn unknown_combines(&self) -> Vec<(String, String)> {
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
