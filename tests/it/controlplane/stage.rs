//! A control plane, the gate registered with it, and the world of the cases built through both.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};

use super::gate::Gate;
use super::plane::Plane;
use super::rows;
use crate::support::{people, wait};

/// What rows call the namespaces of the world.
pub const SHORT: &[(&str, &str)] = &[
    ("A", "tn-acme-shop-app-frontend"),
    ("S", "tn-acme-shop-sbx-001"),
    ("G", "tn-globex-web-app-api"),
    ("GS", "tn-globex-web-sbx-001"),
    ("ACME", "018f2b7c-0000-7000-8000-000000000001"),
    ("GLOBEX", "018f2b7c-0000-7000-8000-000000000002"),
    ("SHOP", "018f2b7c-0000-7000-8000-000000000011"),
    ("FRONTEND", "018f2b7c-0000-7000-8000-000000000021"),
];

pub struct Stage {
    pub plane: Plane,
    pub gate: Gate,
}

impl Stage {
    /// RBAC lets the whole cast do everything, so that whatever is refused is refused by the gate.
    pub fn set() -> Self {
        let stage = Self { plane: Plane::start(), gate: Gate::start() };
        let accounts = SHORT.iter().map(|(_, namespace)| format!("system:serviceaccounts:{namespace}"));
        let api = "rbac.authorization.k8s.io";
        let subjects: Vec<_> = people()
            .values()
            .map(|person| json!({"apiGroup": api, "kind": "User", "name": person.username}))
            .chain(accounts.map(|name| json!({"apiGroup": api, "kind": "Group", "name": name})))
            .collect();
        let binding = json!({
            "apiVersion": format!("{api}/v1"), "kind": "ClusterRoleBinding", "metadata": {"name": "the-cast"},
            "roleRef": {"apiGroup": api, "kind": "ClusterRole", "name": "cluster-admin"}, "subjects": subjects,
        });
        stage.root("kubectl apply -f -", &binding.to_string());
        stage.register();
        rows::run(&stage, "world");
        stage
    }

    /// Registers the gate, and waits until kube-apiserver knows.
    fn register(&self) {
        self.root("kubectl apply --server-side -f -", &self.gate.manifests());
        let probe = ["create", "namespace", "tn-nobody", "--dry-run=server"];
        wait(Duration::from_mins(1), || {
            self.plane.kubectl("acme-dev", &probe).err.contains("denied the request").then_some(())
        });
    }

    /// What an administrator does, and must be able to.
    pub fn root(&self, line: &str, input: &str) {
        let done = self.plane.shell("root", line, Some(input));
        assert!(done.ok, "{line}: {}", done.err);
    }

    /// A folder with the gate's certificate under the names that controllers look for.
    pub fn serving(&self, name: &str) -> PathBuf {
        let (certs, folder) = (self.gate.dir.join("certs"), self.plane.dir.join(name));
        std::fs::create_dir(&folder).unwrap();
        std::fs::copy(certs.join("tls.pem"), folder.join("tls.crt")).unwrap();
        std::fs::copy(certs.join("tls-key.pem"), folder.join("tls.key")).unwrap();
        folder
    }

    /// This class of requester was asked about, and refused nothing but what rows call stray.
    pub fn passes(&self, class: &str) {
        let decisions = self.gate.decisions();
        let (allowed, refused): (Vec<_>, Vec<_>) = decisions
            .iter()
            .filter(|line| line["requester_class"] == class)
            .partition(|line| line["verdict"] == "allow");
        // A definition that shadows a built-in one has that one's name.
        let stray = |line: &&&Value| {
            line["name"].as_str().is_some_and(|name| name.starts_with("stray"))
                || line["resource"] == "componentdefinitions.core.oam.dev"
                || line["resource"] == "definitionrevisions.core.oam.dev"
        };
        let refused: Vec<_> = refused.iter().filter(|line| !stray(line)).collect();
        assert!(refused.is_empty(), "{refused:#?}");
        assert!(allowed.len() > 10, "{allowed:#?}");
    }

