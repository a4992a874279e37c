//! Hoists references into lines of their own, and makes a loop of each that iterates over keys (OPA:
//! `rewriteDynamicTerms`).
//!
//! The sides of an equality and a term alone stay. So `not x == 1` holds if `x` is absent, and `not x != 1` is undefined,
//! as in OPA.

use std::collections::{BTreeMap, VecDeque};

use super::calls::equal;
use super::order::{Locals, order, variables};
use super::tree::{
    Every, Expr, ExprKind, Line, LineKind, Local, Location, Name, Rule, Step, Target, With, rename_locals,
};

/// The position of the first line of a body that cannot be ordered.
pub(super) type Unordered = Location;

/// Orders every body of a rule and hoists its references. `packages` says whether a path is a package or above one,
/// `package` whether it is one.
pub(super) fn hoist(
    rule: &mut Rule,
    target: Target,
    packages: &dyn Fn(&Expr) -> bool,
    package: &dyn Fn(&Expr) -> bool,
) -> Result<(), Unordered> {
    let mut hoister = ReferenceHoister {
        locals: std::mem::take(&mut rule.locals),
        is_message: false,
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
        branch.body = hoister.body(std::mem::take(&mut branch.body), &safe)?;
    }
    rule.locals = hoister.locals;
    if !hoister.other_names.is_empty() {
        rename_locals(rule, &|local| {
            let mut local = local;
            while let Some(other) = hoister.other_names.get(&local) {
                local = *other;
            }
            local
        });
    }
    Ok(())
}

struct ReferenceHoister<'p> {
    locals: Vec<String>,
    /// Whether the hoisted lines build a message.
    is_message: bool,
    /// Variables that are aliases of others.
    other_names: BTreeMap<Local, Local>,
    target: Target,
    packages: &'p dyn Fn(&Expr) -> bool,
    package: &'p dyn Fn(&Expr) -> bool,
}

