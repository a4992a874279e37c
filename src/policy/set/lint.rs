//! Refuses modules that the engine accepts but whose rules can never match: names, paths and variables that refer to nothing.

mod input_schema;
mod rules;

use std::collections::{BTreeMap, BTreeSet};

pub use self::input_schema::input_names;
pub(super) use self::rules::{conflicts, cycles, values};
use super::RULES;
use super::compile::Unit;
use crate::manifest::{Manifest, Operation};
use portcullis_rego::analysis::KnownNames;
use portcullis_rego::analysis::{self, Analysis, Flaw, Form, Reference, Rule, Step};
use portcullis_rego::builtins::{self, Functions};
use portcullis_rego::did_you_mean::nearest;
use portcullis_rego::{Module, Problem, Value};

/// Roots of `data` that the gate fills; a package cannot have one of these names.
pub(crate) const DATA_ROOTS: [&str; 3] = ["params", "tenancy", CLUSTER];

/// The root with the Namespace as the cluster has it.
pub(super) const CLUSTER: &str = "cluster";

/// The keys below the gate's roots of `data`, by path.
const DATA_KEYS: &[(&[&str], &[&str])] = &[
    (&["tenancy"], &["settings", "tenants", "ids"]),
    (&[CLUSTER], &["namespace"]),
    (&[CLUSTER, "namespace"], &["labels", "annotations", "phase"]),
];

/// Rule names that other tools evaluate, and the name that the gate evaluates.
const FOREIGN_RULES: &[(&str, &str)] = &[
    ("violation", "deny"),
    ("violations", "deny"),
    ("denied", "deny"),
    ("denies", "deny"),
    ("warning", "warn"),
    ("warnings", "warn"),
    ("warns", "warn"),
    ("patches", "patch"),
    ("merges", "merge"),
    ("mutate", "merge"),
];

/// References to paths of `input` and `data` that are always undefined.
pub(super) fn references(module: &Module, analysis: &Analysis) -> Vec<Problem> {
    let at = |place: (u32, u32), message: String| Problem::at(&module.path, place.0, place.1, message);
    let input = analysis.input.iter().chain(&analysis.certain_paths).filter_map(|reference| {
        let wrong = input_schema::undefined_path(&reference.path)?;
        Some(at(reference.location, wrong))
    });
    let data = analysis.data.iter().flat_map(|reference| {
        let wrong = DATA_KEYS.iter().filter_map(|(path, known)| {
            let rest = reference
                .path
                .strip_prefix(&path.iter().map(|step| (*step).to_owned()).collect::<Vec<_>>()[..])?;
            let next = rest.first().filter(|next| !known.contains(&next.as_str()))?;
            let path = path.join(".");
            Some(format!(
                "`data.{path}.{next}` is always undefined; below `data.{path}` there is: {}",
                known.join(", ")
            ))
        });
        wrong.map(|message| at(reference.location, message)).collect::<Vec<_>>()
    });
    let compared = analysis.comparisons.iter().filter_map(|compared| {
        let wrong = input_schema::never_equal(compared)?;
        Some(at(compared.location, wrong))
    });
    input.chain(compared).chain(data).collect()
}

/// Whether `data.cluster` is there; it also is where the cluster has no such namespace.
pub(super) fn has_cluster(data: &Value) -> bool {
    matches!(data, Value::Object(roots) if roots.get(&Value::from(CLUSTER)).is_some())
}

