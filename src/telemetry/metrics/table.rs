//! Every metric of the gate: what it is called, what it says, its labels, and what writes its samples.

use super::text::Page;
use super::{cluster, http, reviews, scan, state};

/// One metric, as `/metrics` and `docs/metrics.md` show it.
#[derive(Debug)]
pub struct Description {
    /// The name; a contract.
    pub name: &'static str,
    /// What one number says: shape, unit, bounds. One sentence without a final period.
    pub help: &'static str,
    /// Counter, gauge or histogram.
    pub kind: Kind,
    /// Names of its labels; each takes values from a closed list, or is bounded to 4096 values of 128 characters.
    pub labels: &'static [&'static str],
    /// What is counted or measured: `seconds`, `bytes`, or a plural noun; empty for a number without a unit.
    pub unit: &'static str,
    pub(super) write: fn(&Description, &mut Page),
}

/// The type of a metric in the sense of Prometheus.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Grows from 0; its name ends in `_total`.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Durations in fixed buckets, in seconds.
    Histogram,
}

impl Kind {
    /// The word of the text format.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

type Write = fn(&Description, &mut Page);
type Words = &'static [&'static str];

const fn counter(
    name: &'static str,
    labels: Words,
    unit: &'static str,
    help: &'static str,
    write: Write,
) -> Description {
    Description { name, help, kind: Kind::Counter, labels, unit, write }
}

const fn gauge(
    name: &'static str,
    labels: Words,
    unit: &'static str,
    help: &'static str,
    write: Write,
) -> Description {
    Description { name, help, kind: Kind::Gauge, labels, unit, write }
}

const fn histogram(name: &'static str, labels: Words, help: &'static str, write: Write) -> Description {
    Description { name, help, kind: Kind::Histogram, labels, unit: "seconds", write }
}

