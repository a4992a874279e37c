//! Usage of one tenant: requests in flight, and processor time of its recent reviews.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// More than the cores that contend for one lock; 1 KiB in total.
const SHARDS: usize = 16;

/// Limits the requests in flight of each tenant; clones share their state.
///
/// The table has only tenants with requests in flight. Keys are 64-bit hashes under a random seed: two tenants that collide
/// share a limit, and a tenant cannot choose to collide.
#[derive(Clone)]
pub struct PerTenantLimit {
    counts: Arc<TenantCounts>,
}

/// A request in flight of one tenant, until it is dropped.
#[must_use = "dropping the guard ends the request"]
pub struct PerTenantGuard {
    counts: Arc<TenantCounts>,
    hash: u64,
}

struct TenantCounts {
    shards: [Mutex<HashMap<u64, usize>>; SHARDS],
    seed: RandomState,
    max_per_tenant: usize,
}

impl PerTenantLimit {
    /// 0 rejects every request.
    pub fn new(max_per_tenant: usize) -> Self {
        let shards = std::array::from_fn(|_| Mutex::default());
        Self { counts: Arc::new(TenantCounts { shards, seed: RandomState::new(), max_per_tenant }) }
    }

    /// None if the tenant is at its limit.
    pub fn try_acquire(&self, key: &str) -> Option<PerTenantGuard> {
        let hash = self.counts.seed.hash_one(key);
        let mut shard = self.counts.shard(hash)?;
        let count = shard.entry(hash).or_insert(0);
        if *count < self.counts.max_per_tenant {
            *count += 1;
            return Some(PerTenantGuard { counts: self.counts.clone(), hash });
        }
        if *count == 0 {
            shard.remove(&hash);
        }
        None
    }

    /// The number of tenants with requests in flight.
    #[cfg(test)]
    fn len(&self) -> usize {
        self.counts.shards.iter().map(|shard| lock(shard).len()).sum()
    }
}

impl Drop for PerTenantGuard {
    fn drop(&mut self) {
        let Some(mut shard) = self.counts.shard(self.hash) else { return };
        if let Entry::Occupied(mut entry) = shard.entry(self.hash) {
            match entry.get_mut() {
                0 | 1 => drop(entry.remove()),
                more => *more -= 1,
            }
        }
    }
}

impl TenantCounts {
    /// Always some: the remainder is below the number of shards.
    fn shard(&self, hash: u64) -> Option<MutexGuard<'_, HashMap<u64, usize>>> {
        let index = usize::try_from(hash % SHARDS as u64).ok()?;
        self.shards.get(index).map(lock)
    }
}

/// Counts are consistent wherever a panic could happen, so a poisoned lock is usable.
fn lock(shard: &Mutex<HashMap<u64, usize>>) -> MutexGuard<'_, HashMap<u64, usize>> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Usage decays by a factor of e in this time; the cost of the most expensive review decays more slowly.
const DECAY: Duration = Duration::from_secs(1);
const MAX_COST_DECAY: Duration = Duration::from_secs(10);

/// A twentieth of a processor over [`DECAY`]; a tenant with cheap reviews below it does not slow others down.
const HIGH_USAGE: Duration = Duration::from_millis(50);

/// Ten times the cost of a usual review, which is twenty times as high in a debug build. It is compared with the most
/// expensive recent review, because cheap reviews would lower an average.
const HIGH_COST: Duration =
    if cfg!(debug_assertions) { Duration::from_millis(10) } else { Duration::from_micros(500) };

/// For a tenant without recent reviews, a body above this size counts as expensive: two usual Pods.
const UNKNOWN_TENANT_BODY_MAX: usize = 16 << 10;

/// Seconds of recent usage above which a tenant counts as active: one review two seconds ago.
const ACTIVE_SECONDS: f64 = 1e-5;

/// How long the average is cached.
const AVERAGE_AGE: Duration = Duration::from_millis(10);

/// Tenants in the table before inactive ones are removed.
const TENANTS_MAX: usize = 1024;

/// The expected cost of the next review of a tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReviewCost {
    /// Evaluate at once: the reviews are cheap, and the recent usage is low.
    Low,
    /// Queue behind other tenants with a high usage, off the runtime workers.
    AboveAverage,
    /// Queue behind other tenants with expensive reviews, off the runtime workers.
    High,
}

