//! Certificates that the gates keep in a Secret themselves, and the probe that says whether anybody trusts them.

mod faults; // the Secret deleted, damaged, out of reach; permissions that are missing
mod kept; // the registration kept by the gate
mod replica; // a gate that keeps its own certificate, and what it serves
mod rotation; // leaf and authority change while kube-apiserver calls

use std::path::PathBuf;
use std::time::Duration;

use base64::Engine as _;
use serde_json::{Value, json};

use self::replica::Replica;
use super::cluster::bare;
use super::plane::Plane;
use crate::support::wait;

/// Long enough for a loaded machine.
const PATIENCE: Duration = Duration::from_mins(1);

/// A namespace in which gates live, their Secret, and the account under which they keep it.
pub struct Home<'a> {
    plane: &'a Plane,
    namespace: String,
    kubeconfig: PathBuf,
}

const SECRET: &str = "portcullis-tls";

impl<'a> Home<'a> {
    /// With every permission that is needed, and no other.
    fn new(plane: &'a Plane, namespace: &str) -> Self {
        let home = Self::without_rights(plane, namespace);
        home.grant();
        home
    }

    fn without_rights(plane: &'a Plane, namespace: &str) -> Self {
        let all = json!({"apiVersion": "v1", "kind": "List", "items": [
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}},
            {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "gate", "namespace": namespace}},
        ]});
        apply(plane, &all);
        let token = plane.kubectl("root", &["-n", namespace, "create", "token", "gate"]);
        assert!(token.ok, "{}", token.err);
        let kubeconfig = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "gate",
            "clusters": [{"name": "plane", "cluster": {"server": plane.server, "certificate-authority": "ca.pem"}}],
            "contexts": [{"name": "gate", "context": {"cluster": "plane", "user": "gate", "namespace": namespace}}],
            "users": [{"name": "gate", "user": {"token": token.out.trim_end()}}],
        });
        let path = plane.dir.join(format!("{namespace}.kubeconfig"));
        std::fs::write(&path, kubeconfig.to_string()).unwrap();
        Self { plane, namespace: namespace.to_owned(), kubeconfig: path }
    }

    /// As the chart grants it.
    fn grant(&self) {
        let (namespace, api) = (&self.namespace, "rbac.authorization.k8s.io");
        let subjects = json!([{"kind": "ServiceAccount", "name": "gate", "namespace": namespace}]);
        let hooks = ["mutatingwebhookconfigurations", "validatingwebhookconfigurations"];
        apply(
            self.plane,
            &json!({"apiVersion": "v1", "kind": "List", "items": [
                {"apiVersion": format!("{api}/v1"), "kind": "Role", "metadata": {"name": "gate", "namespace": namespace},
                 "rules": [
                    {"apiGroups": [""], "resources": ["secrets"], "verbs": ["create"]},
                    {"apiGroups": [""], "resources": ["secrets"], "resourceNames": [SECRET],
                     "verbs": ["get", "list", "watch", "update"]},
                 ]},
                {"apiVersion": format!("{api}/v1"), "kind": "RoleBinding", "metadata": {"name": "gate", "namespace": namespace},
                 "roleRef": {"apiGroup": api, "kind": "Role", "name": "gate"}, "subjects": subjects},
                {"apiVersion": format!("{api}/v1"), "kind": "ClusterRole", "metadata": {"name": namespace},
                 "rules": [{"apiGroups": ["admissionregistration.k8s.io"], "resources": hooks,
                            "resourceNames": ["portcullis"], "verbs": ["get", "list", "watch", "patch"]}]},
                {"apiVersion": format!("{api}/v1"), "kind": "ClusterRoleBinding", "metadata": {"name": namespace},
                 "roleRef": {"apiGroup": api, "kind": "ClusterRole", "name": namespace}, "subjects": subjects},
            ]}),
        );
    }

    /// A gate that keeps its certificate here.
    fn replica(&self, flags: &[&str]) -> Replica {
        Replica::start(&self.kubeconfig, &format!("{}/{SECRET}", self.namespace), flags)
    }

    /// What is in the Secret, decoded; `None` where there is none.
    fn secret(&self, key: &str) -> Option<String> {
        let done = self.kubectl(&["get", "secret", SECRET, "-o", "json"]);
        let secret: Value = serde_json::from_str(&done.out).ok()?;
        let value = secret["data"][key].as_str()?;
        let bytes = base64::engine::general_purpose::STANDARD.decode(value).unwrap();
        Some(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// The Secret changed by hand: a merge patch.
    fn patch(&self, patch: &Value) {
        let done = self.kubectl(&["patch", "secret", SECRET, "--type=merge", "-p", &patch.to_string()]);
        assert!(done.ok, "{}", done.err);
    }

    fn rotate(&self, what: &str) {
        self.patch(&json!({"metadata": {"annotations": {"portcullis.kubenova.io/rotate": what}}}));
    }

    fn kubectl(&self, words: &[&str]) -> super::plane::Done {
        self.plane.kubectl("root", &[&["-n", &self.namespace], words].concat())
    }
}

fn apply(plane: &Plane, objects: &Value) {
    let done = plane.shell("root", "kubectl apply -f -", Some(&objects.to_string()));
    assert!(done.ok, "{}", done.err);
}

#[test]
fn three_replicas_that_start_at_once_agree() {
    let home = Home::new(bare(), "certs-agree");
    let replicas = [0, 1, 2].map(|_| home.replica(&[]));
    replicas.iter().for_each(Replica::ready);
    let (bundle, leaf) = (home.secret("ca.crt").unwrap(), home.secret("tls.crt").unwrap());
    assert_eq!((bundle.matches("BEGIN").count(), leaf.matches("BEGIN").count()), (1, 1));
    for replica in &replicas {
        replica.says("trust", "so the API server sends no reviews");
        let expected = replica::der(&leaf);
        wait(PATIENCE, || (replica.serves(&bundle).ok()? == expected).then_some(()));
        let metrics = replica.page("/metrics");
        for name in ["serving", "authority"] {
            let series = format!("portcullis_certificate_expiry_timestamp_seconds{{name=\"{name}\"}}");
            assert!(metrics.contains(&series), "{name}");
        }
    }
    let made: usize =
        replicas.iter().map(|replica| replica.log().matches("the Secret was created secret=").count()).sum();
    assert_eq!(made, 1, "{}", replicas.iter().map(Replica::log).collect::<String>());
    // A key belongs to whoever made it; what a tool looks for is where it looks.
    let kind = home.kubectl(&["get", "secret", SECRET, "-o", "jsonpath={.type}"]).out;
    assert_eq!(kind, "kubernetes.io/tls");
}
