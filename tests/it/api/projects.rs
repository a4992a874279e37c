//! Projects of a tenant.

use std::sync::Barrier;

use portcullis_access::{Role, TenantRef};
use serde_json::{Value, json};

use super::harness::On;
use super::house::{CLUSTER, Case, House, bounds};

const BAD: &str = "VALIDATION_ERROR";

#[test]
fn a_projects_life() {
    for on in [On::Sqlite, On::Postgres] {
        let house = House::on(on);
        let acme = house.tenant("acme");
        let owner = house.owner(&acme);
        let at = format!("{CLUSTER}/tenants/acme/projects");
        let made = owner.post(&at, &json!({ "name": "shop", "displayName": "Shop", "labels": { "a": "1" } }));
        let body = made.ok(201);
        let id = body["id"].as_str().unwrap();
        let location = made.header("location").unwrap().to_owned();
        assert!(location.ends_with(&format!("/tenants/{}/projects/{id}", acme.id)), "{location}");
        assert_eq!((made.header("etag"), &body["tenantId"]), (Some("\"1\""), &json!(acme.id)));
        assert_eq!(house.seen("/projects/acme~1shop/id"), json!(id));
        assert_eq!(house.seen("/namespaces"), json!({}), "no namespace is made");
        for path in [location.clone(), format!("{at}/shop")] {
            assert_eq!(owner.get(&path).ok(200), body);
        }
        owner.with("if-match", "\"2\"").patch(&location, &json!({})).refused("PRECONDITION_FAILED", &[]);
        let patch = json!({ "displayName": null, "labels": { "b": "2" } });
        let patched = owner.with("if-match", "\"1\"").patch(&location, &patch).ok(200);
        assert_eq!(
            (&patched["displayName"], &patched["labels"]),
            (&json!(""), &json!({ "a": "1", "b": "2" }))
        );
        let (actor, before, after) = house.told("project.update");
        assert_eq!(
            (actor.as_str(), &before["version"], &after["version"]),
            ("ledger#owner", &json!(1), &json!(2))
        );
        owner.with("if-match", "\"1\"").delete(&location).refused("PRECONDITION_FAILED", &[]);
        owner.delete(&location).ok(204);
        owner.get(&location).refused("PROJECT_NOT_FOUND", &[]);
        assert_eq!(house.seen("/projects"), json!({}));
        house.told("project.create");
        house.told("project.delete");
        house.free_names();
        house.project("acme", "shop");
    }
}

#[test]
fn every_field_has_its_bounds() {
    let house = House::build();
    house.tenant("acme");
    let path = format!("{CLUSTER}/tenants/acme/projects");
    let send = |body: &Value| {
        let answer = house.admin.post(&path, body);
        if answer.status == 201 {
            house.admin.delete(&format!("{path}/{}", answer.body()["id"].as_str().unwrap())).ok(204);
        }
        answer
    };
    let mut cases: Vec<Case<'_>> = vec![
        ("", json!({}), 400, BAD, &["/name"]),
        ("/spec", json!({}), 400, BAD, &["/spec"]),
        ("/name", json!("a".repeat(20)), 201, "", &[]),
        ("/name", json!("a".repeat(21)), 400, BAD, &["/name"]),
        ("/name", json!(1), 400, BAD, &["/name"]),
        ("/displayName", json!("a".repeat(101)), 400, BAD, &["/displayName"]),
        ("/displayName", json!("a\u{0}"), 400, BAD, &["/displayName"]),
        ("/displayName", json!("x'); DELETE FROM projects;--"), 201, "", &[]),
        ("/labels", json!({ "k": "v w" }), 400, BAD, &["/labels/k"]),
    ];
    let bad = [
        "",
        "-a",
        "a-",
        "A",
        "a_b",
        "a.b",
        "app",
        "sbx",
        "my-app",
        "app-x",
        "a-sbx-b",
        "é",
        "a\u{0}",
        "a ",
        "018f2b7c-0000-7000-8000-000000000001",
    ];
    cases.extend(bad.map(|name| ("/name", json!(name), 400, BAD, &["/name"] as &[&str])));
    let good = ["a", "1", "a--b", "apps", "app1-x", "my-sbx2"];
    cases.extend(good.map(|name| ("/name", json!(name), 201, "", &[] as &[&str])));
    bounds(send, &json!({ "name": "shop" }), &cases);
}

#[test]
fn a_project_is_its_tenants_and_no_others() {
    for on in [On::Sqlite, On::Postgres] {
        let house = House::on(on);
        let acme = house.tenant("acme");
        house.tenant("globex");
        house.project("acme", "shop");
        let web = house.project("globex", "web");
        let owner = house.owner(&acme);
        for caller in [&house.admin, &owner] {
            for project in [web.as_str(), "web", "none", "WEB"] {
                let path = format!("{CLUSTER}/tenants/acme/projects/{project}");
                caller.get(&path).refused("PROJECT_NOT_FOUND", &[]);
                caller.patch(&path, &json!({})).refused("PROJECT_NOT_FOUND", &[]);
                caller
                    .put(&format!("{path}/access"), &json!({ "members": [] }))
                    .refused("PROJECT_NOT_FOUND", &[]);
                caller.delete(&path).refused("PROJECT_NOT_FOUND", &[]);
            }
        }
        owner.get(&format!("{CLUSTER}/tenants/globex/projects/web")).refused("TENANT_NOT_FOUND", &[]);
        house.admin.get("/api/v1/clusters/us-1/tenants/acme/projects/shop").refused("TENANT_NOT_FOUND", &[]);
        house.admin.get(&format!("{CLUSTER}/tenants/globex/projects/web")).ok(200);
    }
}

