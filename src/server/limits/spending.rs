//! What the reviews of each tenant have cost of late, in processor time.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// What was spent so long ago counts for little (a factor of e); what a review cost is remembered for longer.
const MEMORY: Duration = Duration::from_secs(1);
const DEAREST_MEMORY: Duration = Duration::from_secs(10);

/// A twentieth of a processor, over [`MEMORY`]: a key with cheap reviews that spends less leaves room for others.
const MUCH: Duration = Duration::from_millis(50);

/// Ten times what a usual review costs, which without optimisation is twenty times as much. The dearest of late counts and no
/// average, which cheap ones would bring down.
const DEAR: Duration =
    if cfg!(debug_assertions) { Duration::from_millis(10) } else { Duration::from_micros(500) };

/// The longest body of a key with no review of late that is not taken for dear: two usual Pods.
const UNSEEN: usize = 16 << 10;

/// Seconds that a key must have spent of late to be one of those that share the processors: a review of two seconds ago.
const ACTIVE: f64 = 1e-5;

/// How old the average may be.
const AVERAGE_AGE: Duration = Duration::from_millis(10);

/// Keys that are remembered before those that spent nothing of late are forgotten.
const KEYS: usize = 1024;

/// How the reviews of a key may go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// At once: its reviews are cheap, and it has had little of the processors of late.
    Free,
    /// In turn with others that have had much, and away from the workers.
    Busy,
    /// The same, with those whose reviews take long.
    Dear,
}

/// Remembers what each key has spent.
#[derive(Default)]
pub struct Spending {
    table: Mutex<Table>,
    seed: RandomState,
}

#[derive(Default)]
struct Table {
    keys: HashMap<u64, Spent>,
    /// What the keys that spend something have spent on average, and when that was found.
    average: Option<(f64, Instant)>,
}

/// Times in seconds, fading: of all reviews, and of the dearest small one.
#[derive(Clone, Copy)]
struct Spent {
    seconds: f64,
    dearest: f64,
    at: Instant,
}

impl Spending {
    /// Counts a review of this key that took so much processor time.
    pub fn note(&self, key: &str, took: Duration) {
        let took = took.as_secs_f64();
        self.note_at(key, took, took, Instant::now());
    }

    /// The same for a large one, which says nothing of what small ones take.
    pub fn note_large(&self, key: &str, took: Duration) {
        self.note_at(key, took.as_secs_f64(), 0.0, Instant::now());
    }

    /// How the next small review of this key, with a body of so many bytes, may go on.
    pub fn pace(&self, key: &str, bytes: usize) -> Pace {
        self.pace_at(key, bytes, Instant::now())
    }

    fn note_at(&self, key: &str, took: f64, dear: f64, now: Instant) {
        let key = self.seed.hash_one(key);
        let keys = &mut self.lock().keys;
        if keys.len() >= KEYS && !keys.contains_key(&key) {
            keys.retain(|_, spent| spent.faded(now).seconds > ACTIVE);
        }
        let before =
            keys.get(&key).map_or(Spent { seconds: 0.0, dearest: 0.0, at: now }, |spent| spent.faded(now));
        let after = Spent { seconds: before.seconds + took, dearest: before.dearest.max(dear), at: now };
        keys.insert(key, after);
    }

