//! Counters, gauges and histograms as atomics, and families of them by label.
//!
//! `metrics-exporter-prometheus` keeps every histogram sample (16 bytes) until a drain, so its memory grows with the
//! traffic between two scrapes. These allocate once, and a scrape does not block a writer.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

/// Label sets of one family; further ones share one series whose labels read `other`. No installation has as many
/// policies, reasons or certificates.
pub(super) const SERIES_MAX: usize = 4096;

/// Characters of a label value; longer values are cut.
pub(super) const LABEL_CHARS_MAX: usize = 128;

#[derive(Debug, Default)]
pub(super) struct Counter(AtomicU64);

/// Not rendered until it is set.
#[derive(Debug)]
pub(super) struct Gauge(AtomicU64);

#[derive(Debug)]
pub(super) struct Histogram {
    bounds_ns: &'static [u64],
    /// One for each bound, then one for values above the last bound.
    buckets: [AtomicU64; BUCKETS],
    sum_ns: AtomicU64,
}

const BUCKETS: usize = 16;

#[derive(Debug)]
pub(super) struct Family<T> {
    names: &'static [&'static str],
    series: RwLock<BTreeMap<String, Arc<T>>>,
}

impl Counter {
    pub(super) const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    pub(super) fn add(&self, n: u64) {
        self.0.fetch_add(n, Relaxed);
    }

    pub(super) fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// A NaN that no arithmetic produces, so that `set` accepts every number.
const UNSET: u64 = u64::MAX;

impl Gauge {
    pub(super) const fn new() -> Self {
        Self(AtomicU64::new(UNSET))
    }

    pub(super) fn set(&self, value: f64) {
        self.0.store(value.to_bits(), Relaxed);
    }

    pub(super) fn get(&self) -> Option<f64> {
        Some(self.0.load(Relaxed)).filter(|bits| *bits != UNSET).map(f64::from_bits)
    }
}

impl Default for Gauge {
    fn default() -> Self {
        Self::new()
    }
}

impl Histogram {
    /// `bounds_ns`: upper bounds, inclusive, ascending, fewer than 16.
    pub(super) const fn new(bounds_ns: &'static [u64]) -> Self {
        assert!(bounds_ns.len() < BUCKETS, "a histogram has room for 15 bounds");
        Self { bounds_ns, buckets: [const { AtomicU64::new(0) }; BUCKETS], sum_ns: AtomicU64::new(0) }
    }

    pub(super) fn record(&self, took: Duration) {
        let took_ns = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        let index = self.bounds_ns.partition_point(|bound| *bound < took_ns);
        if let Some(bucket) = self.buckets.get(index) {
            bucket.fetch_add(1, Relaxed);
        }
        self.sum_ns.fetch_add(took_ns, Relaxed);
    }

    /// Cumulative counts by bound in seconds, then the total count, then the sum in seconds. The total is computed from
    /// the buckets, so that a scrape during writes is consistent.
    #[expect(clippy::cast_precision_loss, reason = "a sum over 2^53 ns, 104 days, may lose nanoseconds")]
    pub(super) fn read(&self) -> (Vec<(f64, u64)>, u64, f64) {
        let mut count = 0;
        let mut cumulative = Vec::with_capacity(self.bounds_ns.len());
        let mut bounds = self.bounds_ns.iter();
        for bucket in &self.buckets {
            count += bucket.load(Relaxed);
            if let Some(bound) = bounds.next() {
                cumulative.push((*bound as f64 / 1e9, count));
            }
        }
        (cumulative, count, self.sum_ns.load(Relaxed) as f64 / 1e9)
    }
}

impl<T: Default> Family<T> {
    pub(super) const fn new(names: &'static [&'static str]) -> Self {
        Self { names, series: RwLock::new(BTreeMap::new()) }
    }

    /// The series with these label values, in the order of the names; created on first use.
    pub(super) fn with(&self, values: &[&str]) -> Arc<T> {
        let key = self.key(|position| values.get(position).copied().unwrap_or_default());
        if let Some(series) = self.series.read().unwrap_or_else(PoisonError::into_inner).get(&key) {
            return Arc::clone(series);
        }
        let mut series = self.series.write().unwrap_or_else(PoisonError::into_inner);
        let full = series.len() >= SERIES_MAX && !series.contains_key(&key);
        Arc::clone(series.entry(if full { self.key(|_| "other") } else { key }).or_default())
    }

    /// Removes every other series.
    pub(super) fn replace_all(&self, values: &[&str]) -> Arc<T> {
        self.series.write().unwrap_or_else(PoisonError::into_inner).clear();
        self.with(values)
    }

    /// Every series with its rendered labels, in their order.
    pub(super) fn all(&self) -> Vec<(String, Arc<T>)> {
        let series = self.series.read().unwrap_or_else(PoisonError::into_inner);
        series.iter().map(|(labels, value)| (labels.clone(), Arc::clone(value))).collect()
    }

    fn key<'a>(&self, value: impl Fn(usize) -> &'a str) -> String {
        let pairs = self.names.iter().enumerate().map(|(position, name)| (*name, value(position)));
        labels(pairs)
    }
}

/// Renders `a="1",b="2"`, escaped; each value is cut at [`LABEL_CHARS_MAX`] characters.
pub(super) fn labels<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let mut text = String::with_capacity(64);
    for (name, value) in pairs {
        if !text.is_empty() {
            text.push(',');
        }
        text.push_str(name);
        text.push_str("=\"");
        for character in value.chars().take(LABEL_CHARS_MAX) {
            match character {
                '\\' => text.push_str("\\\\"),
                '"' => text.push_str("\\\""),
                '\n' => text.push_str("\\n"),
                other => text.push(other),
            }
        }
        text.push('"');
    }
    text
}
