//! What a metric is made of: counters, gauges and histograms as atomics, and families of them by label.
//!
//! Ours rather than an exporter's, because of what the exporter does with a histogram: it keeps every sample (16 bytes)
//! until somebody drains it, so memory follows the traffic between two drains, while the gate promises to stay flat.
//! These take the memory they will ever take when they are made, and a render reads them without stopping a writer.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

/// Label sets of one family: beyond it, all share one series whose labels read `other`. Far above the number of
/// policies, reasons or certificates of an installation; a bound against what nobody thought of.
pub(super) const SERIES_MAX: usize = 4096;

/// Characters of a label value; the rest is cut.
pub(super) const LABEL_CHARS_MAX: usize = 128;

/// A number that only grows, from 0.
#[derive(Debug, Default)]
pub(super) struct Counter(AtomicU64);

/// A number that may do anything; not shown until it was set.
#[derive(Debug)]
pub(super) struct Gauge(AtomicU64);

/// Observed durations in fixed buckets.
#[derive(Debug)]
pub(super) struct Histogram {
    bounds_ns: &'static [u64],
    /// One for each bound, and the last used one for what is above them all.
    buckets: [AtomicU64; BUCKETS],
    sum_ns: AtomicU64,
}

const BUCKETS: usize = 16;

/// Series of one metric by the values of its labels.
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

/// A NaN that no arithmetic produces, so that `set` can take every number.
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
        let place = self.bounds_ns.partition_point(|bound| *bound < took_ns);
        if let Some(bucket) = self.buckets.get(place) {
            bucket.fetch_add(1, Relaxed);
        }
        self.sum_ns.fetch_add(took_ns, Relaxed);
    }

    /// Cumulative counts, one for each bound in seconds; then the count of all; then their sum in seconds. The count is
    /// the sum of the buckets, so that a render during writes still adds up.
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

    /// The series with these label values, in the order of the names; made when new.
    pub(super) fn with(&self, values: &[&str]) -> Arc<T> {
        let key = self.key(|place| values.get(place).copied().unwrap_or_default());
        if let Some(known) = self.series.read().unwrap_or_else(PoisonError::into_inner).get(&key) {
            return Arc::clone(known);
        }
        let mut series = self.series.write().unwrap_or_else(PoisonError::into_inner);
        let full = series.len() >= SERIES_MAX && !series.contains_key(&key);
        Arc::clone(series.entry(if full { self.key(|_| "other") } else { key }).or_default())
    }

    /// Makes this label set the only one.
    pub(super) fn only(&self, values: &[&str]) -> Arc<T> {
        self.series.write().unwrap_or_else(PoisonError::into_inner).clear();
        self.with(values)
    }

    /// Every series with its labels as text, in their order.
    pub(super) fn all(&self) -> Vec<(String, Arc<T>)> {
        let series = self.series.read().unwrap_or_else(PoisonError::into_inner);
        series.iter().map(|(labels, value)| (labels.clone(), Arc::clone(value))).collect()
    }

    fn key<'a>(&self, value: impl Fn(usize) -> &'a str) -> String {
        let pairs = self.names.iter().enumerate().map(|(place, name)| (*name, value(place)));
        super::text::labels(pairs)
    }
}
