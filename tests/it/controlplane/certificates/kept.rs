//! A registration that the gates keep: the authority changes, and nobody carries anything.

use serde_json::{Value, json};

use super::replica::der;
use super::{Home, PATIENCE, apply};
use crate::controlplane::plane::Plane;
use crate::support::{portcullis, wait};

/// Nobody is called there; what counts is the name in the certificate.
const URL: &str = "https://127.0.0.1:9443";

/// What the first webhook of the validating configuration trusts, PEM.
fn trusted(plane: &Plane) -> Option<String> {
    use base64::Engine as _;
    let done = plane.kubectl("root", &["get", "validatingwebhookconfiguration", "portcullis", "-o", "json"]);
    let found: Value = serde_json::from_str(&done.out).ok()?;
    let bundle = found["webhooks"][0]["clientConfig"]["caBundle"].as_str()?;
    String::from_utf8(base64::engine::general_purpose::STANDARD.decode(bundle).ok()?).ok()
}

#[test]
fn the_authority_changes_and_nobody_carries_anything() {
    let plane = Plane::start();
    let home = Home::new(&plane, "certs-kept");
    let api = "rbac.authorization.k8s.io";
    let hooks = ["mutatingwebhookconfigurations", "validatingwebhookconfigurations"];
    apply(
        &plane,
        &json!({"apiVersion": "v1", "kind": "List", "items": [
            {"apiVersion": format!("{api}/v1"), "kind": "ClusterRole", "metadata": {"name": "keep"},
             "rules": [{"apiGroups": ["admissionregistration.k8s.io"], "resources": hooks,
                        "resourceNames": ["portcullis"], "verbs": ["list", "watch", "patch"]}]},
            {"apiVersion": format!("{api}/v1"), "kind": "ClusterRoleBinding", "metadata": {"name": "keep"},
             "roleRef": {"apiGroup": api, "kind": "ClusterRole", "name": "keep"},
             "subjects": [{"kind": "ServiceAccount", "name": "gate", "namespace": "certs-kept"}]},
        ]}),
    );
    let mut command = portcullis();
    command.args(["manifests", "--url", URL, "--apply", "--kubeconfig"]).arg(plane.dir.join("kubeconfig"));
    let done = command.output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));

    let lives = ["--tls-cert-validity", "60s", "--tls-ca-validity", "10m"];
    let replica = home.replica(&[&lives[..], &["--manage-ca-bundle", URL]].concat());
    replica.ready();
    let carried = || wait(PATIENCE, || (trusted(&plane)? == home.secret("ca.crt")?).then_some(()));
    carried();
    wait(PATIENCE, || replica.reason("trust").is_empty().then_some(()));
    let before = home.secret("ca.crt").unwrap();

    home.rotate("authority");
    // The new one signs only once it is seen to be trusted, and it is the gate itself that had it trusted.
    let after = wait(PATIENCE, || {
        home.secret("ca.crt").filter(|now| *now != before && now.matches("BEGIN").count() == 2)
    });
    carried();
    let new = after.replace(before.trim(), "");
    let served = wait(PATIENCE, || replica.serves(&new).ok());
    assert_eq!(served, der(&home.secret("tls.crt").unwrap()));
    assert_eq!(replica.reason("registration"), "");
}