    /// Holds at any time, whatever is tried: the law refuses nothing to the cluster's own controllers and nodes, the gate
    /// fails no review, and kube-apiserver fails no call and no condition.
    pub fn is_sound(&self) {
        let refused = |line: &Value| {
            let of_the_cluster = ["system", "node"].iter().any(|class| line["requester_class"] == *class);
            line["verdict"] == "error" || of_the_cluster && line["verdict"] != "allow"
        };
        let refused: Vec<_> = self.gate.decisions().into_iter().filter(refused).collect();
        assert!(refused.is_empty(), "{refused:#?}");
        let metrics = self.plane.kubectl("root", &["get", "--raw", "/metrics"]).out;
        assert!(metrics.contains("apiserver_admission_webhook_request_total{"), "{metrics}");
        let failed = ["calling_webhook_error", "webhook_fail_open_count{", "evaluation_errors_total{"];
        let lines: Vec<&str> = metrics
            .lines()
            .filter(|line| line.contains("portcullis") && failed.iter().any(|word| line.contains(word)))
            .collect();
        assert!(lines.is_empty(), "{lines:#?}");
    }
}

/// An exemption for a person, without an end that a test could meet.
fn exception(id: &str, policy: &str, subject: &str, tenant: &str, namespace: &str, resource: &str) -> String {
    format!(
        "  018f2b7c-0000-7000-8000-0000000000{id}: {{policy: {policy}, tenant: {tenant}, subjects: ['{subject}'], \
         objects: [{{namespace: {namespace}, resource: {resource}}}], expires: '2099-01-01T00:00:00Z'}}\n"
    )
}

/// The example tenancy, and in it what tests make and delete.
pub fn enlarged(world: &str) -> String {
    let app = "apps:\n  acme/shop/brief: {id: 018f2b7c-0000-7000-8000-000000000029, sourceKind: image}";
    let namespaces = [
        "namespaces:",
        "  tn-acme-shop-app-brief: {kind: app, tenant: acme, project: shop, app: brief}",
        "  tn-acme-shop-sbx-002: {kind: sandbox, tenant: acme, project: shop, sandbox: 2, id: 018f2b7c-0000-7000-8000-000000000039}",
    ];
    let exceptions = [
        exception(
            "e1",
            "registry-allowlist",
            "alice@acme.io",
            "acme",
            "tn-acme-shop-sbx-001",
            "deployments.apps, name: emergency",
        ),
        exception(
            "e2",
            "vela-application-scope",
            "oidc:erin@platform.io",
            "acme",
            "tn-acme-shop-app-frontend",
            "applications.core.oam.dev",
        ),
        exception(
            "e3",
            "vela-application-shape",
            "oidc:erin@platform.io",
            "acme",
            "tn-acme-shop-app-frontend",
            "applications.core.oam.dev",
        ),
        exception(
            "e4",
            "vela-workflow-steps",
            "oidc:erin@platform.io",
            "acme",
            "tn-acme-shop-app-frontend",
            "applications.core.oam.dev",
        ),
        exception(
            "e5",
            "vela-definitions",
            "oidc:erin@platform.io",
            "acme",
            "tn-acme-shop-app-frontend",
            "componentdefinitions.core.oam.dev",
        ),
        exception(
            "e6",
            "vela-definitions",
            "oidc:erin@platform.io",
            "acme",
            "tn-acme-shop-app-frontend",
            "definitionrevisions.core.oam.dev",
        ),
        exception(
            "e7",
            "vela-identity-annotations",
            "oidc:erin@platform.io",
            "acme",
            "tn-acme-shop-app-frontend",
            "applications.core.oam.dev, name: stray-own-label",
        ),
    ];
    let world = format!("{world}\nexceptions:\n{}", exceptions.concat());
    world
        .replace("\napps:", &format!("\n{app}"))
        .replace("\nnamespaces:", &format!("\n{}", namespaces.join("\n")))
}
