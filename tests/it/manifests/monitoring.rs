//! Alerts and dashboard ask for metrics that exist.

use portcullis_telemetry::metrics::{self, Kind};
use serde_json::Value;

use crate::support::root;

/// Metrics of others that we ask for.
const FOREIGN: &[&str] = &[
    "apiserver_admission_match_condition_evaluation_errors_total",
    "apiserver_admission_webhook_admission_duration_seconds_bucket",
    "apiserver_admission_webhook_fail_open_count",
    "apiserver_admission_webhook_rejection_count",
];

fn read(file: &str) -> String {
    std::fs::read_to_string(root().join("charts/portcullis/files").join(file)).unwrap()
}

fn strings<'a>(value: &'a Value, key: &str, found: &mut Vec<&'a str>) {
    match value {
        Value::Object(map) => {
            found.extend(map.get(key).and_then(Value::as_str));
            map.values().for_each(|inner| strings(inner, key, found));
        }
        Value::Array(list) => list.iter().for_each(|inner| strings(inner, key, found)),
        _ => {}
    }
}

fn exists(name: &str) -> bool {
    let ours = |metric: &metrics::Description| match metric.kind {
        Kind::Histogram => {
            ["_bucket", "_sum", "_count"].iter().any(|end| name.strip_suffix(end) == Some(metric.name))
        }
        _ => name == metric.name,
    };
    metrics::all().iter().any(ours) || FOREIGN.contains(&name)
}

#[test]
fn every_metric_that_is_asked_for_exists() {
    let alerts: Value = serde_saphyr::from_str(&read("alerts.yaml")).unwrap();
    let dashboard: Value = serde_json::from_str(&read("dashboard.json")).unwrap();
    let mut expressions = Vec::new();
    strings(&alerts, "expr", &mut expressions);
    let rules = expressions.len();
    strings(&dashboard, "expr", &mut expressions);
    assert!(rules > 10 && expressions.len() > rules + 10);
    let word = |c: char| !(c.is_ascii_alphanumeric() || c == '_');
    let is_metric =
        |name: &&str| ["portcullis_", "process_", "apiserver_"].iter().any(|start| name.starts_with(start));
    for expression in expressions {
        let names: Vec<&str> = expression.split(word).filter(is_metric).collect();
        assert!(!names.is_empty() || expression.contains("up{"), "{expression}");
        assert!(names.iter().all(|name| exists(name)), "no such metric: {expression}");
    }
}

#[test]
fn every_alert_says_how_bad_it_is_and_what_it_means() {
    let alerts: Value = serde_saphyr::from_str(&read("alerts.yaml")).unwrap();
    let documented = std::fs::read_to_string(root().join("docs/operations.md")).unwrap();
    for group in alerts["groups"].as_array().unwrap() {
        for rule in group["rules"].as_array().unwrap() {
            let name = rule["alert"].as_str().unwrap();
            assert!(
                ["critical", "warning"].contains(&rule["labels"]["severity"].as_str().unwrap()),
                "{name}"
            );
            assert!(rule["annotations"]["summary"].is_string(), "{name}");
            assert!(
                documented.contains(&format!("`{name}`")),
                "docs/operations.md does not say what to do about {name}"
            );
        }
    }
}

/// Each alert of the ledger fires while there is still time to act.
#[test]
fn ledger_alerts_fire_long_before_the_end() {
    let alerts: Value = serde_saphyr::from_str(&read("alerts.yaml")).unwrap();
    let rules =
        alerts["groups"].as_array().unwrap().iter().flat_map(|group| group["rules"].as_array().unwrap());
    let rules: std::collections::BTreeMap<_, _> =
        rules.map(|rule| (rule["alert"].as_str().unwrap(), rule["expr"].as_str().unwrap())).collect();
    let half = portcullis_tenancy::snapshot::LENGTH_MAX / (2 * 1024 * 1024);
    for (name, expected) in [
        (
            "PortcullisSnapshotLarge",
            format!("max(portcullis_snapshot_bytes) > {half} * 1024 * 1024").as_str(),
        ),
        (
            "PortcullisLedgerTokenExpiring",
            "min(portcullis_ledger_token_expiry_timestamp_seconds) - time() < 7 * 86400",
        ),
        ("PortcullisLedgerUnreachable", "max(portcullis_snapshot_age_seconds) > 120"),
        ("PortcullisDatabaseUnreachable", "min(portcullis_database_reachable) == 0"),
        (
            "PortcullisApiErrors",
            "sum by (route, status) (rate(portcullis_http_requests_total{status=~\"5..\"}[5m])) > 0",
        ),
    ] {
        assert_eq!(rules.get(name), Some(&expected), "{name}");
    }
}
