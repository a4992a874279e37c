//! Renders the table as webhook configurations, with match conditions in CEL that kube-apiserver evaluates before a call.
//!
//! Under `failurePolicy: Fail` a condition that errors refuses the request, so every optional field is guarded by `has()`.
//! Policies must allow whatever a condition skips; a test checks that.

use std::collections::BTreeMap;

use base64::Engine as _;
use serde::Serialize;

use super::settings::{Client, Settings};
use super::{Hook, TABLE, WebhookEntry};
use crate::manifest::Operation;

pub const NAME: &str = "portcullis";

/// Mutating webhooks run one after the other within the request's 34 s, validating ones in parallel.
const MUTATING_TIMEOUT_SECONDS: u8 = 2;
const VALIDATING_TIMEOUT_SECONDS: u8 = 3;

/// A `MutatingWebhookConfiguration` or `ValidatingWebhookConfiguration` of admissionregistration.k8s.io/v1.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Configuration {
    api_version: &'static str,
    kind: &'static str,
    metadata: Metadata,
    webhooks: Vec<Webhook>,
}

#[derive(Debug, Clone, Serialize)]
struct Metadata {
    name: &'static str,
    labels: BTreeMap<&'static str, &'static str>,
}

#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
struct Webhook {
    name: String,
    client_config: ClientConfig,
    rules: [Rule; 1],
    match_conditions: Vec<MatchCondition>,
    match_policy: &'static str,
    failure_policy: &'static str,
    side_effects: &'static str,
    timeout_seconds: u8,
    admission_review_versions: [&'static str; 1],
    #[serde(skip_serializing_if = "Option::is_none")]
    reinvocation_policy: Option<&'static str>,
}

#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
struct ClientConfig {
    #[serde(skip_serializing_if = "Option::is_none")]
    service: Option<Service>,
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ca_bundle: Option<String>,
}

#[derive(Debug, Clone, Serialize)]
struct Service {
    namespace: String,
    name: String,
    port: u16,
    path: &'static str,
}

#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
struct Rule {
    api_groups: [&'static str; 1],
    api_versions: [&'static str; 1],
    resources: &'static [&'static str],
    operations: Vec<&'static str>,
    scope: &'static str,
}

#[derive(Debug, Clone, Serialize)]
struct MatchCondition {
    name: &'static str,
    expression: String,
}

/// Both configurations, the mutating one first.
pub fn configurations(settings: &Settings) -> [Configuration; 2] {
    [Hook::Mutating, Hook::Validating].map(|hook| Configuration {
        api_version: "admissionregistration.k8s.io/v1",
        kind: hook.kind(),
        metadata: Metadata { name: NAME, labels: BTreeMap::from([("app.kubernetes.io/name", NAME)]) },
        webhooks: TABLE
            .iter()
            .filter(|entry| entry.hook == hook)
            .map(|entry| webhook(entry, settings))
            .collect(),
    })
}

impl Configuration {
    pub fn kind(&self) -> &'static str {
        self.kind
    }
}

fn webhook(entry: &WebhookEntry, settings: &Settings) -> Webhook {
    let mutating = entry.hook == Hook::Mutating;
    let condition = |condition: &Condition| MatchCondition {
        name: condition.name(),
        expression: condition.expression(settings),
    };
    Webhook {
        name: format!("{}.{}", entry.name, settings.domain),
        client_config: client_config(entry.hook, settings),
        rules: [rule(entry)],
        match_conditions: entry.conditions.iter().map(condition).collect(),
        // Requests for other versions of a kind are converted and reviewed too.
        match_policy: "Equivalent",
        // The validating call refuses what a failed mutating call left out; nothing replaces a failed validating call.
        failure_policy: if mutating { "Ignore" } else { "Fail" },
        side_effects: "None",
        timeout_seconds: if mutating { MUTATING_TIMEOUT_SECONDS } else { VALIDATING_TIMEOUT_SECONDS },
        admission_review_versions: ["v1"],
        reinvocation_policy: mutating.then_some("IfNeeded"),
    }
}

fn client_config(hook: Hook, settings: &Settings) -> ClientConfig {
    let path = hook.path();
    let (service, url) = match &settings.client {
        Client::Service { namespace, name, port } => {
            (Some(Service { namespace: namespace.clone(), name: name.clone(), port: *port, path }), None)
        }
        Client::Url(base) => (None, Some(format!("{base}{path}"))),
    };
    let encode = |pem: &String| base64::engine::general_purpose::STANDARD.encode(pem);
    ClientConfig { service, url, ca_bundle: settings.ca_bundle.as_ref().map(encode) }
}

fn rule(entry: &WebhookEntry) -> Rule {
    let all = entry.operations == Operation::ALL;
    let words = entry.operations.iter().map(|operation| operation.as_str());
    Rule {
        api_groups: [entry.group],
        api_versions: ["*"],
        resources: entry.resources,
        operations: if all { vec!["*"] } else { words.collect() },
        scope: entry.scope.as_str(),
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// The object is in a namespace with a tenant's name prefix.
    TenantNamespace,
    /// A Namespace with a tenant's name prefix, or any Namespace where the requester is a tenant.
    TenantNamespaceOrTenant,
    /// The requester is a tenant or vela-core.
    TenantOrVela,
    /// Not TokenReview, SubjectAccessReview or similar: they persist nothing, and the whole cluster depends on them.
    NotVirtualReview,
    /// Not status and Events that the cluster's own controllers and nodes write.
    NotClusterUpkeep,
    /// An object with the label that KubeVela sets for an App of a tenant.
    CreatedForTenantApp,
    NotInTenantNamespace,
    /// Not a ResourceTracker, KubeVela's own record, by any user.
    NoTracker,
    /// Not a ResourceTracker that vela-core writes; otherwise KubeVela stops when the gate is down.
    NotVelaTracker,
}

/// Groups of cluster administrators and components, which are not tenants whatever other groups they have.
const EXEMPT_GROUPS: &[&str] =
    &["system:masters", "kubeadm:cluster-admins", "system:nodes", "system:serviceaccounts:kube-system"];

impl Condition {
    pub const fn name(self) -> &'static str {
        match self {
            Self::TenantNamespace => "in-a-tenant-namespace",
            Self::TenantNamespaceOrTenant => "a-tenant-namespace-or-a-tenant",
            Self::TenantOrVela => "a-tenant-or-vela",
            Self::NotVirtualReview => "not-a-review-of-access",
            Self::NotClusterUpkeep => "not-upkeep-by-the-cluster",
            Self::CreatedForTenantApp => "made-for-an-app-of-a-tenant",
            Self::NotInTenantNamespace => "not-in-a-tenant-namespace",
            Self::NoTracker => "no-resource-tracker",
            Self::NotVelaTracker => "not-a-resource-tracker-of-vela",
        }
    }

    /// The CEL expression. The settings in it need no quoting, because [`Settings::validate`] restricts their alphabet.
    pub fn expression(self, settings: &Settings) -> String {
        match self {
            Self::TenantNamespace => {
                format!(r#"has(request.namespace) && request.namespace.startsWith("{}-")"#, settings.prefix)
            }
            Self::TenantNamespaceOrTenant => tenant_namespace_or_tenant(settings),
            Self::TenantOrVela => {
                format!("{} ||\n{}", tenant(settings), username_is(&settings.vela))
            }
            Self::NotVirtualReview => {
                // By group of the resource: the kind of `serviceaccounts/token` is in authentication.k8s.io too.
                r#"!(request.resource.group in ["authentication.k8s.io", "authorization.k8s.io"])"#.to_owned()
            }
            Self::NotClusterUpkeep => not_cluster_upkeep(),
            Self::CreatedForTenantApp => format!(
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
            Self::NotVelaTracker => format!(
                "!(request.resource.group == \"core.oam.dev\" && request.resource.resource == \"resourcetrackers\") ||\n{}",
                tenant(settings)
            ),
        }
    }
}

/// A Namespace with `generateName` has neither `request.namespace` nor `request.name`, so the objects are tested.
pub(super) fn has_tenant_prefix(prefix: &str) -> Vec<String> {
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

fn tenant_namespace_or_tenant(settings: &Settings) -> String {
    let mut alternatives = has_tenant_prefix(&settings.prefix);
    let exempt = EXEMPT_GROUPS.iter().map(|group| format!("\"{group}\"")).collect::<Vec<_>>().join(", ");
    alternatives.push(format!(
        "(({tenant}) &&\n  !(has(request.userInfo.groups) && request.userInfo.groups.exists(g, g in [{exempt}])))",
        tenant = tenant(settings).replace(" ||\n", " ||\n  ")
    ));
    alternatives.join(" ||\n")
}

/// Requesters that may be tenants, by suffix and prefix; the policies compare whole groups from the snapshot.
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

/// Tests name and group, as the policies do: a client certificate could carry the name alone.
pub(super) fn named_with_group(prefix: &str, group: &str) -> String {
    format!(
        "(has(request.userInfo.username) && request.userInfo.username.startsWith(\"{prefix}\") &&\n    \
         has(request.userInfo.groups) && \"{group}\" in request.userInfo.groups)"
    )
}

fn not_cluster_upkeep() -> String {
    // KubeVela's kinds are not skipped: their status is refused in a sandbox, for every user.
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