/// The recent processor time of each tenant.
#[derive(Default)]
pub struct CpuUsage {
    table: Mutex<UsageTable>,
    seed: RandomState,
}

#[derive(Default)]
struct UsageTable {
    keys: HashMap<u64, Usage>,
    /// The average usage of the active tenants, and when it was computed.
    average: Option<(f64, Instant)>,
}

/// Decayed seconds: of all reviews, and of the most expensive small review.
#[derive(Clone, Copy)]
struct Usage {
    seconds: f64,
    max_cost: f64,
    at: Instant,
}

impl CpuUsage {
    /// Counts the processor time of a small review.
    pub fn record(&self, key: &str, took: Duration) {
        let took = took.as_secs_f64();
        self.record_at(key, took, took, Instant::now());
    }

    /// Counts a large review, which does not predict the cost of small ones.
    pub fn record_large(&self, key: &str, took: Duration) {
        self.record_at(key, took.as_secs_f64(), 0.0, Instant::now());
    }

    /// The expected cost of the next small review, by the bytes of its body.
    pub fn expected_cost(&self, key: &str, bytes: usize) -> ReviewCost {
        self.expected_cost_at(key, bytes, Instant::now())
    }

    fn record_at(&self, key: &str, took: f64, small_review_cost: f64, now: Instant) {
        let key = self.seed.hash_one(key);
        let keys = &mut self.lock().keys;
        if keys.len() >= TENANTS_MAX && !keys.contains_key(&key) {
            keys.retain(|_, usage| usage.decayed(now).seconds > ACTIVE_SECONDS);
        }
        let before =
            keys.get(&key).map_or(Usage { seconds: 0.0, max_cost: 0.0, at: now }, |usage| usage.decayed(now));
        let after = Usage {
            seconds: before.seconds + took,
            max_cost: before.max_cost.max(small_review_cost),
            at: now,
        };
        keys.insert(key, after);
    }

    fn expected_cost_at(&self, key: &str, bytes: usize, now: Instant) -> ReviewCost {
        let key = self.seed.hash_one(key);
        let mut table = self.lock();
        let Some(usage) = table.keys.get(&key).map(|usage| usage.decayed(now)) else {
            return if bytes > UNKNOWN_TENANT_BODY_MAX { ReviewCost::High } else { ReviewCost::Low };
        };
        // Independent of its usage: if many tenants have expensive reviews, the usage of each is low.
        if usage.max_cost > HIGH_COST.as_secs_f64() {
            return ReviewCost::High;
        }
        // A tenant with a high usage that is not above the average does not slow others down.
        let above_average =
            usage.seconds > HIGH_USAGE.as_secs_f64() && usage.seconds > 1.05 * table.average(now);
        if above_average { ReviewCost::AboveAverage } else { ReviewCost::Low }
    }

    fn lock(&self) -> MutexGuard<'_, UsageTable> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl UsageTable {
    /// The average usage of the active tenants, cached for [`AVERAGE_AGE`] because it reads every tenant.
    fn average(&mut self, now: Instant) -> f64 {
        if let Some((average, at)) = self.average
            && now.saturating_duration_since(at) < AVERAGE_AGE
        {
            return average;
        }
        let all =
            self.keys.values().map(|usage| usage.decayed(now)).filter(|usage| usage.seconds > ACTIVE_SECONDS);
        let (seconds, count) =
            all.fold((0.0, 0.0), |(seconds, count), usage| (seconds + usage.seconds, count + 1.0));
        let average = seconds / f64::max(count, 1.0);
        self.average = Some((average, now));
        average
    }
}