impl ReferenceHoister<'_> {
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
        let location = expr.location;
        let local = Expr::local(location, self.fresh());
        lines.push(Line { is_message: self.is_message, ..equal(location, with, local.clone(), expr) });
        local
    }

    /// Hoists the references of a line.
    fn line(&mut self, mut line: Line, lines: &mut Vec<Line>) {
        let with = line.with.clone();
        self.is_message = line.is_message;
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

    /// A term alone, or one side of an equality.
    fn side(&mut self, expr: &mut Expr, with: &[With], lines: &mut Vec<Line>) {
        match &mut expr.kind {
            ExprKind::Call(path, _) if path == &["print"] => {}
            ExprKind::Call(_, args) => args.iter_mut().for_each(|arg| self.one(arg, with, lines)),
            ExprKind::Infix(_, sides) => {
                self.one(&mut sides.0, with, lines);
                self.one(&mut sides.1, with, lines);
            }
            ExprKind::In(key, rest) => {
                key.iter_mut().for_each(|key| self.one(key, with, lines));
                self.one(&mut rest.0, with, lines);
                self.one(&mut rest.1, with, lines);
            }
            ExprKind::Reference(_, steps) => self.steps(steps, with, lines),
            ExprKind::Comprehension(_) => {}
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
            ExprKind::Array(items) | ExprKind::Set(items) => {
                items.iter_mut().for_each(|item| self.one(item, with, lines));
            }
            ExprKind::Object(fields) => fields.iter_mut().for_each(|(key, value)| {
                self.one(key, with, lines);
                self.one(value, with, lines);
            }),
            ExprKind::Infix(_, sides) => {
                self.one(&mut sides.0, with, lines);
                self.one(&mut sides.1, with, lines);
            }
            ExprKind::Reference(_, steps) => {
                self.steps(steps, with, lines);
                *expr = self.name(expr.clone(), with, lines);
            }
            ExprKind::Name(Name::Global(_)) | ExprKind::Comprehension(_) => {
                *expr = self.name(expr.clone(), with, lines);
            }
            _ => {}
        }
    }

    /// Adds a line: first its loops, then nested bodies, an equality as assignments and comparisons.
    fn lower(&mut self, mut line: Line, safe: &mut Locals, done: &mut Vec<Line>) -> Result<(), Unordered> {
        let (with, location) = (line.with.clone(), line.location);
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
            let origin = LineOrigin { location, is_message: line.is_message, with };
            self.equate(left, right, &origin, safe, done);
            return Ok(());
        }
        safe.extend(variables(&line));
        done.push(line);
        Ok(())
    }

    /// Unifies two sides pair by pair, so that every line that binds has one variable on its left. The engine's own patterns
    /// ignore additional keys of an object (regorus 0.14.1, `destructuring.rs`).
    fn equate(
        &mut self,
        left: Expr,
        right: Expr,
        origin: &LineOrigin,
        safe: &mut Locals,
        done: &mut Vec<Line>,
    ) {
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
                // Another pair may bind one of the two.
                pairs.push_back((left, right));
                waiting += 1;
                continue;
            }
            waiting = 0;
            self.pair(left, right, &mut pairs, origin, safe, done);
        }
    }

    fn pair(
        &mut self,
        left: Expr,
        right: Expr,
        pairs: &mut VecDeque<(Expr, Expr)>,
        origin: &LineOrigin,
        safe: &mut Locals,
        done: &mut Vec<Line>,
    ) {
        match (&left.kind, &right.kind) {
            _ if !is_open(&left, safe) => origin.line(LineKind::Equal(left, right), safe, done),
            (ExprKind::Array(lefts), ExprKind::Array(rights)) if lefts.len() == rights.len() => {
                pairs.extend(lefts.iter().cloned().zip(rights.iter().cloned()));
            }
            (ExprKind::Array(_), ExprKind::Array(_)) => {
                let never = Expr { location: origin.location, kind: ExprKind::Scalar("false".to_owned()) };
                origin.line(LineKind::Term(never), safe, done);
            }
            // The engine does not follow aliases (regorus 0.14.1, `scheduler.rs`).
            (ExprKind::Name(Name::Local(name)), ExprKind::Name(Name::Local(other)))
                if safe.contains(other) =>
            {
                self.other_names.insert(*name, *other);
                safe.insert(*name);
            }
            (ExprKind::Array(items), _) => {
                let whole = self.whole(right, origin, safe, done);
                origin.kind("is_array", items.len(), &whole, safe, done);
                for (at, item) in items.iter().enumerate() {
                    let index = Expr { location: origin.location, kind: ExprKind::Scalar(at.to_string()) };
                    pairs.push_back((item.clone(), part(&whole, index)));
                }
            }
            (ExprKind::Object(fields), _) if fields.iter().all(|(key, _)| !is_open(key, safe)) => {
                let whole = self.whole(right, origin, safe, done);
                origin.kind("is_object", fields.len(), &whole, safe, done);
                for (key, value) in fields {
                    pairs.push_back((value.clone(), part(&whole, key.clone())));
                }
            }
            _ => origin.line(LineKind::Assign(left, right), safe, done),
        }
    }

    /// Assigns a value to a new variable, unless it is one.
    fn whole(&mut self, value: Expr, origin: &LineOrigin, safe: &mut Locals, done: &mut Vec<Line>) -> Expr {
        if value.as_local().is_some() {
            return value;
        }
        let whole = Expr::local(origin.location, self.fresh());
        origin.line(LineKind::Assign(whole.clone(), value), safe, done);
        whole
    }

    /// The interpreter joins a rule and a key to one path of strings, in which 1 is "1" (regorus 0.14.1, `interpreter.rs`).
    fn takes_for_a_name(&self, before: &Expr, step: &Step) -> bool {
        let string = |index: &Expr| matches!(&index.kind, ExprKind::Scalar(text) if text.starts_with('"'));
        let data = |head: &Expr| matches!(&head.kind, ExprKind::Name(Name::Global(name)) if name == "data");
        self.target != Target::Machine
            && matches!(step, Step::Index(index) if !string(index))
            && matches!(&before.kind, ExprKind::Reference(head, _) if data(head))
            && !(self.package)(before)
    }

    /// The register machine finds nothing below a package for a name in a variable (regorus 0.14.1, `rvm`).
    fn is_no_name(&self, before: &Expr, step: &Step) -> bool {
        self.target == Target::Machine
            && matches!(step, Step::Index(index) if !matches!(index.kind, ExprKind::Scalar(_)))
            && (self.package)(before)
    }

    /// In the body of `every`, regorus takes its variables for free ones and makes a loop of `x[key]`, which does not run if
    /// `x` is absent (0.14.1, `compiler/hoist.rs`): the body binds them again.
    fn bind_in_body(&mut self, every: &mut Every) {
        let mut lines = Vec::new();
        for name in every.key.iter_mut().chain([&mut every.value]) {
            let Name::Local(local) = name else { continue };
            let location = every.domain.location;
            let at = |kind| Expr { location, kind };
            let given = self.fresh();
            let list = at(ExprKind::Array(vec![Expr::local(location, given)]));
            let first = Step::Index(at(ExprKind::Scalar("0".to_owned())));
            let kind = LineKind::Assign(
                Expr::local(location, *local),
                at(ExprKind::Reference(Box::new(list), vec![first])),
            );
            lines.push(Line { location, is_message: false, with: Vec::new(), kind });
            *local = given;
        }
        lines.append(&mut every.body);
        every.body = lines;
    }

    /// The interpreter fails if a loop iterates over a value that is no collection (regorus 0.14.1, `interpreter.rs`).
    fn gone_over(&mut self, value: Expr, with: &[With], safe: &mut Locals, done: &mut Vec<Line>) -> Expr {
        if self.target == Target::Machine {
            return value;
        }
        let location = value.location;
        let call = Expr::operators(location, "each", [value]);
        let origin = LineOrigin { location, is_message: false, with: with.to_vec() };
        self.whole(call, &origin, safe, done)
    }

    /// Rewrites the bodies of comprehensions in an expression.
    fn inside(&mut self, expr: &mut Expr, safe: &Locals) -> Result<(), Unordered> {
        match &mut expr.kind {
            ExprKind::Comprehension(inner) => {
                let mut body = self.body(std::mem::take(&mut inner.body), safe)?;
                // In a loop, a failing line of a comprehension would end the iteration of that loop (regorus 0.14.1,
                // `rvm/vm/loops.rs`, `handle_condition`): it gets a loop of its own.
                if !matches!(body.first(), None | Some(Line { kind: LineKind::SomeIn(..), .. })) {
                    body.insert(0, Line::once(expr.location, self.fresh()));
                }
                inner.body = body;
            }
            ExprKind::Array(items) | ExprKind::Set(items) | ExprKind::Call(_, items) => {
                for item in items {
                    self.inside(item, safe)?;
                }
            }
            ExprKind::Object(fields) => {
                for (key, value) in fields {
                    self.inside(key, safe)?;
                    self.inside(value, safe)?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Turns a reference that iterates over keys into `some key, value in …` for each, and the rest.
    fn loops(&mut self, expr: &mut Expr, with: &[With], safe: &mut Locals, done: &mut Vec<Line>) {
        let location = expr.location;
        let ExprKind::Reference(head, steps) = &mut expr.kind else { return };
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
                Expr { location, kind: ExprKind::Reference(Box::new(head.clone()), path.clone()) }
            };
            if !open || (self.packages)(&before) {
                if self.takes_for_a_name(&before, &step) || self.is_no_name(&before, &step) {
                    let origin = LineOrigin { location, is_message: false, with: with.to_vec() };
                    (head, path) = (self.whole(before, &origin, safe, done), Vec::new());
                }
                path.push(step);
                continue;
            }
            let Step::Index(index) = step else { continue };
            // The engine orders lines by the variables that they use: this one keeps the loop after the lines before it. As the
            // first line it needs none, and a loop over an absent value has no iterations.
            let collection = if path.is_empty() && head.as_local().is_some() {
                head
            } else if done.is_empty() && with.is_empty() && self.target == Target::Machine {
                before
            } else {
                let collection = before;
                let local = self.fresh();
                safe.insert(local);
                let kind = LineKind::Assign(Expr::local(location, local), collection);
                done.push(Line { location, is_message: false, with: with.to_vec(), kind });
                Expr::local(location, local)
            };
            let collection = self.gone_over(collection, with, safe, done);
            let value = Expr::local(location, self.fresh());
            let (key, pattern) = if index.as_local().is_some() {
                (index, None)
            } else {
                (Expr::local(location, self.fresh()), Some(index))
            };
            safe.extend([value.as_local(), key.as_local()].into_iter().flatten());
            let kind = LineKind::SomeIn(Some(key.clone()), value.clone(), collection);
            // Without `with`: it would apply to all that follows, and the collection is a variable.
            done.push(Line { location, is_message: false, with: Vec::new(), kind });
            if let Some(pattern) = pattern {
                let origin = LineOrigin { location, is_message: false, with: with.to_vec() };
                self.equate(pattern, key, &origin, safe, done);
            }
            (head, path) = (value, Vec::new());
        }
        *expr = if path.is_empty() {
            head
        } else {
            Expr { location, kind: ExprKind::Reference(Box::new(head), path) }
        };
    }
}

/// `x = value` directly after the loop that binds `value`: the loop binds `x` itself.
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
    *value = Expr::local(value.location, name);
    safe.insert(name);
    true
}

