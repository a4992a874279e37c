//! Metrics of the server, the policies, the snapshot, the ledger's API and the process.

use std::fmt::Display;
use std::sync::atomic::AtomicI64;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::series::{Counter, Family, Gauge, Histogram};
use super::text::{Description, Page};

pub(super) static POLICY_ERRORS: Family<Counter> = Family::new(&["policy", "reason"]);
pub(super) static POLICY_BROKEN: Family<Gauge> = Family::new(&["policy"]);
pub(super) static POLICY_RELOADS: Family<Counter> = Family::new(&["result"]);
pub(super) static POLICY_RELOAD_OK: Gauge = Gauge::new();
pub(super) static POLICY_REVISION: Family<Gauge> = Family::new(&["revision"]);
pub(super) static PATCHES_DROPPED: Family<Counter> = Family::new(&["policy"]);
pub(super) static PATCH_REPEATS: Family<Counter> = Family::new(&["policy"]);
pub(super) static EXEMPTIONS_USED: Family<Counter> = Family::new(&["kind"]);
/// Start and end of the validity of each document, in seconds since 1970.
static BREAKGLASS: Mutex<Vec<(i64, i64)>> = Mutex::new(Vec::new());
pub(super) static SNAPSHOT_REVISION: Gauge = Gauge::new();
pub(super) static SNAPSHOT_BYTES: Gauge = Gauge::new();
static LEDGER_TOKEN_EXPIRY: Mutex<Option<i64>> = Mutex::new(None);
pub(super) static DATABASE_REACHABLE: Gauge = Gauge::new();
pub(super) static SNAPSHOT_RELOADS: Family<Counter> = Family::new(&["result"]);
pub(super) static SNAPSHOT_CACHE_WRITES: Family<Counter> = Family::new(&["result"]);
pub(super) static SNAPSHOT_RECONCILED: Family<Counter> = Family::new(&["result"]);
pub(super) static SNAPSHOT_FORKS: Counter = Counter::new();
pub(super) static SNAPSHOT_UNKNOWN_KEYS: Gauge = Gauge::new();
pub(super) static SNAPSHOT_HELD: Family<Gauge> = Family::new(&["kind"]);
static SNAPSHOT_CONFIRMED: Mutex<Option<Instant>> = Mutex::new(None);
pub(super) static DECISIONS_DROPPED: Counter = Counter::new();
pub(super) static CERTIFICATE_EXPIRY: Family<Gauge> = Family::new(&["name"]);
pub(super) static CERTIFICATE_TRUSTED: Family<Gauge> = Family::new(&["configuration"]);
pub(super) static CLIENT_VERIFICATION: Family<Gauge> = Family::new(&["mode"]);
pub(super) static INFLIGHT: UpDownCounter = UpDownCounter::new();
pub(super) static CONNECTIONS: UpDownCounter = UpDownCounter::new();
pub(super) static REQUESTS_REJECTED: Family<Counter> = Family::new(&["reason"]);
static API_REQUESTS: Family<Counter> = Family::new(&["route", "method", "status"]);
static API_DURATIONS: Family<ApiDuration> = Family::new(&["route", "method"]);

/// HTTP statuses 400 to 599 by index. An array needs no lock under a flood of invalid requests.
static HTTP_REJECTED: [Counter; 200] = [const { Counter::new() }; 200];
const HTTP_REJECTED_FIRST: u16 = 400;

/// 1 ms to 30 s, the timeout of a request; a long poll takes longer.
const API_BOUNDS_NS: &[u64] = &[
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    25_000_000,
    50_000_000,
    100_000_000,
    250_000_000,
    500_000_000,
    1_000_000_000,
    2_500_000_000,
    5_000_000_000,
    10_000_000_000,
    30_000_000_000,
];

#[derive(Debug)]
struct ApiDuration(Histogram);

impl Default for ApiDuration {
    fn default() -> Self {
        Self(Histogram::new(API_BOUNDS_NS))
    }
}

/// A gauge that is counted up and down rather than set.
#[derive(Debug)]
pub(super) struct UpDownCounter(AtomicI64);

impl UpDownCounter {
    const fn new() -> Self {
        Self(AtomicI64::new(0))
    }

    pub(super) fn write(&self, metric: &Description, page: &mut Page) {
        page.sample(metric, "", self.0.load(Relaxed));
    }
}

/// Counters whose first increment an alert must see start at 0.
pub(super) fn init() {
    for ok in [true, false] {
        POLICY_RELOADS.with(&[result(ok)]);
        SNAPSHOT_RELOADS.with(&[result(ok)]);
        SNAPSHOT_CACHE_WRITES.with(&[result(ok)]);
    }
    for kind in ["exception", "breakglass"] {
        EXEMPTIONS_USED.with(&[kind]);
    }
    for outcome in ["same", "different"] {
        SNAPSHOT_RECONCILED.with(&[outcome]);
    }
}

