use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::time::{Duration, Instant};

use super::series::{Counter, Family, Histogram, SERIES_MAX};
use super::*;
use crate::labels::{Endpoint, NamespaceKind, Operation, Outcome, Verdict};

const REVIEW: ReviewLabels = ReviewLabels {
    endpoint: Endpoint::Validate,
    operation: Operation::Create,
    verdict: Verdict::Deny,
    namespace_kind: NamespaceKind::App,
    dry_run: true,
};

/// Emits each metric once, under labels that need escaping where they can.
fn render_every_metric() -> String {
    let handle = install();
    review_completed(REVIEW, Duration::from_micros(30));
    let policy = PolicyMetrics::new("quote\"back\\slash");
    policy.count_outcome(Outcome::Deny, false);
    policy.record_duration(Duration::from_nanos(1500));
    request_rejected("capacity");
    inflight(1);
    std::mem::forget(OpenConnection::new());
    http_rejected(413);
    certificate_expiry("webhook", 1_900_000_000.0);
    policy_reload(true);
    policy_revision("0123abcd");
    policy_error("p", "budget");
    policy_broken("p", true);
    patch_dropped("p");
    patch_repeats("p");
    snapshot_reload(true);
    snapshot_revision(42);
    snapshot_confirmed(Duration::from_secs(1));
    snapshot_forked();
    snapshot_unknown_keys(1);
    snapshot_held(1, 0);
    snapshot_bytes(4096);
    ledger_token_expiry(Some(1_900_000_000));
    database_reachable(true);
    snapshot_cache_written(true);
    snapshot_reconciled(true);
    api_request("/api/v1/clusters/{c}", "GET", 200, Duration::from_millis(2));
    decision_log_dropped(1);
    certificate_trusted("mutating", true);
    client_verification("required");
    policy_configmaps("in_force", 1);
    api_server_contact("namespaces");
    cluster_namespaces(7);
    namespace_drift("not_in_ledger", 0);
    webhook_config_drift(0);
    ca_bundle_repaired();
    let findings = [("no-latest".to_owned(), 3)].into();
    scan_completed(Scan { findings, objects: 9, unjudged: 1, took: Duration::from_secs(2), ended: 1.8e9 });
    scan_failed();
    handle.render()
}

fn count(page: &str, series: &str) -> u64 {
    let line = page.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.map_or(0, |value| value.parse().unwrap())
}

#[test]
fn each_metric_has_help_type_and_a_sample() {
    let page = render_every_metric();
    let lines = page.lines().collect::<Vec<_>>();
    for metric in all() {
        let help = format!("# HELP {} ", metric.name);
        let at = lines.iter().position(|line| line.starts_with(&help)).unwrap();
        assert_eq!(lines[at + 1], format!("# TYPE {} {}", metric.name, metric.kind.as_str()));
        let optional = ["process_virtual_memory_max_bytes", "process_max_fds"].contains(&metric.name);
        let sampled = lines.get(at + 2).is_some_and(|line| line.starts_with(metric.name));
        assert!(sampled || optional, "{} has no sample", metric.name);
    }
}

/// The rules of `promtool check metrics`, and that samples carry exactly the labels of their description.
#[test]
fn page_is_valid_text_format_and_passes_promtool_rules() {
    let page = render_every_metric();
    assert!(page.ends_with('\n') && !page.contains("\n\n"));
    let mut seen = BTreeSet::new();
    let mut metric = &all()[0];
    for line in page.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            metric = all().iter().find(|metric| rest.starts_with(&format!("{} ", metric.name))).unwrap();
        }
        if line.starts_with('#') {
            continue;
        }
        let (series, number) = line.rsplit_once(' ').unwrap();
        assert!(number.parse::<f64>().unwrap() >= 0.0, "{line}");
        assert!(seen.insert(series.to_owned()), "twice: {series}");
        let name = series.split('{').next().unwrap();
        let suffix = name.strip_prefix(metric.name).unwrap();
        let allowed: &[&str] =
            if metric.kind == Kind::Histogram { &["_bucket", "_sum", "_count"] } else { &[""] };
        assert!(allowed.contains(&suffix), "{line}");
        let names = series.split_once('{').map_or(vec![], |(_, labels)| {
            labels
                .split(',')
                .map(|pair| pair.split_once('=').unwrap().0)
                .filter(|name| *name != "le")
                .collect()
        });
        assert_eq!(names, metric.labels, "{line}");
    }
    for metric in all() {
        assert_eq!(metric.name.ends_with("_total"), metric.kind == Kind::Counter, "{}", metric.name);
        assert!(metric.name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{}", metric.name);
        assert!(!metric.help.is_empty() && !metric.help.ends_with('.'), "{}", metric.name);
        let stem = metric.name.trim_end_matches("_total");
        for unit in ["seconds", "bytes"] {
            assert_eq!(stem.ends_with(unit), metric.unit == unit, "{}", metric.name);
        }
    }
}

#[test]
fn buckets_are_cumulative_and_inclusive() {
    static BOUNDS: &[u64] = &[1_000, 2_000];
    let histogram = Histogram::new(BOUNDS);
    for ns in [1_000, 1_001, 2_000, 5_000] {
        histogram.record(Duration::from_nanos(ns));
    }
    assert_eq!(histogram.read(), (vec![(0.000_001, 1), (0.000_002, 3)], 4, 0.000_009_001));
    histogram.record(Duration::MAX);
    assert_eq!(histogram.read().1, 5);
}

