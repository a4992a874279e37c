//! Sandboxes: numbers, who makes and removes them, and when they end.

use std::collections::BTreeSet;
use std::thread;

use portcullis_access::Role;
use serde_json::{Value, json};

use super::harness::{Caller, On};
use super::shop::{IMAGE, SHOP, Shop, WEB, names};

fn make(caller: &Caller) -> Value {
    caller.post(&format!("{SHOP}/sandboxes"), &json!({})).ok(201)
}

#[test]
fn fifty_at_once_have_fifty_names() {
    for on in [On::Sqlite, On::Postgres] {
        let shop = Shop::open(on);
        let made: Vec<Value> = thread::scope(|scope| {
            let workers: Vec<_> = (0..50).map(|_| scope.spawn(|| make(&shop.dev))).collect();
            workers.into_iter().map(|worker| worker.join().unwrap()).collect()
        });
        let found: BTreeSet<&str> = made.iter().map(|sandbox| sandbox["name"].as_str().unwrap()).collect();
        let expected: BTreeSet<String> = (1..=50).map(|number| format!("sbx-{number:03}")).collect();
        assert_eq!(found, expected.iter().map(String::as_str).collect());
        assert_eq!(shop.count("SELECT COUNT(*) FROM namespaces WHERE kind = 'sandbox'"), 50);
        assert_eq!(shop.audited().iter().filter(|action| *action == "sandbox.create").count(), 50);
    }
}

#[test]
fn the_lowest_free_number_until_there_is_none() {
    for on in [On::Sqlite, On::Postgres] {
        let shop = Shop::open(on);
        let first = make(&shop.owner);
        assert_eq!(
            (&first["name"], &first["namespace"]),
            (&json!("sbx-001"), &json!("tn-acme-shop-sbx-001"))
        );
        shop.server.sql(
            "WITH RECURSIVE n (i) AS (SELECT 3 UNION ALL SELECT i + 1 FROM n WHERE i < 999) \
             INSERT INTO sandboxes (id, created_at, updated_at, tenant_id, project_id, cluster_id, ordinal) \
             SELECT 'sbx-' || i, 1, 1, tenant_id, project_id, cluster_id, i FROM n, sandboxes WHERE ordinal = 1",
        );
        assert_eq!(make(&shop.owner)["name"], "sbx-002");
        let last = shop.owner.post(&format!("{SHOP}/sandbox"), &json!({}));
        last.refused("CONFLICT", &[]);
        shop.owner.delete(&format!("{SHOP}/sandboxes/sbx-001")).ok(204);
        shop.free_names();
        assert_eq!(make(&shop.owner)["name"], "sbx-001");
    }
}

#[test]
fn a_number_is_free_when_its_namespace_is_gone() {
    for on in [On::Sqlite, On::Postgres] {
        let shop = Shop::open(on);
        shop.free_names();
        make(&shop.dev);
        let seen = |uid: &str| {
            shop.server.sql(&format!(
                "UPDATE namespaces SET observed_uid = {uid} WHERE name = 'tn-acme-shop-sbx-001'"
            ))
        };
        seen("'8a5b'");
        let at = format!("{SHOP}/sandboxes/sbx-001");
        shop.dev.delete(&at).ok(204);
        assert_eq!(shop.dev.get(&at).ok(200)["state"], "deleting");
        assert_eq!(make(&shop.dev)["name"], "sbx-002");
        shop.dev.delete(&at).ok(204);
        assert_eq!(shop.audited().iter().filter(|action| *action == "sandbox.delete").count(), 1, "once");
        seen("NULL");
        let again = make(&shop.dev);
        assert_eq!((&again["name"], &again["state"]), (&json!("sbx-001"), &json!("active")));
    }
}

#[test]
fn apart_from_apps_and_under_both_paths() {
    let shop = Shop::open(On::Sqlite);
    shop.app("frontend", IMAGE);
    let made = shop.dev.send("POST", &format!("{SHOP}/sandbox"), None);
    let body = made.ok(201);
    assert_eq!(shop.reader.get(made.header("location").unwrap()).ok(200), body);
    assert_eq!(shop.reader.get(&format!("{SHOP}/sandboxes/{}", body["id"].as_str().unwrap())).ok(200), body);
    assert_eq!(names(&shop.reader.get(&format!("{SHOP}/sandboxes")), "name"), ["sbx-001"]);
    assert_eq!(names(&shop.reader.get(&format!("{SHOP}/apps")), "name"), ["frontend"]);
    assert_eq!(body.get("expiresAt"), None);
    let patch: Value =
        serde_json::from_str(&shop.server.ask("SELECT patch FROM changes ORDER BY revision DESC LIMIT 1"))
            .unwrap();
    assert_eq!(patch["namespaces"]["tn-acme-shop-sbx-001"]["sandbox"], 1);
}

