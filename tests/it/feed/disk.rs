//! A disk that is full: what was promised stays, what cannot be written is not half there, and gates go on deciding.

use serde_json::json;

use super::stage::{On, SUSPENDED, Stage, decides, readiness, said, soon};
use crate::support::wire::SANDBOX;

const ACME: &str = "/api/v1/clusters/eu-1/tenants/acme";

#[test]
fn a_ledger_on_a_full_disk_reads_and_waits_for_room() {
    let stage = Stage::new(On::Sqlite);
    let api = stage.api_on_a_small_disk();
    let gates = [stage.remote(&api.api, &[]), stage.gate(&[])];
    stage.furnish(&api);
    gates.iter().for_each(|gate| decides(gate, "before", ""));
    let before = stage.state();

    // The log has room for half a page: what is appended to it is torn.
    let log = std::fs::metadata(stage.path("ledger.db-wal")).unwrap().len();
    api.disk(Some(log + 2_000));
    for n in 0..5 {
        stage.later(&api, "PATCH", ACME, Some(&json!({"displayName": format!("Number {n}")})));
        stage.later(&api, "POST", &format!("{ACME}:suspend"), None);
        stage.later(&api, "POST", &format!("{ACME}/projects"), Some(&json!({"name": format!("p{n}")})));
        let (status, acme) = stage.call(&api, "GET", ACME, None);
        assert_eq!((status, &acme["status"], &acme["version"]), (200, &json!("active"), &json!(before[2])));
    }
    assert_eq!(stage.state(), before, "nothing of it is there");
    assert_eq!(stage.number("SELECT COUNT(*) FROM projects"), 1);
    gates.iter().for_each(|gate| assert_eq!(said(gate, SANDBOX), "", "gates go on deciding"));

    api.disk(None);
    stage.suspend(&api, true);
    gates.iter().for_each(|gate| decides(gate, "once there is room", SUSPENDED));
    assert_eq!(stage.state(), before.map(|number| number + 1), "one change, one row, one version");
    stage.verified();
}

/// PostgreSQL's word for it (`53100`), said where it hurts most: by the last statement but one of a commit.
#[test]
fn a_server_on_a_full_disk_is_waited_for() {
    let stage = Stage::new(On::Postgres);
    let api = stage.api();
    let gate = stage.remote(&api.api, &[]);
    stage.furnish(&api);
    decides(&gate, "before", "");
    let before = stage.state();
    stage.sql(
        "CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS \
         $$BEGIN RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = '53100'; END$$; \
         CREATE TRIGGER full_disk BEFORE INSERT ON audit_log FOR EACH ROW EXECUTE FUNCTION full_disk()",
    );
    stage.later(&api, "POST", &format!("{ACME}:suspend"), None);
    stage.later(&api, "POST", &format!("{ACME}/projects"), Some(&json!({"name": "web"})));
    assert_eq!(stage.call(&api, "GET", ACME, None).0, 200);
    assert_eq!(stage.state(), before, "nothing of it is there");
    assert_eq!(stage.number("SELECT COUNT(*) FROM projects"), 1);
    assert_eq!(said(&gate, SANDBOX), "");
    stage.sql("DROP TRIGGER full_disk ON audit_log");
    stage.suspend(&api, true);
    decides(&gate, "once there is room", SUSPENDED);
    assert_eq!(stage.state(), before.map(|number| number + 1));
    stage.verified();
}

/// What the gate keeps for its next start does not fit any more. What it kept before stays whole.
#[test]
fn a_gate_on_a_full_disk_goes_on_deciding() {
    let stage = Stage::new(On::Sqlite);
    let api = stage.api();
    stage.furnish(&api);
    let cache = stage.text("cache");
    let gate = stage.remote_on_a_small_disk(&api.api, &cache);
    let kept = |result: &str| {
        gate.metric("portcullis_snapshot_cache_writes_total", &[&format!("result=\"{result}\"")])
    };
    soon("kept at first", || kept("ok") == 1);
    let first = std::fs::read(stage.path("cache/snapshot.cache")).unwrap();

    gate.disk(Some(first.len() as u64 / 2));
    stage.suspend(&api, true);
    decides(&gate, "on a full disk", SUSPENDED);
    soon("counted", || kept("error") > 0);
    assert!(gate.told().iter().any(|line| line.contains("could not be written to the cache")));
    assert_eq!(readiness(&gate), (200, String::new()), "no reason to send nobody here");
    assert_eq!(std::fs::read(stage.path("cache/snapshot.cache")).unwrap(), first, "whole, as it was");
    assert!(!stage.path("cache/snapshot.part").exists(), "and nothing that makes the disk fuller");

    gate.disk(None);
    stage.suspend(&api, false);
    decides(&gate, "and on", "");
    soon("kept again", || kept("ok") == 2);
    assert!(gate.told().iter().any(|line| line.contains("written to the cache again")));
    assert_ne!(std::fs::read(stage.path("cache/snapshot.cache")).unwrap(), first);
}
