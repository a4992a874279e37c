//! Settings, for administrators.

use portcullis_access::Role;
use serde_json::{Value, json};

use super::harness::On;
use super::house::{CLUSTER, Case, House, bounds};

const BAD: &str = "VALIDATION_ERROR";
const MEANING: &str = "UNPROCESSABLE_ENTITY";

#[test]
fn a_setting_is_set_and_gates_hear_of_it() {
    for on in [On::Sqlite, On::Postgres] {
        let house = House::on(on);
        house.tenant("acme");
        let all = house.admin.get("/api/v1/settings").ok(200);
        let keys: Vec<&str> =
            all["items"].as_array().unwrap().iter().map(|s| s["key"].as_str().unwrap()).collect();
        assert_eq!(
            keys,
            [
                "prefix",
                "labelPrefix",
                "registries",
                "identities",
                "connect",
                "workloadWrites",
                "sandboxes",
                "nameReuse"
            ]
        );
        let shown = house.admin.get("/api/v1/settings/connect");
        assert_eq!((shown.header("etag"), &shown.ok(200)["updatedAt"]), (Some("\"0\""), &Value::Null));
        let value = json!({ "exec": false });
        let path = "/api/v1/settings/connect";
        house
            .admin
            .with("if-match", "\"1\"")
            .put(path, &json!({ "value": value }))
            .refused("PRECONDITION_FAILED", &[]);
        let set = house.admin.with("if-match", "\"0\"").put(path, &json!({ "value": value }));
        assert_eq!((set.header("etag"), &set.ok(200)["value"]), (Some("\"1\""), &value));
        assert_eq!(
            house.seen("/settings/connect"),
            json!({ "exec": false, "attach": true, "portforward": false, "proxy": false })
        );
        let (actor, before, after) = house.told("settings.update");
        assert_eq!((actor.as_str(), &before["exec"], after), ("ledger#root", &json!(true), value));
        let granted = json!({ "registries": ["ghcr.io/acme", "docker.io/library"] });
        house.admin.patch(&format!("{CLUSTER}/tenants/acme"), &granted).ok(200);
        house.ceiling(&["ghcr.io/acme/web"]);
        assert_eq!(house.seen("/settings/registries/ceiling"), json!(["ghcr.io/acme/web"]));
        assert_eq!(house.seen("/tenants/acme/registries"), json!(["ghcr.io/acme/web"]));
        let shown = house.admin.get(&format!("{CLUSTER}/tenants/acme")).ok(200);
        assert_eq!(
            (&shown["registries"], &shown["effectiveRegistries"]),
            (&granted["registries"], &json!(["ghcr.io/acme/web"]))
        );
    }
}

#[test]
fn every_value_has_its_bounds() {
    let house = House::build();
    house.tenant("acme");
    let put = |key: &'static str| {
        let admin = house.admin.clone();
        move |body: &Value| admin.put(&format!("/api/v1/settings/{key}"), body)
    };
    let nothing = json!({});
    let registries: Vec<Case<'_>> = vec![
        ("", json!({}), 400, BAD, &["/value"]),
        ("", json!({ "value": {}, "key": "x" }), 400, BAD, &["/key"]),
        ("/value", json!(7), 400, BAD, &["/value"]),
        ("/value", json!(null), 400, BAD, &["/value"]),
        ("/value", json!({ "ceilings": [] }), 400, BAD, &["/value/ceilings"]),
        ("/value", json!({ "ceiling": "ghcr.io" }), 400, BAD, &["/value/ceiling"]),
        (
            "/value",
            json!({ "ceiling": ["ghcr.io", "*", "nginx"] }),
            400,
            BAD,
            &["/value/ceiling/1", "/value/ceiling/2"],
        ),
        (
            "/value",
            json!({ "ceiling": ["ghcr.io"], "platform": ["quay.io"] }),
            422,
            MEANING,
            &["/value/platform/0"],
        ),
        ("/value", json!({ "ceiling": ["ghcr.io/\u{0}"] }), 400, BAD, &["/value/ceiling/0"]),
        ("/value", json!({ "ceiling": ["ghcr.io"], "platform": ["ghcr.io/istio"] }), 200, "", &[]),
    ];
    bounds(put("registries"), &nothing, &registries);
    let identity = |class: &str, group: &str| json!([{ "name": "x", "class": class, "group": group }]);
    let identities: Vec<Case<'_>> = vec![
        ("/value", identity("root", "g"), 400, BAD, &["/value/0/class"]),
        ("/value", json!([{ "class": "admin", "group": "g" }]), 400, BAD, &["/value/0/name"]),
        ("/value", json!([{ "name": "X y", "class": "admin", "group": "g" }]), 400, BAD, &["/value/0/name"]),
        ("/value", identity("admin", "system:authenticated"), 422, MEANING, &["/value/0/group"]),
        ("/value", identity("vela", "g"), 422, MEANING, &["/value/0"]),
        ("/value", identity("admin", "acme-devs"), 422, MEANING, &["/value"]),
        ("/value", identity("admin", "ops"), 200, "", &[]),
        ("/value", identity("admin", "globex-devs"), 200, "", &[]),
    ];
    bounds(put("identities"), &nothing, &identities);
    house.admin.post(&format!("{CLUSTER}/tenants"), &json!({ "name": "globex" })).refused("CONFLICT", &[]);
    let prefixes: Vec<Case<'_>> = vec![
        ("/value", json!("Tn"), 400, BAD, &["/value"]),
        ("/value", json!("kube"), 400, BAD, &["/value"]),
        ("/value", json!("a".repeat(11)), 400, BAD, &["/value"]),
        ("/value", json!("ten"), 200, "", &[]),
        ("/value", json!("tn"), 200, "", &[]),
    ];
    bounds(put("prefix"), &nothing, &prefixes);
    let labels: Vec<Case<'_>> = vec![
        ("/value", json!("a..b"), 400, BAD, &["/value"]),
        ("/value", json!("apps.kubernetes.io"), 422, MEANING, &["/value"]),
        ("/value", json!("example.com"), 200, "", &[]),
    ];
    bounds(put("labelPrefix"), &nothing, &labels);
    let writes: Vec<Case<'_>> = vec![
        ("/value", json!(["events", "Pods!"]), 400, BAD, &["/value/1"]),
        ("/value", json!("events"), 400, BAD, &["/value"]),
        ("/value", json!([]), 200, "", &[]),
    ];
    bounds(put("workloadWrites"), &nothing, &writes);
    house.admin.put("/api/v1/settings/nonsense", &json!({ "value": 1 })).refused("NOT_FOUND", &[]);
    house.admin.get("/api/v1/settings/nonsense").refused("NOT_FOUND", &[]);
    house.seen("");
}

