//! Joins several definitions of a rule into one, where an engine evaluates them differently from OPA (regorus 0.14.1,
//! `rvm/vm/rules.rs`). The register machine makes undefined what conflicts, and the default of a function; the interpreter
//! is right. Of an object with keys, the machine keeps the last value, and neither engine knows it unless a rule holds.

use std::collections::BTreeMap;

use super::read::DefaultRule;
use super::tree::{
    Branch, Comprehension, Expr, ExprKind, Line, LineKind, Location, Name, Rule, Step, Target, name_of,
    rename_locals, root,
};
use super::values::is_constant;

/// What the register machine would evaluate differently from OPA, and where.
pub(super) struct Unsupported {
    pub(super) location: Location,
    pub(super) message: &'static str,
}

/// Joins the definitions that need it. Returns the first that cannot be joined.
pub(super) fn join(
    rules: &mut Vec<Rule>,
    defaults: &mut Vec<DefaultRule>,
    target: Target,
    itself: &dyn Fn(&str) -> bool,
) -> Option<Unsupported> {
    let mut groups: BTreeMap<String, Vec<Rule>> = BTreeMap::new();
    let mut names = Vec::new();
    for rule in std::mem::take(rules) {
        let name = root(&rule.name).unwrap_or_default().to_owned();
        if !groups.contains_key(&name) {
            names.push(name.clone());
        }
        groups.entry(name).or_default().push(rule);
    }
    let dotted = defaults.iter().find(|default| matches!(default.name.kind, ExprKind::Reference(..)));
    let mut unsupported = dotted.filter(|_| target == Target::Machine).map(|default| Unsupported {
        location: default.location,
        message: "a default of a dotted name; give it a plain one",
    });
    for name in names {
        let mut group = groups.remove(&name).unwrap_or_default();
        if target == Target::Machine {
            group = without_dotted_sets(group);
        }
        let at = defaults
            .iter()
            .position(|default| root(&default.name) == Some(&name) && !default.args.is_empty());
        match join_mode(&group, at.is_some(), target, itself(&name)) {
            JoinMode::Plain => rules.extend(group),
            JoinMode::Joined => {
                let default = at.map(|at| defaults.remove(at).value);
                rules.push(joined(group, default));
            }
            JoinMode::Keyed => rules.push(keyed(group)),
            JoinMode::Unsupported(message) => {
                let location = group.first().map_or((0, 0), |rule| rule.location);
                unsupported.get_or_insert(Unsupported { location, message });
                rules.extend(group);
            }
        }
    }
    unsupported
}

