//! Reports what a test puts in place of `input` and `data`, so that the policies are asked about it on both engines.

use super::name_of;
use super::tree::{Expr, Kind, Line, LineKind, Name, Place, Rule, With};

/// The function that takes the report: a list of pairs of a path and a value.
pub(crate) const ASKED: [&str; 2] = ["portcullis", "asked"];

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

/// The first target of a `with` in a body for which there is a place.
pub(super) fn target(lines: &[Line], place: &dyn Fn(&Expr) -> Option<Place>) -> Option<Place> {
    lines.iter().find_map(|line| {
        let below = match &line.kind {
            LineKind::Every(every) => target(&every.body, place),
            _ => None,
        };
        below.or_else(|| line.with.iter().find_map(|with| place(&with.target)))
    })
}

/// A reference as names; `None` where a step is no name.
pub(super) fn names(target: &Expr) -> Option<Vec<String>> {
    let (head, steps) = match &target.kind {
        Kind::Reference(head, steps) => (head.as_ref(), steps.as_slice()),
        _ => (target, &[][..]),
    };
    let Kind::Name(Name::Written(root) | Name::Global(root)) = &head.kind else { return None };
    std::iter::once(Some(root.clone())).chain(steps.iter().map(name_of)).collect()
}

fn pair(with: &With) -> Option<Expr> {
    let place = with.target.place;
    let path = names(&with.target)?;
    if !path.first().is_some_and(|root| ["input", "data"].contains(&root.as_str())) {
        return None;
    }
    let text = |part: String| Expr { place, kind: Kind::Scalar(serde_json::Value::from(part).to_string()) };
    let path = Kind::Array(path.into_iter().map(text).collect());
    Some(Expr { place, kind: Kind::Array(vec![Expr { place, kind: path }, with.value.clone()]) })
}
