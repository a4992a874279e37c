//! ValidatingAdmissionPolicies with the basic rules, which kube-apiserver enforces even when the webhook configurations are
//! removed.
//!
//! They deny a subset of what the policies deny. CEL knows neither the ledger nor image normalization, so it goes by the text
//! of names and images. Exceptions and break-glass do not apply to them.

use serde_json::{Value, json};

use super::settings::Settings;
use super::webhooks::{Condition, NAME, has_tenant_prefix, named_with_group, username_is};
use portcullis_tenancy::image::RegistryEntry;
use portcullis_tenancy::requester::Class;
use portcullis_tenancy::resource::Pattern;
use portcullis_tenancy::snapshot::{self, Identity};

/// One policy: it applies where all conditions are true, and refuses the write unless all validations are.
struct Backstop {
    name: &'static str,
    rules: Value,
    conditions: Vec<(&'static str, String)>,
    /// CEL expression and message.
    validations: Vec<(String, &'static str)>,
}

/// Every policy with its binding, as documents.
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
            let metadata = json!({"name": name, "labels": {"app.kubernetes.io/name": NAME}});
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

/// Who may create and change a tenant's Namespace; its identity labels never change.
fn namespaces(settings: &Settings, tenancy: &snapshot::Settings) -> Backstop {
    let (creators, admins, trusted) = (namespace_creators(tenancy), admins(tenancy), trusted(tenancy));
    let keys = ["tenant-id", "project-id", "app-id", "sandbox"]
        .map(|key| format!("\"{}/{key}\"", tenancy.label_prefix))
        .join(", ");
    let unchanged = "(has(object.metadata.labels) && k in object.metadata.labels &&\n    \
                object.metadata.labels[k] == oldObject.metadata.labels[k])";
    Backstop {
        name: "namespaces",
        rules: json!([rule("", &["namespaces", "namespaces/status", "namespaces/finalize"], &["CREATE", "UPDATE", "DELETE"], "Cluster")]),
        conditions: vec![("a-tenant-namespace", has_tenant_prefix(&settings.prefix).join(" ||\n"))],
        validations: vec![
            (
                format!("request.operation != \"CREATE\" ||\n{creators}"),
                "only the platform creates tenant namespaces; create an App or a sandbox there",
            ),
            (
                "request.operation != \"CREATE\" || !has(object.metadata.generateName) || object.metadata.generateName == \"\"".to_owned(),
                "the name of a tenant namespace must not be generated",
            ),
            (
                format!("request.operation == \"CREATE\" ||\n{trusted}"),
                "only the platform changes tenant namespaces",
            ),
            (
                format!(
                    "request.operation != \"UPDATE\" ||\n{admins} ||\n[{keys}].all(k,\n  \
                     !(has(oldObject.metadata.labels) && k in oldObject.metadata.labels) ||\n  {unchanged})"
                ),
                "the identity labels of a tenant namespace cannot change",
            ),
        ],
    }
}

/// No KubeVela kinds in a sandbox, for any user. An object that is being deleted can still lose its finalizers.
fn sandboxes(settings: &Settings) -> Backstop {
    Backstop {
        name: "sandboxes-without-vela",
        rules: json!([rule("*", &["*/*"], &["CREATE", "UPDATE"], "Namespaced")]),
        conditions: vec![
            (Condition::TenantNamespace.name(), Condition::TenantNamespace.expression(settings)),
            ("in-a-sandbox", namespace_is("sbx", "app")),
            (
                "a-kind-of-vela",
                "request.resource.group == \"oam.dev\" || request.resource.group.endsWith(\".oam.dev\")"
                    .to_owned(),
            ),
        ],
        validations: vec![(
            "request.operation == \"UPDATE\" && has(oldObject.metadata.deletionTimestamp)".to_owned(),
            "KubeVela's kinds are not allowed in a sandbox, for any user",
        )],
    }
}

/// Who may write into an app namespace, and what its own tenant may do there.
fn apps(settings: &Settings, tenancy: &snapshot::Settings) -> Backstop {
    let conditions = [Condition::TenantNamespace, Condition::NotVirtualReview, Condition::NotClusterUpkeep]
        .iter()
        .map(|condition| (condition.name(), condition.expression(settings)))
        .chain([("in-an-app", namespace_is("app", "sbx"))]);
    let ways = [Some(trusted(tenancy)), connects(tenancy), workloads(tenancy)];
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

/// No image from outside the ceiling, for any user.
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
        validations: image_validations(&tenancy.ceiling),
    }
}

/// Tests that `token` comes before `other` in the namespace's name. That is unambiguous, because slugs of tenants and projects
/// contain neither.
fn namespace_is(token: &str, other: &str) -> String {
    format!(
        "request.namespace.contains(\"-{token}-\") &&\n\
         !(request.namespace.split(\"-{token}-\")[0] + \"-\").contains(\"-{other}-\")"
    )
}

fn namespace_creators(settings: &snapshot::Settings) -> String {
    any(settings.identities.iter().filter(|who| who.creates_namespaces || who.class == Class::Admin))
}

fn admins(settings: &snapshot::Settings) -> String {
    any(settings.identities.iter().filter(|who| who.class == Class::Admin))
}

/// All identities of the settings, and Kubernetes' own components.
fn trusted(settings: &snapshot::Settings) -> String {
    let cluster = [
        named_with_group("system:serviceaccount:kube-system:", "system:serviceaccounts:kube-system"),
        named_with_group("system:node:", "system:nodes"),
        username_is("system:kube-controller-manager"),
        username_is("system:kube-scheduler"),
        username_is("system:apiserver"),
    ];
    format!("{} ||\n{}", any(settings.identities.iter()), cluster.join(" ||\n"))
}

/// Which connections tenants may open; `None` for none.
fn connects(settings: &snapshot::Settings) -> Option<String> {
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

/// What an app namespace's own service accounts may write; `None` for nothing.
fn workloads(settings: &snapshot::Settings) -> Option<String> {
    let kinds: Vec<String> = settings.workload_writes.iter().map(resource_is).collect();
    (!kinds.is_empty()).then(|| {
        format!(
            "(has(request.userInfo.username) &&\n  \
             request.userInfo.username.startsWith(\"system:serviceaccount:\" + request.namespace + \":\") &&\n  ({}))",
            kinds.join(" ||\n  ")
        )
    })
}

/// A wildcard pattern matches everything: a backstop may allow more than the policies.
fn resource_is(pattern: &Pattern) -> String {
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

/// One of the identities; `false` for an empty list.
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

/// A CEL string literal; CEL knows all of JSON's escapes.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// Docker Hub's images have many spellings, so CEL tests only whether the ceiling contains Docker Hub.
const HUB: &str = "docker.io";

/// One validation for each list of containers.
fn image_validations(ceiling: &[RegistryEntry]) -> Vec<(String, &'static str)> {
    let message = "an image is not from a registry that the platform allows";
    let container = within_ceiling("c.image", ceiling);
    let volume = within_ceiling("v.image.reference", ceiling);
    let known = "(oldObject != null && has(oldObject.spec) && has(oldObject.spec.ephemeralContainers) &&\n    \
                 oldObject.spec.ephemeralContainers.exists(o, o.name == c.name && has(o.image) && o.image == c.image))";
    let list = |name: &str, each: &str| {
        format!(
            "!has(object.spec) || !has(object.spec.{name}) || dyn(object.spec.{name}) == null ||\n\
             object.spec.{name}.all({each})"
        )
    };
    let on_create = |text: String| format!("request.operation != \"CREATE\" || {text}");
    [
        on_create(list("containers", &format!("c, !has(c.image) || c.image == \"\" ||\n  {container}"))),
        on_create(list("initContainers", &format!("c, !has(c.image) || c.image == \"\" ||\n  {container}"))),
        list(
            "ephemeralContainers",
            &format!("c, !has(c.image) || c.image == \"\" || {known} ||\n  {container}"),
        ),
        on_create(list(
            "volumes",
            &format!(
                "v, !has(v.image) || !has(v.image.reference) || v.image.reference == \"\" ||\n  {volume}"
            ),
        )),
    ]
    .into_iter()
    .map(|text| (text, message))
    .collect()
}

/// Tests the text at `path` against the ceiling. An image without a registry is on Docker Hub.
fn within_ceiling(path: &str, ceiling: &[RegistryEntry]) -> String {
    let entries: Vec<String> = ceiling.iter().map(ToString::to_string).collect();
    let hub = entries.iter().any(|entry| entry == HUB || entry.starts_with(&format!("{HUB}/")));
    let list = |paths: bool| {
        let some = entries.iter().filter(|entry| entry.contains('/') == paths);
        some.map(|entry| quoted(entry)).collect::<Vec<_>>().join(", ")
    };
    format!(
        "((!{path}.contains(\"/\") || !({path}.split(\"/\")[0].contains(\".\") || {path}.split(\"/\")[0].contains(\":\") ||\n    \
         {path}.split(\"/\")[0] == \"localhost\") || {path}.startsWith(\"{HUB}/\") || {path}.startsWith(\"index.{HUB}/\"))\n  \
         ? {hub}\n  \
         : [{hosts}].exists(e, {path}.startsWith(e + \"/\")) ||\n    \
         [{paths}].exists(e, {path} == e || {path}.startsWith(e + \"/\") || {path}.startsWith(e + \":\") || {path}.startsWith(e + \"@\")))",
        hosts = list(false),
        paths = list(true),
    )
}
