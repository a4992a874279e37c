//! Settings with something wrong in them, and the sentence about it.

use super::refusals::{check, problems};
use super::*;

#[test]
fn identities() {
    let at = "settings.identities[10]";
    let add = |identity: Value, expected: &str| check("/settings/identities/-", identity, expected);
    let classes = "(allowed: `platform`, `vela`, `capsule`, `controller`, `admin`)";
    add(json!({"name": "x", "class": "system", "username": "u"}), &format!("{at}.class: `system` {classes}"));
    add(
        json!({"name": "x", "class": "vela", "username": "u"}),
        &format!("{at}.class: is of class `vela`, as `vela` is (allowed: one identity of class `vela`)"),
    );
    add(
        json!({"name": "x", "class": "admin"}),
        &format!("{at}: neither `username` nor `group` (allowed: at least one)"),
    );
    add(
        json!({"name": "x", "class": "capsule", "group": "g"}),
        &format!("{at}: the group `g` alone (allowed: a bare group only with class `admin`; add `username`)"),
    );
    add(
        json!({"name": "x", "class": "controller", "username": "u"}),
        &format!("{at}.writes: a controller without `writes` (allowed: at least one resource)"),
    );
    add(
        json!({"name": "x", "class": "capsule", "username": "u", "writes": ["pods"]}),
        &format!("{at}.writes: is given (allowed: only with class `controller`)"),
    );
    add(
        json!({"name": "x", "class": "capsule", "username": "u", "createsNamespaces": true}),
        &format!("{at}.createsNamespaces: `true` (allowed: only with class `platform`)"),
    );
    add(
        json!({"name": "masters", "class": "capsule", "username": "u"}),
        &format!("{at}.name: `masters` occurs twice (allowed: once)"),
    );
    add(
        json!({"name": "x", "class": "admin", "group": "system:masters"}),
        &format!("{at}: has the username and group of `masters` (allowed: one entry per identity)"),
    );
    for group in ["system:authenticated", "system:serviceaccounts:tn-acme-shop-sbx-001"] {
        let expected = format!(
            "{at}.group: `{group}` would make an administrator of every member (allowed: a group of administrators)"
        );
        add(json!({"name": "x", "class": "admin", "group": group}), &expected);
    }
    add(
        json!({"name": "x", "class": "capsule", "username": "system:node:n1"}),
        &format!("{at}.username: `system:node:n1` is built in (allowed: not listed)"),
    );
    add(
        json!({"name": "x", "class": "capsule", "username": "system:serviceaccount:flux:f", "group": "flux"}),
        &format!("{at}.group: `flux` (allowed: its own, `system:serviceaccounts:flux`)"),
    );
    add(
        json!({"name": "x", "class": "capsule", "username": "system:serviceaccount:tn-a:f", "group": "system:serviceaccounts:tn-a"}),
        &format!(
            "{at}.username: `system:serviceaccount:tn-a:f` is a service account of a tenant namespace (allowed: always a tenant, so it cannot be listed)"
        ),
    );
}

#[test]
fn invalid_settings_are_reported() {
    check(
        "/settings/labelPrefix",
        json!("x.k8s.io"),
        "settings.labelPrefix: `x.k8s.io` (allowed: a DNS subdomain in lower case, at most 253 characters, none of Kubernetes' own)",
    );
    let said = problems(&[
        ("/settings/workloadWrites/0", json!("Leases")),
        ("/settings/identities/7/writes/0", json!("pod*")),
    ]);
    assert_eq!(said.len(), 2);
    assert!(
        said[0].starts_with("settings.identities[7].writes[0]: resource pattern `pod*` has the resource"),
        "{said:?}"
    );
    assert!(said[1].starts_with("settings.workloadWrites[0]: resource pattern `Leases`"), "{said:?}");
    let said = problems(&[("/settings/registries/platform/0", json!("quay.io"))]);
    assert!(said[0].starts_with("settings.registries.platform[0]: `quay.io` is outside"), "{said:?}");
    let said = problems(&[("/settings/prefix", json!("tn-"))]);
    assert!(said[0].starts_with("settings.prefix: prefix `tn-` is no namespace prefix"), "{said:?}");
}
