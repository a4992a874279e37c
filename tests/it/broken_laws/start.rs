//! Policies that did not load when the gate started; and what modes make of those that did.

use super::{directory, policy, witness};
use crate::support::wire::{APP, Ask, GLOBEX, SANDBOX};
use crate::support::{Gate, Options};

fn marked(namespace: &str) -> Ask {
    Ask::configmap(namespace, r#""data":{"marked":"yes"}"#)
}

fn unmarked(namespace: &str) -> Ask {
    Ask::configmap(namespace, r#""data":{}"#)
}

fn start(files: &[(&str, &str)]) -> (tempfile::TempDir, Gate) {
    let dir = directory(files);
    let gate = Gate::start(&Options { policies: Some(dir.path()), ..Options::default() });
    (dir, gate)
}

fn readyz(gate: &Gate) -> String {
    let (status, page) = gate.get("/readyz");
    assert_eq!(status, 200, "{page}");
    let page: serde_json::Value = serde_json::from_str(&page).unwrap();
    let conditions = page["conditions"].as_array().unwrap();
    let policies = conditions.iter().find(|condition| condition["name"] == "policies").unwrap();
    policies["reason"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn a_law_with_an_error_answers_for_what_its_match_covers() {
    let (_dir, gate) = start(&[
        ("broken.rego", &policy("broken", "", "deny contains \"a\" if {")),
        ("witness.rego", &witness()),
    ]);
    let answer = gate.ask("validate", &unmarked(SANDBOX).body());
    assert_eq!(answer.json()["response"]["status"]["code"], 500);
    assert!(
        answer.message().starts_with("[broken] could not be evaluated (load): does not load: broken.rego:"),
        "{}",
        answer.message()
    );
    assert_eq!(gate.ask("validate", &marked(SANDBOX).body()).denied_by(), ["witness"], "the rest loads");
    let pod = gate.ask("validate", &Ask::default().body());
    assert_eq!(pod.json()["response"]["allowed"], true, "Pods are not what it is about: {}", pod.message());
    assert_eq!(gate.metric("portcullis_policy_broken", &["policy=\"broken\""]), 1);
    assert_eq!(gate.metric("portcullis_policy_last_reload_successful", &[]), 0);
    assert_eq!(
        gate.metric("portcullis_policy_reload_total", &["result=\"error\""]),
        1,
        "one start, one failure"
    );
    let reason = readyz(&gate);
    assert!(
        reason.starts_with("`broken` does not load and answers by its on_error: broken.rego:"),
        "{reason}"
    );
}

#[test]
fn a_law_with_an_error_that_says_allow_lets_pass() {
    let (_dir, gate) = start(&[
        ("broken.rego", &policy("broken", "on_error: allow", "deny contains \"a\" if {")),
        ("witness.rego", &witness()),
    ]);
    let answer = gate.ask("validate", &unmarked(SANDBOX).body());
    assert_eq!(answer.json()["response"]["allowed"], true, "{}", answer.message());
    assert_eq!(answer.json()["response"]["auditAnnotations"]["policies"], "broken=error");
    assert_eq!(gate.ask("validate", &marked(SANDBOX).body()).denied_by(), ["witness"]);
    assert!(readyz(&gate).contains("`broken` does not load"));
}

#[test]
fn a_law_whose_metadata_cannot_be_read_answers_for_every_tenant_namespace() {
    let unreadable = policy("broken", "on_errror: allow", "deny contains \"a\" if input.request.name");
    let (_dir, gate) = start(&[("access/broken.rego", &unreadable), ("witness.rego", &witness())]);
    for namespace in [SANDBOX, APP, GLOBEX, "tn-acme-shop-sbx-777"] {
        for what in [
            ["", "v1", "Pod", "pods", ""],
            ["apps", "v1", "Scale", "deployments", "scale"],
            ["cert-manager.io", "v1", "Certificate", "certificates", ""],
        ] {
            let [group, version, kind, ..] = what;
            let api_version =
                if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
            let unmarked = unmarked(namespace);
            let object =
                unmarked.object.replace(r#""apiVersion":"v1""#, &format!(r#""apiVersion":"{api_version}""#));
            let object = object.replace(r#""kind":"ConfigMap""#, &format!(r#""kind":"{kind}""#));
            let answer = gate.ask("validate", &Ask { what, object, ..unmarked }.body());
            assert_eq!(answer.json()["response"]["status"]["code"], 500, "{what:?} in {namespace}");
            assert!(
                answer.message().starts_with("[access/broken.rego] could not be evaluated (load): "),
                "{}",
                answer.message()
            );
        }
    }
    for namespace in ["kube-system", "default", ""] {
        assert_eq!(
            gate.ask("validate", &unmarked(namespace).body()).json()["response"]["allowed"],
            true,
            "{namespace}"
        );
    }
    let reason = readyz(&gate);
    assert!(reason.contains("access/broken.rego") && reason.contains("on_errror"), "{reason}");
}

/// Mended or taken away, it is forgotten: the verdict, the metric and the detail.
#[test]
fn a_law_that_is_mended_after_a_broken_start_is_in_force() {
    let (dir, gate) = start(&[
        ("broken.rego", &policy("broken", "", "deny contains \"a\" if {")),
        ("witness.rego", &witness()),
    ]);
    assert_eq!(gate.ask("validate", &unmarked(SANDBOX).body()).json()["response"]["allowed"], false);
    super::lay(
        dir.path(),
        "broken.rego",
        &policy("broken", "", "deny contains \"a\" if input.request.object.data.a"),
    );
    crate::support::wait(std::time::Duration::from_secs(10), || {
        (gate.ask("validate", &unmarked(SANDBOX).body()).json()["response"]["allowed"] == true).then_some(())
    });
    crate::support::wait(std::time::Duration::from_secs(10), || readyz(&gate).is_empty().then_some(()));
    assert_eq!(gate.metric("portcullis_policy_broken", &[]), 0);
    assert_eq!(gate.metric("portcullis_policy_last_reload_successful", &[]), 1);
}

#[test]
fn modes_say_how_hard_a_law_bites() {
    for (mode, allowed, outcome) in
        [("enforce", false, "deny"), ("warn", true, "warn"), ("audit", true, "audit"), ("off", true, "")]
    {
        let rules = "deny contains \"is marked\" if input.request.object.data.marked\n\ndeny contains split(count(input.request.object.data), \",\")[0] if input.request.object.data.fails";
        let (_dir, gate) = start(&[("law.rego", &policy("law", &format!("mode: {mode}"), rules))]);
        let answer = gate.ask("validate", &marked(SANDBOX).body());
        assert_eq!(answer.json()["response"]["allowed"], allowed, "{mode}");
        let said = if outcome.is_empty() { String::new() } else { format!("law={outcome}") };
        assert_eq!(answer.json()["response"]["auditAnnotations"]["policies"], said, "{mode}");
        assert_eq!(
            answer.warnings(),
            if mode == "warn" { vec!["[law] is marked"] } else { vec![] },
            "{mode}"
        );
        assert_eq!(
            gate.metric("portcullis_policy_decisions_total", &["policy=\"law\""]),
            u64::from(mode != "off"),
            "{mode}"
        );
        // A law that only warns does not deny by failing either; its failure is counted all the same.
        let failing = gate.ask("validate", &Ask::configmap(SANDBOX, r#""data":{"fails":"yes"}"#).body());
        assert_eq!(failing.json()["response"]["allowed"], allowed, "{mode}: {}", failing.message());
        assert_eq!(
            gate.metric("portcullis_policy_errors_total", &["policy=\"law\""]),
            u64::from(mode != "off"),
            "{mode}"
        );
    }
}

#[test]
fn parameters_override_modes_by_tenant_and_kind_of_namespace() {
    let modes = "modes:\n  - {mode: audit, tenant: acme}\n  - {mode: warn, tenant: acme, namespaceKind: app}\n  - {mode: off, tenant: initech}\n";
    let (dir, gate) = start(&[
        ("witness.rego", &witness()),
        ("params/witness/data.yaml", &modes.replace("off", "\"off\"")),
    ]);
    let said = |namespace: &str| {
        gate.ask("validate", &marked(namespace).body()).json()["response"]["auditAnnotations"]["policies"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    assert_eq!(said(SANDBOX), "witness=audit");
    assert_eq!(said(APP), "witness=warn");
    assert_eq!(said(GLOBEX), "witness=deny");
    assert_eq!(said("tn-initech-tps-sbx-001"), "");
    // The parameters are law like the rest: changed, they decide; wrong, the last good ones stay.
    super::lay(dir.path(), "params/witness/data.yaml", "modes:\n  - {mode: warn, namespaceKind: sandbox}\n");
    crate::support::wait(std::time::Duration::from_secs(10), || {
        (said(GLOBEX) == "witness=warn").then_some(())
    });
    assert_eq!(said(APP), "witness=deny");
    super::lay(dir.path(), "params/witness/data.yaml", "modes:\n  - {mode: soft}\n");
    crate::support::wait(std::time::Duration::from_secs(10), || {
        readyz(&gate).contains("`soft` is not one of").then_some(())
    });
    assert_eq!(said(GLOBEX), "witness=warn");
}
