//! The catalog: whose items are seen and changed by whom, shadows, versions that do not change.

use serde_json::{Value, json};

use super::harness::{Answer, Caller, On};
use super::shop::{IMAGE, SHOP, Shop, names, with};

fn item(slug: &str) -> Value {
    json!({
        "slug": slug, "name": "A thing", "scope": "global", "version": "1.0.0",
        "source": { "containerImage": { "image": "docker.io/library/nginx", "tag": "1" } },
    })
}

fn of_acme(slug: &str) -> Value {
    with(with(item(slug), "/scope", json!("tenant")), "/tenantId", json!("acme"))
}

fn publish(caller: &Caller, body: &Value) -> Answer {
    caller.post("/api/v1/catalog", body)
}

#[test]
fn ones_own_shadows_the_global_one() {
    for on in [On::Sqlite, On::Postgres] {
        let shop = Shop::open(on);
        let global = publish(&shop.admin, &item("nginx")).ok(201);
        publish(&shop.admin, &item("redis")).ok(201);
        let made = publish(&shop.owner, &with(of_acme("nginx"), "/name", json!("Ours")));
        let own = made.ok(201);
        assert_eq!((&own["scope"], &own["tenantId"]), (&json!("tenant"), &json!(shop.acme.id)));
        assert_eq!(shop.reader.get(made.header("location").unwrap()).ok(200), own);

        let seen = |caller: &Caller, query: &str| {
            caller.get(&format!("/api/v1/catalog/nginx{query}")).ok(200)["id"].clone()
        };
        assert_eq!(seen(&shop.reader, ""), own["id"]);
        assert_eq!(seen(&shop.reader, "?tenantId=acme"), own["id"]);
        assert_eq!(seen(&shop.stranger, ""), global["id"]);
        assert_eq!(seen(&shop.admin, ""), global["id"]);
        assert_eq!(seen(&shop.admin, "?tenantId=acme"), own["id"]);
        let list = |caller: &Caller, query: &str| {
            let answer = caller.get(&format!("/api/v1/catalog{query}"));
            let ids = names(&answer, "id");
            names(&answer, "slug").into_iter().zip(ids).collect::<Vec<_>>()
        };
        let slugs = |caller: &Caller, query: &str| {
            list(caller, query).into_iter().map(|(slug, _)| slug).collect::<Vec<_>>()
        };
        assert_eq!(slugs(&shop.reader, ""), ["redis", "nginx"]);
        assert_eq!(slugs(&shop.stranger, ""), ["nginx", "redis"]);
        assert_eq!(slugs(&shop.reader, "?scope=global"), ["nginx", "redis"]);
        assert_eq!(slugs(&shop.reader, "?scope=tenant"), ["nginx"]);
        assert_eq!(slugs(&shop.admin, ""), ["nginx", "redis", "nginx"]);
        assert_eq!(slugs(&shop.admin, &format!("?tenantId={}", shop.acme.id)), ["redis", "nginx"]);
        for path in ["/api/v1/catalog", "/api/v1/catalog/nginx", "/api/v1/catalog/nginx/versions"] {
            shop.owner.get(&format!("{path}?tenantId=globex")).refused("TENANT_NOT_FOUND", &[]);
            shop.owner.get(&format!("{path}?tenantId={}", shop.globex.id)).refused("TENANT_NOT_FOUND", &[]);
            shop.admin.get(&format!("{path}?tenantId=none")).refused("TENANT_NOT_FOUND", &[]);
        }
        let own_id = own["id"].as_str().unwrap();
        shop.stranger.get(&format!("/api/v1/catalog/{own_id}")).refused("CATALOG_ITEM_NOT_FOUND", &[]);
        shop.owner.delete("/api/v1/catalog/nginx").ok(204);
        assert_eq!(seen(&shop.reader, ""), global["id"], "the shadow is gone");
    }
}

