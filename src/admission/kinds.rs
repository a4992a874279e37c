//! Maps kinds to resources as API discovery does, for built-in kinds and known custom resources; other plurals are guessed.

/// A resource as in API discovery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resource {
    /// Plural; for a subresource kind, that of its parent.
    pub resource: String,
    /// The group of the resource; a subresource may have a kind of another group.
    pub group: String,
    /// Empty for the object itself.
    pub subresource: String,
    /// `None` where it is not known.
    pub namespaced: Option<bool>,
    /// Whether the plural is a guess.
    pub guessed: bool,
}

/// A group, its namespaced kinds and its cluster-scoped kinds. An irregular plural follows
/// a colon.
type Group = (&'static str, &'static [&'static str], &'static [&'static str]);

const GROUPS: &[Group] = &[
    (
        "",
        &[
            "ConfigMap",
            "Endpoints:endpoints",
            "Event",
            "LimitRange",
            "PersistentVolumeClaim",
            "Pod",
            "PodTemplate",
            "ReplicationController",
            "ResourceQuota",
            "Secret",
            "Service",
            "ServiceAccount",
        ],
        &["ComponentStatus", "Namespace", "Node", "PersistentVolume"],
    ),
    ("apps", &["ControllerRevision", "DaemonSet", "Deployment", "ReplicaSet", "StatefulSet"], &[]),
    ("batch", &["CronJob", "Job"], &[]),
    ("autoscaling", &["HorizontalPodAutoscaler"], &[]),
    ("policy", &["PodDisruptionBudget"], &[]),
    ("networking.k8s.io", &["Ingress", "NetworkPolicy"], &["IngressClass", "IPAddress", "ServiceCIDR"]),
    ("rbac.authorization.k8s.io", &["Role", "RoleBinding"], &["ClusterRole", "ClusterRoleBinding"]),
    (
        "storage.k8s.io",
        &["CSIStorageCapacity"],
        &["CSIDriver", "CSINode", "StorageClass", "VolumeAttachment", "VolumeAttributesClass"],
    ),
    (
        "admissionregistration.k8s.io",
        &[],
        &[
            "MutatingWebhookConfiguration",
            "ValidatingWebhookConfiguration",
            "ValidatingAdmissionPolicy",
            "ValidatingAdmissionPolicyBinding",
            "MutatingAdmissionPolicy",
            "MutatingAdmissionPolicyBinding",
        ],
    ),
    ("apiextensions.k8s.io", &[], &["CustomResourceDefinition"]),
    ("apiregistration.k8s.io", &[], &["APIService"]),
    ("certificates.k8s.io", &["PodCertificateRequest"], &["CertificateSigningRequest", "ClusterTrustBundle"]),
    ("coordination.k8s.io", &["Lease", "LeaseCandidate"], &[]),
    ("discovery.k8s.io", &["EndpointSlice"], &[]),
    ("events.k8s.io", &["Event"], &[]),
    ("flowcontrol.apiserver.k8s.io", &[], &["FlowSchema", "PriorityLevelConfiguration"]),
    ("node.k8s.io", &[], &["RuntimeClass"]),
    ("scheduling.k8s.io", &[], &["PriorityClass"]),
    (
        "resource.k8s.io",
        &["ResourceClaim", "ResourceClaimTemplate"],
        &["DeviceClass", "DeviceTaintRule", "ResourceSlice"],
    ),
    ("authentication.k8s.io", &[], &["SelfSubjectReview", "TokenReview"]),
    (
        "authorization.k8s.io",
        &["LocalSubjectAccessReview"],
        &["SelfSubjectAccessReview", "SelfSubjectRulesReview", "SubjectAccessReview"],
    ),
    ("internal.apiserver.k8s.io", &[], &["StorageVersion"]),
    ("storagemigration.k8s.io", &[], &["StorageVersionMigration"]),
    // KubeVela, Capsule and cert-manager.
    (
        "core.oam.dev",
        &[
            "Application",
            "ApplicationRevision",
            "ComponentDefinition",
            "DefinitionRevision",
            "Policy",
            "PolicyDefinition",
            "TraitDefinition",
            "Workflow",
            "WorkflowRun",
            "WorkflowStepDefinition",
            "WorkloadDefinition",
        ],
        &["ResourceTracker"],
    ),
    (
        "capsule.clastix.io",
        &["ResourcePoolClaim", "TenantResource"],
        &["CapsuleConfiguration", "GlobalTenantResource", "ResourcePool", "Tenant"],
    ),
    ("cert-manager.io", &["Certificate", "CertificateRequest", "Issuer"], &["ClusterIssuer"]),
    ("acme.cert-manager.io", &["Challenge", "Order"], &[]),
];

/// Kinds that are sent to a subresource only: group, kind, resource in kubectl notation.
const SUBRESOURCES: &[(&str, &str, &str)] = &[
    ("", "Binding", "pods/binding"),
    ("", "PodExecOptions", "pods/exec"),
    ("", "PodAttachOptions", "pods/attach"),
    ("", "PodPortForwardOptions", "pods/portforward"),
    ("", "PodProxyOptions", "pods/proxy"),
    ("", "ServiceProxyOptions", "services/proxy"),
    ("", "NodeProxyOptions", "nodes/proxy"),
    ("policy", "Eviction", "pods/eviction"),
    ("authentication.k8s.io", "TokenRequest", "serviceaccounts/token"),
    ("autoscaling", "Scale", "deployments.apps/scale"),
];

/// The resource of a kind.
pub fn resource(group: &str, kind: &str) -> Resource {
    if let Some((_, _, notation)) = SUBRESOURCES.iter().find(|(g, k, _)| *g == group && *k == kind) {
        return Resource { namespaced: Some(!notation.starts_with("nodes")), ..parse(notation) };
    }
    let known = GROUPS.iter().filter(|(name, ..)| *name == group).find_map(|(_, inside, outside)| {
        let find = |kinds: &[&str]| kinds.iter().find_map(|entry| named(entry, kind));
        find(inside).map(|plural| (plural, true)).or_else(|| find(outside).map(|plural| (plural, false)))
    });
    let (resource, namespaced) =
        known.map_or_else(|| (plural(kind), None), |(plural, inside)| (plural, Some(inside)));
    Resource {
        resource,
        group: group.to_owned(),
        subresource: String::new(),
        guessed: namespaced.is_none(),
        namespaced,
    }
}

/// The subresources of built-in resources beside `scale` and `status`.
const KNOWN_SUBRESOURCES: &[(&str, &[&str])] = &[
    (
        "pods",
        &[
            "attach",
            "binding",
            "ephemeralcontainers",
            "eviction",
            "exec",
            "log",
            "portforward",
            "proxy",
            "resize",
        ],
    ),
    ("services", &["proxy"]),
    ("nodes", &["proxy"]),
    ("serviceaccounts", &["token"]),
    ("namespaces", &["finalize"]),
    ("certificatesigningrequests", &["approval"]),
];

/// Whether a built-in resource has a subresource that this version does not know.
pub fn unknown_subresource(group: &str, resource: &str, subresource: &str) -> bool {
    let known = matches!(subresource, "" | "status" | "scale" | "finalizers")
        || KNOWN_SUBRESOURCES
            .iter()
            .any(|(of, subresources)| *of == resource && subresources.contains(&subresource));
    // Custom resources have no other subresources.
    let built_in = !group.contains('.') || group.ends_with(".k8s.io");
    !known && built_in && kind_of(group, resource).is_some()
}

/// Whether a kind belongs to a resource (group, plural, subresource); `None` where neither is known.
pub fn fits(resource: (&str, &str, &str), kind: (&str, &str)) -> Option<bool> {
    let (group, plural, subresource) = resource;
    match (plural, subresource) {
        // Early versions had a Scale in the group of the workload.
        (_, "scale") => return Some(kind.1 == "Scale"),
        ("bindings", "") if group.is_empty() => return Some(kind == ("", "Binding")),
        _ => {}
    }
    let takes =
        |(_, _, notation): &&(&str, &str, &str)| notation.split_once('/') == Some((plural, subresource));
    if let Some((of, own, _)) = SUBRESOURCES.iter().filter(|_| group.is_empty()).find(takes) {
        return Some(kind == (*of, *own));
    }
    let known = kind_of(group, plural).map(|own| kind == (group, own));
    // A kind with a resource of its own belongs to no other.
    let elsewhere = || {
        let own = self::resource(kind.0, kind.1);
        (!own.guessed && own.subresource.is_empty())
            .then(|| (own.group.as_str(), own.resource.as_str()) == (group, plural))
    };
    known.or_else(elsewhere)
}

/// The kind of a known resource.
pub fn kind_of(group: &str, resource: &str) -> Option<&'static str> {
    let (_, inside, outside) = GROUPS.iter().find(|(name, ..)| *name == group)?;
    let entry = inside.iter().chain(*outside).find(|entry| plural_of(entry) == resource)?;
    entry.split(':').next()
}

/// The known groups that have a kind.
pub fn groups_of(kind: &str) -> impl Iterator<Item = &'static str> {
    let has = move |kinds: &[&str]| kinds.iter().any(|entry| named(entry, kind).is_some());
    GROUPS.iter().filter(move |(_, inside, outside)| has(inside) || has(outside)).map(|(group, ..)| *group)
}

/// Reads kubectl notation without wildcards: `pods`, `deployments.apps/scale`.
pub fn parse(notation: &str) -> Resource {
    let (whole, subresource) = notation.split_once('/').unwrap_or((notation, ""));
    let (resource, group) = whole.split_once('.').unwrap_or((whole, ""));
    let known = GROUPS.iter().filter(|(name, ..)| *name == group).find_map(|(_, inside, outside)| {
        let has = |kinds: &[&str]| kinds.iter().any(|entry| plural_of(entry) == resource);
        has(inside).then_some(true).or_else(|| has(outside).then_some(false))
    });
    Resource {
        resource: resource.to_owned(),
        group: group.to_owned(),
        subresource: subresource.to_owned(),
        namespaced: known,
        guessed: false,
    }
}

/// Group, kind and version of a subresource body that is not the object itself.
pub fn options(resource: &Resource) -> Option<(&'static str, &'static str, &'static str)> {
    if resource.subresource == "scale" {
        return Some(("autoscaling", "Scale", "v1"));
    }
    let notation = format!("{}/{}", resource.resource, resource.subresource);
    SUBRESOURCES
        .iter()
        .find(|(_, _, known)| *known == notation && resource.group.is_empty())
        .map(|(group, kind, _)| (*group, *kind, "v1"))
}

fn named(entry: &str, kind: &str) -> Option<String> {
    let name = entry.split(':').next()?;
    (name == kind).then(|| plural_of(entry))
}

fn plural_of(entry: &str) -> String {
    entry.split_once(':').map_or_else(|| plural(entry), |(_, plural)| plural.to_owned())
}

/// The regular plural.
fn plural(kind: &str) -> String {
    let lower = kind.to_lowercase();
    if let Some(stem) = lower.strip_suffix('y').filter(|stem| !stem.ends_with(['a', 'e', 'i', 'o', 'u'])) {
        return format!("{stem}ies");
    }
    if lower.ends_with(['s', 'x', 'z']) || lower.ends_with("ch") || lower.ends_with("sh") {
        return format!("{lower}es");
    }
    format!("{lower}s")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(group: &str, kind: &str, notation: &str, namespaced: Option<bool>) {
        let found = resource(group, kind);
        assert_eq!(
            found,
            Resource { namespaced, guessed: namespaced.is_none(), ..parse(notation) },
            "{kind}.{group}"
        );
    }

    #[test]
    fn a_kind_comes_with_its_own_resource() {
        for (notation, kind, expected) in [
            ("pods", ("", "Pod"), Some(true)),
            ("pods", ("apps", "Deployment"), Some(false)),
            ("configmaps", ("", "Pod"), Some(false)),
            ("pods/status", ("", "Pod"), Some(true)),
            ("pods/ephemeralcontainers", ("", "Pod"), Some(true)),
            ("pods/binding", ("", "Binding"), Some(true)),
            ("bindings", ("", "Binding"), Some(true)),
            ("bindings", ("", "Pod"), Some(false)),
            ("pods/eviction", ("policy", "Eviction"), Some(true)),
            ("pods/eviction", ("", "Pod"), Some(false)),
            ("serviceaccounts/token", ("authentication.k8s.io", "TokenRequest"), Some(true)),
            ("deployments.apps/scale", ("autoscaling", "Scale"), Some(true)),
            ("widgets.example.com/scale", ("autoscaling", "Scale"), Some(true)),
            ("widgets.example.com/scale", ("example.com", "Widget"), Some(false)),
            ("deployments.apps", ("autoscaling", "Scale"), Some(false)),
            ("deployments.apps", ("extensions", "Deployment"), Some(false)),
            ("ingresses.extensions", ("extensions", "Ingress"), None),
            ("events", ("", "Event"), Some(true)),
            ("events.events.k8s.io", ("events.k8s.io", "Event"), Some(true)),
            ("events.events.k8s.io", ("", "Event"), Some(false)),
            ("widgets.example.com", ("example.com", "Widget"), None),
            ("widgets.example.com", ("", "Pod"), Some(false)),
            ("pods.example.com", ("example.com", "Pod"), None),
        ] {
            let of = parse(notation);
            assert_eq!(
                fits((&of.group, &of.resource, &of.subresource), kind),
                expected,
                "{notation} {kind:?}"
            );
        }
    }

    #[test]
    fn subresources_of_releases_to_come_are_not_known() {
        for (notation, unknown) in [
            ("pods", false),
            ("pods/status", false),
            ("pods/resize", false),
            ("pods/checkpoint", true),
            ("deployments.apps/scale", false),
            ("deployments.apps/rollback", true),
            ("namespaces/finalize", false),
            ("widgets.example.com/anything", false),
            ("applications.core.oam.dev/anything", false),
            ("leases.coordination.k8s.io/anything", true),
        ] {
            let of = parse(notation);
            assert_eq!(unknown_subresource(&of.group, &of.resource, &of.subresource), unknown, "{notation}");
        }
    }

    #[test]
    fn kinds_become_resources() {
        check("", "Pod", "pods", Some(true));
        check("", "Endpoints", "endpoints", Some(true));
        check("", "Namespace", "namespaces", Some(false));
        check("", "ComponentStatus", "componentstatuses", Some(false));
        check("apps", "Deployment", "deployments.apps", Some(true));
        check("networking.k8s.io", "NetworkPolicy", "networkpolicies.networking.k8s.io", Some(true));
        check("networking.k8s.io", "Ingress", "ingresses.networking.k8s.io", Some(true));
        check("networking.k8s.io", "IPAddress", "ipaddresses.networking.k8s.io", Some(false));
        check("storage.k8s.io", "CSIStorageCapacity", "csistoragecapacities.storage.k8s.io", Some(true));
        check("core.oam.dev", "Policy", "policies.core.oam.dev", Some(true));
        check("capsule.clastix.io", "Tenant", "tenants.capsule.clastix.io", Some(false));
        check("", "PodExecOptions", "pods/exec", Some(true));
        check("policy", "Eviction", "pods/eviction", Some(true));
        check("widgets.example.com", "Widget", "widgets.widgets.example.com", None);
        check("widgets.example.com", "Gateway", "gateways.widgets.example.com", None);
    }
}
