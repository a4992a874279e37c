//! Reports what a test puts in place of `input` and `data`, so that the policies are asked about it on both engines.

use super::tree::{Expr, Kind, Line, LineKind, Name, Rule, With};
use super::{Step, name_of};

/// The function that takes the report: a list of pairs of a path and a value.
pub(in crate::policy::engine) const ASKED: [&str; 2] = ["portcullis", "asked"];

/// Adds a report before each line that has `with`.
pub(super) fn tell(rule: &mut Rule) {
    rule.branches.iter_mut().for_each(|branch| body(&mut branch.body));
}

fn body(lines: &mut Vec<Line>) {
    let mut all = Vec::with_capacity(lines.len());
    for mut line in std::mem::take(lines) {
        if let LineKind::Every(every) = &mut line.kind {
            body(&mut every.body);
        }
        all.extend(told(&line));
        all.push(line);
    }
    *lines = all;
}

/// `None` for a line without `with`, and for one that puts a function in place of another.
fn told(line: &Line) -> Option<Line> {
    let place = line.place;
    let pairs: Vec<Expr> = line.with.iter().map(pair).collect::<Option<_>>()?;
    let path = ASKED.map(str::to_owned).to_vec();
    let call = Kind::Call(path, vec![Expr { place, kind: Kind::Array(pairs) }]);
    let kind = LineKind::Term(Expr { place, kind: call });
    (!line.with.is_empty()).then_some(Line { place, text: false, with: Vec::new(), kind })
}

fn pair(with: &With) -> Option<Expr> {
    let place = with.target.place;
    let (head, steps) = match &with.target.kind {
        Kind::Reference(head, steps) => (head.as_ref(), steps.as_slice()),
        _ => (&with.target, &[][..]),
    };
    let Kind::Name(Name::Written(root) | Name::Global(root)) = &head.kind else { return None };
    if !["input", "data"].contains(&root.as_str()) {
        return None;
    }
    let path: Option<Vec<String>> =
        std::iter::once(Some(root.clone())).chain(steps.iter().map(|step: &Step| name_of(step))).collect();
    let text = |part: String| Expr { place, kind: Kind::Scalar(serde_json::Value::from(part).to_string()) };
    let path = Kind::Array(path?.into_iter().map(text).collect());
    Some(Expr { place, kind: Kind::Array(vec![Expr { place, kind: path }, with.value.clone()]) })
}
