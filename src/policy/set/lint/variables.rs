//! Variables without a value, and what else a module shows by itself.

use std::collections::{BTreeMap, BTreeSet};

use crate::set::compile::Unit;
use portcullis_rego::analysis;
use portcullis_rego::builtins::{self, Functions};
use portcullis_rego::problem::Problem;
use portcullis_rego::safety::{Flaw, Known};

/// Says them. A module that seems to have such variables is judged again with the names of its whole package, and with
/// every function of the bundle: a package may be spread over several files.
pub(in crate::set) fn variables(units: &mut [Unit<'_>], functions: Functions<'_>) {
    let mut packages: BTreeMap<Vec<String>, BTreeSet<String>> = BTreeMap::new();
    for unit in units.iter() {
        let names = unit.analysis.rules.iter().map(|rule| rule.name.clone());
        packages.entry(unit.analysis.package.clone()).or_default().extend(names);
    }
    for unit in units.iter_mut() {
        let mut flaws: Vec<Flaw> = unit.analysis.flaws.clone();
        if !unit.analysis.unbound.is_empty() {
            let mut names = unit.analysis.names();
            names.extend(packages.get(&unit.analysis.package).into_iter().flatten().cloned());
            let arity = |name: &str| {
                builtins::takes(&unit.analysis, name, functions).or_else(|| builtins::arity(name))
            };
            flaws.extend(
                analysis::unbound(unit.module, &Known { names: &names, arity: &arity }).unwrap_or_default(),
            );
        }
        let problem = |flaw: Flaw| {
            Problem::at(&unit.module.path, flaw.place.0, flaw.place.1, flaw.message)
                .settled(&unit.module.text)
        };
        let found: Vec<Problem> = flaws.into_iter().map(problem).collect();
        unit.problems.0.extend(found);
    }
}
