//! Rules that stand in each other's way, and functions that are taken for values.

use std::collections::{BTreeMap, BTreeSet};

use crate::set::RULES;
use crate::set::compile::Unit;
use portcullis_rego::analysis::{Analysis, Form, Rule};
use portcullis_rego::problem::Problem;

/// Definitions of one name that cannot stand together: a set and a value, two defaults, a rule inside another's value
/// or across a package. The engine would keep one of them and be silent about the other.
pub(in crate::set) fn conflicts(units: &mut [Unit<'_>]) {
    let mut found: Vec<(usize, (u32, u32), String)> = Vec::new();
    let mut defined: BTreeMap<Vec<String>, Vec<(usize, &Rule)>> = BTreeMap::new();
    for (unit, analysis) in units.iter().map(|unit| &unit.analysis).enumerate() {
        for rule in &analysis.rules {
            defined.entry(full(&analysis.package, rule)).or_default().push((unit, rule));
        }
        found.extend(imports(unit, &analysis.imports, &analysis.rules));
    }
    let packages: BTreeSet<&Vec<String>> = units.iter().map(|unit| &unit.analysis.package).collect();
    for (unit, analysis) in units.iter().map(|unit| &unit.analysis).enumerate() {
        for rule in &analysis.rules {
            found.extend(empty_when_undefined(unit, rule));
            found.extend(beside_packages(unit, analysis, rule, &packages));
        }
    }
    for (path, rules) in &defined {
        found.extend(of_one_name(rules));
        let Some((unit, rule)) = rules.iter().find(|(_, rule)| !rule.open).copied() else { continue };
        let below = defined
            .range(path.clone()..)
            .skip(1)
            .map(|(below, _)| below)
            .take_while(|below| below.starts_with(path));
        if let Some(below) = below.into_iter().next() {
            let message = format!(
                "`{}` has a value, and `{}` is inside it; give one of them another name",
                path.join("."),
                below.join(".")
            );
            found.push((unit, rule.place, message));
        }
        if let Some(package) = packages.iter().find(|package| package.starts_with(path)) {
            let message =
                format!("rule `{}` stands in the place of package `{}`", path.join("."), package.join("."));
            found.push((unit, rule.place, message));
        }
    }
    for (at, place, message) in found {
        if let Some(unit) = units.get_mut(at) {
            let problem = Problem::at(&unit.module.path, place.0, place.1, message);
            unit.problems.0.push(problem.settled(&unit.module.text));
        }
    }
}

type Found = (usize, (u32, u32), String);

/// A rule with a variable in its name that both engines leave undefined where it has no key, and OPA an empty object; one
/// object of keys and values is empty in both.
fn empty_when_undefined(unit: usize, rule: &Rule) -> Option<Found> {
    let object = rule.form == Form::Value && rule.path.len() == rule.steps;
    let message = format!(
        "`{}` has a variable in its name; give it a plain name and write an object, `{} := {{key: {{value | …}} | …}}`, or a set of lists",
        rule.path.join("."),
        rule.name
    );
    let asked = RULES.contains(&rule.name.as_str());
    (rule.open && !object && !asked).then_some((unit, rule.place, message))
}

/// A rule with a dotted name beside a package of its first name: neither engine puts the two together.
fn beside_packages<'u>(
    unit: usize,
    analysis: &Analysis,
    rule: &Rule,
    packages: &BTreeSet<&'u Vec<String>>,
) -> impl Iterator<Item = Found> + use<'u> {
    let mut root = analysis.package.clone();
    root.push(rule.name.clone());
    let dotted = rule.path.len() > 1 || rule.open;
    let below = dotted.then(|| packages.iter().find(|package| package.starts_with(&root))).flatten();
    below
        .map(|package| {
            let message = format!(
                "`{}` stands in the place of the package `{}`; give one of them another name",
                rule.path.join("."),
                package.join(".")
            );
            (unit, rule.place, message)
        })
        .into_iter()
}

fn full(package: &[String], rule: &Rule) -> Vec<String> {
    package.iter().chain(&rule.path).cloned().collect()
}

fn of_one_name(rules: &[(usize, &Rule)]) -> Option<(usize, (u32, u32), String)> {
    let (_, first) = rules.first()?;
    let name = first.path.join(".");
    if let Some((unit, other)) = rules.iter().find(|(_, rule)| rule.form != first.form) {
        let message = format!(
            "`{name}` is {} here and {} elsewhere; give one of them another name",
            said(other.form),
            said(first.form)
        );
        return Some((*unit, other.place, message));
    }
    if let Some((unit, other)) = rules.iter().find(|(_, rule)| rule.arity != first.arity) {
        let message = format!("`{name}` takes {} here and {} elsewhere", other.arity, first.arity);
        return Some((*unit, other.place, message));
    }
    let (unit, second) = rules.iter().filter(|(_, rule)| rule.default).nth(1)?;
    Some((*unit, second.place, format!("`{name}` has two defaults")))
}

const fn said(form: Form) -> &'static str {
    match form {
        Form::Set => "a set",
        Form::Value => "a value",
        Form::Function => "a function",
    }
}

/// Imports that hide what everybody takes the name for.
fn imports(
    unit: usize,
    imports: &[(String, Vec<String>)],
    rules: &[Rule],
) -> Vec<(usize, (u32, u32), String)> {
    let mut seen = BTreeSet::new();
    let mut found = Vec::new();
    for (alias, path) in
        imports.iter().filter(|(_, path)| path.first().is_some_and(|root| root == "data" || root == "input"))
    {
        let whole = path.join(".");
        if path.len() > 1 && matches!(alias.as_str(), "input" | "data") {
            found.push((
                unit,
                (0, 0),
                format!("import `{whole} as {alias}` hides `{alias}`; give it another name"),
            ));
        }
        if !seen.insert(alias) {
            found.push((
                unit,
                (0, 0),
                format!("import `{whole}`: the name `{alias}` is taken by another import; add `as …`"),
            ));
        }
        if let Some(rule) = rules.iter().find(|rule| rule.name == *alias) {
            found.push((
                unit,
                rule.place,
                format!("rule `{alias}` has the name of the import `{whole}`; give one of them another"),
            ));
        }
    }
    found
}

/// Functions that stand where a value should: nobody calls them, so there is none.
pub(in crate::set) fn values(units: &mut [Unit<'_>], functions: &dyn Fn(&[String]) -> Option<usize>) {
    for unit in units.iter_mut() {
        let uses = unit.analysis.rules.iter().flat_map(|rule| &rule.uses).filter(|one| !one.called);
        let found: Vec<Problem> = uses
            .filter_map(|one| {
                functions(&one.path)?;
                let message = format!(
                    "`{}` is a function and has no value; call it: `{}(…)`",
                    one.path.join("."),
                    one.path.last()?
                );
                Some(
                    Problem::at(&unit.module.path, one.place.0, one.place.1, message)
                        .settled(&unit.module.text),
                )
            })
            .collect();
        unit.problems.0.extend(found);
    }
}