    fn pace_at(&self, key: &str, bytes: usize, now: Instant) -> Pace {
        let key = self.seed.hash_one(key);
        let mut table = self.lock();
        let Some(spent) = table.keys.get(&key).map(|spent| spent.faded(now)) else {
            return if bytes > UNSEEN { Pace::Dear } else { Pace::Free };
        };
        // Whatever it spends: where many keys with dear reviews share the processors, each spends little.
        if spent.dearest > DEAR.as_secs_f64() {
            return Pace::Dear;
        }
        // A key that spends much, and no more than the others do, takes nothing from them.
        let much = spent.seconds > MUCH.as_secs_f64() && spent.seconds > 1.05 * table.average(now);
        if much { Pace::Busy } else { Pace::Free }
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    /// What the keys that spend something have spent on average; looked at again after [`AVERAGE_AGE`], because it takes a
    /// look at each of them.
    fn average(&mut self, now: Instant) -> f64 {
        if let Some((average, at)) = self.average
            && now.saturating_duration_since(at) < AVERAGE_AGE
        {
            return average;
        }
        let all = self.keys.values().map(|spent| spent.faded(now)).filter(|spent| spent.seconds > ACTIVE);
        let (seconds, count) =
            all.fold((0.0, 0.0), |(seconds, count), spent| (seconds + spent.seconds, count + 1.0));
        let average = seconds / f64::max(count, 1.0);
        self.average = Some((average, now));
        average
    }
}

impl Spent {
    fn faded(self, now: Instant) -> Self {
        let age = now.saturating_duration_since(self.at).as_secs_f64();
        let left = |memory: Duration| (-age / memory.as_secs_f64()).exp();
        Self { seconds: self.seconds * left(MEMORY), dearest: self.dearest * left(DEAREST_MEMORY), at: now }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(spending: &Spending, key: &str, took: Duration, now: Instant) {
        spending.note_at(key, took.as_secs_f64(), took.as_secs_f64(), now);
    }

    #[test]
    fn who_spends_much_is_found_and_forgiven() {
        let (spending, start) = (Spending::default(), Instant::now());
        for _ in 0..10_000 {
            note(&spending, "busy", Duration::from_micros(100), start);
            note(&spending, "mixed", Duration::from_micros(100), start);
        }
        note(&spending, "mixed", 2 * DEAR, start);
        note(&spending, "seldom", Duration::from_micros(100), start);
        let pace = |at| ["busy", "mixed", "seldom", "unseen"].map(|key| spending.pace_at(key, 1_000, at));
        assert_eq!(pace(start), [Pace::Busy, Pace::Dear, Pace::Free, Pace::Free]);
        let long = ["seldom", "unseen"].map(|key| spending.pace_at(key, UNSEEN + 1, start));
        assert_eq!(long, [Pace::Free, Pace::Dear], "nothing says yet that it is cheap");
        let later = start + Duration::from_secs(5);
        assert_eq!(
            pace(later),
            [Pace::Free, Pace::Dear, Pace::Free, Pace::Free],
            "half a second of work, long ago"
        );
        assert_eq!(pace(start + Duration::from_secs(8)), [Pace::Free; 4]);
    }

    #[test]
    fn many_with_dear_reviews_are_found_though_each_spends_little() {
        let (spending, start) = (Spending::default(), Instant::now());
        for n in 0..200 {
            note(&spending, &n.to_string(), DEAR + Duration::from_micros(1), start);
        }
        assert!((0..200).all(|n| spending.pace_at(&n.to_string(), 1_000, start) == Pace::Dear));
    }

    #[test]
    fn large_reviews_count_and_say_nothing_of_small_ones() {
        let (spending, start) = (Spending::default(), Instant::now());
        note(&spending, "another", Duration::from_micros(100), start);
        spending.note_at("large", 1.0, 0.0, start);
        note(&spending, "large", Duration::from_micros(100), start);
        assert_eq!(spending.pace_at("large", 1_000, start), Pace::Busy);
    }

    #[test]
    fn who_spends_much_and_no_more_than_others_goes_on() {
        let (spending, start) = (Spending::default(), Instant::now());
        let cheap = |key: &str, count| {
            (0..count).for_each(|_| note(&spending, key, Duration::from_micros(100), start));
        };
        cheap("first", 10_000);
        let pace = |key, looks| spending.pace_at(key, 1_000, start + AVERAGE_AGE * looks);
        assert_eq!(pace("first", 0), Pace::Free, "it is alone");
        cheap("second", 10_000);
        assert_eq!(["first", "second"].map(|key| pace(key, 1)), [Pace::Free; 2], "each has half");
        cheap("greedy", 40_000);
        assert_eq!(pace("greedy", 2), Pace::Busy);
        assert_eq!(["first", "second"].map(|key| pace(key, 2)), [Pace::Free; 2]);
    }

    #[test]
    fn keys_that_spent_nothing_of_late_are_forgotten() {
        let (spending, start) = (Spending::default(), Instant::now());
        for n in 0..KEYS {
            note(&spending, &n.to_string(), Duration::from_micros(500), start);
        }
        note(&spending, "one more", Duration::from_micros(500), start + Duration::from_secs(10));
        assert_eq!(spending.lock().keys.len(), 1);
    }
}
