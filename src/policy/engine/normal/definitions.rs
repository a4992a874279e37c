//! Several definitions of a rule as one, on the register machine: of those that hold at once with different values, and
//! of the default of a function, it makes undefined, and of an object of keys it keeps the last value (regorus 0.14.1,
//! `rvm/vm/rules.rs`). The interpreter has it right.

use std::collections::BTreeMap;

use super::read::Default;
use super::tree::{Branch, Comprehension, Expr, Kind, Line, LineKind, Name, Place, Rule, Step};
use super::values::{call, is_constant};
use super::{root, same};

/// What the register machine would not answer as the language says, and where.
pub(super) struct Unanswered {
    pub(super) place: Place,
    pub(super) message: &'static str,
}

/// Joins what must be joined; of what cannot be, the first is told.
pub(super) fn join(rules: &mut Vec<Rule>, defaults: &mut Vec<Default>) -> Option<Unanswered> {
    let mut groups: BTreeMap<String, Vec<Rule>> = BTreeMap::new();
    let mut names = Vec::new();
    for rule in std::mem::take(rules) {
        let name = root(&rule.name).unwrap_or_default().to_owned();
        if !groups.contains_key(&name) {
            names.push(name.clone());
        }
        groups.entry(name).or_default().push(rule);
    }
    let mut unanswered = None;
    for name in names {
        let group = groups.remove(&name).unwrap_or_default();
        let at = defaults
            .iter()
            .position(|default| root(&default.name) == Some(&name) && !default.args.is_empty());
        match wanted(&group, at.is_some()) {
            Form::Plain => rules.extend(group),
            Form::Joined => {
                let default = at.map(|at| defaults.remove(at).value);
                rules.push(joined(group, default));
            }
            Form::Keyed => rules.push(keyed(group)),
            Form::Unknown(message) => {
                let place = group.first().map_or((0, 0), |rule| rule.place);
                unanswered.get_or_insert(Unanswered { place, message });
                rules.extend(group);
            }
        }
    }
    unanswered
}

