//! Memory of bodies: small ones are counted while they are unfinished, large ones until they are answered.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::inflight::{Caller, take};
use super::queue::{FairQueue, QueueEntry};

/// Nearly every review is at most this large. Complete small bodies are bounded by the requests in flight: 1,024 of them
/// have at most 64 MiB.
pub const SMALL_BODY_BYTES: usize = 64 << 10;

/// Bytes of small unfinished bodies of one address and of all addresses: 128 and 512 of the largest.
const SMALL_ADDRESS: usize = 8 << 20;
const SMALL_ALL: usize = 32 << 20;

/// A body up to this size waits only for other bodies of medium size.
const MEDIUM_BODY_BYTES: usize = 1 << 20;

/// Bytes of all bodies of medium size, and so of those that are read ahead of the evaluation.
const MEDIUM_ALL: usize = 2 << 20;

/// A large body reserves this multiple of its size, because its decoded form is several times as large.
const DECODED_FACTOR: usize = 3;

/// Large bodies of one address that may wait for memory. Each holds up to [`SMALL_BODY_BYTES`] and its next piece.
const WAITING_MAX: usize = 64;

/// Large bodies of one owner that hold memory at once: one is read while the other is evaluated.
const PER_OWNER: usize = 2;

/// The memory of all bodies of a listener.
pub(super) struct BodyMemory {
    small: Arc<AtomicUsize>,
    medium: Arc<Semaphore>,
    large: Arc<Semaphore>,
    /// The capacity of `large` in KiB.
    capacity: u32,
    owners: FairQueue,
}

/// Bytes of a small unfinished body, until it is dropped.
pub(super) struct SmallBytes {
    all: Arc<AtomicUsize>,
    caller: Arc<Caller>,
    bytes: usize,
}

/// The reservation of a large body, until it is dropped.
pub(super) struct Reservation {
    address: Option<OwnedSemaphorePermit>,
    _memory: OwnedSemaphorePermit,
    _owner: Option<QueueEntry>,
}

// === impl BodyMemory ===

impl BodyMemory {
    /// `max` is the limit of one body in bytes.
    pub(super) fn new(max: usize) -> Self {
        Self {
            small: Arc::default(),
            medium: Arc::new(Semaphore::new(MEDIUM_ALL >> 10)),
            large: Arc::new(Semaphore::new(kibibytes(max) as usize)),
            capacity: kibibytes(max),
            owners: FairQueue::new(PER_OWNER),
        }
    }

    /// Waits for other bodies of its address, of its owner, and of its size, in this order, so that an owner with many bodies
    /// waits for its own first. None if too many wait already. Cancelling it releases everything.
    pub(super) async fn reserve(
        &self,
        caller: &Arc<Caller>,
        owner: Option<&[u8]>,
        bytes: usize,
    ) -> Option<Reservation> {
        let _waiting = Waiting::begin(caller)?;
        let address = caller.large.clone().acquire_owned().await.ok()?;
        let owner = match owner {
            Some(owner) => Some(self.owners.enter(owner).await?),
            None => None,
        };
        let (pool, takes) = if bytes <= MEDIUM_BODY_BYTES {
            (&self.medium, kibibytes(bytes))
        } else {
            (&self.large, kibibytes(bytes.saturating_mul(DECODED_FACTOR)).min(self.capacity))
        };
        let memory = pool.clone().acquire_many_owned(takes).await.ok()?;
        Some(Reservation { address: Some(address), _memory: memory, _owner: owner })
    }
}

fn kibibytes(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(1 << 10)).unwrap_or(u32::MAX)
}

// === impl Waiting ===

/// A body that waits for memory, until it is dropped.
struct Waiting(Arc<Caller>);

