//! A copy of the ledger that was put back under its own id: what it counts next has the numbers of what gates have seen.

use serde_json::{Value, json};

use super::stage::{On, SUSPENDED, Stage, decides, readiness, said, soon};
use crate::support::wire::SANDBOX;
use crate::support::{Gate, portcullis};

const FORKS: &str = "portcullis_snapshot_forks_total";

/// Both kinds of gate, which compare with the whole ledger so seldom that it does not count here.
fn gates(stage: &Stage, api: &Gate) -> [Gate; 2] {
    [stage.gate(&["--resync-interval", "1h"]), stage.remote(&api.api, &["--resync-interval", "1h"])]
}

/// Puts the ledger back by one revision, in which acme was suspended: what an operator's own copy does.
fn put_back(stage: &Stage) {
    stage.sql(
        "UPDATE tenants SET status = 'active'; \
         UPDATE ledger SET revision = revision - 1, digest = (SELECT digest FROM changes WHERE changes.revision = ledger.revision - 1); \
         DELETE FROM changes WHERE revision > (SELECT revision FROM ledger)",
    );
}

/// Changes that say nothing of acme's status.
fn other_changes(stage: &Stage, api: &Gate, count: usize) {
    for n in 0..count {
        stage.ok(api, "POST", "/api/v1/clusters/eu-1/tenants", json!({"name": format!("other{n}")}));
    }
}

/// Gates that sleep while the copy catches up with `count` changes: 1 is the revision that they have, more is a higher one.
fn forked(on: On, count: usize) {
    let stage = Stage::new(on);
    let api = stage.api();
    let gates = gates(&stage, &api);
    stage.furnish(&api);
    stage.suspend(&api, true);
    gates.iter().for_each(|gate| decides(gate, "before", SUSPENDED));
    gates.iter().for_each(|gate| gate.signal(19));
    let address = api.api.clone();
    assert!(api.end(15).success());
    put_back(&stage);
    let api = stage.api_at(&address, true);
    other_changes(&stage, &api, count);
    gates.iter().for_each(|gate| gate.signal(18));
    for gate in &gates {
        decides(gate, "by the ledger that is there now, and by nothing of the one before", "");
    }
    soon("a gate on the database tells of it", || gates[0].metric(FORKS, &[]) > 0);
    stage.suspend(&api, true);
    gates.iter().for_each(|gate| decides(gate, "and the next change", SUSPENDED));
}

#[test]
fn a_fork_of_the_same_revision_is_seen_on_sqlite() {
    forked(On::Sqlite, 1);
}

#[test]
fn a_fork_of_the_same_revision_is_seen_on_postgres() {
    forked(On::Postgres, 1);
}

#[test]
fn a_fork_of_a_higher_revision_is_seen_on_sqlite() {
    forked(On::Sqlite, 3);
}

#[test]
fn a_fork_of_a_higher_revision_is_seen_on_postgres() {
    forked(On::Postgres, 3);
}

/// The API goes on while its database is put back and another process writes: the history that it has in memory is no more.
fn under_a_running_api(on: On) {
    let stage = Stage::new(on);
    let api = stage.api();
    let gate = stage.remote(&api.api, &["--resync-interval", "1h"]);
    stage.furnish(&api);
    stage.suspend(&api, true);
    decides(&gate, "before", SUSPENDED);
    api.signal(19);
    put_back(&stage);
    // One that has not seen what is gone.
    let other = stage.api();
    other_changes(&stage, &other, 2);
    api.signal(18);
    decides(&gate, "by the ledger that is there now", "");
    soon("told by the API", || api.metric(FORKS, &[]) > 0);
    // What a commit is checked against is the ledger that is there, too.
    stage.suspend(&api, true);
    decides(&gate, "and the next change", SUSPENDED);
    let whole: Value = stage.ok(&api, "GET", "/api/v1/snapshot", Value::Null);
    assert!(whole["digest"].is_string(), "{whole}");
}

#[test]
fn a_fork_under_a_running_api_is_seen_on_sqlite() {
    under_a_running_api(On::Sqlite);
}

