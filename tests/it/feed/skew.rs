//! Gates and API of different builds. No released build exists to run here, so the other build is a proxy before a real API:
//! one that says and takes what the build before did, or one that says what a later build may; and what a gate of the
//! build before takes is a recorded schema of its document.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};

use super::stage::{On, SUSPENDED, Stage, call, decides, readiness, soon};

const UNKNOWN: &str = "portcullis_snapshot_unknown_keys";

/// The schema that the first build refused everything else by.
const FORMAT_1: &str = include_str!("format-1.schema.json");

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Build {
    /// Before digests and formats were said: a query that it does not know is refused.
    Before,
    /// This one.
    This,
    /// One that says more, under the same version of the format.
    Later,
}

/// An API of another build, at an address that stays.
struct Api {
    address: SocketAddr,
    build: Arc<Mutex<Build>>,
}

impl Api {
    fn before(api: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (address, build) = (listener.local_addr().unwrap(), Arc::new(Mutex::new(Build::This)));
        let (api, shared) = (api.to_owned(), Arc::clone(&build));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (api, build) = (api.clone(), Arc::clone(&shared));
                std::thread::spawn(move || answer(stream, &api, &build));
            }
        });
        Self { address, build }
    }

    fn become_(&self, build: Build) {
        *self.build.lock().unwrap() = build;
    }
}

/// One request, handed on and changed as the build would.
fn answer(mut stream: TcpStream, api: &str, build: &Mutex<Build>) {
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
    let Some(first) = lines.next() else { return };
    let path = first.split(' ').nth(1).unwrap().to_owned();
    let headers: BTreeMap<String, String> = lines
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.split_once(": ").map(|(name, value)| (name.to_lowercase(), value.to_owned())))
        .collect();
    let now = *build.lock().unwrap();
    let known = ["ledger=", "since=", "wait=", "cluster="];
    let query = path.split_once('?').map_or("", |(_, query)| query);
    let unknown = |pair: &str| !known.iter().any(|known| pair.starts_with(known));
    let (status, body) =
        if now == Build::Before && query.split('&').any(|pair| !pair.is_empty() && unknown(pair)) {
            (400, json!({"code": "VALIDATION_ERROR"}))
        } else {
            handed_on(api, &path, &headers, now)
        };
    // Whoever waited was answered by the build that is there now.
    let body = changed(body, *build.lock().unwrap()).to_string();
    let _ = write!(
        stream,
        "HTTP/1.1 {status} OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
}

fn handed_on(api: &str, path: &str, headers: &BTreeMap<String, String>, build: Build) -> (u16, Value) {
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .timeout_global(Some(Duration::from_mins(1)))
        .build()
        .into();
    let mut request = agent.get(format!("http://{api}{path}"));
    for name in ["authorization", "portcullis-snapshot-digest", "portcullis-snapshot-format"] {
        let old = build == Build::Before && name != "authorization";
        if let Some(value) = headers.get(name).filter(|_| !old) {
            request = request.header(name, value);
        }
    }
    match request.call() {
        Ok(mut response) => {
            let text = response.body_mut().with_config().limit(u64::MAX).read_to_string().unwrap();
            (response.status().as_u16(), serde_json::from_str(&text).unwrap_or_default())
        }
        Err(_) => (502, Value::Null),
    }
}

fn changed(mut answer: Value, build: Build) -> Value {
    let Some(fields) = answer.as_object_mut() else { return answer };
    match build {
        Build::This => {}
        Build::Before => {
            fields.remove("digest");
            fields.remove("format");
        }
        Build::Later => {
            fields.insert("novelty".to_owned(), json!(1));
            for part in ["whole", "patch"] {
                let Some(document) = fields.get_mut(part).and_then(Value::as_object_mut) else { continue };
                if document.is_empty() {
                    continue;
                }
                document.insert("novelty".to_owned(), json!({"of": "the whole"}));
                for section in ["tenants", "projects", "apps", "namespaces"] {
                    let entries = document.get_mut(section).and_then(Value::as_object_mut);
                    for entry in entries.into_iter().flat_map(|entries| entries.values_mut()) {
                        if let Some(entry) = entry.as_object_mut() {
                            entry.insert("novelty".to_owned(), json!([1, {"deep": true}]));
                        }
                    }
                }
            }
        }
    }
    answer
}

