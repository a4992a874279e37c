//! Ended in the middle: the database under a transaction, and the API over one. Nothing is half done, and nothing is lost.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use sqlx::Connection as _;

use super::stage::{On, SUSPENDED, Stage, ask, decides, said, soon};
use crate::support::wire::SANDBOX;
use crate::support::{Gate, wait};

const ACME: &str = "/api/v1/clusters/eu-1/tenants/acme";

/// A backend that waits for a lock, as one of ours does here in the middle of a commit.
const WAITING: &str = "SELECT coalesce(max(pid), 0) FROM pg_stat_activity \
    WHERE application_name = 'portcullis' AND wait_event_type = 'Lock' AND state = 'active'";

/// Sends a change, which waits at the ledger's row, its last lock; does something to the backend, and gives the answer.
fn in_the_middle(stage: &Stage, api: &Gate, deed: impl FnOnce(i64)) -> (u16, Option<String>, Value) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut holder = runtime.block_on(sqlx::PgConnection::connect(&stage.url)).unwrap();
    let hold = sqlx::raw_sql("BEGIN; SELECT * FROM ledger FOR UPDATE");
    runtime.block_on(hold.execute(&mut holder)).unwrap();
    let answer = std::thread::scope(|scope| {
        let change = scope.spawn(|| ask(&api.api, &stage.admin, "POST", &format!("{ACME}:suspend"), None));
        let pid = wait(Duration::from_secs(4), || Some(stage.number(WAITING)).filter(|pid| *pid > 0));
        deed(pid);
        change.join().unwrap()
    });
    let _ = runtime.block_on(holder.close());
    answer
}

/// A process of the server that each of its starts has anew; none while it does not answer.
fn checkpointer(stage: &Stage) -> Option<i32> {
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let mut on = sqlx::PgConnection::connect(&stage.url).await.ok()?;
        let pid = "SELECT pid FROM pg_stat_activity WHERE backend_type = 'checkpointer'";
        sqlx::query_scalar(pid).fetch_optional(&mut on).await.ok()?
    })
}

#[test]
fn the_database_ends_a_transaction() {
    let stage = Stage::new(On::OwnPostgres);
    let api = stage.api();
    let gates = [stage.gate(&[]), stage.remote(&api.api, &[])];
    stage.furnish(&api);
    gates.iter().for_each(|gate| decides(gate, "before", ""));
    let before = stage.state();
    let unharmed = |what: &str, (status, later, problem): (u16, Option<String>, Value)| {
        assert_eq!((status, &problem["code"]), (503, &json!("SERVICE_UNAVAILABLE")), "{what}: {problem}");
        assert!(later.is_some(), "{what}");
        gates.iter().for_each(|gate| assert_eq!(said(gate, SANDBOX), "", "{what}: gates go on deciding"));
    };

    unharmed(
        "ended",
        in_the_middle(&stage, &api, |pid| {
            assert_eq!(stage.number(&format!("SELECT pg_terminate_backend({pid})::int")), 1);
        }),
    );
    assert_eq!(stage.state(), before);
    assert_eq!(stage.call(&api, "GET", ACME, None).1["status"], "active", "the next request is fine");

    // Killed without a word, which brings the server down and up again, and every connection with it.
    let first = checkpointer(&stage);
    assert!(first.is_some());
    unharmed(
        "killed",
        in_the_middle(&stage, &api, |pid| {
            let done = std::process::Command::new("kill").args(["-s", "9", &pid.to_string()]).status();
            assert!(done.unwrap().success());
        }),
    );
    let answers = || {
        let (status, later, problem) = ask(&api.api, &stage.admin, "GET", ACME, None);
        assert!(status == 200 || (status == 503 && later.is_some()), "{status} {problem}");
        status == 200
    };
    soon("the server came up again", || {
        answers();
        checkpointer(&stage).is_some_and(|pid| Some(pid) != first)
    });
    soon("the API serves again", answers);
    assert_eq!(stage.state(), before);
    stage.suspend(&api, true);
    gates.iter().for_each(|gate| decides(gate, "after all that", SUSPENDED));
    assert_eq!(stage.state(), before.map(|number| number + 1));
    stage.verified();
}

