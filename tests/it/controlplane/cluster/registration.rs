//! The registration: applied, compared, kept, and never taken from another installation.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

use super::super::plane::{Done, Plane};
use super::{account, gate, told};
use crate::support::{Gate, portcullis, root, wait};

const OURS: &str = "https://127.0.0.1:9443";
const MUTATING: &str = "mutatingwebhookconfigurations";
const VALIDATING: &str = "validatingwebhookconfigurations";

/// What is registered here has nobody to call, and must stop nobody else.
fn own() -> &'static Plane {
    static PLANE: std::sync::OnceLock<Plane> = std::sync::OnceLock::new();
    PLANE.get_or_init(Plane::start)
}

/// Tests of this file write one pair of objects, so one is tried after the other.
static ONE_AFTER_THE_OTHER: std::sync::Mutex<()> = std::sync::Mutex::new(());

fn manifests(kubeconfig: &Path, words: &[&str]) -> Done {
    let mut command = portcullis();
    command.args(["manifests", "--url", OURS, "--kubeconfig"]).arg(kubeconfig).args(words);
    command.output().unwrap().into()
}

fn admin(plane: &Plane) -> PathBuf {
    let verbs = json!(["get", "list", "watch", "create", "patch"]);
    account(
        plane,
        "registrar",
        &json!([{"apiGroups": ["admissionregistration.k8s.io"], "resources": ["*"], "verbs": verbs}]),
    )
}

fn read(plane: &Plane, plural: &str) -> Value {
    let done = plane.kubectl("root", &["get", plural, "portcullis", "-o", "json", "--show-managed-fields"]);
    assert!(done.ok, "{}", done.err);
    serde_json::from_str(&done.out).unwrap()
}

fn patch(plane: &Plane, plural: &str, patch: &Value) {
    let done =
        plane.kubectl("root", &["patch", plural, "portcullis", "--type=json", "-p", &patch.to_string()]);
    assert!(done.ok, "{}", done.err);
}

fn remove(plane: &Plane) {
    for plural in [MUTATING, VALIDATING] {
        let done = plane.kubectl("root", &["delete", plural, "portcullis", "--ignore-not-found"]);
        assert!(done.ok, "{}", done.err);
    }
}

fn authority(dir: &Path, name: &str) -> PathBuf {
    let file = dir.join(name);
    let authority = portcullis_certs::develop::CertificateAuthority::new(name).unwrap();
    std::fs::write(&file, authority.cert_pem()).unwrap();
    file
}

fn bundle(configuration: &Value, at: usize) -> String {
    let text = configuration["webhooks"][at]["clientConfig"]["caBundle"].as_str().unwrap_or_default();
    text.to_owned()
}

fn encoded(file: &Path) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(std::fs::read(file).unwrap())
}

#[test]
fn what_is_applied_is_what_is_checked_and_an_edit_is_named() {
    let _one = ONE_AFTER_THE_OTHER.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let plane = own();
    remove(plane);
    let kubeconfig = admin(plane);
    let ca = authority(&plane.dir, "one.pem");
    let ca = ["--ca-bundle", ca.to_str().unwrap()];
    let done = manifests(&kubeconfig, &["--check"]);
    assert!(!done.ok && done.out.contains("+ the whole configuration"), "{}{}", done.out, done.err);
    let done = manifests(&kubeconfig, &[&ca[..], &["--apply", "--dry-run"]].concat());
    assert!(
        done.ok && done.out.contains("MutatingWebhookConfiguration/portcullis created (dry run)"),
        "{}{}",
        done.out,
        done.err
    );
    assert!(!manifests(&kubeconfig, &["--check"]).ok, "a dry run stores nothing");
    let done = manifests(&kubeconfig, &[&ca[..], &["--apply"]].concat());
    assert!(done.ok, "{}", done.err);
    let again = manifests(&kubeconfig, &[&ca[..], &["--apply"]].concat());
    assert_eq!(again.out.matches("unchanged").count(), 2, "{}{}", again.out, again.err);
    let done = manifests(&kubeconfig, &[&ca[..], &["--check"]].concat());
    assert!(
        done.ok && done.out.contains("the cluster matches the expected configurations"),
        "{}{}",
        done.out,
        done.err
    );
    let managers = read(plane, VALIDATING)["metadata"]["managedFields"].clone();
    assert_eq!(managers[0]["manager"], "portcullis", "{managers}");

    patch(
        plane,
        VALIDATING,
        &json!([{"op": "replace", "path": "/webhooks/0/failurePolicy", "value": "Ignore"}]),
    );
    let done = manifests(&kubeconfig, &["--check"]);
    assert!(!done.ok && done.out.contains("failurePolicy\n  - Ignore\n  + Fail"), "{}{}", done.out, done.err);
    let done = manifests(&kubeconfig, &["--apply"]);
    assert!(!done.ok && done.err.contains("--force-conflicts"), "{}{}", done.out, done.err);
    assert!(manifests(&kubeconfig, &["--apply", "--force-conflicts"]).ok);
    assert!(manifests(&kubeconfig, &["--check"]).ok);

    let done = manifests(&account(plane, "onlooker", &json!([])), &["--check"]);
    assert!(
        done.err.contains(&format!("grant: get {MUTATING}.admissionregistration.k8s.io `portcullis`")),
        "{}",
        done.err
    );
    let reader =
        json!([{"apiGroups": ["admissionregistration.k8s.io"], "resources": ["*"], "verbs": ["get"]}]);
    let done = manifests(&account(plane, "reader", &reader), &["--apply"]);
    for plural in [MUTATING, VALIDATING] {
        assert!(
            done.err.contains(&format!("patch {plural}.admissionregistration.k8s.io `portcullis`")),
            "{}",
            done.err
        );
    }
}

