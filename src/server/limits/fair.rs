//! A bound on what each key may have in flight, so that no tenant starves the others.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Far more than cores that would meet on one lock, and 1 KiB altogether.
const SHARDS: usize = 16;

/// Counts what is in flight for each key; all clones are one.
///
/// A key is there only while it holds something, so the table is never larger than what is in flight. Keys are kept
/// as 64-bit hashes under a random seed: two that meet (once in 10^13 for a thousand tenants) share a bound, and
/// nobody can choose to meet another.
#[derive(Clone)]
pub struct Fair {
    inner: Arc<Inner>,
}

/// One place of one key, given back when dropped.
#[must_use = "dropping the guard gives the place back"]
pub struct Guard {
    inner: Arc<Inner>,
    hash: u64,
}

struct Inner {
    shards: [Mutex<HashMap<u64, usize>>; SHARDS],
    seed: RandomState,
    max_per_key: usize,
}

impl Fair {
    /// At most `max_per_key` in flight for each key; 0 refuses everything.
    pub fn new(max_per_key: usize) -> Self {
        let shards = std::array::from_fn(|_| Mutex::default());
        Self { inner: Arc::new(Inner { shards, seed: RandomState::new(), max_per_key }) }
    }

    /// Takes a place for the key, or says at once that there is none. Never waits.
    pub fn try_acquire(&self, key: &str) -> Option<Guard> {
        let hash = self.inner.seed.hash_one(key);
        let mut shard = self.inner.shard(hash)?;
        let count = shard.entry(hash).or_insert(0);
        if *count < self.inner.max_per_key {
            *count += 1;
            return Some(Guard { inner: self.inner.clone(), hash });
        }
        if *count == 0 {
            shard.remove(&hash);
        }
        None
    }

    /// How many keys hold something now.
    pub fn keys(&self) -> usize {
        self.inner.shards.iter().map(|shard| lock(shard).len()).sum()
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let Some(mut shard) = self.inner.shard(self.hash) else { return };
        if let Entry::Occupied(mut entry) = shard.entry(self.hash) {
            match entry.get_mut() {
                0 | 1 => drop(entry.remove()),
                more => *more -= 1,
            }
        }
    }
}

impl Inner {
    /// Always there: the remainder is below the number of shards.
    fn shard(&self, hash: u64) -> Option<MutexGuard<'_, HashMap<u64, usize>>> {
        let index = usize::try_from(hash % SHARDS as u64).ok()?;
        self.shards.get(index).map(lock)
    }
}

/// Counts are whole at every point where a panic could happen, so a poisoned lock is still good.
fn lock(shard: &Mutex<HashMap<u64, usize>>) -> MutexGuard<'_, HashMap<u64, usize>> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_has_its_own_places_and_leaves_nothing_behind() {
        let fair = Fair::new(2);
        let held = [fair.try_acquire("acme").unwrap(), fair.try_acquire("acme").unwrap()];
        assert!(fair.try_acquire("acme").is_none());
        let other = fair.try_acquire("globex").expect("one tenant does not starve another");
        assert_eq!(fair.keys(), 2);
        drop(held);
        drop(fair.try_acquire("acme").expect("given back"));
        drop(other);
        assert_eq!(fair.keys(), 0);
        assert!(Fair::new(0).try_acquire("acme").is_none());
    }

    #[test]
    fn the_bound_holds_under_contention() {
        let fair = Fair::new(3);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..2_000 {
                        let held: Vec<_> = (0..4).filter_map(|_| fair.try_acquire("acme")).collect();
                        assert!(held.len() <= 3);
                    }
                });
            }
        });
        assert_eq!(fair.keys(), 0);
    }
}
