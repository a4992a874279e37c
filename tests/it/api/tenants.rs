//! Tenants, from their making to their end.

use std::sync::Barrier;

use portcullis_access::Role;
use serde_json::{Value, json};

use super::harness::On;
use super::house::{CLUSTER, House};

mod bounds_of_fields;
mod filters;
mod registries;

#[test]
fn a_tenants_life() {
    for on in [On::Sqlite, On::Postgres] {
        let house = House::on(on);
        let admin = &house.admin;
        let new = json!({
            "name": "acme", "displayName": "Acme", "owners": ["ada", "https://id.example.com#bob"],
            "labels": { "tier": "gold" }, "registries": ["ghcr.io/acme"],
        });
        let made = admin.post(&format!("{CLUSTER}/tenants"), &new);
        let body = made.ok(201);
        let id = body["id"].as_str().unwrap();
        let cluster = body["clusterId"].as_str().unwrap();
        let location = format!("/api/v1/clusters/{cluster}/tenants/{id}");
        assert_eq!((made.header("location"), made.header("etag")), (Some(location.as_str()), Some("\"1\"")));
        assert_eq!(body["owners"], json!(["https://id.example.com#bob", "ledger#ada"]));
        assert_eq!((&body["status"], &body["devGroup"]), (&json!("active"), &json!("acme-devs")));
        assert_eq!(body["effectiveRegistries"], json!(["ghcr.io/acme"]));
        for path in [location.clone(), format!("{CLUSTER}/tenants/acme")] {
            let shown = admin.get(&path);
            assert_eq!((shown.ok(200), shown.header("etag")), (body.clone(), Some("\"1\"")));
        }
        let (actor, before, after) = house.told("tenant.create");
        assert_eq!((actor.as_str(), &before, &after["name"]), ("ledger#root", &Value::Null, &json!("acme")));

        let patch = json!({ "displayName": null, "labels": { "tier": null, "zone": "a" } });
        let patched = admin.with("if-match", "\"1\"").patch(&location, &patch);
        let body = patched.ok(200);
        assert_eq!(patched.header("etag"), Some("\"2\""));
        assert_eq!((&body["displayName"], &body["labels"]), (&json!(""), &json!({ "zone": "a" })));
        assert_eq!(body["registries"], json!(["ghcr.io/acme"]), "what is absent stays");
        let (_, before, after) = house.told("tenant.update");
        assert_eq!((&before["displayName"], &after["displayName"]), (&json!("Acme"), &json!("")));

        admin.delete(&location).ok(204);
        admin.get(&location).refused("TENANT_NOT_FOUND", &[]);
        assert_eq!(house.seen("/tenants"), json!({}));
        house.told("tenant.delete");
        house.free_names();
        assert_ne!(house.tenant("acme").id, id, "the slug is free");
    }
}

#[test]
fn parts_are_replaced_whole() {
    let house = House::build();
    house.tenant("acme");
    let at = format!("{CLUSTER}/tenants/acme");
    let policy = json!({ "name": "deny", "spec": { "podSelector": {}, "policyTypes": ["Ingress"] } });
    for (part, body, field, expected) in [
        ("quotas", json!({ "pods": "10", "requests.cpu": "1500m" }), "quotas", None),
        ("quotas", json!({ "pods": "5" }), "quotas", None),
        ("limits", json!({ "memory": "1.5Gi" }), "limits", None),
        ("network-policies", json!({ "items": [policy.clone()] }), "networkPolicies", Some(json!([policy]))),
        ("owners", json!({ "owners": ["ada", "bob"] }), "owners", Some(json!(["ledger#ada", "ledger#bob"]))),
        ("owners", json!({ "owners": ["bob"] }), "owners", Some(json!(["ledger#bob"]))),
    ] {
        let before = house.admin.get(&at).ok(200)["version"].as_i64().unwrap();
        let path = format!("{at}/{part}");
        let stale = house.admin.with("if-match", &format!("\"{}\"", before + 1)).put(&path, &body);
        stale.refused("PRECONDITION_FAILED", &[]);
        let answer = house.admin.with("if-match", &format!("\"{before}\"")).put(&path, &body);
        let is = answer.ok(200);
        assert_eq!(is[field], expected.unwrap_or(body));
        assert_eq!(answer.header("etag"), Some(format!("\"{}\"", before + 1).as_str()));
    }
    for action in ["quotas", "limits", "networkPolicies", "owners"] {
        let (actor, before, after) = house.told(&format!("tenant.update.{action}"));
        assert_eq!(actor, "ledger#root");
        assert_ne!(before, after);
    }
    let members = house.admin.get(&format!("{at}/members")).ok(200);
    assert_eq!(members["items"].as_array().unwrap().len(), 1, "who is no owner any more is no member");
}

