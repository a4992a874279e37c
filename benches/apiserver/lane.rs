//! What a Pod may meet on its way, and what it was seen to meet.

use std::process::Command;
use std::time::Duration;

use base64::Engine as _;
use serde_json::json;

use super::pods::Clients;
use crate::plane::Plane;
use crate::serve::server::{Server, demo_world, root};
use crate::support::wait;

/// Where the Pods go: a sandbox of the world.
pub const NAMESPACE: &str = "tn-acme-shop-sbx-001";

/// What is registered while Pods are created.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lane {
    NoLaw,
    Nothing,
    /// The webhook that does nothing, registered word for word as the gate is: called twice.
    NothingTwice,
    Ours,
    Cel,
    /// The gate and one call of the webhook that does nothing, on the same Pods.
    Both,
}

impl Lane {
    pub const ALL: [Self; 6] =
        [Self::NoLaw, Self::Nothing, Self::NothingTwice, Self::Ours, Self::Cel, Self::Both];

    pub fn called(self) -> &'static str {
        match self {
            Self::NoLaw => "no law",
            Self::Nothing => "a webhook that does nothing, one call",
            Self::NothingTwice => "the same, registered as ours is, two calls",
            Self::Ours => "ours, two calls",
            Self::Cel => "the backstop's rules as CEL inside the API server",
            Self::Both => "ours and, beside it, one that does nothing",
        }
    }

    /// Calls of webhooks that a Pod costs.
    fn calls(self) -> f64 {
        match self {
            Self::NoLaw | Self::Cel => 0.0,
            Self::Nothing => 1.0,
            Self::NothingTwice | Self::Ours => 2.0,
            Self::Both => 3.0,
        }
    }
}

/// A control plane, and the two servers that it may call.
pub struct Stand {
    pub plane: Plane,
    gate: Server,
    nothing: Server,
}

/// What the API server has counted so far: calls of webhooks, and how long it waited for whom.
pub struct Spent {
    calls: f64,
    waited: [(f64, f64); 2],
}

impl Spent {
    /// Seconds that a call took since an earlier look.
    pub fn mean(&self, who: &str, earlier: &Self) -> f64 {
        let at = usize::from(who == "nothing");
        let (now, then) = (self.waited.get(at), earlier.waited.get(at));
        let (now, then) = (now.unwrap(), then.unwrap());
        (now.0 - then.0) / (now.1 - then.1)
    }
}

impl Stand {
    pub async fn up() -> Self {
        let gate = Server::gate(&demo_world(), &[]).await;
        let nothing = Server::nothing().await;
        let stand = Self { plane: Plane::start(), gate, nothing };
        let api = "rbac.authorization.k8s.io";
        stand.root(
            "kubectl create -f -",
            &json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}).to_string(),
        );
        stand.root(
            "kubectl create -f -",
            &json!({
                "apiVersion": format!("{api}/v1"), "kind": "ClusterRoleBinding", "metadata": {"name": "developers"},
                "roleRef": {"apiGroup": api, "kind": "ClusterRole", "name": "cluster-admin"},
                "subjects": [{"apiGroup": api, "kind": "Group", "name": "acme-devs"}],
            })
            .to_string(),
        );
        let account = format!("kubectl -n {NAMESPACE} get serviceaccount/default");
        wait(Duration::from_mins(1), || stand.plane.shell("root", &account, None).ok.then_some(()));
        stand
    }

    /// Registers a lane, waits until Pods meet it and nothing else, does the work, and takes it away.
    pub fn with(&self, lane: Lane, clients: &mut Clients, work: impl FnOnce(&mut Clients)) {
        let registered = self.registered(lane);
        for text in &registered {
            self.root("kubectl apply --server-side -f -", text);
        }
        wait(Duration::from_mins(1), || {
            let before = self.spent();
            clients.create(16, 32);
            let after = self.spent();
            let met = (after.calls - before.calls) / 32.0;
            let right = (met - lane.calls()).abs() < 0.001 && self.has_policies() == (lane == Lane::Cel);
            right.then_some(())
        });
        work(clients);
        for text in &registered {
            self.root("kubectl delete --wait=true -f -", text);
        }
    }

    /// Whether the API server itself denies what the backstop denies; it counts no policy that admits.
    fn has_policies(&self) -> bool {
        let words = ["-n", NAMESPACE, "run", "evil", "--image=evil.example/x", "--dry-run=server"];
        self.plane.kubectl("acme-dev", &words).err.contains("ValidatingAdmissionPolicy")
    }

    /// What the API server tells of itself.
    pub fn spent(&self) -> Spent {
        let text = self.plane.kubectl("root", &["get", "--raw", "/metrics"]).out;
        let sum = |metric: &str, label: &str| -> f64 {
            text.lines()
                .filter(|line| line.starts_with(&format!("{metric}{{")) && line.contains(label))
                .filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok())
                .sum()
        };
        let duration = "apiserver_admission_webhook_admission_duration_seconds";
        let waited =
            |name: &str| (sum(&format!("{duration}_sum"), name), sum(&format!("{duration}_count"), name));
        Spent {
            calls: sum("apiserver_admission_webhook_request_total", ""),
            waited: [
                waited("name=\"tenant-writes.portcullis.kubenova.io\""),
                waited("name=\"nothing.bench.example\""),
            ],
        }
    }

    fn registered(&self, lane: Lane) -> Vec<String> {
        match lane {
            Lane::NoLaw => vec![],
            Lane::Nothing => vec![self.one_call()],
            Lane::NothingTwice => vec![manifests(&self.nothing)],
            Lane::Ours => vec![manifests(&self.gate)],
            Lane::Cel => {
                let world = root().join("tests/cases/example-tenancy.yaml");
                vec![portcullis(&["manifests", "--backstop", "--tenancy", &world.display().to_string()])]
            }
            Lane::Both => vec![manifests(&self.gate), self.one_call()],
        }
    }

    /// The webhook that does nothing as the plainest there could be: every Pod of a tenant, one call.
    fn one_call(&self) -> String {
        let authority = base64::engine::general_purpose::STANDARD.encode(self.nothing.authority());
        json!({
            "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration",
            "metadata": {"name": "nothing"},
            "webhooks": [{
                "name": "nothing.bench.example", "admissionReviewVersions": ["v1"], "sideEffects": "None",
                "clientConfig": {"url": format!("https://{}/validate", self.nothing.address), "caBundle": authority},
                "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}],
                "matchConditions": [{"name": "tenants", "expression": "request.namespace.startsWith('tn-')"}],
            }],
        })
        .to_string()
    }

    fn root(&self, line: &str, input: &str) {
        let done = self.plane.shell("root", line, Some(input));
        assert!(done.ok, "{line}: {}", done.err);
    }
}

/// The registration that the gate prints, for this server.
fn manifests(server: &Server) -> String {
    let (url, ca) = (format!("https://{}", server.address), server.path("ca.pem"));
    std::fs::write(&ca, server.authority()).unwrap();
    portcullis(&["manifests", "--url", &url, "--ca-bundle", &ca.display().to_string()])
}

fn portcullis(words: &[&str]) -> String {
    let done = Command::new(env!("CARGO_BIN_EXE_portcullis")).args(words).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).unwrap()
}