/// Checks that packages and ids are unique and that rule names are evaluated.
pub(super) fn names(units: &mut [Unit<'_>]) {
    let mut ids: BTreeMap<String, String> = BTreeMap::new();
    let mut packages: BTreeMap<Vec<String>, String> = BTreeMap::new();
    for unit in units.iter_mut() {
        let file = unit.module.path.clone();
        if let Some(root) = unit.analysis.package.first().filter(|root| DATA_ROOTS.contains(&root.as_str())) {
            unit.problems
                .0
                .push(Problem::of(&file, format!("package `{root}` is taken: the gate fills data.{root}")));
        }
        if let Some(manifest) = &unit.manifest {
            let line = manifest.location.1;
            if let Some(other) = ids.insert(manifest.id.clone(), file.clone()) {
                unit.problems.0.push(Problem::at(
                    &file,
                    line,
                    0,
                    format!("id `{}` is already taken by {other}", manifest.id),
                ));
            }
            if let Some(other) = packages
                .insert(unit.analysis.package.clone(), file.clone())
                .filter(|_| !unit.analysis.package.is_empty())
            {
                unit.problems.0.push(Problem::at(
                    &file,
                    line,
                    0,
                    format!("package `{}` already has METADATA in {other}", unit.analysis.package.join(".")),
                ));
            }
        }
    }
    let policies: Vec<Vec<String>> = packages.into_keys().collect();
    let uses = units.iter().flat_map(|unit| unit.analysis.rules.iter().flat_map(|rule| &rule.uses));
    let used: Vec<Vec<String>> = uses.map(|one| one.path.clone()).collect();
    for unit in units.iter_mut() {
        let is_policy = policies.contains(&unit.analysis.package);
        let package = &unit.analysis.package;
        let used = |name: &str| {
            let path = || package.iter().map(String::as_str).chain([name]);
            used.iter().any(|used| used.iter().map(String::as_str).zip(path()).all(|(used, own)| used == own))
        };
        let found = unit.analysis.rules.iter().filter_map(|rule| {
            let message = check_rule_name(rule, is_policy, unit.unreadable, &used)?;
            Some(
                Problem::at(&unit.module.path, rule.location.0, rule.location.1, message)
                    .with_source_column(&unit.module.text),
            )
        });
        let found: Vec<Problem> = found.collect();
        unit.problems.0.extend(found);
    }
}

/// A rule with a name that the gate evaluates must be a set in a policy. A rule with a similar name that nothing uses is
/// taken for a misspelling.
fn check_rule_name(
    rule: &Rule,
    is_policy: bool,
    unreadable: bool,
    used: &dyn Fn(&str) -> bool,
) -> Option<String> {
    let name = rule.name.as_str();
    let rules = RULES.join(", ");
    if RULES.contains(&name) {
        let plain = rule.form == Form::Set && rule.path.len() == 1 && !rule.open;
        return match is_policy {
            // The problem is its METADATA, which is reported already.
            false if unreadable => None,
            false => Some(format!(
                "rule `{name}` in a package without METADATA is never evaluated; add a `# METADATA` block with `custom.id` before `package`"
            )),
            true => (!plain).then(|| format!("`{name}` must be a set; write `{name} contains finding if …`")),
        };
    }
    let foreign = || FOREIGN_RULES.iter().find(|(foreign, _)| *foreign == name).map(|(_, meant)| *meant);
    // `deny_pods`, as conftest has it, and misspellings; a helper is used by another rule.
    let begins = || RULES.into_iter().find(|meant| name.starts_with(&format!("{meant}_")));
    let unused =
        || begins().or_else(|| nearest(name, RULES)).filter(|_| rule.form == Form::Set && !used(name));
    let meant = foreign().or_else(unused).filter(|_| is_policy)?;
    Some(format!(
        "rule `{name}` is never evaluated; the rules of a policy are {rules}: did you mean `{meant}`?"
    ))
}

/// References to packages or rules that no module of the bundle defines; they are always undefined.
pub(super) fn data(units: &mut [Unit<'_>], params: &BTreeMap<String, serde_json::Value>) {
    let defined: Vec<(Vec<String>, Vec<String>)> = units
        .iter()
        .map(|unit| {
            (
                unit.analysis.package.clone(),
                unit.analysis.rules.iter().map(|rule| rule.name.clone()).collect(),
            )
        })
        .collect();
    let resolves = |path: &[String]| {
        path.first().is_none_or(|first| DATA_ROOTS.contains(&first.as_str()))
            || defined.iter().any(|(package, rules)| match path.get(package.len()) {
                // The path ends within or at the package, or names a rule of it.
                None => package.starts_with(path),
                Some(rule) => path.starts_with(package) && rules.contains(rule),
            })
    };
    let ids: BTreeSet<String> = (units.iter())
        .filter_map(|unit| unit.manifest.as_ref().map(|manifest| manifest.id.clone()))
        .chain(params.keys().cloned())
        .collect();
    for unit in units.iter_mut() {
        let misspelled: Vec<Problem> =
            unit.analysis.data.iter().filter_map(|one| misspelled_params(unit, one, &ids)).collect();
        unit.problems.0.extend(misspelled);
        let wrong = unit.analysis.data.iter().filter(|reference| !resolves(&reference.path));
        let found: Vec<Problem> = wrong
            .map(|reference| {
                let message =
                    format!("`data.{}` is defined by no module of this bundle", reference.path.join("."));
                Problem::at(&unit.module.path, reference.location.0, reference.location.1, message)
                    .with_source_column(&unit.module.text)
            })
            .collect();
        unit.problems.0.extend(found);
    }
}

/// Parameters of an unknown id that is similar to a known one. Other unknown ids may come with another layer.
fn misspelled_params(
    unit: &Unit<'_>,
    reference: &Reference<String>,
    ids: &BTreeSet<String>,
) -> Option<Problem> {
    let [root, id, ..] = reference.path.as_slice() else { return None };
    if root != "params" || ids.contains(id) {
        return None;
    }
    let near = nearest(id, ids.iter().map(String::as_str))?;
    let message = format!("`data.params[\"{id}\"]` is the parameters of no policy: did you mean `{near}`?");
    Some(
        Problem::at(&unit.module.path, reference.location.0, reference.location.1, message)
            .with_source_column(&unit.module.text),
    )
}

/// Reports unbound variables. A package may be spread over several files, so a module with a suspect is checked again with
/// the names of its whole package and every function of the bundle.
pub(super) fn variables(units: &mut [Unit<'_>], functions: Functions<'_>) {
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
                builtins::function_arity(&unit.analysis, name, functions).or_else(|| builtins::arity(name))
            };
            flaws.extend(
                analysis::unbound(unit.module, &KnownNames { names: &names, arity: &arity })
                    .unwrap_or_default(),
            );
        }
        let problem = |flaw: Flaw| {
            Problem::at(&unit.module.path, flaw.location.0, flaw.location.1, flaw.message)
                .with_source_column(&unit.module.text)
        };
        let found: Vec<Problem> = flaws.into_iter().map(problem).collect();
        unit.problems.0.extend(found);
    }
}