impl Waiting {
    fn begin(caller: &Arc<Caller>) -> Option<Self> {
        take(&caller.waiting, WAITING_MAX).then(|| Self(caller.clone()))
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

// === impl SmallBytes ===

impl SmallBytes {
    pub(super) fn new(pools: &BodyMemory, caller: &Arc<Caller>) -> Self {
        Self { all: pools.small.clone(), caller: caller.clone(), bytes: 0 }
    }

    /// Grows to `bytes`; false if the limit is reached. It counts received bytes, because a declared length could reserve
    /// memory without sending anything.
    pub(super) fn grow(&mut self, bytes: usize) -> bool {
        let more = bytes.saturating_sub(self.bytes);
        self.bytes += more;
        let address = self.caller.small_bytes.fetch_add(more, Ordering::Relaxed) + more;
        let all = self.all.fetch_add(more, Ordering::Relaxed) + more;
        address <= SMALL_ADDRESS && all <= SMALL_ALL
    }
}

impl Drop for SmallBytes {
    fn drop(&mut self) {
        self.caller.small_bytes.fetch_sub(self.bytes, Ordering::Relaxed);
        self.all.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

// === impl Reservation ===

impl Reservation {
    /// The body is complete: the next one of its address may be read.
    pub(super) fn complete(mut self) -> Self {
        self.address = None;
        self
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::super::inflight::LARGE_BODIES_MAX;
    use super::*;

    const WAIT: Duration = Duration::from_millis(30);

    async fn try_reserve(
        pools: &BodyMemory,
        caller: &Arc<Caller>,
        owner: &[u8],
        bytes: usize,
    ) -> Option<Reservation> {
        timeout(WAIT, pools.reserve(caller, Some(owner), bytes)).await.ok().flatten()
    }

    #[tokio::test]
    async fn owner_waits_for_its_own_bodies_and_releases_them() {
        let (pools, caller) = (BodyMemory::new(16 << 20), Arc::new(Caller::default()));
        let held = [
            try_reserve(&pools, &caller, b"acme", 100 << 10).await,
            try_reserve(&pools, &caller, b"acme", 100 << 10).await,
        ];
        assert!(held.iter().all(Option::is_some));
        assert!(try_reserve(&pools, &caller, b"acme", 100 << 10).await.is_none(), "the owner has its two");
        let other = try_reserve(&pools, &caller, b"globex", 100 << 10).await;
        assert!(other.is_some(), "another owner does not wait");
        drop((held, other));
        assert!(try_reserve(&pools, &caller, b"acme", 100 << 10).await.is_some());
    }

    #[tokio::test]
    async fn sizes_have_separate_memory_and_addresses_have_a_limit() {
        let (pools, caller) = (BodyMemory::new(16 << 20), Arc::new(Caller::default()));
        let mut held = vec![pools.reserve(&caller, None, 16 << 20).await.unwrap()];
        assert!(
            try_reserve(&pools, &caller, b"a", 2 << 20).await.is_none(),
            "the memory of large bodies is in use"
        );
        for n in 1..LARGE_BODIES_MAX {
            held.push(try_reserve(&pools, &caller, &[u8::try_from(n).unwrap()], 100 << 10).await.unwrap());
        }
        assert!(try_reserve(&pools, &caller, b"b", 100 << 10).await.is_none(), "the address has its eight");
        assert!(try_reserve(&pools, &Arc::new(Caller::default()), b"b", 100 << 10).await.is_some());
        let complete = held.pop().unwrap().complete();
        assert!(try_reserve(&pools, &caller, b"b", 100 << 10).await.is_some(), "one of them is complete");
        drop(complete);
    }

    #[test]
    fn small_bodies_are_counted_by_address_and_in_total() {
        let pools = BodyMemory::new(16 << 20);
        let addresses: Vec<_> = (0..5).map(|_| Arc::new(Caller::default())).collect();
        let mut held = Vec::new();
        for caller in addresses.iter().take(4) {
            let mut bytes = SmallBytes::new(&pools, caller);
            assert!(bytes.grow(SMALL_ADDRESS));
            assert!(!SmallBytes::new(&pools, caller).grow(1), "the address has its share");
            held.push(bytes);
        }
        assert!(!SmallBytes::new(&pools, &addresses[4]).grow(1), "all of it is taken");
        held.pop();
        assert!(SmallBytes::new(&pools, &addresses[4]).grow(1));
    }
}
