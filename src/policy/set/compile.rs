//! Compiles a bundle: modules, then policies with the modules that they refer to, then programs.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::{BrokenPolicy, Options, Policy, PolicySet, RULES, Throttle, lint};
use crate::bundle::Bundle;
use crate::manifest::{Manifest, Match, OnError, Operation};
use crate::metadata;
use crate::params::{self, Modes};
use portcullis_rego::Module;
use portcullis_rego::analysis::{self, Analysis, Form};
use portcullis_rego::reads::Reads;
use portcullis_rego::{Compiled, EngineChoice, builtins};
use portcullis_rego::{Problem, Problems};
use portcullis_telemetry::metrics::PolicyMetrics;
use portcullis_tenancy::resource::Pattern;
use portcullis_tenancy::snapshot::Kind;

pub(super) struct Unit<'a> {
    pub(super) module: &'a Module,
    pub(super) analysis: Arc<Analysis>,
    pub(super) manifest: Option<Manifest>,
    /// Whether it has a METADATA block that cannot be read.
    pub(super) unreadable: bool,
    pub(super) problems: Problems,
}

/// Analyses by digest of path and text. Analysing takes a millisecond a module, and a reload usually changes one.
pub(super) type Analyses = BTreeMap<String, Arc<Analysis>>;

pub(super) struct Compilation {
    pub(super) policies: Vec<Policy>,
    pub(super) broken: Vec<BrokenPolicy>,
    pub(super) analyses: Analyses,
}

pub(super) fn run(bundle: &Bundle, options: Options, previous: Option<&PolicySet>) -> Compilation {
    let mut analyses = Analyses::new();
    let known = previous.map(|set| &set.analyses);
    let mut units: Vec<Unit<'_>> =
        bundle.modules.iter().map(|module| read(module, known, &mut analyses)).collect();
    lint::names(&mut units);
    let functions: BTreeMap<Vec<String>, usize> =
        units.iter().flat_map(|unit| functions_of(&unit.analysis)).collect();
    let functions = |path: &[String]| functions.get(path).copied();
    for unit in &mut units {
        let mut found = builtins::check(&unit.module.path, &unit.analysis, &functions);
        found.extend(lint::references(unit.module, &unit.analysis));
        unit.problems
            .0
            .extend(found.into_iter().map(|problem| problem.with_source_column(&unit.module.text)));
    }
    lint::data(&mut units, &bundle.params);
    lint::variables(&mut units, &functions);
    lint::values(&mut units, &functions);
    lint::nulls(&mut units);
    lint::conflicts(&mut units);
    lint::cycles(&mut units);
    let (mut policies, mut broken) = (Vec::new(), Vec::new());
    let mut reported = BTreeSet::new();
    for unit in units.iter().filter(|unit| unit.manifest.is_some()) {
        let closure = closure(unit, &units);
        reported.extend(closure.iter().map(|unit| &unit.module.path));
        match policy(unit, &closure, bundle, options, previous) {
            Ok(policy) => policies.push(policy),
            Err(problems) => broken.push(broken_policy(unit, problems)),
        }
    }
    // Problems outside of every policy: an unused library, or a policy whose METADATA cannot be read.
    for unit in
        units.iter().filter(|unit| !unit.problems.0.is_empty() && !reported.contains(&unit.module.path))
    {
        broken.push(broken_policy(unit, unit.problems.clone()));
    }
    if policies.is_empty() && broken.is_empty() {
        let message =
            "the bundle has no policy; a policy is a .rego file with a METADATA block that has `custom.id`";
        broken.push(everywhere(Problem::of("policies", message)));
    }
    Compilation { policies, broken, analyses }
}

fn read<'a>(module: &'a Module, known: Option<&Analyses>, done: &mut Analyses) -> Unit<'a> {
    let mut problems = Problems::default();
    let mut add_problems = |found: Problems| problems.0.extend(found.0);
    let read = metadata::find(&module.text).map(|block| metadata::parse(&module.path, &block));
    let unreadable = matches!(read, Some(Err(_)));
    add_problems(Problems(metadata::check_rule_blocks(&module.path, &module.text)));
    let manifest = read.and_then(|read| read.map_err(&mut add_problems).ok()).flatten();
    let digest = hex::encode(Sha256::digest(format!("{}\0{}", module.path, module.text)));
    let analysis = match known.and_then(|known| known.get(&digest)) {
        Some(known) => Ok(Arc::clone(known)),
        None => analysis::analyse(module).map(Arc::new),
    };
    if let Ok(analysis) = &analysis {
        done.insert(digest, Arc::clone(analysis));
    }
    let analysis = analysis.map_err(|problem| add_problems(problem.into())).unwrap_or_default();
    Unit { module, analysis, manifest, unreadable, problems }
}

fn functions_of(analysis: &Analysis) -> Vec<(Vec<String>, usize)> {
    let functions = analysis.rules.iter().filter(|rule| rule.form == Form::Function);
    functions.map(|rule| (analysis.package.iter().chain(&rule.path).cloned().collect(), rule.arity)).collect()
}

