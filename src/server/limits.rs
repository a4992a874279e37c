//! Bounds on what callers may take: requests in flight, of one address, of one key, and bytes of body.
//!
//! Requests in flight do not queue. A review that waits for a permit is a review that times out at the API server with
//! nothing said; one that is refused at once is an answer, and is counted. Each check is an atomic addition. Large bodies
//! wait for memory, which is bounded by the time that a whole body may take.

pub mod beside;
pub mod body;
pub mod fair;
mod memory;
mod queues;
mod rejection;
mod slots;
pub mod spending;
mod unfinished;

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::http::{StatusCode, header};
use axum::response::Response;
use tokio::sync::Semaphore;

pub use beside::Beside;
pub use body::Owner;
pub(super) use body::{BodyLimits, read_body};
pub use fair::{Fair, Guard};
pub use memory::SMALL;
pub use rejection::Rejection;
pub use spending::{Pace, Spending};
pub(super) use unfinished::Untaken;

/// An API server keeps one connection over HTTP/2, and a handful while it changes the certificate that it shows.
const FEW: usize = 16;

/// The requests in flight on one listener: those whose bodies are here.
pub(super) struct Inflight {
    open: AtomicUsize,
    max: usize,
    max_per_address: usize,
}

/// One address: shared by its connections, gone with the last of them.
pub(super) struct Caller {
    /// Requests in flight.
    open: AtomicUsize,
    /// Bodies that are waited for, and those of them that are slow.
    coming: AtomicUsize,
    slow: AtomicUsize,
    /// Bytes of small unfinished bodies.
    small: AtomicUsize,
    /// Larger bodies that wait for memory, and those on their way.
    waiting: AtomicUsize,
    large: Arc<Semaphore>,
    /// Answers that it has not taken yet.
    unsent: AtomicUsize,
}

/// A request in flight that was refused, or a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shed {
    /// Too many requests in flight altogether.
    Inflight,
    /// Too many requests in flight of this address.
    Address,
    /// Too many connections altogether.
    Connections,
    /// Too many connections of this address.
    AddressConnections,
}

/// Who is connected. Owned by the accept loop alone, so without a lock.
pub(super) struct Callers {
    by_address: HashMap<IpAddr, Arc<Caller>>,
    max_connections: usize,
    max_connections_per_address: usize,
}

impl Default for Caller {
    fn default() -> Self {
        let [open, coming, slow, small, waiting, unsent] = std::array::from_fn(|_| AtomicUsize::new(0));
        Self { open, coming, slow, small, waiting, unsent, large: Arc::new(Semaphore::new(memory::ADDRESS)) }
    }
}

// === impl Inflight ===

impl Inflight {
    pub(super) fn new(max: usize, max_per_address: usize) -> Self {
        Self { open: AtomicUsize::new(0), max, max_per_address }
    }

    /// Takes a place, to be given back with [`Inflight::leave`]. The address is asked first: a caller that is over
    /// its own bound must not touch what the others share.
    pub(super) fn enter(&self, caller: &Caller) -> Result<(), Shed> {
        if !take(&caller.open, self.max_per_address) {
            return Err(Shed::Address);
        }
        if !take(&self.open, self.max) {
            caller.open.fetch_sub(1, Ordering::Relaxed);
            return Err(Shed::Inflight);
        }
        Ok(())
    }