// === server ===

/// Counts a request that was rejected because a limit was reached; `reason` is one of a short list of the caller.
pub fn request_rejected(reason: &'static str) {
    REQUESTS_REJECTED.with(&[reason]).add(1);
}

/// +1 when a review begins, -1 when it is answered or cancelled.
pub fn inflight(delta: i64) {
    INFLIGHT.0.fetch_add(delta, Relaxed);
}

/// An open connection of the webhook port, counted until it is dropped.
#[derive(Debug)]
pub struct OpenConnection(());

impl OpenConnection {
    #[expect(clippy::new_without_default, reason = "a default would count too")]
    pub fn new() -> Self {
        CONNECTIONS.0.fetch_add(1, Relaxed);
        Self(())
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        CONNECTIONS.0.fetch_add(-1, Relaxed);
    }
}

/// Counts a request that was answered with this HTTP status before a review was read. Only 400 to 599 are counted.
pub fn http_rejected(status: u16) {
    let index = status.checked_sub(HTTP_REJECTED_FIRST).map(usize::from);
    if let Some(counter) = index.and_then(|index| HTTP_REJECTED.get(index)) {
        counter.add(1);
    }
}

pub fn certificate_expiry(name: &str, unix_seconds: f64) {
    CERTIFICATE_EXPIRY.with(&[name]).set(unix_seconds);
}

/// `configuration` is `mutating` or `validating`.
pub fn certificate_trusted(configuration: &'static str, trusted: bool) {
    CERTIFICATE_TRUSTED.with(&[configuration]).set(f64::from(u8::from(trusted)));
}

/// `mode` is `off`, `optional` or `required`.
pub fn client_verification(mode: &'static str) {
    CLIENT_VERIFICATION.replace_all(&[mode]).set(1.0);
}

/// Counts a request to the ledger's API. `route` is a path of the route table, and `method` one of its methods; both are
/// `other` for anything else, so that a caller cannot choose a label.
pub fn api_request(route: &'static str, method: &'static str, status: u16, took: Duration) {
    API_REQUESTS.with(&[route, method, &status.to_string()]).add(1);
    API_DURATIONS.with(&[route, method]).0.record(took);
}

// === policies ===

/// Counts an attempt to load the policies, and records whether it succeeded.
pub fn policy_reload(ok: bool) {
    POLICY_RELOADS.with(&[result(ok)]).add(1);
    POLICY_RELOAD_OK.set(f64::from(u8::from(ok)));
}

pub fn policy_revision(digest: &str) {
    POLICY_REVISION.replace_all(&[digest]).set(1.0);
}

/// Counts an evaluation that failed; `reason` is one of a short list of the caller.
pub fn policy_error(policy: &str, reason: &'static str) {
    POLICY_ERRORS.with(&[policy, reason]).add(1);
}

/// A broken policy does not load; its `on_error` decides.
pub fn policy_broken(policy: &str, broken: bool) {
    POLICY_BROKEN.with(&[policy]).set(f64::from(u8::from(broken)));
}

pub fn patch_dropped(policy: &str) {
    PATCHES_DROPPED.with(&[policy]).add(1);
}

/// Counts a patch of this policy that changes its own result.
pub fn patch_repeats(policy: &str) {
    PATCH_REPEATS.with(&[policy]).add(1);
}

/// `kind` is `exception` or `breakglass`.
pub fn exemption_used(kind: &'static str) {
    EXEMPTIONS_USED.with(&[kind]).add(1);
}

/// Start and end of the validity of each break-glass document, in seconds since 1970.
pub fn breakglass_windows(windows: impl Iterator<Item = (i64, i64)>) {
    *BREAKGLASS.lock().unwrap_or_else(PoisonError::into_inner) = windows.collect();
}

// === snapshot ===

/// Counts an attempt to load the snapshot, whole or as a change.
pub fn snapshot_reload(ok: bool) {
    SNAPSHOT_RELOADS.with(&[result(ok)]).add(1);
}

/// The snapshot was known to be the newest this long ago; its age counts from there.
pub fn snapshot_confirmed(ago: Duration) {
    let at = Instant::now().checked_sub(ago);
    *SNAPSHOT_CONFIRMED.lock().unwrap_or_else(PoisonError::into_inner) = at;
}

pub fn snapshot_cache_written(ok: bool) {
    SNAPSHOT_CACHE_WRITES.with(&[result(ok)]).add(1);
}

