//! The smallest policy and object that still show a difference.

use serde_json::Value as Json;

use super::random::{Kind, Node, Part, Policy};

/// How often a smaller program is tried; each try asks OPA and both engines.
const TRIES_MAX: usize = 1500;

/// What may stand for any term.
const SIMPLE: &[&str] = &["1", "\"a\"", "true", "input.a", "input.none"];

/// A body without a line would be read as an object.
const EMPTY: [&str; 2] = ["{\n}", "{\n\t}"];

/// Makes a policy and an object smaller for as long as `differs` holds of them.
pub fn shrink(
    policy: &Policy,
    input: &Json,
    mut differs: impl FnMut(&Policy, &Json) -> bool,
) -> (Policy, Json) {
    let (mut policy, mut input) = (policy.clone(), input.clone());
    let mut tries = 0;
    loop {
        let mut smaller = false;
        let mut at = 0;
        while let Some(tree) = edited(&policy.tree, at) {
            let candidate = Policy { tree, ..policy.clone() };
            tries += 1;
            if tries > TRIES_MAX {
                return (policy, input);
            }
            let text = candidate.tree.to_string();
            let fits =
                text.len() < policy.tree.to_string().len() && !EMPTY.iter().any(|empty| text.contains(empty));
            if fits && differs(&candidate, &input) {
                policy = candidate;
                smaller = true;
            } else {
                at += 1;
            }
        }
        let mut at = 0;
        while let Some(candidate) = without(&input, &mut at.clone()) {
            tries += 1;
            if differs(&policy, &candidate) {
                input = candidate;
                smaller = true;
            } else {
                at += 1;
            }
        }
        if !smaller {
            return (policy, input);
        }
    }
}

/// The tree after its edit of this number; `None` after the last.
fn edited(tree: &Node, number: usize) -> Option<Node> {
    let mut copy = tree.clone();
    let mut left = number;
    edit(&mut copy, &mut left).then_some(copy)
}

/// Counts edits down, from the largest parts to the smallest, and does the one at nought.
fn edit(node: &mut Node, left: &mut usize) -> bool {
    for at in 0..node.parts.len() {
        let Part::Node(child) = &node.parts[at] else { continue };
        if matches!(child.kind, Kind::Rule | Kind::Clause | Kind::Line) && take(left) {
            node.parts.remove(at);
            return true;
        }
        for inner in below(child) {
            if take(left) {
                node.parts[at] = Part::Node(inner);
                return true;
            }
        }
        if child.kind == Kind::Term {
            for simple in SIMPLE {
                if take(left) {
                    node.parts[at] = Part::Node(Node { kind: Kind::Term, parts: vec![(*simple).into()] });
                    return true;
                }
            }
        }
    }
    node.parts.iter_mut().any(|part| match part {
        Part::Node(child) => edit(child, left),
        Part::Text(_) => false,
    })
}

fn take(left: &mut usize) -> bool {
    *left = left.wrapping_sub(1);
    *left == usize::MAX
}

/// What stands inside and may stand instead.
fn below(node: &Node) -> Vec<Node> {
    let mut found = Vec::new();
    for part in &node.parts {
        if let Part::Node(child) = part {
            let fits = match node.kind {
                Kind::Term => child.kind == Kind::Term,
                Kind::Clause => matches!(child.kind, Kind::Clause | Kind::Term),
                _ => false,
            };
            if fits {
                found.push(child.clone());
            }
            if node.kind == Kind::Term && child.kind != Kind::Term {
                found.extend(below(child).into_iter().filter(|inner| inner.kind == Kind::Term));
            }
        }
    }
    found
}

/// The document without its part of this number.
fn without(json: &Json, left: &mut usize) -> Option<Json> {
    match json {
        Json::Object(members) => members.iter().find_map(|(key, value)| {
            let mut copy = members.clone();
            if take(left) {
                copy.remove(key);
                return Some(Json::Object(copy));
            }
            let smaller = without(value, left)?;
            copy.insert(key.clone(), smaller);
            Some(Json::Object(copy))
        }),
        Json::Array(items) => items.iter().enumerate().find_map(|(at, value)| {
            let mut copy = items.clone();
            if take(left) {
                copy.remove(at);
                return Some(Json::Array(copy));
            }
            copy[at] = without(value, left)?;
            Some(Json::Array(copy))
        }),
        _ => None,
    }
}
