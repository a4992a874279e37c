//! Metrics that every review updates: one counter and one histogram, and the same for each policy that ran.
//!
//! No review allocates a series: the labels of the counter are enums, so its series are an array; the series of a policy
//! are allocated when the policy is loaded.

use std::sync::Arc;
use std::time::Duration;

use super::series::{Counter, Family, Histogram, labels};
use super::text::{Description, Page};
use crate::labels::{Endpoint, NamespaceKind, Operation, Outcome, Verdict};

/// 25 µs to 1 s: the whole review, including its decoding.
const ADMISSION_BOUNDS_NS: &[u64] = &[
    25_000,
    50_000,
    100_000,
    250_000,
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    25_000_000,
    50_000_000,
    100_000_000,
    1_000_000_000,
];

/// 10 µs to 50 ms: one policy. Few, because each is multiplied by the number of policies: usual times (10 and 100 µs),
/// slow ones (1 and 10 ms), and the default budget of a policy (50 ms).
const POLICY_BOUNDS_NS: &[u64] = &[10_000, 100_000, 1_000_000, 10_000_000, 50_000_000];

/// The labels of a review in `portcullis_admission_requests_total`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ReviewLabels {
    pub endpoint: Endpoint,
    pub operation: Operation,
    pub verdict: Verdict,
    pub namespace_kind: NamespaceKind,
    pub dry_run: bool,
}

const REVIEW_SERIES: usize =
    2 * Endpoint::ALL.len() * Operation::ALL.len() * Verdict::ALL.len() * NamespaceKind::ALL.len();

static REQUESTS: [Counter; REVIEW_SERIES] = [const { Counter::new() }; REVIEW_SERIES];
static VALIDATE_DURATION: Histogram = Histogram::new(ADMISSION_BOUNDS_NS);
static MUTATE_DURATION: Histogram = Histogram::new(ADMISSION_BOUNDS_NS);
static POLICIES: Family<PolicySeries> = Family::new(&["policy"]);

/// Counts a review and its duration, from the last byte of its body to the first byte of its response.
pub fn review_completed(review: ReviewLabels, took: Duration) {
    if let Some(counter) = REQUESTS.get(review.index()) {
        counter.add(1);
    }
    match review.endpoint {
        Endpoint::Validate => VALIDATE_DURATION.record(took),
        Endpoint::Mutate => MUTATE_DURATION.record(took),
    }
}

impl ReviewLabels {
    const fn index(self) -> usize {
        let index = self.endpoint as usize * Operation::ALL.len() + self.operation as usize;
        let index = index * Verdict::ALL.len() + self.verdict as usize;
        let index = index * NamespaceKind::ALL.len() + self.namespace_kind as usize;
        index * 2 + self.dry_run as usize
    }

    fn all() -> impl Iterator<Item = Self> {
        let endpoints = Endpoint::ALL.iter();
        let operations = endpoints.flat_map(|e| Operation::ALL.iter().map(move |o| (*e, *o)));
        let verdicts = operations.flat_map(|(e, o)| Verdict::ALL.iter().map(move |v| (e, o, *v)));
        let kinds = verdicts.flat_map(|(e, o, v)| NamespaceKind::ALL.iter().map(move |k| (e, o, v, *k)));
        kinds.flat_map(|(endpoint, operation, verdict, namespace_kind)| {
            [false, true].map(|dry_run| Self { endpoint, operation, verdict, namespace_kind, dry_run })
        })
    }
}

/// The metrics of one policy; cheap to clone. The same id gives the same counters, so they survive a reload.
#[derive(Debug, Clone)]
pub struct PolicyMetrics(Arc<PolicySeries>);

#[derive(Debug)]
struct PolicySeries {
    decisions: [[Counter; 2]; Outcome::ALL.len()],
    duration: Histogram,
}

impl Default for PolicySeries {
    fn default() -> Self {
        Self {
            decisions: [const { [const { Counter::new() }; 2] }; _],
            duration: Histogram::new(POLICY_BOUNDS_NS),
        }
    }
}

impl PolicyMetrics {
    /// Takes a lock: call it when a policy is loaded.
    pub fn new(policy: &str) -> Self {
        Self(POLICIES.with(&[policy]))
    }

    /// A policy that both warns and patches is counted under both outcomes.
    pub fn count_outcome(&self, outcome: Outcome, dry_run: bool) {
        if let Some(counter) =
            self.0.decisions.get(outcome as usize).and_then(|pair| pair.get(usize::from(dry_run)))
        {
            counter.add(1);
        }
    }

    pub fn record_duration(&self, took: Duration) {
        self.0.duration.record(took);
    }
}

pub(super) fn write_requests(metric: &Description, page: &mut Page) {
    for review in ReviewLabels::all() {
        let count = REQUESTS.get(review.index()).map_or(0, Counter::get);
        if count > 0 {
            let pairs = [
                ("endpoint", review.endpoint.as_str()),
                ("operation", review.operation.as_str()),
                ("verdict", review.verdict.as_str()),
                ("namespace_kind", review.namespace_kind.as_str()),
                ("dry_run", bool_label(review.dry_run)),
            ];
            page.sample(metric, &labels(pairs.into_iter()), count);
        }
    }
}

pub(super) fn write_duration(metric: &Description, page: &mut Page) {
    page.histogram(metric, "endpoint=\"validate\"", &VALIDATE_DURATION);
    page.histogram(metric, "endpoint=\"mutate\"", &MUTATE_DURATION);
}

pub(super) fn write_policy_decisions(metric: &Description, page: &mut Page) {
    for (policy, series) in POLICIES.all() {
        for (outcome, pair) in Outcome::ALL.iter().zip(&series.decisions) {
            for (dry_run, counter) in [false, true].into_iter().zip(pair) {
                if counter.get() > 0 {
                    let rest = [("outcome", outcome.as_str()), ("dry_run", bool_label(dry_run))];
                    page.sample(metric, &format!("{policy},{}", labels(rest.into_iter())), counter.get());
                }
            }
        }
    }
}

/// A policy that never ran has no histogram: a thousand such policies would be eight thousand lines of zeros.
pub(super) fn write_policy_duration(metric: &Description, page: &mut Page) {
    for (policy, series) in POLICIES.all() {
        if series.duration.read().1 > 0 {
            page.histogram(metric, &policy, &series.duration);
        }
    }
}

const fn bool_label(yes: bool) -> &'static str {
    if yes { "true" } else { "false" }
}