#[test]
fn what_is_looked_for() {
    let shop = Shop::open(On::Postgres);
    publish(&shop.admin, &with(item("nginx"), "/category", json!("web"))).ok(201);
    publish(&shop.admin, &with(item("redis"), "/description", json!("100% fast, KEY_value"))).ok(201);
    let slugs = |query: &str| names(&shop.reader.get(&format!("/api/v1/catalog?{query}")), "slug");
    assert_eq!(slugs("category=web"), ["nginx"]);
    assert_eq!(slugs("q=GIN"), ["nginx"]);
    assert_eq!(slugs("q=key_v"), ["redis"]);
    assert_eq!(slugs("q=100%25"), ["redis"]);
    assert_eq!(slugs("q=%25"), ["redis"]);
    assert_eq!(slugs("q=_"), ["redis"]);
    assert_eq!(slugs("q=%27%20OR%201%3D1--"), [""; 0]);
    let first = shop.reader.get("/api/v1/catalog?limit=1").ok(200);
    let next = first["nextCursor"].as_str().unwrap();
    assert_eq!(slugs(&format!("limit=1&cursor={next}")), ["redis"]);
    for (query, at) in [
        ("scope=all", "?scope"),
        ("limit=0", "?limit"),
        ("limit=201", "?limit"),
        ("cursor=x", "?cursor"),
        ("x=1", "?x"),
        ("q=", "?q"),
    ] {
        shop.reader.get(&format!("/api/v1/catalog?{query}")).refused("VALIDATION_ERROR", &[at]);
    }
}

#[test]
fn who_may() {
    for on in [On::Sqlite, On::Postgres] {
        let shop = Shop::open(on);
        publish(&shop.admin, &item("nginx")).ok(201);
        publish(&shop.owner, &of_acme("own")).ok(201);
        for caller in [&shop.dev, &shop.reader] {
            publish(caller, &of_acme("x")).refused("FORBIDDEN", &[]);
            caller.delete("/api/v1/catalog/own").refused("FORBIDDEN", &[]);
            caller.get("/api/v1/catalog/own/versions").ok(200);
        }
        let about = json!({ "name": "Mine now" });
        let version = json!({ "version": "2.0.0", "source": item("x")["source"] });
        publish(&shop.owner, &item("x")).refused("FORBIDDEN", &[]);
        shop.owner.put("/api/v1/catalog/nginx", &about).refused("FORBIDDEN", &[]);
        shop.owner.post("/api/v1/catalog/nginx/versions", &version).refused("FORBIDDEN", &[]);
        shop.owner.delete("/api/v1/catalog/nginx").refused("FORBIDDEN", &[]);
        shop.owner.delete("/api/v1/catalog/own?force=true").refused("FORBIDDEN", &[]);
        publish(&shop.stranger, &of_acme("x")).refused("TENANT_NOT_FOUND", &[]);
        publish(&shop.stranger, &with(of_acme("x"), "/tenantId", json!(shop.acme.id)))
            .refused("TENANT_NOT_FOUND", &[]);
        for path in ["/api/v1/catalog/own", "/api/v1/catalog/own?tenantId=acme"] {
            let code = if path.ends_with("own") { "CATALOG_ITEM_NOT_FOUND" } else { "TENANT_NOT_FOUND" };
            shop.stranger.put(path, &about).refused(code, &[]);
            shop.stranger.delete(path).refused(code, &[]);
        }
        let bare = with(with(item("bare"), "/scope", json!("tenant")), "/tenantId", Value::Null);
        publish(&shop.admin, &bare).refused("UNPROCESSABLE_ENTITY", &["/tenantId"]);
        publish(&shop.admin, &with(item("x"), "/tenantId", json!("acme")))
            .refused("UNPROCESSABLE_ENTITY", &["/tenantId"]);
        publish(&shop.admin, &with(of_acme("x"), "/tenantId", json!("none")))
            .refused("TENANT_NOT_FOUND", &[]);
        assert_eq!(publish(&shop.owner, &bare).ok(201)["tenantId"], json!(shop.acme.id), "an owner's own");
        assert_eq!(shop.owner.put("/api/v1/catalog/own", &about).ok(200)["name"], "Mine now");
        shop.admin.put("/api/v1/catalog/own?tenantId=acme", &about).ok(200);
        shop.admin.put("/api/v1/catalog/own", &about).refused("CATALOG_ITEM_NOT_FOUND", &[]);
    }
}

