//! Rules that come back to themselves. The engine follows them until its stack ends, and with it the process.

use std::collections::{BTreeMap, BTreeSet};

use crate::set::compile::Unit;
use portcullis_rego::problem::Problem;
use portcullis_rego::uses::Use;

/// A rule by its path below `data`.
type Path<'a> = Vec<&'a str>;

struct Node<'a> {
    unit: usize,
    place: (u32, u32),
    uses: Vec<&'a Use>,
}

/// Says each rule that refers to itself, by way of others or not. A reference that ends in what is no constant means all
/// that it could mean.
pub(in crate::set) fn cycles(units: &mut [Unit<'_>]) {
    let mut nodes: BTreeMap<Path<'_>, Node<'_>> = BTreeMap::new();
    for (unit, analysis) in units.iter().map(|unit| &unit.analysis).enumerate() {
        for rule in &analysis.rules {
            let path = analysis.package.iter().chain(&rule.path).map(String::as_str).collect();
            let node = nodes.entry(path).or_insert(Node { unit, place: rule.place, uses: Vec::new() });
            node.uses.extend(&rule.uses);
        }
    }
    let mut walk = Walk { nodes: &nodes, done: BTreeSet::new(), way: Vec::new(), found: Vec::new() };
    nodes.keys().for_each(|path| walk.visit(path));
    let found: Vec<(usize, (u32, u32), String)> = walk.found;
    for (at, place, message) in found {
        if let Some(unit) = units.get_mut(at) {
            let problem = Problem::at(&unit.module.path, place.0, place.1, message);
            unit.problems.0.push(problem.settled(&unit.module.text));
        }
    }
}

struct Walk<'n, 'a> {
    nodes: &'n BTreeMap<Path<'a>, Node<'a>>,
    done: BTreeSet<&'n Path<'a>>,
    way: Vec<&'n Path<'a>>,
    found: Vec<(usize, (u32, u32), String)>,
}

/// Rules in a chain of references; a chain that is longer could end the engine's stack like one without an end.
const DEPTH_MAX: usize = 200;

impl<'n, 'a> Walk<'n, 'a> {
    fn visit(&mut self, path: &'n Path<'a>) {
        if self.done.contains(path) {
            return;
        }
        if let Some(at) = self.way.iter().position(|before| *before == path) {
            let round = self.way.get(at..).unwrap_or_default().iter().chain([&path]);
            let round: Vec<String> = round.map(|path| format!("`{}`", path.join("."))).collect();
            return self.say(
                path,
                format!(
                    "this rule refers to itself: {}; no rule may, not even by way of others",
                    round.join(" → ")
                ),
            );
        }
        if self.way.len() >= DEPTH_MAX {
            return self.say(path, format!("more than {DEPTH_MAX} rules refer to each other in a chain"));
        }
        self.way.push(path);
        let uses = self.nodes.get(path).map(|node| node.uses.clone()).unwrap_or_default();
        let mut seen = BTreeSet::new();
        for one in uses.into_iter().filter(|one| seen.insert(&one.path)) {
            self.meant(one).into_iter().for_each(|next| self.visit(next));
        }
        self.way.pop();
        self.done.insert(path);
    }

    /// Rules that a path leads to, lies in, or holds.
    fn meant(&self, one: &'a Use) -> Vec<&'n Path<'a>> {
        let path: Vec<&str> = one.path.iter().map(String::as_str).collect();
        let above = (1..path.len()).filter_map(|end| {
            let (path, _) = self.nodes.get_key_value(path.get(..end)?)?;
            Some(path)
        });
        let from = self.nodes.range(path.clone()..).map(|(path, _)| path);
        above.chain(from.take_while(|below| below.starts_with(&path))).collect()
    }

    fn say(&mut self, path: &Path<'a>, message: String) {
        if let Some(node) = self.nodes.get(path) {
            self.found.push((node.unit, node.place, message));
        }
    }
}
