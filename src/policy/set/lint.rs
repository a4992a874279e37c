//! What the engine would accept and nobody could have meant: names that refer to nothing.

mod cycles;
mod nulls;
mod rules;
mod shape;
mod variables;

use std::collections::{BTreeMap, BTreeSet};

pub(super) use self::cycles::cycles;
pub(super) use self::nulls::nulls;
pub(super) use self::rules::{conflicts, values};
pub use self::shape::input_names;
pub(super) use self::variables::variables;
use super::RULES;
use super::compile::Unit;
use portcullis_rego::Module;
use portcullis_rego::Value;
use portcullis_rego::analysis::{Analysis, Form, Reference, Rule};
use portcullis_rego::did_you_mean::nearest;
use portcullis_rego::problem::Problem;

/// Roots of `data` that the gate fills; a package may not take one over.
pub(crate) const DATA_ROOTS: [&str; 3] = ["params", "tenancy", CLUSTER];

/// The root that says what the cluster says.
pub(super) const CLUSTER: &str = "cluster";

/// What stands below roots of `data` that are not a policy's own, by constant path.
const DATA: &[(&[&str], &[&str])] = &[
    (&["tenancy"], &["settings", "tenants", "ids"]),
    (&[CLUSTER], &["namespace"]),
    (&[CLUSTER, "namespace"], &["labels", "annotations", "phase"]),
];

/// Rule names that other tools ask and we do not.
const MISTAKEN: &[(&str, &str)] = &[
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

/// Paths of the input and roots of `data` that hold nothing.
pub(super) fn references(module: &Module, analysis: &Analysis) -> Vec<Problem> {
    let at = |place: (u32, u32), message: String| Problem::at(&module.path, place.0, place.1, message);
    let input = analysis.input.iter().chain(&analysis.certain).filter_map(|reference| {
        let wrong = shape::misnamed(&reference.path)?;
        Some(at(reference.place, wrong))
    });
    let data = analysis.data.iter().flat_map(|reference| {
        let wrong = DATA.iter().filter_map(|(path, known)| {
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
        wrong.map(|message| at(reference.place, message)).collect::<Vec<_>>()
    });
    let compared = analysis.compared.iter().filter_map(|compared| {
        let wrong = shape::miscompared(compared)?;
        Some(at(compared.place, wrong))
    });
    input.chain(compared).chain(data).collect()
}

/// Whether `data` says anything of the cluster, be it that it has no such namespace.
pub(super) fn has_cluster(data: &Value) -> bool {
    matches!(data, Value::Object(roots) if roots.get(&Value::from(CLUSTER)).is_some())
}

/// Packages, ids and rule names.
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
            let line = manifest.place.1;
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
    let asked: Vec<Vec<String>> = uses.map(|one| one.path.clone()).collect();
    for unit in units.iter_mut() {
        let is_policy = policies.contains(&unit.analysis.package);
        let package = &unit.analysis.package;
        let asked = |name: &str| {
            let path = || package.iter().map(String::as_str).chain([name]);
            asked
                .iter()
                .any(|asked| asked.iter().map(String::as_str).zip(path()).all(|(asked, own)| asked == own))
        };
        let found = unit.analysis.rules.iter().filter_map(|rule| {
            let message = entry(rule, is_policy, unit.unreadable, &asked)?;
            Some(
                Problem::at(&unit.module.path, rule.place.0, rule.place.1, message)
                    .settled(&unit.module.text),
            )
        });
        let found: Vec<Problem> = found.collect();
        unit.problems.0.extend(found);
    }
}

/// What is wrong with a rule's name: one that the gate asks and that is no set or stands in no policy, and one that its
/// author believes is asked.
fn entry(rule: &Rule, is_policy: bool, unreadable: bool, asked: &dyn Fn(&str) -> bool) -> Option<String> {
    let name = rule.name.as_str();
    let rules = RULES.join(", ");
    if RULES.contains(&name) {
        let plain = rule.form == Form::Set && rule.path.len() == 1 && !rule.open;
        return match is_policy {
            // What is wrong is its METADATA, which has been said.
            false if unreadable => None,
            false => Some(format!(
                "rule `{name}` in a package without METADATA is never asked; add a `# METADATA` block with `custom.id` before `package`"
            )),
            true => (!plain).then(|| format!("`{name}` must be a set; write `{name} contains finding if …`")),
        };
    }
    let mistaken = || MISTAKEN.iter().find(|(mistaken, _)| *mistaken == name).map(|(_, meant)| *meant);
    // `deny_pods`, as conftest has it, and slips; a helper of that name is looked at by somebody.
    let begins = || RULES.into_iter().find(|meant| name.starts_with(&format!("{meant}_")));
    let unasked =
        || begins().or_else(|| nearest(name, RULES)).filter(|_| rule.form == Form::Set && !asked(name));
    let meant = mistaken().or_else(unasked).filter(|_| is_policy)?;
    Some(format!("rule `{name}` is never asked; the rules of a policy are {rules}: did you mean `{meant}`?"))
}

/// References to packages or rules that no module of the bundle defines: undefined for ever, so a rule would never fire.
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
        let slips: Vec<Problem> = unit.analysis.data.iter().filter_map(|one| slip(unit, one, &ids)).collect();
        unit.problems.0.extend(slips);
        let wrong = unit.analysis.data.iter().filter(|reference| !resolves(&reference.path));
        let found: Vec<Problem> = wrong
            .map(|reference| {
                let message =
                    format!("`data.{}` is defined by no module of this bundle", reference.path.join("."));
                Problem::at(&unit.module.path, reference.place.0, reference.place.1, message)
                    .settled(&unit.module.text)
            })
            .collect();
        unit.problems.0.extend(found);
    }
}

/// Parameters of an id that nobody has and that is a slip of one that somebody has. Others may come with another layer.
fn slip(unit: &Unit<'_>, reference: &Reference<String>, ids: &BTreeSet<String>) -> Option<Problem> {
    let [root, id, ..] = reference.path.as_slice() else { return None };
    if root != "params" || ids.contains(id) {
        return None;
    }
    let near = nearest(id, ids.iter().map(String::as_str))?;
    let message = format!("`data.params[\"{id}\"]` is the parameters of no policy: did you mean `{near}`?");
    Some(
        Problem::at(&unit.module.path, reference.place.0, reference.place.1, message)
            .settled(&unit.module.text),
    )
}
