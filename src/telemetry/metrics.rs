//! Every metric of the gate, and the only functions that emit one. Names are a contract; `docs/metrics.md` lists them.
//!
//! The counters are global: a process has one set, it costs a few atomics, and nobody has to hand it round. What every
//! review emits ([`reviewed`], [`PolicyMetrics`]) takes no lock and allocates nothing; the rest may take one.
//! Labels are bounded: never an object's, a user's or a namespace's name.

mod cluster;
mod http;
mod reviews;
mod scan;
mod series;
mod state;
mod table;
mod text;

#[cfg(test)]
mod tests;

use std::sync::PoisonError;
use std::time::{Duration, Instant};

pub use cluster::{
    cluster_disagreement, cluster_heard, cluster_namespaces, policy_configmaps, registration_drift,
    registration_mended,
};
pub use http::answered;
pub use reviews::{PolicyMetrics, Reviewed, reviewed};
pub use scan::{Scan, scan_failed, scanned};
pub use table::{Description, Kind};

/// Reads the metrics of this process. Nothing has to be drained or tidied up between two readings.
#[derive(Debug, Clone, Copy)]
pub struct Handle(());

/// The handle to the metrics of this process; any number of calls, from anywhere, give the same. The first also shows what
/// has not happened yet as 0: an alert on the rate of failed reloads must see the first one.
pub fn install() -> Handle {
    for ok in [true, false] {
        state::POLICY_RELOADS.with(&[result(ok)]);
        state::SNAPSHOT_RELOADS.with(&[result(ok)]);
        state::SNAPSHOT_KEPT.with(&[result(ok)]);
    }
    for kind in ["exception", "breakglass"] {
        state::LEAVES_USED.with(&[kind]);
    }
    for word in ["same", "different"] {
        state::SNAPSHOT_RECONCILED.with(&[word]);
    }
    Handle(())
}

/// Every metric there is, in the order in which they are rendered.
pub fn all() -> &'static [Description] {
    table::ALL
}

impl Handle {
    /// The page of `/metrics`, in the Prometheus text format; `process_*` and the snapshot's age are as of now.
    pub fn render(&self) -> String {
        let mut page = text::Page::new();
        for metric in all() {
            page.head(metric);
            (metric.write)(metric, &mut page);
        }
        page.finish()
    }
}

// === at the door ===

/// Counts a review that was refused early; `reason` from a short list of the caller's.
pub fn shed(reason: &'static str) {
    state::SHED.with(&[reason]).add(1);
}

/// Changes the number of reviews in flight: +1 when one begins, -1 when it is answered or given up.
pub fn inflight(delta: i64) {
    state::INFLIGHT.change(delta);
}

/// Changes the number of open connections: +1 and -1.
pub fn connections(delta: i64) {
    state::CONNECTIONS.change(delta);
}

/// Counts a request that was answered with this HTTP status before a review was read; 400 to 599, others are not counted.
pub fn rejected(status: u16) {
    let place = status.checked_sub(state::REJECTED_FIRST).map(usize::from);
    if let Some(counter) = place.and_then(|place| state::REJECTED.get(place)) {
        counter.add(1);
    }
}

/// Tells when the certificate of this name ends, in seconds since 1970.
pub fn certificate_expiry(name: &str, unix_seconds: f64) {
    state::CERTIFICATE_EXPIRY.with(&[name]).set(unix_seconds);
}

/// Tells whether a webhook configuration, `mutating` or `validating`, trusts what is served.
pub fn certificate_trusted(configuration: &'static str, trusted: bool) {
    state::CERTIFICATE_TRUSTED.with(&[configuration]).set(f64::from(u8::from(trusted)));
}

/// Tells whether callers of the webhook show a certificate: `off`, `optional` or `required`.
pub fn client_verification(mode: &'static str) {
    state::CLIENT_VERIFICATION.only(&[mode]).set(1.0);
}

// === the law ===

/// Counts an attempt to load the policies, and says whether the last one succeeded.
pub fn policy_reload(ok: bool) {
    state::POLICY_RELOADS.with(&[result(ok)]).add(1);
    state::POLICY_RELOAD_OK.set(f64::from(u8::from(ok)));
}

/// Names the revision of the policies that decide from now on; the one before is no longer shown.
pub fn policy_revision(digest: &str) {
    state::POLICY_REVISION.only(&[digest]).set(1.0);
}

/// Counts an evaluation of this policy that failed; `reason` from a short list of the caller's.
pub fn policy_error(policy: &str, reason: &'static str) {
    state::POLICY_ERRORS.with(&[policy, reason]).add(1);
}

