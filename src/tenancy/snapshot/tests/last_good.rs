use super::*;

fn document() -> Value {
    serde_json::to_value(example_tenancy()).unwrap()
}

/// Two sets of one name in one place, as `attachedTo: [{}, {}]` once was.
fn twice() -> Value {
    let set = json!({ "name": "x", "origin": "tenant", "rules": [] });
    json!([set, set])
}

#[test]
fn bad_entry_leaves_its_tenant_at_its_last_good_state() {
    let mut next = document();
    next["tenants"]["acme"]["policySets"] = twice();
    next["tenants"]["globex"]["status"] = "suspended".into();
    assert!(Snapshot::of("x", next.clone()).is_err());
    let (snapshot, held) = Snapshot::or_last_good("x", next.clone(), Some(&example_tenancy())).unwrap();
    assert_eq!(snapshot.tenants.get("acme"), example_tenancy().tenants.get("acme"));
    assert_eq!(
        snapshot.namespace("tn-acme-shop-sbx-001"),
        example_tenancy().namespace("tn-acme-shop-sbx-001")
    );
    assert_eq!(snapshot.tenants.get("globex").unwrap().status, Status::Suspended, "the others go on");
    assert_eq!(held.tenants.iter().map(|slug| &**slug).collect::<Vec<_>>(), ["acme"]);
    assert_eq!(held.problems[0].path, "tenants.acme.policySets[1].name");

    let (snapshot, held) = Snapshot::or_last_good("x", next, None).unwrap();
    assert!(snapshot.tenants.get("acme").is_none(), "without a last good state there is nothing of it");
    assert_eq!(snapshot.kind("tn-acme-shop-sbx-001"), Kind::Unregistered);
    assert_eq!(held.tenants.len(), 1);
}

#[test]
fn invalid_entry_does_not_keep_a_tenant_active() {
    for (status, expected) in [("suspended", Status::Suspended), ("nonsense", Status::Deleting)] {
        let mut next = document();
        next["tenants"]["acme"]["policySets"] = twice();
        next["tenants"]["acme"]["status"] = status.into();
        let (snapshot, _) = Snapshot::or_last_good("x", next, Some(&example_tenancy())).unwrap();
        assert_eq!(snapshot.tenants.get("acme").unwrap().status, expected);
        assert_eq!(snapshot.namespace("tn-acme-shop-sbx-001").unwrap().status, expected);
    }
    let mut next = document();
    next["tenants"].as_object_mut().unwrap().remove("acme");
    let (snapshot, held) = Snapshot::or_last_good("x", next, Some(&example_tenancy())).unwrap();
    assert!(snapshot.tenants.get("acme").is_none(), "one that is gone is not kept by what it left behind");
    assert!(held.tenants.contains("acme"));
}

#[test]
fn every_kind_of_entry_falls_back_alone() {
    let at = |pointer: &str, bad: Value| {
        let mut next = document();
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        let place = next.pointer_mut(parent).unwrap_or_else(|| panic!("{parent}"));
        place[key.replace("~1", "/")] = bad;
        next["tenants"]["globex"]["status"] = "suspended".into();
        let (snapshot, held) = Snapshot::or_last_good("x", next, Some(&example_tenancy())).unwrap();
        assert_eq!(snapshot.tenants.get("globex").unwrap().status, Status::Suspended, "{pointer}");
        assert!(!held.is_empty() && !held.problems.is_empty(), "{pointer}");
        held
    };
    for (pointer, bad) in [
        ("/tenants/acme", json!(7)),
        ("/tenants/acme/groups", json!(["system:masters"])),
        ("/projects/acme~1shop", json!({})),
        ("/projects/acme~1app", json!({ "id": "018f2b7c-0000-7000-8000-0000000000ff" })),
        ("/apps/acme~1shop~1frontend", json!({ "id": "x" })),
        ("/namespaces/tn-acme-shop-sbx-001", json!({ "kind": "sandbox" })),
        ("/namespaces/tn-acme-shop-sbx-001/id", json!("018f2b7c-0000-7000-8000-000000000001")),
    ] {
        let held = at(pointer, bad);
        assert_eq!(held.tenants.iter().map(|slug| &**slug).collect::<Vec<_>>(), ["acme"], "{pointer}");
    }
    let held = at("/settings/prefix", json!("NO"));
    assert!(held.others.contains("settings") && held.tenants.is_empty());
    let mut next = document();
    next["exceptions"] =
        json!({ "e1": { "policy": "x-", "objects": [{}], "expires": "2030-01-01T00:00:00Z" } });
    let (snapshot, held) = Snapshot::or_last_good("x", next, Some(&example_tenancy())).unwrap();
    assert!(snapshot.exceptions.is_empty() && held.others.contains("exceptions.e1"));
}

#[test]
fn problem_outside_the_entries_is_refused() {
    for (key, bad) in [("ledger", json!("x")), ("version", json!(2)), ("tenants", json!([]))] {
        let mut next = document();
        next[key] = bad;
        // Beside what decides nothing it is refused too.
        next["more"] = json!(1);
        assert!(Snapshot::or_last_good("x", next, Some(&example_tenancy())).is_err(), "{key}");
    }
    let mut next = document();
    next["settings"]["prefix"] = "NO".into();
    assert!(Snapshot::or_last_good("x", next, None).is_err(), "there are no settings to stay at");
}

#[test]
fn patch_of_a_fallback_is_detected() {
    let mut next = document();
    next["tenants"]["acme"]["policySets"] = twice();
    let (snapshot, held) = Snapshot::or_last_good("x", next, Some(&example_tenancy())).unwrap();
    for (patch, touches) in [
        (json!({ "tenants": { "acme": null } }), true),
        (json!({ "projects": { "acme/shop": null } }), true),
        (json!({ "namespaces": { "tn-acme-shop-sbx-001": null } }), true),
        (json!({ "tenants": { "globex": { "status": "active" } } }), false),
        (json!({ "namespaces": { "tn-globex-web-app-site": { "tenant": "globex" } } }), false),
        (json!({ "revision": 9 }), false),
    ] {
        assert_eq!(held.is_touched_by(&patch, &snapshot), touches, "{patch}");
        assert!(!Fallbacks::default().is_touched_by(&patch, &snapshot));
    }
}
