//! What the ledger's API answers: requests by route, method and status, and how long they took.

use std::time::Duration;

use super::series::{Counter, Family, Histogram};
use super::table::Description;
use super::text::Page;

/// 1 ms to 30 s, the time after which a request is given up; a long poll goes beyond.
const BOUNDS_NS: &[u64] = &[
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

static REQUESTS: Family<Counter> = Family::new(&["route", "method", "status"]);
static DURATIONS: Family<Took> = Family::new(&["route", "method"]);

#[derive(Debug)]
struct Took(Histogram);

impl Default for Took {
    fn default() -> Self {
        Self(Histogram::new(BOUNDS_NS))
    }
}

/// Counts a request to the API and its time. `route` is the path of the table, with its variables in braces, or `other`;
/// `method` one that the table has, or `other`: neither is the caller's to choose.
pub fn answered(route: &'static str, method: &'static str, status: u16, took: Duration) {
    REQUESTS.with(&[route, method, &status.to_string()]).add(1);
    DURATIONS.with(&[route, method]).0.record(took);
}

pub(super) fn write_requests(metric: &Description, page: &mut Page) {
    REQUESTS.write(metric, page);
}

pub(super) fn write_durations(metric: &Description, page: &mut Page) {
    for (labels, duration) in DURATIONS.all() {
        page.histogram(metric, &labels, &duration.0);
    }
}
