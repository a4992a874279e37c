//! What the API accepts, readers of the snapshot accept: a commit that gates could not read is refused.

use portcullis_access::{Action, Identity, authorize};
use portcullis_tenancy::Snapshot;
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use serde_json::{Value, json};

use super::harness::On;
use super::shop::{SHOP, Shop};

const SETS: &str = "/api/v1/clusters/eu-1/tenants/acme/policysets";

fn set(name: &str, attached: &Value) -> Value {
    json!({ "name": name, "rules": [], "attachedTo": attached })
}

/// The whole document as a gate has it, read as a gate reads it.
fn whole(shop: &Shop) -> Snapshot {
    let gate = shop.server.somebody("gate", portcullis_access::Role::Service, None);
    let answer = gate.get("/api/v1/snapshot").ok(200);
    let bytes = serde_json::to_vec(&answer["whole"]).unwrap();
    Snapshot::parse("whole.json", &bytes).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn place_that_stands_twice_is_refused_by_its_pointer() {
    for on in [On::Sqlite, On::Postgres] {
        let shop = Shop::open(on);
        let revision = shop.count("SELECT revision FROM ledger");
        shop.owner.post(SETS, &set("x", &json!([{}, {}]))).refused("POLICY_INVALID", &["/attachedTo/1"]);
        let places = json!([{ "project": "shop" }, { "tenant": "acme", "project": "shop" }]);
        shop.owner.post(SETS, &set("x", &places)).refused("POLICY_INVALID", &["/attachedTo/1"]);
        assert_eq!(shop.count("SELECT revision FROM ledger"), revision);
        shop.owner.post(SETS, &set("x", &json!([{}, { "project": "shop" }]))).ok(201);
        shop.admin.post("/api/v1/clusters/eu-1/tenants/globex:suspend", &json!({})).ok(200);
        assert_eq!(whole(&shop).tenants.get("globex").unwrap().status.as_str(), "suspended");
    }
}

#[test]
fn tenant_keeps_half_of_the_room_for_policy_sets() {
    let shop = Shop::open(On::Sqlite);
    for n in 0..50 {
        shop.owner.post(SETS, &set(&format!("own-{n}"), &json!([]))).ok(201);
    }
    shop.owner.post(SETS, &set("one-more", &json!([]))).refused("POLICY_INVALID", &["/attachedTo"]);
    for n in 0..50 {
        let answer = shop.admin.post(SETS, &set(&format!("platform-{n}"), &json!([])));
        if answer.status != 201 {
            answer.refused("POLICY_INVALID", &["/attachedTo"]);
            break;
        }
    }
    shop.admin.post(SETS, &set("one-more", &json!([]))).refused("POLICY_INVALID", &["/attachedTo"]);
    assert_eq!(whole(&shop).tenants.get("acme").unwrap().policy_sets.len(), 100);
}

#[test]
fn rules_are_bounded_in_bytes_and_depth() {
    let shop = Shop::open(On::Sqlite);
    let rule = |params: Value| json!({ "policy": "vela-workflow-steps", "params": params });
    let large: Vec<String> = (0..300).map(|n| format!("{n:0>500}")).collect();
    let body = json!({ "name": "x", "rules": [rule(json!({ "allowed": large }))] });
    shop.admin.post(SETS, &body).ok(201);
    let again = json!({ "name": "y", "rules": [rule(json!({ "allowed": large }))] });
    shop.admin.post(SETS, &again).refused("POLICY_INVALID", &["/rules"]);
    let (_, _, pointers) = shop.owner.post(SETS, &again).problem();
    assert!(pointers.contains(&"/rules".to_owned()), "{pointers:?}");
    let deep = (0..33).fold(json!(1), |inner, _| json!([inner]));
    let (_, _, pointers) =
        shop.owner.post(SETS, &json!({ "name": "z", "rules": [rule(json!({ "allowed": deep }))] })).problem();
    assert!(pointers.contains(&"/rules/0/params".to_owned()), "{pointers:?}");
    whole(&shop);
}

/// One request that somebody could send: who, method, path, body.
#[expect(clippy::too_many_lines, reason = "a list of requests")]
fn request() -> impl Strategy<Value = (bool, &'static str, String, Value)> {
    let name =
        prop::sample::select(vec!["x", "y", "x-", "baseline", "no-host", "a", "app", "shop", "web", "sbx"]);
    let place = prop::sample::select(vec![
        json!({}),
        json!({"project": "shop"}),
        json!({"project": "lab"}),
        json!({"tenant": "acme"}),
    ]);
    let mode = prop::sample::select(vec![json!("enforce"), json!("off"), json!("warn"), json!(null)]);
    let policy = prop::sample::select(vec!["vela-workflow-steps", "registry-allowlist", "x-", "no-such"]);
    let params = prop::sample::select(vec![
        json!({}),
        json!({"allowed": ["deploy"]}),
        json!({"allowed": []}),
        json!({"x": 1}),
    ]);
    let rule = (policy.clone(), mode, params).prop_map(|(policy, mode, params)| {
        let mut rule = json!({ "policy": policy, "params": params });
        if !mode.is_null() {
            rule["mode"] = mode;
        }
        rule
    });
    let sets = (
        any::<bool>(),
        name.clone(),
        prop::collection::vec(place, 0..4),
        prop::collection::vec(rule, 0..3),
        any::<bool>(),
    )
        .prop_map(|(admin, name, attached, rules, put)| {
            let body = json!({ "name": name, "attachedTo": attached, "rules": rules });
            if put {
                (admin, "PUT", format!("{SETS}/{name}"), body)
            } else {
                (admin, "POST", SETS.to_owned(), body)
            }
        });
    let exceptions = (any::<bool>(), policy, prop::sample::select(vec![1_i64, 3600, 31_000_000, 40_000_000]), 0..3_usize)
        .prop_map(|(admin, policy, seconds, count)| {
            let expires = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(seconds);
            let objects = vec![json!({ "resource": "pods" }); count];
            let body = json!({ "tenant": "acme", "policy": policy, "objects": objects, "reason": "r", "expires": expires.to_string() });
            (admin, "POST", "/api/v1/exceptions".to_owned(), body)
        });
    let unit = (name.clone(), 0..3_u8).prop_map(|(name, what)| match what {
        0 => {
            (false, "POST", "/api/v1/clusters/eu-1/tenants/acme/projects".to_owned(), json!({ "name": name }))
        }
        1 => (false, "POST", format!("{SHOP}/apps"), super::shop::app(name, super::shop::IMAGE)),
        _ => (false, "POST", format!("{SHOP}/sandboxes"), json!({ "ttlSeconds": 3600 })),
    });
    let ends = (name.clone(), 0..4_u8).prop_map(|(name, what)| match what {
        0 => (
            true,
            "DELETE",
            format!("/api/v1/clusters/eu-1/tenants/acme/projects/{name}?cascade=true"),
            Value::Null,
        ),
        1 => (false, "DELETE", format!("{SHOP}/apps/{name}"), Value::Null),
        2 => (true, "DELETE", format!("{SETS}/{name}"), Value::Null),
        _ => (true, "DELETE", format!("/api/v1/clusters/eu-2/tenants/{name}?cascade=true"), Value::Null),
    });
    let registry =
        prop::sample::select(vec!["docker.io", "docker.io/library", "registry.example.com", "ghcr.io"]);
    let group = prop::sample::select(vec!["acme-devs", "x-devs", "admins", "system:masters"]);
    let settings = (0..5_u8, prop::collection::vec(registry, 0..3), group, name).prop_map(
        |(what, list, group, name)| {
            let (key, value) = match what {
                0 => ("registries", json!({ "ceiling": list, "platform": [] })),
                1 => (
                    "registries",
                    json!({ "ceiling": ["docker.io", "registry.example.com"], "platform": list }),
                ),
                2 => ("identities", json!([{ "name": "a", "class": "admin", "group": group }])),
                3 => ("labelPrefix", json!("example.com")),
                _ => {
                    return (
                        true,
                        "POST",
                        "/api/v1/clusters/eu-2/tenants".to_owned(),
                        json!({ "name": name, "plan": "gold", "registries": "inherit" }),
                    );
                }
            };
            (true, "PUT", format!("/api/v1/settings/{key}"), json!({ "value": value }))
        },
    );
    let tenant = (prop::sample::select(vec!["suspend", "resume"]), any::<bool>(), any::<bool>()).prop_map(
        |(verb, plan, gold)| {
            if plan {
                let name = if gold { "gold" } else { "baseline" };
                return (true, "PUT", "/api/v1/tenants/acme/plan".to_owned(), json!({ "name": name }));
            }
            (true, "POST", format!("/api/v1/clusters/eu-1/tenants/globex:{verb}"), json!({}))
        },
    );
    prop_oneof![4 => sets, 2 => exceptions, 3 => unit, 2 => ends, 2 => settings, 2 => tenant]
}

/// Whatever is sent, nothing breaks, and gates read the ledger as a whole and change by change.
#[test]
fn whatever_the_api_accepts_readers_accept() {
    for on in [On::Sqlite, On::Postgres] {
        let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[7; 32]);
        let mut runner =
            TestRunner::new_with_rng(Config { failure_persistence: None, ..Config::default() }, rng);
        let shop = Shop::open(on);
        let mut snapshot = whole(&shop);
        let (mut done, mut refused) = (0, 0);
        for _ in 0..250 {
            let (admin, method, path, body) = request().new_tree(&mut runner).unwrap().current();
            let caller = if admin { &shop.admin } else { &shop.owner };
            let answer = match body {
                Value::Null => caller.send(method, &path, None),
                body => caller.json(method, &path, &body),
            };
            assert!(answer.status < 500, "{method} {path}: {} {}", answer.status, answer.text);
            if answer.status < 300 {
                done += 1
            } else {
                refused += 1
            }
            let changes = shop.server.runtime.block_on(async {
                let who = Identity::process("test");
                let scope = authorize(&who, Action::TenantsList, None, "test").unwrap();
                let mut tx = shop.server.ledger.read(&scope).await.unwrap();
                tx.changes_since(snapshot.revision).await.unwrap().unwrap()
            });
            for change in changes {
                let patch = serde_json::from_str(&change.patch).unwrap();
                let (next, _) = snapshot
                    .apply(&patch, change.revision)
                    .unwrap_or_else(|error| panic!("{method} {path}: {error}"));
                snapshot = next;
            }
        }
        eprintln!("{on:?}: {done} done, {refused} refused");
        assert!(done > 40 && refused > 40, "{done} {refused}");
        assert_eq!(snapshot, whole(&shop));
    }
}
