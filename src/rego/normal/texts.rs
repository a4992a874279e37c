//! A denial cannot vanish: where only the text of a finding is undefined, OPA finds nothing, and we answer an error that
//! names the reference.
//!
//! A text is what stands in the head of `deny` or `warn`, or is assigned for the head alone, and is put together: an
//! object, a list, `sprintf`, `concat`. A reference or a function call that is the whole finding
//! does not count, because its author may mean it to be undefined.

use super::order::variables;
use super::tree::{Comprehension, Expr, Kind, Line, LineKind, Local, Name, Rule, Step};

/// Whether the elements of a rule are findings.
pub(super) fn is_finding(name: &Expr) -> bool {
    matches!(&name.kind, Kind::Name(Name::Global(name)) if name == "deny" || name == "warn")
}

/// Whether an expression puts a text together.
pub(super) fn makes_text(expr: &Expr) -> bool {
    match &expr.kind {
        Kind::Array(_) | Kind::Object(_) => true,
        Kind::Call(path, _) => {
            path.len() == 1 && path.iter().all(|name| name == "sprintf" || name == "concat")
        }
        _ => false,
    }
}

/// Marks the assignments of a rule that make a text for its head alone.
pub(super) fn mark(rule: &mut Rule) {
    if rule.key.is_none() || !is_finding(&rule.name) {
        return;
    }
    let Some(branch) = rule.branches.first_mut() else { return };
    for line in &mut branch.body {
        line.text = line.with.is_empty() && assigned(line).is_some_and(|(_, value)| makes_text(value));
    }
    unmark(&mut branch.body);
}

/// Takes the mark off the lines whose variable a condition looks at.
fn unmark(body: &mut [Line]) {
    loop {
        let used = used_elsewhere(body);
        let mut wrong = body
            .iter_mut()
            .filter(|line| line.text && assigned(line).is_none_or(|(name, _)| used.contains(&name)));
        let Some(line) = wrong.next() else { break };
        line.text = false;
    }
}

/// The variable that a line gives a value, and this.
fn assigned(line: &Line) -> Option<(Local, &Expr)> {
    let (LineKind::Assign(left, right) | LineKind::Equal(left, right)) = &line.kind else { return None };
    Some((left.as_local()?, right))
}

/// Variables in lines that make no text, bodies below them included.
fn used_elsewhere(lines: &[Line]) -> Vec<Local> {
    let mut found = Vec::new();
    for line in lines.iter().filter(|line| !line.text) {
        found.extend(variables(line));
        found.extend(super::order::closed_over(line));
    }
    found
}

/// Puts the lines that make a text behind the others, and makes what is undefined in them an error.
pub(super) fn require(rule: &mut Rule, base: u32) {
    let Some(branch) = rule.branches.first_mut() else { return };
    // The normal form has added conditions since, a loop for example.
    unmark(&mut branch.body);
    let (texts, mut lines): (Vec<Line>, Vec<Line>) =
        std::mem::take(&mut branch.body).into_iter().partition(|line| line.text);
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

/// References, and functions that a policy defines: builtins have a value or fail.
fn may_be_undefined(value: &Expr) -> bool {
    value.is_reference()
        || matches!(&value.kind, Kind::Call(path, _) if crate::builtins::arity(&path.join(".")).is_none())
}

/// `operators(["text", [found | some once in [0]; found = value], written])`
fn required(value: Expr, once: Local, found: Local, written: &str, base: u32) -> Expr {
    let place = value.place;
    let assign = LineKind::Assign(Expr::local(place, found), value);
    let body = vec![Line::once(place, once), Line { place, text: false, with: Vec::new(), kind: assign }];
    let comprehension = Comprehension { array: true, key: None, value: Expr::local(place, found), body };
    let place_text =
        serde_json::Value::from(format!("`{written}` (line {})", place.0.saturating_sub(base))).to_string();
    let given = [Kind::Comprehension(Box::new(comprehension)), Kind::Scalar(place_text)];
    Expr::operators(place, "text", given.map(|kind| Expr { place, kind }))
}

/// A reference or a call as its author wrote it, but for what the normal form has taken out of it.
fn written(expr: &Expr, locals: &[String]) -> String {
    match &expr.kind {
        Kind::Scalar(text) => text.clone(),
        Kind::Name(Name::Written(name) | Name::Global(name)) => name.clone(),
        Kind::Name(Name::Local(local)) => {
            locals.get(*local).filter(|name| !name.is_empty()).cloned().unwrap_or_else(|| "…".to_owned())
        }
        Kind::Call(path, _) => format!("{}(…)", path.join(".")),
        Kind::Reference(head, steps) => {
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
