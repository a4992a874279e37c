//! Takes references out of where they stand, and makes a loop of each that goes over keys (OPA: `rewriteDynamicTerms`).
//!
//! Left where they are: the two sides of an equality, and a term alone. So `not x == 1` holds where `x` is absent, and
//! `not x != 1` is undefined, as in OPA.

use std::collections::{BTreeMap, VecDeque};

use super::Target;
use super::calls::equal;
use super::order::{Locals, order, variables};
use super::same;
use super::tree::{Every, Expr, Kind, Line, LineKind, Local, Name, Place, Rule, Step, With};

/// A body that cannot be ordered: the place of its first line that is left over.
pub(super) type Unordered = Place;

/// Orders every body of a rule and takes the references out. `packages` tells the paths that are packages or stand above
/// one, and `package` those that are one.
pub(super) fn take_out(
    rule: &mut Rule,
    target: Target,
    packages: &dyn Fn(&Expr) -> bool,
    package: &dyn Fn(&Expr) -> bool,
) -> Result<(), Unordered> {
    let mut references = References {
        locals: std::mem::take(&mut rule.locals),
        text: false,
        other_names: BTreeMap::new(),
        target,
        packages,
        package,
    };
    let mut safe = Locals::new();
    for arg in rule.args.iter().flatten() {
        arg.walk(&mut |inner| safe.extend(inner.as_local()));
    }
    for branch in &mut rule.branches {
        branch.body = references.body(std::mem::take(&mut branch.body), &safe)?;
    }
    rule.locals = references.locals;
    if !references.other_names.is_empty() {
        same::replace(rule, &|local| {
            let mut local = local;
            while let Some(other) = references.other_names.get(&local) {
                local = *other;
            }
            local
        });
    }
    Ok(())
}

struct References<'p> {
    locals: Vec<String>,
    /// Whether what is taken out makes a text.
    text: bool,
    /// Variables that are another name of one.
    other_names: BTreeMap<Local, Local>,
    target: Target,
    packages: &'p dyn Fn(&Expr) -> bool,
    package: &'p dyn Fn(&Expr) -> bool,
}

