//! Identities: who is more than a tenant. A slip here trusts everybody, so what could only be a slip is refused.

use super::super::Identity;
use super::super::error::Problems;
use super::super::wire;
use super::LABEL;
use super::settings::{is_everybody, name_objection, patterns};
use crate::registered;
use crate::requester::{BUILT_IN, Class, NODE, SERVICE_ACCOUNT, service_account};
use crate::text::{is_dns_label, quoted};

/// Checks the list as a whole.
pub(super) fn check(wire: Vec<wire::Identity>, prefix: &str, problems: &mut Problems) -> Vec<Identity> {
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
                format_args!("{} stands here twice", quoted(&identity.name)),
                "once",
            );
        }
        let same =
            |earlier: &Identity| (&earlier.username, &earlier.group) == (&identity.username, &identity.group);
        if let Some(earlier) = identities.iter().find(|earlier| same(earlier)) {
            let found = format_args!("has the username and group of {}", quoted(&earlier.name));
            problems.add(&at, found, "one entry for one identity");
        }
        if identity.class == Class::Vela {
            check_vela(&at, &identity, &identities, problems);
        }
        identities.push(identity);
    }
    identities
}

/// What is registered asks for one username, so a second KubeVela would write unseen.
fn check_vela(at: &str, identity: &Identity, earlier: &[Identity], problems: &mut Problems) {
    if let Some(other) = earlier.iter().find(|earlier| earlier.class == Class::Vela) {
        let found = format_args!("is of class `vela`, as {} is", quoted(&other.name));
        problems.add(
            format_args!("{at}.class"),
            found,
            "one identity of class `vela`, for which webhooks are called",
        );
    }
    let unseen = registered::get().zip(identity.username.as_deref());
    if let Some((found, allowed)) = unseen.and_then(|(registered, name)| registered.unseen_vela(name)) {
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

/// A bare group makes administrators of all its members.
fn check_admin_group(at: &str, group: &str, prefix: &str, problems: &mut Problems) {
    let of_tenant =
        group.strip_prefix("system:serviceaccounts:").and_then(|space| space.strip_prefix(prefix));
    if is_everybody(group) || of_tenant.is_some_and(|rest| rest.starts_with('-')) {
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
    // Whoever can have a certificate signed can carry the name; the group is what the API server itself adds.
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
