use proptest::prelude::*;

use super::*;

/// Group, resource, subresource of a request written as `deployments.apps/scale`.
fn request(text: &str) -> (&str, &str, &str) {
    let (whole, subresource) = text.split_once('/').unwrap_or((text, ""));
    let (resource, group) = whole.split_once('.').unwrap_or((whole, ""));
    (group, resource, subresource)
}

#[test]
fn patterns_match_what_they_say() {
    let table: [(&str, &[&str], &[&str]); 11] = [
        ("pods", &["pods"], &["pods/exec", "pods.metrics.k8s.io", "podsx", "Pods"]),
        ("pods/exec", &["pods/exec"], &["pods", "pods/attach", "pods.x.io/exec"]),
        ("pods/*", &["pods", "pods/exec"], &["services/proxy"]),
        (
            "deployments.apps",
            &["deployments.apps"],
            &["deployments", "deployments.apps/scale", "deployments.apps.io"],
        ),
        ("deployments.apps/scale", &["deployments.apps/scale"], &["deployments.apps", "deployments/scale"]),
        (
            "*/scale",
            &["deployments.apps/scale", "replicationcontrollers/scale"],
            &["deployments.apps", "pods/exec"],
        ),
        (
            "*.oam.dev",
            &["applications.core.oam.dev", "x.oam.dev"],
            &["x.evil-oam.dev", "x.oam.dev.io", "x.oam.dev/status", "pods"],
        ),
        ("*.oam.dev/*", &["x.core.oam.dev/status", "x.oam.dev"], &["x.foam.dev", "deployments.apps/status"]),
        ("*.oam.dev/status", &["x.core.oam.dev/status"], &["x.core.oam.dev"]),
        ("*/*", &["pods", "pods/exec", "x.y.z/status"], &[]),
        ("*", &["pods", "x.y.z"], &["pods/exec"]),
    ];
    for (pattern, inside, outside) in table {
        let parsed = Pattern::parse(pattern).unwrap();
        assert_eq!(parsed.to_string(), pattern);
        for (text, expected) in inside.iter().map(|t| (t, true)).chain(outside.iter().map(|t| (t, false))) {
            let (group, resource, subresource) = request(text);
            assert_eq!(parsed.matches(group, resource, subresource), expected, "{pattern} on {text}");
        }
    }
}

#[test]
fn invalid_patterns_are_refused() {
    let check = |text: &str, says: &str| {
        let said = Pattern::parse(text).expect_err(text).to_string();
        assert!(said.contains(says), "{text}: {said}");
    };
    check("", "is empty");
    check("Pods", "the resource `Pods` (allowed: a plural name in lower case");
    check("pod*", "the resource `pod*`");
    check("/status", "the resource ``");
    check(" pods", "the resource ` pods`");
    check("pods.", "the group ``");
    check("*.*", "the group `*`");
    check("deployments.v1.apps", "without a version");
    check("pods.v1", "without a version");
    check("x..io", "the group `.io`");
    check("pods/", "the subresource ``");
    check("pods/proxy/x", "the subresource `proxy/x`");
    check("pods/ex*", "the subresource `ex*`");
    check(&"a".repeat(401), "has 401 characters");
}

proptest! {
    #[test]
    fn reading_never_panics_and_round_trips(text in "(.{0,20}|[a-z*./]{0,20})") {
        if let Ok(pattern) = Pattern::parse(&text) {
            prop_assert_eq!(pattern.to_string(), text);
        }
    }
}

#[test]
fn includes_matches_resource_or_named_subresource() {
    for (pattern, group, resource, expected) in [
        ("pods", "", "pods", true),
        ("pods", "", "secrets", false),
        ("pods", "apps", "pods", false),
        ("ingresses.networking.k8s.io/status", "networking.k8s.io", "ingresses", true),
        ("ingresses.networking.k8s.io/status", "networking.k8s.io", "networkpolicies", false),
        ("*.cert-manager.io", "acme.cert-manager.io", "orders", true),
        ("*.cert-manager.io/*", "cert-manager.io", "certificates", true),
        ("*.cert-manager.io", "evil-cert-manager.io", "orders", false),
        ("*/scale", "apps", "deployments", false),
        ("*", "apps", "deployments", true),
        ("*/*", "", "secrets", true),
    ] {
        let found = Pattern::parse(pattern).unwrap().includes(group, resource);
        assert_eq!(found, expected, "{pattern}: {resource}.{group}");
    }
}

#[test]
fn wildcard_covers_status_and_finalizers_and_names_nothing() {
    for (pattern, text, covers, names) in [
        ("*", "deployments.apps", true, false),
        ("*", "deployments.apps/status", true, false),
        ("*", "widgets.example.com/finalizers", true, false),
        ("*", "deployments.apps/scale", false, false),
        ("*", "pods/exec", false, false),
        ("*", "pods/eviction", false, false),
        ("*/scale", "deployments.apps/status", false, false),
        ("*/*", "pods/exec", true, false),
        ("*.apps", "deployments.apps/status", true, false),
        ("*.apps", "controllerrevisions.apps", true, false),
        ("controllerrevisions.apps", "controllerrevisions.apps", true, true),
        ("controllerrevisions.apps/*", "controllerrevisions.apps", true, true),
        ("controllerrevisions.apps", "controllerrevisions.apps/status", false, false),
        ("controllerrevisions.apps/status", "controllerrevisions.apps", false, false),
        ("controllerrevisions", "controllerrevisions.apps", false, false),
    ] {
        let (group, resource, subresource) = request(text);
        let pattern = Pattern::parse(pattern).unwrap();
        assert_eq!(pattern.covers(group, resource, subresource), covers, "{pattern} on {text}");
        assert_eq!(pattern.names(group, resource, subresource), names, "{pattern} names {text}");
    }
}
