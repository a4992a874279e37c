//! Metrics of the cluster: contact with its API server, differences from the ledger, and the last scan of this process.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::series::{Counter, Family, Gauge, labels};
use super::text::{Description, Page};

/// Policies whose findings are shown; a policy set has some dozens.
const POLICIES_MAX: usize = 4096;

pub(super) static NAMESPACES: Gauge = Gauge::new();
pub(super) static NAMESPACE_DRIFT: Family<Gauge> = Family::new(&["kind"]);
pub(super) static CONFIGMAPS: Family<Gauge> = Family::new(&["state"]);
pub(super) static WEBHOOK_CONFIG_DRIFT: Gauge = Gauge::new();
pub(super) static CA_BUNDLE_REPAIRS: Counter = Counter::new();
pub(super) static SCAN_FAILURES: Counter = Counter::new();
/// The last answer of the API server, by watch.
static LAST_CONTACT: Mutex<BTreeMap<&'static str, Instant>> = Mutex::new(BTreeMap::new());
static LAST_SCAN: Mutex<Option<Scan>> = Mutex::new(None);

/// The result of a scan.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Scan {
    /// Findings that would be denied now, by policy.
    pub findings: BTreeMap<String, usize>,
    /// Objects that were evaluated.
    pub objects: usize,
    /// Objects and kinds that could not be evaluated.
    pub unjudged: usize,
    pub took: Duration,
    /// When it ended, in seconds since 1970.
    pub ended: f64,
}

/// The API server answered on this watch now.
pub fn api_server_contact(watch: &'static str) {
    LAST_CONTACT.lock().unwrap_or_else(PoisonError::into_inner).insert(watch, Instant::now());
}

pub fn cluster_namespaces(count: usize) {
    NAMESPACES.set(number(count));
}

/// `kind` is `not_in_ledger` or `not_in_cluster`.
pub fn namespace_drift(kind: &'static str, count: usize) {
    NAMESPACE_DRIFT.with(&[kind]).set(number(count));
}

/// `state` is `in_force` or `refused`.
pub fn policy_configmaps(state: &'static str, count: usize) {
    CONFIGMAPS.with(&[state]).set(number(count));
}

/// The number of differences between the webhook configurations and the output of `portcullis manifests`.
pub fn webhook_config_drift(differences: usize) {
    WEBHOOK_CONFIG_DRIFT.set(number(differences));
}

pub fn ca_bundle_repaired() {
    CA_BUNDLE_REPAIRS.add(1);
}

/// Replaces the result of the previous scan.
pub fn scan_completed(scan: Scan) {
    *LAST_SCAN.lock().unwrap_or_else(PoisonError::into_inner) = Some(scan);
}

pub fn scan_failed() {
    SCAN_FAILURES.add(1);
}

pub(super) fn write_contact_age(metric: &Description, page: &mut Page) {
    for (watch, contact) in LAST_CONTACT.lock().unwrap_or_else(PoisonError::into_inner).iter() {
        page.sample(metric, &format!("watch=\"{watch}\""), contact.elapsed().as_secs_f64());
    }
}

fn last_scan<T>(read: impl FnOnce(&Scan) -> T) -> Option<T> {
    LAST_SCAN.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map(read)
}

pub(super) fn write_scan_findings(metric: &Description, page: &mut Page) {
    let findings = last_scan(|scan| scan.findings.clone());
    for (policy, count) in findings.into_iter().flatten().take(POLICIES_MAX) {
        page.sample(metric, &labels([("policy", policy.as_str())].into_iter()), number(count));
    }
}

pub(super) fn write_scan_objects(metric: &Description, page: &mut Page) {
    last_scan(|scan| scan.objects).into_iter().for_each(|objects| page.sample(metric, "", number(objects)));
}

pub(super) fn write_scan_unjudged(metric: &Description, page: &mut Page) {
    last_scan(|scan| scan.unjudged).into_iter().for_each(|count| page.sample(metric, "", number(count)));
}

pub(super) fn write_scan_took(metric: &Description, page: &mut Page) {
    last_scan(|scan| scan.took).into_iter().for_each(|took| page.sample(metric, "", took.as_secs_f64()));
}

pub(super) fn write_scan_ended(metric: &Description, page: &mut Page) {
    last_scan(|scan| scan.ended).into_iter().for_each(|ended| page.sample(metric, "", ended));
}

#[expect(clippy::cast_precision_loss, reason = "samples are f64; a cluster has far fewer objects than 2^53")]
const fn number(count: usize) -> f64 {
    count as f64
}