#[test]
fn dry_runs_have_their_own_series() {
    let review = ReviewLabels { operation: Operation::Connect, ..REVIEW };
    let series = |dry_run| {
        format!(
            "portcullis_admission_requests_total{{endpoint=\"validate\",operation=\"CONNECT\",verdict=\"deny\",namespace_kind=\"app\",dry_run=\"{dry_run}\"}}"
        )
    };
    review_completed(review, Duration::ZERO);
    review_completed(ReviewLabels { dry_run: false, ..review }, Duration::ZERO);
    review_completed(ReviewLabels { dry_run: false, ..review }, Duration::ZERO);
    let page = install().render();
    assert_eq!((count(&page, &series(true)), count(&page, &series(false))), (1, 2));
}

#[test]
fn policy_counters_survive_a_reload() {
    PolicyMetrics::new("reloaded").count_outcome(Outcome::Warn, false);
    PolicyMetrics::new("reloaded").count_outcome(Outcome::Warn, false);
    let series = "portcullis_policy_decisions_total{policy=\"reloaded\",outcome=\"warn\",dry_run=\"false\"}";
    assert_eq!(count(&install().render(), series), 2);
}

/// 4,096 policies with sixteen buckets would be 74,000 lines per scrape.
#[test]
fn policy_adds_at_most_eight_lines_of_duration() {
    PolicyMetrics::new("timed-once").record_duration(Duration::from_micros(30));
    let page = install().render();
    let is_of_policy = |line: &&str| {
        line.starts_with("portcullis_policy_duration_seconds") && line.contains("policy=\"timed-once\"")
    };
    assert_eq!(page.lines().filter(is_of_policy).count(), 8);
}

#[test]
fn family_has_a_bounded_number_of_series() {
    let family = Family::<Counter>::new(&["a", "b"]);
    for number in 0..SERIES_MAX + 10 {
        family.with(&[&number.to_string(), "x"]).add(1);
    }
    let all =
        family.all().into_iter().map(|(labels, counter)| (labels, counter.get())).collect::<BTreeMap<_, _>>();
    assert_eq!((all.len(), all["a=\"other\",b=\"other\""]), (SERIES_MAX + 1, 10));
    assert_eq!(Family::<Counter>::new(&["a"]).all().len(), 0);
}

#[test]
fn revision_replaces_the_previous_one() {
    let family = Family::<Counter>::new(&["revision"]);
    family.replace_all(&["a"]);
    family.replace_all(&["b"]);
    assert_eq!(family.all().into_iter().map(|(labels, _)| labels).collect::<Vec<_>>(), ["revision=\"b\""]);
}

/// The table of `docs/metrics.md`, between its markers, is the one written here.
#[test]
fn documentation_lists_exactly_these_metrics() {
    let mut table =
        String::from("| metric | type | labels | unit | what it says |\n| --- | --- | --- | --- | --- |\n");
    for metric in all() {
        let labels = metric.labels.iter().map(|label| format!("`{label}`")).collect::<Vec<_>>().join(" ");
        let kind = metric.kind.as_str();
        writeln!(table, "| `{}` | {kind} | {labels} | {} | {} |", metric.name, metric.unit, metric.help)
            .unwrap();
    }
    let text =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/metrics.md")).unwrap();
    let (_, rest) = text.split_once("<!-- metrics -->\n").unwrap();
    let (listed, _) = rest.split_once("<!-- /metrics -->").unwrap();
    assert!(listed == table, "replace the table of docs/metrics.md by this one:\n{table}");
}

/// The target is under 1 µs per review in release builds; the bound allows for a debug build on a busy machine.
#[test]
fn review_of_five_policies_updates_metrics_quickly() {
    let policies = (0..5).map(|number| PolicyMetrics::new(&format!("timed-{number}"))).collect::<Vec<_>>();
    let rounds = 100_000_u32;
    let timed = |name: &str, emit: &dyn Fn(Duration)| {
        let start = Instant::now();
        (0..rounds).for_each(|round| emit(Duration::from_nanos(u64::from(round))));
        let each = start.elapsed().as_secs_f64() * 1e9 / f64::from(rounds);
        println!("{name}: {each:.1} ns");
        each
    };
    timed("review_completed", &|took| review_completed(REVIEW, took));
    timed("count_outcome", &|_| policies[0].count_outcome(Outcome::Pass, false));
    timed("record_duration", &|took| policies[0].record_duration(took));
    timed("inflight", &|_| inflight(0));
    timed("http_rejected", &|_| http_rejected(499));
    timed("request_rejected", &|_| request_rejected("timed"));
    let whole = timed("a review with five policies", &|took| {
        inflight(1);
        for policy in &policies {
            policy.count_outcome(Outcome::Pass, false);
            policy.record_duration(took);
        }
        review_completed(REVIEW, took);
        inflight(-1);
    });
    let start = Instant::now();
    let page = install().render();
    println!("render: {:?}, {} bytes", start.elapsed(), page.len());
    assert!(whole < 50_000.0, "{whole} ns");
}
