//! Checks every policy's `match` against the table: a policy must not match what no webhook receives.

use std::fmt::Write as _;

use super::{ELSEWHERE, Hook, Scope, TABLE, WebhookEntry};
use crate::manifest::{Match, Operation};
use crate::set::{Policy, PolicySet};
use portcullis_rego::Problem;
use portcullis_tenancy::snapshot::Kind;

/// A `match` with all kinds means any namespace, so one covered kind is enough.
const KINDS: &[Kind] = &[Kind::App, Kind::Sandbox, Kind::Unregistered, Kind::Platform, Kind::Cluster];

/// What policies match and no webhook receives, in order of policy, at the policy's METADATA block.
pub fn check(set: &PolicySet) -> Vec<Problem> {
    set.policies.iter().flat_map(check_policy).collect()
}

fn check_policy(policy: &Policy) -> Vec<Problem> {
    let manifest = &policy.manifest;
    if manifest.id == ELSEWHERE {
        return Vec::new();
    }
    let validates = policy.defines("deny") || policy.defines("warn");
    let (file, line) = &manifest.location;
    let messages = check_matches(&manifest.matches, validates, policy.patches());
    let problem =
        |message| Problem::at(file, *line, 0, format!("policy `{}` matches {message}", manifest.id));
    messages.into_iter().map(problem).collect()
}

/// `validates`: the policy has `deny` or `warn`, for /validate. `patches`: it has `patch` or `merge`, for /mutate.
pub(super) fn check_matches(matches: &[Match], validates: bool, patches: bool) -> Vec<String> {
    let hooks: &[Hook] = match (validates, patches) {
        (true, true) => &[Hook::Mutating, Hook::Validating],
        (_, false) => &[Hook::Validating],
        (false, true) => &[Hook::Mutating],
    };
    let mut messages: Vec<String> = matches.iter().flat_map(|entry| check_entry(entry, hooks)).collect();
    let reaches_mutate = |entry: &Match| {
        let sent = |pattern: &str| {
            unsent(entry, &[Hook::Mutating], pattern, &entry.namespaces).0.len() < entry.operations.len()
        };
        entry.resources.iter().any(|pattern| sent(&pattern.to_string()))
    };
    if validates && patches && messages.is_empty() && !matches.iter().any(reaches_mutate) {
        messages.push(format!("nothing that a patch can apply to; {}", registered(&[Hook::Mutating])));
    }
    messages
}

fn check_entry(entry: &Match, hooks: &[Hook]) -> Vec<String> {
    let mut messages = Vec::new();
    for pattern in &entry.resources {
        let pattern = pattern.to_string();
        if let Some(why) = ResourcePattern::parse(&pattern).never_received() {
            messages.push(format!("`{pattern}`, which no webhook receives: {why}"));
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
            let _ = write!(message, ", which no webhook receives{why}; {}", registered(hooks));
            messages.push(message);
        }
    }
    messages
}

/// Operations of the entry that no hook receives for any of the kinds, and a hint.
fn unsent(entry: &Match, hooks: &[Hook], pattern: &str, kinds: &[Kind]) -> (Vec<Operation>, &'static str) {
    let pattern = ResourcePattern::parse(pattern);
    let reached = |operation: Operation| {
        TABLE.iter().any(|row| {
            hooks.contains(&row.hook) && kinds.iter().any(|kind| covers(row, operation, &pattern, *kind))
        })
    };
    let unsent: Vec<Operation> =
        entry.operations.iter().copied().filter(|operation| !reached(*operation)).collect();
    let why = match (pattern.scope(), kinds) {
        (Some(Scope::Cluster), _) if !pattern.is_namespaces() && !kinds.contains(&Kind::Cluster) => {
            " (it has no namespace; its kind is cluster)"
        }
        (Some(Scope::Namespaced), [Kind::Cluster]) => " (it is always in a namespace)",
        _ if pattern.is_namespaces() && kinds == [Kind::Cluster] => {
            " (a Namespace has its own kind, never cluster)"
        }
        _ => "",
    };
    (unsent, why)
}

/// Whether the webhook receives everything that the pattern matches. A wider pattern is not covered: the policy would
/// silently miss a part of it.
fn covers(row: &WebhookEntry, operation: Operation, pattern: &ResourcePattern<'_>, kind: Kind) -> bool {
    let group = row.group == "*" || pattern.group == Group::Is(row.group);
    let resource = |known: &&str| match *known {
        "*/*" => true,
        "*" => pattern.subresource == Subresource::None,
        exact => {
            let (name, subresource) = exact
                .split_once('/')
                .map_or((exact, Subresource::None), |(name, sub)| (name, Subresource::Is(sub)));
            pattern.resource == Some(name) && pattern.subresource == subresource
        }
    };
    let namespace_in_cluster = pattern.is_namespaces() && kind == Kind::Cluster;
    row.operations.contains(&operation)
        && row.kinds.contains(&kind)
        && group
        && row.resources.iter().any(resource)
        && pattern.scope().is_none_or(|scope| scope == row.scope)
        && !namespace_in_cluster
}

