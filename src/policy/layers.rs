//! Merges up to three layers into one bundle: the local policies (the library or a directory), the ConfigMaps', the ledger's.
//!
//! An upper layer replaces by package, by policy id and by file, and parameters by policy id. It cannot replace a `locked`
//! policy or what that policy refers to.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use sha2::{Digest, Sha256};

use super::policy_cell::Reload;
use super::{Bundle, Manifest, PolicyCell, Problem, Problems, metadata};
use portcullis_rego::Module;
use portcullis_rego::analysis;
use portcullis_tenancy::snapshot::Rule;

/// The layers of the policies in force; cheap to clone. Setting a layer compiles the merged bundle and swaps it in, or is
/// refused.
#[derive(Clone)]
pub struct Layers(Arc<LayersState>);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LayerMode {
    /// Each layer overrides those below.
    #[default]
    Merged,
    /// The ledger's layer alone, where there is one.
    LedgerOnly,
}

struct LayersState {
    policies: PolicyCell,
    mode: LayerMode,
    bundles: Mutex<LayerBundles>,
}

struct LayerBundles {
    base: Result<Bundle, Problems>,
    configmaps: Result<Option<Bundle>, Problems>,
    ledger: Option<Bundle>,
}

impl Layers {
    /// Layers over `policies`, which was started with `base`.
    pub fn new(policies: PolicyCell, base: Result<Bundle, Problems>, mode: LayerMode) -> Self {
        let bundles = LayerBundles { base, configmaps: Ok(None), ledger: None };
        Self(Arc::new(LayersState { policies, mode, bundles: Mutex::new(bundles) }))
    }

    pub fn policies(&self) -> &PolicyCell {
        &self.0.policies
    }

    /// Replaces the local layer. Blocks while it compiles.
    pub(crate) fn set_base(&self, base: Result<Bundle, Problems>) -> Reload {
        self.change(|bundles| bundles.base = base)
    }

    /// Replaces or removes the ConfigMaps' layer. Blocks while it compiles.
    pub(crate) fn set_configmaps(&self, configmaps: Result<Option<Bundle>, Problems>) -> Reload {
        self.change(|bundles| bundles.configmaps = configmaps)
    }

    /// Replaces or removes the ledger's layer. Blocks while it compiles.
    pub fn set_ledger(&self, ledger: Option<Bundle>) -> Reload {
        self.change(|bundles| bundles.ledger = ledger)
    }

    fn change(&self, change: impl FnOnce(&mut LayerBundles)) -> Reload {
        let mut bundles = self.0.bundles.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut bundles);
        self.0.policies.reload(bundles.merged(self.0.mode))
    }

    /// The bundle that this ledger layer would lead to; nothing in force changes.
    ///
    /// # Errors
    /// A lower layer cannot be read, or locks what `ledger` replaces.
    pub fn with_ledger(&self, ledger: &Bundle) -> Result<Bundle, Problems> {
        let bundles = self.0.bundles.lock().unwrap_or_else(PoisonError::into_inner);
        if self.0.mode == LayerMode::LedgerOnly {
            return Ok(ledger.clone());
        }
        let below = bundles.below_ledger()?;
        merge(&below, ledger)
    }
}

impl LayerBundles {
    fn merged(&self, mode: LayerMode) -> Result<Bundle, Problems> {
        if let (LayerMode::LedgerOnly, Some(ledger)) = (mode, &self.ledger) {
            return Ok(ledger.clone());
        }
        let below = self.below_ledger()?;
        match &self.ledger {
            Some(ledger) => merge(&below, ledger),
            None => Ok(below.into_owned()),
        }
    }

    fn below_ledger(&self) -> Result<Cow<'_, Bundle>, Problems> {
        let base = self.base.as_ref().map_err(Clone::clone)?;
        match self.configmaps.as_ref().map_err(Clone::clone)? {
            Some(configmaps) => merge(base, configmaps).map(Cow::Owned),
            None => Ok(Cow::Borrowed(base)),
        }
    }
}

