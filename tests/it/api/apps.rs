//! Apps: what is taken, what is refused and where, revisions, one namespace.

#[cfg(test)]
mod bounds;
#[cfg(test)]
mod images;
#[cfg(test)]
mod neighbours;
#[cfg(test)]
mod parents;

use serde_json::{Value, json};

use super::harness::On;
use super::shop::{IMAGE, SHOP, Shop, app, names};

#[test]
fn an_app_from_its_first_revision_to_its_end() {
    for on in [On::Sqlite, On::Postgres] {
        let shop = Shop::open(on);
        let at = format!("{SHOP}/apps/frontend");
        let made = shop.dev.post(&format!("{SHOP}/apps"), &app("frontend", IMAGE));
        let body = made.ok(201);
        assert_eq!(body["namespace"], "tn-acme-shop-app-frontend");
        assert_eq!(
            (&body["revision"], &body["sourceKind"], &body["state"]),
            (&json!(1), &json!("containerImage"), &json!("committed"))
        );
        assert_eq!(shop.reader.get(made.header("location").unwrap()).ok(200), body);
        assert_eq!(shop.reader.get(&format!("{SHOP}/apps/{}", body["id"].as_str().unwrap())).ok(200), body);
        assert_eq!(names(&shop.reader.get(&format!("{SHOP}/apps")), "name"), ["frontend"]);

        let next = json!({ "description": "second", "spec": { "source": { "gitRepo": { "url": "https://git.example.com/x.git", "revision": "main" } } } });
        let stale = shop.dev.with("if-match", "\"7\"").put(&at, &next);
        stale.refused("PRECONDITION_FAILED", &[]);
        let changed = shop.dev.with("if-match", made.header("etag").unwrap()).put(&at, &next);
        let second = changed.ok(200);
        assert_eq!((&second["id"], &second["namespace"]), (&body["id"], &body["namespace"]));
        assert_eq!((&second["revision"], &second["sourceKind"]), (&json!(2), &json!("gitRepo")));
        let again = shop.dev.put(&at, &next);
        assert_eq!(
            (again.ok(200), again.header("etag")),
            (second, changed.header("etag")),
            "the same is no revision"
        );

        let back = shop.dev.post(&format!("{at}:rollback"), &json!({ "toRevision": 1 })).ok(200);
        assert_eq!((&back["revision"], &back["spec"]), (&json!(3), &body["spec"]));
        let listed = shop.reader.get(&format!("{SHOP}/apps")).ok(200)["items"][0].clone();
        assert_eq!((listed.get("spec"), &listed["id"]), (None, &back["id"]), "long, so only where asked for");
        let full = shop.reader.get(&format!("{SHOP}/apps?view=full")).ok(200)["items"][0].clone();
        assert_eq!(full, back);
        let revisions = shop.reader.get(&format!("{at}/revisions")).ok(200);
        assert_eq!(revisions["items"][0].get("spec"), None);
        let full = shop.reader.get(&format!("{at}/revisions?view=full")).ok(200);
        assert_eq!(full["items"][0]["spec"], body["spec"]);
        shop.reader.get(&format!("{SHOP}/apps?view=all")).refused("VALIDATION_ERROR", &["?view"]);
        let numbers: Vec<&Value> =
            revisions["items"].as_array().unwrap().iter().map(|r| &r["revision"]).collect();
        assert_eq!(numbers, [1, 2, 3]);
        assert!(revisions["items"][0]["actor"].as_str().unwrap().ends_with("#dev"));

        shop.dev.delete(&at).ok(204);
        shop.dev.get(&at).refused("APP_NOT_FOUND", &[]);
        assert_eq!(shop.count("SELECT COUNT(*) FROM namespaces WHERE kind = 'app'"), 0);
        assert_eq!(shop.audited()[2..], ["app.create", "app.update", "app.rollback", "app.delete"]);
        shop.free_names();
        shop.app("frontend", IMAGE);
    }
}

