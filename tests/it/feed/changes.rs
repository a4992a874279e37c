//! Who follows whom, and in what order.

use serde_json::{Value, json};

use super::stage::{On, SUSPENDED, Stage, call, decides, said, soon};
use crate::support::wire::SANDBOX;

fn follows(on: On) {
    let stage = Stage::new(on);
    let api = stage.api();
    let by_database = stage.gate(&[]);
    let by_api = stage.remote(&api.api, &[]);
    assert!(said(&by_api, SANDBOX).contains("not registered"), "{}", said(&by_api, SANDBOX));
    stage.furnish(&api);
    for (gate, name) in [(&by_database, "database"), (&by_api, "API")] {
        decides(gate, &format!("{on:?}: a new tenant, by the {name}"), "");
    }
    for suspended in [true, false, true] {
        stage.suspend(&api, suspended);
        for (gate, name) in [(&by_database, "database"), (&by_api, "API")] {
            let expected = if suspended { SUSPENDED } else { "" };
            decides(gate, &format!("{on:?}: suspended {suspended}, by the {name}"), expected);
        }
    }
    let revision = |gate: &crate::support::Gate| gate.metric("portcullis_snapshot_revision", &[]);
    soon("the same revision", || revision(&by_database) == revision(&by_api));
    for process in [&api, &by_database, &by_api] {
        // It is measured every ten seconds; an empty ledger's document is shorter than this one.
        soon("its length is told", || process.metric("portcullis_snapshot_bytes", &[]) > 500);
    }
    assert_eq!(by_api.metric("portcullis_snapshot_reload_total", &["result=\"error\""]), 0);
    assert_eq!(by_database.metric("portcullis_snapshot_reload_total", &["result=\"error\""]), 0);
}

#[test]
fn two_gates_follow_on_sqlite() {
    follows(On::Sqlite);
}

#[test]
fn two_gates_follow_on_postgres() {
    follows(On::Postgres);
}

/// One process is both, with nothing but a folder of its own.
#[test]
fn all_in_one_follows_itself() {
    let stage = Stage::new(On::Sqlite);
    let keys = stage.text("keys");
    let words = ["--api", "127.0.0.1:0", "--token-keys", &keys].map(str::to_owned);
    let all = crate::support::Gate::serve(tempfile::tempdir().unwrap(), &words, true);
    assert!(all.dir.path().join(".local/share/portcullis/ledger.db").exists());
    stage.furnish(&all);
    decides(&all, "a new tenant, in one process", "");
    stage.suspend(&all, true);
    decides(&all, "suspended, in one process", SUSPENDED);
}

/// Under many writes a gate sees revisions only grow, and ends where the ledger does.
#[test]
fn revisions_only_grow() {
    let stage = Stage::new(On::Postgres);
    let api = stage.api();
    let gates = [stage.gate(&[]), stage.remote(&api.api, &[])];
    stage.furnish(&api);
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let watchers: Vec<_> = gates
            .iter()
            .map(|gate| {
                scope.spawn(|| {
                    let mut seen = vec![0];
                    while !done.load(std::sync::atomic::Ordering::Relaxed) {
                        let now = gate.metric("portcullis_snapshot_revision", &[]);
                        assert!(now >= *seen.last().unwrap(), "{now} after {seen:?}");
                        seen.push(now);
                    }
                    seen.dedup();
                    seen.len()
                })
            })
            .collect();
        for n in 0..60 {
            stage.suspend(&api, n % 2 == 0);
        }
        done.store(true, std::sync::atomic::Ordering::Relaxed);
        for watcher in watchers {
            assert!(watcher.join().unwrap() > 2, "it followed as it went");
        }
    });
    for gate in &gates {
        decides(gate, "after many changes", "");
        assert_eq!(gate.metric("portcullis_snapshot_reload_total", &["result=\"error\""]), 0);
    }
}

/// A gate of one cluster knows nothing of the others', and a cluster that is not there is said to be missing.
#[test]
fn a_cluster_has_its_part() {
    let stage = Stage::new(On::Postgres);
    let api = stage.api();
    stage.furnish(&api);
    stage.ok(&api, "POST", "/api/v1/clusters", json!({"name": "us-1"}));
    let eu = [stage.gate(&["--cluster", "eu-1"]), stage.remote(&api.api, &["--cluster", "eu-1"])];
    let us = [stage.gate(&["--cluster", "us-1"]), stage.remote(&api.api, &["--cluster", "us-1"])];
    for gate in &eu {
        decides(gate, "acme is here", "");
    }
    for gate in &us {
        decides(gate, "acme is elsewhere", "not registered");
    }
    stage.suspend(&api, true);
    stage.tenant(&api, "us-1", "globex");
    let globex = "tn-globex-shop-sbx-001";
    for gate in &eu {
        decides(gate, "suspended here", SUSPENDED);
        assert!(said(gate, globex).contains("not registered"), "{}", said(gate, globex));
    }
    for gate in &us {
        soon("globex is here", || !said(gate, globex).contains("not registered"));
        assert!(said(gate, SANDBOX).contains("not registered"));
    }
    let nowhere = stage.remote_when(&api.api, &["--cluster", "nowhere"], false);
    soon("a cluster that is not there", || {
        let (status, why) = super::stage::readiness(&nowhere);
        status == 503 && why.contains("CLUSTER_NOT_FOUND")
    });
}

