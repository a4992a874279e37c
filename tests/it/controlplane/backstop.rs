//! The ValidatingAdmissionPolicies that `portcullis manifests --backstop` prints: beside the gate they stand in nobody's
//! way, and when somebody has removed the webhooks they keep the plainest of the law.

use std::time::Duration;

use super::rows;
use super::stage::Stage;
use crate::support::{portcullis, wait};

#[test]
fn the_backstop_stands_in_nobodys_way_and_holds_alone() {
    let stage = Stage::set();
    let tenancy = stage.gate.dir.join("tenancy.yaml");
    let printed = portcullis().args(["manifests", "--backstop", "--tenancy"]).arg(tenancy).output().unwrap();
    assert!(printed.status.success());
    stage.root("kubectl apply --server-side -f -", &String::from_utf8(printed.stdout).unwrap());
    wait(Duration::from_mins(1), || {
        let probe = ["create", "namespace", "tn-nobody", "--dry-run=server"];
        stage.plane.kubectl("acme-dev", &probe).err.contains("ValidatingAdmissionPolicy").then_some(())
    });
    // kube-apiserver holds each expression against the schemas it knows, and tells what it doubts.
    let doubts = "kubectl get validatingadmissionpolicies -o jsonpath='{.items[*].status.typeChecking.expressionWarnings}'";
    let done = stage.plane.shell("root", doubts, None);
    assert_eq!((done.out.as_str(), done.ok), ("", true), "{}", done.err);
    rows::run(&stage, "controllers");
    stage.is_sound();
    stage.root("kubectl delete mutatingwebhookconfiguration,validatingwebhookconfiguration portcullis", "");
    rows::run(&stage, "backstop");
}