impl Usage {
    fn decayed(self, now: Instant) -> Self {
        let age = now.saturating_duration_since(self.at).as_secs_f64();
        let left = |memory: Duration| (-age / memory.as_secs_f64()).exp();
        Self { seconds: self.seconds * left(DECAY), max_cost: self.max_cost * left(MAX_COST_DECAY), at: now }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tenants_have_separate_limits_and_release_them() {
        let limit = PerTenantLimit::new(2);
        let held = [limit.try_acquire("acme").unwrap(), limit.try_acquire("acme").unwrap()];
        assert!(limit.try_acquire("acme").is_none());
        let other = limit.try_acquire("globex").expect("one tenant does not block another");
        assert_eq!(limit.len(), 2);
        drop(held);
        drop(limit.try_acquire("acme").expect("released"));
        drop(other);
        assert_eq!(limit.len(), 0);
        assert!(PerTenantLimit::new(0).try_acquire("acme").is_none());
    }

    #[test]
    fn limit_holds_under_contention() {
        let limit = PerTenantLimit::new(3);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..2_000 {
                        let held: Vec<_> = (0..4).filter_map(|_| limit.try_acquire("acme")).collect();
                        assert!(held.len() <= 3);
                    }
                });
            }
        });
        assert_eq!(limit.len(), 0);
    }

    fn note(usage: &CpuUsage, key: &str, took: Duration, now: Instant) {
        usage.record_at(key, took.as_secs_f64(), took.as_secs_f64(), now);
    }

    #[test]
    fn high_usage_is_detected_and_decays() {
        let (usage, start) = (CpuUsage::default(), Instant::now());
        for _ in 0..10_000 {
            note(&usage, "busy", Duration::from_micros(100), start);
            note(&usage, "mixed", Duration::from_micros(100), start);
        }
        note(&usage, "mixed", 2 * HIGH_COST, start);
        note(&usage, "seldom", Duration::from_micros(100), start);
        let cost =
            |at| ["busy", "mixed", "seldom", "unseen"].map(|key| usage.expected_cost_at(key, 1_000, at));
        assert_eq!(
            cost(start),
            [ReviewCost::AboveAverage, ReviewCost::High, ReviewCost::Low, ReviewCost::Low]
        );
        let long =
            ["seldom", "unseen"].map(|key| usage.expected_cost_at(key, UNKNOWN_TENANT_BODY_MAX + 1, start));
        assert_eq!(long, [ReviewCost::Low, ReviewCost::High], "its cost is unknown");
        let later = start + Duration::from_secs(5);
        assert_eq!(
            cost(later),
            [ReviewCost::Low, ReviewCost::High, ReviewCost::Low, ReviewCost::Low],
            "only the expensive review still counts"
        );
        assert_eq!(cost(start + Duration::from_secs(8)), [ReviewCost::Low; 4]);
    }

    #[test]
    fn expensive_reviews_are_detected_at_a_low_usage() {
        let (usage, start) = (CpuUsage::default(), Instant::now());
        for n in 0..200 {
            note(&usage, &n.to_string(), HIGH_COST + Duration::from_micros(1), start);
        }
        assert!((0..200).all(|n| usage.expected_cost_at(&n.to_string(), 1_000, start) == ReviewCost::High));
    }

    #[test]
    fn large_reviews_count_without_predicting_small_ones() {
        let (usage, start) = (CpuUsage::default(), Instant::now());
        note(&usage, "another", Duration::from_micros(100), start);
        usage.record_at("large", 1.0, 0.0, start);
        note(&usage, "large", Duration::from_micros(100), start);
        assert_eq!(usage.expected_cost_at("large", 1_000, start), ReviewCost::AboveAverage);
    }

    #[test]
    fn high_usage_below_the_average_is_not_queued() {
        let (usage, start) = (CpuUsage::default(), Instant::now());
        let cheap = |key: &str, count| {
            (0..count).for_each(|_| note(&usage, key, Duration::from_micros(100), start));
        };
        cheap("first", 10_000);
        let cost = |key, looks| usage.expected_cost_at(key, 1_000, start + AVERAGE_AGE * looks);
        assert_eq!(cost("first", 0), ReviewCost::Low, "it is the only tenant");
        cheap("second", 10_000);
        assert_eq!(["first", "second"].map(|key| cost(key, 1)), [ReviewCost::Low; 2], "each has half");
        cheap("greedy", 40_000);
        assert_eq!(cost("greedy", 2), ReviewCost::AboveAverage);
        assert_eq!(["first", "second"].map(|key| cost(key, 2)), [ReviewCost::Low; 2]);
    }

    #[test]
    fn inactive_tenants_are_removed() {
        let (usage, start) = (CpuUsage::default(), Instant::now());
        for n in 0..TENANTS_MAX {
            note(&usage, &n.to_string(), Duration::from_micros(500), start);
        }
        note(&usage, "one more", Duration::from_micros(500), start + Duration::from_secs(10));
        assert_eq!(usage.lock().keys.len(), 1);
    }
}
