//! Installing from the catalog: merging, upgrading, and what is not to be.

use std::thread;

use serde_json::{Value, json};

use super::harness::{Answer, Caller, On};
use super::shop::{IMAGE, SHOP, Shop, WEB, app};

fn publish(shop: &Shop, slug: &str, source: &Value) {
    let body =
        json!({ "slug": slug, "name": "A thing", "scope": "global", "version": "1.0.0", "source": source });
    shop.admin.post("/api/v1/catalog", &body).ok(201);
}

fn nginx(shop: &Shop) {
    publish(
        shop,
        "nginx",
        &json!({ "containerImage": { "image": "docker.io/library/nginx", "tag": "1", "ports": [80] } }),
    );
}

fn install(caller: &Caller, body: &Value) -> Answer {
    caller.post(&format!("{SHOP}/catalog/install"), body)
}

#[test]
fn an_upgrade_keeps_the_app() {
    for on in [On::Sqlite, On::Postgres] {
        let shop = Shop::open(on);
        nginx(&shop);
        let first = install(&shop.dev, &json!({ "slug": "nginx" })).ok(202);
        assert_eq!(
            (
                &first["status"],
                &first["appSlug"],
                &first["namespace"],
                &first["catalogVersion"],
                &first["revision"],
                &first["upgraded"]
            ),
            (
                &json!("committed"),
                &json!("nginx"),
                &json!("tn-acme-shop-app-nginx"),
                &json!("1.0.0"),
                &json!(1),
                &json!(false)
            )
        );
        let again = install(&shop.dev, &json!({ "slug": "nginx", "version": "1.0.0", "overrides": {} }));
        assert_eq!(
            (&again.ok(200)["revision"], &again.body()["appId"]),
            (&json!(1), &first["appId"]),
            "nothing new"
        );

        let source = json!({ "containerImage": { "image": "docker.io/library/nginx", "tag": "2" } });
        shop.admin
            .post("/api/v1/catalog/nginx/versions", &json!({ "version": "2.0.0", "source": source }))
            .ok(201);
        let overrides = json!({ "containerImage": { "tag": "2-alpine", "ports": null } });
        let next = install(&shop.dev, &json!({ "slug": "nginx", "overrides": overrides })).ok(202);
        assert_eq!((&next["appId"], &next["namespace"]), (&first["appId"], &first["namespace"]));
        assert_eq!(
            (&next["catalogVersion"], &next["revision"], &next["upgraded"]),
            (&json!("2.0.0"), &json!(2), &json!(true))
        );
        let app = shop.reader.get(&format!("{SHOP}/apps/nginx")).ok(200);
        assert_eq!(
            app["spec"]["source"],
            json!({ "containerImage": { "image": "docker.io/library/nginx", "tag": "2-alpine" } })
        );
        assert_eq!(
            (&app["catalogRef"]["version"], &app["catalogRef"]["overrides"]),
            (&json!("2.0.0"), &overrides)
        );
        let diff = shop.reader.get(&format!("{SHOP}/apps/nginx/diff/1/2")).ok(200).to_string();
        assert!(
            diff.contains("/catalogRef/version") && diff.contains("/spec/source/containerImage/tag"),
            "{diff}"
        );

        let old = install(&shop.dev, &json!({ "slug": "nginx", "version": "1.0.0", "source": { "containerImage": { "ports": null } } })).ok(202);
        assert_eq!((&old["catalogVersion"], &old["revision"]), (&json!("1.0.0"), &json!(3)));
        let back = shop.dev.post(&format!("{SHOP}/apps/nginx:rollback"), &json!({ "toRevision": 2 })).ok(200);
        assert_eq!(
            (&back["catalogRef"]["version"], &back["revision"], &back["id"]),
            (&json!("2.0.0"), &json!(4), &first["appId"])
        );
        assert_eq!(shop.count("SELECT COUNT(*) FROM namespaces"), 1);
        assert_eq!(shop.audited()[2..], ["app.install", "app.upgrade", "app.upgrade", "app.rollback"]);
    }
}

