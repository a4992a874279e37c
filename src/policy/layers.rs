//! One law out of two bundles: the gate's own, which is the library or a directory, and over it the ledger's.
//!
//! The upper layer replaces by package and by policy id, parameters by policy id; what is `locked` below stays.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use sha2::{Digest, Sha256};

use super::bundle::Module;
use super::live::Reload;
use super::{Bundle, Live, Manifest, Problem, Problems, metadata};

/// The layers of the law in force; cheap to clone. A new one of either compiles both aside and swaps, or is refused.
#[derive(Clone)]
pub struct Layers(Arc<Shared>);

/// How the two layers make one law.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Manner {
    /// The upper lies over the lower.
    #[default]
    Layered,
    /// The upper alone, where there is one.
    Alone,
}

struct Shared {
    live: Live,
    manner: Manner,
    both: Mutex<Both>,
}

struct Both {
    base: Result<Bundle, Problems>,
    upper: Option<Bundle>,
}

impl Layers {
    /// Over a law that was started with `base`.
    pub fn new(live: Live, base: Result<Bundle, Problems>, manner: Manner) -> Self {
        Self(Arc::new(Shared { live, manner, both: Mutex::new(Both { base, upper: None }) }))
    }

    /// The law in force.
    pub fn live(&self) -> &Live {
        &self.0.live
    }

    /// Takes a new lower layer. Blocks while it compiles.
    pub fn base(&self, base: Result<Bundle, Problems>) -> Reload {
        let mut both = self.0.both.lock().unwrap_or_else(PoisonError::into_inner);
        both.base = base;
        self.0.live.reload(both.law(self.0.manner))
    }

    /// Takes a new upper layer, or none. Blocks while it compiles.
    pub fn upper(&self, upper: Option<Bundle>) -> Reload {
        let mut both = self.0.both.lock().unwrap_or_else(PoisonError::into_inner);
        both.upper = upper;
        self.0.live.reload(both.law(self.0.manner))
    }

    /// What the law would be with this upper layer, without taking it.
    ///
    /// # Errors
    /// The lower layer cannot be read, or has locked what the upper one replaces.
    pub fn with(&self, upper: &Bundle) -> Result<Bundle, Problems> {
        let both = self.0.both.lock().unwrap_or_else(PoisonError::into_inner);
        if self.0.manner == Manner::Alone {
            return Ok(upper.clone());
        }
        over(both.base.as_ref().map_err(Clone::clone)?, upper)
    }
}

impl Both {
    fn law(&self, manner: Manner) -> Result<Bundle, Problems> {
        if let (Manner::Alone, Some(upper)) = (manner, &self.upper) {
            return Ok(upper.clone());
        }
        let base = self.base.as_ref().map_err(Clone::clone)?;
        self.upper.as_ref().map_or_else(|| Ok(base.clone()), |upper| over(base, upper))
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
