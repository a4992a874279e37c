//! Every policy's `match` against the table: what nobody sends, nobody may wait for.

use std::fmt::Write as _;

use super::known::{Group, Parts, Subresource};
use super::{ELSEWHERE, Entry, Hook, Scope, TABLE};
use crate::manifest::{Match, Operation};
use crate::set::{Policy, PolicySet};
use portcullis_rego::problem::Problem;
use portcullis_tenancy::snapshot::Kind;

/// Every kind; an entry with all of them means "wherever it is", so one that is reached is enough.
const KINDS: &[Kind] = &[Kind::App, Kind::Sandbox, Kind::Unregistered, Kind::Platform, Kind::Cluster];

/// What policies wait for and nobody sends, in order of policy; each names the policy's METADATA block.
pub fn check(set: &PolicySet) -> Vec<Problem> {
    set.policies.iter().flat_map(of_policy).collect()
}

fn of_policy(policy: &Policy) -> Vec<Problem> {
    let manifest = &policy.manifest;
    if manifest.id == ELSEWHERE {
        return Vec::new();
    }
    let judges = policy.defines("deny") || policy.defines("warn");
    let (file, line) = &manifest.place;
    let messages = of_matches(&manifest.matches, judges, policy.patches());
    let problem =
        |message| Problem::at(file, *line, 0, format!("policy `{}` waits for {message}", manifest.id));
    messages.into_iter().map(problem).collect()
}

/// `judges`: it has `deny` or `warn`, for which /validate is enough. `patches`: it has `patch` or `merge`, for /mutate.
pub(super) fn of_matches(matches: &[Match], judges: bool, patches: bool) -> Vec<String> {
    let hooks: &[Hook] = match (judges, patches) {
        (true, true) => &[Hook::Mutating, Hook::Validating],
        (_, false) => &[Hook::Validating],
        (false, true) => &[Hook::Mutating],
    };
    let mut messages: Vec<String> = matches.iter().flat_map(|entry| of_entry(entry, hooks)).collect();
    let reaches_mutate = |entry: &Match| {
        let sent = |pattern: &str| {
            unsent(entry, &[Hook::Mutating], pattern, &entry.namespaces).0.len() < entry.operations.len()
        };
        entry.resources.iter().any(|pattern| sent(&pattern.to_string()))
    };
    if judges && patches && messages.is_empty() && !matches.iter().any(reaches_mutate) {
        messages.push(format!("nothing that can be patched: {}", registered(&[Hook::Mutating])));
    }
    messages
}

fn of_entry(entry: &Match, hooks: &[Hook]) -> Vec<String> {
    let mut messages = Vec::new();
    for pattern in &entry.resources {
        let pattern = pattern.to_string();
        if let Some(why) = Parts::of(&pattern).never() {
            messages.push(format!("`{pattern}`, which never arrives: {why}"));
            continue;
        }
        let everywhere = KINDS.iter().all(|kind| entry.namespaces.contains(kind));
        let groups: Vec<&[Kind]> =
            if everywhere { vec![&entry.namespaces] } else { entry.namespaces.chunks(1).collect() };
        for kinds in groups {
            let (operations, why) = unsent(entry, hooks, &pattern, kinds);
            if operations.is_empty() {
                continue;
            }
            let mut message = format!("{} of `{pattern}`", words(&operations));
            if let ([kind], false) = (kinds, everywhere) {
                let _ = write!(message, " in namespaces of kind {kind}", kind = kind.as_str());
            }
            let _ = write!(message, ", which nobody registered{why}; {}", registered(hooks));
            messages.push(message);
        }
    }
    messages
}

/// Operations of the entry that reach none of the hooks for any of the kinds, and a hint.
fn unsent(entry: &Match, hooks: &[Hook], pattern: &str, kinds: &[Kind]) -> (Vec<Operation>, &'static str) {
    let parts = Parts::of(pattern);
    let reached = |operation: Operation| {
        TABLE.iter().any(|row| {
            hooks.contains(&row.hook) && kinds.iter().any(|kind| covers(row, operation, &parts, *kind))
        })
    };
    let unsent: Vec<Operation> =
        entry.operations.iter().copied().filter(|operation| !reached(*operation)).collect();
    let why = match (parts.scope(), kinds) {
        (Some(Scope::Cluster), _) if !parts.is_namespaces() && !kinds.contains(&Kind::Cluster) => {
            " (it has no namespace; its kind is cluster)"
        }
        (Some(Scope::Namespaced), [Kind::Cluster]) => " (it always lies in a namespace)",
        _ if parts.is_namespaces() && kinds == [Kind::Cluster] => {
            " (a Namespace is of its own kind, never of cluster)"
        }
        _ => "",
    };
    (unsent, why)
}

/// Whether all of the pattern comes through the row. A pattern wider than a row is not covered by it: its author would
/// believe in a guard that is not there.
fn covers(row: &Entry, operation: Operation, parts: &Parts<'_>, kind: Kind) -> bool {
    let group = row.group == "*" || parts.group == Group::Is(row.group);
    let resource = |known: &&str| match *known {
        "*/*" => true,
        "*" => parts.subresource == Subresource::None,
        exact => {
            let (name, subresource) = exact
                .split_once('/')
                .map_or((exact, Subresource::None), |(name, sub)| (name, Subresource::Is(sub)));
            parts.resource == Some(name) && parts.subresource == subresource
        }
    };
    let namespace_in_cluster = parts.is_namespaces() && kind == Kind::Cluster;
    row.operations.contains(&operation)
        && row.kinds.contains(&kind)
        && group
        && row.resources.iter().any(resource)
        && parts.scope().is_none_or(|scope| scope == row.scope)
        && !namespace_in_cluster
}

/// What is registered, in words.
fn registered(hooks: &[Hook]) -> String {
    let mut text = String::from("registered is");
    let rows = TABLE.iter().filter(|row| hooks.contains(&row.hook) && !row.kinds.is_empty());
    for (at, row) in rows.enumerate() {
        let resources: Vec<String> = row.resources.iter().map(|resource| format!("`{resource}`")).collect();
        let kinds: Vec<&str> = row.kinds.iter().map(|kind| kind.as_str()).collect();
        let (joint, path) = (if at == 0 { "" } else { ";" }, row.hook.path());
        let _ = write!(
            text,
            "{joint} {} of {} in {} ({path})",
            words(row.operations),
            resources.join(", "),
            kinds.join(", ")
        );
    }
    text
}

fn words(operations: &[Operation]) -> String {
    let words: Vec<&str> = operations.iter().map(|operation| operation.as_str()).collect();
    if operations.len() == Operation::ALL.len() { "everything".to_owned() } else { words.join(", ") }
}