enum Form {
    /// As it is.
    Plain,
    /// One definition that gathers the values of all.
    Joined,
    /// One object of the keys and values of all.
    Keyed,
    /// The interpreter's.
    Unknown(&'static str),
}

fn wanted(group: &[Rule], default: bool) -> Form {
    if group.iter().any(|rule| rule.key.is_some()) {
        return Form::Plain;
    }
    let alone = group.iter().all(|rule| rule.branches.len() == 1);
    let steps = |rule: &Rule| match &rule.name.kind {
        Kind::Reference(_, steps) => Some(steps.iter().map(|step| matches!(step, Step::Index(_))).collect()),
        _ => None,
    };
    let steps: Vec<Option<Vec<bool>>> = group.iter().map(steps).collect();
    if steps.iter().any(Option::is_some) {
        let keyed = steps.iter().all(|steps| steps.as_deref() == Some(&[true]));
        return if keyed && alone {
            Form::Keyed
        } else {
            Form::Unknown("a rule with a dotted name, or with several keys; give it a plain one")
        };
    }
    let values: Vec<String> = group.iter().map(constant).collect();
    let same = values.iter().all(|value| !value.is_empty() && Some(value) == values.first());
    if !default && (group.len() < 2 || same || exclusive(group)) {
        return Form::Plain;
    }
    let plain = |arg: &Expr| arg.as_local().is_some() || matches!(arg.kind, Kind::Scalar(_));
    if alone && group.iter().flat_map(|rule| rule.args.iter().flatten()).all(plain) {
        return Form::Joined;
    }
    Form::Unknown(
        "several definitions that could hold at once with different values; join them by `else`, or tell them apart by a constant argument",
    )
}

/// The constant that a definition assigns; empty where it is no constant.
fn constant(rule: &Rule) -> String {
    match rule.branches.as_slice() {
        [Branch { value: None, .. }] => "true".to_owned(),
        [Branch { value: Some(Expr { kind: Kind::Scalar(text), .. }), .. }] => text.clone(),
        _ => String::new(),
    }
}

/// Whether an argument is another constant in each definition.
fn exclusive(group: &[Rule]) -> bool {
    let count = group.iter().map(|rule| rule.args.iter().flatten().count()).min().unwrap_or(0);
    (0..count).any(|at| {
        let constants: std::collections::BTreeSet<&String> = group
            .iter()
            .filter_map(|rule| match &rule.args.as_ref()?.get(at)?.kind {
                Kind::Scalar(text) if text.starts_with('"') => Some(text),
                _ => None,
            })
            .collect();
        constants.len() == group.len()
    })
}

/// Puts the variables of a rule behind those that are there.
fn moved(mut rule: Rule, locals: &mut Vec<String>) -> Rule {
    let offset = locals.len();
    same::replace(&mut rule, &|local| local + offset);
    locals.append(&mut rule.locals);
    rule
}

fn joined(group: Vec<Rule>, default: Option<Expr>) -> Rule {
    let mut locals = Vec::new();
    let arity = group.iter().find_map(|rule| rule.args.as_ref().map(Vec::len));
    let place = group.first().map_or((0, 0), |rule| rule.place);
    let name = group.first().map_or_else(|| scalar(place, "null"), |rule| rule.name.clone());
    let args: Option<Vec<Expr>> = arity.map(|arity| (0..arity).map(|_| fresh(place, &mut locals)).collect());
    let mut sets = Vec::new();
    for rule in group {
        let rule = moved(rule, &mut locals);
        let mut body = Vec::new();
        for (given, arg) in args.iter().flatten().zip(rule.args.iter().flatten()) {
            body.push(line(rule.place, bind(given, arg)));
        }
        for branch in rule.branches {
            let value = branch.value.unwrap_or_else(|| scalar(rule.place, "true"));
            body.extend(branch.body);
            sets.push(set(rule.place, value, std::mem::take(&mut body), &mut locals));
        }
    }
    let mut lines = Vec::new();
    let all = union(place, sets, &mut lines, &mut locals);
    let empty = Expr { place, kind: Kind::Set(Vec::new()) };
    lines.push(line(
        place,
        LineKind::Term(Expr { place, kind: Kind::Infix("!=", Box::new((all.clone(), empty))) }),
    ));
    let one = fresh(place, &mut locals);
    lines.push(line(place, LineKind::Assign(one.clone(), call(place, "one", all))));
    let mut branches = vec![Branch { value: Some(one), body: lines }];
    branches.extend(default.map(|value| Branch { value: Some(value), body: Vec::new() }));
    Rule { place, name, args, key: None, branches, locals }
}

fn keyed(group: Vec<Rule>) -> Rule {
    let mut locals = Vec::new();
    let place = group.first().map_or((0, 0), |rule| rule.place);
    let mut name = scalar(place, "null");
    let mut sets = Vec::new();
    for rule in group {
        let rule = moved(rule, &mut locals);
        let Kind::Reference(head, steps) = rule.name.kind else { continue };
        name = *head;
        let key = steps.into_iter().find_map(|step| match step {
            Step::Index(index) => Some(index),
            Step::Field(_) => None,
        });
        for branch in rule.branches {
            let value = branch.value.unwrap_or_else(|| scalar(rule.place, "true"));
            let pair =
                Expr { place: rule.place, kind: Kind::Array(key.iter().cloned().chain([value]).collect()) };
            sets.push(set(rule.place, pair, branch.body, &mut locals));
        }
    }
    let mut lines = Vec::new();
    let all = union(place, sets, &mut lines, &mut locals);
    let object = fresh(place, &mut locals);
    lines.push(line(place, LineKind::Assign(object.clone(), call(place, "object", all))));
    let branches = vec![Branch { value: Some(object), body: lines }];
    Rule { place, name, args: None, key: None, branches, locals }
}

fn scalar(place: Place, text: &str) -> Expr {
    Expr { place, kind: Kind::Scalar(text.to_owned()) }
}

fn fresh(place: Place, locals: &mut Vec<String>) -> Expr {
    locals.push(String::new());
    Expr::local(place, locals.len() - 1)
}

fn line(place: Place, kind: LineKind) -> Line {
    Line { place, text: false, with: Vec::new(), kind }
}

/// An argument of the joined rule as what one definition calls it.
fn bind(given: &Expr, arg: &Expr) -> LineKind {
    match &arg.kind {
        // As an element, since the engine does not look through another name.
        Kind::Name(Name::Local(_)) => {
            let one = Expr { place: arg.place, kind: Kind::Array(vec![given.clone()]) };
            let first = vec![Step::Index(scalar(arg.place, "0"))];
            LineKind::Assign(
                arg.clone(),
                Expr { place: arg.place, kind: Kind::Reference(Box::new(one), first) },
            )
        }
        _ => LineKind::Equal(given.clone(), arg.clone()),
    }
}

/// `{value | body}`; a body that begins with a condition has a loop of its own around it.
fn set(place: Place, value: Expr, mut body: Vec<Line>, locals: &mut Vec<String>) -> Expr {
    if is_constant(&value) && body.is_empty() {
        return Expr { place, kind: Kind::Set(vec![value]) };
    }
    if !matches!(body.first(), Some(Line { kind: LineKind::SomeIn(..), .. })) {
        let list = Expr { place, kind: Kind::Array(vec![scalar(place, "0")]) };
        let any = fresh(place, locals);
        body.insert(0, line(place, LineKind::SomeIn(None, any, list)));
    }
    let set = Comprehension { array: false, key: None, value, body };
    Expr { place, kind: Kind::Comprehension(Box::new(set)) }
}

fn union(place: Place, sets: Vec<Expr>, lines: &mut Vec<Line>, locals: &mut Vec<String>) -> Expr {
    let mut parts = Vec::new();
    for set in sets {
        let part = fresh(place, locals);
        lines.push(line(place, LineKind::Assign(part.clone(), set)));
        parts.push(part);
    }
    let all = Expr { place, kind: Kind::Set(parts) };
    let union = Expr { place, kind: Kind::Call(vec!["union".to_owned()], vec![all]) };
    let whole = fresh(place, locals);
    lines.push(line(place, LineKind::Assign(whole.clone(), union)));
    whole
}
