//! Settings: what holds for all tenants.

use super::super::error::{Place, Problems};
use super::super::wire;
use super::super::{Connect, DEFAULT_PREFIX, Identity, Settings};
use super::identities;
use crate::image::Entry;
use crate::name::check_prefix;
use crate::requester::Class;
use crate::resource::Pattern;
use crate::text::{is_dns_subdomain, quoted};

/// Groups that hold everybody, or every machine: whoever trusts one of them trusts all tenants.
const EVERYBODY: [&str; 4] =
    ["system:authenticated", "system:unauthenticated", "system:serviceaccounts", "system:nodes"];
/// Longest username or group, in bytes.
const NAME_MAX: usize = 256;
/// Harmless writes of ordinary workloads: leader election and events.
const WORKLOAD_WRITES: [&str; 3] = ["leases.coordination.k8s.io", "events", "events.events.k8s.io"];

pub(in super::super) fn check(wire: wire::Settings, problems: &mut Problems) -> Settings {
    let prefix = wire.prefix.unwrap_or_else(|| DEFAULT_PREFIX.to_owned());
    if let Err(error) = check_prefix(&prefix) {
        problems.add_error("settings.prefix", error);
    }
    let label_prefix = wire.label_prefix.unwrap_or_else(|| "kubenova.io".to_owned());
    check_label_prefix(&label_prefix, problems);
    let path = |index| format!("settings.registries.ceiling[{index}]");
    let ceiling: Vec<Entry> = without_index(entries(&wire.registries.ceiling, path, problems));
    let path = |index| format!("settings.registries.platform[{index}]");
    let platform = entries(&wire.registries.platform, path, problems);
    check_ceiling(&platform, &ceiling, path, problems);
    let identities = identities::check(wire.identities, &prefix, problems);
    let writes = wire.workload_writes.unwrap_or_else(|| WORKLOAD_WRITES.map(str::to_owned).to_vec());
    let wire::Connect { exec, attach, portforward, proxy } = wire.connect;
    Settings {
        prefix: prefix.into(),
        label_prefix: label_prefix.into(),
        ceiling,
        platform: without_index(platform),
        identities,
        connect: Connect { exec, attach, portforward, proxy },
        workload_writes: patterns(&writes, |index| format!("settings.workloadWrites[{index}]"), problems),
    }
}

/// Reads entries, keeping where each stood.
pub(super) fn entries<P: Place>(
    list: &[String],
    path: impl Fn(usize) -> P,
    problems: &mut Problems,
) -> Vec<(usize, Entry)> {
    let mut entries = Vec::with_capacity(list.len());
    for (index, text) in list.iter().enumerate() {
        match Entry::parse(text) {
            Ok(entry) => entries.push((index, entry)),
            Err(error) => problems.add_error(path(index), error),
        }
    }
    entries
}

/// Nothing outside the ceiling is ever admitted, so to list it elsewhere is a mistake of one of the two.
pub(super) fn check_ceiling<P: Place>(
    entries: &[(usize, Entry)],
    ceiling: &[Entry],
    path: impl Fn(usize) -> P,
    problems: &mut Problems,
) {
    for (index, entry) in entries {
        if !ceiling.iter().any(|wider| entry.is_within(wider)) {
            let found = format_args!("`{entry}` is outside `settings.registries.ceiling`");
            problems.add(path(*index), found, shown(ceiling));
        }
    }
}

/// What is wrong with a username or group as text, and what is allowed.
pub(super) fn name_objection(name: &str) -> Option<(String, &'static str)> {
    let bad =
        name.is_empty() || name.len() > NAME_MAX || name.trim() != name || name.chars().any(char::is_control);
    bad.then(|| (quoted(name), "1 to 256 characters, no control characters, no space at either end"))
}

/// Whether a group holds everybody of some kind.
pub(super) fn is_everybody(group: &str) -> bool {
    EVERYBODY.contains(&group)
}

/// Whether membership means more than a tenant: such a group listed by a tenant would never act, or act for the wrong.
pub(super) fn is_privileged(settings: &Settings, group: &str) -> bool {
    let admin =
        |identity: &Identity| identity.class == Class::Admin && identity.group.as_deref() == Some(group);
    matches!(group, "system:masters" | "system:serviceaccounts:kube-system")
        || settings.identities.iter().any(admin)
}

fn check_label_prefix(prefix: &str, problems: &mut Problems) {
    let reserved = ["kubernetes.io", "k8s.io"].iter().any(|theirs| {
        prefix.strip_suffix(theirs).is_some_and(|before| before.is_empty() || before.ends_with('.'))
    });
    if !is_dns_subdomain(prefix) || reserved {
        let allowed = "a DNS subdomain in lower case, at most 253 characters, none of Kubernetes' own";
        problems.add("settings.labelPrefix", quoted(prefix), allowed);
    }
}

/// Reads resource patterns.
pub(super) fn patterns<P: Place>(
    list: &[String],
    path: impl Fn(usize) -> P,
    problems: &mut Problems,
) -> Vec<Pattern> {
    let mut patterns = Vec::with_capacity(list.len());
    for (index, text) in list.iter().enumerate() {
        match Pattern::parse(text) {
            Ok(pattern) => patterns.push(pattern),
            Err(error) => problems.add_error(path(index), error),
        }
    }
    patterns
}

fn without_index(entries: Vec<(usize, Entry)>) -> Vec<Entry> {
    entries.into_iter().map(|(_, entry)| entry).collect()
}

/// The ceiling in words, no more of it than a sentence bears.
fn shown(ceiling: &[Entry]) -> String {
    const SHOWN_MAX: usize = 8;
    if ceiling.is_empty() {
        return "nothing, for the ceiling is empty".to_owned();
    }
    let mut shown: Vec<String> =
        ceiling.iter().take(SHOWN_MAX).map(|entry| quoted(&entry.to_string())).collect();
    if ceiling.len() > SHOWN_MAX {
        shown.push(format!("and {} more", ceiling.len() - SHOWN_MAX));
    }
    format!("what is below {}", shown.join(", "))
}
