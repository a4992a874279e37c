//! Everything in a path belongs to what stands before it, or it is not there.

use portcullis_access::Role;
use serde_json::json;

use crate::api::harness::On;
use crate::api::shop::{IMAGE, SHOP, Shop, WEB, app};

#[test]
fn what_is_not_of_its_parent_is_not_there() {
    for on in [On::Sqlite, On::Postgres] {
        let shop = Shop::open(on);
        let own = shop.app("frontend", IMAGE);
        let image = "registry.example.com/tenants/globex/api:1";
        let other = shop.stranger.post(&format!("{WEB}/apps"), &app("api", image)).ok(201);
        let other = other["id"].as_str().unwrap();
        let own = own["id"].as_str().unwrap();
        let cases = [
            (format!("/api/v1/clusters/eu-2/tenants/acme/projects/shop/apps/{own}"), "TENANT_NOT_FOUND"),
            (format!("/api/v1/clusters/none/tenants/acme/projects/shop/apps/{own}"), "CLUSTER_NOT_FOUND"),
            (format!("/api/v1/clusters/eu-1/tenants/none/projects/shop/apps/{own}"), "TENANT_NOT_FOUND"),
            (
                format!("/api/v1/clusters/eu-1/tenants/globex/projects/{}/apps/{own}", shop.project),
                "PROJECT_NOT_FOUND",
            ),
            (format!("/api/v1/clusters/eu-1/tenants/acme/projects/web/apps/{other}"), "PROJECT_NOT_FOUND"),
            (format!("{SHOP}/apps/{other}"), "APP_NOT_FOUND"),
            (format!("{SHOP}/apps/api"), "APP_NOT_FOUND"),
            (format!("{WEB}/apps/{own}"), "APP_NOT_FOUND"),
            (format!("{SHOP}/apps/'%20OR%201=1--"), "APP_NOT_FOUND"),
        ];
        let spec = json!({ "spec": app("x", "nginx")["spec"] });
        for (path, code) in cases {
            shop.admin.get(&path).refused(code, &[]);
            shop.admin.get(&format!("{path}/revisions")).refused(code, &[]);
            shop.admin.get(&format!("{path}/diff/1/1")).refused(code, &[]);
            shop.admin.put(&path, &spec).refused(code, &[]);
            shop.admin.post(&format!("{path}:rollback"), &json!({ "toRevision": 1 })).refused(code, &[]);
            shop.admin.delete(&path).refused(code, &[]);
        }
        for path in [WEB.to_owned(), format!("/api/v1/clusters/eu-1/tenants/{}/projects/web", shop.globex.id)]
        {
            shop.owner.get(&format!("{path}/apps")).refused("TENANT_NOT_FOUND", &[]);
            shop.owner.post(&format!("{path}/apps"), &app("x", "nginx")).refused("TENANT_NOT_FOUND", &[]);
            shop.owner.delete(&format!("{path}/apps/api")).refused("TENANT_NOT_FOUND", &[]);
        }
        assert_eq!(shop.count("SELECT COUNT(*) FROM apps"), 2);
    }
}

#[test]
fn who_may() {
    let shop = Shop::open(On::Sqlite);
    shop.app("frontend", IMAGE);
    let at = format!("{SHOP}/apps/frontend");
    let gate = shop.server.somebody("gate", Role::Service, None);
    gate.get(&at).refused("TENANT_NOT_FOUND", &[]);
    shop.reader.post(&format!("{SHOP}/apps"), &app("x", IMAGE)).refused("FORBIDDEN", &[]);
    shop.reader.delete(&at).refused("FORBIDDEN", &[]);
    shop.reader.post(&format!("{at}:rollback"), &json!({ "toRevision": 1 })).refused("FORBIDDEN", &[]);
    let elsewhere = shop.server.limited("ed", &shop.acme, &["0198c5f2-7a4e-7c31-b1f5-4a3a7c1d2e9f"]);
    elsewhere.get(&at).refused("PROJECT_NOT_FOUND", &[]);
    elsewhere.get(&format!("{SHOP}/apps")).refused("PROJECT_NOT_FOUND", &[]);
    elsewhere.post(&format!("{SHOP}/apps"), &app("x", IMAGE)).refused("PROJECT_NOT_FOUND", &[]);
    shop.server.limited("eve", &shop.acme, &[&shop.project]).get(&at).ok(200);
}
