use serde_json::Value;

use super::check::check_matches;
use super::*;
use crate::manifest::Match;
use portcullis_tenancy::resource::Pattern;

const ALL_KINDS: &[Kind] = &[Kind::App, Kind::Sandbox, Kind::Unregistered, Kind::Platform, Kind::Cluster];

fn entry(operations: &str, resource: &str, kinds: &[Kind]) -> Match {
    Match {
        operations: operations.split(' ').map(|word| Operation::parse(word).unwrap()).collect(),
        resources: vec![Pattern::parse(resource).unwrap()],
        namespaces: kinds.to_vec(),
    }
}

/// The problems of a policy that validates, of one that patches, and of one that does both.
fn problems(operations: &str, resource: &str, kinds: &[Kind]) -> [String; 3] {
    [(true, false), (false, true), (true, true)].map(|(validates, patches)| {
        check_matches(&[entry(operations, resource, kinds)], validates, patches).join("\n")
    })
}

fn rendered(settings: &Settings) -> Vec<Value> {
    configurations(settings).iter().map(|one| serde_json::to_value(one).unwrap()).collect()
}

#[test]
fn policies_may_match_what_webhooks_receive() {
    let everything = "CREATE UPDATE DELETE CONNECT";
    for (operations, resource, kinds) in [
        (everything, "*/*", &[Kind::App, Kind::Sandbox, Kind::Unregistered][..]),
        (everything, "*/*", &[Kind::Cluster]),
        (everything, "*/*", ALL_KINDS),
        ("CREATE", "pods", ALL_KINDS),
        ("CONNECT", "pods/exec", &[Kind::App]),
        ("CREATE", "serviceaccounts/token", &[Kind::App]),
        ("UPDATE", "*/scale", &[Kind::App]),
        ("CREATE UPDATE DELETE", "namespaces", &[Kind::App, Kind::Platform]),
        ("UPDATE", "namespaces/finalize", &[Kind::Platform]),
        ("CREATE", "*.oam.dev", &[Kind::App, Kind::Cluster]),
        ("CREATE", "clusterroles.rbac.authorization.k8s.io", &[Kind::Cluster]),
        ("CREATE", "resourcetrackers.core.oam.dev", &[Kind::Cluster]),
        ("CREATE", "*.authorization.k8s.io", &[Kind::App]),
    ] {
        assert_eq!(problems(operations, resource, kinds)[0], "", "{operations} {resource} {kinds:?}");
    }
    for resource in ["*", "pods", "*.oam.dev", "deployments.apps"] {
        assert_eq!(problems("CREATE UPDATE", resource, &[Kind::App, Kind::Sandbox])[1], "", "{resource}");
    }
}

#[test]
fn matches_that_no_webhook_receives_are_named() {
    for (operations, resource, kinds, sentence) in [
        ("CREATE", "pods/log", &[Kind::App][..], "reads, lists and watches have no admission review"),
        (
            "CREATE",
            "pods",
            &[Kind::Platform],
            "CREATE of `pods` in namespaces of kind platform, which no webhook receives",
        ),
        ("CREATE", "*/*", &[Kind::Platform], "CREATE of `*/*` in namespaces of kind platform"),
        ("CREATE CONNECT", "namespaces", &[Kind::App], "CONNECT of `namespaces` in namespaces of kind app"),
        ("CREATE", "namespaces", &[Kind::Cluster], "a Namespace has its own kind, never cluster"),
        ("CREATE", "pods", &[Kind::Cluster], "it is always in a namespace"),
        (
            "CREATE",
            "clusterroles.rbac.authorization.k8s.io",
            &[Kind::App],
            "it has no namespace; its kind is cluster",
        ),
        ("CREATE", "tokenreviews.authentication.k8s.io", &[Kind::Cluster], "a match condition skips"),
        ("CREATE", "subjectaccessreviews.authorization.k8s.io", ALL_KINDS, "a match condition skips"),
        (
            "UPDATE",
            "validatingwebhookconfigurations.admissionregistration.k8s.io",
            ALL_KINDS,
            "sends webhook configurations",
        ),
        (
            "UPDATE",
            "validatingadmissionpolicies.admissionregistration.k8s.io",
            ALL_KINDS,
            "and admission policies",
        ),
        ("CREATE", "clustergateways.cluster.core.oam.dev", ALL_KINDS, "aggregated"),
    ] {
        let message = &problems(operations, resource, kinds)[0];
        assert!(message.contains(sentence), "{operations} {resource} {kinds:?}: {message}");
    }
}

#[test]
fn a_patching_policy_must_match_what_mutate_receives() {
    for (operations, resource) in
        [("DELETE", "pods"), ("CREATE", "pods/binding"), ("UPDATE", "*/*"), ("CREATE", "namespaces")]
    {
        let [validates, patches, both] = problems(operations, resource, &[Kind::App]);
        assert_eq!(validates, "", "{operations} {resource}");
        assert!(
            patches.contains("no webhook receives") && patches.contains("(/mutate)"),
            "{resource}: {patches}"
        );
        assert!(both.contains("nothing that a patch can apply to"), "{operations} {resource}: {both}");
    }
    assert_eq!(
        problems("CREATE DELETE", "pods", &[Kind::App])[2],
        "",
        "deny covers the deletion, patch the creation"
    );
}