/// Counts a comparison of the snapshot with the whole ledger; a difference means that a change was lost.
pub fn snapshot_reconciled(same: bool) {
    SNAPSHOT_RECONCILED.with(&[if same { "same" } else { "different" }]).add(1);
}

pub fn snapshot_forked() {
    SNAPSHOT_FORKS.add(1);
}

#[expect(clippy::cast_precision_loss, reason = "at most 20 are counted")]
pub fn snapshot_unknown_keys(places: usize) {
    SNAPSHOT_UNKNOWN_KEYS.set(places as f64);
}

/// How many tenants, and how many other entries, stay at an earlier state than the ledger's.
#[expect(clippy::cast_precision_loss, reason = "samples are f64; a ledger has far fewer entries than 2^53")]
pub fn snapshot_held(tenants: usize, others: usize) {
    SNAPSHOT_HELD.with(&["tenant"]).set(tenants as f64);
    SNAPSHOT_HELD.with(&["other"]).set(others as f64);
}

#[expect(clippy::cast_precision_loss, reason = "samples are f64; revisions stay far below 2^53")]
pub fn snapshot_revision(revision: u64) {
    SNAPSHOT_REVISION.set(revision as f64);
}

#[expect(clippy::cast_precision_loss, reason = "samples are f64; a reader bounds the length far below 2^53")]
pub fn snapshot_bytes(bytes: usize) {
    SNAPSHOT_BYTES.set(bytes as f64);
}

/// Seconds since 1970; none for a token without expiry.
pub fn ledger_token_expiry(unix_seconds: Option<i64>) {
    *LEDGER_TOKEN_EXPIRY.lock().unwrap_or_else(PoisonError::into_inner) = unix_seconds;
}

pub fn database_reachable(reachable: bool) {
    DATABASE_REACHABLE.set(f64::from(u8::from(reachable)));
}

/// Counts lines of the decision log that were not written.
pub fn decision_log_dropped(lines: u64) {
    DECISIONS_DROPPED.add(lines);
}

const fn result(ok: bool) -> &'static str {
    if ok { "ok" } else { "error" }
}

// === samples ===

impl Counter {
    pub(super) fn write(&self, metric: &Description, page: &mut Page) {
        page.sample(metric, "", self.get());
    }
}

impl Gauge {
    pub(super) fn write(&self, metric: &Description, page: &mut Page) {
        if let Some(value) = self.get() {
            page.sample(metric, "", value);
        }
    }
}

impl Family<Counter> {
    pub(super) fn write(&self, metric: &Description, page: &mut Page) {
        for (labels, counter) in self.all() {
            page.sample(metric, &labels, counter.get());
        }
    }
}

impl Family<Gauge> {
    pub(super) fn write(&self, metric: &Description, page: &mut Page) {
        for (labels, gauge) in self.all() {
            if let Some(value) = gauge.get() {
                page.sample(metric, &labels, value);
            }
        }
    }
}

pub(super) fn write_breakglass(metric: &Description, page: &mut Page) {
    let now = jiff::Timestamp::now().as_second();
    let windows = BREAKGLASS.lock().unwrap_or_else(PoisonError::into_inner);
    let open = windows.iter().filter(|(from, until)| *from <= now && now < *until).count();
    page.sample(metric, "", open);
}

pub(super) fn write_snapshot_age(metric: &Description, page: &mut Page) {
    let confirmed = *SNAPSHOT_CONFIRMED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(confirmed) = confirmed {
        page.sample(metric, "", confirmed.elapsed().as_secs_f64());
    }
}

pub(super) fn write_token_expiry(metric: &Description, page: &mut Page) {
    let expiry = *LEDGER_TOKEN_EXPIRY.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(expiry) = expiry {
        page.sample(metric, "", expiry);
    }
}

pub(super) fn write_rejected(metric: &Description, page: &mut Page) {
    for (status, counter) in (HTTP_REJECTED_FIRST..).zip(&HTTP_REJECTED) {
        if counter.get() > 0 {
            page.sample(metric, &format!("status=\"{status}\""), counter.get());
        }
    }
}

pub(super) fn write_api_requests(metric: &Description, page: &mut Page) {
    API_REQUESTS.write(metric, page);
}

pub(super) fn write_api_durations(metric: &Description, page: &mut Page) {
    for (labels, duration) in API_DURATIONS.all() {
        page.histogram(metric, &labels, &duration.0);
    }
}

pub(super) fn write_build_info(metric: &Description, page: &mut Page) {
    page.sample(metric, concat!("version=\"", env!("CARGO_PKG_VERSION"), "\""), 1);
}

/// A value that the platform does not report is absent rather than 0.
pub(super) fn write_process(metric: &Description, value: Option<impl Display>, page: &mut Page) {
    if let Some(value) = value {
        page.sample(metric, "", value);
    }
}
