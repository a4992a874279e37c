//! What tests put in place of `input` and `data` by `with`: it is reported, so that the policies can be evaluated on it on
//! both engines. Functions cannot be replaced.

use std::collections::BTreeMap;

use serde_json::Value as Json;

use super::read;
use super::tree::{Expr, ExprKind, Line, LineKind, Location, Name, Rule, With, name_of};
use crate::source::{Module, Problem};

/// The function that takes a report: an array of pairs of a path and a value.
pub(crate) const MOCK_REPORT: [&str; 2] = ["portcullis", "mocked"];

pub(super) fn report(rule: &mut Rule) {
    rule.branches.iter_mut().for_each(|branch| body(&mut branch.body));
}

fn body(lines: &mut Vec<Line>) {
    let mut all = Vec::with_capacity(lines.len());
    for mut line in std::mem::take(lines) {
        if let LineKind::Every(every) = &mut line.kind {
            body(&mut every.body);
        }
        all.extend(report_of(&line));
        all.push(line);
    }
    *lines = all;
}

/// `None` for a line without `with`, and for one that replaces a function.
fn report_of(line: &Line) -> Option<Line> {
    let location = line.location;
    let pairs: Vec<Expr> = line.with.iter().map(pair).collect::<Option<_>>()?;
    let path = MOCK_REPORT.map(str::to_owned).to_vec();
    let call = ExprKind::Call(path, vec![Expr { location, kind: ExprKind::Array(pairs) }]);
    let kind = LineKind::Term(Expr { location, kind: call });
    (!line.with.is_empty()).then_some(Line { location, is_message: false, with: Vec::new(), kind })
}

/// The first target of a `with` for which `location` gives a position.
pub(super) fn target(lines: &[Line], location: &dyn Fn(&Expr) -> Option<Location>) -> Option<Location> {
    lines.iter().find_map(|line| {
        let below = match &line.kind {
            LineKind::Every(every) => target(&every.body, location),
            _ => None,
        };
        below.or_else(|| line.with.iter().find_map(|with| location(&with.target)))
    })
}

/// The path of a reference; `None` if a step is not constant.
pub(super) fn names(target: &Expr) -> Option<Vec<String>> {
    let (head, steps) = match &target.kind {
        ExprKind::Reference(head, steps) => (head.as_ref(), steps.as_slice()),
        _ => (target, &[][..]),
    };
    let ExprKind::Name(Name::Written(root) | Name::Global(root)) = &head.kind else { return None };
    std::iter::once(Some(root.clone())).chain(steps.iter().map(name_of)).collect()
}

fn pair(with: &With) -> Option<Expr> {
    let location = with.target.location;
    let path = names(&with.target)?;
    if !path.first().is_some_and(|root| ["input", "data"].contains(&root.as_str())) {
        return None;
    }
    let text =
        |part: String| Expr { location, kind: ExprKind::Scalar(serde_json::Value::from(part).to_string()) };
    let path = ExprKind::Array(path.into_iter().map(text).collect());
    Some(Expr { location, kind: ExprKind::Array(vec![Expr { location, kind: path }, with.value.clone()]) })
}

/// Refuses `with f as …` for a function of a policy: the interpreter applies it in some calls only (regorus 0.14.1,
/// `interpreter.rs`), so the test could pass or fail wrongly.
pub(super) fn refuse_functions(
    read: &[read::ParsedModule],
    modules: &[(&Module, Json)],
    bases: &[u32],
    functions: &BTreeMap<Vec<String>, usize>,
) -> Result<(), Problem> {
    for ((one, (module, _)), base) in read.iter().zip(modules).zip(bases) {
        let function = |target: &Expr| {
            let path = names(target)?;
            let imported = one
                .imports
                .iter()
                .find(|(import, alias)| alias.as_ref().or_else(|| import.last()) == path.first());
            let whole: Vec<String> = match (path.first().map(String::as_str), imported) {
                (Some("data"), _) => path.iter().skip(1).cloned().collect(),
                (_, Some((import, _))) => import.iter().skip(1).chain(path.iter().skip(1)).cloned().collect(),
                _ => one.package.iter().chain(&path).cloned().collect(),
            };
            functions.contains_key(&whole).then_some(target.location)
        };
        let bodies = one.rules.iter().flat_map(|rule| &rule.branches).map(|branch| &branch.body);
        if let Some((line, column)) = bodies.into_iter().find_map(|body| target(body, &function)) {
            let message = "`with` in place of a function of a policy is not supported here; give the function an input under which it has that value";
            return Err(Problem::at(&module.path, line.saturating_sub(*base), column, message));
        }
    }
    Ok(())
}