/// Says whether this policy is broken, which means that it does not load and answers by its `on_error`.
pub fn policy_broken(policy: &str, broken: bool) {
    state::POLICY_BROKEN.with(&[policy]).set(f64::from(u8::from(broken)));
}

/// Counts a patch of this policy that was dropped.
pub fn patch_dropped(policy: &str) {
    state::PATCHES_DROPPED.with(&[policy]).add(1);
}

/// Counts a patch of this policy that changes its own result.
pub fn patch_repeats(policy: &str) {
    state::PATCH_REPEATS.with(&[policy]).add(1);
}

// === leave from laws ===

/// Counts a review on which leave lifted a denial; `kind` is `exception` or `breakglass`.
pub fn leave_used(kind: &'static str) {
    state::LEAVES_USED.with(&[kind]).add(1);
}

/// Tells from when until when each break-glass document holds, in seconds since 1970.
pub fn breakglass_windows(windows: impl Iterator<Item = (i64, i64)>) {
    *state::BREAKGLASS.lock().unwrap_or_else(PoisonError::into_inner) = windows.collect();
}

// === the snapshot ===

/// Counts an attempt to load the snapshot, whole or as a change.
pub fn snapshot_reload(ok: bool) {
    state::SNAPSHOT_RELOADS.with(&[result(ok)]).add(1);
}

/// Tells that the snapshot was known to be the newest so long ago; its age counts from there.
pub fn snapshot_confirmed(ago: Duration) {
    let at = Instant::now().checked_sub(ago);
    *state::SNAPSHOT_CONFIRMED.lock().unwrap_or_else(PoisonError::into_inner) = at;
}

/// Counts an attempt to keep the snapshot on disk.
pub fn snapshot_kept(ok: bool) {
    state::SNAPSHOT_KEPT.with(&[result(ok)]).add(1);
}

/// Counts a comparison of the snapshot with the whole ledger; a difference means that a change was lost on the way.
pub fn snapshot_reconciled(same: bool) {
    state::SNAPSHOT_RECONCILED.with(&[if same { "same" } else { "different" }]).add(1);
}

/// Counts a history of the ledger that parted from the one decided by, so that changes were not taken but the whole.
pub fn snapshot_forked() {
    state::SNAPSHOT_FORKS.add(1);
}

/// Tells how many places of the snapshot have keys that this build does not know and passes over.
#[expect(clippy::cast_precision_loss, reason = "at most 20 are counted")]
pub fn snapshot_unknown_keys(places: usize) {
    state::SNAPSHOT_UNKNOWN_KEYS.set(places as f64);
}

/// Tells how many tenants, and how many other entries, of the snapshot stay at an earlier state than the ledger's.
#[expect(clippy::cast_precision_loss, reason = "samples are f64; a ledger has far fewer entries than 2^53")]
pub fn snapshot_held(tenants: usize, others: usize) {
    state::SNAPSHOT_HELD.with(&["tenant"]).set(tenants as f64);
    state::SNAPSHOT_HELD.with(&["other"]).set(others as f64);
}

/// Tells the revision of the snapshot that decides from now on; exact up to 2^53.
#[expect(
    clippy::cast_precision_loss,
    reason = "samples are f64; revisions count changes and stay far below 2^53"
)]
pub fn snapshot_revision(revision: u64) {
    state::SNAPSHOT_REVISION.set(revision as f64);
}

/// Tells how long the snapshot in force is as a document.
#[expect(clippy::cast_precision_loss, reason = "samples are f64; a reader bounds the length far below 2^53")]
pub fn snapshot_bytes(bytes: usize) {
    state::SNAPSHOT_BYTES.set(bytes as f64);
}

/// Tells when the token for the ledger's API ends, in seconds since 1970; none where it does not say.
pub fn ledger_token_expiry(unix_seconds: Option<i64>) {
    *state::LEDGER_TOKEN_EXPIRY.lock().unwrap_or_else(PoisonError::into_inner) = unix_seconds;
}

/// Tells whether the ledger's database answers this process.
pub fn database_reachable(reachable: bool) {
    state::DATABASE_REACHABLE.set(f64::from(u8::from(reachable)));
}

// === the decision log ===

/// Counts lines of the decision log that were not written.
pub fn decision_log_dropped(n: u64) {
    state::DECISIONS_DROPPED.add(n);
}

const fn result(ok: bool) -> &'static str {
    if ok { "ok" } else { "error" }
}
