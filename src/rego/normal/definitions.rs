//! Several definitions of a rule as one. Of those that hold at once with different values, and of the default of a
//! function, the register machine makes undefined (regorus 0.14.1, `rvm/vm/rules.rs`); the interpreter has it right. Of
//! an object of keys the machine keeps the last value, and either knows it only where one of its rules holds.

use std::collections::BTreeMap;

use super::read::Default;
use super::tree::{Branch, Comprehension, Expr, Kind, Line, LineKind, Name, Place, Rule, Step};
use super::values::is_constant;
use super::{Target, name_of, root, same};

/// What the register machine would not answer as the language says, and where.
pub(super) struct Unanswered {
    pub(super) place: Place,
    pub(super) message: &'static str,
}

/// Joins what must be joined; of what cannot be, the first is told.
pub(super) fn join(
    rules: &mut Vec<Rule>,
    defaults: &mut Vec<Default>,
    target: Target,
    itself: &dyn Fn(&str) -> bool,
) -> Option<Unanswered> {
    let mut groups: BTreeMap<String, Vec<Rule>> = BTreeMap::new();
    let mut names = Vec::new();
    for rule in std::mem::take(rules) {
        let name = root(&rule.name).unwrap_or_default().to_owned();
        if !groups.contains_key(&name) {
            names.push(name.clone());
        }
        groups.entry(name).or_default().push(rule);
    }
    let dotted = defaults.iter().find(|default| matches!(default.name.kind, Kind::Reference(..)));
    let mut unanswered = dotted.filter(|_| target == Target::Machine).map(|default| Unanswered {
        place: default.place,
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
        match wanted(&group, at.is_some(), target, itself(&name)) {
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

fn wanted(group: &[Rule], default: bool, target: Target, itself: bool) -> Form {
    let dotted = |rule: &Rule| matches!(rule.name.kind, Kind::Reference(..));
    if group.iter().any(|rule| rule.key.is_some()) {
        return if group.iter().any(dotted) {
            Form::Unknown("a set with a variable in its name; write one set of pairs")
        } else {
            Form::Plain
        };
    }
    let steps: Vec<usize> = group
        .iter()
        .map(|rule| match &rule.name.kind {
            Kind::Reference(_, steps) => steps.len(),
            _ => 0,
        })
        .collect();
    if steps.iter().any(|steps| *steps > 0) {
        let keyed = steps.iter().all(|steps| *steps == 1) && group.iter().all(|rule| rule.args.is_none());
        let alone = group.iter().all(|rule| rule.branches.len() == 1);
        // Of keys that are written out, one may need another: as one object, it would need itself.
        return if keyed && alone && !itself {
            Form::Keyed
        } else {
            Form::Unknown("a rule with several keys, or with `else` behind one; give it a plain name")
        };
    }
    let values: Vec<String> = group.iter().map(constant).collect();
    let same = values.iter().all(|value| !value.is_empty() && Some(value) == values.first());
    if target != Target::Machine || (!default && (group.len() < 2 || same || exclusive(group))) {
        return Form::Plain;
    }
    Form::Joined
}

/// Turns sets with dotted names into one rule each whose value is the whole set, unless a variable is in the name.
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

/// The names behind the first of a dotted name.
fn steps_of(rule: &Rule) -> Option<Vec<String>> {
    match &rule.name.kind {
        Kind::Reference(_, steps) => steps.iter().map(name_of).collect(),
        _ => None,
    }
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
    let (mut sets, mut lines) = (Vec::new(), Vec::new());
    for rule in group {
        let rule = moved(rule, &mut locals);
        let mut bound = Vec::new();
        for (given, arg) in args.iter().flatten().zip(rule.args.iter().flatten()) {
            bind(given, arg, &mut bound);
        }
        let mut before: Vec<Expr> = Vec::new();
        for branch in rule.branches {
            let value = branch.value.unwrap_or_else(|| scalar(rule.place, "true"));
            // `else`: where none of the branches before gives a value.
            let none = |set: &Expr| line(rule.place, LineKind::Equal(set.clone(), empty(rule.place)));
            let body = before.iter().map(none).chain(bound.iter().cloned()).chain(branch.body).collect();
            let set = set(rule.place, value, body, &mut locals);
            let part = named(set, &mut lines, &mut locals);
            before.push(part.clone());
            sets.push(part);
        }
    }
    let all = union(place, sets, &mut lines, &mut locals);
    let some = Kind::Infix("!=", Box::new((all.clone(), empty(place))));
    lines.push(line(place, LineKind::Term(Expr { place, kind: some })));
    let one = fresh(place, &mut locals);
    lines.push(line(place, LineKind::Assign(one.clone(), Expr::operators(place, "one", [all]))));
    let mut branches = vec![Branch { value: Some(one), body: lines }];
    branches.extend(default.map(|value| Branch { value: Some(value), body: Vec::new() }));
    Rule { place, name, args, key: None, branches, locals }
}

fn gathered(group: Vec<Rule>) -> Rule {
    let mut locals = Vec::new();
    let place = group.first().map_or((0, 0), |rule| rule.place);
    let name = group.first().map_or_else(|| scalar(place, "null"), |rule| rule.name.clone());
    let (mut sets, mut lines) = (Vec::new(), Vec::new());
    for rule in group {
        let rule = moved(rule, &mut locals);
        let Some(value) = rule.key else { continue };
        for branch in rule.branches {
            let set = set(rule.place, value.clone(), branch.body, &mut locals);
            sets.push(named(set, &mut lines, &mut locals));
        }
    }
    let all = union(place, sets, &mut lines, &mut locals);
    let branches = vec![Branch { value: Some(all), body: lines }];
    Rule { place, name, args: None, key: None, branches, locals }
}

fn keyed(group: Vec<Rule>) -> Rule {
    let mut locals = Vec::new();
    let place = group.first().map_or((0, 0), |rule| rule.place);
    let mut name = scalar(place, "null");
    let (mut sets, mut lines) = (Vec::new(), Vec::new());
    for rule in group {
        let rule = moved(rule, &mut locals);
        let Kind::Reference(head, steps) = rule.name.kind else { continue };
        name = *head;
        let key = steps.into_iter().next().map(|step| match step {
            Step::Index(index) => index,
            Step::Field(name) => scalar(rule.place, &serde_json::Value::from(name).to_string()),
        });
        for branch in rule.branches {
            let value = branch.value.unwrap_or_else(|| scalar(rule.place, "true"));
            let pair =
                Expr { place: rule.place, kind: Kind::Array(key.iter().cloned().chain([value]).collect()) };
            let set = set(rule.place, pair, branch.body, &mut locals);
            sets.push(named(set, &mut lines, &mut locals));
        }
    }
    let all = union(place, sets, &mut lines, &mut locals);
    let object = fresh(place, &mut locals);
    lines.push(line(place, LineKind::Assign(object.clone(), Expr::operators(place, "object", [all]))));
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

fn empty(place: Place) -> Expr {
    Expr { place, kind: Kind::Set(Vec::new()) }
}

fn at(whole: &Expr, index: Expr) -> Expr {
    Expr { place: whole.place, kind: Kind::Reference(Box::new(whole.clone()), vec![Step::Index(index)]) }
}

/// That an argument of the joined rule is what one definition calls it.
fn bind(given: &Expr, arg: &Expr, lines: &mut Vec<Line>) {
    let place = arg.place;
    let mut holds = |kind: &str, count: usize| {
        let call = |name: &str| Expr { place, kind: Kind::Call(vec![name.to_owned()], vec![given.clone()]) };
        lines.push(line(place, LineKind::Term(call(kind))));
        lines.push(line(place, LineKind::Equal(call("count"), scalar(place, &count.to_string()))));
    };
    match &arg.kind {
        // As an element, since the engine does not look through another name.
        Kind::Name(Name::Local(_)) => {
            let one = Expr { place, kind: Kind::Array(vec![given.clone()]) };
            lines.push(line(place, LineKind::Assign(arg.clone(), at(&one, scalar(place, "0")))));
        }
        Kind::Array(items) => {
            holds("is_array", items.len());
            for (index, item) in items.iter().enumerate() {
                bind(&at(given, scalar(place, &index.to_string())), item, lines);
            }
        }
        Kind::Object(fields) => {
            holds("is_object", fields.len());
            for (key, value) in fields {
                bind(&at(given, key.clone()), value, lines);
            }
        }
        _ => lines.push(line(place, LineKind::Equal(given.clone(), arg.clone()))),
    }
}

/// A value as a variable.
fn named(value: Expr, lines: &mut Vec<Line>, locals: &mut Vec<String>) -> Expr {
    let place = value.place;
    let name = fresh(place, locals);
    lines.push(line(place, LineKind::Assign(name.clone(), value)));
    name
}

/// `{value | body}`; a body that begins with a condition has a loop of its own around it.
fn set(place: Place, value: Expr, mut body: Vec<Line>, locals: &mut Vec<String>) -> Expr {
    if is_constant(&value) && body.is_empty() {
        return Expr { place, kind: Kind::Set(vec![value]) };
    }
    if !matches!(body.first(), Some(Line { kind: LineKind::SomeIn(..), .. })) {
        locals.push(String::new());
        body.insert(0, Line::once(place, locals.len() - 1));
    }
    let set = Comprehension { array: false, key: None, value, body };
    Expr { place, kind: Kind::Comprehension(Box::new(set)) }
}

fn union(place: Place, sets: Vec<Expr>, lines: &mut Vec<Line>, locals: &mut Vec<String>) -> Expr {
    let all = Expr { place, kind: Kind::Set(sets) };
    named(Expr { place, kind: Kind::Call(vec!["union".to_owned()], vec![all]) }, lines, locals)
}