enum JoinMode {
    Plain,
    /// One definition that collects the values of all.
    Joined,
    /// One object with the keys and values of all.
    Keyed,
    /// Only the interpreter evaluates it correctly.
    Unsupported(&'static str),
}

fn join_mode(group: &[Rule], default: bool, target: Target, itself: bool) -> JoinMode {
    let dotted = |rule: &Rule| matches!(rule.name.kind, ExprKind::Reference(..));
    if group.iter().any(|rule| rule.key.is_some()) {
        return if group.iter().any(dotted) {
            JoinMode::Unsupported("a set with a variable in its name; write one set of pairs")
        } else {
            JoinMode::Plain
        };
    }
    let steps: Vec<usize> = group
        .iter()
        .map(|rule| match &rule.name.kind {
            ExprKind::Reference(_, steps) => steps.len(),
            _ => 0,
        })
        .collect();
    if steps.iter().any(|steps| *steps > 0) {
        let keyed = steps.iter().all(|steps| *steps == 1) && group.iter().all(|rule| rule.args.is_none());
        let alone = group.iter().all(|rule| rule.branches.len() == 1);
        // One constant key may depend on another; as one object, the rule would depend on itself.
        return if keyed && alone && !itself {
            JoinMode::Keyed
        } else {
            JoinMode::Unsupported("a rule with several keys, or with `else` after one; give it a plain name")
        };
    }
    let values: Vec<String> = group.iter().map(constant).collect();
    let same = values.iter().all(|value| !value.is_empty() && Some(value) == values.first());
    if target != Target::Machine || (!default && (group.len() < 2 || same || exclusive(group))) {
        return JoinMode::Plain;
    }
    JoinMode::Joined
}

/// Turns sets with dotted names into one rule each with the whole set as value, unless the name has a variable.
fn without_dotted_sets(group: Vec<Rule>) -> Vec<Rule> {
    let mut sets: BTreeMap<Vec<String>, Vec<Rule>> = BTreeMap::new();
    let mut rest = Vec::new();
    for rule in group {
        match steps_of(&rule).filter(|_| rule.key.is_some()) {
            Some(path) => sets.entry(path).or_default().push(rule),
            None => rest.push(rule),
        }
    }
    rest.extend(sets.into_values().map(gathered));
    rest
}

/// The names after the first of a dotted name.
fn steps_of(rule: &Rule) -> Option<Vec<String>> {
    match &rule.name.kind {
        ExprKind::Reference(_, steps) => steps.iter().map(name_of).collect(),
        _ => None,
    }
}

/// The constant that a definition assigns; empty if it is not constant.
fn constant(rule: &Rule) -> String {
    match rule.branches.as_slice() {
        [Branch { value: None, .. }] => "true".to_owned(),
        [Branch { value: Some(Expr { kind: ExprKind::Scalar(text), .. }), .. }] => text.clone(),
        _ => String::new(),
    }
}

/// Whether one argument is a different constant in each definition.
fn exclusive(group: &[Rule]) -> bool {
    let count = group.iter().map(|rule| rule.args.iter().flatten().count()).min().unwrap_or(0);
    (0..count).any(|at| {
        let constants: std::collections::BTreeSet<&String> = group
            .iter()
            .filter_map(|rule| match &rule.args.as_ref()?.get(at)?.kind {
                ExprKind::Scalar(text) if text.starts_with('"') => Some(text),
                _ => None,
            })
            .collect();
        constants.len() == group.len()
    })
}

/// Moves the variables of a rule after those in `locals`.
fn moved(mut rule: Rule, locals: &mut Vec<String>) -> Rule {
    let offset = locals.len();
    rename_locals(&mut rule, &|local| local + offset);
    locals.append(&mut rule.locals);
    rule
}

fn joined(group: Vec<Rule>, default: Option<Expr>) -> Rule {
    let mut locals = Vec::new();
    let arity = group.iter().find_map(|rule| rule.args.as_ref().map(Vec::len));
    let location = group.first().map_or((0, 0), |rule| rule.location);
    let name = group.first().map_or_else(|| scalar(location, "null"), |rule| rule.name.clone());
    let args: Option<Vec<Expr>> =
        arity.map(|arity| (0..arity).map(|_| fresh(location, &mut locals)).collect());
    let (mut sets, mut lines) = (Vec::new(), Vec::new());
    for rule in group {
        let rule = moved(rule, &mut locals);
        let mut bound = Vec::new();
        for (given, arg) in args.iter().flatten().zip(rule.args.iter().flatten()) {
            bind(given, arg, &mut bound);
        }
        let mut before: Vec<Expr> = Vec::new();
        for branch in rule.branches {
            let value = branch.value.unwrap_or_else(|| scalar(rule.location, "true"));
            // `else` applies if no earlier branch gives a value.
            let none = |set: &Expr| line(rule.location, LineKind::Equal(set.clone(), empty(rule.location)));
            let body = before.iter().map(none).chain(bound.iter().cloned()).chain(branch.body).collect();
            let set = set(rule.location, value, body, &mut locals);
            let part = named(set, &mut lines, &mut locals);
            before.push(part.clone());
            sets.push(part);
        }
    }
    let all = union(location, sets, &mut lines, &mut locals);
    let some = ExprKind::Infix("!=", Box::new((all.clone(), empty(location))));
    lines.push(line(location, LineKind::Term(Expr { location, kind: some })));
    let one = fresh(location, &mut locals);
    lines.push(line(location, LineKind::Assign(one.clone(), Expr::operators(location, "one", [all]))));
    let mut branches = vec![Branch { value: Some(one), body: lines }];
    branches.extend(default.map(|value| Branch { value: Some(value), body: Vec::new() }));
    Rule { location, name, args, key: None, branches, locals }
}

fn gathered(group: Vec<Rule>) -> Rule {
    let mut locals = Vec::new();
    let location = group.first().map_or((0, 0), |rule| rule.location);
    let name = group.first().map_or_else(|| scalar(location, "null"), |rule| rule.name.clone());
    let (mut sets, mut lines) = (Vec::new(), Vec::new());
    for rule in group {
        let rule = moved(rule, &mut locals);
        let Some(value) = rule.key else { continue };
        for branch in rule.branches {
            let set = set(rule.location, value.clone(), branch.body, &mut locals);
            sets.push(named(set, &mut lines, &mut locals));
        }
    }
    let all = union(location, sets, &mut lines, &mut locals);
    let branches = vec![Branch { value: Some(all), body: lines }];
    Rule { location, name, args: None, key: None, branches, locals }
}

fn keyed(group: Vec<Rule>) -> Rule {
    let mut locals = Vec::new();
    let location = group.first().map_or((0, 0), |rule| rule.location);
    let mut name = scalar(location, "null");
    let (mut sets, mut lines) = (Vec::new(), Vec::new());
    for rule in group {
        let rule = moved(rule, &mut locals);
        let ExprKind::Reference(head, steps) = rule.name.kind else { continue };
        name = *head;
        let key = steps.into_iter().next().map(|step| match step {
            Step::Index(index) => index,
            Step::Field(name) => scalar(rule.location, &serde_json::Value::from(name).to_string()),
        });
        for branch in rule.branches {
            let value = branch.value.unwrap_or_else(|| scalar(rule.location, "true"));
            let pair = Expr {
                location: rule.location,
                kind: ExprKind::Array(key.iter().cloned().chain([value]).collect()),
            };
            let set = set(rule.location, pair, branch.body, &mut locals);
            sets.push(named(set, &mut lines, &mut locals));
        }
    }
    let all = union(location, sets, &mut lines, &mut locals);
    let object = fresh(location, &mut locals);
    lines.push(line(location, LineKind::Assign(object.clone(), Expr::operators(location, "object", [all]))));
    let branches = vec![Branch { value: Some(object), body: lines }];
    Rule { location, name, args: None, key: None, branches, locals }
}

fn scalar(location: Location, text: &str) -> Expr {
    Expr { location, kind: ExprKind::Scalar(text.to_owned()) }
}

fn fresh(location: Location, locals: &mut Vec<String>) -> Expr {
    locals.push(String::new());
    Expr::local(location, locals.len() - 1)
}

fn line(location: Location, kind: LineKind) -> Line {
    Line { location, is_message: false, with: Vec::new(), kind }
}

fn empty(location: Location) -> Expr {
    Expr { location, kind: ExprKind::Set(Vec::new()) }
}

fn at(whole: &Expr, index: Expr) -> Expr {
    Expr {
        location: whole.location,
        kind: ExprKind::Reference(Box::new(whole.clone()), vec![Step::Index(index)]),
    }
}

/// Binds the parameter of one definition to the argument of the joined rule.
fn bind(given: &Expr, arg: &Expr, lines: &mut Vec<Line>) {
    let location = arg.location;
    let mut holds = |kind: &str, count: usize| {
        let call =
            |name: &str| Expr { location, kind: ExprKind::Call(vec![name.to_owned()], vec![given.clone()]) };
        lines.push(line(location, LineKind::Term(call(kind))));
        lines.push(line(location, LineKind::Equal(call("count"), scalar(location, &count.to_string()))));
    };
    match &arg.kind {
        // As an element of an array, because the engine does not follow aliases.
        ExprKind::Name(Name::Local(_)) => {
            let one = Expr { location, kind: ExprKind::Array(vec![given.clone()]) };
            lines.push(line(location, LineKind::Assign(arg.clone(), at(&one, scalar(location, "0")))));
        }
        ExprKind::Array(items) => {
            holds("is_array", items.len());
            for (index, item) in items.iter().enumerate() {
                bind(&at(given, scalar(location, &index.to_string())), item, lines);
            }
        }
        ExprKind::Object(fields) => {
            holds("is_object", fields.len());
            for (key, value) in fields {
                bind(&at(given, key.clone()), value, lines);
            }
        }
        _ => lines.push(line(location, LineKind::Equal(given.clone(), arg.clone()))),
    }
}

/// Assigns a value to a new variable.
fn named(value: Expr, lines: &mut Vec<Line>, locals: &mut Vec<String>) -> Expr {
    let location = value.location;
    let name = fresh(location, locals);
    lines.push(line(location, LineKind::Assign(name.clone(), value)));
    name
}

/// `{value | body}`; a body that begins with a condition gets a loop of its own.
fn set(location: Location, value: Expr, mut body: Vec<Line>, locals: &mut Vec<String>) -> Expr {
    if is_constant(&value) && body.is_empty() {
        return Expr { location, kind: ExprKind::Set(vec![value]) };
    }
    if !matches!(body.first(), Some(Line { kind: LineKind::SomeIn(..), .. })) {
        locals.push(String::new());
        body.insert(0, Line::once(location, locals.len() - 1));
    }
    let set = Comprehension { array: false, key: None, value, body };
    Expr { location, kind: ExprKind::Comprehension(Box::new(set)) }
}

fn union(location: Location, sets: Vec<Expr>, lines: &mut Vec<Line>, locals: &mut Vec<String>) -> Expr {
    let all = Expr { location, kind: ExprKind::Set(sets) };
    named(Expr { location, kind: ExprKind::Call(vec!["union".to_owned()], vec![all]) }, lines, locals)
}