#[test]
fn the_backstop_is_applied_and_checked_as_well() {
    let plane = own();
    let kubeconfig = admin(plane);
    let world = root().join("tests/cases/example-tenancy.yaml");
    let words = ["--backstop", "--tenancy", world.to_str().unwrap(), "--domain", "try.example.com"];
    assert!(!manifests(&kubeconfig, &[&words[..], &["--check"]].concat()).ok);
    let done = manifests(&kubeconfig, &[&words[..], &["--apply"]].concat());
    assert!(
        done.ok && done.out.contains("ValidatingAdmissionPolicyBinding/registries.try.example.com created"),
        "{}{}",
        done.out,
        done.err
    );
    let done = manifests(&kubeconfig, &[&words[..], &["--check"]].concat());
    assert!(done.ok, "{}{}", done.out, done.err);
    let edit = json!({"spec": {"validationActions": ["Audit"]}}).to_string();
    let name = "validatingadmissionpolicybinding";
    let done =
        plane.kubectl("root", &["patch", name, "registries.try.example.com", "--type=merge", "-p", &edit]);
    assert!(done.ok, "{}", done.err);
    let done = manifests(&kubeconfig, &[&words[..], &["--check"]].concat());
    assert!(
        !done.ok && done.out.contains("registries.try.example.com validationActions"),
        "{}{}",
        done.out,
        done.err
    );
    for kind in ["validatingadmissionpolicies", "validatingadmissionpolicybindings"] {
        let done =
            plane.kubectl("root", &["delete", kind, "--selector", "app.kubernetes.io/name=portcullis"]);
        assert!(done.ok, "{}", done.err);
    }
}

fn keeper(plane: &Plane, ca: &Path) -> Gate {
    let resources = json!([MUTATING, VALIDATING]);
    let rule = json!({"apiGroups": ["admissionregistration.k8s.io"], "resources": resources,
        "resourceNames": ["portcullis"], "verbs": ["list", "watch", "patch"]});
    let kubeconfig = account(plane, "keeper", &json!([rule]));
    gate(&kubeconfig, None, &["--manage-ca-bundle", OURS, "--ca-bundle", ca.to_str().unwrap()])
}

