//! `Idempotency-Key`: what is sent twice is done once.

use std::thread;

use portcullis_access::Role;
use serde_json::json;

use super::harness::{On, Server};
use super::shop::{IMAGE, Shop, app};

#[test]
fn the_same_request_again_is_answered_from_the_first() {
    for on in [On::Sqlite, On::Postgres] {
        let server = Server::with(on, &[]);
        let admin = server.admin();
        let once = admin.with("idempotency-key", "key-1");
        let first = once.post("/api/v1/clusters", &json!({"name": "one"}));
        let second = once.post("/api/v1/clusters", &json!({"name": "one"}));
        assert_eq!((first.ok(201), first.header("idempotency-replayed")), (second.ok(201), None));
        assert_eq!(second.header("idempotency-replayed"), Some("true"));
        for name in ["location", "etag", "content-type"] {
            assert_eq!(first.header(name), second.header(name), "{name}");
        }
        assert_ne!(first.header("x-request-id"), second.header("x-request-id"));
        assert_eq!(admin.get("/api/v1/clusters").ok(200)["items"].as_array().unwrap().len(), 1);

        once.post("/api/v1/clusters", &json!({"name": "two"}))
            .refused("UNPROCESSABLE_ENTITY", &["idempotency-key:"]);
        let other = server.somebody("other", Role::Admin, None).with("idempotency-key", "key-1");
        assert_eq!(
            other.post("/api/v1/clusters", &json!({"name": "three"})).ok(201)["name"],
            "three",
            "keys are of a subject"
        );
    }
}

#[test]
fn key_covers_the_query_and_the_tenant() {
    for on in [On::Sqlite, On::Postgres] {
        let shop = Shop::open(on);
        let once = shop.admin.with("idempotency-key", "key-1");
        let at = |tenant: &str| format!("/api/v1/clusters/eu-1/tenants/{tenant}/projects");
        once.post(&at("acme"), &json!({ "name": "one" })).ok(201);
        once.post(&at("globex"), &json!({ "name": "one" }))
            .refused("UNPROCESSABLE_ENTITY", &["idempotency-key:"]);
        let version = json!({ "version": "2.0.0", "source": app("", IMAGE)["spec"]["source"] });
        for tenant in [&shop.acme, &shop.globex] {
            let image = format!("registry.example.com/tenants/{}/web:1", tenant.slug);
            let item = json!({ "slug": "blog", "name": "blog", "scope": "tenant", "tenantId": tenant.id, "version": "1.0.0",
                "source": app("", &image)["spec"]["source"] });
            shop.admin.post("/api/v1/catalog", &item).ok(201);
        }
        let once = shop.admin.with("idempotency-key", "key-2");
        let versions = |tenant: &str| format!("/api/v1/catalog/blog/versions?tenantId={tenant}");
        once.post(&versions("acme"), &version).ok(201);
        once.post(&versions("globex"), &version).refused("UNPROCESSABLE_ENTITY", &["idempotency-key:"]);

        // One subject with one key in two tenants of its own: two requests.
        for (tenant, place) in [(&shop.acme, "acme"), (&shop.globex, "globex")] {
            let both = shop
                .server
                .somebody("both", Role::TenantOwner, Some(tenant))
                .with("idempotency-key", "key-3");
            let expires = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(1);
            let body = json!({ "policy": "registry-allowlist", "objects": [{}], "reason": "r", "expires": expires.to_string() });
            let first = both.post("/api/v1/exceptions", &body);
            assert_eq!(first.ok(201)["tenantId"], tenant.id.as_str(), "{on:?} {place}");
            assert_eq!(both.post("/api/v1/exceptions", &body).ok(201), first.ok(201));
        }
    }
}

#[test]
fn a_refusal_is_not_kept() {
    let server = Server::start();
    let admin = server.admin();
    let once = admin.with("idempotency-key", "key-1");
    admin.post("/api/v1/clusters", &json!({"name": "one"})).ok(201);
    once.post("/api/v1/clusters", &json!({"name": "one"})).refused("CONFLICT", &[]);
    admin.delete("/api/v1/clusters/one").ok(204);
    once.post("/api/v1/clusters", &json!({"name": "one"})).ok(201);
}

#[test]
fn a_key_is_free_again_after_a_day() {
    let server = Server::start();
    let once = server.admin().with("idempotency-key", "key-1");
    once.post("/api/v1/clusters", &json!({"name": "one"})).ok(201);
    server.sql("UPDATE idempotency_keys SET expires_at = 1");
    once.post("/api/v1/clusters", &json!({"name": "two"})).ok(201);
    let again = once.post("/api/v1/clusters", &json!({"name": "two"}));
    assert_eq!((again.status, again.header("idempotency-replayed")), (201, Some("true")));
}

#[test]
fn a_key_is_one_word_of_printable_characters() {
    let server = Server::start();
    for key in ["", " ", "two words", &"x".repeat(256), "ü"] {
        let caller = server.admin().with("idempotency-key", key);
        caller
            .post("/api/v1/clusters", &json!({"name": "one"}))
            .refused("VALIDATION_ERROR", &["idempotency-key:"]);
    }
    let longest = server.admin().with("idempotency-key", &"x".repeat(255));
    longest.post("/api/v1/clusters", &json!({"name": "one"})).ok(201);
}

#[test]
fn twins_that_come_at_once_are_done_once() {
    for on in [On::Sqlite, On::Postgres] {
        let server = Server::with(on, &[]);
        let admin = server.admin();
        for round in 0..5 {
            let body = json!({"name": format!("c{round}")});
            let caller = admin.with("idempotency-key", &format!("round-{round}"));
            let answers: Vec<_> = thread::scope(|scope| {
                let send = || scope.spawn(|| caller.post("/api/v1/clusters", &body));
                let all: Vec<_> = (0..8).map(|_| send()).collect();
                all.into_iter().map(|one| one.join().unwrap()).collect()
            });
            let first = answers[0].ok(201);
            assert!(answers.iter().all(|answer| answer.ok(201) == first), "{answers:?}");
        }
        assert_eq!(admin.get("/api/v1/clusters").ok(200)["items"].as_array().unwrap().len(), 5);
    }
}
