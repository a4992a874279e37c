//! What goes wrong around a gate, and what it decides meanwhile.

use std::time::{Duration, Instant};

use serde_json::json;

use super::stage::{On, SUSPENDED, Stage, decides, readiness, said, soon};
use crate::support::wire::SANDBOX;

fn api_comes_and_goes(on: On) {
    let stage = Stage::new(on);
    let api = stage.api();
    let gate = stage.remote(&api.api, &["--max-staleness", "3s"]);
    let beside = stage.gate(&[]);
    stage.furnish(&api);
    decides(&gate, "before", "");

    // Killed as soon as it has answered: what it answered is committed, and whoever comes next tells of it.
    stage.suspend(&api, true);
    let address = api.api.clone();
    api.signal(9);
    drop(api);
    decides(&beside, "a gate on the database follows without the API", SUSPENDED);
    soon("stale is said", || readiness(&gate).1.starts_with("good but stale: deciding with revision "));
    assert_eq!(readiness(&gate).0, 200, "and the gate is ready all the same");
    assert!(gate.metric_seconds("portcullis_snapshot_age_seconds") > 1.0);
    let before = said(&gate, SANDBOX);
    assert!(before.is_empty() || before.contains(SUSPENDED), "{before}");

    let api = stage.api_at(&address, true);
    decides(&gate, "after the API came back", SUSPENDED);
    soon("no word of trouble", || readiness(&gate) == (200, String::new()));
    assert!(gate.metric_seconds("portcullis_snapshot_age_seconds") < 60.0);
    stage.suspend(&api, false);
    decides(&gate, "and the next change", "");
}

#[test]
fn the_api_is_killed_and_comes_back_on_sqlite() {
    api_comes_and_goes(On::Sqlite);
}

#[test]
fn the_api_is_killed_and_comes_back_on_postgres() {
    api_comes_and_goes(On::Postgres);
}

/// Frozen it answers nobody and refuses nobody; stopped it refuses. The gate goes on, and is in touch again by itself.
#[test]
fn the_database_freezes_and_stops() {
    let stage = Stage::new(On::OwnPostgres);
    let own = stage.own.as_ref().unwrap();
    let api = stage.api();
    let gates = [stage.gate(&["--max-staleness", "3s"]), stage.remote(&api.api, &["--max-staleness", "3s"])];
    stage.furnish(&api);
    gates.iter().for_each(|gate| decides(gate, "before", ""));

    own.signal(19);
    for gate in &gates {
        soon("out of touch is said", || readiness(gate).1.contains("no contact with the ledger since"));
        assert_eq!(readiness(gate).0, 200);
        assert_eq!(said(gate, SANDBOX), "", "decided as before");
    }
    soon("the API is not ready", || api.get("/readyz").0 == 503);
    for process in [&api, &gates[0]] {
        soon("the database is told to be away", || process.metric("portcullis_database_reachable", &[]) == 0);
    }
    let (status, problem) = stage.call(&api, "GET", "/api/v1/clusters", None);
    assert_eq!((status, &problem["code"]), (503, &json!("SERVICE_UNAVAILABLE")), "{problem}");
    own.signal(18);
    for gate in &gates {
        soon("in touch again", || readiness(gate) == (200, String::new()));
    }
    soon("the API is ready again", || api.get("/readyz").0 == 200);
    for process in [&api, &gates[0]] {
        soon("the database is told to be there", || {
            process.metric("portcullis_database_reachable", &[]) == 1
        });
    }
    stage.suspend(&api, true);
    gates.iter().for_each(|gate| decides(gate, "after the frost", SUSPENDED));

    // The notifications' connections are cut, as by a server that restarts: what is committed meanwhile is not lost.
    own.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'");
    soon("the API serves again", || stage.call(&api, "GET", "/api/v1/clusters", None).0 == 200);
    stage.suspend(&api, false);
    gates.iter().for_each(|gate| decides(gate, "after every connection was cut", ""));
}

fn restored(on: On) {
    let stage = Stage::new(on);
    let api = stage.api();
    let gates = [stage.gate(&[]), stage.remote(&api.api, &[])];
    stage.furnish(&api);
    stage.suspend(&api, true);
    gates.iter().for_each(|gate| decides(gate, "before", SUSPENDED));
    // As a restore leaves it: an earlier state, a lower revision, another id.
    stage.sql(
        "UPDATE tenants SET status = 'active'; \
         UPDATE ledger SET ledger = '018f2b7c-0000-7000-8000-0000000000ee', revision = 1; DELETE FROM changes",
    );
    gates.iter().for_each(|gate| decides(gate, "the restored ledger is taken", ""));
    for gate in &gates {
        assert_eq!(gate.metric("portcullis_snapshot_revision", &[]), 1);
    }
    stage.suspend(&api, true);
    gates.iter().for_each(|gate| decides(gate, "and its changes", SUSPENDED));

    // A lower revision of the same ledger is none that is taken.
    stage.sql("UPDATE tenants SET status = 'active'; UPDATE ledger SET revision = 0; DELETE FROM changes");
    for (gate, why) in gates.iter().zip(["a restored ledger needs a new id", "SERVICE_UNAVAILABLE"]) {
        soon("the step back is told", || readiness(gate).1.contains(why));
        assert!(said(gate, SANDBOX).contains(SUSPENDED));
    }
}