#[test]
fn what_namespaces_are_built_on_may_change_before_there_are_any() {
    for on in [On::Sqlite, On::Postgres] {
        let house = House::on(on);
        house.tenant("acme");
        for (key, value) in [("prefix", "ten"), ("labelPrefix", "example.com")] {
            let put = house.admin.put(&format!("/api/v1/settings/{key}"), &json!({ "value": value }));
            assert_eq!(put.ok(200)["value"], value);
            assert_eq!(house.seen(&format!("/settings/{key}")), value);
        }
    }
}

#[test]
fn what_namespaces_are_built_on_stays() {
    for on in [On::Sqlite, On::Postgres] {
        built_on_stays(&House::on(on));
    }
}

fn built_on_stays(house: &House) {
    let acme = house.tenant("acme");
    let shop = house.project("acme", "shop");
    let cluster = house.admin.get(CLUSTER).ok(200)["id"].as_str().unwrap().to_owned();
    let (sandbox, space) = (portcullis_store::new_id(), portcullis_store::new_id());
    let tenant = &acme.id;
    house.server.sql(&format!(
        "INSERT INTO sandboxes (id, created_at, updated_at, tenant_id, project_id, cluster_id, ordinal) \
         VALUES ('{sandbox}', 0, 0, '{tenant}', '{shop}', '{cluster}', 1)"
    ));
    house.server.sql(&format!(
        "INSERT INTO namespaces (id, created_at, updated_at, tenant_id, project_id, cluster_id, name, kind, sandbox_id) \
         VALUES ('{space}', 0, 0, '{tenant}', '{shop}', '{cluster}', 'tn-acme-shop-sbx-001', 'sandbox', '{sandbox}')"
    ));
    for (key, other, same) in [("prefix", "ten", "tn"), ("labelPrefix", "example.com", "kubenova.io")] {
        let path = format!("/api/v1/settings/{key}");
        house.admin.put(&path, &json!({ "value": other })).refused("CONFLICT", &[]);
        house.admin.put(&path, &json!({ "value": same })).ok(200);
    }
    let at = format!("{CLUSTER}/tenants/acme");
    let summary = house.admin.get(&format!("{at}/summary")).ok(200);
    assert_eq!(
        (&summary["namespaces"], &summary["usages"]["sandboxes"]),
        (&json!(["tn-acme-shop-sbx-001"]), &json!(1))
    );
    house.admin.delete(&format!("{at}/projects/shop")).refused("HAS_DEPENDENTS", &[]);
    house.admin.delete(&format!("{at}?cascade=true")).ok(204);
    assert_eq!(house.seen("/namespaces"), json!({}));
    house.told("sandbox.delete");
}

#[test]
fn settings_are_the_administrators() {
    let house = House::build();
    let acme = house.tenant("acme");
    let value = json!({ "value": { "ceiling": ["evil.io"] } });
    for role in [Role::TenantOwner, Role::ProjectDev, Role::ReadOnly] {
        let caller = house.server.somebody("x", role, Some(&acme));
        caller.get("/api/v1/settings").refused("FORBIDDEN", &[]);
        caller.get("/api/v1/settings/registries").refused("FORBIDDEN", &[]);
        caller.put("/api/v1/settings/registries", &value).refused("FORBIDDEN", &[]);
    }
}