#[test]
fn an_app_made_by_hand_becomes_the_items() {
    let shop = Shop::open(On::Sqlite);
    nginx(&shop);
    let made = shop.app("front", IMAGE);
    let taken = install(&shop.dev, &json!({ "slug": "nginx", "name": "front" })).ok(202);
    assert_eq!(
        (&taken["appId"], &taken["upgraded"], &taken["revision"]),
        (&made["id"], &json!(true), &json!(2))
    );
    shop.dev.put(&format!("{SHOP}/apps/front"), &json!({ "spec": app("x", IMAGE)["spec"] })).ok(200);
    assert_eq!(
        shop.reader.get(&format!("{SHOP}/apps/front")).ok(200).get("catalogRef"),
        None,
        "and by hand again"
    );
}

#[test]
fn what_a_merge_must_not_make() {
    let shop = Shop::open(On::Sqlite);
    nginx(&shop);
    publish(&shop, "far", &json!({ "containerImage": { "image": "registry.example.com/elsewhere" } }));
    let cases = [
        (
            json!({ "containerImage": { "tag": "bad tag" } }),
            "VALIDATION_ERROR",
            "/overrides/containerImage/tag",
        ),
        (
            json!({ "containerImage": { "unknown": 1 } }),
            "VALIDATION_ERROR",
            "/overrides/containerImage/unknown",
        ),
        (json!({ "containerImage": null }), "UNPROCESSABLE_ENTITY", "/overrides"),
        (
            json!({ "gitRepo": { "url": "https://g.io/x", "revision": "main" } }),
            "UNPROCESSABLE_ENTITY",
            "/overrides/gitRepo",
        ),
        (
            json!({ "containerImage": { "image": "evil.io/x" } }),
            "REGISTRY_NOT_ALLOWED",
            "/overrides/containerImage/image",
        ),
        (
            json!({ "containerImage": { "image": null } }),
            "VALIDATION_ERROR",
            "/overrides/containerImage/image",
        ),
        (
            json!({ "containerImage": { "password": "hunter2" } }),
            "UNPROCESSABLE_ENTITY",
            "/overrides/containerImage/password",
        ),
        (json!({ "token": "hunter2" }), "UNPROCESSABLE_ENTITY", "/overrides/token"),
    ];
    for (overrides, code, at) in cases {
        let answer = install(&shop.dev, &json!({ "slug": "nginx", "overrides": overrides }));
        let (_, found, pointers) = answer.problem();
        assert_eq!(found, code, "{}", answer.text);
        assert!(pointers.iter().any(|pointer| pointer == at), "{at} in {}", answer.text);
        assert!(!answer.text.contains("hunter2"), "{}", answer.text);
    }
    let answer = install(&shop.dev, &json!({ "slug": "far" }));
    answer.refused("REGISTRY_NOT_ALLOWED", &["/slug"]);
    let deep = (0..40).fold(json!(1), |inner, _| json!({ "a": inner }));
    let at = format!("/overrides{}", "/a".repeat(32));
    install(&shop.dev, &json!({ "slug": "nginx", "overrides": deep })).refused("VALIDATION_ERROR", &[&at]);
    assert_eq!(shop.count("SELECT COUNT(*) FROM apps"), 0);
    let other = json!({ "containerImage": null, "gitRepo": { "url": "https://g.io/x", "revision": "main" } });
    let made = install(&shop.dev, &json!({ "slug": "nginx", "overrides": other })).ok(202);
    let app = shop.reader.get(&format!("{SHOP}/apps/{}", made["appSlug"].as_str().unwrap())).ok(200);
    assert_eq!(app["sourceKind"], "gitRepo");
}