#[test]
fn versions_are_added_and_never_changed() {
    for on in [On::Sqlite, On::Postgres] {
        let shop = Shop::open(on);
        publish(&shop.admin, &item("nginx")).ok(201);
        let at = "/api/v1/catalog/nginx/versions";
        let add = |version: &str| {
            let source = json!({ "containerImage": { "image": "docker.io/library/nginx", "tag": version.replace('+', "_") } });
            shop.admin.post(at, &json!({ "version": version, "source": source }))
        };
        let latest =
            || shop.reader.get("/api/v1/catalog/nginx").ok(200)["latestVersion"].as_str().unwrap().to_owned();
        for (version, newest) in [
            ("1.10.0", "1.10.0"),
            ("1.9.0", "1.10.0"),
            ("1.10.0+b", "1.10.0+b"),
            ("2.0.0-rc.1", "2.0.0-rc.1"),
            ("2.0.0", "2.0.0"),
            ("0.1.0", "2.0.0"),
        ] {
            add(version).ok(201);
            assert_eq!(latest(), newest, "after {version}");
        }
        add("1.10.0").refused("CONFLICT", &[]);
        assert_eq!(
            names(&shop.reader.get(at), "version"),
            ["1.0.0", "1.10.0", "1.9.0", "1.10.0+b", "2.0.0-rc.1", "2.0.0", "0.1.0"]
        );
        shop.server.try_sql("UPDATE catalog_item_versions SET source = '{}'").expect_err("immutable");
        let first = shop.reader.get("/api/v1/catalog/nginx");
        let about = json!({ "name": "B", "icon": "https://cdn.io/x.svg" });
        shop.admin
            .with("if-match", "\"1\"")
            .put("/api/v1/catalog/nginx", &about)
            .refused("PRECONDITION_FAILED", &[]);
        let put = shop
            .admin
            .with("if-match", first.header("etag").unwrap())
            .put("/api/v1/catalog/nginx", &about)
            .ok(200);
        assert_eq!(
            (&put["name"], &put["icon"], &put["latestVersion"]),
            (&json!("B"), &json!("https://cdn.io/x.svg"), &json!("2.0.0"))
        );
    }
}

#[test]
fn an_item_that_apps_came_from_stays() {
    for on in [On::Sqlite, On::Postgres] {
        let shop = Shop::open(on);
        publish(&shop.admin, &item("nginx")).ok(201);
        let install = |name: &str| {
            shop.dev
                .post(&format!("{SHOP}/catalog/install"), &json!({ "slug": "nginx", "name": name }))
                .ok(202)
        };
        install("one");
        shop.admin.delete("/api/v1/catalog/nginx").refused("HAS_DEPENDENTS", &[]);
        install("two");
        let refused = shop.admin.delete("/api/v1/catalog/nginx?force=false");
        refused.refused("HAS_DEPENDENTS", &[]);
        assert!(refused.text.contains("2 apps"), "{}", refused.text);
        shop.admin.delete("/api/v1/catalog/nginx?force=true").ok(204);
        let left = shop.reader.get(&format!("{SHOP}/apps/one")).ok(200);
        assert_eq!((left.get("catalogRef"), &left["revision"]), (None, &json!(1)));
        publish(&shop.admin, &item("nginx")).ok(201);
        shop.admin.delete("/api/v1/catalog/nginx").ok(204);
        let actions = shop.server.ask(
            "SELECT action FROM audit_log WHERE chain = 'system' AND action LIKE 'catalog%' ORDER BY seq",
        );
        assert_eq!(
            actions.lines().collect::<Vec<_>>(),
            ["catalog.create", "catalog.delete", "catalog.create", "catalog.delete"]
        );
    }
}