fn said(gate: &Gate) -> String {
    let page: Value = serde_json::from_str(&gate.get("/readyz").1).unwrap();
    let found =
        page["conditions"].as_array().unwrap().iter().find(|c| c["name"] == "registration").unwrap().clone();
    assert_eq!(found["ready"], true, "{found}");
    found["reason"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn a_ca_bundle_that_somebody_edits_is_put_right_and_the_rest_is_told() {
    let _one = ONE_AFTER_THE_OTHER.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let plane = own();
    remove(plane);
    let (one, two) = (authority(&plane.dir, "kept.pem"), authority(&plane.dir, "other.pem"));
    let two_text = encoded(&two);
    // As Helm would have it: everything but the bundle, under a name of its own.
    assert!(manifests(&admin(plane), &["--apply"]).ok);
    let gate = keeper(plane, &one);
    let trusted = |text: &str| {
        wait(Duration::from_secs(30), || {
            let all = [read(plane, MUTATING), read(plane, VALIDATING)];
            let bundles = [bundle(&all[0], 0), bundle(&all[1], 0), bundle(&all[1], 1), bundle(&all[1], 2)];
            bundles.iter().all(|found| found == text).then_some(())
        });
    };
    trusted(&encoded(&one));
    wait(Duration::from_secs(10), || said(&gate).is_empty().then_some(()));
    assert_eq!(gate.metric("portcullis_webhook_config_drift", &[]), 0);

    let edit =
        |text: &str| json!([{"op": "replace", "path": "/webhooks/1/clientConfig/caBundle", "value": text}]);
    patch(plane, VALIDATING, &edit(&two_text));
    trusted(&encoded(&one));
    assert!(gate.metric("portcullis_ca_bundle_repairs_total", &[]) >= 3);
    told(
        &gate,
        &[
            "caBundle did not hold the expected certificates and was corrected",
            "ValidatingWebhookConfiguration",
        ],
    );

    // Only the name and the bundle are ours; what was applied stays its manager's.
    let found = read(plane, VALIDATING);
    let owned = |manager: &str| {
        let all = found["metadata"]["managedFields"].as_array().unwrap();
        let entry =
            all.iter().find(|entry| entry["manager"] == manager && entry["operation"] == "Apply").unwrap();
        entry["fieldsV1"]["f:webhooks"].as_object().unwrap().values().next().unwrap().clone()
    };
    let ours = owned("portcullis-ca");
    assert_eq!(ours, json!({".": {}, "f:clientConfig": {"f:caBundle": {}}, "f:name": {}}));
    assert!(owned("portcullis").get("f:failurePolicy").is_some());

    // The rest is told and left.
    patch(
        plane,
        VALIDATING,
        &json!([{"op": "replace", "path": "/webhooks/0/failurePolicy", "value": "Ignore"}]),
    );
    wait(Duration::from_secs(10), || said(&gate).contains("failurePolicy").then_some(()));
    assert_eq!(gate.metric("portcullis_webhook_config_drift", &[]), 1);
    assert_eq!(read(plane, VALIDATING)["webhooks"][0]["failurePolicy"], "Ignore");

    // A new authority beside the old one is carried there.
    let both =
        format!("{}{}", std::fs::read_to_string(&one).unwrap(), std::fs::read_to_string(&two).unwrap());
    std::fs::write(&one, both).unwrap();
    trusted(&encoded(&one));

    let done = plane.kubectl("root", &["delete", VALIDATING, "portcullis"]);
    assert!(done.ok, "{}", done.err);
    wait(Duration::from_secs(10), || said(&gate).contains("the whole configuration").then_some(()));
}

#[test]
fn a_second_installation_says_so_and_touches_nothing() {
    let _one = ONE_AFTER_THE_OTHER.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let plane = own();
    remove(plane);
    let kubeconfig = admin(plane);
    let mut command = portcullis();
    command.args(["manifests", "--service", "platform/gate", "--apply", "--kubeconfig"]).arg(&kubeconfig);
    let done: Done = command.output().unwrap().into();
    assert!(done.ok, "{}", done.err);
    let before = [read(plane, MUTATING), read(plane, VALIDATING)];
    let done = manifests(&kubeconfig, &["--apply", "--force-conflicts"]);
    let sentence = format!("calls platform/gate, not {OURS}: it belongs to another installation");
    assert!(!done.ok && done.err.contains(&sentence), "{}{}", done.out, done.err);
    let gate = keeper(plane, &authority(&plane.dir, "second.pem"));
    let line = told(&gate, &["they belong to another installation"]);
    assert!(line.contains("call platform/gate, not"), "{line}");
    assert!(said(&gate).contains("they belong to another installation"));
    assert!(gate.metric("portcullis_webhook_config_drift", &[]) >= 1);
    assert_eq!([read(plane, MUTATING), read(plane, VALIDATING)], before);
    remove(plane);
}
