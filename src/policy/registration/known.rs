//! What is known of kinds that every cluster has: what never reaches a webhook, and what lies in a namespace.

use super::Scope;

/// A resource pattern taken apart. `None` is `*`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Parts<'a> {
    pub(super) resource: Option<&'a str>,
    pub(super) group: Group<'a>,
    pub(super) subresource: Subresource<'a>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Group<'a> {
    Any,
    Is(&'a str),
    Under(&'a str),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Subresource<'a> {
    None,
    Any,
    Is(&'a str),
}

impl<'a> Parts<'a> {
    /// Takes a pattern apart as `Pattern` prints it.
    pub(super) fn of(text: &'a str) -> Self {
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

    /// Why nothing of it ever arrives; `None` where something may.
    pub(super) fn never(&self) -> Option<&'static str> {
        if self.subresource == Subresource::Is("log") {
            return Some("logs are read, and reads, lists and watches are not reviewed");
        }
        let known = |(group, whole, why): &(&str, bool, &'static str)| {
            let under = match self.group {
                Group::Is(name) => name == *group,
                Group::Under(name) => *whole && name == *group,
                Group::Any => false,
            };
            under.then_some(*why)
        };
        NEVER.iter().find_map(known)
    }

    /// Scope of its objects; `None` where it is not known, or both.
    pub(super) fn scope(&self) -> Option<Scope> {
        let (Some(resource), Group::Is(group)) = (self.resource, self.group) else { return None };
        let listed = |list: &[(&str, &[&str])]| {
            list.iter().any(|(known, names)| *known == group && names.contains(&resource))
        };
        match (listed(CLUSTER), listed(NAMESPACED)) {
            (true, _) => Some(Scope::Cluster),
            (_, true) => Some(Scope::Namespaced),
            _ => None,
        }
    }

    pub(super) fn is_namespaces(&self) -> bool {
        self.resource == Some("namespaces") && self.group == Group::Is("")
    }
}

const VIRTUAL: &str = "reviews of access and tokens are left out by a match condition, because nothing in a cluster works \
                       while they are refused";
const AGGREGATED: &str =
    "its API server is aggregated, and requests to those are not reviewed; close it by RBAC";
const EXEMPT: &str =
    "kube-apiserver shows webhook configurations and admission policies to no webhook; close them by RBAC";

/// Group; whether every group below it is the same; why.
const NEVER: &[(&str, bool, &str)] = &[
    ("admissionregistration.k8s.io", true, EXEMPT),
    ("authentication.k8s.io", true, VIRTUAL),
    // rbac.authorization.k8s.io lies below it.
    ("authorization.k8s.io", false, VIRTUAL),
    ("cluster.core.oam.dev", true, AGGREGATED),
    ("prism.oam.dev", true, AGGREGATED),
    ("metrics.k8s.io", true, AGGREGATED),
    ("custom.metrics.k8s.io", true, AGGREGATED),
    ("external.metrics.k8s.io", true, AGGREGATED),
];

/// Kinds without a namespace that every cluster has, and our neighbours'.
const CLUSTER: &[(&str, &[&str])] = &[
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

/// Kinds in a namespace that every cluster has, and our neighbours'.
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
