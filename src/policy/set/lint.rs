//! What the engine would accept and nobody could have meant: names that refer to nothing.

use std::collections::BTreeMap;

use super::RULES;
use super::compile::Unit;
use crate::policy::bundle::Module;
use crate::policy::engine::Value;
use crate::policy::engine::analysis::{Analysis, Form, Step};
use crate::policy::problem::Problem;

/// Roots of `data` that the gate fills; a package may not take one over.
pub(super) const DATA_ROOTS: [&str; 3] = ["params", "tenancy", CLUSTER];

/// The root that says what the cluster says.
pub(super) const CLUSTER: &str = "cluster";

/// What stands below roots of `data` that are not a policy's own, by constant path.
const DATA: &[(&[&str], &[&str])] = &[
    (&["tenancy"], &["settings", "tenants"]),
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

/// What stands at a place of the input: `names`, then `below` for each.
struct Shape(&'static [(&'static str, Option<&'static Shape>)]);

static INPUT: Shape = Shape(&[
    ("request", Some(&REQUEST)),
    ("tenancy", Some(&TENANCY)),
    ("workload", Some(&WORKLOAD)),
    ("images", None),
    ("changed", None),
    ("finalizerRemoval", None),
    ("now", None),
]);
static REQUEST: Shape = Shape(&[
    ("uid", None),
    ("kind", None),
    ("resource", None),
    ("subResource", None),
    ("requestKind", None),
    ("requestResource", None),
    ("requestSubResource", None),
    ("name", None),
    ("namespace", None),
    ("operation", None),
    ("userInfo", None),
    ("object", None),
    ("oldObject", None),
    ("dryRun", None),
    ("options", None),
]);
static TENANCY: Shape = Shape(&[("namespace", Some(&NAMESPACE)), ("requester", Some(&REQUESTER))]);
static NAMESPACE: Shape = Shape(&[
    ("kind", None),
    ("name", None),
    ("tenant", None),
    ("project", None),
    ("app", None),
    ("sandbox", None),
    ("tenantId", None),
    ("projectId", None),
    ("appId", None),
    ("sandboxId", None),
    ("expired", None),
    ("status", None),
    ("labels", None),
]);
static REQUESTER: Shape = Shape(&[
    ("class", None),
    ("name", None),
    ("tenants", None),
    ("createsNamespaces", None),
    ("writes", None),
    ("serviceAccountNamespace", None),
    ("username", None),
]);
static WORKLOAD: Shape = Shape(&[("path", None), ("metadata", None), ("spec", None)]);

/// The names directly below `input`.
pub fn input_names() -> Vec<&'static str> {
    INPUT.0.iter().map(|(name, _)| *name).collect()
}

/// Paths of the input and roots of `data` that hold nothing.
pub(super) fn references(module: &Module, analysis: &Analysis) -> Vec<Problem> {
    let at = |place: (u32, u32), message: String| Problem::at(&module.path, place.0, place.1, message);
    let input = analysis.input.iter().filter_map(|reference| {
        let wrong = misnamed(&INPUT, "input", &reference.path)?;
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
    input.chain(data).collect()
}

/// Whether `data` says anything of the cluster, be it that it has no such namespace.
pub(super) fn has_cluster(data: &Value) -> bool {
    matches!(data, Value::Object(roots) if roots.get(&Value::from(CLUSTER)).is_some())
}

fn misnamed(shape: &Shape, path: &str, steps: &[Step]) -> Option<String> {
    let (Step::Name(name), rest) = steps.split_first()? else { return None };
    match shape.0.iter().find(|(known, _)| known == name) {
        Some((_, Some(below))) => misnamed(below, &format!("{path}.{name}"), rest),
        Some((_, None)) => None,
        None => {
            let known: Vec<&str> = shape.0.iter().map(|(known, _)| *known).collect();
            Some(format!(
                "`{path}.{name}` is always undefined; below `{path}` there is: {}",
                known.join(", ")
            ))
        }
    }
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
    for unit in units.iter_mut() {
        let is_policy = policies.contains(&unit.analysis.package);
        let found = unit.analysis.rules.iter().filter_map(|rule| {
            let mistaken = MISTAKEN.iter().find(|(name, _)| *name == rule.name).filter(|_| is_policy);
            let message = if RULES.contains(&rule.name.as_str()) {
                if !is_policy && unit.unreadable {
                    // What is wrong is its METADATA, which has been said.
                    return None;
                } else if !is_policy {
                    format!("rule `{}` in a package without METADATA is never asked; add a `# METADATA` block with `custom.id` before `package`", rule.name)
                } else if rule.form == Form::Set {
                    return None;
                } else {
                    format!("`{}` must be a set; write `{} contains finding if …`", rule.name, rule.name)
                }
            } else {
                let (name, meant) = mistaken?;
                format!("rule `{name}` is never asked; the rules of a policy are {}: did you mean `{meant}`?", RULES.join(", "))
            };
            Some(Problem::at(&unit.module.path, rule.place.0, rule.place.1, message).settled(&unit.module.text))
        });
        let found: Vec<Problem> = found.collect();
        unit.problems.0.extend(found);
    }
}

/// References to packages or rules that no module of the bundle defines: undefined for ever, so a rule would never fire.
pub(super) fn data(units: &mut [Unit<'_>]) {
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
    for unit in units.iter_mut() {
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