/// The long poll as anybody sees it: at once where there is something, held while there is not, and for gates alone.
#[test]
fn the_long_poll_waits_for_what_is_new() {
    let stage = Stage::new(On::Sqlite);
    let api = stage.api();
    stage.furnish(&api);
    let service = stage.token("gate", "service");
    let ask = |query: &str| call(&api.api, &service, "GET", &format!("/api/v1/snapshot{query}"), None);
    let (status, whole) = ask("");
    assert_eq!(status, 200, "{whole}");
    let (ledger, revision) =
        (whole["ledger"].as_str().unwrap().to_owned(), whole["revision"].as_u64().unwrap());
    assert_eq!(whole["whole"]["revision"], revision);
    assert_eq!(whole["whole"]["tenants"]["acme"]["status"], "active");
    let (_, older) = ask(&format!("?ledger={ledger}&since={}", revision - 1));
    assert_eq!((&older["since"], &older["revision"]), (&json!(revision - 1), &json!(revision)));
    assert!(older["patch"].is_object() && older["whole"].is_null());
    let (_, other) = ask(&format!("?ledger={}&since={revision}", "018f2b7c-0000-7000-8000-00000000000a"));
    assert!(other["whole"].is_object(), "another ledger's gate takes the whole");

    // Fifty wait at once, on a pool of eight connections, and all are told; meanwhile the API answers others.
    let path = format!("?ledger={ledger}&since={revision}");
    std::thread::scope(|scope| {
        let waiting: Vec<_> = (0..50).map(|_| scope.spawn(|| ask(&path))).collect();
        std::thread::yield_now();
        soon("others are answered", || stage.call(&api, "GET", "/api/v1/clusters", None).0 == 200);
        stage.suspend(&api, true);
        for answer in waiting {
            let (status, answer) = answer.join().unwrap();
            assert_eq!((status, &answer["revision"]), (200, &json!(revision + 1)), "{answer}");
            assert_eq!(answer["patch"]["tenants"]["acme"]["status"], "suspended");
        }
    });
    for (token, expected) in [(stage.token("root", "admin"), 200), (String::new(), 401)] {
        assert_eq!(call(&api.api, &token, "GET", "/api/v1/snapshot", None).0, expected);
    }
    let (status, problem): (u16, Value) = ask("?since=-1");
    assert_eq!((status, &problem["code"]), (400, &json!("VALIDATION_ERROR")), "{problem}");
    let (status, problem) = ask("?cluster=nowhere");
    assert_eq!((status, &problem["code"]), (404, &json!("CLUSTER_NOT_FOUND")), "{problem}");
}

fn whole_document_is_compressed_for_who_takes_gzip(on: On) {
    use std::io::Read as _;
    let stage = Stage::new(on);
    let api = stage.api();
    stage.furnish(&api);
    (0..20).for_each(|number| stage.tenant(&api, "eu-1", &format!("t{number}")));
    let gate = stage.remote(&api.api, &[]);
    decides(&gate, "a gate reads what is compressed", "");
    let agent: ureq::Agent = ureq::Agent::config_builder().build().into();
    let ask = |accepted: Option<&str>| {
        let mut request = agent.get(format!("http://{}/api/v1/snapshot", api.api));
        request = request.header("authorization", format!("Bearer {}", stage.admin));
        if let Some(accepted) = accepted {
            request = request.header("accept-encoding", accepted);
        }
        let mut answer = request.call().unwrap();
        let header = |name: &str| answer.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
        let (coding, vary) = (header("content-encoding"), header("vary"));
        assert_eq!(vary.as_deref(), Some("accept-encoding"));
        (coding, answer.body_mut().read_to_vec().unwrap())
    };
    let (coding, plain) = ask(None);
    assert_eq!(coding, None);
    // Whichever comes first: what is remembered for one must not be answered to the other.
    for accepted in ["gzip", "gzip;q=0, identity", "br, GZIP"] {
        let (coding, body) = ask(Some(accepted));
        if accepted.contains("q=0") {
            assert_eq!((coding, &body), (None, &plain));
            continue;
        }
        assert_eq!(coding.as_deref(), Some("gzip"), "{accepted}");
        assert!(body.len() * 3 < plain.len(), "{} of {}", body.len(), plain.len());
        let mut text = Vec::new();
        flate2::read::GzDecoder::new(&body[..]).read_to_end(&mut text).unwrap();
        assert_eq!(text, plain);
    }
}

#[test]
fn whole_document_is_compressed_on_sqlite() {
    whole_document_is_compressed_for_who_takes_gzip(On::Sqlite);
}

#[test]
fn whole_document_is_compressed_on_postgres() {
    whole_document_is_compressed_for_who_takes_gzip(On::Postgres);
}
