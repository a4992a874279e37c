//! Match conditions: CEL that kube-apiserver evaluates before it calls, so that what they leave out never depends on us.
//!
//! Under `failurePolicy: Fail` a condition that errors refuses the request without a call, so every field that may be
//! absent stands behind `has()`: without it one missing `request.namespace` stops every cluster-scoped write there is.
//! What a condition skips, the law must allow; that holds for each pair and is tested.

use super::settings::Settings;

/// A match condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// The object lies in a namespace that is named like a tenant's.
    TenantNamespace,
    /// A Namespace that is named like a tenant's, by whatever the request has of its name; or any, where a tenant asks.
    TenantsNamespaceOrTenant,
    /// A tenant asks, or vela-core.
    TenantOrVela,
    /// Not TokenReview, SubjectAccessReview and their kin, which persist nothing and which everything depends on.
    NotVirtualReview,
    /// Not what the cluster's own controllers and nodes report about what runs.
    NotUpkeep,
    /// An object that KubeVela makes for an App of a tenant, by its label.
    MadeForATenantsApp,
    /// The object does not lie in a namespace that is named like a tenant's.
    NotInTenantNamespace,
    /// Not KubeVela's own ledger, whoever writes it.
    NoTracker,
    /// Not KubeVela's own ledger, or all of KubeVela stops with the gate.
    NotVelasTracker,
}

/// Who administers the cluster or is part of it, whatever other groups they have.
const EXEMPT_GROUPS: &[&str] =
    &["system:masters", "kubeadm:cluster-admins", "system:nodes", "system:serviceaccounts:kube-system"];

impl Condition {
    /// Its name in the configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Self::TenantNamespace => "in-a-tenant-namespace",
            Self::TenantsNamespaceOrTenant => "a-tenant-namespace-or-a-tenant",
            Self::TenantOrVela => "a-tenant-or-vela",
            Self::NotVirtualReview => "not-a-review-of-access",
            Self::NotUpkeep => "not-upkeep-by-the-cluster",
            Self::MadeForATenantsApp => "made-for-an-app-of-a-tenant",
            Self::NotInTenantNamespace => "not-in-a-tenant-namespace",
            Self::NoTracker => "no-resource-tracker",
            Self::NotVelasTracker => "not-a-resource-tracker-of-vela",
        }
    }

    /// The expression. Whatever of the settings stands in it needs no quoting, which [`Settings::validate`] sees to.
    pub fn expression(self, settings: &Settings) -> String {
        match self {
            Self::TenantNamespace => {
                format!(r#"has(request.namespace) && request.namespace.startsWith("{}-")"#, settings.prefix)
            }
            Self::TenantsNamespaceOrTenant => tenants_namespace_or_tenant(settings),
            Self::TenantOrVela => {
                format!("{} ||\n{}", tenant(settings), username_is(&settings.vela))
            }
            Self::NotVirtualReview => {
                // By the resource's group: the kind of `serviceaccounts/token` is in authentication.k8s.io too.
                r#"!(request.resource.group in ["authentication.k8s.io", "authorization.k8s.io"])"#.to_owned()
            }
            Self::NotUpkeep => not_upkeep(),
            Self::MadeForATenantsApp => format!(
                "object != null && has(object.metadata) && has(object.metadata.labels) &&\n\
                 \"app.oam.dev/namespace\" in object.metadata.labels &&\n\
                 object.metadata.labels[\"app.oam.dev/namespace\"].startsWith(\"{}-\")",
                settings.prefix
            ),
            Self::NotInTenantNamespace => {
                format!(r#"!has(request.namespace) || !request.namespace.startsWith("{}-")"#, settings.prefix)
            }
            Self::NoTracker => {
                r#"!(request.resource.group == "core.oam.dev" && request.resource.resource == "resourcetrackers")"#
                    .to_owned()
            }
            Self::NotVelasTracker => format!(
                "!(request.resource.group == \"core.oam.dev\" && request.resource.resource == \"resourcetrackers\") ||\n{}",
                tenant(settings)
            ),
        }
    }
}

/// A Namespace made with `generateName` has neither `request.namespace` nor `request.name`, so the objects are asked.
pub(super) fn named_like_a_tenants(prefix: &str) -> Vec<String> {
    let mut alternatives = Vec::new();
    for object in ["object", "oldObject"] {
        for field in ["name", "generateName"] {
            let path = format!("{object}.metadata.{field}");
            alternatives.push(format!(
                "({object} != null && has({object}.metadata) && has({path}) && {path}.startsWith(\"{prefix}-\"))"
            ));
        }
    }
    alternatives
}

fn tenants_namespace_or_tenant(settings: &Settings) -> String {
    let mut alternatives = named_like_a_tenants(&settings.prefix);
    let exempt = EXEMPT_GROUPS.iter().map(|group| format!("\"{group}\"")).collect::<Vec<_>>().join(", ");
    alternatives.push(format!(
        "(({tenant}) &&\n  !(has(request.userInfo.groups) && request.userInfo.groups.exists(g, g in [{exempt}])))",
        tenant = tenant(settings).replace(" ||\n", " ||\n  ")
    ));
    alternatives.join(" ||\n")
}

/// Who looks like a tenant as far as a static text can tell; the law compares whole groups from the snapshot.
fn tenant(settings: &Settings) -> String {
    let Settings { prefix, tenant_suffix, .. } = settings;
    format!(
        "(has(request.userInfo.groups) && request.userInfo.groups.exists(g, g.endsWith(\"{tenant_suffix}\"))) ||\n\
         (has(request.userInfo.username) && request.userInfo.username.startsWith(\"system:serviceaccount:{prefix}-\"))"
    )
}

pub(super) fn username_is(name: &str) -> String {
    format!("(has(request.userInfo.username) && request.userInfo.username == \"{name}\")")
}

/// Name and group both, as the law asks for both: a name alone is what a client certificate may carry.
pub(super) fn named_with_group(prefix: &str, group: &str) -> String {
    format!(
        "(has(request.userInfo.username) && request.userInfo.username.startsWith(\"{prefix}\") &&\n    \
         has(request.userInfo.groups) && \"{group}\" in request.userInfo.groups)"
    )
}

fn not_upkeep() -> String {
    // KubeVela's kinds stay in: their status is refused in a sandbox, whoever writes it.
    format!(
        "!(\n  (\n    {controllers} ||\n    {shared} ||\n    {nodes}\n  ) && (\n    \
         (request.resource.group in [\"\", \"events.k8s.io\"] && request.resource.resource == \"events\") ||\n    \
         (request.resource.group == \"\" && request.resource.resource == \"endpoints\") ||\n    \
         (request.resource.group == \"discovery.k8s.io\" && request.resource.resource == \"endpointslices\") ||\n    \
         (request.resource.group == \"coordination.k8s.io\" && request.resource.resource == \"leases\") ||\n    \
         (has(request.subResource) && request.subResource == \"status\" &&\n      \
         request.resource.group != \"oam.dev\" && !request.resource.group.endsWith(\".oam.dev\"))\n  )\n)",
        controllers =
            named_with_group("system:serviceaccount:kube-system:", "system:serviceaccounts:kube-system"),
        shared = username_is("system:kube-controller-manager"),
        nodes = named_with_group("system:node:", "system:nodes"),
    )
}
