//! Every field of a tenant has its bounds, and every bound a case.

use serde_json::{Value, json};

use crate::api::house::{CLUSTER, Case, House, bounds};

const BAD: &str = "VALIDATION_ERROR";

fn long(count: usize) -> Value {
    json!("a".repeat(count))
}

fn many(count: usize, value: impl Fn(usize) -> Value) -> Value {
    (0..count).map(value).collect::<Vec<_>>().into()
}

fn map(count: usize, value: &Value) -> Value {
    Value::Object((0..count).map(|n| (format!("k{n}"), value.clone())).collect())
}

/// Texts that were SQL in a careless server.
const SQL: [&str; 4] =
    ["Robert'); DROP TABLE tenants;--", "' OR '1'='1", "\\'; SELECT pg_sleep(9) --", "%_$1 $2"];

fn names() -> Vec<Case<'static>> {
    let at: &[&str] = &["/name"];
    let mut cases: Vec<Case<'static>> = [
        "",
        "Acme",
        "1acme",
        "ac-me",
        "acmé",
        "acme ",
        " acme",
        "acme\n",
        "app",
        "sbx",
        "ac_me",
        "acme\u{0}",
        "018f2b7c-0000-7000-8000-000000000001",
        "018f2b7c000070008000000000000001",
        "../acme",
        "%61cme",
    ]
    .into_iter()
    .map(|name| ("/name", json!(name), 400, BAD, at))
    .collect();
    cases.extend([("/name", long(21), 400, BAD, at), ("/name", long(20), 201, "", &[])]);
    cases.extend(
        [json!(1), json!(null), json!(["acme"]), json!({})].map(|value| ("/name", value, 400, BAD, at)),
    );
    cases
}

#[test]
fn of_a_new_tenant() {
    let house = House::build();
    house.free_names();
    let path = format!("{CLUSTER}/tenants");
    let send = |body: &Value| {
        let answer = house.admin.post(&path, body);
        if answer.status == 201 {
            house.admin.delete(&format!("{path}/{}", answer.body()["id"].as_str().unwrap())).ok(204);
        }
        answer
    };
    let base = json!({ "name": "acme" });
    bounds(send, &base, &names());
    let mut cases: Vec<Case<'_>> = vec![
        ("", json!([]), 400, BAD, &[""]),
        ("", json!({}), 400, BAD, &["/name"]),
        ("/nmae", json!("x"), 400, BAD, &["/nmae"]),
        ("/id", json!("018f2b7c-0000-7000-8000-000000000001"), 400, BAD, &["/id"]),
        ("/status", json!("active"), 400, BAD, &["/status"]),
        ("/devGroup", json!("system:masters"), 400, BAD, &["/devGroup"]),
        ("/displayName", json!(""), 400, BAD, &["/displayName"]),
        ("/displayName", long(100), 201, "", &[]),
        ("/displayName", long(101), 400, BAD, &["/displayName"]),
        ("/displayName", json!("é".repeat(100)), 201, "", &[]),
        ("/displayName", json!("a\u{0}b"), 400, BAD, &["/displayName"]),
        ("/displayName", json!("a\u{202e}b"), 400, BAD, &["/displayName"]),
        ("/displayName", json!("a\u{7}b"), 400, BAD, &["/displayName"]),
        ("/displayName", json!(5), 400, BAD, &["/displayName"]),
        ("/owners", json!(["ada", "i#bob"]), 201, "", &[]),
        ("/owners", json!("ada"), 400, BAD, &["/owners"]),
        ("/owners", json!(["ada", ""]), 400, BAD, &["/owners/1"]),
        ("/owners", json!(["ada", "ada"]), 400, BAD, &["/owners"]),
        ("/owners", json!(["ada", "ledger#ada"]), 400, BAD, &["/owners/1"]),
        ("/owners", json!(["a b", "#x", "portcullis#reaper"]), 400, BAD, &["/owners/0"]),
        (
            "/owners",
            json!(["#x", "portcullis#reaper", "i#\u{200b}"]),
            400,
            BAD,
            &["/owners/0", "/owners/1", "/owners/2"],
        ),
        ("/owners", json!([long(256)]), 400, BAD, &["/owners/0"]),
        ("/owners", json!([long(255)]), 201, "", &[]),
        ("/owners", many(201, |n| json!(format!("p{n}"))), 400, BAD, &["/owners"]),
        ("/labels", json!({ "example.com/team": "a", "empty": "" }), 201, "", &[]),
        ("/labels", json!({ "bad key": "a" }), 400, BAD, &["/labels"]),
        ("/labels", json!({ "k": "bad value" }), 400, BAD, &["/labels/k"]),
        ("/labels", json!({ "k": null }), 400, BAD, &["/labels/k"]),
        ("/labels", json!({ "k": "a\u{0}" }), 400, BAD, &["/labels/k"]),
        ("/labels", json!({ "k": long(63) }), 201, "", &[]),
        ("/labels", json!({ "k": long(64) }), 400, BAD, &["/labels/k"]),
        ("/labels", map(64, &json!("v")), 201, "", &[]),
        ("/labels", map(65, &json!("v")), 400, BAD, &["/labels"]),
        ("/plan", json!("none"), 422, "UNPROCESSABLE_ENTITY", &["/plan"]),
        ("/plan", json!(""), 400, BAD, &["/plan"]),
        ("/plan", long(64), 400, BAD, &["/plan"]),
    ];
    cases.extend(SQL.map(|text| ("/displayName", json!(text), 201, "", &[] as &[&str])));
    bounds(send, &base, &cases);
}

