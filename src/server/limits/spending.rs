//! What the reviews of each tenant have cost of late, in processor time.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// What was spent so long ago counts for little (a factor of e).
const MEMORY: Duration = Duration::from_secs(1);

/// A twentieth of a processor, over [`MEMORY`]: who spends less leaves room whatever its reviews are.
const MUCH: Duration = Duration::from_millis(50);

/// Ten times what a usual review costs. The dearest of late counts and no average, which cheap ones would bring down.
const DEAR: Duration = Duration::from_micros(500);

/// What the reviews that a key has in flight will cost together: this much delays nobody else noticeably.
const BACKLOG: Duration = Duration::from_millis(20);

/// Seconds that a key must have spent of late to be one of those that share the processors: a review of two seconds ago.
const ACTIVE: f64 = 1e-5;

/// Keys that are remembered before those that spent nothing of late are forgotten.
const KEYS: usize = 1024;

/// How the reviews of a key may go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// At once: it has had little of the processors of late, or little in flight.
    Free,
    /// In turn with others that have had much.
    Busy,
    /// The same, and away from the workers: its reviews take long.
    Dear,
}

/// Remembers what each key has spent.
pub struct Spending {
    keys: Mutex<HashMap<u64, Spent>>,
    seed: RandomState,
}

/// Times in seconds, fading: of all reviews, and of the dearest small one.
#[derive(Clone, Copy)]
struct Spent {
    seconds: f64,
    dearest: f64,
    at: Instant,
}

impl Default for Spending {
    fn default() -> Self {
        Self { keys: Mutex::default(), seed: RandomState::new() }
    }
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

    /// How the next small review of this key may go on, where the key has so many in flight.
    pub fn pace(&self, key: &str, held: usize) -> Pace {
        self.pace_at(key, held, Instant::now())
    }

    fn note_at(&self, key: &str, took: f64, dear: f64, now: Instant) {
        let key = self.seed.hash_one(key);
        let mut keys = self.lock();
        if keys.len() >= KEYS && !keys.contains_key(&key) {
            keys.retain(|_, spent| spent.faded(now).seconds > ACTIVE);
        }
        let before =
            keys.get(&key).map_or(Spent { seconds: 0.0, dearest: 0.0, at: now }, |spent| spent.faded(now));
        let after = Spent { seconds: before.seconds + took, dearest: before.dearest.max(dear), at: now };
        keys.insert(key, after);
    }

    fn pace_at(&self, key: &str, held: usize, now: Instant) -> Pace {
        let key = self.seed.hash_one(key);
        let keys = self.lock();
        let spent = keys.get(&key).map(|spent| spent.faded(now));
        match spent {
            // Who spends much and no more than the others do takes nothing from them.
            Some(spent)
                if spent.seconds > MUCH.as_secs_f64()
                    && spent.dearest * count(held) > BACKLOG.as_secs_f64()
                    && spent.seconds > 1.05 * average(&keys, now) =>
            {
                if spent.dearest > DEAR.as_secs_f64() {
                    Pace::Dear
                } else {
                    Pace::Busy
                }
            }
            _ => Pace::Free,
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Spent>> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the keys that spend something now have spent on average.
fn average(keys: &HashMap<u64, Spent>, now: Instant) -> f64 {
    let all = keys.values().map(|spent| spent.faded(now)).filter(|spent| spent.seconds > ACTIVE);
    let (seconds, count) =
        all.fold((0.0, 0.0), |(seconds, count), spent| (seconds + spent.seconds, count + 1.0));
    seconds / f64::max(count, 1.0)
}

/// A count among times.
fn count(n: usize) -> f64 {
    f64::from(u32::try_from(n).unwrap_or(u32::MAX))
}

impl Spent {
    fn faded(self, now: Instant) -> Self {
        let age = now.saturating_duration_since(self.at).as_secs_f64() / MEMORY.as_secs_f64();
        let left = (-age).exp();
        Self { seconds: self.seconds * left, dearest: self.dearest * left, at: now }
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
        for _ in 0..200 {
            note(&spending, "dear", Duration::from_millis(5), start);
        }
        note(&spending, "mixed", Duration::from_millis(20), start);
        note(&spending, "seldom", Duration::from_millis(100), start);
        let pace =
            |at| ["dear", "busy", "mixed", "seldom", "unseen"].map(|key| spending.pace_at(key, 256, at));
        assert_eq!(pace(start), [Pace::Dear, Pace::Busy, Pace::Dear, Pace::Free, Pace::Free]);
        let few = ["dear", "busy"].map(|key| spending.pace_at(key, 4, start));
        assert_eq!(few, [Pace::Free; 2], "four of 5 ms delay nobody");
        assert_eq!(
            pace(start + Duration::from_secs(4)),
            [Pace::Free; 5],
            "half a second of work and more, long ago"
        );
    }

    #[test]
    fn large_reviews_count_and_say_nothing_of_small_ones() {
        let (spending, start) = (Spending::default(), Instant::now());
        note(&spending, "another", DEAR, start);
        spending.note_at("large", 1.0, 0.0, start);
        note(&spending, "large", Duration::from_micros(100), start);
        assert_eq!(spending.pace_at("large", 256, start), Pace::Busy);
    }

    #[test]
    fn who_spends_much_and_no_more_than_others_goes_on() {
        let (spending, start) = (Spending::default(), Instant::now());
        note(&spending, "alone", Duration::from_secs(1), start);
        assert_eq!(spending.pace_at("alone", 256, start), Pace::Free);
        note(&spending, "greedy", Duration::from_secs(2), start);
        assert_eq!(
            ["alone", "greedy"].map(|key| spending.pace_at(key, 256, start)),
            [Pace::Free, Pace::Dear]
        );
    }

    #[test]
    fn keys_that_spent_nothing_of_late_are_forgotten() {
        let (spending, start) = (Spending::default(), Instant::now());
        for n in 0..KEYS {
            note(&spending, &n.to_string(), DEAR, start);
        }
        note(&spending, "one more", DEAR, start + Duration::from_secs(10));
        assert_eq!(spending.lock().len(), 1);
    }
}
