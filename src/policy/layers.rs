//! One law out of up to three bundles: the gate's own, which is the library or a directory, over it that of ConfigMaps, and
//! over both the ledger's.
//!
//! An upper layer replaces by package and by policy id, parameters by policy id; what is `locked` below stays.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use sha2::{Digest, Sha256};

use super::bundle::Module;
use super::live::Reload;
use super::{Bundle, Live, Manifest, Problem, Problems, metadata};

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
    let above: BTreeSet<&str> = upper.modules.iter().filter_map(package).collect();
    let taken: BTreeMap<String, &Module> =
        upper.modules.iter().filter_map(|module| Some((manifest(module)?.id, module))).collect();
    let mut problems = Problems::default();
    let mut dropped = BTreeSet::new();
    for module in &base.modules {
        let policy = manifest(module);
        let by_id = policy.as_ref().and_then(|policy| taken.get(&policy.id));
        let by_package = package(module).filter(|package| above.contains(package));
        let by = by_id.copied().or_else(|| {
            upper.modules.iter().find(|other| by_package.is_some() && package(other) == by_package)
        });
        if let (Some(policy), Some(by)) = (policy.as_ref().filter(|policy| policy.locked), by) {
            problems.0.push(locked(&by.path, policy));
        }
        if by.is_some() {
            dropped.extend(package(module));
        }
        if let Some(policy) = policy.filter(|policy| policy.locked)
            && let Some(file) = upper.params_files.get(&policy.id)
        {
            problems.0.push(locked(&file.path, &policy));
        }
    }
    problems.into_result(())?;
    let stays = |module: &&Module| {
        !package(module).is_some_and(|package| dropped.contains(package))
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

fn locked(file: &str, policy: &Manifest) -> Problem {
    Problem::of(
        file,
        format!(
            "policy `{}` of {} is locked: a layer above may not replace it or its parameters",
            policy.id, policy.place.0
        ),
    )
}

fn manifest(module: &Module) -> Option<Manifest> {
    metadata::parse(&module.path, &metadata::find(&module.text)?).ok().flatten()
}

/// The package that a module is of, as it is written.
fn package(module: &Module) -> Option<&str> {
    let line = module.text.lines().find(|line| line.trim_start().starts_with("package "))?;
    line.trim_start().strip_prefix("package")?.split('#').next().map(str::trim)
}

#[cfg(test)]
mod tests;
