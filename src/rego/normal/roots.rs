//! Looks at `input` before anything else, where a body inside a rule would be the first to: the compiler of the register
//! machine loads it where it is first met, and takes it for loaded behind a loop that goes no times (regorus 0.14.1,
//! `compiler/core.rs`, `resolve_variable`).

use super::tree::{Expr, Kind, Line, LineKind, Name, Rule};

const ROOT: &str = "input";

/// Adds `not input == 0` where it is needed.
pub(super) fn load(rule: &mut Rule) {
    for branch in &mut rule.branches {
        let first = branch.body.iter().find_map(|line| first(line, ROOT));
        if let (Some(true), Some(place)) = (first, branch.body.first().map(|line| line.place)) {
            // It always holds: the input is a document and no number, or it is undefined.
            let zero = Expr { place, kind: Kind::Scalar("0".to_owned()) };
            let whole = Expr { place, kind: Kind::Name(Name::Global(ROOT.to_owned())) };
            let kind = LineKind::Not(Box::new(LineKind::Equal(whole, zero)));
            branch.body.insert(0, Line { place, text: false, with: Vec::new(), kind });
        }
    }
}

/// Whether the first mention in a line stands in a body inside it; `None` without a mention.
fn first(line: &Line, root: &str) -> Option<bool> {
    if in_bodies(line, root) {
        return Some(true);
    }
    mentioned(line, root).then_some(false)
}

fn mentioned(line: &Line, root: &str) -> bool {
    line.expressions().into_iter().any(|expr| mentions(expr, root))
}

fn mentions(expr: &Expr, root: &str) -> bool {
    let mut found = false;
    expr.walk(&mut |inner| found |= matches!(&inner.kind, Kind::Name(Name::Global(name)) if name == root));
    found
}

fn in_bodies(line: &Line, root: &str) -> bool {
    let body = |lines: &[Line]| lines.iter().any(|line| mentioned(line, root) || in_bodies(line, root));
    let mut found = false;
    for expr in line.expressions() {
        expr.walk(&mut |inner| {
            if let Kind::Comprehension(comprehension) = &inner.kind {
                found |= body(&comprehension.body);
            }
        });
    }
    if let LineKind::Every(every) = &line.kind {
        found |= body(&every.body);
    }
    found
}
