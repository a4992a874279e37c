//! `data.cluster`: it follows the Namespaces, outlives the API server, and what is not known is an error.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::json;

use super::super::plane::Plane;
use super::{account, bare, gate, told, until};
use crate::support::wire::{Ask, SANDBOX};
use crate::support::{Gate, Options, wait};

/// Denies in a namespace that is labelled as frozen, and in one that the cluster does not have.
const LAW: &str = r#"# METADATA
# title: Nothing is written into a frozen namespace
# description: The label is set by people, on the Namespace itself.
# custom:
#   id: frozen
#   severity: high
#   mode: enforce
#   match:
#     - operations: [CREATE]
#       resources: [configmaps]
#       namespaces: [app, sandbox]
package portcullis.frozen

seen := data.cluster.namespace

deny contains "this namespace is frozen" if seen.labels["example.com/frozen"] == "true"

deny contains "the cluster has no such namespace" if not seen

deny contains sprintf("it is %s", [seen.phase]) if seen.phase != "Active"
"#;

fn law() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("frozen.rego"), LAW).unwrap();
    dir
}

fn ask() -> Ask {
    Ask::configmap(SANDBOX, "")
}

fn follower(plane: &Plane, law: &Path) -> Gate {
    let may = json!([{"apiGroups": [""], "resources": ["namespaces"], "verbs": ["list", "watch"]}]);
    let words = ["--watch-namespaces", "--log-level", "info,portcullis_cluster=debug"];
    gate(&account(plane, "watcher", &may), Some(law), &words)
}

fn kubectl(plane: &Plane, words: &[&str]) {
    let done = plane.kubectl("root", words);
    assert!(done.ok, "{words:?}: {}", done.err);
}

#[test]
fn the_view_follows_the_namespaces_and_outlives_the_api_server() {
    let mut plane = Plane::start();
    let law = law();
    let gate = follower(&plane, law.path());
    until(&gate, &ask(), Some("the cluster has no such namespace"));
    kubectl(&plane, &["create", "namespace", SANDBOX]);
    until(&gate, &ask(), None);
    let label =
        |plane: &Plane, word: &str| kubectl(plane, &["label", "namespace", SANDBOX, word, "--overwrite"]);
    label(&plane, "example.com/frozen=true");
    let begun = Instant::now();
    until(&gate, &ask(), Some("this namespace is frozen"));
    assert!(begun.elapsed() < Duration::from_secs(2), "seen after {:?}", begun.elapsed());

    plane.with_server_frozen(|| until(&gate, &ask(), Some("this namespace is frozen")));
    // A write of another kind, so that the place where the watch stands is too old for an API server that starts anew.
    kubectl(&plane, &["create", "configmap", "later", "--namespace", "default"]);
    plane.without_server(|| {
        wait(Duration::from_secs(30), || {
            gate.get("/readyz").1.contains("no answer from the API server since").then_some(())
        });
        assert_eq!(gate.get("/readyz").0, 200);
        until(&gate, &ask(), Some("this namespace is frozen"));
        wait(Duration::from_secs(30), || {
            (gate.metric_seconds("portcullis_cluster_age_seconds") > 2.0).then_some(())
        });
    });
    label(&plane, "example.com/frozen=false");
    until(&gate, &ask(), None);
    told(&gate, &["the API server answers again"]);
    told(&gate, &["the watch version has expired; listing again"]);
    assert!(!gate.get("/readyz").1.contains("no answer from the API server"));

    kubectl(
        &plane,
        &["patch", "namespace", SANDBOX, "-p", r#"{"metadata":{"finalizers":["example.com/held"]}}"#],
    );
    kubectl(&plane, &["delete", "namespace", SANDBOX, "--wait=false"]);
    until(&gate, &ask(), Some("it is Terminating"));
}

#[test]
fn what_the_cluster_says_is_an_error_where_nobody_asks_it() {
    let law = law();
    let gate = Gate::start(&Options { policies: Some(law.path()), ..Options::default() });
    until(&gate, &ask(), Some("`data.cluster` is unknown"));
    assert_eq!(gate.metric("portcullis_policy_errors_total", &["reason=\"data\""]), 1);
}

#[test]
fn what_may_not_be_watched_is_named_and_the_gate_is_ready() {
    let plane = bare();
    let law = law();
    let gate = gate(&account(plane, "blind", &json!([])), Some(law.path()), &["--watch-namespaces"]);
    let line = told(&gate, &["permissions are missing", "watch namespaces"]);
    assert!(line.contains("grant: list namespaces; watch namespaces"), "{line}");
    let (status, page) = gate.get("/readyz");
    assert!(status == 200 && page.contains("no state is known yet: permissions are missing"), "{page}");
    until(&gate, &ask(), Some("`data.cluster` is unknown"));
}

#[test]
fn namespaces_that_only_one_of_both_knows_are_counted_and_named_once() {
    // Its own: what others leave in a shared one is a difference too.
    let plane = &Plane::start();
    kubectl(plane, &["create", "namespace", "tn-acme-shop-sbx-777", "--save-config"]);
    let law = law();
    let gate = follower(plane, law.path());
    let line = told(&gate, &["the cluster has tenant namespaces that the ledger does not have"]);
    assert!(line.contains("tn-acme-shop-sbx-777"), "{line}");
    assert!(gate.metric("portcullis_namespace_drift", &["not_in_ledger"]) >= 1);
    // The world of the cases has more namespaces than are built there.
    let line = told(&gate, &["the ledger has namespaces that the cluster does not have"]);
    assert!(!line.contains("sbx-777"), "{line}");
    assert!(gate.metric("portcullis_namespace_drift", &["not_in_cluster"]) >= 1);
    kubectl(plane, &["delete", "namespace", "tn-acme-shop-sbx-777"]);
    wait(Duration::from_mins(1), || {
        (!gate.series("portcullis_namespace_drift", &["not_in_ledger"]).iter().any(|(_, n)| n != "0"))
            .then_some(())
    });
    let named = gate.told().into_iter().filter(|line| line.contains("sbx-777")).count();
    assert_eq!(named, 1, "{:#?}", gate.told());
}
