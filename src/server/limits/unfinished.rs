//! How many bodies of one address may be waited for, so that slow ones cost their own address and no other.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::{Caller, take};

/// Bodies of one address that are waited for at once. An API server has at most 200 writes in flight; over HTTP/2 the
/// bodies of all of them may be on their way at the same moment, from two or three API servers behind one address.
const COMING: usize = 512;

/// Those of them that have been waited for longer than `Timeouts::body_slow`. A body of an API server takes milliseconds,
/// so what is this slow is a lost packet or two, or an attack.
const SLOW: usize = 32;

/// Answers of HTTP/2 that one address has not taken yet: as many as it may have bodies on the way.
const UNSENT: usize = COMING;

/// A body that is waited for, counted until it is dropped.
pub(super) struct Unfinished {
    caller: Arc<Caller>,
    slow: bool,
}

impl Unfinished {
    /// Counts one more, or none where the address has as many as it may have.
    pub(super) fn begin(caller: &Arc<Caller>) -> Option<Self> {
        take(&caller.coming, COMING).then(|| Self { caller: caller.clone(), slow: false })
    }

    /// Counts it as slow from now on; false where the address has as many slow ones as it may have.
    pub(super) fn slow(&mut self) -> bool {
        self.slow = self.slow || take(&self.caller.slow, SLOW);
        self.slow
    }
}

/// An answer that is not sent yet, counted until it is dropped.
pub(crate) struct Untaken(Arc<Caller>);

impl Caller {
    /// Counts an answer, or none where the address leaves as many untaken as it may.
    pub(crate) fn unsent(self: &Arc<Self>) -> Option<Untaken> {
        take(&self.unsent, UNSENT).then(|| Untaken(self.clone()))
    }
}

impl Drop for Untaken {
    fn drop(&mut self) {
        self.0.unsent.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        self.caller.coming.fetch_sub(1, Ordering::Relaxed);
        if self.slow {
            self.caller.slow.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_bounded_and_gives_back() {
        let caller = Arc::new(Caller::default());
        let mut all: Vec<_> = (0..COMING).filter_map(|_| Unfinished::begin(&caller)).collect();
        assert_eq!(all.len(), COMING);
        assert!(Unfinished::begin(&caller).is_none());
        assert_eq!(all.iter_mut().filter(|_| true).map(Unfinished::slow).filter(|slow| *slow).count(), SLOW);
        assert!(all.first_mut().unwrap().slow(), "counted once");
        let other = Arc::new(Caller::default());
        assert!(Unfinished::begin(&other).unwrap().slow(), "another address has its own");
        drop(all);
        assert!(Unfinished::begin(&caller).unwrap().slow());
    }
}
