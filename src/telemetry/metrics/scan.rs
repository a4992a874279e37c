//! What the last scan of what exists found. A gauge each, and nothing before the first scan of this process.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::series::Counter;
use super::table::Description;
use super::text::Page;

/// Policies that are told; a law has some dozens.
const POLICIES_MAX: usize = 4096;

static LAST: Mutex<Option<Scan>> = Mutex::new(None);
pub(super) static FAILED: Counter = Counter::new();

/// What came of a scan.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Scan {
    /// Denied now, by policy.
    pub findings: BTreeMap<String, usize>,
    /// Objects that were judged.
    pub objects: usize,
    /// Objects and kinds that could not be.
    pub unjudged: usize,
    /// How long it took.
    pub took: Duration,
    /// When it ended, in seconds since 1970.
    pub ended: f64,
}

/// Tells what a scan found; the one before is no longer shown.
pub fn scanned(scan: Scan) {
    *LAST.lock().unwrap_or_else(PoisonError::into_inner) = Some(scan);
}

/// Counts a scan that came to nothing.
pub fn scan_failed() {
    FAILED.add(1);
}

fn last<T>(of: impl FnOnce(&Scan) -> T) -> Option<T> {
    LAST.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map(of)
}

pub(super) fn write_findings(metric: &Description, page: &mut Page) {
    for (policy, found) in last(|scan| scan.findings.clone()).into_iter().flatten().take(POLICIES_MAX) {
        page.sample(metric, &super::text::labels([("policy", policy.as_str())].into_iter()), number(found));
    }
}

pub(super) fn write_objects(metric: &Description, page: &mut Page) {
    last(|scan| scan.objects).into_iter().for_each(|objects| page.sample(metric, "", number(objects)));
}

pub(super) fn write_unjudged(metric: &Description, page: &mut Page) {
    last(|scan| scan.unjudged).into_iter().for_each(|unjudged| page.sample(metric, "", number(unjudged)));
}

pub(super) fn write_took(metric: &Description, page: &mut Page) {
    last(|scan| scan.took).into_iter().for_each(|took| page.sample(metric, "", took.as_secs_f64()));
}

pub(super) fn write_ended(metric: &Description, page: &mut Page) {
    last(|scan| scan.ended).into_iter().for_each(|ended| page.sample(metric, "", ended));
}

#[expect(clippy::cast_precision_loss, reason = "samples are f64; nobody has 2^53 objects")]
const fn number(count: usize) -> f64 {
    count as f64
}