#[test]
fn sandboxes_and_other_wrong_places() {
    let shop = Shop::open(On::Sqlite);
    nginx(&shop);
    publish(
        &shop,
        "a-name-of-more-than-twenty",
        &json!({ "gitRepo": { "url": "https://g.io/x", "revision": "main" } }),
    );
    shop.dev.post(&format!("{SHOP}/sandboxes"), &json!({})).ok(201);
    let cases = [
        (json!({ "slug": "nginx", "name": "sbx-001" }), "SANDBOX_TARGET_FORBIDDEN", "/name"),
        (json!({ "slug": "nginx", "name": "sbx-777" }), "SANDBOX_TARGET_FORBIDDEN", "/name"),
        (
            json!({ "slug": "nginx", "namespace": "tn-acme-shop-sbx-001" }),
            "SANDBOX_TARGET_FORBIDDEN",
            "/namespace",
        ),
        (
            json!({ "slug": "nginx", "namespace": "tn-acme-shop-app-other" }),
            "UNPROCESSABLE_ENTITY",
            "/namespace",
        ),
        (json!({ "slug": "a-name-of-more-than-twenty" }), "NAME_TOO_LONG", "/slug"),
        (json!({ "slug": "nginx", "overrides": {}, "source": {} }), "UNPROCESSABLE_ENTITY", "/source"),
        (json!({ "slug": "nginx", "name": "a".repeat(21) }), "VALIDATION_ERROR", "/name"),
        (json!({ "slug": "nginx", "overrides": [] }), "VALIDATION_ERROR", "/overrides"),
        (json!({ "slug": "nginx", "overrides": null }), "VALIDATION_ERROR", "/overrides"),
        (json!({ "slug": "nginx", "x": 1 }), "VALIDATION_ERROR", "/x"),
        (json!({}), "VALIDATION_ERROR", "/slug"),
    ];
    for (body, code, at) in cases {
        install(&shop.dev, &body).refused(code, &[at]);
    }
    install(&shop.dev, &json!({ "slug": "nginx", "namespace": "tn-acme-shop-app-nginx" })).ok(202);
    install(&shop.dev, &json!({ "slug": "a-name-of-more-than-twenty", "name": "short" })).ok(202);
}

#[test]
fn what_there_is_not_and_who_may_not() {
    let shop = Shop::open(On::Postgres);
    nginx(&shop);
    let theirs = json!({ "slug": "theirs", "name": "x", "scope": "tenant", "version": "1.0.0", "source": { "gitRepo": { "url": "https://g.io/x", "revision": "main" } } });
    let theirs = shop.stranger.post("/api/v1/catalog", &theirs).ok(201);
    let none = "CATALOG_ITEM_NOT_FOUND";
    install(&shop.dev, &json!({ "slug": "none" })).refused(none, &[]);
    install(&shop.dev, &json!({ "slug": "nginx", "version": "1.0.1" })).refused(none, &[]);
    install(&shop.dev, &json!({ "slug": "theirs" })).refused(none, &[]);
    install(&shop.admin, &json!({ "slug": "theirs" })).refused(none, &[]);
    install(&shop.admin, &json!({ "slug": theirs["id"] })).refused("VALIDATION_ERROR", &["/slug"]);
    install(&shop.reader, &json!({ "slug": "nginx" })).refused("FORBIDDEN", &[]);
    install(&shop.stranger, &json!({ "slug": "nginx" })).refused("TENANT_NOT_FOUND", &[]);
    shop.owner
        .post(&format!("{WEB}/catalog/install"), &json!({ "slug": "nginx" }))
        .refused("TENANT_NOT_FOUND", &[]);
    shop.admin
        .post("/api/v1/clusters/eu-1/tenants/acme/projects/web/catalog/install", &json!({ "slug": "nginx" }))
        .refused("PROJECT_NOT_FOUND", &[]);
    let elsewhere = shop.server.limited("ed", &shop.acme, &["0198c5f2-7a4e-7c31-b1f5-4a3a7c1d2e9f"]);
    install(&elsewhere, &json!({ "slug": "nginx" })).refused("PROJECT_NOT_FOUND", &[]);
    let own = json!({ "slug": "nginx", "name": "Ours", "scope": "tenant", "version": "7.0.0", "source": { "gitRepo": { "url": "https://g.io/x", "revision": "main" } } });
    shop.owner.post("/api/v1/catalog", &own).ok(201);
    assert_eq!(
        install(&shop.dev, &json!({ "slug": "nginx" })).ok(202)["catalogVersion"],
        "7.0.0",
        "the shadow"
    );
}

#[test]
fn many_at_once_make_one_app() {
    for on in [On::Sqlite, On::Postgres] {
        let shop = Shop::open(on);
        nginx(&shop);
        let answers: Vec<Answer> = thread::scope(|scope| {
            let workers: Vec<_> =
                (0..16).map(|_| scope.spawn(|| install(&shop.dev, &json!({ "slug": "nginx" })))).collect();
            workers.into_iter().map(|worker| worker.join().unwrap()).collect()
        });
        assert_eq!(answers.iter().filter(|answer| answer.status == 202).count(), 1);
        assert_eq!(answers.iter().filter(|answer| answer.status == 200).count(), 15);
        assert_eq!(
            shop.count("SELECT COUNT(*) FROM apps") + shop.count("SELECT COUNT(*) FROM app_revisions"),
            2
        );
    }
}