#[test]
fn what_gates_hear_of_an_app() {
    let shop = Shop::open(On::Sqlite);
    let made = shop.app("frontend", IMAGE);
    let newest = || -> Value {
        let patch = shop.server.ask("SELECT patch FROM changes ORDER BY revision DESC LIMIT 1");
        serde_json::from_str(&patch).unwrap()
    };
    let patch = newest();
    assert_eq!(patch["apps"]["acme/shop/frontend"]["id"], made["id"]);
    assert_eq!(patch["namespaces"]["tn-acme-shop-app-frontend"]["app"], "frontend");
    let before = shop.count("SELECT revision FROM ledger");
    let other = json!({ "spec": { "source": { "containerImage": { "image": IMAGE, "tag": "2" } } } });
    shop.owner
        .put(&format!("{SHOP}/apps/frontend"), &other)
        .refused("REGISTRY_NOT_ALLOWED", &["/spec/source/containerImage/image"]);
    let other = json!({ "spec": { "source": { "containerImage": { "image": "nginx", "tag": "2" } } } });
    shop.owner.put(&format!("{SHOP}/apps/frontend"), &other).ok(200);
    assert_eq!(shop.count("SELECT revision FROM ledger"), before, "another image is nothing to a gate");
    shop.owner.delete(&format!("{SHOP}/apps/frontend")).ok(204);
    assert_eq!(newest()["namespaces"]["tn-acme-shop-app-frontend"], Value::Null);
}

#[test]
fn exactly_one_namespace_is_a_constraint() {
    for on in [On::Sqlite, On::Postgres] {
        let shop = Shop::open(on);
        let made = shop.app("frontend", IMAGE);
        let (id, tenant) = (made["id"].as_str().unwrap(), &shop.acme.id);
        let insert = |row: &str, app: &str, name: &str| {
            shop.server.try_sql(&format!(
                "INSERT INTO namespaces (id, created_at, updated_at, tenant_id, project_id, cluster_id, name, kind, app_id) \
                 SELECT '{row}', 1, 1, tenant_id, project_id, cluster_id, '{name}', 'app', '{app}' FROM namespaces WHERE app_id = '{id}'"
            ))
        };
        insert("a", id, "tn-acme-shop-app-other").expect_err("a second namespace");
        insert("b", "nobody", "tn-acme-shop-app-none").expect_err("a namespace of no app");
        let delete = format!("DELETE FROM namespaces WHERE app_id = '{id}' AND tenant_id = '{tenant}'");
        shop.server.try_sql(&delete).expect_err("an app without a namespace");
        assert_eq!(shop.count("SELECT COUNT(*) FROM namespaces WHERE kind = 'app'"), 1);
        shop.server.try_sql("UPDATE app_revisions SET revision = 2").expect_err("the past");
    }
}

#[test]
fn differences_say_what_was_there() {
    let shop = Shop::open(On::Sqlite);
    shop.app("frontend", IMAGE);
    let at = format!("{SHOP}/apps/frontend");
    let next = json!({ "spec": { "source": { "containerImage": { "image": "nginx", "ports": [80] } } }, "traits": [{ "type": "scaler" }] });
    shop.owner.put(&at, &next).ok(200);
    let diff = shop.reader.get(&format!("{at}/diff/1/2")).ok(200);
    assert_eq!((&diff["from"], &diff["to"]), (&json!(1), &json!(2)));
    let image = json!({ "op": "replace", "path": "/spec/source/containerImage/image", "before": IMAGE, "after": "nginx" });
    let ports = json!({ "op": "add", "path": "/spec/source/containerImage/ports", "after": [80] });
    let traits = json!({ "op": "add", "path": "/traits", "after": [{ "type": "scaler" }] });
    let changes = diff["changes"].as_array().unwrap();
    assert_eq!(changes.len(), 3, "{diff}");
    for change in [image, ports, traits] {
        assert!(changes.contains(&change), "{change} in {diff}");
    }
    assert_eq!(shop.reader.get(&format!("{at}/diff/2/2")).ok(200)["changes"], json!([]));
    for wrong in ["3", "0", "-1", "01", "x", "99999999999999999999"] {
        shop.reader.get(&format!("{at}/diff/1/{wrong}")).refused("APP_NOT_FOUND", &[]);
    }
}

