//! Requests, connections, unfinished bodies and unsent responses of one client address.
//!
//! A request over a limit is rejected at once: a queued review would time out at kube-apiserver without a reason. Each
//! check is an atomic addition.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Semaphore;

use super::rejection::LimitReached;

/// Unfinished bodies of one address. An API server has at most 200 writes in flight, and two or three API servers may
/// share one address.
const UNFINISHED_MAX: usize = 512;

/// Unfinished bodies of one address that take longer than `Timeouts::body_slow`. A body of an API server takes
/// milliseconds, so a slow one is a lost packet or an attack.
const SLOW_MAX: usize = 32;

/// HTTP/2 responses of one address that are not sent yet.
const UNSENT_MAX: usize = UNFINISHED_MAX;

/// Bodies over [`SMALL_BODY_BYTES`](super::SMALL_BODY_BYTES) of one address that are read at once; further ones wait in the
/// order of arrival.
pub(super) const LARGE_BODIES_MAX: usize = 8;

/// An API server keeps one HTTP/2 connection, and a few while it rotates its client certificate.
const FEW_CONNECTIONS: usize = 16;

/// The requests in flight on one listener: those whose bodies are read.
pub(crate) struct InflightLimit {
    open: AtomicUsize,
    max: usize,
    max_per_address: usize,
}

/// The usage of one client address, shared by its connections.
pub(crate) struct Caller {
    /// Requests in flight.
    open: AtomicUsize,
    unfinished_bodies: AtomicUsize,
    slow_bodies: AtomicUsize,
    /// Bytes of small unfinished bodies.
    pub(super) small_bytes: AtomicUsize,
    /// Large bodies that wait for memory.
    pub(super) waiting: AtomicUsize,
    /// Large bodies that are read.
    pub(super) large: Arc<Semaphore>,
    unsent_responses: AtomicUsize,
}

/// The connections by address. Only the accept loop owns it, so it needs no lock.
pub(crate) struct ConnectionLimit {
    by_address: HashMap<IpAddr, Arc<Caller>>,
    max_connections: usize,
    max_connections_per_address: usize,
}

impl Default for Caller {
    fn default() -> Self {
        Self {
            open: AtomicUsize::new(0),
            unfinished_bodies: AtomicUsize::new(0),
            slow_bodies: AtomicUsize::new(0),
            small_bytes: AtomicUsize::new(0),
            waiting: AtomicUsize::new(0),
            large: Arc::new(Semaphore::new(LARGE_BODIES_MAX)),
            unsent_responses: AtomicUsize::new(0),
        }
    }
}

// === impl InflightLimit ===

impl InflightLimit {
    pub(crate) fn new(max: usize, max_per_address: usize) -> Self {
        Self { open: AtomicUsize::new(0), max, max_per_address }
    }

    /// Counts a request until [`InflightLimit::release`]. The address is checked first, so that a caller over its own limit
    /// does not use the shared one.
    pub(crate) fn acquire(&self, caller: &Caller) -> Result<(), LimitReached> {
        if !take(&caller.open, self.max_per_address) {
            return Err(LimitReached::Address);
        }
        if !take(&self.open, self.max) {
            caller.open.fetch_sub(1, Ordering::Relaxed);
            return Err(LimitReached::Inflight);
        }
        Ok(())
    }

    pub(crate) fn release(&self, caller: &Caller) {
        self.open.fetch_sub(1, Ordering::Relaxed);
        caller.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Adds and then corrects, instead of a compare-and-swap loop. Two concurrent calls at the limit may both fail; the limit is
/// never exceeded.
pub(super) fn take(open: &AtomicUsize, max: usize) -> bool {
    let taken = open.fetch_add(1, Ordering::Relaxed) < max;
    if !taken {
        open.fetch_sub(1, Ordering::Relaxed);
    }
    taken
}

// === impl ConnectionLimit ===

impl ConnectionLimit {
    pub(crate) fn new(max_connections: usize, max_connections_per_address: usize) -> Self {
        Self { by_address: HashMap::new(), max_connections, max_connections_per_address }
    }

    /// Counts a connection beside `open` others. The last eighth of the limit is reserved for addresses with few
    /// connections, so that five addresses at their own limit do not exclude a sixth.
    pub(crate) fn connect(&mut self, open: usize, address: IpAddr) -> Result<Arc<Caller>, LimitReached> {
        let held =
            self.by_address.get(&address_key(address)).map_or(0, |caller| Arc::strong_count(caller) - 1);
        let reserved = if held < FEW_CONNECTIONS { 0 } else { self.max_connections / 8 };
        if open >= self.max_connections - reserved {
            return Err(LimitReached::Connections);
        }
        let caller = self.by_address.entry(address_key(address)).or_default();
        // The table holds one reference, and each connection another.
        if Arc::strong_count(caller) > self.max_connections_per_address {
            return Err(LimitReached::AddressConnections);
        }
        Ok(caller.clone())
    }

    /// Removes addresses without connections once they outnumber the open connections, at a constant amortised cost.
    pub(crate) fn sweep(&mut self, open: usize) {
        if self.by_address.len() > 2 * open + 64 {
            self.by_address.retain(|_, caller| Arc::strong_count(caller) > 1);
        }
    }
}

/// A client with one IPv6 address usually has its whole /64.
fn address_key(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & (u128::MAX << 64))),
        v4 @ IpAddr::V4(_) => v4,
    }
}

