//! What changes less often than reviews arrive: the metrics of loading, serving and shedding, and their samples.

use std::fmt::Display;
use std::sync::Mutex;
use std::sync::atomic::AtomicI64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use super::series::{Counter, Family, Gauge};
use super::table::Description;
use super::text::Page;

pub(super) static POLICY_ERRORS: Family<Counter> = Family::new(&["policy", "reason"]);
pub(super) static POLICY_BROKEN: Family<Gauge> = Family::new(&["policy"]);
pub(super) static POLICY_RELOADS: Family<Counter> = Family::new(&["result"]);
pub(super) static POLICY_RELOAD_OK: Gauge = Gauge::new();
pub(super) static POLICY_REVISION: Family<Gauge> = Family::new(&["revision"]);
pub(super) static PATCHES_DROPPED: Family<Counter> = Family::new(&["policy"]);
pub(super) static PATCH_REPEATS: Family<Counter> = Family::new(&["policy"]);
pub(super) static LEAVES_USED: Family<Counter> = Family::new(&["kind"]);
/// From when until when, in seconds since 1970.
pub(super) static BREAKGLASS: Mutex<Vec<(i64, i64)>> = Mutex::new(Vec::new());
pub(super) static SNAPSHOT_REVISION: Gauge = Gauge::new();
pub(super) static SNAPSHOT_BYTES: Gauge = Gauge::new();
pub(super) static LEDGER_TOKEN_EXPIRY: Mutex<Option<i64>> = Mutex::new(None);
pub(super) static DATABASE_REACHABLE: Gauge = Gauge::new();
pub(super) static SNAPSHOT_RELOADS: Family<Counter> = Family::new(&["result"]);
pub(super) static SNAPSHOT_KEPT: Family<Counter> = Family::new(&["result"]);
pub(super) static SNAPSHOT_RECONCILED: Family<Counter> = Family::new(&["result"]);
pub(super) static SNAPSHOT_FORKS: Counter = Counter::new();
pub(super) static SNAPSHOT_UNKNOWN_KEYS: Gauge = Gauge::new();
pub(super) static SNAPSHOT_HELD: Family<Gauge> = Family::new(&["kind"]);
pub(super) static SNAPSHOT_CONFIRMED: Mutex<Option<Instant>> = Mutex::new(None);
pub(super) static DECISIONS_DROPPED: Counter = Counter::new();
pub(super) static CERTIFICATE_EXPIRY: Family<Gauge> = Family::new(&["name"]);
pub(super) static CERTIFICATE_TRUSTED: Family<Gauge> = Family::new(&["configuration"]);
pub(super) static CLIENT_VERIFICATION: Family<Gauge> = Family::new(&["mode"]);
pub(super) static INFLIGHT: Level = Level::new();
pub(super) static CONNECTIONS: Level = Level::new();
pub(super) static SHED: Family<Counter> = Family::new(&["reason"]);

/// HTTP statuses 400 to 599 by position: under a flood of garbage this is a hot path, so it takes no lock.
pub(super) static REJECTED: [Counter; 200] = [const { Counter::new() }; 200];
pub(super) const REJECTED_FIRST: u16 = 400;

/// A gauge that is counted up and down rather than set.
#[derive(Debug)]
pub(super) struct Level(AtomicI64);

impl Level {
    const fn new() -> Self {
        Self(AtomicI64::new(0))
    }

    pub(super) fn change(&self, delta: i64) {
        self.0.fetch_add(delta, Relaxed);
    }

    pub(super) fn write(&self, metric: &Description, page: &mut Page) {
        page.sample(metric, "", self.0.load(Relaxed));
    }
}

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
    let windows = BREAKGLASS.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let open = windows.iter().filter(|(from, until)| *from <= now && now < *until).count();
    page.sample(metric, "", open);
}

pub(super) fn write_snapshot_age(metric: &Description, page: &mut Page) {
    let confirmed = *SNAPSHOT_CONFIRMED.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if let Some(confirmed) = confirmed {
        page.sample(metric, "", confirmed.elapsed().as_secs_f64());
    }
}

pub(super) fn write_token_expiry(metric: &Description, page: &mut Page) {
    let expiry = *LEDGER_TOKEN_EXPIRY.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if let Some(expiry) = expiry {
        page.sample(metric, "", expiry);
    }
}

pub(super) fn write_rejected(metric: &Description, page: &mut Page) {
    for (status, counter) in (REJECTED_FIRST..).zip(&REJECTED) {
        if counter.get() > 0 {
            page.sample(metric, &format!("status=\"{status}\""), counter.get());
        }
    }
}

pub(super) fn write_build_info(metric: &Description, page: &mut Page) {
    page.sample(metric, concat!("version=\"", env!("CARGO_PKG_VERSION"), "\""), 1);
}

/// What the platform does not tell is absent rather than 0.
pub(super) fn write_process(metric: &Description, value: Option<impl Display>, page: &mut Page) {
    if let Some(value) = value {
        page.sample(metric, "", value);
    }
}