    pub(super) fn leave(&self, caller: &Caller) {
        self.open.fetch_sub(1, Ordering::Relaxed);
        caller.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Adds first and takes back, rather than compare and swap in a loop: under contention one bus operation each.
/// Two that meet at the bound may both be refused; never is one too many let in.
fn take(open: &AtomicUsize, max: usize) -> bool {
    let taken = open.fetch_add(1, Ordering::Relaxed) < max;
    if !taken {
        open.fetch_sub(1, Ordering::Relaxed);
    }
    taken
}

// === impl Callers ===

impl Callers {
    pub(super) fn new(max_connections: usize, max_connections_per_address: usize) -> Self {
        Self { by_address: HashMap::new(), max_connections, max_connections_per_address }
    }

    /// Takes a connection in, where `open` others are. The last eighth is for addresses that have few, so that five
    /// addresses with all that one may have do not shut out a sixth.
    pub(super) fn connect(&mut self, open: usize, address: IpAddr) -> Result<Arc<Caller>, Shed> {
        let held = self.by_address.get(&key(address)).map_or(0, |caller| Arc::strong_count(caller) - 1);
        let kept = if held < FEW { 0 } else { self.max_connections / 8 };
        if open >= self.max_connections - kept {
            return Err(Shed::Connections);
        }
        let caller = self.by_address.entry(key(address)).or_default();
        // The table holds one reference, each connection another.
        if Arc::strong_count(caller) > self.max_connections_per_address {
            return Err(Shed::AddressConnections);
        }
        Ok(caller.clone())
    }

    /// Forgets addresses without connections, once those outnumber what is open: the table stays within twice the
    /// connections, at a constant cost for each.
    pub(super) fn sweep(&mut self, open: usize) {
        if self.by_address.len() > 2 * open + 64 {
            self.by_address.retain(|_, caller| Arc::strong_count(caller) > 1);
        }
    }
}

/// Whoever has one IPv6 address has its /64, and would be as many callers as he likes.
fn key(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & (u128::MAX << 64))),
        v4 @ IpAddr::V4(_) => v4,
    }
}

// === impl Shed ===

impl Shed {
    /// The label of `portcullis_shed_total`.
    pub(super) fn reason(self) -> &'static str {
        match self {
            Self::Inflight => "inflight",
            Self::Address => "address",
            Self::Connections => "connections",
            Self::AddressConnections => "address-connections",
        }
    }
}

/// A sentence as an answer.
pub(super) fn plain(status: StatusCode, sentence: impl Into<axum::body::Body>) -> Response {
    let mut response = Response::new(sentence.into());
    *response.status_mut() = status;
    let kind = header::HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_bounded_before_the_whole_is_touched() {
        let inflight = Inflight::new(3, 2);
        let (first, second) = (Caller::default(), Caller::default());
        assert_eq!([inflight.enter(&first), inflight.enter(&first)], [Ok(()), Ok(())]);
        assert_eq!(inflight.enter(&first), Err(Shed::Address));
        assert_eq!(inflight.enter(&second), Ok(()), "the refused one took nothing");
        assert_eq!(inflight.enter(&second), Err(Shed::Inflight));
        inflight.leave(&first);
        assert_eq!(inflight.enter(&second), Ok(()), "the refused one gave back its own place");
    }

    #[test]
    fn connections_are_bounded_and_forgotten() {
        let mut callers = Callers::new(3, 2);
        let address = |text: &str| text.parse::<IpAddr>().unwrap();
        let mut held = vec![callers.connect(0, address("2001:db8::1")).unwrap()];
        held.push(callers.connect(1, address("2001:db8::ffff")).unwrap());
        assert_eq!(callers.connect(2, address("2001:db8::2")).err(), Some(Shed::AddressConnections));
        held.push(callers.connect(2, address("10.0.0.1")).unwrap());
        assert_eq!(callers.connect(3, address("10.0.0.2")).err(), Some(Shed::Connections));
        drop(held);
        let mut callers = Callers::new(160, 2_000);
        let mut held: Vec<_> = (0..140).map(|n| callers.connect(n, address("10.0.0.1")).unwrap()).collect();
        assert_eq!(callers.connect(140, address("10.0.0.1")).err(), Some(Shed::Connections));
        held.extend((140..156).map(|n| callers.connect(n, address("10.0.0.2")).unwrap()));
        assert_eq!(callers.connect(156, address("10.0.0.2")).err(), Some(Shed::Connections));
        drop(held);
        for n in 0..200_u8 {
            callers.connect(0, IpAddr::from([10, 0, 0, n])).unwrap();
            callers.sweep(0);
        }
        assert!(callers.by_address.len() <= 64, "{}", callers.by_address.len());
        assert_eq!(key(address("::ffff:10.0.0.1")), address("10.0.0.1"));
    }
}
