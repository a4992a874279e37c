//! What the reviews of each tenant have cost of late, in processor time.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// What was spent so long ago counts for little (a factor of e).
const MEMORY: Duration = Duration::from_secs(1);

/// A twentieth of a processor, over [`MEMORY`]: who spends less leaves room whatever its reviews are.
const MUCH: Duration = Duration::from_millis(50);

/// Ten times what a usual review costs. Below this a hundred that wait before another are 25 ms on two processors.
const DEAR: Duration = Duration::from_micros(500);

/// Keys that are remembered before those that spent nothing of late are forgotten.
const KEYS: usize = 1024;

/// How the reviews of a key may go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// At once: it has had little of the processors of late.
    Free,
    /// In turn with others that have had much.
    Busy,
    /// The same, and away from the workers: each of its reviews takes long.
    Dear,
}

/// Remembers what each key has spent.
pub struct Spending {
    keys: Mutex<HashMap<u64, Spent>>,
    seed: RandomState,
}

/// Time and reviews, both fading.
#[derive(Clone, Copy)]
struct Spent {
    seconds: f64,
    reviews: f64,
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
        self.note_at(key, took, Instant::now());
    }

    /// How the next review of this key may go on.
    pub fn pace(&self, key: &str) -> Pace {
        self.pace_at(key, Instant::now())
    }

    fn note_at(&self, key: &str, took: Duration, now: Instant) {
        let key = self.seed.hash_one(key);
        let mut keys = self.lock();
        if keys.len() >= KEYS && !keys.contains_key(&key) {
            keys.retain(|_, spent| spent.faded(now).reviews > 0.1);
        }
        let before =
            keys.get(&key).map_or(Spent { seconds: 0.0, reviews: 0.0, at: now }, |spent| spent.faded(now));
        let after =
            Spent { seconds: before.seconds + took.as_secs_f64(), reviews: before.reviews + 1.0, at: now };
        keys.insert(key, after);
    }

    fn pace_at(&self, key: &str, now: Instant) -> Pace {
        let key = self.seed.hash_one(key);
        let keys = self.lock();
        let spent = keys.get(&key).map(|spent| spent.faded(now));
        match spent {
            // Who spends much and no more than the others do takes nothing from them.
            Some(spent)
                if spent.seconds > MUCH.as_secs_f64() && spent.seconds > 1.05 * average(&keys, now) =>
            {
                let dear = spent.seconds > spent.reviews * DEAR.as_secs_f64();
                if dear { Pace::Dear } else { Pace::Busy }
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
    let all = keys.values().map(|spent| spent.faded(now)).filter(|spent| spent.reviews > 0.1);
    let (seconds, count) =
        all.fold((0.0, 0.0), |(seconds, count), spent| (seconds + spent.seconds, count + 1.0));
    seconds / f64::max(count, 1.0)
}

impl Spent {
    fn faded(self, now: Instant) -> Self {
        let age = now.saturating_duration_since(self.at).as_secs_f64() / MEMORY.as_secs_f64();
        let left = (-age).exp();
        Self { seconds: self.seconds * left, reviews: self.reviews * left, at: now }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_spends_much_is_found_and_forgiven() {
        let (spending, start) = (Spending::default(), Instant::now());
        for _ in 0..200 {
            spending.note_at("dear", Duration::from_millis(5), start);
        }
        for _ in 0..10_000 {
            spending.note_at("busy", Duration::from_micros(100), start);
        }
        spending.note_at("seldom", Duration::from_millis(100), start);
        let pace = |at| ["dear", "busy", "seldom", "nobody"].map(|key| spending.pace_at(key, at));
        assert_eq!(pace(start), [Pace::Dear, Pace::Busy, Pace::Free, Pace::Free]);
        assert_eq!(
            pace(start + Duration::from_secs(4)),
            [Pace::Free; 4],
            "half a second of work and more, long ago"
        );
    }

    #[test]
    fn who_spends_much_and_no_more_than_others_goes_on() {
        let (spending, start) = (Spending::default(), Instant::now());
        spending.note_at("alone", Duration::from_secs(1), start);
        assert_eq!(spending.pace_at("alone", start), Pace::Free);
        spending.note_at("greedy", Duration::from_secs(2), start);
        assert_eq!(["alone", "greedy"].map(|key| spending.pace_at(key, start)), [Pace::Free, Pace::Dear]);
    }

    #[test]
    fn keys_that_spent_nothing_of_late_are_forgotten() {
        let (spending, start) = (Spending::default(), Instant::now());
        for n in 0..KEYS {
            spending.note_at(&n.to_string(), DEAR, start);
        }
        spending.note_at("one more", DEAR, start + Duration::from_secs(10));
        assert_eq!(spending.lock().len(), 1);
    }
}
