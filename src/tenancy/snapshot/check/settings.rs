//! Settings and trusted identities. A mistake in an identity can trust every user, so what can only be a mistake is an
//! error.

use super::super::problems::{Location, Problems};
use super::super::{Connect, DEFAULT_PREFIX, Identity, Settings, wire};
use super::LABEL;
use crate::image::RegistryEntry;
use crate::name::check_prefix;
use crate::registered;
use crate::requester::{BUILT_IN, Class, NODE, SERVICE_ACCOUNT, service_account};
use crate::resource::Pattern;
use crate::text::{is_dns_label, is_dns_subdomain, quoted};

/// Groups that contain every user or every machine; trusting one would trust all tenants.
const UNIVERSAL_GROUPS: [&str; 4] =
    ["system:authenticated", "system:unauthenticated", "system:serviceaccounts", "system:nodes"];
/// Longest username or group, in bytes.
const NAME_MAX: usize = 256;
/// Leader election and events.
const WORKLOAD_WRITES: [&str; 3] = ["leases.coordination.k8s.io", "events", "events.events.k8s.io"];

pub(in super::super) fn check(wire: wire::Settings, problems: &mut Problems) -> Settings {
    let prefix = wire.prefix.unwrap_or_else(|| DEFAULT_PREFIX.to_owned());
    if let Err(error) = check_prefix(&prefix) {
        problems.add_error("settings.prefix", error);
    }
    let label_prefix = wire.label_prefix.unwrap_or_else(|| "kubenova.io".to_owned());
    check_label_prefix(&label_prefix, problems);
    let path = |index| format!("settings.registries.ceiling[{index}]");
    let ceiling: Vec<RegistryEntry> = without_index(entries(&wire.registries.ceiling, path, problems));
    let path = |index| format!("settings.registries.platform[{index}]");
    let platform = entries(&wire.registries.platform, path, problems);
    check_ceiling(&platform, &ceiling, path, problems);
    let identities = check_identities(wire.identities, &prefix, problems);
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

/// Parses entries and keeps their positions.
pub(super) fn entries<P: Location>(
    list: &[String],
    path: impl Fn(usize) -> P,
    problems: &mut Problems,
) -> Vec<(usize, RegistryEntry)> {
    let mut entries = Vec::with_capacity(list.len());
    for (index, text) in list.iter().enumerate() {
        match RegistryEntry::parse(text) {
            Ok(entry) => entries.push((index, entry)),
            Err(error) => problems.add_error(path(index), error),
        }
    }
    entries
}

/// Nothing outside the ceiling is ever admitted, so such an entry is a mistake.
pub(super) fn check_ceiling<P: Location>(
    entries: &[(usize, RegistryEntry)],
    ceiling: &[RegistryEntry],
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

pub(super) fn is_universal(group: &str) -> bool {
    UNIVERSAL_GROUPS.contains(&group)
}

/// Whether members of the group have rights beyond a tenant's.
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

pub(super) fn patterns<P: Location>(
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

fn without_index(entries: Vec<(usize, RegistryEntry)>) -> Vec<RegistryEntry> {
    entries.into_iter().map(|(_, entry)| entry).collect()
}

/// The first entries of the ceiling, for a message.
fn shown(ceiling: &[RegistryEntry]) -> String {
    const SHOWN_MAX: usize = 8;
    if ceiling.is_empty() {
        return "nothing: the ceiling is empty".to_owned();
    }
    let mut shown: Vec<String> =
        ceiling.iter().take(SHOWN_MAX).map(|entry| quoted(&entry.to_string())).collect();
    if ceiling.len() > SHOWN_MAX {
        shown.push(format!("and {} more", ceiling.len() - SHOWN_MAX));
    }
    format!("what is below {}", shown.join(", "))
}

fn check_identities(wire: Vec<wire::Identity>, prefix: &str, problems: &mut Problems) -> Vec<Identity> {
    let mut identities: Vec<Identity> = Vec::with_capacity(wire.len());
    for (index, identity) in wire.into_iter().enumerate() {
        let at = format!("settings.identities[{index}]");
        let class = class(&at, &identity.class, problems);
        check_names(&at, &identity, class, prefix, problems);
        check_powers(&at, &identity, class, problems);
        let identity = Identity {
            name: identity.name.into(),
            class: class.unwrap_or(Class::Unknown),
            username: identity.username.map(Into::into),
            group: identity.group.map(Into::into),
            creates_namespaces: identity.creates_namespaces,
            writes: patterns(&identity.writes, |write| format!("{at}.writes[{write}]"), problems).into(),
        };
        if identities.iter().any(|earlier| earlier.name == identity.name) {
            problems.add(
                format_args!("{at}.name"),
                format_args!("{} occurs twice", quoted(&identity.name)),
                "once",
            );
        }
        let same =
            |earlier: &Identity| (&earlier.username, &earlier.group) == (&identity.username, &identity.group);
        if let Some(earlier) = identities.iter().find(|earlier| same(earlier)) {
            let found = format_args!("has the username and group of {}", quoted(&earlier.name));
            problems.add(&at, found, "one entry per identity");
        }
        if identity.class == Class::Vela {
            check_vela(&at, &identity, &identities, problems);
        }
        identities.push(identity);
    }
    identities
}

/// The webhooks match one username, so a second KubeVela would write unchecked.
fn check_vela(at: &str, identity: &Identity, earlier: &[Identity], problems: &mut Problems) {
    if let Some(other) = earlier.iter().find(|earlier| earlier.class == Class::Vela) {
        let found = format_args!("is of class `vela`, as {} is", quoted(&other.name));
        problems.add(format_args!("{at}.class"), found, "one identity of class `vela`");
    }
    let unseen = registered::get().zip(identity.username.as_deref());
    if let Some((found, allowed)) = unseen.and_then(|(registered, name)| registered.unmatched_vela(name)) {
        problems.add(format_args!("{at}.username"), found, allowed);
    }
}

fn class(at: &str, class: &str, problems: &mut Problems) -> Option<Class> {
    let known = match class {
        "platform" => Some(Class::Platform),
        "vela" => Some(Class::Vela),
        "capsule" => Some(Class::Capsule),
        "controller" => Some(Class::Controller),
        "admin" => Some(Class::Admin),
        _ => None,
    };
    if known.is_none() {
        let allowed = "`platform`, `vela`, `capsule`, `controller`, `admin`";
        problems.add(format_args!("{at}.class"), quoted(class), allowed);
    }
    known
}

fn check_names(
    at: &str,
    identity: &wire::Identity,
    class: Option<Class>,
    prefix: &str,
    problems: &mut Problems,
) {
    if !is_dns_label(&identity.name) {
        problems.add(format_args!("{at}.name"), quoted(&identity.name), LABEL);
    }
    for (field, name) in [("username", &identity.username), ("group", &identity.group)] {
        if let Some((found, allowed)) = name.as_deref().and_then(name_objection) {
            problems.add(format_args!("{at}.{field}"), found, allowed);
        }
    }
    match (identity.username.as_deref(), identity.group.as_deref()) {
        (None, None) => problems.add(at, "neither `username` nor `group`", "at least one"),
        (None, Some(group)) if class.is_some_and(|class| class != Class::Admin) => {
            let found = format_args!("the group {} alone", quoted(group));
            problems.add(at, found, "a bare group only with class `admin`; add `username`");
        }
        (None, Some(group)) => check_admin_group(at, group, prefix, problems),
        (Some(username), group) => check_username(at, username, group, prefix, problems),
    }
}

/// A bare group makes every member an administrator.
fn check_admin_group(at: &str, group: &str, prefix: &str, problems: &mut Problems) {
    let of_tenant =
        group.strip_prefix("system:serviceaccounts:").and_then(|space| space.strip_prefix(prefix));
    if is_universal(group) || of_tenant.is_some_and(|rest| rest.starts_with('-')) {
        let found = format_args!("{} would make an administrator of every member", quoted(group));
        problems.add(format_args!("{at}.group"), found, "a group of administrators");
    }
}

fn check_username(at: &str, username: &str, group: Option<&str>, prefix: &str, problems: &mut Problems) {
    let path = format!("{at}.username");
    if BUILT_IN.contains(&username) || username.starts_with(NODE) {
        problems.add(path, format_args!("{} is built in", quoted(username)), "not listed");
        return;
    }
    if !username.starts_with(SERVICE_ACCOUNT) {
        return;
    }
    let Some((namespace, _)) = service_account(username) else {
        problems.add(path, quoted(username), "`system:serviceaccount:<namespace>:<name>`");
        return;
    };
    if namespace.strip_prefix(prefix).is_some_and(|rest| rest.starts_with('-')) {
        let found = format_args!("{} is a service account of a tenant namespace", quoted(username));
        problems.add(path, found, "always a tenant, so it cannot be listed");
    }
    // A user who can get a certificate signed can use the name; only the API server adds the group.
    let own = format!("system:serviceaccounts:{namespace}");
    if group != Some(own.as_str()) {
        let found = group.map_or("is missing".to_owned(), quoted);
        problems.add(format_args!("{at}.group"), found, format_args!("its own, {}", quoted(&own)));
    }
}

fn check_powers(at: &str, identity: &wire::Identity, class: Option<Class>, problems: &mut Problems) {
    let Some(class) = class else { return };
    if identity.creates_namespaces && class != Class::Platform {
        problems.add(format_args!("{at}.createsNamespaces"), "`true`", "only with class `platform`");
    }
    match (class, identity.writes.is_empty()) {
        (Class::Controller, true) => {
            problems.add(
                format_args!("{at}.writes"),
                "a controller without `writes`",
                "at least one resource",
            );
        }
        (Class::Controller, false) | (_, true) => {}
        (_, false) => problems.add(format_args!("{at}.writes"), "is given", "only with class `controller`"),
    }
}
