//! What the room `cluster` says of a real API server, as accounts that may much or little.

mod configmaps; // law out of ConfigMaps
mod registration; // applied, compared and kept
mod scan; // what exists there, judged
mod view; // what policies see of Namespaces

use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use portcullis_cluster::{Cluster, ClusterArgs, ClusterError, Need};
use serde_json::{Value, json};

use super::plane::Plane;
use crate::support::wire::Ask;
use crate::support::{Gate, Options, wait};

/// A control plane without a gate, for all that does not take its API server away.
pub fn bare() -> &'static Plane {
    static PLANE: OnceLock<Plane> = OnceLock::new();
    PLANE.get_or_init(Plane::start)
}

/// Where the gate would live.
pub const HOME: &str = "portcullis-system";

/// A service account in [`HOME`] that may what these rules of a ClusterRole say and nothing else; its kubeconfig.
pub fn account(plane: &Plane, name: &str, rules: &Value) -> PathBuf {
    let role = format!("{HOME}-{name}");
    let api = "rbac.authorization.k8s.io";
    let all = json!({"apiVersion": "v1", "kind": "List", "items": [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": HOME}},
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": HOME}},
        {"apiVersion": format!("{api}/v1"), "kind": "ClusterRole", "metadata": {"name": role}, "rules": rules},
        {"apiVersion": format!("{api}/v1"), "kind": "ClusterRoleBinding", "metadata": {"name": role},
         "roleRef": {"apiGroup": api, "kind": "ClusterRole", "name": role},
         "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": HOME}]},
    ]});
    let done = plane.shell("root", "kubectl apply -f -", Some(&all.to_string()));
    assert!(done.ok, "{}", done.err);
    let token = plane.kubectl("root", &["-n", HOME, "create", "token", name]);
    assert!(token.ok, "{}", token.err);
    let kubeconfig = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": name,
        "clusters": [{"name": "plane", "cluster": {"server": plane.server, "certificate-authority": "ca.pem"}}],
        "contexts": [{"name": name, "context": {"cluster": "plane", "user": name, "namespace": HOME}}],
        "users": [{"name": name, "user": {"token": token.out.trim_end()}}],
    });
    let path = plane.dir.join(format!("{name}.kubeconfig"));
    std::fs::write(&path, kubeconfig.to_string()).unwrap();
    path
}

/// The cluster as an account.
pub async fn cluster(kubeconfig: PathBuf) -> Cluster {
    ClusterArgs { kubeconfig: Some(kubeconfig), context: None }.connect().await.unwrap()
}

#[tokio::test]
async fn every_permission_that_is_missing_is_named() {
    let needs = [
        Need::new("watch", "", "namespaces"),
        Need::new("get", "admissionregistration.k8s.io", "validatingwebhookconfigurations").of("portcullis"),
        Need::new("list", "", "configmaps").within(HOME),
    ];
    let plane = bare();
    let may = json!([{"apiGroups": [""], "resources": ["namespaces"], "verbs": ["list", "watch"]}]);
    let weak = cluster(account(plane, "weak", &may)).await;
    assert!(weak.reach().await.unwrap().starts_with('v'));
    weak.check_permissions(&needs[..1]).await.unwrap();
    let missing = weak.check_permissions(&needs).await.unwrap_err();
    assert!(matches!(&missing, ClusterError::Forbidden(all) if *all == needs[1..]), "{missing}");
    assert_eq!(
        missing.to_string(),
        "permissions are missing in RBAC; grant: get validatingwebhookconfigurations.admissionregistration.k8s.io \
         `portcullis`; list configmaps in namespace `portcullis-system`"
    );
}

#[tokio::test]
async fn a_token_that_nobody_knows_is_told_from_one_that_may_nothing() {
    let plane = bare();
    let known = account(plane, "known", &json!([]));
    let text = std::fs::read_to_string(&known).unwrap();
    let mut kubeconfig: Value = serde_json::from_str(&text).unwrap();
    kubeconfig["users"][0]["user"]["token"] = "nonsense".into();
    let unknown = plane.dir.join("unknown.kubeconfig");
    std::fs::write(&unknown, kubeconfig.to_string()).unwrap();
    let need = [Need::new("list", "", "namespaces")];
    let error = cluster(unknown).await.check_permissions(&need).await.unwrap_err();
    assert!(matches!(error, ClusterError::Unauthorized(_)), "{error}");
    let error = cluster(known).await.check_permissions(&need).await.unwrap_err();
    assert!(matches!(error, ClusterError::Forbidden(_)), "{error}");
}

/// A gate that follows the cluster as an account, with these flags beside.
pub fn gate(kubeconfig: &Path, policies: Option<&Path>, flags: &[&str]) -> Gate {
    let kubeconfig = kubeconfig.display().to_string();
    let words: Vec<&str> = ["--kubeconfig", &kubeconfig].into_iter().chain(flags.iter().copied()).collect();
    Gate::start(&Options { policies, extra: &words, ..Options::default() })
}

/// Waits until the gate answers a review so: `None` lets it through, else the sentence has this in it.
pub fn until(gate: &Gate, ask: &Ask, denied: Option<&str>) {
    wait(Duration::from_secs(30), || {
        let answer = gate.ask("validate", &ask.body());
        let message = answer.message();
        let allowed = answer.json()["response"]["allowed"] == true;
        (allowed == denied.is_none() && denied.is_none_or(|text| message.contains(text))).then_some(())
    });
}

/// What a line of the log says that has all these words; waits for it.
pub fn told(gate: &Gate, words: &[&str]) -> String {
    wait(Duration::from_secs(30), || {
        gate.told().into_iter().find(|line| words.iter().all(|word| line.contains(word)))
    })
}
