use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::{Value, json};

use super::*;
use crate::labels::{Endpoint, NamespaceKind, Operation, Outcome, Verdict};

const PATIENCE: Duration = Duration::from_secs(10);

/// The record of the example in `docs/logging.md`.
fn example() -> Record {
    Record {
        time: "2026-07-01T12:00:00.123456Z".parse().unwrap(),
        decision_id: "0197c3f2-6d3e-7c1a-9a55-2f1d6b0c4e11".to_owned(),
        uid: "5f0c6f5e-8f0a-4f4e-9a39-6b8f7d1c2a10".to_owned(),
        endpoint: Endpoint::Validate,
        operation: Operation::Create,
        group: String::new(),
        kind: "Pod".to_owned(),
        resource: "pods".to_owned(),
        subresource: String::new(),
        namespace: "tn-acme-shop-sbx-001".to_owned(),
        namespace_kind: NamespaceKind::Sandbox,
        name: "web".to_owned(),
        user: "dev@acme.example".to_owned(),
        groups: vec!["acme-developers".to_owned(), "system:authenticated".to_owned()],
        requester_class: "tenant",
        tenants: vec!["acme".to_owned()],
        verdict: Verdict::Deny,
        code: 403,
        policies: vec![PolicyOutcome {
            id: "registry-allowlist".into(),
            outcome: Outcome::Deny,
            mode: "enforce",
        }],
        findings: vec![Finding {
            policy: "registry-allowlist".into(),
            field: "spec.containers[0].image".to_owned(),
            msg: "is not in an allowed registry".to_owned(),
            observed: Some("evil.example/web:1".to_owned()),
            details: None,
        }],
        findings_omitted: 0,
        exemptions: Vec::new(),
        warnings: 0,
        patch_bytes: 0,
        revision: "3f9a12bc/42".into(),
        duration_us: 61,
        dry_run: false,
        peer_verified: true,
        objects: None,
    }
}

fn args(file: &Path, sample: &str) -> DecisionArgs {
    DecisionArgs {
        decision_log: Destination::File(file.to_owned()),
        decision_log_sample: sample.parse().unwrap(),
        decision_log_objects: true,
    }
}

fn lines(file: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(file).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn documented_example_is_the_serialized_record() {
    let text =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/logging.md")).unwrap();
    let (_, rest) = text.split_once("<!-- decision -->\n```json\n").unwrap();
    let (line, _) = rest.split_once("\n```").unwrap();
    let expect = serde_json::to_string(&example()).unwrap();
    assert!(line == expect, "replace the example of docs/logging.md by this line:\n{expect}");
    for key in serde_json::from_str::<Value>(line).unwrap().as_object().unwrap().keys() {
        assert!(text.contains(&format!("| `{key}` |")), "`{key}` is not in the table of docs/logging.md");
    }
}

#[test]
fn decisions_are_written_in_order_before_close_returns() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("decisions.jsonl");
    let log = DecisionLog::start(&args(&file, "1")).unwrap();
    for number in 0..3000 {
        log.record(true, || Record { duration_us: number, ..example() });
    }
    assert!(log.close(PATIENCE));
    let times = lines(&file).iter().map(|line| line["duration_us"].as_u64().unwrap()).collect::<Vec<_>>();
    assert_eq!(times, (0..3000).collect::<Vec<_>>());
}

#[test]
fn only_plain_allows_are_sampled() {
    let dir = tempfile::tempdir().unwrap();
    for (share, from, to) in [("0", 0, 0), ("0.5", 800, 1200), ("1", 2000, 2000)] {
        let file = dir.path().join(share);
        let log = DecisionLog::start(&args(&file, share)).unwrap();
        for _ in 0..2000 {
            log.record(true, example);
        }
        for _ in 0..10 {
            log.record(false, || Record { dry_run: true, ..example() });
        }
        assert!(log.close(PATIENCE));
        let written = lines(&file);
        let denials = written.iter().filter(|line| line["dry_run"] == true).count();
        assert_eq!(denials, 10);
        assert!((from..=to).contains(&(written.len() - 10)), "{share}: {}", written.len());
    }
}