#[rustfmt::skip] // one metric, two lines: a table is read down its columns
pub(super) static ALL: &[Description] = &[
    counter("portcullis_admission_requests_total", &["endpoint", "operation", "verdict", "namespace_kind", "dry_run"], "reviews",
        "Reviews answered, by where they came in, what they wanted and what they were told; dry runs apart", reviews::write_requests),
    histogram("portcullis_admission_duration_seconds", &["endpoint"],
        "Time from the last byte of a review to its answer, from 25 µs to 1 s", reviews::write_duration),
    counter("portcullis_policy_decisions_total", &["policy", "outcome", "dry_run"], "outcomes",
        "Outcomes of each policy on the reviews that it matched; one that warns and patches counts under both, `patch` only where its patch was sent", reviews::write_policy_decisions),
    histogram("portcullis_policy_duration_seconds", &["policy"],
        "Time of one evaluation of one policy, from 10 µs to 50 ms; absent until it ran", reviews::write_policy_duration),
    counter("portcullis_policy_errors_total", &["policy", "reason"], "errors",
        "Evaluations of a policy that failed, by reason; its on_error answered", |metric, page| state::POLICY_ERRORS.write(metric, page)),
    gauge("portcullis_policy_broken", &["policy"], "",
        "1 while this policy does not load and answers by its on_error, else 0", |metric, page| state::POLICY_BROKEN.write(metric, page)),
    counter("portcullis_policy_reload_total", &["result"], "reloads",
        "Attempts to load the policies, by result: ok or error", |metric, page| state::POLICY_RELOADS.write(metric, page)),
    gauge("portcullis_policy_last_reload_successful", &[], "",
        "1 when the last attempt to load the policies succeeded, 0 when the set before it was kept", |metric, page| state::POLICY_RELOAD_OK.write(metric, page)),
    gauge("portcullis_policy_revision_info", &["revision"], "",
        "1 for the revision of the policies that decide now; the revision is the digest of their sources", |metric, page| state::POLICY_REVISION.write(metric, page)),
    counter("portcullis_patches_dropped_total", &["policy"], "patches",
        "Patches of a policy that were dropped, because with them the object would have been denied or broken", |metric, page| state::PATCHES_DROPPED.write(metric, page)),
    counter("portcullis_patch_repeats_total", &["policy"], "patches",
        "Patches of a policy that were asked for again on their own result, and changed it: they are not idempotent", |metric, page| state::PATCH_REPEATS.write(metric, page)),
    counter("portcullis_leave_used_total", &["kind"], "reviews",
        "Reviews on which leave lifted a denial, by kind: exception or breakglass; dry runs are not counted", |metric, page| state::LEAVES_USED.write(metric, page)),
    gauge("portcullis_breakglass_open", &[], "documents",
        "Break-glass documents that hold now", state::write_breakglass),
    gauge("portcullis_snapshot_revision", &[], "",
        "Revision of the tenancy snapshot that decides now", |metric, page| state::SNAPSHOT_REVISION.write(metric, page)),
    gauge("portcullis_snapshot_age_seconds", &[], "seconds",
        "Time since the tenancy snapshot was last known to be the newest", state::write_snapshot_age),
    gauge("portcullis_snapshot_bytes", &[], "bytes",
        "Length of the tenancy snapshot that decides now, as JSON or as its file has it; a reader takes 64 MiB at most", |metric, page| state::SNAPSHOT_BYTES.write(metric, page)),
    counter("portcullis_snapshot_reload_total", &["result"], "reloads",
        "Attempts to load the tenancy snapshot, by result: ok or error", |metric, page| state::SNAPSHOT_RELOADS.write(metric, page)),
    gauge("portcullis_snapshot_held", &["kind"], "entries",
        "Entries of the ledger that do not read and stay at their last good state, by kind: tenant or other", |metric, page| state::SNAPSHOT_HELD.write(metric, page)),
    counter("portcullis_snapshot_kept_total", &["result"], "writes",
        "Copies of the tenancy snapshot written to --snapshot-cache, by result: ok or error", |metric, page| state::SNAPSHOT_KEPT.write(metric, page)),
    counter("portcullis_snapshot_reconcile_total", &["result"], "comparisons",
        "Comparisons of the snapshot that decides with the whole ledger, by result: same or different", |metric, page| state::SNAPSHOT_RECONCILED.write(metric, page)),
    gauge("portcullis_snapshot_unknown_keys", &[], "places",
        "Places of the ledger's document with keys that this build does not know and passes over, 20 at most; they decide nothing", |metric, page| state::SNAPSHOT_UNKNOWN_KEYS.write(metric, page)),
    counter("portcullis_snapshot_forks_total", &[], "forks",
        "Times that the ledger, or a gate that asks, had another history than what is decided by, so that the whole was taken", |metric, page| state::SNAPSHOT_FORKS.write(metric, page)),
    gauge("portcullis_ledger_token_expiry_timestamp_seconds", &[], "seconds",
        "When the token of --ledger-token ends, in seconds since 1970; absent where it does not say, and for one that the kubelet renews until that is late", state::write_token_expiry),
    gauge("portcullis_database_reachable", &[], "",
        "1 while the ledger's database answers this process, else 0; absent without --database", |metric, page| state::DATABASE_REACHABLE.write(metric, page)),
    gauge("portcullis_policy_configmaps", &["state"], "configmaps",
        "ConfigMaps with the label of --policy-configmaps, by state: in_force or refused; absent without the flag", |metric, page| cluster::CONFIGMAPS.write(metric, page)),
    gauge("portcullis_cluster_age_seconds", &["watch"], "seconds",
        "Time since the API server was last heard on this watch, up to half a minute in a quiet cluster; absent until it was", cluster::write_age),
    gauge("portcullis_cluster_namespaces", &[], "namespaces",
        "Namespaces of the cluster that policies can see", |metric, page| cluster::NAMESPACES.write(metric, page)),
    gauge("portcullis_cluster_disagreement", &["kind"], "namespaces",
        "Tenant namespaces in which cluster and ledger disagree, by kind: not_in_ledger or not_in_cluster", |metric, page| cluster::DISAGREEMENT.write(metric, page)),
    gauge("portcullis_registration_drift", &[], "places",
        "Places in which the webhook configurations in the cluster are not what portcullis manifests prints", |metric, page| cluster::DRIFT.write(metric, page)),
    counter("portcullis_registration_mended_total", &[], "writes",
        "Times that the caBundle of the webhook configurations was put right", |metric, page| cluster::MENDED.write(metric, page)),
    gauge("portcullis_scan_findings", &["policy"], "findings",
        "What the last scan of this process found denied, by policy; absent before the first, and then 0 where nothing was", scan::write_findings),
    gauge("portcullis_scan_objects", &[], "objects",
        "Objects that the last scan of this process judged", scan::write_objects),
    gauge("portcullis_scan_unjudged", &[], "objects",
        "Objects and kinds that the last scan of this process could not judge", scan::write_unjudged),
    gauge("portcullis_scan_duration_seconds", &[], "seconds",
        "How long the last scan of this process took", scan::write_took),
    gauge("portcullis_scan_last_timestamp_seconds", &[], "seconds",
        "When the last scan of this process ended, in seconds since 1970", scan::write_ended),
    counter("portcullis_scan_failures_total", &[], "scans",
        "Scans that came to nothing, because the cluster or the ledger did not answer or forbade it", |metric, page| scan::FAILED.write(metric, page)),
    counter("portcullis_decision_log_dropped_total", &[], "lines",
        "Lines of the decision log that were not written, because the queue was full or the sink failed", |metric, page| state::DECISIONS_DROPPED.write(metric, page)),
    gauge("portcullis_certificate_expiry_timestamp_seconds", &["name"], "seconds",
        "When the certificate of this name ends, in seconds since 1970", |metric, page| state::CERTIFICATE_EXPIRY.write(metric, page)),
    gauge("portcullis_certificate_trusted", &["configuration"], "",
        "1 while this webhook configuration trusts what is served, else 0; absent until somebody looked", |metric, page| state::CERTIFICATE_TRUSTED.write(metric, page)),
    gauge("portcullis_client_verification", &["mode"], "",
        "1 for how callers of the webhook are verified: required, optional, or off, where everybody who reaches the port can pass for an API server", |metric, page| state::CLIENT_VERIFICATION.write(metric, page)),
    gauge("portcullis_inflight_requests", &[], "reviews",
        "Reviews between the last byte of their body and their answer now", |metric, page| state::INFLIGHT.write(metric, page)),
    counter("portcullis_shed_total", &["reason"], "reviews",
        "Reviews refused early, because there was more load than capacity, by reason", |metric, page| state::SHED.write(metric, page)),
    gauge("portcullis_connections", &[], "connections",
        "Connections to the webhook port that are open now", |metric, page| state::CONNECTIONS.write(metric, page)),
    counter("portcullis_http_rejected_total", &["status"], "requests",
        "Requests answered with this HTTP status at the door, before a review was read", state::write_rejected),
    counter("portcullis_http_requests_total", &["route", "method", "status"], "requests",
        "Requests to the ledger's API, by route, method and status of the answer", http::write_requests),
    histogram("portcullis_http_request_duration_seconds", &["route", "method"],
        "Time from the head of a request to the ledger's API to its answer, from 1 ms to 30 s", http::write_durations),
    gauge("portcullis_build_info", &["version"], "",
        "1 for the version of this binary", state::write_build_info),
    counter("process_cpu_seconds_total", &[], "seconds",
        "User and system CPU time of the process", |metric, page| state::write_process(metric, page.process.cpu_seconds_total, page)),
    gauge("process_resident_memory_bytes", &[], "bytes",
        "Resident memory of the process", |metric, page| state::write_process(metric, page.process.resident_memory_bytes, page)),
    gauge("process_virtual_memory_bytes", &[], "bytes",
        "Virtual memory of the process", |metric, page| state::write_process(metric, page.process.virtual_memory_bytes, page)),
    gauge("process_virtual_memory_max_bytes", &[], "bytes",
        "Limit of virtual memory; absent without one", |metric, page| state::write_process(metric, page.process.virtual_memory_max_bytes.filter(|bytes| *bytes > 0), page)),
    gauge("process_open_fds", &[], "descriptors",
        "File descriptors open now", |metric, page| state::write_process(metric, page.process.open_fds, page)),
    gauge("process_max_fds", &[], "descriptors",
        "Limit of open file descriptors; absent without one", |metric, page| state::write_process(metric, page.process.max_fds.filter(|limit| *limit > 0), page)),
    gauge("process_start_time_seconds", &[], "seconds",
        "When the process started, in seconds since 1970", |metric, page| state::write_process(metric, page.process.start_time_seconds, page)),
    gauge("process_threads", &[], "threads",
        "Threads of the process", |metric, page| state::write_process(metric, page.process.threads, page)),
];
