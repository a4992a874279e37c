//! Orders the lines of a body as OPA does (`reorderBodyForSafety`): each as soon as all that it needs has a value, in as
//! many passes as it takes.

use std::collections::BTreeSet;

use super::tree::{Expr, ExprKind, Line, LineKind, Local, Location, Name, Step};

pub(super) type Locals = BTreeSet<Local>;

/// Orders a body; the variables `outer` have a value before it. `Err` is the position of a line that lacks a value.
pub(super) fn order(lines: Vec<Line>, outer: &Locals) -> Result<Vec<Line>, Location> {
    let here: Locals = lines.iter().flat_map(variables).collect();
    let mut safe: Locals = outer.clone();
    let mut given = Locals::new();
    let mut open = lines;
    let mut done = Vec::with_capacity(open.len());
    while !open.is_empty() {
        let before = open.len();
        let mut left = Vec::new();
        for line in open {
            let outputs = outputs(&line, &safe);
            // Variables of nested bodies must be bound by earlier lines.
            let inside: Locals =
                closed_over(&line).into_iter().filter(|local| here.contains(local)).collect();
            let waits = inside.iter().any(|local| !outer.contains(local) && !given.contains(local));
            let own = variables(&line);
            if !waits && own.iter().all(|local| safe.contains(local) || outputs.contains(local)) {
                given.extend(outputs.iter().copied());
                safe.extend(outputs);
                done.push(line);
            } else {
                left.push(line);
            }
        }
        open = left;
        if open.len() == before {
            return open.first().map_or(Ok(done), |line| Err(line.location));
        }
    }
    Ok(done)
}

/// The variables of a line, except in nested bodies.
pub(super) fn variables(line: &Line) -> Locals {
    line.expressions().into_iter().flat_map(of_expr).collect()
}

fn of_expr(expr: &Expr) -> Locals {
    let mut found = Locals::new();
    expr.walk(&mut |inner| found.extend(inner.as_local()));
    found
}

/// The variables in nested bodies of a line.
pub(super) fn closed_over(line: &Line) -> Locals {
    let mut found = Locals::new();
    for expr in line.expressions() {
        inside(expr, &mut found);
    }
    if let LineKind::Every(every) = &line.kind {
        all(&every.body, &mut found);
    }
    found
}

fn inside(expr: &Expr, found: &mut Locals) {
    expr.walk(&mut |inner| {
        if let ExprKind::Comprehension(comprehension) = &inner.kind {
            for end in comprehension.key.iter().chain([&comprehension.value]) {
                found.extend(of_expr(end));
                inside(end, found);
            }
            all(&comprehension.body, found);
        }
    });
}

fn all(lines: &[Line], found: &mut Locals) {
    for line in lines {
        found.extend(variables(line));
        found.extend(closed_over(line));
    }
}

/// The variables that a line binds.
pub(super) fn outputs(line: &Line, safe: &Locals) -> Locals {
    let mut found = Locals::new();
    if !line.with.iter().all(|with| of_expr(&with.value).is_subset(safe)) {
        return found;
    }
    match &line.kind {
        LineKind::Not(_) | LineKind::Declare(_) | LineKind::SomeIn(..) => {}
        LineKind::Every(every) => keys(&every.domain, safe, &mut found),
        LineKind::Term(expr) => keys(expr, safe, &mut found),
        LineKind::Equal(left, right) | LineKind::Assign(left, right) => {
            keys(left, safe, &mut found);
            keys(right, safe, &mut found);
            let mut known: Locals = safe.union(&found).copied().collect();
            if matches!(line.kind, LineKind::Assign(..)) {
                of_expr(left).iter().for_each(|local| {
                    known.remove(local);
                });
            }
            found.extend(unify(&known, left, right));
        }
    }
    found.retain(|local| !safe.contains(local));
    found
}

/// The variables in brackets of references whose root has a value: such a reference iterates over keys.
fn keys(expr: &Expr, safe: &Locals, found: &mut Locals) {
    expr.walk(&mut |inner| {
        let ExprKind::Reference(head, steps) = &inner.kind else { return };
        if head.as_local().is_some_and(|local| !safe.contains(&local)) {
            return;
        }
        for step in steps {
            if let Step::Index(index) = step {
                found.extend(of_expr(index));
            }
        }
    });
}

/// The variables that an equality binds.
fn unify(safe: &Locals, left: &Expr, right: &Expr) -> Locals {
    let mut pairs = Vec::new();
    pair(left, right, &mut pairs);
    let mut found = Locals::new();
    loop {
        let before = found.len();
        for (left, right) in &pairs {
            let has = |expr: &Expr| {
                let names = of_expr(expr);
                names.iter().all(|local| safe.contains(local) || found.contains(local))
            };
            let (from_left, from_right) = (has(left), has(right));
            if from_left {
                pattern(right, &mut found);
            }
            if from_right {
                pattern(left, &mut found);
            }
        }
        if found.len() == before {
            return found;
        }
    }
}

fn pair<'e>(left: &'e Expr, right: &'e Expr, pairs: &mut Vec<(&'e Expr, &'e Expr)>) {
    match (&left.kind, &right.kind) {
        (ExprKind::Array(lefts), ExprKind::Array(rights)) if lefts.len() == rights.len() => {
            lefts.iter().zip(rights).for_each(|(left, right)| pair(left, right, pairs));
        }
        (ExprKind::Object(lefts), ExprKind::Object(rights)) => {
            for (key, left) in lefts {
                let same = |other: &&(Expr, Expr)| match (&key.kind, &other.0.kind) {
                    (ExprKind::Scalar(a), ExprKind::Scalar(b)) => a == b,
                    _ => key.as_local().is_some() && key.as_local() == other.0.as_local(),
                };
                if let Some((_, right)) = rights.iter().find(same) {
                    pair(left, right, pairs);
                }
            }
        }
        _ => pairs.push((left, right)),
    }
}

/// The variables that a pattern binds: elements of arrays and values of objects.
fn pattern(expr: &Expr, found: &mut Locals) {
    match &expr.kind {
        ExprKind::Name(Name::Local(local)) => {
            found.insert(*local);
        }
        ExprKind::Array(items) => items.iter().for_each(|item| pattern(item, found)),
        ExprKind::Object(fields) => fields.iter().for_each(|(_, value)| pattern(value, found)),
        _ => {}
    }
}