impl References<'_> {
    fn fresh(&mut self) -> Local {
        self.locals.push(String::new());
        self.locals.len() - 1
    }

    fn body(&mut self, lines: Vec<Line>, outer: &Locals) -> Result<Vec<Line>, Unordered> {
        let ordered = order(lines, outer)?;
        let mut safe = outer.clone();
        let mut done = Vec::with_capacity(ordered.len());
        for line in ordered {
            let mut hoisted = Vec::new();
            self.line(line, &mut hoisted);
            for line in hoisted {
                self.lower(line, &mut safe, &mut done)?;
            }
        }
        in_turn(&mut done);
        Ok(done)
    }

    fn name(&mut self, expr: Expr, with: &[With], lines: &mut Vec<Line>) -> Expr {
        let place = expr.place;
        let local = Expr::local(place, self.fresh());
        lines.push(Line { text: self.text, ..equal(place, with, local.clone(), expr) });
        local
    }

    /// Takes the references out of a line.
    fn line(&mut self, mut line: Line, lines: &mut Vec<Line>) {
        let with = line.with.clone();
        self.text = line.text;
        match &mut line.kind {
            LineKind::Declare(_) | LineKind::SomeIn(..) => {}
            LineKind::Assign(left, right) | LineKind::Equal(left, right) => {
                self.side(left, &with, lines);
                self.side(right, &with, lines);
            }
            LineKind::Term(expr) => self.side(expr, &with, lines),
            LineKind::Every(every) => self.one(&mut every.domain, &with, lines),
            LineKind::Not(inner) => match inner.as_mut() {
                LineKind::Equal(left, right) | LineKind::Assign(left, right) => {
                    self.side(left, &with, lines);
                    self.side(right, &with, lines);
                }
                LineKind::Term(expr) => self.side(expr, &with, lines),
                _ => {}
            },
        }
        lines.push(line);
    }

    /// What stands alone, or on one side of an equality.
    fn side(&mut self, expr: &mut Expr, with: &[With], lines: &mut Vec<Line>) {
        match &mut expr.kind {
            Kind::Call(path, _) if path == &["print"] => {}
            Kind::Call(_, args) => args.iter_mut().for_each(|arg| self.one(arg, with, lines)),
            Kind::Infix(_, sides) => {
                self.one(&mut sides.0, with, lines);
                self.one(&mut sides.1, with, lines);
            }
            Kind::In(key, rest) => {
                key.iter_mut().for_each(|key| self.one(key, with, lines));
                self.one(&mut rest.0, with, lines);
                self.one(&mut rest.1, with, lines);
            }
            Kind::Reference(_, steps) => self.steps(steps, with, lines),
            Kind::Comprehension(_) => {}
            _ => self.one(expr, with, lines),
        }
    }

    fn steps(&mut self, steps: &mut [Step], with: &[With], lines: &mut Vec<Line>) {
        for step in steps {
            if let Step::Index(index) = step {
                self.one(index, with, lines);
            }
        }
    }

    fn one(&mut self, expr: &mut Expr, with: &[With], lines: &mut Vec<Line>) {
        match &mut expr.kind {
            Kind::Array(items) | Kind::Set(items) => {
                items.iter_mut().for_each(|item| self.one(item, with, lines));
            }
            Kind::Object(fields) => fields.iter_mut().for_each(|(key, value)| {
                self.one(key, with, lines);
                self.one(value, with, lines);
            }),
            Kind::Infix(_, sides) => {
                self.one(&mut sides.0, with, lines);
                self.one(&mut sides.1, with, lines);
            }
            Kind::Reference(_, steps) => {
                self.steps(steps, with, lines);
                *expr = self.name(expr.clone(), with, lines);
            }
            Kind::Name(Name::Global(_)) | Kind::Comprehension(_) => {
                *expr = self.name(expr.clone(), with, lines);
            }
            _ => {}
        }
    }

    /// Writes a line out: loops before it, bodies inside it done, an equality as what it is.
    fn lower(&mut self, mut line: Line, safe: &mut Locals, done: &mut Vec<Line>) -> Result<(), Unordered> {
        let (with, place) = (line.with.clone(), line.place);
        match &mut line.kind {
            LineKind::Declare(_) | LineKind::SomeIn(..) => {}
            LineKind::Assign(left, right) | LineKind::Equal(left, right) => {
                for side in [&mut *left, right] {
                    self.loops(side, &with, safe, done);
                    self.inside(side, safe)?;
                }
            }
            LineKind::Term(expr) => {
                self.loops(expr, &with, safe, done);
                self.inside(expr, safe)?;
            }
            LineKind::Not(inner) => match inner.as_mut() {
                LineKind::Equal(left, right) | LineKind::Assign(left, right) => {
                    self.inside(left, safe)?;
                    self.inside(right, safe)?;
                }
                LineKind::Term(expr) => self.inside(expr, safe)?,
                _ => {}
            },
            LineKind::Every(every) => {
                let mut inner = safe.clone();
                for name in every.key.iter().chain([&every.value]) {
                    if let Name::Local(local) = name {
                        inner.insert(*local);
                    }
                }
                every.body = self.body(std::mem::take(&mut every.body), &inner)?;
                self.bind_in_body(every);
            }
        }
        if found_in_loop(&line, &self.locals, safe, done) {
            return Ok(());
        }
        if let LineKind::Assign(left, right) | LineKind::Equal(left, right) = line.kind {
            let made = Made { place, text: line.text, with };
            self.equate(left, right, &made, safe, done);
            return Ok(());
        }
        safe.extend(variables(&line));
        done.push(line);
        Ok(())
    }

    /// Makes two sides equal, pair by pair: what binds is one variable on the left of each line that is left. The
    /// engine's own patterns ignore keys that an object has besides (regorus 0.14.1, `destructuring.rs`).
    fn equate(&mut self, left: Expr, right: Expr, made: &Made, safe: &mut Locals, done: &mut Vec<Line>) {
        let mut pairs = VecDeque::from([(left, right)]);
        let mut waiting = 0;
        while let Some((left, right)) = pairs.pop_front() {
            let swapped = !is_open(&left, safe) && is_open(&right, safe);
            let (left, right) = if swapped { (right, left) } else { (left, right) };
            if is_open(&left, safe)
                && is_open(&right, safe)
                && !both_lists(&left, &right)
                && waiting <= pairs.len()
            {
                // Another pair may give one of the two a value.
                pairs.push_back((left, right));
                waiting += 1;
                continue;
            }
            waiting = 0;
            self.pair(left, right, &mut pairs, made, safe, done);
        }
    }

    fn pair(
        &mut self,
        left: Expr,
        right: Expr,
        pairs: &mut VecDeque<(Expr, Expr)>,
        made: &Made,
        safe: &mut Locals,
        done: &mut Vec<Line>,
    ) {
        match (&left.kind, &right.kind) {
            _ if !is_open(&left, safe) => made.line(LineKind::Equal(left, right), safe, done),
            (Kind::Array(lefts), Kind::Array(rights)) if lefts.len() == rights.len() => {
                pairs.extend(lefts.iter().cloned().zip(rights.iter().cloned()));
            }
            (Kind::Array(_), Kind::Array(_)) => {
                let never = Expr { place: made.place, kind: Kind::Scalar("false".to_owned()) };
                made.line(LineKind::Term(never), safe, done);
            }
            // The engine would not look through another name (regorus 0.14.1, `scheduler.rs`).
            (Kind::Name(Name::Local(name)), Kind::Name(Name::Local(other))) if safe.contains(other) => {
                self.other_names.insert(*name, *other);
                safe.insert(*name);
            }
            (Kind::Array(items), _) => {
                let whole = self.whole(right, made, safe, done);
                made.kind("is_array", items.len(), &whole, safe, done);
                for (at, item) in items.iter().enumerate() {
                    let index = Expr { place: made.place, kind: Kind::Scalar(at.to_string()) };
                    pairs.push_back((item.clone(), part(&whole, index)));
                }
            }
            (Kind::Object(fields), _) if fields.iter().all(|(key, _)| !is_open(key, safe)) => {
                let whole = self.whole(right, made, safe, done);
                made.kind("is_object", fields.len(), &whole, safe, done);
                for (key, value) in fields {
                    pairs.push_back((value.clone(), part(&whole, key.clone())));
                }
            }
            _ => made.line(LineKind::Assign(left, right), safe, done),
        }
    }

    /// A value as a variable.
    fn whole(&mut self, value: Expr, made: &Made, safe: &mut Locals, done: &mut Vec<Line>) -> Expr {
        if value.as_local().is_some() {
            return value;
        }
        let whole = Expr::local(made.place, self.fresh());
        made.line(LineKind::Assign(whole.clone(), value), safe, done);
        whole
    }

    /// The interpreter reads a rule and a number as one path, in which 1 is "1" (regorus 0.14.1, `interpreter.rs`).
    fn takes_for_a_name(&self, before: &Expr, step: &Step) -> bool {
        let number = |index: &Expr| matches!(&index.kind, Kind::Scalar(text) if text.starts_with(|first: char| first == '-' || first.is_ascii_digit()));
        let data = |head: &Expr| matches!(&head.kind, Kind::Name(Name::Global(name)) if name == "data");
        self.target != Target::Machine
            && matches!(step, Step::Index(index) if number(index))
            && matches!(&before.kind, Kind::Reference(head, _) if data(head))
    }

    /// The register machine finds nothing below a package by a name that a variable has (regorus 0.14.1, `rvm`).
    fn is_no_name(&self, before: &Expr, step: &Step) -> bool {
        self.target == Target::Machine
            && matches!(step, Step::Index(index) if !matches!(index.kind, Kind::Scalar(_)))
            && (self.package)(before)
    }

    /// In the body of `every`, regorus takes the variables of it for free ones and makes a loop of `x[key]`, which does
    /// not run where `x` is absent (0.14.1, `compiler/hoist.rs`): the body binds them again.
    fn bind_in_body(&mut self, every: &mut Every) {
        let mut lines = Vec::new();
        for name in every.key.iter_mut().chain([&mut every.value]) {
            let Name::Local(local) = name else { continue };
            let place = every.domain.place;
            let at = |kind| Expr { place, kind };
            let given = self.fresh();
            let list = at(Kind::Array(vec![Expr::local(place, given)]));
            let first = Step::Index(at(Kind::Scalar("0".to_owned())));
            let kind = LineKind::Assign(
                Expr::local(place, *local),
                at(Kind::Reference(Box::new(list), vec![first])),
            );
            lines.push(Line { place, text: false, with: Vec::new(), kind });
            *local = given;
        }
        lines.append(&mut every.body);
        every.body = lines;
    }

    /// The interpreter fails where a loop goes over what is no collection (regorus 0.14.1, `interpreter.rs`).
    fn gone_over(&mut self, value: Expr, with: &[With], safe: &mut Locals, done: &mut Vec<Line>) -> Expr {
        if self.target == Target::Machine {
            return value;
        }
        let place = value.place;
        let call = Expr::operators(place, "each", [value]);
        let made = Made { place, text: false, with: with.to_vec() };
        self.whole(call, &made, safe, done)
    }

    /// The bodies of comprehensions in an expression.
    fn inside(&mut self, expr: &mut Expr, safe: &Locals) -> Result<(), Unordered> {
        match &mut expr.kind {
            Kind::Comprehension(inner) => {
                let mut body = self.body(std::mem::take(&mut inner.body), safe)?;
                // In a loop, a line of a comprehension that fails would end the turn of that loop (regorus 0.14.1,
                // `rvm/vm/loops.rs`, `handle_condition`): it has a loop of its own.
                if !matches!(body.first(), None | Some(Line { kind: LineKind::SomeIn(..), .. })) {
                    body.insert(0, Line::once(expr.place, self.fresh()));
                }
                inner.body = body;
            }
            Kind::Array(items) | Kind::Set(items) | Kind::Call(_, items) => {
                for item in items {
                    self.inside(item, safe)?;
                }
            }
            Kind::Object(fields) => {
                for (key, value) in fields {
                    self.inside(key, safe)?;
                    self.inside(value, safe)?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// A reference that goes over keys becomes `some key, value in …` for each, and what is left.
    fn loops(&mut self, expr: &mut Expr, with: &[With], safe: &mut Locals, done: &mut Vec<Line>) {
        let place = expr.place;
        let Kind::Reference(head, steps) = &mut expr.kind else { return };
        let mut head = head.as_ref().clone();
        let mut path: Vec<Step> = Vec::new();
        for step in std::mem::take(steps) {
            let open = match &step {
                Step::Index(index) => is_open(index, safe),
                Step::Field(_) => false,
            };
            let before = if path.is_empty() {
                head.clone()
            } else {
                Expr { place, kind: Kind::Reference(Box::new(head.clone()), path.clone()) }
            };
            if !open || (self.packages)(&before) {
                if self.takes_for_a_name(&before, &step) || self.is_no_name(&before, &step) {
                    let made = Made { place, text: false, with: with.to_vec() };
                    (head, path) = (self.whole(before, &made, safe, done), Vec::new());
                }
                path.push(step);
                continue;
            }
            let Step::Index(index) = step else { continue };
            // The engine takes lines by the variables that they need: by this one it stays behind those before it. As
            // the first line it needs none, and goes over what is absent no times.
            let collection = if path.is_empty() && head.as_local().is_some() {
                head
            } else if done.is_empty() && with.is_empty() && self.target == Target::Machine {
                before
            } else {
                let collection = before;
                let local = self.fresh();
                safe.insert(local);
                let kind = LineKind::Assign(Expr::local(place, local), collection);
                done.push(Line { place, text: false, with: with.to_vec(), kind });
                Expr::local(place, local)
            };
            let collection = self.gone_over(collection, with, safe, done);
            let value = Expr::local(place, self.fresh());
            let (key, pattern) = if index.as_local().is_some() {
                (index, None)
            } else {
                (Expr::local(place, self.fresh()), Some(index))
            };
            safe.extend([value.as_local(), key.as_local()].into_iter().flatten());
            let kind = LineKind::SomeIn(Some(key.clone()), value.clone(), collection);
            // Not `with`: what follows would be inside it, and the collection is a variable.
            done.push(Line { place, text: false, with: Vec::new(), kind });
            if let Some(pattern) = pattern {
                let made = Made { place, text: false, with: with.to_vec() };
                self.equate(pattern, key, &made, safe, done);
            }
            (head, path) = (value, Vec::new());
        }
        *expr =
            if path.is_empty() { head } else { Expr { place, kind: Kind::Reference(Box::new(head), path) } };
    }
}

/// `x = value` right behind the loop that `value` comes from: the loop binds `x` itself.
fn found_in_loop(line: &Line, names: &[String], safe: &mut Locals, done: &mut [Line]) -> bool {
    let (LineKind::Equal(left, right) | LineKind::Assign(left, right)) = &line.kind else { return false };
    let (Some(left), Some(right)) = (left.as_local(), right.as_local()) else { return false };
    let Some(Line { kind: LineKind::SomeIn(_, value, _), .. }) = done.last_mut() else { return false };
    let name = if safe.contains(&left) { right } else { left };
    let added = |local: usize| names.get(local).is_some_and(String::is_empty);
    let found = value
        .as_local()
        .is_some_and(|value| (value == left || value == right) && value != name && added(value));
    if !found || safe.contains(&name) {
        return false;
    }
    *value = Expr::local(value.place, name);
    safe.insert(name);
    true
}

fn is_open(index: &Expr, safe: &Locals) -> bool {
    let mut open = false;
    index.walk(&mut |inner| open |= inner.as_local().is_some_and(|local| !safe.contains(&local)));
    open
}

/// What the lines have in common that are made of one.
struct Made {
    place: Place,
    text: bool,
    with: Vec<With>,
}

impl Made {
    fn line(&self, kind: LineKind, safe: &mut Locals, done: &mut Vec<Line>) {
        let line = Line { place: self.place, text: self.text, with: self.with.clone(), kind };
        safe.extend(variables(&line));
        done.push(line);
    }

    /// That a value is a collection of a kind, and how many members it has.
    fn kind(&self, kind: &str, count: usize, whole: &Expr, safe: &mut Locals, done: &mut Vec<Line>) {
        let at = |kind| Expr { place: self.place, kind };
        let call = |name: &str| at(Kind::Call(vec![name.to_owned()], vec![whole.clone()]));
        self.line(LineKind::Term(call(kind)), safe, done);
        self.line(LineKind::Equal(call("count"), at(Kind::Scalar(count.to_string()))), safe, done);
    }
}

/// The engine takes an assigned list or object for a pattern, and lines behind it before it (regorus 0.14.1,
/// `scheduler.rs`): as the answer of a call it stays where it is.
fn in_turn(lines: &mut [Line]) {
    let Some((_, lines)) = lines.split_last_mut() else { return };
    for line in lines.iter_mut().filter(|line| !line.text) {
        let LineKind::Assign(_, value) = &mut line.kind else { continue };
        let at = |kind| Expr { place: line.place, kind };
        let (name, empty) = match &value.kind {
            Kind::Array(_) => ("array.concat", at(Kind::Array(Vec::new()))),
            Kind::Object(_) => ("object.union", at(Kind::Object(Vec::new()))),
            _ => continue,
        };
        *value = at(Kind::Call(name.split('.').map(str::to_owned).collect(), vec![value.clone(), empty]));
    }
}

/// Two lists are taken apart, whatever of them has a value.
fn both_lists(left: &Expr, right: &Expr) -> bool {
    matches!((&left.kind, &right.kind), (Kind::Array(_), Kind::Array(_)))
}

/// `whole[index]`
fn part(whole: &Expr, index: Expr) -> Expr {
    Expr { place: whole.place, kind: Kind::Reference(Box::new(whole.clone()), vec![Step::Index(index)]) }
}
