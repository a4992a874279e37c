//! What bodies may hold of the memory: small ones while they are unfinished, large ones until they are answered.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::queues::{Place, Queues};
use super::{Caller, take};

/// Up to this size a body is small: nearly every review is. Once whole it is bounded by the requests in flight, 1,024 of
/// which are 64 MiB at worst.
pub const SMALL: usize = 64 << 10;

/// What small unfinished bodies of one address, and of all, may hold: 128 and 512 of the longest.
const SMALL_ADDRESS: usize = 8 << 20;
const SMALL_ALL: usize = 32 << 20;

/// Up to this size a body is of medium size, and waits only for others like it.
const MEDIUM: usize = 1 << 20;

/// What bodies of medium size may hold together, and so what is read ahead of those that are judged.
const MEDIUM_ALL: usize = 2 << 20;

/// A longer one takes the room of so many as long as it is: decoded it is several times as large, so no more than a short one
/// is read while a long one is judged.
const JUDGED: usize = 3;

/// Bodies over [`SMALL`] of one address on their way at once; the next ones wait, in the order of arrival.
pub(super) const ADDRESS: usize = 8;

/// How many of one address may wait for that. Each has come as far as [`SMALL`], and its next piece may be here too.
const WAITING: usize = 64;

/// Bodies over [`SMALL`] of one owner that hold memory at once; the next ones wait likewise. Two, so that one is read
/// while the other is judged.
const OWNER: usize = 2;

/// The memory of all bodies of a listener.
pub(super) struct Pools {
    small: Arc<AtomicUsize>,
    medium: Arc<Semaphore>,
    large: Arc<Semaphore>,
    /// What there is of it, in KiB.
    largest: u32,
    owners: Queues,
}

/// What a small unfinished body holds, until it is dropped.
pub(super) struct SmallBytes {
    all: Arc<AtomicUsize>,
    caller: Arc<Caller>,
    bytes: usize,
}

/// What a larger body holds, until it is dropped.
pub(super) struct Reserved {
    address: Option<OwnedSemaphorePermit>,
    _memory: OwnedSemaphorePermit,
    _owner: Option<Place>,
}

// === impl Pools ===

impl Pools {
    /// For bodies of at most `max` bytes.
    pub(super) fn new(max: usize) -> Self {
        Self {
            small: Arc::default(),
            medium: Arc::new(Semaphore::new(MEDIUM_ALL >> 10)),
            large: Arc::new(Semaphore::new(kibibytes(max) as usize)),
            largest: kibibytes(max),
            owners: Queues::new(OWNER),
        }
    }

    /// Waits for room for a body of `bytes`: for others of its address, of its owner, and of its size, in this order, so
    /// that who has many waits for itself first. None where too many wait already. Whoever gives up leaves nothing behind.
    pub(super) async fn reserve(
        &self,
        caller: &Arc<Caller>,
        owner: Option<&[u8]>,
        bytes: usize,
    ) -> Option<Reserved> {
        let _waiting = Waiting::begin(caller)?;
        let address = caller.large.clone().acquire_owned().await.ok()?;
        let owner = match owner {
            Some(owner) => Some(self.owners.enter(owner).await?),
            None => None,
        };
        let (pool, takes) = if bytes <= MEDIUM {
            (&self.medium, kibibytes(bytes))
        } else {
            (&self.large, kibibytes(bytes.saturating_mul(JUDGED)).min(self.largest))
        };
        let memory = pool.clone().acquire_many_owned(takes).await.ok()?;
        Some(Reserved { address: Some(address), _memory: memory, _owner: owner })
    }
}

fn kibibytes(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(1 << 10)).unwrap_or(u32::MAX)
}

// === impl Waiting ===

/// A body that waits for memory, counted until it is dropped.
struct Waiting(Arc<Caller>);

impl Waiting {
    fn begin(caller: &Arc<Caller>) -> Option<Self> {
        take(&caller.waiting, WAITING).then(|| Self(caller.clone()))
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

// === impl SmallBytes ===

impl SmallBytes {
    pub(super) fn new(pools: &Pools, caller: &Arc<Caller>) -> Self {
        Self { all: pools.small.clone(), caller: caller.clone(), bytes: 0 }
    }

    /// Grows to `bytes` altogether, or says that there is no room. Counts what has come, not what was declared: a caller
    /// cannot fill the memory of all with promises.
    pub(super) fn grow(&mut self, bytes: usize) -> bool {
        let more = bytes.saturating_sub(self.bytes);
        self.bytes += more;
        let address = self.caller.small.fetch_add(more, Ordering::Relaxed) + more;
        let all = self.all.fetch_add(more, Ordering::Relaxed) + more;
        address <= SMALL_ADDRESS && all <= SMALL_ALL
    }
}

impl Drop for SmallBytes {
    fn drop(&mut self) {
        self.caller.small.fetch_sub(self.bytes, Ordering::Relaxed);
        self.all.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

// === impl Reserved ===

impl Reserved {
    /// The body is here: the next one of its address may come.
    pub(super) fn arrived(mut self) -> Self {
        self.address = None;
        self
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    const MOMENT: Duration = Duration::from_millis(30);

    async fn fits(pools: &Pools, caller: &Arc<Caller>, owner: &[u8], bytes: usize) -> Option<Reserved> {
        timeout(MOMENT, pools.reserve(caller, Some(owner), bytes)).await.ok().flatten()
    }

    #[tokio::test]
    async fn one_owner_waits_for_itself_and_leaves_nothing_behind() {
        let (pools, caller) = (Pools::new(16 << 20), Arc::new(Caller::default()));
        let held = [
            fits(&pools, &caller, b"acme", 100 << 10).await,
            fits(&pools, &caller, b"acme", 100 << 10).await,
        ];
        assert!(held.iter().all(Option::is_some));
        assert!(fits(&pools, &caller, b"acme", 100 << 10).await.is_none(), "the owner has its two");
        let other = fits(&pools, &caller, b"globex", 100 << 10).await;
        assert!(other.is_some(), "another waits for nobody");
        drop((held, other));
        assert!(fits(&pools, &caller, b"acme", 100 << 10).await.is_some());
    }

    #[tokio::test]
    async fn sizes_have_their_own_memory_and_the_address_its_own_bound() {
        let (pools, caller) = (Pools::new(16 << 20), Arc::new(Caller::default()));
        let mut held = vec![pools.reserve(&caller, None, 16 << 20).await.unwrap()];
        assert!(fits(&pools, &caller, b"a", 2 << 20).await.is_none(), "no room for another");
        for n in 1..ADDRESS {
            held.push(fits(&pools, &caller, &[u8::try_from(n).unwrap()], 100 << 10).await.unwrap());
        }
        assert!(fits(&pools, &caller, b"b", 100 << 10).await.is_none(), "the address has its eight");
        assert!(fits(&pools, &Arc::new(Caller::default()), b"b", 100 << 10).await.is_some());
        let here = held.pop().unwrap().arrived();
        assert!(fits(&pools, &caller, b"b", 100 << 10).await.is_some(), "one of them is here");
        drop(here);
    }

    #[test]
    fn small_bodies_are_counted_by_address_and_altogether() {
        let pools = Pools::new(16 << 20);
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