#[test]
fn of_a_patch() {
    let house = House::build();
    house.tenant("acme");
    let send = |body: &Value| house.admin.patch(&format!("{CLUSTER}/tenants/acme"), body);
    let base = json!({});
    let cases: Vec<Case<'_>> = vec![
        ("", json!([]), 400, BAD, &[""]),
        ("", json!({}), 200, "", &[]),
        ("/name", json!("other"), 400, BAD, &["/name"]),
        ("/version", json!(1), 400, BAD, &["/version"]),
        ("/displayName", json!(""), 400, BAD, &["/displayName"]),
        ("/displayName", json!(null), 200, "", &[]),
        ("/displayName", long(101), 400, BAD, &["/displayName"]),
        ("/labels", json!({ "a": "1", "b": null }), 200, "", &[]),
        ("/labels", json!({ "bad key": null }), 400, BAD, &["/labels"]),
        ("/labels", json!({ "k": 1 }), 400, BAD, &["/labels/k"]),
        ("/labels", map(64, &json!("v")), 422, "UNPROCESSABLE_ENTITY", &["/labels"]),
        ("/labels", json!(null), 200, "", &[]),
        ("/labels", map(64, &json!("v")), 200, "", &[]),
    ];
    bounds(send, &base, &cases);
    for text in SQL {
        send(&json!({ "displayName": text })).ok(200);
        let shown = house.admin.get(&format!("{CLUSTER}/tenants/acme")).ok(200);
        assert_eq!(shown["displayName"], text, "text stays text");
    }
}

#[test]
fn of_quotas_and_limits() {
    let house = House::build();
    house.tenant("acme");
    for part in ["quotas", "limits"] {
        let send = |body: &Value| house.admin.put(&format!("{CLUSTER}/tenants/acme/{part}"), body);
        let cases: Vec<Case<'_>> = vec![
            ("", json!(["pods"]), 400, BAD, &[""]),
            ("/pods", json!("10"), 200, "", &[]),
            ("/pods", json!(10), 400, BAD, &["/pods"]),
            ("/pods", json!(null), 400, BAD, &["/pods"]),
            ("/cpu", json!("500m"), 200, "", &[]),
            ("/memory", json!("1.5Gi"), 200, "", &[]),
            ("/memory", json!("1.5GB"), 400, BAD, &["/memory"]),
            ("/memory", json!("-1"), 400, BAD, &["/memory"]),
            ("/memory", json!(""), 400, BAD, &["/memory"]),
            ("/memory", json!("1 Gi"), 400, BAD, &["/memory"]),
            ("/memory", json!("10e3"), 200, "", &[]),
            ("/memory", json!("9".repeat(33)), 400, BAD, &["/memory"]),
            ("/requests.nvidia.com~1gpu", json!("1"), 200, "", &[]),
            ("/Bad Name", json!("1"), 400, BAD, &[""]),
            ("", map(64, &json!("1")), 200, "", &[]),
            ("", map(65, &json!("1")), 400, BAD, &[""]),
        ];
        bounds(send, &json!({}), &cases);
    }
}

#[test]
fn of_network_policies_and_plans() {
    let house = House::build();
    house.tenant("acme");
    let send = |body: &Value| house.admin.put(&format!("{CLUSTER}/tenants/acme/network-policies"), body);
    let policy = |name: &str| json!({ "name": name, "spec": {} });
    let cases: Vec<Case<'_>> = vec![
        ("", json!({}), 400, BAD, &["/items"]),
        ("/items", json!([policy("a"), policy("b")]), 200, "", &[]),
        ("/items", json!([policy("a"), policy("a")]), 400, BAD, &["/items/1/name"]),
        ("/items", json!([policy("A b")]), 400, BAD, &["/items/0/name"]),
        ("/items", json!([{ "name": "a", "spec": [] }]), 400, BAD, &["/items/0/spec"]),
        ("/items", json!([{ "name": "a" }]), 400, BAD, &["/items/0/spec"]),
        ("/items", json!([{ "name": "a", "spec": {}, "x": 1 }]), 400, BAD, &["/items/0/x"]),
        ("/items", json!([{ "name": "a", "spec": { "k": "\u{0}" } }]), 400, BAD, &["/items/0/spec/k"]),
        ("/items", many(21, |n| policy(&format!("p{n}"))), 400, BAD, &["/items"]),
    ];
    bounds(send, &json!({}), &cases);
    let send = |body: &Value| house.admin.put("/api/v1/tenants/acme/plan", body);
    let cases: Vec<Case<'_>> = vec![
        ("", json!({}), 400, BAD, &["/name"]),
        ("/name", json!(1), 400, BAD, &["/name"]),
        ("/name", json!("none"), 422, "UNPROCESSABLE_ENTITY", &["/name"]),
        ("/name", json!("' OR 1=1"), 422, "UNPROCESSABLE_ENTITY", &["/name"]),
    ];
    bounds(send, &json!({}), &cases);
    house.admin.put("/api/v1/tenants/none/plan", &json!({ "name": "gold" })).refused("TENANT_NOT_FOUND", &[]);
}
