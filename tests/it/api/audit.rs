//! The audit log as the API shows it: every change in it, to those whose it is, and nothing secret.

use std::time::Duration;

use portcullis_access::{Role, TenantRef};
use serde_json::{Value, json};

use super::harness::{Caller, On, Server};
use crate::support::wait;

fn actions(log: &Value) -> Vec<&str> {
    log["items"].as_array().unwrap().iter().map(|row| row["action"].as_str().unwrap()).collect()
}

fn tenant(admin: &Caller, slug: &str) -> TenantRef {
    let made = admin.post("/api/v1/clusters/eu/tenants", &json!({"name": slug})).ok(201);
    TenantRef { id: made["id"].as_str().unwrap().to_owned(), slug: slug.to_owned() }
}

#[test]
fn a_change_is_in_the_log_with_who_what_and_why() {
    for on in [On::Sqlite, On::Postgres] {
        let server = Server::with(on, &[]);
        let admin = server.admin().with("x-request-id", "request-of-mine");
        admin.post("/api/v1/clusters", &json!({"name": "eu", "labels": {"a": "b"}})).ok(201);
        admin.patch("/api/v1/clusters/eu", &json!({"displayName": "Europe"})).ok(200);
        admin.delete("/api/v1/clusters/eu").ok(204);
        let log = admin.get("/api/v1/audit").ok(200);
        assert_eq!(actions(&log), ["cluster.delete", "cluster.update", "cluster.create"], "newest first");
        let update = &log["items"][1];
        assert_eq!(
            (update.get("before"), update.get("after")),
            (None, None),
            "long, so only where asked for"
        );
        let full = admin.get("/api/v1/audit?view=full").ok(200);
        let update = &full["items"][1];
        assert_eq!((&update["actor"], &update["actorRoles"]), (&json!("ledger#root"), &json!(["admin"])));
        assert_eq!(
            (&update["requestId"], &update["resourceName"]),
            (&json!("request-of-mine"), &json!("eu"))
        );
        assert_eq!(
            (&update["before"]["displayName"], &update["after"]["displayName"]),
            (&json!(""), &json!("Europe"))
        );
        assert_eq!(actions(&admin.get("/api/v1/audit?action=cluster.create").ok(200)), ["cluster.create"]);
        let since = update["at"].as_str().unwrap();
        assert!(actions(&admin.get(&format!("/api/v1/audit?since={since}")).ok(200)).len() >= 2);
        assert!(actions(&admin.get("/api/v1/audit?since=2099-01-01T00:00:00Z").ok(200)).is_empty());
    }
}

#[test]
fn an_owner_reads_what_is_its_tenants() {
    for on in [On::Sqlite, On::Postgres] {
        let server = Server::with(on, &[]);
        let admin = server.admin();
        admin.post("/api/v1/clusters", &json!({"name": "eu"})).ok(201);
        let (acme, globex) = (tenant(&admin, "acme"), tenant(&admin, "globex"));
        let olga = server.somebody("olga", Role::TenantOwner, Some(&acme));
        olga.post("/api/v1/clusters/eu/tenants/acme/projects", &json!({"name": "shop"})).ok(201);
        let own = ["project.create", "tenant.create"];
        assert_eq!(actions(&olga.get("/api/v1/audit").ok(200)), own);
        for reference in [&acme.id, &acme.slug] {
            for caller in [&olga, &admin] {
                let log = caller.get(&format!("/api/v1/audit?tenantId={reference}")).ok(200);
                assert_eq!(actions(&log), own);
            }
        }
        for reference in [&globex.id, &globex.slug, &"none".to_owned()] {
            olga.get(&format!("/api/v1/audit?tenantId={reference}")).refused("TENANT_NOT_FOUND", &[]);
        }
        admin.get("/api/v1/audit?tenantId=none").refused("TENANT_NOT_FOUND", &[]);
        server.somebody("dan", Role::ProjectDev, Some(&acme)).get("/api/v1/audit").refused("FORBIDDEN", &[]);
    }
}