#[test]
fn a_suspended_tenant_changes_nothing_until_it_is_resumed() {
    for on in [On::Sqlite, On::Postgres] {
        let house = House::on(on);
        let acme = house.tenant("acme");
        let owner = house.owner(&acme);
        let at = format!("{CLUSTER}/tenants/acme");
        let project = house.project("acme", "old");
        let suspended = house.admin.post(&format!("{at}:suspend"), &json!({})).ok(200);
        assert_eq!(suspended["status"], "suspended");
        assert_eq!(house.seen("/tenants/acme/status"), "suspended");
        owner.get(&at).ok(200);
        let member = format!("{at}/members/ada");
        let shop = format!("{at}/projects/{project}");
        owner.patch(&at, &json!({ "displayName": "x" })).refused("TENANT_SUSPENDED", &[]);
        owner.put(&format!("{at}/owners"), &json!({ "owners": [] })).refused("TENANT_SUSPENDED", &[]);
        owner.put(&member, &json!({ "role": "readOnly" })).refused("TENANT_SUSPENDED", &[]);
        owner.post(&format!("{at}/projects"), &json!({ "name": "new" })).refused("TENANT_SUSPENDED", &[]);
        owner.patch(&shop, &json!({})).refused("TENANT_SUSPENDED", &[]);
        owner.put(&format!("{shop}/access"), &json!({ "members": [] })).refused("TENANT_SUSPENDED", &[]);
        owner.delete(&shop).ok(204);
        house.admin.patch(&at, &json!({ "displayName": "x" })).ok(200);
        house.admin.post(&format!("{at}:suspend"), &json!({})).ok(200);
        house.admin.post(&format!("{at}:resume"), &json!({})).ok(200);
        assert_eq!(house.seen("/tenants/acme/status"), "active");
        owner.patch(&at, &json!({ "displayName": "y" })).ok(200);
        house.told("tenant.suspend");
        house.told("tenant.resume");
    }
}

#[test]
fn a_tenant_with_children_goes_with_all_of_them_or_not_at_all() {
    for on in [On::Sqlite, On::Postgres] {
        let house = House::on(on);
        house.tenant("acme");
        house.tenant("globex");
        house.project("acme", "shop");
        house.project("globex", "web");
        let at = format!("{CLUSTER}/tenants/acme");
        house.admin.delete(&at).refused("HAS_DEPENDENTS", &[]);
        house.admin.delete(&format!("{at}?cascade=maybe")).refused("VALIDATION_ERROR", &["?cascade"]);
        house
            .admin
            .with("if-match", "\"9\"")
            .delete(&format!("{at}?cascade=true"))
            .refused("PRECONDITION_FAILED", &[]);
        assert!(house.seen("/projects/acme~1shop").is_object());
        house.admin.delete(&format!("{at}?cascade=true")).ok(204);
        assert_eq!(house.seen("/tenants/acme"), Value::Null);
        assert_eq!(house.seen("/projects/acme~1shop"), Value::Null);
        assert!(house.seen("/projects/globex~1web").is_object(), "the neighbour's stay");
        house.told("project.delete");
        house.admin.delete(&at).refused("TENANT_NOT_FOUND", &[]);
    }
}

#[test]
fn of_many_who_want_one_slug_one_gets_it() {
    for on in [On::Sqlite, On::Postgres] {
        let house = House::on(on);
        let start = Barrier::new(12);
        let statuses: Vec<u16> = std::thread::scope(|scope| {
            let calls: Vec<_> = (0..12)
                .map(|_| {
                    scope.spawn(|| {
                        start.wait();
                        house.admin.post(&format!("{CLUSTER}/tenants"), &json!({ "name": "acme" })).status
                    })
                })
                .collect();
            calls.into_iter().map(|call| call.join().unwrap()).collect()
        });
        assert_eq!(statuses.iter().filter(|status| **status == 201).count(), 1, "{statuses:?}");
        assert_eq!(statuses.iter().filter(|status| **status == 409).count(), 11, "{statuses:?}");
    }
}

#[test]
fn a_request_sent_twice_makes_one_tenant() {
    let house = House::build();
    let path = format!("{CLUSTER}/tenants");
    let caller = house.admin.with("idempotency-key", "k-1");
    let first = caller.post(&path, &json!({ "name": "acme" }));
    let again = caller.post(&path, &json!({ "name": "acme" }));
    assert_eq!((first.ok(201), first.header("location")), (again.ok(201), again.header("location")));
    house.admin.post(&path, &json!({ "name": "acme" })).refused("CONFLICT", &[]);
    let suspend = format!("{path}/acme:suspend");
    let caller = house.admin.with("idempotency-key", "k-2");
    assert_eq!(caller.post(&suspend, &json!({})).ok(200), caller.post(&suspend, &json!({})).ok(200));
}

