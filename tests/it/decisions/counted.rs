//! Metrics of a running gate.

use crate::support::wire::{Ask, EVIL};
use crate::support::{Gate, Options};

const REQUESTS: &str = "portcullis_admission_requests_total";

#[test]
fn a_denial_is_one_more_in_one_series() {
    let gate = Gate::start(&Options::default());
    gate.ask("validate", &Ask::default().body());
    let before = gate.series(REQUESTS, &[]);
    let timed = gate.metric("portcullis_admission_duration_seconds_count", &[]);
    gate.ask("validate", &Ask::pod(EVIL).body());
    let moved: Vec<_> = gate.series(REQUESTS, &[]).into_iter().filter(|one| !before.contains(one)).collect();
    let series = format!(
        r#"{REQUESTS}{{endpoint="validate",operation="CREATE",verdict="deny",namespace_kind="sandbox",dry_run="false"}}"#
    );
    assert_eq!(moved, [(series, "1".to_owned())]);
    assert_eq!(
        gate.metric(
            "portcullis_policy_decisions_total",
            &["policy=\"registry-allowlist\"", "outcome=\"deny\"", "dry_run=\"false\""]
        ),
        1
    );
    assert_eq!(gate.metric("portcullis_admission_duration_seconds_count", &[]), timed + 1);
    assert_eq!(gate.metric("portcullis_inflight_requests", &[]), 0);
}

#[test]
fn dry_runs_are_counted_apart() {
    let gate = Gate::start(&Options::default());
    gate.ask("validate", &Ask { dry_run: true, ..Ask::pod(EVIL) }.body());
    assert_eq!(gate.metric(REQUESTS, &["dry_run=\"true\""]), 1, "{:?}", gate.series(REQUESTS, &[]));
    assert_eq!(gate.metric(REQUESTS, &["dry_run=\"false\""]), 0);
    assert_eq!(
        gate.metric(
            "portcullis_policy_decisions_total",
            &["policy=\"registry-allowlist\"", "outcome=\"deny\"", "dry_run=\"true\""]
        ),
        1
    );
}

/// Every metric is on the page, described once, before its samples; and none that nobody described.
#[test]
fn the_page_has_every_metric_and_no_other() {
    let gate = Gate::start(&Options::default());
    gate.ask("validate", &Ask::pod(EVIL).body());
    let page = gate.get("/metrics").1;
    let all = portcullis_telemetry::metrics::all();
    for metric in all {
        assert_eq!(page.matches(&format!("# HELP {} ", metric.name)).count(), 1, "{}", metric.name);
        assert_eq!(
            page.matches(&format!("# TYPE {} {}\n", metric.name, metric.kind.as_str())).count(),
            1,
            "{}",
            metric.name
        );
    }
    for line in page.lines().filter(|line| !line.starts_with('#')) {
        let name = line.split(['{', ' ']).next().unwrap();
        let base =
            ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name);
        assert!(all.iter().any(|metric| metric.name == name || metric.name == base), "{line}");
    }
}

/// Nothing a request may choose becomes a label.
#[test]
fn no_name_of_a_request_is_on_the_page() {
    let gate = Gate::start(&Options::default());
    let ask = Ask {
        name: "namedthing".into(),
        namespace: "tn-chosen-by-me".into(),
        user: r#"{"username":"chosen@by.me","groups":["chosengroup"]}"#,
        ..Ask::default()
    };
    gate.ask("validate", &ask.body());
    gate.ask("validate", &ask.with("\"operation\":\"CREATE\"", "\"operation\":\"CHOSEN\""));
    let page = gate.get("/metrics").1;
    for word in ["namedthing", "chosen", "CHOSEN"] {
        assert!(!page.contains(word), "{word}");
    }
}