#[test]
fn of_many_who_want_one_name_one_gets_it_and_tenants_do_not_meet() {
    let house = House::on(On::Postgres);
    house.tenant("acme");
    house.tenant("globex");
    let start = Barrier::new(10);
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let calls: Vec<_> = (0..10)
            .map(|n| {
                let tenant = if n % 2 == 0 { "acme" } else { "globex" };
                let (house, start) = (&house, &start);
                scope.spawn(move || {
                    start.wait();
                    house
                        .admin
                        .post(&format!("{CLUSTER}/tenants/{tenant}/projects"), &json!({ "name": "shop" }))
                        .status
                })
            })
            .collect();
        calls.into_iter().map(|call| call.join().unwrap()).collect()
    });
    assert_eq!(statuses.iter().filter(|status| **status == 201).count(), 2, "{statuses:?}");
    assert_eq!(statuses.iter().filter(|status| **status == 409).count(), 8, "{statuses:?}");
}

#[test]
fn access_is_a_list_that_is_replaced() {
    for on in [On::Sqlite, On::Postgres] {
        let house = House::on(on);
        let acme = house.tenant("acme");
        let owner = house.owner(&acme);
        house.project("acme", "shop");
        let path = format!("{CLUSTER}/tenants/acme/projects/shop/access");
        let members = format!("{CLUSTER}/tenants/acme/members");
        let line = |subject: &str, role: &str| json!({ "subject": subject, "role": role });
        let both = json!({ "members": [line("ada", "projectDev"), line("i#bob", "readOnly")] });
        let answer = owner.put(&path, &both);
        assert_eq!(answer.ok(200)["members"][0], line("ledger#ada", "projectDev"));
        assert_eq!(answer.header("etag"), Some("\"2\""));
        owner.with("if-match", "\"1\"").put(&path, &both).refused("PRECONDITION_FAILED", &[]);
        assert_eq!(owner.get(&members).ok(200)["items"].as_array().unwrap().len(), 2);
        owner.put(&path, &json!({ "members": [line("ada", "projectDev")] })).ok(200);
        let left = owner.get(&members).ok(200);
        assert_eq!(
            (left["items"].as_array().unwrap().len(), &left["items"][0]["subject"]),
            (1, &json!("ledger#ada"))
        );
        let (_, before, after) = house.told("project.update.access");
        assert_eq!(
            (before["members"].as_array().unwrap().len(), after["members"].as_array().unwrap().len()),
            (2, 1)
        );

        owner.put(&format!("{members}/root"), &json!({ "role": "tenantOwner" })).ok(200);
        let send = |body: &Value| owner.put(&path, body);
        let cases: Vec<Case<'_>> = vec![
            ("", json!({}), 400, BAD, &["/members"]),
            ("/members", json!([line("ada", "tenantOwner")]), 400, BAD, &["/members/0/role"]),
            ("/members", json!([line("ada", "admin")]), 400, BAD, &["/members/0/role"]),
            ("/members", json!([{ "subject": "ada" }]), 400, BAD, &["/members/0/role"]),
            (
                "/members",
                json!([line("ada", "readOnly"), line("ledger#ada", "readOnly")]),
                400,
                BAD,
                &["/members/1/subject"],
            ),
            ("/members", json!([line("#x", "readOnly")]), 400, BAD, &["/members/0/subject"]),
            ("/members", json!([line("root", "readOnly")]), 422, "UNPROCESSABLE_ENTITY", &["/members/0"]),
            (
                "/members",
                (0..201).map(|n| line(&format!("p{n}"), "readOnly")).collect(),
                400,
                BAD,
                &["/members"],
            ),
        ];
        bounds(send, &json!({}), &cases);
    }
}

#[test]
fn whoever_is_limited_to_projects_sees_those() {
    for on in [On::Sqlite, On::Postgres] {
        let house = House::on(on);
        let acme: TenantRef = house.tenant("acme");
        let shop = house.project("acme", "shop");
        house.project("acme", "web");
        let at = format!("{CLUSTER}/tenants/acme/projects");
        for role in [Role::ProjectDev, Role::ReadOnly] {
            let dev = house.limited("dev", role, &acme, &[&shop]);
            let listed = dev.get(&at).ok(200);
            assert_eq!(
                (listed["items"].as_array().unwrap().len(), &listed["items"][0]["name"]),
                (1, &json!("shop"))
            );
            dev.get(&format!("{at}/shop")).ok(200);
            dev.get(&format!("{at}/web")).refused("PROJECT_NOT_FOUND", &[]);
            dev.patch(&format!("{at}/shop"), &json!({})).refused("FORBIDDEN", &[]);
            let summary = dev.get(&format!("{CLUSTER}/tenants/acme/summary")).ok(200);
            assert_eq!(summary["usages"]["projects"], 1);
            house
                .limited("dev", role, &acme, &[])
                .get(&format!("{at}/shop"))
                .refused("PROJECT_NOT_FOUND", &[]);
        }
    }
}