#[test]
fn only_what_the_role_reaches() {
    let house = House::build();
    let acme = house.tenant("acme");
    house.tenant("globex");
    let owner = house.owner(&acme);
    let at = format!("{CLUSTER}/tenants/acme");
    let listed = owner.get(&format!("{CLUSTER}/tenants")).ok(200);
    assert_eq!(listed["items"].as_array().unwrap().len(), 1);
    owner.patch(&at, &json!({ "registries": ["ghcr.io"] })).refused("FORBIDDEN", &[]);
    owner.patch(&at, &json!({ "registries": null, "displayName": "x" })).refused("FORBIDDEN", &[]);
    owner.patch(&at, &json!({ "displayName": "x" })).ok(200);
    owner.put(&format!("{at}/quotas"), &json!({})).refused("FORBIDDEN", &[]);
    owner.put("/api/v1/tenants/acme/plan", &json!({ "name": "gold" })).refused("FORBIDDEN", &[]);
    owner.put("/api/v1/tenants/globex/plan", &json!({ "name": "gold" })).refused("TENANT_NOT_FOUND", &[]);
    owner.delete(&format!("{at}?cascade=true")).refused("FORBIDDEN", &[]);
    for role in [Role::ProjectDev, Role::ReadOnly] {
        let caller = house.server.somebody("x", role, Some(&acme));
        caller.get(&at).ok(200);
        caller.get(&format!("{at}/summary")).ok(200);
        caller.patch(&at, &json!({})).refused("FORBIDDEN", &[]);
        caller.get(&format!("{CLUSTER}/tenants/globex")).refused("TENANT_NOT_FOUND", &[]);
    }
}

#[test]
fn a_tenant_is_on_its_cluster_and_on_no_other() {
    for on in [On::Sqlite, On::Postgres] {
        let house = House::on(on);
        let acme = house.tenant("acme");
        for tenant in ["acme", acme.id.as_str()] {
            let there = format!("/api/v1/clusters/us-1/tenants/{tenant}");
            house.admin.get(&there).refused("TENANT_NOT_FOUND", &[]);
            house.admin.patch(&there, &json!({})).refused("TENANT_NOT_FOUND", &[]);
            house.admin.delete(&there).refused("TENANT_NOT_FOUND", &[]);
            house.admin.get(&format!("{there}/projects")).refused("TENANT_NOT_FOUND", &[]);
            house
                .admin
                .get(&format!("/api/v1/clusters/none/tenants/{tenant}"))
                .refused("CLUSTER_NOT_FOUND", &[]);
            house.owner(&acme).get(&there).refused("CLUSTER_NOT_FOUND", &[]);
        }
        let other = house.admin.get("/api/v1/clusters/us-1/tenants").ok(200);
        assert_eq!(other["items"], json!([]));
        house.admin.delete("/api/v1/clusters/eu-1").refused("HAS_DEPENDENTS", &[]);
    }
}

#[test]
fn what_there_is_of_a_tenant() {
    let house = House::build();
    let acme = house.tenant("acme");
    let shop = house.project("acme", "shop");
    house.project("acme", "web");
    let at = format!("{CLUSTER}/tenants/acme");
    house.server.sql(
        "INSERT INTO plans (id, created_at, updated_at, name, quotas, limits) VALUES \
         ('p1', 0, 0, 'small', '{\"pods\":\"10\",\"requests.cpu\":\"2\"}', '{\"cpu\":\"1\"}')",
    );
    house.admin.put("/api/v1/tenants/acme/plan", &json!({ "name": "small" })).ok(200);
    house.admin.put(&format!("{at}/quotas"), &json!({ "pods": "20" })).ok(200);
    let summary = house.admin.get(&format!("{at}/summary")).ok(200);
    assert_eq!(
        summary,
        json!({
            "namespaces": [], "quotas": { "pods": "20", "requests.cpu": "2" }, "limits": { "cpu": "1" },
            "usages": { "projects": 2, "apps": 0, "sandboxes": 0 }, "plan": "small",
        })
    );
    assert_eq!(house.seen("/tenants/acme/plan"), "small");
    let dev = house.limited("dev", Role::ProjectDev, &acme, &[&shop]);
    assert_eq!(dev.get(&format!("{at}/summary")).ok(200)["usages"]["projects"], 1);
}
