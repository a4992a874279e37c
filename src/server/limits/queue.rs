//! Queues that are fair between keys: a key with many entries waits for its own, not before others.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinError;
use tokio::time::timeout;

/// The niceness of worker pool threads: a third of the share of a runtime worker.
#[cfg(target_os = "linux")]
const NICE: i32 = 5;

/// Admits a few entries of each key at once, in the order of arrival; clones share their state.
///
/// The table has only keys with entries. Keys are 64-bit hashes under a random seed, so that a key cannot choose to collide.
#[derive(Clone)]
pub(super) struct FairQueue(Arc<QueuesByKey>);

struct QueuesByKey {
    queues: Mutex<HashMap<u64, Arc<Semaphore>>>,
    seed: RandomState,
    concurrency: usize,
}

/// An entry in the queue of a key, waiting or admitted, until it is dropped.
pub(super) struct QueueEntry {
    queues: FairQueue,
    key: u64,
    queue: Option<Arc<Semaphore>>,
    permit: Option<OwnedSemaphorePermit>,
}

impl FairQueue {
    pub(super) fn new(concurrency: usize) -> Self {
        Self(Arc::new(QueuesByKey { queues: Mutex::default(), seed: RandomState::new(), concurrency }))
    }

    /// Waits for admission. Cancelling it removes the entry.
    pub(super) async fn enter(&self, key: &[u8]) -> Option<QueueEntry> {
        let key = self.0.seed.hash_one(key);
        let queue =
            self.lock().entry(key).or_insert_with(|| Arc::new(Semaphore::new(self.0.concurrency))).clone();
        // Created before the wait, so that a cancelled wait drops it.
        let mut entry = QueueEntry { queues: self.clone(), key, queue: Some(queue.clone()), permit: None };
        entry.permit = Some(queue.acquire_owned().await.ok()?);
        Some(entry)
    }