/// Gates first: the API of the build before is followed, changes by patches; then the API, and back.
#[test]
fn the_api_is_of_the_build_before_and_then_of_this_and_back() {
    let stage = Stage::new(On::Sqlite);
    let real = stage.api();
    stage.furnish(&real);
    let api = Api::before(&real.api);
    api.become_(Build::Before);
    let gate = stage.remote(&api.address.to_string(), &["--resync-interval", "1h"]);
    for build in [Build::Before, Build::This, Build::Before, Build::This] {
        api.become_(build);
        for (suspended, expected) in [(true, SUSPENDED), (false, "")] {
            stage.suspend(&real, suspended);
            decides(&gate, &format!("with an API {build:?}"), expected);
        }
        soon("well", || readiness(&gate) == (200, String::new()));
    }
    assert_eq!(gate.metric("portcullis_snapshot_reload_total", &["result=\"error\""]), 0);
    assert_eq!(gate.metric("portcullis_snapshot_forks_total", &[]), 0);
}

/// An API that says more than the gate knows: it is passed over, told once, and every change is taken.
fn later(on: On) {
    let stage = Stage::new(on);
    let real = stage.api();
    stage.furnish(&real);
    let api = Api::before(&real.api);
    let cache = stage.text("cache");
    let words = ["--resync-interval", "1h", "--snapshot-cache", cache.as_str()];
    let gate = stage.remote(&api.address.to_string(), &words);
    decides(&gate, "with an API of this build", "");
    assert_eq!(gate.metric(UNKNOWN, &[]), 0);
    api.become_(Build::Later);
    for (suspended, expected) in [(true, SUSPENDED), (false, ""), (true, SUSPENDED)] {
        stage.suspend(&real, suspended);
        decides(&gate, "with an API of a later build", expected);
    }
    assert!(gate.metric(UNKNOWN, &[]) > 0);
    assert_eq!(readiness(&gate).0, 200);
    let told = gate.told();
    let of_the_whole = |line: &&String| line.contains("it is ignored") && !line.contains("*.novelty");
    let told = told.iter().filter(of_the_whole);
    assert_eq!(told.count(), 1, "once");
    // A start finds the whole from a later build.
    assert!(gate.end(15).success());
    let gate = stage.remote(&api.address.to_string(), &words);
    decides(&gate, "after a start", SUSPENDED);
    soon("told", || gate.metric(UNKNOWN, &[]) >= 4);
    assert_eq!(gate.metric("portcullis_snapshot_held", &[]), 0, "nothing stays at an earlier state");
    stage.suspend(&real, false);
    decides(&gate, "and the next change", "");
    api.become_(Build::This);
    stage.suspend(&real, true);
    decides(&gate, "and back", SUSPENDED);
}

#[test]
fn an_api_of_a_later_build_is_followed_on_sqlite() {
    later(On::Sqlite);
}

#[test]
fn an_api_of_a_later_build_is_followed_on_postgres() {
    later(On::Postgres);
}

/// What a gate of the build before asks, and what it would refuse: any key that it does not know.
#[test]
fn a_gate_of_the_build_before_reads_what_it_is_answered() {
    let stage = Stage::new(On::Sqlite);
    let api = stage.api();
    stage.furnish(&api);
    let schema: Value = serde_json::from_str(FORMAT_1).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let ask = |query: &str| {
        let token = stage.token("old-gate", "service");
        let (status, answer) = call(&api.api, &token, "GET", &format!("/api/v1/snapshot{query}"), None);
        assert_eq!(status, 200, "{answer}");
        answer
    };
    let mut document = ask("")["whole"].clone();
    let read = |document: &Value| {
        let problems: Vec<String> = validator.iter_errors(document).map(|error| error.to_string()).collect();
        assert!(problems.is_empty(), "{problems:?}");
    };
    read(&document);
    let (ledger, since) = (document["ledger"].as_str().unwrap().to_owned(), document["revision"].clone());
    stage.suspend(&api, true);
    let answer = ask(&format!("?ledger={ledger}&since={since}&wait=1"));
    assert_eq!(answer["since"], since, "a patch, though it says no digest");
    json_patch::merge(&mut document, &answer["patch"]);
    read(&document);
    assert_eq!(document["tenants"]["acme"]["status"], "suspended");
    assert_eq!(document, ask("")["whole"]);
}

/// A format that is not written any more, or not yet.
#[test]
fn a_gate_is_answered_in_a_format_that_it_reads() {
    let stage = Stage::new(On::Sqlite);
    let api = stage.api();
    stage.furnish(&api);
    for (format, status) in [("1", 200), ("2", 200), ("4294967295", 200), ("0", 400), ("new", 400)] {
        let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
        let mut response = agent
            .get(format!("http://{}/api/v1/snapshot", api.api))
            .header("Authorization", format!("Bearer {}", stage.admin))
            .header("Portcullis-Snapshot-Format", format)
            .call()
            .unwrap();
        assert_eq!(response.status().as_u16(), status, "{format}");
        let answer: Value = serde_json::from_str(&response.body_mut().read_to_string().unwrap()).unwrap();
        if status == 200 {
            assert_eq!((&answer["format"], &answer["whole"]["version"]), (&json!(1), &json!(1)));
        }
    }
}