/// Fields of an object that is always null: `object` on DELETE, `oldObject` on CREATE. A line with one is undefined, so the
/// policy would not deny.
pub(super) fn nulls(units: &mut [Unit<'_>]) {
    for unit in units.iter_mut() {
        let Some(manifest) = &unit.manifest else { continue };
        let (null, instead) = if only(manifest, &[Operation::Delete]) {
            (
                "object",
                "on DELETE, and `match` has no other operation; what is deleted is `input.request.oldObject`",
            )
        } else if only(manifest, &[Operation::Create]) {
            (
                "oldObject",
                "on CREATE, and `match` has no other operation; what is created is `input.request.object`",
            )
        } else {
            continue;
        };
        let name =
            |step: Option<&Step>, expected: &str| matches!(step, Some(Step::Name(name)) if name == expected);
        let fields = unit.analysis.input.iter().filter(|reference| {
            let path = &reference.path;
            name(path.first(), "request") && name(path.get(1), null) && path.len() > 2
        });
        let found: Vec<Problem> = fields
            .map(|reference| {
                let message = format!("`input.request.{null}` is null {instead}");
                Problem::at(&unit.module.path, reference.location.0, reference.location.1, message)
                    .with_source_column(&unit.module.text)
            })
            .collect();
        unit.problems.0.extend(found);
    }
}

fn only(manifest: &Manifest, operations: &[Operation]) -> bool {
    manifest.matches.iter().flat_map(|one| &one.operations).all(|operation| operations.contains(operation))
}
