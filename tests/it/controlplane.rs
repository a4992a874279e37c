//! A real kube-apiserver with its controllers in front of the real gate, tried through kubectl as the people of the
//! cases. What is tried stands in `controlplane/rows/*.yaml`, in the order of the file; `controlplane/rows.rs` says what a
//! row may hold.

mod backstop; // what kube-apiserver denies by itself, with the webhooks and without
mod capsule; // Tenants, their owners, and what Capsule makes of them
mod certificates; // what the gates keep in a Secret, and whether it is trusted
mod cluster; // what the room of that name makes of a real API server
mod deputy; // KubeVela and Capsule as processes, and what their charts install
mod down; // no gate at all
mod gate; // the gate as a process that can go and come back
pub mod plane; // etcd, kube-apiserver, kube-controller-manager
mod rows; // what is tried, as data
mod stage; // both, the world of the cases, and who may do what by RBAC
mod vela; // Applications, with authentication off and on

use std::sync::OnceLock;
use std::time::Duration;

use crate::support::wait;
use plane::json_lines;
use stage::Stage;

/// One control plane for all that does not take the gate away.
fn shared() -> &'static Stage {
    static STAGE: OnceLock<Stage> = OnceLock::new();
    STAGE.get_or_init(Stage::set)
}

#[test]
fn rows_of_the_scenarios() {
    for name in ["namespaces", "readonly", "labels"] {
        rows::run(shared(), name);
    }
    shared().is_sound();
}

#[test]
fn a_tenants_work_in_a_sandbox_meets_no_refusal() {
    rows::run(shared(), "sandbox");
    let there = |line: &serde_json::Value| {
        line["namespace"] == "tn-globex-web-sbx-001" && line["resource"] != "namespaces"
    };
    let refused: Vec<_> = shared()
        .gate
        .decisions()
        .into_iter()
        .filter(|line| there(line) && line["verdict"] != "allow")
        .collect();
    assert!(refused.is_empty(), "{refused:#?}");
    shared().is_sound();
}

#[test]
fn controllers_do_their_work_in_an_app_and_take_it_away_again() {
    rows::run(shared(), "controllers");
    shared().is_sound();
}

#[test]
fn revision_of_a_tenant_makes_no_pod_elsewhere() {
    rows::run(shared(), "revisions");
    shared().is_sound();
}

#[test]
fn exemption_follows_down_to_the_pod_and_keys_of_injectors_pass() {
    rows::run(shared(), "exemptions");
    shared().is_sound();
}

#[test]
fn the_audit_log_of_the_cluster_tells_what_was_decided() {
    let plane = &shared().plane;
    let done = plane.shell("acme-dev", "kubectl -n $A create configmap audited", None);
    let (_, decision) = done.err.trim_end().rsplit_once("decision ").expect("a decision id");
    let annotation = |line: &serde_json::Value, key: &str| {
        line["annotations"][format!("tenant-writes.portcullis.kubenova.io/{key}")].clone()
    };
    let line = wait(Duration::from_mins(1), || {
        let lines = json_lines(&plane.dir.join("audit.jsonl"));
        lines.into_iter().find(|line| annotation(line, "decision-id") == decision)
    });
    assert_eq!(annotation(&line, "verdict"), "deny");
    assert_eq!(annotation(&line, "policies"), "app-namespace-read-only=deny");
    assert_eq!(
        (&line["user"]["username"], &line["responseStatus"]["code"]),
        (&"alice@acme.io".into(), &403.into())
    );
}
