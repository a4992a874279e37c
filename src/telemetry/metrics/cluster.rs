//! What is told of the cluster: how fresh what we know of it is, and where it disagrees with us.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use super::series::{Counter, Family, Gauge};
use super::table::Description;
use super::text::Page;

pub(super) static NAMESPACES: Gauge = Gauge::new();
pub(super) static DISAGREEMENT: Family<Gauge> = Family::new(&["kind"]);
pub(super) static CONFIGMAPS: Family<Gauge> = Family::new(&["state"]);
pub(super) static DRIFT: Gauge = Gauge::new();
pub(super) static MENDED: Counter = Counter::new();
/// When the API server was last heard, by watch.
static HEARD: Mutex<BTreeMap<&'static str, Instant>> = Mutex::new(BTreeMap::new());

/// Tells that the API server was heard on this watch; the age counts from there.
pub fn cluster_heard(watch: &'static str) {
    HEARD.lock().unwrap_or_else(PoisonError::into_inner).insert(watch, Instant::now());
}

/// Tells how many Namespaces are seen.
pub fn cluster_namespaces(count: usize) {
    NAMESPACES.set(number(count));
}

/// Tells how many namespaces the cluster has and the ledger does not, or the reverse; `kind` from a short list of the caller's.
pub fn cluster_disagreement(kind: &'static str, count: usize) {
    DISAGREEMENT.with(&[kind]).set(number(count));
}

/// Tells how many labelled ConfigMaps are in this state, from a short list of the caller's.
pub fn policy_configmaps(state: &'static str, count: usize) {
    CONFIGMAPS.with(&[state]).set(number(count));
}

/// Tells in how many places the registration in the cluster is not what was printed.
pub fn registration_drift(places: usize) {
    DRIFT.set(number(places));
}

/// Counts a `caBundle` that was put right.
pub fn registration_mended() {
    MENDED.add(1);
}

pub(super) fn write_age(metric: &Description, page: &mut Page) {
    for (watch, heard) in HEARD.lock().unwrap_or_else(PoisonError::into_inner).iter() {
        page.sample(metric, &format!("watch=\"{watch}\""), heard.elapsed().as_secs_f64());
    }
}

#[expect(clippy::cast_precision_loss, reason = "samples are f64; nobody has 2^53 namespaces")]
const fn number(count: usize) -> f64 {
    count as f64
}
