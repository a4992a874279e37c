//! Which rules a rule needs, and whether it needs itself.

use std::collections::{BTreeMap, BTreeSet};

use super::tree::{Expr, Kind, Name, Rule, see_all, see_inside};
use super::{Globals, name_of, root};

/// A rule by its package and name, below `data`.
type Path = Vec<String>;

/// What each rule mentions.
#[derive(Default)]
pub(super) struct Needs {
    of: BTreeMap<Path, BTreeSet<Path>>,
}

impl Needs {
    /// Adds what a rule of a package mentions.
    pub(super) fn add(&mut self, package: &[String], rule: &Rule, globals: &Globals) {
        let Some(name) = root(&rule.name) else { return };
        let path: Path = package.iter().cloned().chain([name.to_owned()]).collect();
        let found = self.of.entry(path).or_default();
        let mut see = |expr: &Expr| found.extend(mentioned(expr, globals));
        for branch in &rule.branches {
            see_all(&branch.body, &mut see);
            branch.value.iter().for_each(|value| see_inside(value, &mut see));
        }
        rule.key.iter().for_each(|key| see_inside(key, &mut see));
    }

    /// Whether a rule needs itself, by way of others or not.
    pub(super) fn itself(&self, package: &[String], name: &str) -> bool {
        let own: Path = package.iter().cloned().chain([name.to_owned()]).collect();
        let (mut open, mut seen) = (vec![&own], BTreeSet::new());
        while let Some(path) = open.pop() {
            for mentioned in self.of.get(path).into_iter().flatten() {
                let met = |rule: &Path| rule.starts_with(mentioned) || mentioned.starts_with(rule);
                for rule in self.of.keys().filter(|rule| met(rule)) {
                    if *rule == own {
                        return true;
                    }
                    if seen.insert(rule) {
                        open.push(rule);
                    }
                }
            }
        }
        false
    }
}

/// What an expression names below `data`: as far as its steps are constants.
fn mentioned(expr: &Expr, globals: &Globals) -> Option<Path> {
    match &expr.kind {
        Kind::Reference(head, steps) if is_data(head) => Some(steps.iter().map_while(name_of).collect()),
        Kind::Call(path, _) => {
            let (first, rest) = path.split_first()?;
            Some(globals.get(first)?.iter().chain(rest).skip(1).cloned().collect())
        }
        _ => None,
    }
}

fn is_data(expr: &Expr) -> bool {
    matches!(&expr.kind, Kind::Name(Name::Global(name)) if name == "data")
}