    /// The table is consistent wherever a panic could happen, so a poisoned lock is usable.
    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Arc<Semaphore>>> {
        self.0.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for QueueEntry {
    /// Removes the key with its last entry: then only the table references its queue.
    fn drop(&mut self) {
        let mut queues = self.queues.lock();
        (self.permit, self.queue) = (None, None);
        if queues.get(&self.key).is_some_and(|queue| Arc::strong_count(queue) == 1) {
            queues.remove(&self.key);
        }
    }
}

/// Slots that are assigned in the order of arrival, with tenants in turn; clones share their state.
#[derive(Clone)]
struct SlotQueue {
    free: Arc<Semaphore>,
    tenants: FairQueue,
}

#[must_use = "dropping the slot releases it"]
struct TenantSlot {
    _permit: OwnedSemaphorePermit,
    _entry: QueueEntry,
}

impl SlotQueue {
    /// At most `count` entries of one tenant wait for a slot; further ones wait behind them, so that a review of another
    /// tenant never waits for more.
    fn new(count: usize) -> Self {
        Self { free: Arc::new(Semaphore::new(count)), tenants: FairQueue::new(count) }
    }

    async fn acquire(&self, tenant: &str, limit: Duration) -> Option<TenantSlot> {
        let wait = async {
            let entry = self.tenants.enter(tenant.as_bytes()).await?;
            Some(TenantSlot { _permit: self.free.clone().acquire_owned().await.ok()?, _entry: entry })
        };
        timeout(limit, wait).await.ok().flatten()
    }
}

/// Threads for slow reviews, with as many slots. Memory that the allocator retains for large objects stays in these threads.
pub struct WorkerPool {
    slots: SlotQueue,
    threads: Option<Runtime>,
}

#[must_use = "dropping the slot releases it"]
pub struct WorkerSlot {
    slot: TenantSlot,
    threads: Handle,
}

impl WorkerPool {
    /// # Errors
    /// The runtime cannot start.
    pub fn new(count: usize) -> io::Result<Self> {
        let mut threads = Builder::new_current_thread();
        threads.max_blocking_threads(count).thread_name("slow-reviews").on_thread_start(lower_priority);
        Ok(Self { slots: SlotQueue::new(count), threads: Some(threads.build()?) })
    }

    /// Waits for a slot, with tenants in turn; none after `limit`.
    pub async fn acquire(&self, tenant: &str, limit: Duration) -> Option<WorkerSlot> {
        let slot = self.slots.acquire(tenant, limit).await?;
        Some(WorkerSlot { slot, threads: self.threads.as_ref()?.handle().clone() })
    }
}

impl Drop for WorkerPool {
    fn drop(&mut self) {
        // Dropping a runtime inside another one blocks, which panics.
        if let Some(threads) = self.threads.take() {
            threads.shutdown_background();
        }
    }
}

impl WorkerSlot {
    /// Runs `work` on a thread of the pool, and then releases the slot.
    ///
    /// # Errors
    /// The work panicked, or the runtime is shutting down.
    pub async fn run<T: Send + 'static>(
        self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, JoinError> {
        let Self { slot, threads } = self;
        threads
            .spawn_blocking(move || {
                let result = work();
                drop(slot);
                result
            })
            .await
    }
}

/// Best effort: an error is ignored.
fn lower_priority() {
    #[cfg(target_os = "linux")]
    let _ = rustix::process::setpriority_process(Some(rustix::thread::gettid()), NICE);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn key_waits_for_its_own_entries_and_is_removed() {
        let queues = FairQueue::new(2);
        let enter =
            async |key: &[u8]| timeout(Duration::from_millis(30), queues.enter(key)).await.ok().flatten();
        let held = [enter(b"acme").await, enter(b"acme").await];
        assert!(held.iter().all(Option::is_some));
        assert!(enter(b"acme").await.is_none(), "cancelled");
        assert!(enter(b"globex").await.is_some(), "another key does not wait");
        let (next, ()) = tokio::join!(queues.enter(b"acme"), async {
            tokio::task::yield_now().await;
            drop(held);
        });
        assert!(next.is_some());
        drop(next);
        assert!(queues.lock().is_empty(), "empty queues are removed");
    }

    #[tokio::test]
    async fn slots_are_bounded_and_released() {
        let slots = SlotQueue::new(2);
        let take = async |tenant: &str| slots.acquire(tenant, Duration::from_millis(5)).await;
        let mut held = vec![take("a").await.unwrap(), take("b").await.unwrap()];
        assert!(take("c").await.is_none());
        held.pop();
        assert!(take("c").await.is_some());
    }

    #[tokio::test]
    async fn tenant_with_many_reviews_does_not_block_others() {
        let slots = SlotQueue::new(1);
        let order = Arc::new(std::sync::Mutex::new(Vec::new()));
        let first = slots.acquire("first", Duration::ZERO).await.unwrap();
        let mut waiting = tokio::task::JoinSet::new();
        for tenant in ["greedy", "greedy", "greedy", "modest"] {
            let (slots, order) = (slots.clone(), order.clone());
            waiting.spawn(async move {
                let _slot = slots.acquire(tenant, Duration::from_mins(1)).await.unwrap();
                order.lock().unwrap().push(tenant);
                tokio::task::yield_now().await;
            });
            tokio::task::yield_now().await;
        }
        drop(first);
        waiting.join_all().await;
        assert_eq!(*order.lock().unwrap(), ["greedy", "modest", "greedy", "greedy"]);
        assert!(slots.acquire("a", Duration::ZERO).await.is_some());
    }

    #[tokio::test]
    async fn work_runs_on_pool_threads_and_releases_its_slot() {
        let pool = WorkerPool::new(1).unwrap();
        let first = pool.acquire("a", Duration::ZERO).await.unwrap();
        assert!(pool.acquire("b", Duration::from_millis(5)).await.is_none());
        let name = first.run(|| std::thread::current().name().map(str::to_owned)).await.unwrap();
        assert_eq!(name.as_deref(), Some("slow-reviews"));
        let second = pool.acquire("b", Duration::from_secs(5)).await.expect("released");
        let panicked = second.run(|| panic!("on purpose")).await;
        assert!(panicked.unwrap_err().is_panic());
        assert!(pool.acquire("b", Duration::from_secs(5)).await.is_some(), "a panic releases the slot");
    }
}
