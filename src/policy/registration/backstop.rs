//! What is left when somebody has removed the webhook configurations: the plainest of the law as
//! ValidatingAdmissionPolicies, which kube-apiserver evaluates itself.
//!
//! Where one of these denies, the law denies too, so that they never stand in its way; the reverse does not hold. CEL knows
//! neither the ledger nor how an image is normalised: app and sandbox are told by the one reading that a name has, and
//! images by their text. Whoever has leave of the law (an exception, break-glass) has none of these.

mod images;
mod who;

use serde_json::{Value, json};

use super::conditions::{Condition, named_like_a_tenants};
use super::settings::Settings;
use portcullis_tenancy::snapshot;

/// One policy: all conditions must hold, or it is not asked; all validations must, or the write is refused.
struct Backstop {
    name: &'static str,
    rules: Value,
    conditions: Vec<(&'static str, String)>,
    /// The expression, and what is said where it does not hold.
    validations: Vec<(String, &'static str)>,
}

/// Every policy with its binding, ready to print. `settings` says how they are named, `tenancy` what is in them.
pub fn backstop(settings: &Settings, tenancy: &snapshot::Settings) -> Vec<Value> {
    let settings = Settings { prefix: tenancy.prefix.to_string(), ..settings.clone() };
    let policies = [
        namespaces(&settings, tenancy),
        sandboxes(&settings),
        apps(&settings, tenancy),
        registries(&settings, tenancy),
    ];
    policies.iter().flat_map(|policy| policy.documents(&settings.domain)).collect()
}

impl Backstop {
    fn documents(&self, domain: &str) -> [Value; 2] {
        let name = format!("{}.{domain}", self.name);
        let document = |kind: &str, spec: Value| {
            let metadata = json!({"name": name, "labels": {"app.kubernetes.io/name": super::render::NAME}});
            let version = "admissionregistration.k8s.io/v1";
            json!({"apiVersion": version, "kind": kind, "metadata": metadata, "spec": spec})
        };
        let conditions: Vec<Value> = self
            .conditions
            .iter()
            .map(|(name, expression)| json!({"name": name, "expression": expression}))
            .collect();
        let validations: Vec<Value> = self
            .validations
            .iter()
            .map(|(expression, message)| {
                json!({"expression": expression, "message": message, "reason": "Forbidden"})
            })
            .collect();
        let policy = json!({
            "failurePolicy": "Fail",
            "matchConstraints": {"matchPolicy": "Equivalent", "resourceRules": self.rules},
            "matchConditions": conditions,
            "validations": validations,
        });
        [
            document("ValidatingAdmissionPolicy", policy),
            document(
                "ValidatingAdmissionPolicyBinding",
                json!({"policyName": name, "validationActions": ["Deny"]}),
            ),
        ]
    }
}

fn rule(group: &str, resources: &[&str], operations: &[&str], scope: &str) -> Value {
    json!({"apiGroups": [group], "apiVersions": ["*"], "resources": resources, "operations": operations, "scope": scope})
}

/// Who makes a tenant's Namespace, who changes it, and what of it never changes.
fn namespaces(settings: &Settings, tenancy: &snapshot::Settings) -> Backstop {
    let (makers, admins, trusted) = (who::makers(tenancy), who::admins(tenancy), who::trusted(tenancy));
    let keys = ["tenant-id", "project-id", "app-id", "sandbox"]
        .map(|key| format!("\"{}/{key}\"", tenancy.label_prefix))
        .join(", ");
    let kept = "(has(object.metadata.labels) && k in object.metadata.labels &&\n    \
                object.metadata.labels[k] == oldObject.metadata.labels[k])";
    Backstop {
        name: "namespaces",
        rules: json!([rule("", &["namespaces", "namespaces/status", "namespaces/finalize"], &["CREATE", "UPDATE", "DELETE"], "Cluster")]),
        conditions: vec![("a-tenant-namespace", named_like_a_tenants(&settings.prefix).join(" ||\n"))],
        validations: vec![
            (
                format!("request.operation != \"CREATE\" ||\n{makers}"),
                "the platform alone makes namespaces of tenants; create an App or a sandbox through it",
            ),
            (
                "request.operation != \"CREATE\" || !has(object.metadata.generateName) || object.metadata.generateName == \"\"".to_owned(),
                "the name of a tenant namespace is composed, never generated",
            ),
            (
                format!("request.operation == \"CREATE\" ||\n{trusted}"),
                "the platform alone keeps namespaces of tenants",
            ),
            (
                format!(
                    "request.operation != \"UPDATE\" ||\n{admins} ||\n[{keys}].all(k,\n  \
                     !(has(oldObject.metadata.labels) && k in oldObject.metadata.labels) ||\n  {kept})"
                ),
                "what a namespace is does not change: its identity labels stay as they are",
            ),
        ],
    }
}

/// No kind of KubeVela's in a sandbox, whoever asks; what is being deleted may let go of its finalizers.
fn sandboxes(settings: &Settings) -> Backstop {
    Backstop {
        name: "sandboxes-without-vela",
        rules: json!([rule("*", &["*/*"], &["CREATE", "UPDATE"], "Namespaced")]),
        conditions: vec![
            (Condition::TenantNamespace.name(), Condition::TenantNamespace.expression(settings)),
            ("in-a-sandbox", named("sbx", "app")),
            (
                "a-kind-of-vela",
                "request.resource.group == \"oam.dev\" || request.resource.group.endsWith(\".oam.dev\")"
                    .to_owned(),
            ),
        ],
        validations: vec![(
            "request.operation == \"UPDATE\" && has(oldObject.metadata.deletionTimestamp)".to_owned(),
            "KubeVela's kinds have no place in a sandbox, whoever asks",
        )],
    }
}

/// Who writes into an app namespace, and what its own tenant may do there.
fn apps(settings: &Settings, tenancy: &snapshot::Settings) -> Backstop {
    let conditions = [Condition::TenantNamespace, Condition::NotVirtualReview, Condition::NotUpkeep]
        .iter()
        .map(|condition| (condition.name(), condition.expression(settings)))
        .chain([("in-an-app", named("app", "sbx"))]);
    let ways = [Some(who::trusted(tenancy)), who::connects(tenancy), who::workloads(tenancy)];
    Backstop {
        name: "app-namespaces",
        rules: json!([rule("*", &["*/*"], &["*"], "Namespaced")]),
        conditions: conditions.collect(),
        validations: vec![(
            ways.into_iter().flatten().collect::<Vec<_>>().join(" ||\n"),
            "app namespaces are read-only for tenants; change the App through the platform",
        )],
    }
}

/// No image from outside the ceiling, whoever asks.
fn registries(settings: &Settings, tenancy: &snapshot::Settings) -> Backstop {
    Backstop {
        name: "registries",
        rules: json!([
            rule("", &["pods"], &["CREATE"], "Namespaced"),
            rule("", &["pods/ephemeralcontainers"], &["UPDATE"], "Namespaced")
        ]),
        conditions: vec![(
            Condition::TenantNamespace.name(),
            Condition::TenantNamespace.expression(settings),
        )],
        validations: images::validations(&tenancy.ceiling),
    }
}

/// Which of the two tokens comes first in the namespace's name. A name has one reading, because neither is part of a
/// tenant's or a project's slug.
fn named(token: &str, other: &str) -> String {
    format!(
        "request.namespace.contains(\"-{token}-\") &&\n\
         !(request.namespace.split(\"-{token}-\")[0] + \"-\").contains(\"-{other}-\")"
    )
}