#[test]
fn configurations_fail_closed_on_validate_and_open_on_mutate() {
    let [mutating, validating] = &rendered(&Settings::default())[..] else { panic!("two configurations") };
    assert_eq!(mutating["webhooks"].as_array().unwrap().len(), 1);
    assert_eq!(validating["webhooks"].as_array().unwrap().len(), 4);
    for (configuration, policy, seconds) in [(mutating, "Ignore", 2), (validating, "Fail", 3)] {
        for webhook in configuration["webhooks"].as_array().unwrap() {
            assert_eq!(webhook["failurePolicy"], policy);
            assert_eq!(webhook["timeoutSeconds"], seconds);
            assert_eq!(webhook["matchPolicy"], "Equivalent");
            assert_eq!(webhook["sideEffects"], "None");
            assert_eq!(webhook["admissionReviewVersions"], serde_json::json!(["v1"]));
            assert_eq!(webhook["namespaceSelector"], Value::Null, "a label is no boundary");
            assert_eq!(webhook["objectSelector"], Value::Null, "a label is no boundary");
            assert!(webhook["name"].as_str().unwrap().split('.').count() >= 3);
        }
    }
    assert_eq!(mutating["webhooks"][0]["reinvocationPolicy"], "IfNeeded");
}

#[test]
fn conditions_guard_optional_fields_with_has() {
    for condition in TABLE.iter().flat_map(|entry| entry.conditions) {
        let text = condition.expression(&Settings::default());
        for field in [
            "request.namespace",
            "request.userInfo.groups",
            "request.userInfo.username",
            "request.subResource",
            "object.metadata",
            "object.metadata.labels",
        ] {
            let guarded = format!("has({field})");
            assert!(!text.contains(field) || text.contains(&guarded), "{}: {field}", condition.name());
        }
    }
}

#[test]
fn errors_of_settings_name_the_flag() {
    let wrong = |edit: fn(&mut Settings)| {
        let mut settings = Settings::default();
        edit(&mut settings);
        settings.validate().unwrap_err().to_string()
    };
    assert!(wrong(|s| s.domain = "portcullis".into()).contains("--domain"));
    assert!(wrong(|s| s.prefix = "tn-".into()).contains("--prefix"));
    assert!(wrong(|s| s.tenant_suffix = "\") || true || (\"".into()).contains("--tenant-suffix"));
    assert!(wrong(|s| s.vela = "admin".into()).contains("--vela-user"));
    assert!(wrong(|s| s.ca_bundle = Some("-----BEGIN PRIVATE KEY-----".into())).contains("private key"));
    assert!(wrong(|s| s.ca_bundle = Some(String::new())).contains("--ca-bundle"));
    for text in ["portcullis", "a/b:0", "a/b:x", "A/b"] {
        assert_eq!(Client::service(text), Err(SettingsError::Service(text.into())));
    }
    for text in ["http://127.0.0.1", "https://", "https://u@h", "https://h/validate", "https://h?x"] {
        assert_eq!(Client::url(text), Err(SettingsError::Url(text.into())));
    }
}

#[test]
fn drift_compares_meaning_not_spelling() {
    let settings = Settings::default();
    let wanted = configurations(&settings);
    let mut documents = rendered(&settings);
    assert_eq!(drift(&wanted, &documents), []);

    // As a cluster returns it: with defaults, other order, cert-manager's bundle, in a List.
    let webhook = &mut documents[1]["webhooks"][1];
    webhook["namespaceSelector"] = serde_json::json!({});
    webhook["clientConfig"]["caBundle"] = "QQ==".into();
    webhook["matchConditions"].as_array_mut().unwrap().reverse();
    assert_eq!(drift(&wanted, &[serde_json::json!({"kind": "List", "items": documents.clone()})]), []);

    documents[1]["webhooks"][1]["failurePolicy"] = "Ignore".into();
    documents[1]["webhooks"][1]["matchConditions"].as_array_mut().unwrap().pop();
    documents[1]["webhooks"].as_array_mut().unwrap().remove(0);
    documents.remove(0);
    let said: Vec<String> = drift(&wanted, &documents).iter().map(ToString::to_string).collect();
    let said = said.join("\n");
    for sentence in [
        "MutatingWebhookConfiguration/portcullis\n  + the whole configuration",
        "tenant-writes.portcullis.kubenova.io failurePolicy\n  - Ignore\n  + Fail",
        "matchConditions in-a-tenant-namespace\n  + has(request.namespace)",
        "namespaces.portcullis.kubenova.io\n  + this webhook",
    ] {
        assert!(said.contains(sentence), "{sentence}\n---\n{said}");
    }
}
