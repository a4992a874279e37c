//! Refuses rules that conflict with each other or refer to themselves, and functions that are used as values.

use std::collections::{BTreeMap, BTreeSet};

use crate::set::RULES;
use crate::set::compile::Unit;
use portcullis_rego::Problem;
use portcullis_rego::analysis::{Analysis, Form, Rule, Use};

/// Conflicting definitions of one name: a set and a value, two defaults, a rule inside another's value or a package. The
/// engine would use one of them and silently ignore the other.
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
            found.push((unit, rule.location, message));
        }
        if let Some(package) = packages.iter().find(|package| package.starts_with(path)) {
            let message =
                format!("rule `{}` has the path of package `{}`", path.join("."), package.join("."));
            found.push((unit, rule.location, message));
        }
    }
    for (at, place, message) in found {
        if let Some(unit) = units.get_mut(at) {
            let problem = Problem::at(&unit.module.path, place.0, place.1, message);
            unit.problems.0.push(problem.with_source_column(&unit.module.text));
        }
    }
}

/// Index of the unit, line and column, message.
type UnitProblem = (usize, (u32, u32), String);

/// A rule with a variable in its name: without any key it is undefined in regorus and an empty object in OPA. An object of
/// keys and values is empty in both.
fn empty_when_undefined(unit: usize, rule: &Rule) -> Option<UnitProblem> {
    let object = rule.form == Form::Value && rule.path.len() == rule.steps;
    let message = format!(
        "`{}` has a variable in its name; give it a plain name and write an object, `{} := {{key: {{value | …}} | …}}`, or a set of lists",
        rule.path.join("."),
        rule.name
    );
    let evaluated = RULES.contains(&rule.name.as_str());
    (rule.open && !object && !evaluated).then_some((unit, rule.location, message))
}

/// A rule with a dotted name next to a package of its first name: no engine merges the two.
fn beside_packages<'u>(
    unit: usize,
    analysis: &Analysis,
    rule: &Rule,
    packages: &BTreeSet<&'u Vec<String>>,
) -> impl Iterator<Item = UnitProblem> + use<'u> {
    let mut root = analysis.package.clone();
    root.push(rule.name.clone());
    let dotted = rule.path.len() > 1 || rule.open;
    let below = dotted.then(|| packages.iter().find(|package| package.starts_with(&root))).flatten();
    below
        .map(|package| {
            let message = format!(
                "`{}` has the path of the package `{}`; give one of them another name",
                rule.path.join("."),
                package.join(".")
            );
            (unit, rule.location, message)
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
            form_name(other.form),
            form_name(first.form)
        );
        return Some((*unit, other.location, message));
    }
    if let Some((unit, other)) = rules.iter().find(|(_, rule)| rule.arity != first.arity) {
        let message = format!("`{name}` takes {} here and {} elsewhere", other.arity, first.arity);
        return Some((*unit, other.location, message));
    }
    let (unit, second) = rules.iter().filter(|(_, rule)| rule.default).nth(1)?;
    Some((*unit, second.location, format!("`{name}` has two defaults")))
}

const fn form_name(form: Form) -> &'static str {
    match form {
        Form::Set => "a set",
        Form::Value => "a value",
        Form::Function => "a function",
    }
}

/// Imports that hide `input`, `data`, a rule or another import.
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
                rule.location,
                format!("rule `{alias}` has the name of the import `{whole}`; give one of them another"),
            ));
        }
    }
    found
}

/// Functions that are used as a value, without a call.
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
                    Problem::at(&unit.module.path, one.location.0, one.location.1, message)
                        .with_source_column(&unit.module.text),
                )
            })
            .collect();
        unit.problems.0.extend(found);
    }
}

/// A rule by its path below `data`.
type Path<'a> = Vec<&'a str>;

struct RuleNode<'a> {
    unit: usize,
    place: (u32, u32),
    uses: Vec<&'a Use>,
}

/// Rules that refer to themselves, directly or through others: the engine would follow them until its stack overflows and
/// the process ends. A reference with a variable counts as a reference to every rule that it may name.
pub(in crate::set) fn cycles(units: &mut [Unit<'_>]) {
    let mut nodes: BTreeMap<Path<'_>, RuleNode<'_>> = BTreeMap::new();
    for (unit, analysis) in units.iter().map(|unit| &unit.analysis).enumerate() {
        for rule in &analysis.rules {
            let path = analysis.package.iter().chain(&rule.path).map(String::as_str).collect();
            let node = nodes.entry(path).or_insert(RuleNode { unit, place: rule.location, uses: Vec::new() });
            node.uses.extend(&rule.uses);
        }
    }
    let mut search =
        CycleSearch { nodes: &nodes, done: BTreeSet::new(), path_stack: Vec::new(), found: Vec::new() };
    nodes.keys().for_each(|path| search.visit(path));
    let found: Vec<(usize, (u32, u32), String)> = search.found;
    for (at, place, message) in found {
        if let Some(unit) = units.get_mut(at) {
            let problem = Problem::at(&unit.module.path, place.0, place.1, message);
            unit.problems.0.push(problem.with_source_column(&unit.module.text));
        }
    }
}

struct CycleSearch<'n, 'a> {
    nodes: &'n BTreeMap<Path<'a>, RuleNode<'a>>,
    done: BTreeSet<&'n Path<'a>>,
    path_stack: Vec<&'n Path<'a>>,
    found: Vec<(usize, (u32, u32), String)>,
}

/// Rules in a chain of references; a longer chain could overflow the engine's stack too.
const DEPTH_MAX: usize = 200;

impl<'n, 'a> CycleSearch<'n, 'a> {
    fn visit(&mut self, path: &'n Path<'a>) {
        if self.done.contains(path) {
            return;
        }
        if let Some(at) = self.path_stack.iter().position(|before| *before == path) {
            let cycle = self.path_stack.get(at..).unwrap_or_default().iter().chain([&path]);
            let cycle: Vec<String> = cycle.map(|path| format!("`{}`", path.join("."))).collect();
            return self.report(
                path,
                format!(
                    "this rule refers to itself: {}; a rule may not, not even through others",
                    cycle.join(" → ")
                ),
            );
        }
        if self.path_stack.len() >= DEPTH_MAX {
            return self.report(path, format!("more than {DEPTH_MAX} rules refer to each other in a chain"));
        }
        self.path_stack.push(path);
        let uses = self.nodes.get(path).map(|node| node.uses.clone()).unwrap_or_default();
        let mut seen = BTreeSet::new();
        for one in uses.into_iter().filter(|one| seen.insert(&one.path)) {
            self.referenced(one).into_iter().for_each(|next| self.visit(next));
        }
        self.path_stack.pop();
        self.done.insert(path);
    }

    /// The rules at, above and below a path.
    fn referenced(&self, one: &'a Use) -> Vec<&'n Path<'a>> {
        let path: Vec<&str> = one.path.iter().map(String::as_str).collect();
        let above = (1..path.len()).filter_map(|end| {
            let (path, _) = self.nodes.get_key_value(path.get(..end)?)?;
            Some(path)
        });
        let from = self.nodes.range(path.clone()..).map(|(path, _)| path);
        above.chain(from.take_while(|below| below.starts_with(&path))).collect()
    }

    fn report(&mut self, path: &Path<'a>, message: String) {
        if let Some(node) = self.nodes.get(path) {
            self.found.push((node.unit, node.place, message));
        }
    }
}
