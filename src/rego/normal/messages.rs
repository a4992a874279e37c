//! A denial must not vanish: if only the message of a finding is undefined, OPA finds nothing, and we return an error that
//! names the reference.
//!
//! A message is built in the head of `deny` or `warn`, or assigned for the head alone: an object, an array, `sprintf`,
//! `concat`. A reference or a call of a function that is the whole finding does not count, because its author may mean it
//! to be undefined.

use super::order::variables;
use super::tree::{Comprehension, Expr, ExprKind, Line, LineKind, Local, Name, Rule, Step};

pub(super) fn is_finding(name: &Expr) -> bool {
    matches!(&name.kind, ExprKind::Name(Name::Global(name)) if name == "deny" || name == "warn")
}

/// Whether an expression builds a message.
pub(super) fn builds_message(expr: &Expr) -> bool {
    match &expr.kind {
        ExprKind::Array(_) | ExprKind::Object(_) => true,
        ExprKind::Call(path, _) => {
            path.len() == 1 && path.iter().all(|name| name == "sprintf" || name == "concat")
        }
        _ => false,
    }
}

/// Marks the assignments of a rule that build a message for its head alone.
pub(super) fn mark(rule: &mut Rule) {
    if rule.key.is_none() || !is_finding(&rule.name) {
        return;
    }
    let Some(branch) = rule.branches.first_mut() else { return };
    for line in &mut branch.body {
        line.is_message =
            line.with.is_empty() && assigned(line).is_some_and(|(_, value)| builds_message(value));
    }
    unmark(&mut branch.body);
}

/// Unmarks lines whose variable a condition uses.
fn unmark(body: &mut [Line]) {
    loop {
        let used = used_elsewhere(body);
        let mut wrong = body
            .iter_mut()
            .filter(|line| line.is_message && assigned(line).is_none_or(|(name, _)| used.contains(&name)));
        let Some(line) = wrong.next() else { break };
        line.is_message = false;
    }
}

/// The variable that a line assigns, and its value.
fn assigned(line: &Line) -> Option<(Local, &Expr)> {
    let (LineKind::Assign(left, right) | LineKind::Equal(left, right)) = &line.kind else { return None };
    Some((left.as_local()?, right))
}

/// Variables of unmarked lines, nested bodies included.
fn used_elsewhere(lines: &[Line]) -> Vec<Local> {
    let mut found = Vec::new();
    for line in lines.iter().filter(|line| !line.is_message) {
        found.extend(variables(line));
        found.extend(super::order::closed_over(line));
    }
    found
}

/// Moves the marked lines to the end, and makes an undefined value in them an error.
pub(super) fn require(rule: &mut Rule, base: u32) {
    let Some(branch) = rule.branches.first_mut() else { return };
    // Since they were marked, conditions were added, a loop for example.
    unmark(&mut branch.body);
    let (texts, mut lines): (Vec<Line>, Vec<Line>) =
        std::mem::take(&mut branch.body).into_iter().partition(|line| line.is_message);
    for mut line in texts {
        if let LineKind::Assign(_, value) | LineKind::Equal(_, value) = &mut line.kind
            && may_be_undefined(value)
        {
            let (once, found) = (rule.locals.len(), rule.locals.len() + 1);
            rule.locals.extend([String::new(), String::new()]);
            let written = written(value, &rule.locals);
            *value = required(value.clone(), once, found, &written, base);
        }
        lines.push(line);
    }
    branch.body = lines;
}

/// References and functions of policies: builtins return a value or fail.
fn may_be_undefined(value: &Expr) -> bool {
    value.is_reference()
        || matches!(&value.kind, ExprKind::Call(path, _) if crate::builtins::arity(&path.join(".")).is_none())
}

/// `operators(["text", [found | some once in [0]; found = value], written])`
fn required(value: Expr, once: Local, found: Local, written: &str, base: u32) -> Expr {
    let location = value.location;
    let assign = LineKind::Assign(Expr::local(location, found), value);
    let body = vec![
        Line::once(location, once),
        Line { location, is_message: false, with: Vec::new(), kind: assign },
    ];
    let comprehension = Comprehension { array: true, key: None, value: Expr::local(location, found), body };
    let place_text =
        serde_json::Value::from(format!("`{written}` (line {})", location.0.saturating_sub(base)))
            .to_string();
    let given = [ExprKind::Comprehension(Box::new(comprehension)), ExprKind::Scalar(place_text)];
    Expr::operators(location, "text", given.map(|kind| Expr { location, kind }))
}

/// A reference or a call as its author wrote it, without what is hoisted from it.
fn written(expr: &Expr, locals: &[String]) -> String {
    match &expr.kind {
        ExprKind::Scalar(text) => text.clone(),
        ExprKind::Name(Name::Written(name) | Name::Global(name)) => name.clone(),
        ExprKind::Name(Name::Local(local)) => {
            locals.get(*local).filter(|name| !name.is_empty()).cloned().unwrap_or_else(|| "…".to_owned())
        }
        ExprKind::Call(path, _) => format!("{}(…)", path.join(".")),
        ExprKind::Reference(head, steps) => {
            let mut text = written(head, locals);
            for step in steps {
                match step {
                    Step::Field(name) => text.push_str(&format!(".{name}")),
                    Step::Index(index) => text.push_str(&format!("[{}]", written(index, locals))),
                }
            }
            text
        }
        _ => "…".to_owned(),
    }
}