#[test]
fn the_log_comes_in_pages() {
    let server = Server::start();
    let admin = server.admin();
    for n in 0..25 {
        admin.post("/api/v1/clusters", &json!({"name": format!("c{n:02}")})).ok(201);
    }
    let (mut names, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = admin.get(&format!("/api/v1/audit?limit=10{cursor}")).ok(200);
        names.extend(
            page["items"]
                .as_array()
                .unwrap()
                .iter()
                .map(|row| row["resourceName"].as_str().unwrap().to_owned()),
        );
        match page["nextCursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    let expected: Vec<_> = (0..25).rev().map(|n| format!("c{n:02}")).collect();
    assert_eq!(names, expected);
}

#[test]
fn whoever_is_turned_away_is_in_the_log() {
    let server = Server::start();
    let reader = TenantRef { id: portcullis_store::new_id(), slug: "acme".into() };
    let reader = server.somebody("rita", Role::ReadOnly, Some(&reader));
    for _ in 0..3 {
        reader.post("/api/v1/clusters", &json!({"name": "x"})).refused("FORBIDDEN", &[]);
        server.bearing("nonsense").get("/api/v1/me").refused("UNAUTHORIZED", &[]);
    }
    // They are written every few seconds, and what is repeated meanwhile is counted.
    let told = |action: &str| -> (Value, Value, i64, Value) {
        let log = server.admin().get(&format!("/api/v1/audit?action={action}")).ok(200);
        let rows = log["items"].as_array().unwrap();
        let attempts = rows.iter().map(|row| row["attempts"].as_i64().unwrap()).sum();
        let row = rows.first().cloned().unwrap_or_default();
        (row["actor"].clone(), row["result"].clone(), attempts, row["reason"].clone())
    };
    for (action, actor, reason) in
        [("cluster.create", "ledger#rita", "FORBIDDEN"), ("auth.failed", "anonymous", "UNAUTHORIZED")]
    {
        let all = (json!(actor), json!("denied"), 3, json!(reason));
        wait(Duration::from_secs(30), || (told(action) == all).then_some(()));
    }
}

#[test]
fn cursor_of_another_list_is_refused() {
    let server = Server::start();
    let admin = server.admin();
    for name in ["eu", "us", "ap"] {
        admin.post("/api/v1/clusters", &json!({ "name": name })).ok(201);
    }
    let first =
        |path: &str| admin.get(&format!("{path}?limit=1")).ok(200)["nextCursor"].as_str().unwrap().to_owned();
    let lists = ["/api/v1/audit", "/api/v1/clusters", "/api/v1/plans"];
    for from in lists {
        let cursor = first(from);
        for list in lists {
            let answer = admin.get(&format!("{list}?limit=1&cursor={cursor}"));
            if list == from {
                answer.ok(200);
            } else {
                answer.refused("VALIDATION_ERROR", &["?cursor"]);
            }
        }
    }
    for slug in ["acme", "globex"] {
        let acme = tenant(&admin, slug);
        for name in ["one", "two"] {
            admin
                .post(
                    &format!("/api/v1/clusters/eu/tenants/{}/projects", acme.slug),
                    &json!({ "name": name }),
                )
                .ok(201);
        }
    }
    let cursor = first("/api/v1/clusters/eu/tenants/acme/projects");
    admin
        .get(&format!("/api/v1/clusters/eu/tenants/globex/projects?cursor={cursor}"))
        .refused("VALIDATION_ERROR", &["?cursor"]);
}

/// Whatever goes with a tenant, each thing has its entry.
#[test]
fn cascading_deletion_is_told_thing_by_thing() {
    for on in [On::Sqlite, On::Postgres] {
        let shop = super::shop::Shop::open(on);
        let acme = "/api/v1/clusters/eu-1/tenants/acme";
        shop.app("web", super::shop::IMAGE);
        shop.admin.post(&format!("{}/sandboxes", super::shop::SHOP), &json!({})).ok(201);
        shop.admin.post(&format!("{acme}/policysets"), &json!({ "name": "x", "rules": [] })).ok(201);
        for (subject, role) in [("olga", "tenantOwner"), ("ada", "readOnly")] {
            shop.admin.put(&format!("{acme}/members/{subject}"), &json!({ "role": role })).ok(200);
        }
        let access = json!({ "members": [{ "subject": "bob", "role": "readOnly" }] });
        shop.admin.put(&format!("{}/access", super::shop::SHOP), &access).ok(200);
        let source = super::shop::app("", super::shop::IMAGE)["spec"]["source"].clone();
        let item = json!({ "slug": "blog", "name": "b", "scope": "tenant", "tenantId": "acme", "version": "1.0.0", "source": source });
        shop.admin.post("/api/v1/catalog", &item).ok(201);
        let expires = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(1);
        let exception = json!({ "tenant": "acme", "policy": "registry-allowlist", "objects": [{}], "reason": "r", "expires": expires.to_string() });
        shop.admin.post("/api/v1/exceptions", &exception).ok(201);
        let before = shop.audited().len();
        shop.admin.delete(&format!("{acme}?cascade=true")).ok(204);
        let mut told = shop.audited().split_off(before);
        told.sort();
        let expected = [
            "app.delete",
            "catalog.delete",
            "exception.delete",
            "member.delete",
            "member.delete",
            "member.delete",
            "policyset.delete",
            "project.delete",
            "sandbox.delete",
            "tenant.delete",
        ];
        assert_eq!(told, expected, "{on:?}");
    }
}