/// A policy's module, the other modules of its package, and every module that they refer to, transitively.
fn closure<'a, 'b>(unit: &'b Unit<'a>, units: &'b [Unit<'a>]) -> Vec<&'b Unit<'a>> {
    let mut found: BTreeMap<&str, &Unit<'a>> = BTreeMap::new();
    let mut open = vec![unit];
    while let Some(next) = open.pop() {
        if found.insert(&next.module.path, next).is_some() {
            continue;
        }
        let refers = |other: &Unit<'_>| {
            let package = &other.analysis.package;
            let data = next.analysis.data.iter().map(|reference| &reference.path);
            // A module that could not be parsed has no package.
            !package.is_empty()
                && (*package == next.analysis.package
                    || data
                        .into_iter()
                        .any(|path| path.iter().zip(package).all(|(a, b)| a == b) && !known_data(path)))
        };
        open.extend(
            units.iter().filter(|other| !found.contains_key(other.module.path.as_str()) && refers(other)),
        );
    }
    let mut rest: Vec<&Unit<'a>> =
        found.into_values().filter(|other| other.module.path != unit.module.path).collect();
    rest.insert(0, unit);
    rest
}

fn known_data(path: &[String]) -> bool {
    path.first().is_some_and(|first| lint::DATA_ROOTS.contains(&first.as_str()))
}

fn policy(
    unit: &Unit<'_>,
    closure: &[&Unit<'_>],
    bundle: &Bundle,
    options: Options,
    previous: Option<&PolicySet>,
) -> Result<Policy, Problems> {
    let problems = Problems(closure.iter().flat_map(|unit| unit.problems.0.clone()).collect());
    problems.into_result(())?;
    let manifest = unit.manifest.clone().ok_or_else(|| Problem::of(&unit.module.path, "has no METADATA"))?;
    let own = || closure.iter().filter(|other| other.analysis.package == unit.analysis.package);
    let place = |name: &'static str| {
        own().find_map(|other| {
            let rule = other.analysis.rules.iter().find(|rule| rule.name == name)?;
            Some((name, (other.module.path.clone(), rule.location.0)))
        })
    };
    let (rules, rule_locations): (Vec<&'static str>, Vec<_>) =
        RULES.iter().copied().filter_map(place).unzip();
    if rules.is_empty() {
        let message = format!(
            "policy `{}` defines none of {}; it would never match; define one of them",
            manifest.id,
            RULES.join(", ")
        );
        return Err(Problem::at(&unit.module.path, manifest.location.1, 0, message).into());
    }
    let (file, params) = (bundle.params_files.get(&manifest.id), bundle.params.get(&manifest.id));
    let modes = Modes::parse(file.map_or(&unit.module.path, |file| &file.path), params)?;
    if !bundle.params_checked {
        let violations = params::check_schema(&manifest, file, params)
            .map_err(|problem| problem.with_source_column(&unit.module.text))?;
        Problems(violations).into_result(())?;
    }
    let mut reads = Reads::nothing();
    for unit in closure {
        unit.analysis.input.iter().for_each(|reference| reads.add(&reference.path));
        unit.analysis.through_locals.iter().for_each(|path| reads.add(path));
    }
    let is_cluster_data = |reference: &analysis::Reference<String>| {
        reference.path.first().is_none_or(|first| first == lint::CLUSTER)
    };
    let reads_cluster = closure.iter().any(|unit| unit.analysis.data.iter().any(is_cluster_data));
    let package = format!("data.{}", unit.analysis.package.join("."));
    let modules: Vec<&Module> = closure.iter().map(|unit| unit.module).collect();
    let key = key(&package, &modules, options);
    let unchanged = previous.and_then(|set| set.policies.iter().find(|policy| policy.key == key));
    let compiled = match unchanged {
        Some(policy) => Arc::clone(&policy.compiled),
        None => Arc::new(Compiled::new(&package, &rules, &modules, &choice(options))?),
    };
    Ok(Policy {
        metrics: PolicyMetrics::new(&manifest.id),
        manifest,
        package,
        rules,
        rule_locations,
        patch_recheck: Throttle::default(),
        reads: Arc::new(reads),
        reads_cluster,
        compiled,
        modes,
        key,
    })
}

fn choice(options: Options) -> EngineChoice {
    if options.interpreter { EngineChoice::Interpreter("asked for".to_owned()) } else { EngineChoice::Auto }
}

/// Identifies the sources of a program, so that a reload compiles only what changed.
fn key(package: &str, modules: &[&Module], options: Options) -> String {
    let mut hash = Sha256::new();
    hash.update(format!("{package}\0{}\0", options.interpreter));
    for module in modules {
        hash.update(format!("{}\0{}\0", module.path, module.text.len()));
        hash.update(&module.text);
    }
    hex::encode(hash.finalize())
}

fn broken_policy(unit: &Unit<'_>, problems: Problems) -> BrokenPolicy {
    match &unit.manifest {
        Some(manifest) => BrokenPolicy {
            id: manifest.id.clone(),
            on_error: manifest.on_error,
            matches: manifest.matches.clone(),
            problems,
        },
        None => BrokenPolicy { id: unit.module.path.clone(), problems, ..everywhere(Problem::of("", "")) },
    }
}

/// Matches everything in tenant namespaces, since a policy that cannot be read might match any of it.
fn everywhere(problem: Problem) -> BrokenPolicy {
    let everything = Match {
        operations: Operation::ALL.to_vec(),
        resources: vec![Pattern::everything()],
        namespaces: vec![Kind::App, Kind::Sandbox, Kind::Unregistered],
    };
    BrokenPolicy {
        id: problem.file.clone(),
        on_error: OnError::Deny,
        matches: vec![everything],
        problems: problem.into(),
    }
}