/// Somebody else writes to the file and does not come to an end.
#[test]
fn a_locked_file_is_waited_for_and_then_said() {
    let stage = Stage::new(On::Sqlite);
    let api = stage.api();
    let gate = stage.remote(&api.api, &[]);
    stage.furnish(&api);
    decides(&gate, "before", "");
    let before = stage.state();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut other = runtime.block_on(sqlx::SqliteConnection::connect(&stage.url)).unwrap();
    runtime.block_on(sqlx::raw_sql("BEGIN EXCLUSIVE").execute(&mut other)).unwrap();
    std::thread::scope(|scope| {
        // Two who wait: neither waits for the other's time as well.
        let begun = std::time::Instant::now();
        let both: Vec<_> = (0..2)
            .map(|_| scope.spawn(|| stage.later(&api, "POST", &format!("{ACME}:suspend"), None)))
            .collect();
        assert_eq!(stage.call(&api, "GET", ACME, None).1["status"], "active", "who reads does not wait");
        assert_eq!(said(&gate, SANDBOX), "");
        both.into_iter().for_each(|one| one.join().unwrap());
        let took = begun.elapsed();
        assert!((Duration::from_secs(4)..Duration::from_secs(15)).contains(&took), "{took:?}");
    });
    assert_eq!(stage.state(), before);
    runtime.block_on(sqlx::raw_sql("ROLLBACK").execute(&mut other)).unwrap();
    stage.suspend(&api, true);
    decides(&gate, "once it is free", SUSPENDED);
    assert_eq!(stage.state(), before.map(|number| number + 1));
}

/// The API is killed again and again while it commits as fast as it can. What it answered is there, what is there is
/// whole, and gates have it: by the database from the notification or the heartbeat, by an API from the next one.
fn the_api_is_killed_while_it_commits(on: On) {
    let stage = Stage::new(on);
    let api = stage.api();
    let address = api.api.clone();
    stage.furnish(&api);
    let gates = [stage.gate(&[]), stage.remote(&address, &[])];
    let mut api = Some(api);
    let base = stage.state();
    let answered = AtomicU32::new(0);
    for round in 0..5 {
        let killed = api.take().unwrap_or_else(|| stage.api_at(&address, true));
        let before = stage.state();
        answered.store(0, Ordering::Relaxed);
        std::thread::scope(|scope| {
            let changes = scope.spawn(|| {
                let mut suspended = before[2] % 2 != base[2] % 2;
                loop {
                    suspended = !suspended;
                    let verb = if suspended { "suspend" } else { "resume" };
                    if !sent(&stage, &address, &format!("{ACME}:{verb}")) {
                        break;
                    }
                    answered.fetch_add(1, Ordering::Relaxed);
                }
            });
            wait(Duration::from_secs(30), || (answered.load(Ordering::Relaxed) > round * 3).then_some(()));
            killed.signal(9);
            changes.join().unwrap();
        });
        drop(killed);
        let (after, answered) = (stage.state(), i64::from(answered.load(Ordering::Relaxed)));
        let made = after[0] - before[0];
        // The last one may have been committed and not answered; nobody can tell the caller.
        assert!((answered..=answered + 1).contains(&made), "{made} of {answered}");
        assert_eq!(after, before.map(|number| number + made), "a revision, a row and a version each");
        assert_eq!(stage.number("SELECT COUNT(*) FROM changes"), after[0]);
        let expected = if (after[2] - base[2]) % 2 == 1 { SUSPENDED } else { "" };
        decides(&gates[0], &format!("{on:?}: {made} changes, then killed; by the database"), expected);
    }
    stage.verified();
    let _api = stage.api_at(&address, true);
    let revision = u64::try_from(stage.state()[0]).unwrap();
    for gate in &gates {
        soon("both have the last revision", || gate.metric("portcullis_snapshot_revision", &[]) == revision);
    }
}

/// Whether there was a good answer. None is the API's end.
fn sent(stage: &Stage, address: &str, path: &str) -> bool {
    let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
    let bearer = format!("Bearer {}", stage.admin);
    match agent.post(format!("http://{address}{path}")).header("Authorization", bearer).send_empty() {
        Ok(mut answer) => answer.status().as_u16() == 200 && answer.body_mut().read_to_string().is_ok(),
        Err(_) => false,
    }
}

#[test]
fn the_api_is_killed_while_it_commits_on_sqlite() {
    the_api_is_killed_while_it_commits(On::Sqlite);
}

#[test]
fn the_api_is_killed_while_it_commits_on_postgres() {
    the_api_is_killed_while_it_commits(On::Postgres);
}

/// Committed, and nobody was told: as after a notification that was lost, or an API that died before it could tell itself.
#[test]
fn what_nobody_told_of_is_found_by_the_heartbeat() {
    let stage = Stage::new(On::Postgres);
    let api = stage.api();
    let gates = [stage.gate(&[]), stage.remote(&api.api, &[])];
    stage.furnish(&api);
    gates.iter().for_each(|gate| decides(gate, "before", ""));
    stage.sql(
        "UPDATE tenants SET status = 'suspended'; UPDATE ledger SET revision = revision + 1; \
         INSERT INTO changes (revision, patch, parts, at) SELECT revision, \
             '{\"revision\": ' || revision || ', \"tenants\": {\"acme\": {\"status\": \"suspended\"}}}', \
             '[]', 0 FROM ledger",
    );
    gates.iter().for_each(|gate| decides(gate, "found by looking", SUSPENDED));
}