/// Merges `upper` over `base`.
///
/// # Errors
/// What `base` locks and `upper` would replace, by file of `upper`.
pub fn merge(base: &Bundle, upper: &Bundle) -> Result<Bundle, Problems> {
    let below: Vec<Parsed<'_>> = base.modules.iter().map(Parsed::of).collect();
    let above: Vec<Parsed<'_>> = upper.modules.iter().map(Parsed::of).collect();
    check_locked(&below, &above, upper).into_result(())?;
    let mut dropped: BTreeSet<&[String]> = BTreeSet::new();
    for module in &below {
        if above.iter().any(|other| other.replaces(module)) {
            dropped.insert(&module.package);
        }
    }
    let packages: BTreeMap<&str, &[String]> =
        below.iter().map(|parsed| (parsed.module.path.as_str(), parsed.package.as_slice())).collect();
    let stays = |module: &&Module| {
        !packages.get(module.path.as_str()).is_some_and(|package| dropped.contains(package))
            && !upper.modules.iter().chain(&upper.tests).any(|other| other.path == module.path)
    };
    let join = |below: &[Module], above: &[Module]| {
        let mut all: Vec<Module> = below.iter().filter(stays).chain(above).cloned().collect();
        all.sort_by(|a, b| a.path.cmp(&b.path));
        all
    };
    let mut merged = base.clone();
    merged.modules = join(&base.modules, &upper.modules);
    merged.tests = join(&base.tests, &upper.tests);
    merged.sets.extend(upper.sets.clone());
    merged.params.extend(upper.params.clone());
    merged.params_files.extend(upper.params_files.clone());
    merged.params_checked = base.params_checked && upper.params_checked;
    merged.digest = hex::encode(Sha256::digest(format!("{}\0{}", base.digest, upper.digest)));
    Ok(merged)
}

/// A module as the engine reads it, so that another spelling of a package is the same package.
struct Parsed<'m> {
    module: &'m Module,
    /// Empty where the text cannot be parsed; compiling the bundle reports that.
    package: Vec<String>,
    /// Paths below `data`.
    refers: Vec<Vec<String>>,
    policy: Option<Manifest>,
}

impl<'m> Parsed<'m> {
    fn of(module: &'m Module) -> Self {
        let analysis = analysis::analyse(module).unwrap_or_default();
        let imports = analysis.imports.iter().map(|(_, path)| path.iter().skip(1).cloned().collect());
        let data = analysis.data.iter().map(|reference| reference.path.clone());
        Self {
            module,
            refers: data.chain(imports).collect(),
            package: analysis.package,
            policy: manifest(module),
        }
    }

    /// Whether this module of an upper layer has the package, the policy id or the path of one below.
    fn replaces(&self, below: &Parsed<'_>) -> bool {
        let id = |parsed: &Parsed<'_>| parsed.policy.as_ref().map(|policy| policy.id.clone());
        (!self.package.is_empty() && self.package == below.package)
            || id(self).is_some_and(|own| id(below) == Some(own))
            || self.module.path == below.module.path
    }

    fn refers_to(&self, other: &Parsed<'_>) -> bool {
        !other.package.is_empty()
            && (self.package == other.package
                || self.refers.iter().any(|path| path.iter().zip(&other.package).all(|(a, b)| a == b)))
    }

    /// Whether it refers to the parameters of a policy. A reference without a constant id may be to any.
    fn reads_params(&self, id: &str) -> bool {
        self.refers.iter().any(|path| match path.as_slice() {
            [] => true,
            [first, rest @ ..] => first == "params" && rest.first().is_none_or(|name| name == id),
        })
    }
}

/// Every file of the upper layer that would change a locked policy, its parameters or mode, or a module or parameters that
/// it refers to.
fn check_locked(below: &[Parsed<'_>], above: &[Parsed<'_>], upper: &Bundle) -> Problems {
    let mut problems = Problems::default();
    for holder in below {
        let Some(policy) = holder.policy.as_ref().filter(|policy| policy.locked) else { continue };
        let mut problem = |file: &str| {
            problems.0.push(Problem::of(
                file,
                format!(
                    "policy `{}` of {} is locked: a layer above may not replace it, its parameters and mode, or a module or parameters that it refers to",
                    policy.id, policy.location.0
                ),
            ));
        };
        let needs = dependencies(holder, below);
        let replaced = above.iter().filter(|other| needs.iter().any(|needed| other.replaces(needed)));
        replaced.for_each(|other| problem(&other.module.path));
        let reads = |id: &str| needs.iter().any(|needed| needed.reads_params(id));
        let of_params = upper.params_files.iter().filter(|(id, _)| **id == policy.id || reads(id));
        of_params.for_each(|(_, file)| problem(&file.path));
        for (name, set) in &upper.sets {
            let touches =
                |rule: &Rule| *rule.policy == *policy.id || (!rule.params.is_empty() && reads(&rule.policy));
            if set.rules.iter().any(touches) {
                problem(&format!("sets/{name}.yaml"));
            }
        }
    }
    problems
}

/// A module and all that it refers to, transitively.
fn dependencies<'a, 'm>(holder: &'a Parsed<'m>, all: &'a [Parsed<'m>]) -> Vec<&'a Parsed<'m>> {
    let mut found = vec![holder];
    let mut at = 0;
    while let Some(next) = found.get(at).copied() {
        for other in all {
            let known = found.iter().any(|known| known.module.path == other.module.path);
            if !known && next.refers_to(other) {
                found.push(other);
            }
        }
        at += 1;
    }
    found
}

fn manifest(module: &Module) -> Option<Manifest> {
    metadata::parse(&module.path, &metadata::find(&module.text)?).ok().flatten()
}

#[cfg(test)]
mod tests;