#[test]
fn a_fork_under_a_running_api_is_seen_on_postgres() {
    under_a_running_api(On::Postgres);
}

/// A gate that starts with a copy of the snapshot on disk knows which history that is of.
#[test]
fn a_fork_is_seen_by_a_gate_that_starts_with_its_copy() {
    let stage = Stage::new(On::Sqlite);
    let (api, cache) = (stage.api(), stage.text("cache"));
    let words = ["--snapshot-cache", &cache, "--resync-interval", "1h"];
    let gate = stage.remote(&api.api, &words);
    stage.furnish(&api);
    stage.suspend(&api, true);
    decides(&gate, "before", SUSPENDED);
    assert!(gate.end(15).success());
    let address = api.api.clone();
    assert!(api.end(15).success());
    put_back(&stage);
    let gate = stage.remote_when(&address, &words, true);
    assert!(said(&gate, SANDBOX).contains(SUSPENDED), "with nothing but its copy");
    let api = stage.api_at(&address, true);
    other_changes(&stage, &api, 1);
    decides(&gate, "by the ledger that is there now", "");
    soon("told", || gate.metric(FORKS, &[]) > 0);
}

/// What an API has seen stands in its cache: it refuses a database that is older, says why, and is well once that has a new id.
fn turned_back(on: On) {
    let stage = Stage::new(on);
    let cache = stage.text("cache");
    let words = ["--snapshot-cache", cache.as_str()];
    let api = stage.api_with(&words, true);
    stage.furnish(&api);
    stage.suspend(&api, true);
    let revision = stage.number("SELECT revision FROM ledger");
    soon("it has heard that", || {
        api.metric("portcullis_snapshot_revision", &[]) == u64::try_from(revision).unwrap()
    });
    assert!(api.end(15).success());
    put_back(&stage);
    let api = stage.api_with(&words, false);
    let gate = stage.remote_when(&api.api, &[], false);
    refuses(&stage, &api, revision);
    soon("a gate is told why", || readiness(&gate).1.contains("portcullis restore --renew"));
    renew(&stage);
    soon("ready without a restart", || api.get("/readyz").0 == 200);
    decides(&gate, "by the ledger that is to stay", "");
    stage.suspend(&api, true);
    decides(&gate, "and its changes", SUSPENDED);

    // Under an API that goes on it is the same.
    let revision = stage.number("SELECT revision FROM ledger");
    put_back(&stage);
    refuses(&stage, &api, revision);
    assert!(said(&gate, SANDBOX).contains(SUSPENDED), "the gate decides by what it has");
    renew(&stage);
    decides(&gate, "once it has a new id", "");
}

/// Reads and writes are refused, and readiness names the cause and the way out.
fn refuses(stage: &Stage, api: &Gate, seen: i64) {
    let expected = format!("at revision {}, but this process has seen revision {seen}", seen - 1);
    soon("not ready, and why", || {
        let (status, page) = api.get("/readyz");
        status == 503 && page.contains(&expected) && page.contains("portcullis restore --renew")
    });
    for (method, path) in [
        ("GET", "/api/v1/clusters"),
        ("POST", "/api/v1/clusters/eu-1/tenants/acme:resume"),
        ("GET", "/api/v1/snapshot"),
    ] {
        let (status, problem) = stage.call(api, method, path, None);
        assert_eq!(
            (status, problem["code"].as_str()),
            (503, Some("SERVICE_UNAVAILABLE")),
            "{path}: {problem}"
        );
        assert!(problem["detail"].as_str().unwrap().contains(&expected), "{path}: {problem}");
    }
}

fn renew(stage: &Stage) {
    let done = portcullis().args(["restore", "--renew", "--database", &stage.url]).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

#[test]
fn a_database_that_was_turned_back_is_refused_on_sqlite() {
    turned_back(On::Sqlite);
}

#[test]
fn a_database_that_was_turned_back_is_refused_on_postgres() {
    turned_back(On::Postgres);
}
