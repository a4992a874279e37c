//! Members of a tenant.

use portcullis_access::Role;
use serde_json::{Value, json};

use super::harness::On;
use super::house::{CLUSTER, Case, House, bounds};

const BAD: &str = "VALIDATION_ERROR";
const MEANING: &str = "UNPROCESSABLE_ENTITY";

#[test]
fn members_come_change_and_go() {
    for on in [On::Sqlite, On::Postgres] {
        let house = House::on(on);
        let acme = house.tenant("acme");
        let owner = house.owner(&acme);
        let at = format!("{CLUSTER}/tenants/acme/members");
        let shop = house.project("acme", "shop");
        let made = owner.put(&format!("{at}/ada"), &json!({ "role": "projectDev", "projects": ["shop"] }));
        let body = made.ok(200);
        assert_eq!((&body["subject"], &body["projects"]), (&json!("ledger#ada"), &json!([shop])));
        assert_eq!(made.header("etag"), Some("\"1\""));
        let (actor, before, after) = house.told("member.put");
        assert_eq!(
            (actor.as_str(), &before, &after["role"]),
            ("ledger#owner", &Value::Null, &json!("projectDev"))
        );
        let bob = format!("{at}/https:%2F%2Fid.example.com%23bob");
        owner.put(&bob, &json!({ "role": "tenantOwner" })).ok(200);
        let tenant = owner.get(&format!("{CLUSTER}/tenants/acme")).ok(200);
        assert_eq!(tenant["owners"], json!(["https://id.example.com#bob"]));
        owner
            .with("if-match", "\"7\"")
            .put(&bob, &json!({ "role": "readOnly" }))
            .refused("PRECONDITION_FAILED", &[]);
        owner.with("if-match", "\"1\"").put(&bob, &json!({ "role": "readOnly" })).ok(200);
        let tenant = owner.get(&format!("{CLUSTER}/tenants/acme")).ok(200);
        assert_eq!(tenant["owners"], json!([]));
        let page = owner.get(&format!("{at}?limit=1")).ok(200);
        assert_eq!(page["items"][0]["subject"], "ledger#ada");
        let rest = owner.get(&format!("{at}?cursor={}", page["nextCursor"].as_str().unwrap())).ok(200);
        assert_eq!((&rest["items"][0]["role"], rest.get("nextCursor")), (&json!("readOnly"), None));
        owner.delete(&bob).ok(204);
        owner.delete(&bob).refused("NOT_FOUND", &[]);
        house.told("member.delete");
    }
}

#[test]
fn every_field_has_its_bounds() {
    let house = House::build();
    house.tenant("acme");
    house.tenant("globex");
    let shop = house.project("acme", "shop");
    let web = house.project("globex", "web");
    let send = |body: &Value| house.admin.put(&format!("{CLUSTER}/tenants/acme/members/ada"), body);
    let cases: Vec<Case<'_>> = vec![
        ("", json!({}), 400, BAD, &["/role"]),
        ("/x", json!(1), 400, BAD, &["/x"]),
        ("/subject", json!("i#bob"), 400, BAD, &["/subject"]),
        ("/role", json!("admin"), 400, BAD, &["/role"]),
        ("/role", json!("service"), 400, BAD, &["/role"]),
        ("/role", json!("TenantOwner"), 400, BAD, &["/role"]),
        ("/role", json!(["readOnly"]), 400, BAD, &["/role"]),
        ("/projects", json!([shop, "shop"]), 200, "", &[]),
        ("/projects", json!([]), 200, "", &[]),
        ("/projects", json!(null), 200, "", &[]),
        ("/projects", json!("shop"), 400, BAD, &["/projects"]),
        ("/projects", json!(["Shop", "a".repeat(37)]), 400, BAD, &["/projects/0", "/projects/1"]),
        (
            "/projects",
            json!(["none", web, "web", "shop"]),
            422,
            MEANING,
            &["/projects/0", "/projects/1", "/projects/2"],
        ),
        ("/projects", (0..101).map(|n| json!(format!("p{n}"))).collect(), 400, BAD, &["/projects"]),
        ("", json!({ "role": "tenantOwner", "projects": ["shop"] }), 422, MEANING, &["/projects"]),
    ];
    bounds(send, &json!({ "role": "readOnly" }), &cases);
    for (subject, status) in [
        ("%23x", 400),
        ("portcullis%23reaper", 400),
        ("a%20b", 400),
        ("a%00b", 400),
        ("a%E2%80%8Bb", 400),
        (&"a".repeat(256), 400),
        (&"a".repeat(255), 200),
        ("%27;%20DROP--", 400),
        ("';DROP--", 200),
    ] {
        let path = format!("{CLUSTER}/tenants/acme/members/{subject}");
        let answer = house.admin.put(&path, &json!({ "role": "readOnly" }));
        assert_eq!(answer.status, status, "{subject}: {}", answer.text);
    }
}

#[test]
fn nobody_below_an_owner_gives_roles() {
    let house = House::build();
    let acme = house.tenant("acme");
    let at = format!("{CLUSTER}/tenants/acme/members");
    house.admin.put(&format!("{at}/ada"), &json!({ "role": "readOnly" })).ok(200);
    for role in [Role::ProjectDev, Role::ReadOnly] {
        let caller = house.server.somebody("x", role, Some(&acme));
        caller.get(&at).ok(200);
        caller.put(&format!("{at}/x"), &json!({ "role": "tenantOwner" })).refused("FORBIDDEN", &[]);
        caller.delete(&format!("{at}/ada")).refused("FORBIDDEN", &[]);
    }
    let other = house.owner(&house.tenant("globex"));
    other.get(&at).refused("TENANT_NOT_FOUND", &[]);
    other.put(&format!("{at}/x"), &json!({ "role": "readOnly" })).refused("TENANT_NOT_FOUND", &[]);
}
