//! Leave from laws, by the running binaries: an exception through the ledger, break-glass through the ledger and by a file.

use std::process::Output;

use serde_json::{Value, json};

use crate::feed::stage::{On, SUSPENDED, Stage, decides, said, soon};
use crate::support::wire::SANDBOX;
use crate::support::{Gate, portcullis};

fn command(stage: &Stage, words: &[&str]) -> Output {
    let mut command = portcullis();
    command.arg("breakglass").args(words).current_dir(stage.path("."));
    command.output().unwrap()
}

fn run(stage: &Stage, words: &[&str]) -> String {
    let done = command(stage, words);
    assert!(done.status.success(), "{words:?}: {}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).unwrap()
}

/// The decision log names the exemption that admitted an object in a field, and in no line of a denial.
fn logged_exemption(gate: &Gate, id: &str, kind: &str) {
    let expected = json!([{"id": id, "kind": kind}]);
    soon("the decision log names the exemption", || {
        let text = std::fs::read_to_string(gate.path("decisions.jsonl")).unwrap_or_default();
        let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let (admitted, denied): (Vec<_>, Vec<_>) = lines.partition(|line| line["verdict"] == "allow");
        assert!(denied.iter().all(|line| line["exemptions"] == json!([])), "{text}");
        admitted.iter().any(|line| line["exemptions"] == expected)
    });
}

fn an_exception_opens_and_ends(on: On) {
    let stage = Stage::new(on);
    let api = stage.api();
    stage.furnish(&api);
    let exception = |objects: Value, expires: &str| {
        json!({"tenant": "acme", "policy": "suspended-tenant", "subjects": ["alice@acme.io"], "objects": objects,
            "reason": "until the migration is done", "expires": expires})
    };
    let (status, refused) = stage.call(
        &api,
        "POST",
        "/api/v1/exceptions",
        Some(&exception(json!([{"resource": "Pods"}]), "2026-12-31T00:00:00Z")),
    );
    assert_eq!((status, &refused["errors"][0]["pointer"]), (400, &json!("/objects/0/resource")), "{refused}");
    stage.suspend(&api, true);
    let gate = stage.remote(&api.api, &["--cluster", "eu-1"]);
    decides(&gate, "suspended", SUSPENDED);
    let expires = (jiff::Timestamp::now() + jiff::SignedDuration::from_hours(1)).to_string();
    let made =
        stage.ok(&api, "POST", "/api/v1/exceptions", exception(json!([{"namespace": SANDBOX}]), &expires));
    decides(&gate, "excepted", "");
    logged_exemption(&gate, made["id"].as_str().unwrap(), "exception");
    let path = format!("/api/v1/exceptions/{}", made["id"].as_str().unwrap());
    stage.ok(&api, "DELETE", &path, Value::Null);
    decides(&gate, "no more", SUSPENDED);
    // One that ends while nobody looks: the gate by its own clock, the ledger by its reaper.
    let expires = (jiff::Timestamp::now() + jiff::SignedDuration::from_secs(3)).to_string();
    stage.ok(&api, "POST", "/api/v1/exceptions", exception(json!([{"namespace": SANDBOX}]), &expires));
    decides(&gate, "excepted again", "");
    decides(&gate, "its time is over", SUSPENDED);
    soon("it is told", || {
        let (_, audit) = stage.call(&api, "GET", "/api/v1/audit?action=exception.expire", None);
        audit["items"][0]["actor"] == "portcullis#reaper"
    });
    let (_, whole) = stage.call(&api, "GET", "/api/v1/snapshot", None);
    assert_eq!(whole["whole"]["exceptions"], json!({}), "{whole}");
}

#[test]
fn an_exception_opens_and_ends_on_sqlite() {
    an_exception_opens_and_ends(On::Sqlite);
}

#[test]
fn an_exception_opens_and_ends_on_postgres() {
    an_exception_opens_and_ends(On::Postgres);
}

const OPEN: &[&str] = &[
    "open",
    "--key",
    "glass.key",
    "--user",
    "alice@acme.io",
    "--namespace",
    SANDBOX,
    "--policy",
    "suspended-tenant",
    "--reason",
    "INC-7: the shop is down",
];

#[test]
fn break_glass_by_the_ledger_is_seen_by_every_gate_with_the_key() {
    for on in [On::Sqlite, On::Postgres] {
        let stage = Stage::new(on);
        let api = stage.api();
        run(&stage, &["key", "glass.key"]);
        let key = stage.text("glass.key.pub");
        let gate = stage.remote(&api.api, &["--breakglass-key", &key]);
        let blind = stage.remote(&api.api, &[]);
        stage.furnish(&api);
        stage.suspend(&api, true);
        decides(&gate, "suspended", SUSPENDED);
        std::fs::write(stage.path("admin"), &stage.admin).unwrap();
        let (url, token) = (format!("http://{}", api.api), stage.text("admin"));
        let by_api = ["--api-url", &url, "--token-file", &token];
        run(&stage, &[OPEN, &by_api].concat());
        decides(&gate, "open", "");
        assert!(said(&blind, SANDBOX).contains(SUSPENDED), "a gate without the key believes nobody");
        assert!(metric(&gate, "portcullis_breakglass_open 1"));
        let listed: Value =
            serde_json::from_str(&run(&stage, &[&["list", "-o", "json"], &by_api[..]].concat())).unwrap();
        let id = listed[0]["id"].as_str().unwrap();
        logged_exemption(&gate, id, "breakglass");
        run(&stage, &[&["close", id], &by_api[..]].concat());
        decides(&gate, "closed", SUSPENDED);
        assert!(metric(&gate, "portcullis_breakglass_open 0"));
        let (_, audit) = stage.call(&api, "GET", "/api/v1/audit?action=breakglass.use", None);
        assert_eq!(audit["items"][0]["reason"], "INC-7: the shop is down", "{audit}");
    }
}

#[test]
fn break_glass_by_a_file_needs_nothing_else_of_ours() {
    let stage = Stage::new(On::Sqlite);
    let api = stage.api();
    stage.furnish(&api);
    stage.suspend(&api, true);
    run(&stage, &["key", "glass.key"]);
    let (key, file) = (stage.text("glass.key.pub"), stage.text("glass.json"));
    let gate = stage.remote(&api.api, &["--breakglass-key", &key, "--breakglass", &file]);
    decides(&gate, "suspended", SUSPENDED);
    drop(api);
    run(&stage, &[OPEN, &["--file", &file]].concat());
    decides(&gate, "open", "");
    // What cannot be read closes nothing, and opens nothing.
    let good = std::fs::read(&file).unwrap();
    std::fs::write(&file, "breakglass: [").unwrap();
    soon("it is refused", || gate.get("/readyz").1.contains("break-glass documents is rejected"));
    decides(&gate, "still open", "");
    std::fs::write(&file, good).unwrap();
    let listed: Value = serde_json::from_str(&run(&stage, &["list", "-o", "json", "--file", &file])).unwrap();
    run(&stage, &["close", listed[0]["id"].as_str().unwrap(), "--file", &file]);
    decides(&gate, "closed", SUSPENDED);
}

#[test]
fn bad_words_of_breakglass_are_told() {
    let stage = Stage::new(On::Sqlite);
    run(&stage, &["key", "glass.key"]);
    for (words, says) in [
        (&["key", "glass.key"][..], "cannot write `glass.key`"),
        (
            &[OPEN, &["--file", "x", "--ttl", "9h"]].concat(),
            "`expires` must be after `notBefore`, by at most 8h",
        ),
        (&["close", "nobody", "--file", "x"], "`x` holds no break-glass document `nobody`"),
        (&["open", "--file", "x"], "--user <USER>"),
    ] {
        let done = command(&stage, words);
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        assert_eq!(done.status.code(), Some(2), "{words:?}: {said}");
        assert!(said.contains(says), "{words:?}: {said}");
    }
}

fn metric(gate: &Gate, line: &str) -> bool {
    gate.get("/metrics").1.lines().any(|found| found == line)
}
