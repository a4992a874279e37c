//! The copy on disk: a gate starts and decides with API and database down, and what it cannot use it passes over.

use std::os::unix::fs::PermissionsExt as _;

use super::stage::{On, SUSPENDED, Stage, decides, readiness, said, soon};
use crate::support::Gate;
use crate::support::wire::SANDBOX;

/// Nobody listens there.
const NOWHERE: &str = "127.0.0.1:9";

/// A stage whose gate has kept the world in which acme is suspended, and is gone; so is everybody else.
fn kept(on: On) -> (Stage, String) {
    let stage = Stage::new(on);
    let cache = stage.text("cache");
    let api = stage.api();
    let gate = stage.remote(&api.api, &["--snapshot-cache", &cache]);
    stage.furnish(&api);
    stage.suspend(&api, true);
    decides(&gate, "before", SUSPENDED);
    // What is new at the end is still written.
    assert!(gate.end(15).success());
    let file = stage.path("cache/snapshot.cache");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    (stage, cache)
}

fn starts(stage: &Stage, cache: &str) -> Gate {
    stage.remote_when(NOWHERE, &["--snapshot-cache", cache, "--max-staleness", "0s"], false)
}

#[test]
fn a_gate_starts_and_decides_with_everything_else_down() {
    let (stage, cache) = kept(On::Sqlite);
    let by_api = stage.remote(NOWHERE, &["--snapshot-cache", &cache, "--max-staleness", "0s"]);
    assert!(said(&by_api, SANDBOX).contains(SUSPENDED));
    soon("stale from the start", || readiness(&by_api).1.starts_with("good but stale"));
    let url = format!("postgres://postgres@{NOWHERE}/postgres");
    let words = ["--role", "gate", "--database", &url, "--snapshot-cache", &cache].map(str::to_owned);
    let by_database = Gate::serve(tempfile::tempdir().unwrap(), &words, true);
    assert!(said(&by_database, SANDBOX).contains(SUSPENDED));
    // Without a copy there is nothing to decide by, and that is said.
    let bare = stage.remote_when(NOWHERE, &[], false);
    soon("not ready", || readiness(&bare).0 == 503 && readiness(&bare).1.contains("cannot be reached"));
    assert!(said(&bare, SANDBOX).contains("no snapshot"), "{}", said(&bare, SANDBOX));
}

#[test]
fn all_in_one_decides_with_its_database_down() {
    let (stage, cache) = kept(On::Sqlite);
    let (url, keys) = (format!("postgres://postgres@{NOWHERE}/postgres"), stage.text("keys"));
    let words =
        ["--database", &url, "--snapshot-cache", &cache, "--api", "127.0.0.1:0", "--token-keys", &keys];
    let all = Gate::serve(tempfile::tempdir().unwrap(), &words.map(str::to_owned), true);
    assert!(said(&all, SANDBOX).contains(SUSPENDED));
    let (status, problem) = stage.call(&all, "GET", "/api/v1/clusters", None);
    assert_eq!((status, problem["code"].as_str()), (503, Some("SERVICE_UNAVAILABLE")), "{problem}");
    assert!(all.get("/readyz").1.contains("the API answers 503"), "{}", all.get("/readyz").1);
}

#[test]
fn what_cannot_be_used_is_told_and_passed_over() {
    let (stage, cache) = kept(On::Sqlite);
    let file = stage.path("cache/snapshot.cache");
    let good = std::fs::read_to_string(&file).unwrap();
    let check = |text: &str, why: &str| {
        std::fs::write(&file, text).unwrap();
        let gate = starts(&stage, &cache);
        soon(why, || gate.told().iter().any(|line| line.contains("is skipped") && line.contains(why)));
        assert_eq!(readiness(&gate).0, 503);
    };
    check(&good[..good.len() / 2], "its checksum does not match");
    check(&good.replace("\"status\":\"suspended\"", "\"status\":\"active\""), "its checksum does not match");
    check(&good.replacen("\"format\":1", "\"format\":7", 1), "it has format 7");
    check("", "first line");
    std::fs::write(&file, &good).unwrap();
    let elsewhere = stage.remote_when(NOWHERE, &["--snapshot-cache", &cache, "--cluster", "us-1"], false);
    soon("of another cluster", || {
        elsewhere.told().iter().any(|line| line.contains("belongs to another cluster"))
    });
    let gate = starts(&stage, &cache);
    soon("the good one again", || said(&gate, SANDBOX).contains(SUSPENDED));
}

/// A copy that is older than the ledger is overtaken, and one that is newer than what the ledger offers stays.
#[test]
fn a_copy_is_overtaken_and_never_turned_back() {
    let (stage, cache) = kept(On::Sqlite);
    let api = stage.api();
    stage.suspend(&api, false);
    let gate = stage.remote(&api.api, &["--snapshot-cache", &cache]);
    decides(&gate, "overtaken", "");
    assert!(gate.end(15).success());
    stage.sql("UPDATE tenants SET status = 'suspended'; UPDATE ledger SET revision = 2; DELETE FROM changes");
    let gate = stage.gate(&["--snapshot-cache", &cache]);
    soon("the step back is told", || readiness(&gate).1.contains("a restored ledger needs a new id"));
    assert_eq!(said(&gate, SANDBOX), "");
}

#[test]
fn a_disk_that_takes_nothing_stops_no_decision() {
    let stage = Stage::new(On::Sqlite);
    let api = stage.api();
    stage.furnish(&api);
    // A file where the directory should be: not even root can write into it.
    std::fs::write(stage.path("full"), "").unwrap();
    let gate = stage.remote(&api.api, &["--snapshot-cache", &stage.text("full")]);
    decides(&gate, "before", "");
    let errors = || gate.metric("portcullis_snapshot_cache_writes_total", &["result=\"error\""]);
    soon("a failed write is counted", || errors() > 0);
    stage.suspend(&api, true);
    decides(&gate, "the next change", SUSPENDED);
    assert!(gate.told().iter().any(|line| line.contains("could not be written to the cache")));
    std::fs::remove_file(stage.path("full")).unwrap();
    stage.suspend(&api, false);
    soon("written once there is room", || {
        gate.metric("portcullis_snapshot_cache_writes_total", &["result=\"ok\""]) > 0
    });
}