#[test]
fn a_restored_ledger_is_taken_on_sqlite() {
    restored(On::Sqlite);
}

#[test]
fn a_restored_ledger_is_taken_on_postgres() {
    restored(On::Postgres);
}

/// The token's file is read for every call, so a new one is used from the next on.
#[test]
fn a_token_is_rotated() {
    let stage = Stage::new(On::Sqlite);
    let api = stage.api();
    stage.furnish(&api);
    let gate = stage.remote(&api.api, &[]);
    decides(&gate, "before", "");
    // On a busy machine the gate decides by a change before it has asked for the next one; by then it has.
    let decided = Instant::now();
    soon("it waits again", || decided.elapsed() > Duration::from_secs(1));
    std::fs::write(stage.path("token"), "no token at all").unwrap();
    stage.suspend(&api, true);
    // The call that waits was let in with the old one; what it brings is taken.
    decides(&gate, "the call that waits", SUSPENDED);
    soon("who asks is not believed", || readiness(&gate).1.contains("UNAUTHORIZED"));
    assert!(!gate.told().iter().any(|line| line.contains("no token at all")), "and never told");
    stage.suspend(&api, false);
    std::fs::write(stage.path("token"), stage.token("another-gate", "service")).unwrap();
    decides(&gate, "with the new token", "");
    soon("all is well", || readiness(&gate) == (200, String::new()));
}

fn token_condition(gate: &crate::support::Gate) -> (u16, String) {
    let (status, page) = gate.get("/readyz");
    let page: serde_json::Value = serde_json::from_str(&page).unwrap();
    let conditions = page["conditions"].as_array().unwrap();
    let token = conditions.iter().find(|condition| condition["name"] == "ledger_token").unwrap();
    (status, token["reason"].as_str().unwrap_or_default().to_owned())
}

/// The end of the token is told before it comes and after; the gate decides by what it has, and is well with a new token.
#[test]
fn a_token_that_ends_is_told() {
    const EXPIRY: &str = "portcullis_ledger_token_expiry_timestamp_seconds";
    let stage = Stage::new(On::Sqlite);
    let api = stage.api();
    stage.furnish(&api);
    std::fs::write(stage.path("token"), stage.token_for("gate", "service", "1h")).unwrap();
    let gate = stage.remote(&api.api, &[]);
    decides(&gate, "before", "");
    soon("its end is near", || token_condition(&gate).1.contains("expires within 1 day, at 2"));
    #[expect(clippy::cast_possible_truncation, reason = "a time in this century")]
    let left = gate.metric_seconds(EXPIRY) as i64 - jiff::Timestamp::now().as_second();
    assert!((1..=3600).contains(&left), "{left}");
    // {"exp":1767225600}, which was over before this test was written; a minted token lives for a minute at least.
    let ended = "e30.eyJleHAiOjE3NjcyMjU2MDB9.c2ln";
    std::fs::write(stage.path("token"), ended).unwrap();
    soon("its end is told", || token_condition(&gate).1.contains("expired at 2026-01-01T00:00:00Z"));
    assert_eq!(token_condition(&gate).0, 200, "the gate decides by what it has");
    soon("the API refuses it", || readiness(&gate).1.contains("UNAUTHORIZED"));
    assert!((gate.metric_seconds(EXPIRY) - 1_767_225_600.0).abs() < 1.0);
    let told = gate.told();
    assert_eq!(told.iter().filter(|line| line.contains("the token for the ledger expires soon")).count(), 1);
    assert_eq!(told.iter().filter(|line| line.contains("the token for the ledger has expired")).count(), 1);
    assert!(!told.iter().any(|line| line.contains(ended)), "and the token is never told");
    std::fs::write(stage.path("token"), stage.token_for("gate", "service", "240h")).unwrap();
    soon("the new one is good", || token_condition(&gate) == (200, String::new()));
    stage.suspend(&api, true);
    decides(&gate, "and used", SUSPENDED);
}

/// What does not fit, because a change was lost, is healed by the whole.
#[test]
fn a_change_that_does_not_fit_is_healed() {
    let stage = Stage::new(On::Postgres);
    let api = stage.api();
    let gate = stage.gate(&["--resync-interval", "1s"]);
    stage.furnish(&api);
    decides(&gate, "before", "");
    // Changed past the ledger, with no revision: nobody is told, and only a comparison finds it.
    stage.sql("UPDATE tenants SET status = 'suspended'");
    decides(&gate, "found by comparing", SUSPENDED);
    assert!(gate.metric("portcullis_snapshot_reconcile_total", &["result=\"different\""]) > 0);
    // A change that refers to what is not there. It is chained as any other.
    let patch = json!({"namespaces": {"tn-no-one-sbx-001": {"kind": "sandbox", "tenant": "no", "project": "one", "sandbox": 1, "id": "018f2b7c-0000-7000-8000-0000000000dd"}}});
    stage.sql(&format!(
        "UPDATE tenants SET status = 'active'; UPDATE ledger SET revision = revision + 1, \
         digest = encode(sha256(convert_to(digest || E'\\n' || '{patch}', 'UTF8')), 'hex'); \
         INSERT INTO changes SELECT revision, '{patch}', '[]', 0, digest FROM ledger; \
         SELECT pg_notify('portcullis_ledger', revision::text) FROM ledger"
    ));
    decides(&gate, "healed by the whole", "");
}