/// The table as text.
fn registered(hooks: &[Hook]) -> String {
    let mut text = String::from("webhooks receive");
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

/// A parsed resource pattern; resource `None` is `*`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct ResourcePattern<'a> {
    resource: Option<&'a str>,
    group: Group<'a>,
    subresource: Subresource<'a>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Group<'a> {
    Any,
    Is(&'a str),
    Under(&'a str),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Subresource<'a> {
    None,
    Any,
    Is(&'a str),
}

impl<'a> ResourcePattern<'a> {
    fn parse(text: &'a str) -> Self {
        let (whole, subresource) = match text.split_once('/') {
            None => (text, Subresource::None),
            Some((whole, "*")) => (whole, Subresource::Any),
            Some((whole, name)) => (whole, Subresource::Is(name)),
        };
        let (name, group) = whole.split_once('.').unwrap_or((whole, ""));
        let group = match (name, group) {
            ("*", "") => Group::Any,
            ("*", group) => Group::Under(group),
            (_, group) => Group::Is(group),
        };
        Self { resource: (name != "*").then_some(name), group, subresource }
    }

    /// Why no webhook can receive any of it, where that is so.
    fn never_received(&self) -> Option<&'static str> {
        if self.subresource == Subresource::Is("log") {
            return Some("logs are read, and reads, lists and watches have no admission review");
        }
        let known = |(group, whole, why): &(&str, bool, &'static str)| {
            let under = match self.group {
                Group::Is(name) => name == *group,
                Group::Under(name) => *whole && name == *group,
                Group::Any => false,
            };
            under.then_some(*why)
        };
        NEVER_RECEIVED.iter().find_map(known)
    }

    /// `None` where the scope is unknown or both.
    fn scope(&self) -> Option<Scope> {
        let (Some(resource), Group::Is(group)) = (self.resource, self.group) else { return None };
        let listed = |list: &[(&str, &[&str])]| {
            list.iter().any(|(known, names)| *known == group && names.contains(&resource))
        };
        match (listed(CLUSTER_SCOPED), listed(NAMESPACED)) {
            (true, _) => Some(Scope::Cluster),
            (_, true) => Some(Scope::Namespaced),
            _ => None,
        }
    }

    fn is_namespaces(&self) -> bool {
        self.resource == Some("namespaces") && self.group == Group::Is("")
    }
}

const VIRTUAL: &str = "a match condition skips access and token reviews, because a cluster does not work while they are refused";
const AGGREGATED: &str =
    "its API server is aggregated, and requests to those are not reviewed; restrict it by RBAC";
const EXEMPT: &str =
    "kube-apiserver sends webhook configurations and admission policies to no webhook; restrict them by RBAC";

/// Group; whether the groups below it are meant too; reason.
const NEVER_RECEIVED: &[(&str, bool, &str)] = &[
    ("admissionregistration.k8s.io", true, EXEMPT),
    ("authentication.k8s.io", true, VIRTUAL),
    // rbac.authorization.k8s.io is below it.
    ("authorization.k8s.io", false, VIRTUAL),
    ("cluster.core.oam.dev", true, AGGREGATED),
    ("prism.oam.dev", true, AGGREGATED),
    ("metrics.k8s.io", true, AGGREGATED),
    ("custom.metrics.k8s.io", true, AGGREGATED),
    ("external.metrics.k8s.io", true, AGGREGATED),
];

/// Cluster-scoped resources of Kubernetes, Capsule and KubeVela.
const CLUSTER_SCOPED: &[(&str, &[&str])] = &[
    ("", &["namespaces", "nodes", "persistentvolumes", "componentstatuses"]),
    ("apiextensions.k8s.io", &["customresourcedefinitions"]),
    ("apiregistration.k8s.io", &["apiservices"]),
    ("capsule.clastix.io", &["tenants", "capsuleconfigurations", "globaltenantresources"]),
    ("certificates.k8s.io", &["certificatesigningrequests", "clustertrustbundles"]),
    ("core.oam.dev", &["resourcetrackers"]),
    ("flowcontrol.apiserver.k8s.io", &["flowschemas", "prioritylevelconfigurations"]),
    ("networking.k8s.io", &["ingressclasses", "ipaddresses", "servicecidrs"]),
    ("node.k8s.io", &["runtimeclasses"]),
    ("rbac.authorization.k8s.io", &["clusterroles", "clusterrolebindings"]),
    ("resource.k8s.io", &["deviceclasses", "resourceslices"]),
    ("scheduling.k8s.io", &["priorityclasses"]),
    ("storage.k8s.io", &["storageclasses", "csidrivers", "csinodes", "volumeattachments"]),
];

/// Namespaced resources of Kubernetes, Capsule and KubeVela.
const NAMESPACED: &[(&str, &[&str])] = &[
    (
        "",
        &[
            "bindings",
            "configmaps",
            "endpoints",
            "events",
            "limitranges",
            "persistentvolumeclaims",
            "pods",
            "podtemplates",
            "replicationcontrollers",
            "resourcequotas",
            "secrets",
            "serviceaccounts",
            "services",
        ],
    ),
    ("apps", &["controllerrevisions", "daemonsets", "deployments", "replicasets", "statefulsets"]),
    ("autoscaling", &["horizontalpodautoscalers"]),
    ("batch", &["cronjobs", "jobs"]),
    ("capsule.clastix.io", &["tenantresources"]),
    ("coordination.k8s.io", &["leases"]),
    ("core.oam.dev", &["applications", "applicationrevisions", "policies", "workflows", "workflowruns"]),
    ("discovery.k8s.io", &["endpointslices"]),
    ("events.k8s.io", &["events"]),
    ("networking.k8s.io", &["ingresses", "networkpolicies"]),
    ("policy", &["poddisruptionbudgets"]),
    ("rbac.authorization.k8s.io", &["roles", "rolebindings"]),
];
