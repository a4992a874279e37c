//! A queue for each key, so that who has much waits for itself and not before others.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Lets a few of each key go on at once, in the order of arrival; all clones are one.
///
/// A key is there only while it has something, so the table is never larger than what waits. Keys are kept as 64-bit hashes
/// under a random seed: nobody can choose to meet another.
#[derive(Clone)]
pub(super) struct Queues(Arc<Inner>);

struct Inner {
    queues: Mutex<HashMap<u64, Arc<Semaphore>>>,
    seed: RandomState,
    at_once: usize,
}

/// A place in the queue of a key, taken or waited for, given back when dropped.
pub(super) struct Place {
    queues: Queues,
    key: u64,
    queue: Option<Arc<Semaphore>>,
    permit: Option<OwnedSemaphorePermit>,
}

impl Queues {
    /// So many of each key at once.
    pub(super) fn new(at_once: usize) -> Self {
        Self(Arc::new(Inner { queues: Mutex::default(), seed: RandomState::new(), at_once }))
    }

    /// Waits for a place of this key. Whoever gives up leaves nothing behind.
    pub(super) async fn enter(&self, key: &[u8]) -> Option<Place> {
        let key = self.0.seed.hash_one(key);
        let queue =
            self.lock().entry(key).or_insert_with(|| Arc::new(Semaphore::new(self.0.at_once))).clone();
        // Made before the wait, so that whoever gives up is taken out too.
        let mut place = Place { queues: self.clone(), key, queue: Some(queue.clone()), permit: None };
        place.permit = Some(queue.acquire_owned().await.ok()?);
        Some(place)
    }

    /// The table is whole at every point where a panic could happen, so a poisoned lock is still good.
    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Arc<Semaphore>>> {
        self.0.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    /// Forgets the key with the last of its places: then nothing but the table knows its queue.
    fn drop(&mut self) {
        let mut queues = self.queues.lock();
        (self.permit, self.queue) = (None, None);
        if queues.get(&self.key).is_some_and(|queue| Arc::strong_count(queue) == 1) {
            queues.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn a_key_waits_for_itself_and_leaves_nothing_behind() {
        let queues = Queues::new(2);
        let enter =
            async |key: &[u8]| timeout(Duration::from_millis(30), queues.enter(key)).await.ok().flatten();
        let held = [enter(b"acme").await, enter(b"acme").await];
        assert!(held.iter().all(Option::is_some));
        assert!(enter(b"acme").await.is_none(), "who gives up");
        assert!(enter(b"globex").await.is_some(), "another waits for nobody");
        let (next, ()) = tokio::join!(queues.enter(b"acme"), async {
            tokio::task::yield_now().await;
            drop(held);
        });
        assert!(next.is_some());
        drop(next);
        assert!(queues.lock().is_empty(), "no counter outlives what it counts");
    }
}