#[test]
fn fields_at_their_bounds() {
    let shop = Shop::open(On::Postgres);
    let long = |n: usize| json!("a".repeat(n));
    let shape = "VALIDATION_ERROR";
    let cases: Vec<(&str, Value, &str, &[&str])> = vec![
        ("/slug", long(32), "", &[]),
        ("/slug", long(33), shape, &["/slug"]),
        ("/slug", json!("A"), shape, &["/slug"]),
        ("/slug", json!("0198c5f2-7a4e-7c31-b1f5-4a3a7c1d2e9f"), shape, &["/slug"]),
        ("/slug", Value::Null, shape, &["/slug"]),
        ("/name", json!("é".repeat(100)), "", &[]),
        ("/name", json!("é".repeat(101)), shape, &["/name"]),
        ("/name", json!("a\u{0}"), shape, &["/name", "/name"]),
        ("/name", json!("'; DROP TABLE catalog_items; --"), "", &[]),
        ("/scope", json!("project"), shape, &["/scope"]),
        ("/version", json!("1.0"), shape, &["/version", "/version"]),
        ("/version", json!("v1.0.0"), shape, &["/version"]),
        ("/version", json!("1.0.0-01"), shape, &["/version"]),
        ("/version", json!("1.0.0-rc.1+b-7"), "", &[]),
        ("/version", json!("9999999999.0.0"), shape, &["/version"]),
        ("/category", json!("Web"), shape, &["/category"]),
        ("/category", long(63), "", &[]),
        ("/category", long(64), shape, &["/category"]),
        ("/icon", json!("http://cdn.io/x"), shape, &["/icon"]),
        ("/icon", json!("javascript:alert(1)"), shape, &["/icon"]),
        ("/description", json!("é".repeat(4000)), "", &[]),
        ("/description", json!("é".repeat(4001)), shape, &["/description"]),
        ("/source", json!({}), "UNPROCESSABLE_ENTITY", &["/source"]),
        ("/source/unknown", json!({}), shape, &["/source/unknown"]),
        (
            "/source/containerImage/image",
            json!("evil.io/x"),
            "REGISTRY_NOT_ALLOWED",
            &["/source/containerImage/image"],
        ),
        ("/source/containerImage/image", json!("registry.example.com/anything"), "", &[]),
        (
            "/source",
            json!({ "helmHttp": { "repoUrl": "https://c.io", "chart": "x", "version": "1.0.0", "values": { "password": "hunter2" } } }),
            "UNPROCESSABLE_ENTITY",
            &["/source/helmHttp/values/password"],
        ),
        ("/tenantId", json!("acme"), "UNPROCESSABLE_ENTITY", &["/tenantId"]),
        ("/unknown", json!(1), shape, &["/unknown"]),
    ];
    for (number, (pointer, value, code, at)) in cases.into_iter().enumerate() {
        let answer = publish(&shop.admin, &with(item(&format!("item-{number}")), pointer, value));
        assert!(!answer.text.contains("hunter2"));
        if code.is_empty() { drop(answer.ok(201)) } else { answer.refused(code, at) }
    }
    let of = |image: &str| with(of_acme("own"), "/source/containerImage", json!({ "image": image }));
    publish(&shop.owner, &of("registry.example.com/anything"))
        .refused("REGISTRY_NOT_ALLOWED", &["/source/containerImage/image"]);
    publish(&shop.owner, &of(IMAGE)).ok(201);
    publish(&shop.owner, &of(IMAGE)).refused("CONFLICT", &[]);
}
