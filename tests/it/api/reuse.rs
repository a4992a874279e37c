//! A name of what was deleted comes back after a time, and the refusal says when.

use serde_json::{Value, json};

use super::harness::{Caller, On};
use super::shop::{IMAGE, SHOP, Shop, app};

const TENANTS: &str = "/api/v1/clusters/eu-1/tenants";

#[track_caller]
fn is_not_free(caller: &Caller, path: &str, body: &Value, what: &str) {
    let answer = caller.post(path, body);
    answer.refused("CONFLICT", &[]);
    let detail = answer.body()["detail"].as_str().unwrap().to_owned();
    let (before, after) = detail
        .split_once(" was deleted recently; its name can be used again at ")
        .unwrap_or_else(|| panic!("{detail}"));
    assert_eq!(before, what);
    let (at, setting) = after.split_once(" (").unwrap();
    let left = at.parse::<jiff::Timestamp>().unwrap().as_second() - jiff::Timestamp::now().as_second();
    assert!((23 * 3600..=24 * 3600).contains(&left), "{detail}");
    assert_eq!(setting, "setting `nameReuse`: 24 hours)");
}

/// A day passes.
fn later(shop: &Shop) {
    shop.server.sql("UPDATE released_keys SET released_at = released_at - 86400000");
}

#[test]
fn name_of_what_was_deleted_is_free_after_a_day() {
    for on in [On::Sqlite, On::Postgres] {
        let shop = Shop::open(on);
        let (apps, sandboxes) = (format!("{SHOP}/apps"), format!("{SHOP}/sandboxes"));
        let web = app("web", IMAGE);
        let sandbox = || shop.owner.post(&sandboxes, &json!({})).ok(201)["name"].as_str().unwrap().to_owned();
        shop.owner.post(&apps, &web).ok(201);
        shop.owner.delete(&format!("{apps}/web")).ok(204);
        is_not_free(&shop.owner, &apps, &web, "the app `acme/shop/web`");
        assert_eq!([sandbox(), sandbox()], ["sbx-001", "sbx-002"]);
        shop.owner.delete(&format!("{sandboxes}/sbx-001")).ok(204);
        assert_eq!(sandbox(), "sbx-003", "{on:?}");
        later(&shop);
        shop.owner.post(&apps, &web).ok(201);
        assert_eq!(sandbox(), "sbx-001", "{on:?}");

        shop.owner.delete(&format!("{apps}/web")).ok(204);
        for number in 1..=3 {
            shop.owner.delete(&format!("{sandboxes}/sbx-00{number}")).ok(204);
        }
        shop.owner.delete(SHOP).ok(204);
        let projects = format!("{TENANTS}/acme/projects");
        let project = json!({ "name": "shop" });
        is_not_free(&shop.owner, &projects, &project, "the project `acme/shop`");
        later(&shop);
        shop.owner.post(&projects, &project).ok(201);
        assert_eq!(sandbox(), "sbx-001", "{on:?}");
        shop.admin.delete(&format!("{TENANTS}/acme?cascade=true")).ok(204);
        let acme = json!({ "name": "acme" });
        is_not_free(&shop.admin, TENANTS, &acme, "the tenant `acme`");
        is_not_free(&shop.admin, "/api/v1/clusters/eu-2/tenants", &acme, "the tenant `acme`");

        // The setting decides, and at once.
        let setting = "/api/v1/settings/nameReuse";
        assert_eq!(shop.admin.get(setting).ok(200)["value"], json!({ "hours": 24 }));
        for wrong in
            [json!({}), json!({ "hours": -1 }), json!({ "hours": 8785 }), json!({ "hours": 1.5 }), json!(24)]
        {
            assert_eq!(shop.admin.put(setting, &json!({ "value": wrong })).status, 400, "{wrong}");
        }
        shop.admin.put(setting, &json!({ "value": { "hours": 0 } })).ok(200);
        shop.admin.post("/api/v1/clusters/eu-2/tenants", &acme).ok(201);
    }
}

/// A sandbox whose namespace was there until now is deleted now, whenever that was asked for.
#[test]
fn number_of_a_sandbox_is_taken_while_its_namespace_is_there_and_for_a_day_after() {
    for on in [On::Sqlite, On::Postgres] {
        let shop = Shop::open(on);
        let sandboxes = format!("{SHOP}/sandboxes");
        let sandbox = || shop.owner.post(&sandboxes, &json!({})).ok(201)["name"].as_str().unwrap().to_owned();
        assert_eq!(sandbox(), "sbx-001");
        shop.server.sql("UPDATE namespaces SET observed_uid = 'u'");
        shop.owner.delete(&format!("{sandboxes}/sbx-001")).ok(204);
        assert_eq!(sandbox(), "sbx-002");
        later(&shop);
        assert_eq!(sandbox(), "sbx-003");
        shop.server.sql("UPDATE namespaces SET observed_uid = NULL");
        assert_eq!([sandbox(), sandbox()], ["sbx-004", "sbx-005"], "{on:?}: just seen to be gone");
        later(&shop);
        assert_eq!(sandbox(), "sbx-001", "{on:?}");
    }
}