/// An unfinished body, counted until it is dropped.
pub(super) struct UnfinishedBody {
    caller: Arc<Caller>,
    slow: bool,
}

impl UnfinishedBody {
    /// None if the address is at its limit.
    pub(super) fn begin(caller: &Arc<Caller>) -> Option<Self> {
        take(&caller.unfinished_bodies, UNFINISHED_MAX).then(|| Self { caller: caller.clone(), slow: false })
    }

    /// Counts it as slow; false if the address is at its limit of slow bodies.
    pub(super) fn mark_slow(&mut self) -> bool {
        self.slow = self.slow || take(&self.caller.slow_bodies, SLOW_MAX);
        self.slow
    }
}

/// An unsent response, counted until it is dropped.
pub(crate) struct UnsentResponse(Arc<Caller>);

impl Caller {
    /// None if the address is at its limit.
    pub(crate) fn count_unsent(self: &Arc<Self>) -> Option<UnsentResponse> {
        take(&self.unsent_responses, UNSENT_MAX).then(|| UnsentResponse(self.clone()))
    }
}

impl Drop for UnsentResponse {
    fn drop(&mut self) {
        self.0.unsent_responses.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Drop for UnfinishedBody {
    fn drop(&mut self) {
        self.caller.unfinished_bodies.fetch_sub(1, Ordering::Relaxed);
        if self.slow {
            self.caller.slow_bodies.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn address_limit_is_checked_before_the_shared_limit() {
        let inflight = InflightLimit::new(3, 2);
        let (first, second) = (Caller::default(), Caller::default());
        assert_eq!([inflight.acquire(&first), inflight.acquire(&first)], [Ok(()), Ok(())]);
        assert_eq!(inflight.acquire(&first), Err(LimitReached::Address));
        assert_eq!(inflight.acquire(&second), Ok(()), "the rejected request used nothing");
        assert_eq!(inflight.acquire(&second), Err(LimitReached::Inflight));
        inflight.release(&first);
        assert_eq!(inflight.acquire(&second), Ok(()), "the rejected request released its address count");
    }

    #[test]
    fn connections_are_bounded_and_closed_addresses_are_removed() {
        let mut connection_limit = ConnectionLimit::new(3, 2);
        let address = |text: &str| text.parse::<IpAddr>().unwrap();
        let mut held = vec![connection_limit.connect(0, address("2001:db8::1")).unwrap()];
        held.push(connection_limit.connect(1, address("2001:db8::ffff")).unwrap());
        assert_eq!(
            connection_limit.connect(2, address("2001:db8::2")).err(),
            Some(LimitReached::AddressConnections)
        );
        held.push(connection_limit.connect(2, address("10.0.0.1")).unwrap());
        assert_eq!(connection_limit.connect(3, address("10.0.0.2")).err(), Some(LimitReached::Connections));
        drop(held);
        let mut connection_limit = ConnectionLimit::new(160, 2_000);
        let mut held: Vec<_> =
            (0..140).map(|n| connection_limit.connect(n, address("10.0.0.1")).unwrap()).collect();
        assert_eq!(connection_limit.connect(140, address("10.0.0.1")).err(), Some(LimitReached::Connections));
        held.extend((140..156).map(|n| connection_limit.connect(n, address("10.0.0.2")).unwrap()));
        assert_eq!(connection_limit.connect(156, address("10.0.0.2")).err(), Some(LimitReached::Connections));
        drop(held);
        for n in 0..200_u8 {
            connection_limit.connect(0, IpAddr::from([10, 0, 0, n])).unwrap();
            connection_limit.sweep(0);
        }
        assert!(connection_limit.by_address.len() <= 64, "{}", connection_limit.by_address.len());
        assert_eq!(address_key(address("::ffff:10.0.0.1")), address("10.0.0.1"));
    }

    #[test]
    fn unfinished_bodies_of_an_address_are_bounded_and_released() {
        let caller = Arc::new(Caller::default());
        let mut all: Vec<_> = (0..UNFINISHED_MAX).filter_map(|_| UnfinishedBody::begin(&caller)).collect();
        assert_eq!(all.len(), UNFINISHED_MAX);
        assert!(UnfinishedBody::begin(&caller).is_none());
        assert_eq!(
            all.iter_mut().filter(|_| true).map(UnfinishedBody::mark_slow).filter(|slow| *slow).count(),
            SLOW_MAX
        );
        assert!(all.first_mut().unwrap().mark_slow(), "counted once");
        let other = Arc::new(Caller::default());
        assert!(UnfinishedBody::begin(&other).unwrap().mark_slow(), "another address has its own");
        drop(all);
        assert!(UnfinishedBody::begin(&caller).unwrap().mark_slow());
    }
}