#[test]
fn fields_at_their_bounds() {
    let shop = Shop::open(On::Postgres);
    let post = |body: &Value| shop.owner.post(&format!("{SHOP}/sandboxes"), body);
    for (body, at) in [
        (json!({ "ttlSeconds": 60 }), ""),
        (json!({ "ttlSeconds": 31_536_000 }), ""),
        (json!({ "displayName": "é".repeat(100) }), ""),
        (json!({ "displayName": "x'); DROP TABLE sandboxes; --" }), ""),
        (json!({ "ttlSeconds": 59 }), "/ttlSeconds"),
        (json!({ "ttlSeconds": 31_536_001 }), "/ttlSeconds"),
        (json!({ "ttlSeconds": -1 }), "/ttlSeconds"),
        (json!({ "ttlSeconds": 60.5 }), "/ttlSeconds"),
        (json!({ "ttlSeconds": "60" }), "/ttlSeconds"),
        (json!({ "ttlSeconds": null }), "/ttlSeconds"),
        (json!({ "displayName": "é".repeat(101) }), "/displayName"),
        (json!({ "displayName": "a\nb" }), "/displayName"),
        (json!({ "displayName": 1 }), "/displayName"),
        (json!({ "name": "sbx-007" }), "/name"),
        (json!([]), ""),
    ] {
        match (post(&body), at) {
            (answer, "") if body.is_object() => drop(answer.ok(201)),
            (answer, at) => answer.refused("VALIDATION_ERROR", &[at]),
        }
    }
    let made = post(&json!({ "ttlSeconds": 3600 })).ok(201);
    let time = |key: &str| -> jiff::Timestamp { made[key].as_str().unwrap().parse().unwrap() };
    assert_eq!(time("expiresAt").as_second() - time("createdAt").as_second(), 3600);
}

#[test]
fn who_may() {
    let shop = Shop::open(On::Sqlite);
    let own = make(&shop.dev);
    let others = make(&shop.owner);
    let at = |sandbox: &Value| format!("{SHOP}/sandboxes/{}", sandbox["name"].as_str().unwrap());
    shop.reader.post(&format!("{SHOP}/sandboxes"), &json!({})).refused("FORBIDDEN", &[]);
    shop.reader.delete(&at(&own)).refused("FORBIDDEN", &[]);
    shop.dev.get(&at(&others)).ok(200);
    shop.dev.with("if-match", "\"9\"").delete(&at(&own)).refused("PRECONDITION_FAILED", &[]);
    shop.owner.delete(&at(&own)).ok(204);
    shop.dev.delete(&at(&others)).ok(204);
    shop.stranger.get(&format!("{SHOP}/sandboxes")).refused("TENANT_NOT_FOUND", &[]);
    shop.server.somebody("gate", Role::Service, None).get(&at(&own)).refused("TENANT_NOT_FOUND", &[]);
    let elsewhere = shop.server.limited("ed", &shop.acme, &["0198c5f2-7a4e-7c31-b1f5-4a3a7c1d2e9f"]);
    elsewhere.post(&format!("{SHOP}/sandboxes"), &json!({})).refused("PROJECT_NOT_FOUND", &[]);
}

#[test]
fn what_is_not_of_its_parent_is_not_there() {
    let shop = Shop::open(On::Sqlite);
    let own = make(&shop.owner);
    let id = own["id"].as_str().unwrap();
    for (path, code) in [
        (format!("{WEB}/sandboxes/{id}"), "SANDBOX_NOT_FOUND"),
        (format!("{WEB}/sandboxes/sbx-001"), "SANDBOX_NOT_FOUND"),
        (format!("{SHOP}/sandboxes/sbx-002"), "SANDBOX_NOT_FOUND"),
        (format!("{SHOP}/sandboxes/sbx-1"), "SANDBOX_NOT_FOUND"),
        (format!("{SHOP}/sandboxes/001"), "SANDBOX_NOT_FOUND"),
        (format!("/api/v1/clusters/eu-2/tenants/acme/projects/shop/sandboxes/{id}"), "TENANT_NOT_FOUND"),
        (format!("/api/v1/clusters/eu-1/tenants/acme/projects/web/sandboxes/{id}"), "PROJECT_NOT_FOUND"),
    ] {
        shop.admin.get(&path).refused(code, &[]);
        shop.admin.delete(&path).refused(code, &[]);
    }
    shop.admin.get(&format!("{SHOP}/sandboxes/{id}")).ok(200);
}

#[test]
fn as_many_as_the_quota_and_the_setting_allow() {
    let shop = Shop::open(On::Sqlite);
    shop.admin.put("/api/v1/settings/sandboxes", &json!({ "value": { "developers": false } })).ok(200);
    shop.dev.post(&format!("{SHOP}/sandboxes"), &json!({})).refused("FORBIDDEN", &[]);
    make(&shop.owner);
    shop.admin.put("/api/v1/settings/sandboxes", &json!({ "value": { "developers": true } })).ok(200);
    make(&shop.dev);
    shop.admin.put("/api/v1/clusters/eu-1/tenants/acme/quotas", &json!({ "sandboxes": "2" })).ok(200);
    shop.dev.post(&format!("{SHOP}/sandboxes"), &json!({})).refused("QUOTA_EXCEEDED", &[]);
    for wrong in [json!({ "developers": 1 }), json!({ "x": true }), json!([])] {
        assert_eq!(shop.admin.put("/api/v1/settings/sandboxes", &json!({ "value": wrong })).status, 400);
    }
}
