//! One law out of up to three bundles: the gate's own, which is the library or a directory, over it that of ConfigMaps, and
//! over both the ledger's.
//!
//! An upper layer replaces by package, by policy id and by file, parameters by policy id; what is `locked` below stays, with
//! all that it refers to.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use sha2::{Digest, Sha256};

use super::live::Reload;
use super::{Bundle, Live, Manifest, Problem, Problems, metadata};
use portcullis_rego::Module;
use portcullis_rego::analysis;
use portcullis_tenancy::snapshot::Rule;

/// The layers of the law in force; cheap to clone. A new one of either compiles both aside and swaps, or is refused.
#[derive(Clone)]
pub struct Layers(Arc<Shared>);

/// How the layers make one law.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Manner {
    /// Each lies over those below.
    #[default]
    Layered,
    /// The uppermost alone, where there is one.
    Alone,
}

struct Shared {
    live: Live,
    manner: Manner,
    all: Mutex<All>,
}

struct All {
    base: Result<Bundle, Problems>,
    between: Result<Option<Bundle>, Problems>,
    upper: Option<Bundle>,
}

impl Layers {
    /// Over a law that was started with `base`.
    pub fn new(live: Live, base: Result<Bundle, Problems>, manner: Manner) -> Self {
        let all = All { base, between: Ok(None), upper: None };
        Self(Arc::new(Shared { live, manner, all: Mutex::new(all) }))
    }

    /// The law in force.
    pub fn live(&self) -> &Live {
        &self.0.live
    }

    /// Takes a new lower layer. Blocks while it compiles.
    pub fn base(&self, base: Result<Bundle, Problems>) -> Reload {
        self.change(|all| all.base = base)
    }

    /// Takes a new layer of ConfigMaps, or none. Blocks while it compiles.
    pub fn between(&self, between: Result<Option<Bundle>, Problems>) -> Reload {
        self.change(|all| all.between = between)
    }

    /// Takes a new upper layer, or none. Blocks while it compiles.
    pub fn upper(&self, upper: Option<Bundle>) -> Reload {
        self.change(|all| all.upper = upper)
    }

    fn change(&self, change: impl FnOnce(&mut All)) -> Reload {
        let mut all = self.0.all.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut all);
        self.0.live.reload(all.law(self.0.manner))
    }

    /// What the law would be with this upper layer, without taking it.
    ///
    /// # Errors
    /// A lower layer cannot be read, or has locked what the upper one replaces.
    pub fn with(&self, upper: &Bundle) -> Result<Bundle, Problems> {
        let all = self.0.all.lock().unwrap_or_else(PoisonError::into_inner);
        if self.0.manner == Manner::Alone {
            return Ok(upper.clone());
        }
        let below = all.below()?;
        over(&below, upper)
    }
}

impl All {
    fn law(&self, manner: Manner) -> Result<Bundle, Problems> {
        if let (Manner::Alone, Some(upper)) = (manner, &self.upper) {
            return Ok(upper.clone());
        }
        let below = self.below()?;
        match &self.upper {
            Some(upper) => over(&below, upper),
            None => Ok(below.into_owned()),
        }
    }

    /// What lies under the ledger's.
    fn below(&self) -> Result<Cow<'_, Bundle>, Problems> {
        let base = self.base.as_ref().map_err(Clone::clone)?;
        match self.between.as_ref().map_err(Clone::clone)? {
            Some(between) => over(base, between).map(Cow::Owned),
            None => Ok(Cow::Borrowed(base)),
        }
    }
}

/// Lays one bundle over another.
///
/// # Errors
/// What is `locked` below and would be replaced, by file of the upper layer.
pub fn over(base: &Bundle, upper: &Bundle) -> Result<Bundle, Problems> {
    let below: Vec<Parsed<'_>> = base.modules.iter().map(Parsed::of).collect();
    let above: Vec<Parsed<'_>> = upper.modules.iter().map(Parsed::of).collect();
    locked(&below, &above, upper).into_result(())?;
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
    let mut law = base.clone();
    law.modules = join(&base.modules, &upper.modules);
    law.tests = join(&base.tests, &upper.tests);
    law.sets.extend(upper.sets.clone());
    law.params.extend(upper.params.clone());
    law.params_files.extend(upper.params_files.clone());
    law.fits = base.fits && upper.fits;
    law.digest = hex::encode(Sha256::digest(format!("{}\0{}", base.digest, upper.digest)));
    Ok(law)
}

/// A module as the engine reads it: another spelling of a package is the same package.
struct Parsed<'m> {
    module: &'m Module,
    /// Empty where the text cannot be read, which refuses the law by itself.
    package: Vec<String>,
    /// What it refers to, below `data`.
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

    /// Whether a module of an upper layer takes the place of one below: its package, its policy or its file.
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
}

impl Parsed<'_> {
    /// Whether it refers to the parameters of a policy; without a name in its text it may be any.
    fn reads_params(&self, id: &str) -> bool {
        self.refers.iter().any(|path| match path.as_slice() {
            [] => true,
            [first, rest @ ..] => first == "params" && rest.first().is_none_or(|name| name == id),
        })
    }
}

/// What an upper layer would change of locked policies: their files, packages and ids, their parameters and modes, and the
/// modules that they refer to, or the package that such a module is of.
fn locked(below: &[Parsed<'_>], above: &[Parsed<'_>], upper: &Bundle) -> Problems {
    let mut problems = Problems::default();
    for holder in below {
        let Some(policy) = holder.policy.as_ref().filter(|policy| policy.locked) else { continue };
        let mut problem = |file: &str| {
            problems.0.push(Problem::of(
                file,
                format!(
                    "policy `{}` of {} is locked: a layer above may not replace it, its parameters and mode, or a module or parameters that it refers to",
                    policy.id, policy.place.0
                ),
            ));
        };
        let needs = needed(holder, below);
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

/// A module and all that it refers to, by way of others too.
fn needed<'a, 'm>(holder: &'a Parsed<'m>, all: &'a [Parsed<'m>]) -> Vec<&'a Parsed<'m>> {
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