fn is_open(index: &Expr, safe: &Locals) -> bool {
    let mut open = false;
    index.walk(&mut |inner| open |= inner.as_local().is_some_and(|local| !safe.contains(&local)));
    open
}

/// What the lines that one line becomes have in common.
struct LineOrigin {
    location: Location,
    is_message: bool,
    with: Vec<With>,
}

impl LineOrigin {
    fn line(&self, kind: LineKind, safe: &mut Locals, done: &mut Vec<Line>) {
        let line =
            Line { location: self.location, is_message: self.is_message, with: self.with.clone(), kind };
        safe.extend(variables(&line));
        done.push(line);
    }

    /// Checks the type of a collection and how many members it has.
    fn kind(&self, kind: &str, count: usize, whole: &Expr, safe: &mut Locals, done: &mut Vec<Line>) {
        let at = |kind| Expr { location: self.location, kind };
        let call = |name: &str| at(ExprKind::Call(vec![name.to_owned()], vec![whole.clone()]));
        self.line(LineKind::Term(call(kind)), safe, done);
        self.line(LineKind::Equal(call("count"), at(ExprKind::Scalar(count.to_string()))), safe, done);
    }
}

/// The engine takes an assigned array or object for a pattern, and moves lines before it (regorus 0.14.1,
/// `scheduler.rs`): as the result of a call it stays in place.
fn in_turn(lines: &mut [Line]) {
    let Some((_, lines)) = lines.split_last_mut() else { return };
    for line in lines.iter_mut().filter(|line| !line.is_message) {
        let LineKind::Assign(_, value) = &mut line.kind else { continue };
        let at = |kind| Expr { location: line.location, kind };
        let (name, empty) = match &value.kind {
            ExprKind::Array(_) => ("array.concat", at(ExprKind::Array(Vec::new()))),
            ExprKind::Object(_) => ("object.union", at(ExprKind::Object(Vec::new()))),
            _ => continue,
        };
        *value = at(ExprKind::Call(name.split('.').map(str::to_owned).collect(), vec![value.clone(), empty]));
    }
}

/// Two arrays are always unified by element.
fn both_lists(left: &Expr, right: &Expr) -> bool {
    matches!((&left.kind, &right.kind), (ExprKind::Array(_), ExprKind::Array(_)))
}

fn part(whole: &Expr, index: Expr) -> Expr {
    Expr {
        location: whole.location,
        kind: ExprKind::Reference(Box::new(whole.clone()), vec![Step::Index(index)]),
    }
}