#[test]
fn bidirectional_controls_are_escaped() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("decisions.jsonl");
    let log = DecisionLog::start(&args(&file, "1")).unwrap();
    let user = "eve\u{202e}ecila\u{9b}";
    log.record(false, || Record { user: user.to_owned(), ..example() });
    assert!(log.close(PATIENCE));
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(text.contains(r#""user":"eve\u202eecila\u009b""#), "{text}");
    assert_eq!(lines(&file)[0]["user"], user);
}

#[test]
fn disabled_log_builds_no_record() {
    let log = DecisionLog::none();
    log.record(false, || unreachable!("the record must not be built"));
    assert!(log.close(PATIENCE) && !log.logs_objects());
}

#[test]
fn moved_file_is_reopened() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("decisions.jsonl");
    let log = DecisionLog::start(&args(&file, "1")).unwrap();
    log.record(false, example);
    while std::fs::metadata(&file).unwrap().len() == 0 {
        std::thread::yield_now();
    }
    std::fs::rename(&file, dir.path().join("old")).unwrap();
    log.reopen();
    log.record(false, example);
    assert!(log.close(PATIENCE));
    assert_eq!((lines(&file).len(), lines(&dir.path().join("old")).len()), (1, 1));
}

#[test]
fn unwritable_file_is_named_in_the_error() {
    let error = DecisionLog::start(&args(Path::new("/nowhere/at/all"), "1")).unwrap_err();
    assert!(error.to_string().contains("`/nowhere/at/all`") && error.to_string().contains("--decision-log"));
}

#[test]
fn full_queue_drops_objects_before_lines() {
    let queue = Queue::new();
    let object = Some(Bytes::from(vec![b' '; 5 << 20]));
    let heavy =
        || Record { objects: Some(Objects { object: object.clone(), ..Objects::default() }), ..example() };
    assert!(queue.push(heavy()) && queue.push(heavy()));
    let mut pushed = 2;
    while queue.push(example()) {
        pushed += 1;
    }
    let mut batch = Vec::new();
    queue.take(&mut batch);
    assert_eq!(batch.len(), pushed);
    assert!(pushed > 2000, "{pushed}");
    let omitted = |place: usize| batch.get(place).and_then(|record| record.objects.as_ref()).unwrap().omitted;
    assert_eq!((omitted(0), omitted(1)), (false, true));
    assert!(queue.push(example()), "the queue has room again");
}

#[test]
fn closed_queue_accepts_nothing_and_close_times_out() {
    let queue = Queue::new();
    assert!(!queue.close(Duration::from_millis(1)));
    assert!(!queue.push(example()));
}

