//! For traces: how far the body of a rule holds. For each line there is a rule with the values of the lines before it.

use std::collections::{BTreeMap, BTreeSet};

use super::print;
use super::tree::{Branch, Expr, ExprKind, Line, LineKind, Local, Location, Name, Rule, root};
use crate::bounds::OPERATORS;

#[derive(Debug)]
pub(crate) struct BodyLine {
    pub(crate) location: Location,
    /// Why it does not hold; `None` if the normal form differs too much from the source, which is shown instead.
    pub(crate) failure: Option<String>,
    /// The expressions whose values are shown.
    pub(crate) labels: Vec<String>,
    /// The rule with those values, defined if all earlier lines hold; `None` for the first line.
    pub(crate) rule: Option<String>,
    /// The rule that is defined if this line holds as well.
    pub(crate) held: String,
}

/// Variables that are shown if the line itself has none.
const NAMED_MAX: usize = 4;

/// How deep variables are replaced by what they stand for.
const NESTED_MAX: usize = 16;

/// The lines of each body of the rules of a name, and the rules to add.
pub(super) fn lines(rules: &[Rule], name: &str) -> (Vec<Vec<BodyLine>>, Vec<Rule>) {
    let (mut bodies, mut added) = (Vec::new(), Vec::new());
    for rule in rules.iter().filter(|rule| root(&rule.name) == Some(name)) {
        for branch in &rule.branches {
            let body = bodies.len();
            let of = |line: usize| format!("{name}__reached_{body}_{line}");
            let mut reached = Vec::new();
            let mut state = BodyState { locals: &rule.locals, bound: Vec::new(), means: BTreeMap::new() };
            for (at, line) in branch.body.iter().enumerate() {
                let shown = state.shown(line);
                if at > 0 {
                    let shown: Vec<Local> = shown.iter().map(|(local, _)| *local).collect();
                    added.push(prefix(rule, &of(at), &shown, branch.body.get(..at).unwrap_or_default()));
                }
                reached.push(BodyLine {
                    location: line.location,
                    failure: state.failure(line),
                    labels: shown.into_iter().map(|(_, label)| label).collect(),
                    rule: (at > 0).then(|| of(at)),
                    held: of(at + 1),
                });
                state.learn(line);
            }
            added.push(prefix(rule, &of(branch.body.len()), &[], &branch.body));
            bodies.push(reached);
        }
    }
    (bodies, added)
}

fn prefix(rule: &Rule, name: &str, shown: &[Local], body: &[Line]) -> Rule {
    let location = rule.location;
    let key = ExprKind::Array(shown.iter().map(|local| Expr::local(location, *local)).collect());
    Rule {
        location,
        name: Expr { location, kind: ExprKind::Name(Name::Written(name.to_owned())) },
        args: None,
        key: Some(Expr { location, kind: key }),
        branches: vec![Branch { value: None, body: body.to_vec() }],
        locals: rule.locals.clone(),
    }
}

/// The variables that are bound before a line.
struct BodyState<'r> {
    locals: &'r [String],
    bound: Vec<Local>,
    /// What variables that the normal form added stand for.
    means: BTreeMap<Local, Expr>,
}

impl BodyState<'_> {
    fn learn(&mut self, line: &Line) {
        if let LineKind::Equal(left, right) | LineKind::Assign(left, right) = &line.kind
            && let Some(local) = left.as_local().filter(|local| self.added(*local))
        {
            self.means.insert(local, right.clone());
        }
        if !matches!(line.kind, LineKind::Not(_) | LineKind::Every(_) | LineKind::Declare(_)) {
            self.bound.extend(locals(line.expressions()));
        }
    }

    /// Whether the author did not name it.
    fn added(&self, local: Local) -> bool {
        self.locals.get(local).is_none_or(|name| name.is_empty() || name == "_")
    }

    /// The variables of a line whose values are shown, and their labels.
    fn shown(&self, line: &Line) -> Vec<(Local, String)> {
        let found: BTreeSet<Local> =
            locals(line.kind.expressions()).into_iter().filter(|local| self.bound.contains(local)).collect();
        let labelled = |local| Some((local, self.text(&Expr::local((0, 0), local))?));
        let shown: Vec<_> = found.into_iter().filter_map(labelled).collect();
        if !shown.is_empty() {
            return shown;
        }
        let named: BTreeSet<Local> = self.bound.iter().copied().filter(|local| !self.added(*local)).collect();
        named.into_iter().filter_map(labelled).take(NAMED_MAX).collect()
    }

    fn failure(&self, line: &Line) -> Option<String> {
        let new = |left: &Expr| left.as_local().is_some_and(|local| !self.bound.contains(&local));
        match &line.kind {
            LineKind::Equal(left, right) | LineKind::Assign(left, right) if new(left) => {
                Some(format!("`{}` is undefined", self.text(right)?))
            }
            LineKind::SomeIn(_, value, collection) => {
                Some(format!("`some {} in {}` finds nothing", self.text(value)?, self.text(collection)?))
            }
            LineKind::Every(every) => {
                Some(format!("`every … in {}` does not hold for all members", self.text(&every.domain)?))
            }
            other => Some(format!("`{}` does not hold", self.kind(other)?)),
        }
    }

    fn kind(&self, kind: &LineKind) -> Option<String> {
        match kind {
            LineKind::Not(inner) => Some(format!("not {}", self.kind(inner)?)),
            LineKind::Equal(left, right) | LineKind::Assign(left, right) => {
                Some(format!("{} == {}", self.text(left)?, self.text(right)?))
            }
            LineKind::Term(expr) => self.text(expr),
            LineKind::Declare(_) | LineKind::SomeIn(..) | LineKind::Every(_) => None,
        }
    }

    /// The expression as the author wrote it; `None` if it holds what the normal form added.
    fn text(&self, expr: &Expr) -> Option<String> {
        let mut expr = expr.clone();
        self.spell_out(&mut expr, NESTED_MAX);
        let mut own = true;
        expr.walk(&mut |inner| match &inner.kind {
            ExprKind::Name(Name::Local(local)) => own &= !self.added(*local),
            ExprKind::Call(path, _) => own &= path != &[OPERATORS],
            _ => {}
        });
        own.then(|| print::expression(&expr, self.locals))
    }

    fn spell_out(&self, expr: &mut Expr, nested: usize) {
        if let Some(meant) = expr.as_local().and_then(|local| self.means.get(&local))
            && nested > 0
        {
            *expr = meant.clone();
            self.spell_out(expr, nested - 1);
            return;
        }
        expr.below_mut().into_iter().for_each(|inner| self.spell_out(inner, nested));
    }
}

/// The variables of expressions, except in nested bodies.
fn locals(expressions: Vec<&Expr>) -> Vec<Local> {
    let mut found = Vec::new();
    for expr in expressions {
        expr.walk(&mut |inner| found.extend(inner.as_local()));
    }
    found
}
