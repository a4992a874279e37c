//! A sandbox whose time is over can only be read, until it is deleted: once, whoever looks.

use serde_json::json;

use super::stage::{On, Stage, said, soon};
use crate::support::wire::SANDBOX;

const SANDBOXES: &str = "/api/v1/clusters/eu-1/tenants/acme/projects/shop/sandboxes";

/// So many expire at once that two processes which look at the same time find each other at work.
const MANY: usize = 20;

fn sandboxes_expire_and_are_deleted_once(on: On) {
    let stage = Stage::new(on);
    // Started at once, so that both look at the same time.
    let [api, other] = std::thread::scope(|scope| {
        [scope.spawn(|| stage.api()), scope.spawn(|| stage.api())].map(|one| one.join().unwrap())
    });
    let gates = [stage.gate(&[]), stage.remote(&other.api, &[])];
    stage.furnish(&api);
    for _ in 0..MANY {
        stage.ok(&api, "POST", SANDBOXES, json!({"ttlSeconds": 60}));
    }
    let last = format!("tn-acme-shop-sbx-{:03}", MANY + 1);
    for gate in &gates {
        soon("before", || said(gate, &last).is_empty());
    }
    // A minute is long: all but the last three seconds of it have passed. Nobody tells a gate when the time has come; it
    // is in what it knows.
    stage.sql(
        "UPDATE sandboxes SET expires_at = expires_at - 57000; UPDATE ledger SET revision = revision + 1; \
         DELETE FROM changes",
    );
    for gate in &gates {
        soon("its time is over", || said(gate, &last).contains("has expired and is being removed"));
        assert_eq!(said(gate, SANDBOX), "", "one without an end goes on");
    }
    let left = |api| stage.call(api, "GET", SANDBOXES, None).1["items"].as_array().map(Vec::len);
    soon("they are deleted", || left(&api) == Some(1));
    for gate in &gates {
        soon("and gone", || said(gate, &last).contains("not registered"));
        assert_eq!(said(gate, SANDBOX), "");
    }
    let told =
        "FROM audit_log WHERE action = 'sandbox.delete' AND actor = 'portcullis#reaper' AND result = 'ok'";
    let many = i64::try_from(MANY).unwrap();
    assert_eq!(stage.number(&format!("SELECT COUNT(*) {told}")), many);
    assert_eq!(stage.number(&format!("SELECT COUNT(DISTINCT resource_id) {told}")), many, "each once");
    stage.verified();
    // A new one may have the number once names are free, and its own time.
    stage.free_names(&api);
    let made = stage.ok(&other, "POST", SANDBOXES, json!({"ttlSeconds": 3600}));
    assert_eq!(made["name"], "sbx-002");
    for gate in &gates {
        soon("a new one", || said(gate, "tn-acme-shop-sbx-002").is_empty());
    }
}

#[test]
fn sandboxes_expire_and_are_deleted_once_on_sqlite() {
    sandboxes_expire_and_are_deleted_once(On::Sqlite);
}

#[test]
fn sandboxes_expire_and_are_deleted_once_on_postgres() {
    sandboxes_expire_and_are_deleted_once(On::Postgres);
}