#[test]
fn objects_and_observed_values_are_masked() {
    let secret = |value: &str| Some(Bytes::from(json!({"kind": "Secret", "data": {"p": value}}).to_string()));
    let record = Record {
        kind: "Secret".to_owned(),
        findings: vec![Finding {
            policy: "p".into(),
            field: "data.p".to_owned(),
            msg: "\"hunter2\" is too short".to_owned(),
            observed: Some("hunter2".to_owned()),
            details: Some(r#"{"value":"hunter2"}"#.to_owned()),
        }],
        objects: Some(Objects { object: secret("hunter2"), old_object: secret("hunter1"), omitted: false }),
        ..example()
    };
    let line = serde_json::to_string(&record).unwrap();
    assert!(!line.contains("hunter"), "{line}");
    assert!(
        line.contains(r#""msg":"\"***\" is too short""#)
            && line.contains(r#""object":{"data":{"p":{"length":7"#),
        "{line}"
    );
    let broken = Objects { object: Some(Bytes::from_static(b"{\"data\": hunter2")), ..Objects::default() };
    let line = serde_json::to_string(&Record { objects: Some(broken), ..example() }).unwrap();
    assert!(!line.contains("hunter"), "{line}");
}

#[test]
fn oversized_record_is_cut_to_its_bounds() {
    let long = "ä".repeat(1 << 20);
    let finding = Finding {
        policy: "p".into(),
        field: long.clone(),
        msg: long.clone(),
        observed: Some(long.clone()),
        details: Some(format!("\"{}\"", "ä".repeat(511))),
    };
    let mut record = Record {
        user: long.clone(),
        groups: vec![long.clone(); 100],
        findings: vec![finding; 100],
        exemptions: vec![Exemption { id: "e1".into(), kind: "exception" }; 100],
        ..example()
    };
    record.bound();
    assert_eq!(
        (record.groups.len(), record.groups[32].as_str(), record.findings.len(), record.findings_omitted),
        (33, "…", 20, 80)
    );
    assert_eq!(record.exemptions.len(), 10);
    let length = serde_json::to_string(&record).unwrap().len();
    assert!(length < 60 << 10, "{length}");
    let (field, msg) = ("spec.env[0].value".to_owned(), format!("{long}!"));
    let secret = Finding { policy: "p".into(), field, msg, observed: Some(long.clone()), details: None };
    let mut record = Record { findings: vec![secret], ..example() };
    record.bound();
    assert_eq!(record.findings[0].msg, "***!");
    let line = serde_json::to_value(&record).unwrap();
    assert_eq!(line["findings"][0]["observed"], crate::mask::digest(long.as_bytes()).to_string());
}

#[test]
fn details_are_masked_like_observed_values() {
    let written = |kind: &str, field: &str, details: &str, bound: bool| {
        let details = Some(details.to_owned());
        let finding = Finding { field: field.to_owned(), details, ..example().findings.remove(0) };
        let mut record = Record { kind: kind.to_owned(), findings: vec![finding], ..example() };
        if bound {
            record.bound();
        }
        let line = serde_json::to_value(&record).unwrap();
        line["findings"][0]["details"].clone()
    };
    let digest = |text: &str| crate::mask::digest(text.as_bytes());
    let env = "spec.containers[0].env[0].value";
    let far = format!("spec.{}.env[0].value", "x".repeat(300));
    for bound in [false, true] {
        let check = |kind: &str, field: &str, details: &str, expected: Value| {
            assert_eq!(written(kind, field, details, bound), expected, "{kind} {field} {details}");
        };
        check("Pod", "metadata", r#"{"missing":["team"]}"#, json!({"missing": ["team"]}));
        check("Pod", "metadata", r#"{"missing":["team"],"#, digest(r#"{"missing":["team"],"#));
        check("Pod", env, r#"{"v":"hunter2"}"#, digest(r#"{"v":"hunter2"}"#));
        check("Pod", "", r#"{"env":{"A":"hunter2"}}"#, json!({"env": {"A": digest("hunter2")}}));
        check(
            "Pod",
            "",
            r#"{"o":{"kind":"Secret","data":{"p":"hunter2"}}}"#,
            json!({"o": {"kind": "Secret", "data": {"p": digest("hunter2")}}}),
        );
        check("Secret", "data.p", "\"hunter2\"", json!(digest("hunter2").to_string()));
        check("Secret", "metadata.labels", r#"["team"]"#, json!(["team"]));
        check("Secret", "", "7", digest("7"));
        check(
            "Pod",
            "",
            r#""{\"env\":{\"A\":\"hunter2\"}}""#,
            json!(json!({"env": {"A": digest("hunter2")}}).to_string()),
        );
        // What is masked may be longer, and is bounded again.
        let many = json!({"env": (0..100).map(|at| (format!("V{at:02}"), json!("x"))).collect::<serde_json::Map<_, _>>()}).to_string();
        assert!(many.len() <= 1 << 10, "{}", many.len());
        check("Pod", "", &many, digest(&many));
    }
    assert_eq!(written("Pod", &far, "\"hunter2\"", true), json!(digest("hunter2").to_string()));
    let seen = Finding { field: far, observed: Some("hunter2".to_owned()), ..example().findings.remove(0) };
    let mut record = Record { findings: vec![seen], ..example() };
    record.bound();
    assert_eq!(record.findings[0].observed, Some(digest("hunter2").to_string()), "a path that is cut");
    // A record holds no more, but one that would is no exception.
    let long = format!("\"{}\"", "x".repeat(2000));
    assert_eq!(written("Pod", "", &long, true), digest(&long));
}

/// The target is 10 µs of CPU per line, including the writer; the bound allows for a debug build on a busy machine.
#[test]
fn recording_a_line_is_cheap() {
    let dir = tempfile::tempdir().unwrap();
    let log = DecisionLog::start(&args(&dir.path().join("decisions.jsonl"), "1")).unwrap();
    let (policy, revision): (Arc<str>, Arc<str>) = ("registry-allowlist".into(), "3f9a12bc/42".into());
    let make = || Record {
        policies: vec![PolicyOutcome { id: Arc::clone(&policy), outcome: Outcome::Deny, mode: "enforce" }],
        revision: Arc::clone(&revision),
        ..example()
    };
    let rounds = 4000_u32;
    let cpu = || metrics_process::collector::collect().cpu_seconds_total.unwrap();
    let (start, before) = (Instant::now(), cpu());
    for _ in 0..rounds {
        log.record(false, make);
    }
    let queued = start.elapsed() / rounds;
    assert!(log.close(PATIENCE));
    println!(
        "queued: {queued:?}; written: {:?}; CPU {:.1} µs per line",
        start.elapsed() / rounds,
        (cpu() - before) * 1e6 / f64::from(rounds)
    );
    assert!(queued < Duration::from_millis(1));
}