#[test]
fn going_back_is_judged_by_the_law_of_today() {
    let shop = Shop::open(On::Sqlite);
    shop.app("frontend", IMAGE);
    let at = format!("{SHOP}/apps/frontend");
    shop.owner.put(&at, &json!({ "spec": { "source": { "containerImage": { "image": "nginx" } } } })).ok(200);
    let back = json!({ "toRevision": 1 });
    shop.admin
        .patch("/api/v1/clusters/eu-1/tenants/acme", &json!({ "registries": ["docker.io/library"] }))
        .ok(200);
    let refused = shop.owner.post(&format!("{at}:rollback"), &back);
    refused.refused("REGISTRY_NOT_ALLOWED", &["/toRevision"]);
    assert!(refused.text.contains("/spec/source/containerImage/image"), "{}", refused.text);
    assert_eq!(shop.count("SELECT current_revision FROM apps"), 2);
    for (number, code) in
        [(3, "UNPROCESSABLE_ENTITY"), (0, "VALIDATION_ERROR"), (2_147_483_648_i64, "VALIDATION_ERROR")]
    {
        shop.owner
            .post(&format!("{at}:rollback"), &json!({ "toRevision": number }))
            .refused(code, &["/toRevision"]);
    }
    let here = shop.owner.post(&format!("{at}:rollback"), &json!({ "toRevision": 2 })).ok(200);
    assert_eq!(here["revision"], 2, "already there");
}

#[test]
fn a_repeated_key_makes_one_app() {
    let shop = Shop::open(On::Sqlite);
    let once = shop.dev.with("idempotency-key", "k1");
    let first = once.post(&format!("{SHOP}/apps"), &app("frontend", IMAGE));
    let second = once.post(&format!("{SHOP}/apps"), &app("frontend", IMAGE));
    assert_eq!(first.ok(201), second.ok(201));
    shop.dev.post(&format!("{SHOP}/apps"), &app("frontend", IMAGE)).refused("CONFLICT", &[]);
    assert_eq!(shop.count("SELECT COUNT(*) FROM apps"), 1);
}

#[test]
fn a_tenant_has_as_many_apps_as_its_quota_says() {
    for on in [On::Sqlite, On::Postgres] {
        let shop = Shop::open(on);
        shop.server.sql("UPDATE plans SET quotas = '{\"apps\":\"1\"}' WHERE name = 'baseline'");
        shop.app("one", IMAGE);
        let second = || shop.owner.post(&format!("{SHOP}/apps"), &app("two", IMAGE));
        second().refused("QUOTA_EXCEEDED", &[]);
        let quotas = "/api/v1/clusters/eu-1/tenants/acme/quotas";
        shop.admin.put(quotas, &json!({ "apps": "2" })).ok(200);
        second().ok(201);
        shop.owner.post(&format!("{SHOP}/apps"), &app("three", IMAGE)).refused("QUOTA_EXCEEDED", &[]);
    }
}

#[test]
fn a_suspended_tenant_deletes_and_does_nothing_else() {
    let shop = Shop::open(On::Sqlite);
    shop.app("one", IMAGE);
    let at = format!("{SHOP}/apps/one");
    assert_eq!(shop.admin.post("/api/v1/clusters/eu-1/tenants/acme:suspend", &json!({})).status, 200);
    shop.owner.post(&format!("{SHOP}/apps"), &app("two", IMAGE)).refused("TENANT_SUSPENDED", &[]);
    shop.owner.put(&at, &json!({ "spec": app("one", "nginx")["spec"] })).refused("TENANT_SUSPENDED", &[]);
    shop.owner.post(&format!("{at}:rollback"), &json!({ "toRevision": 1 })).refused("TENANT_SUSPENDED", &[]);
    shop.owner.get(&at).ok(200);
    shop.owner.delete(&at).ok(204);
}

#[test]
fn what_belongs_to_no_namespace_is_no_part_of_an_app() {
    let shop = Shop::open(On::Sqlite);
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": { "name": "x" },
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin" },
        "subjects": [{ "kind": "User", "name": "eve" }],
    });
    let of = |manifest: &Value| json!({ "name": "evil", "spec": { "source": { "kubeManifest": { "manifest": manifest } } } });
    let at = format!("{SHOP}/apps");
    shop.owner
        .post(&at, &of(&binding))
        .refused("UNPROCESSABLE_ENTITY", &["/spec/source/kubeManifest/manifest"]);
    let list = json!({ "apiVersion": "v1", "kind": "List", "items": [binding] });
    shop.owner
        .post(&at, &of(&list))
        .refused("UNPROCESSABLE_ENTITY", &["/spec/source/kubeManifest/manifest/items/0"]);
    let mut own = binding.clone();
    own["kind"] = "RoleBinding".into();
    shop.owner.post(&at, &of(&own)).ok(201);
    let mut with = app("more", IMAGE);
    with["components"] =
        json!([{ "name": "x", "type": "k8s-objects", "properties": { "objects": [binding] } }]);
    shop.owner.post(&at, &with).refused("UNPROCESSABLE_ENTITY", &["/components/0/properties/objects/0"]);
}
