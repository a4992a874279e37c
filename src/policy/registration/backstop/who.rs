//! Requesters as CEL: never narrower than what the law makes of the same settings.

use super::super::conditions::{named_with_group, username_is};
use portcullis_tenancy::requester::Class;
use portcullis_tenancy::resource::Pattern;
use portcullis_tenancy::snapshot::{Identity, Settings};

/// Who may make a tenant's Namespace.
pub(super) fn makers(settings: &Settings) -> String {
    any(settings.identities.iter().filter(|who| who.creates_namespaces || who.class == Class::Admin))
}

/// Administrators.
pub(super) fn admins(settings: &Settings) -> String {
    any(settings.identities.iter().filter(|who| who.class == Class::Admin))
}

/// Everybody whom the settings or Kubernetes name.
pub(super) fn trusted(settings: &Settings) -> String {
    let cluster = [
        named_with_group("system:serviceaccount:kube-system:", "system:serviceaccounts:kube-system"),
        named_with_group("system:node:", "system:nodes"),
        username_is("system:kube-controller-manager"),
        username_is("system:kube-scheduler"),
        username_is("system:apiserver"),
    ];
    format!("{} ||\n{}", any(settings.identities.iter()), cluster.join(" ||\n"))
}

/// What tenants may connect to; `None` where it is nothing.
pub(super) fn connects(settings: &Settings) -> Option<String> {
    let connect = settings.connect;
    let open = [
        ("exec", connect.exec),
        ("attach", connect.attach),
        ("portforward", connect.portforward),
        ("proxy", connect.proxy),
    ];
    let words: Vec<String> =
        open.iter().filter(|(_, open)| *open).map(|(word, _)| format!("\"{word}\"")).collect();
    (!words.is_empty()).then(|| {
        format!(
            "(request.operation == \"CONNECT\" && request.resource.group == \"\" &&\n  \
             has(request.subResource) && request.subResource in [{}])",
            words.join(", ")
        )
    })
}

/// What an app namespace's own service accounts may write; `None` where it is nothing.
pub(super) fn workloads(settings: &Settings) -> Option<String> {
    let kinds: Vec<String> = settings.workload_writes.iter().map(kind).collect();
    (!kinds.is_empty()).then(|| {
        format!(
            "(has(request.userInfo.username) &&\n  \
             request.userInfo.username.startsWith(\"system:serviceaccount:\" + request.namespace + \":\") &&\n  ({}))",
            kinds.join(" ||\n  ")
        )
    })
}

/// A pattern with a wildcard is taken for everything: wider than the law, which is what a backstop may be.
fn kind(pattern: &Pattern) -> String {
    let Some((group, resource, subresource)) = pattern.exact() else { return "true".to_owned() };
    let subresource = if subresource.is_empty() {
        "!(has(request.subResource) && request.subResource != \"\")".to_owned()
    } else {
        format!("has(request.subResource) && request.subResource == {}", quoted(subresource))
    };
    format!(
        "(request.resource.group == {} && request.resource.resource == {} && {subresource})",
        quoted(group),
        quoted(resource)
    )
}

/// One of these; `false` where there is none.
fn any<'a>(identities: impl Iterator<Item = &'a Identity>) -> String {
    let all: Vec<String> = identities.filter_map(identity).collect();
    if all.is_empty() { "false".to_owned() } else { format!("({})", all.join(" ||\n  ")) }
}

fn identity(who: &Identity) -> Option<String> {
    let username = who.username.as_deref().map(|name| {
        format!("has(request.userInfo.username) && request.userInfo.username == {}", quoted(name))
    });
    let group = who
        .group
        .as_deref()
        .map(|group| format!("has(request.userInfo.groups) && {} in request.userInfo.groups", quoted(group)));
    let both: Vec<String> = username.into_iter().chain(group).collect();
    (!both.is_empty()).then(|| format!("({})", both.join(" && ")))
}

/// A CEL string. JSON's escapes are among CEL's.
pub(super) fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
