//! Certificates that manage themselves: an authority, the leaf that is served, and how both are renewed while
//! callers go on calling.
//!
//! ```text
//! authority A ├──────────── signs ────────────┤╌╌╌╌ trusted ╌╌╌╌┤ its last leaf has ended
//! authority B             ├╌╌ trusted ╌╌╌╌╌╌╌╌├──────────── signs ────────────
//!                         │                   │
//!                   in the bundle       settled, and seen in every registration
//! ```
//!
//! [`State`] is what replicas share, [`Order`] what they are told to make, and [`next_step`] says from both, the time,
//! and what callers are seen to trust, what is due. It decides nothing else: who takes the step, and that only one
//! does, is the room `cluster`'s business. Times are read from the certificates themselves, so there is nothing
//! beside them that could say something else.

mod issue;
mod parts;
mod step;
mod trust;

use std::time::Duration;

use jiff::Timestamp;

pub use self::issue::{Authority, Leaf};
pub use self::parts::{Damage, KEYS, Parts};
pub use self::step::{Step, next_step};
pub use self::trust::{Trust, roots};

use super::CertError;
use super::pair::Pair;

/// Certificates begin in the past by this much, for clocks that are behind ours.
pub(super) const CLOCK_SKEW: Duration = Duration::from_mins(5);

/// Everything that replicas share, with all keys. Not `Debug`: they are secret.
#[derive(Clone, PartialEq)]
pub struct State {
    /// Signs leaves.
    signing: Authority,
    /// Trusted already, and signs when everybody trusts it.
    next: Option<Authority>,
    /// Trusted still, PEM, for leaves that somebody may still serve. What an operator added is here too.
    previous: Vec<String>,
    /// When none of those leaves can be served any more. Without it they stay until the next change of authority.
    until: Option<Timestamp>,
    /// Is served.
    leaf: Leaf,
}

/// What is to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// What authorities are called, for whoever reads a bundle.
    pub title: String,
    /// DNS names and addresses of the leaf, at least one; names in lower case, addresses as Rust writes them.
    pub names: Vec<String>,
    /// How long things live.
    pub lives: Lives,
}

/// How long certificates live. Each is renewed at two thirds of its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lives {
    /// Of a leaf.
    pub leaf: Duration,
    /// Of an authority.
    pub authority: Duration,
}

/// What an operator asks for before it is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// Another leaf of the same authority.
    Leaf,
    /// Another authority, and with it another leaf.
    Authority,
}

// === impl Lives ===

impl Lives {
    /// How long a new authority is only trusted before it signs: ten minutes, or a tenth of a leaf's life where that is
    /// less. Replicas and API servers learn of it within seconds; their clocks may differ by minutes.
    pub fn settle(self) -> Duration {
        (self.leaf / 10).min(Duration::from_mins(10))
    }
}

// === impl State ===

impl State {
    /// Everything made anew: trusted by nobody yet.
    pub fn make(order: &Order, now: Timestamp) -> Result<Self, CertError> {
        let signing = Authority::make(&order.title, now, order.lives.authority)?;
        let leaf = signing.issue(&order.names, now, order.lives.leaf)?;
        Ok(Self { signing, next: None, previous: Vec::new(), until: None, leaf })
    }

    /// Everything that callers have to trust, PEM: the authority that signs comes first.
    pub fn bundle(&self) -> String {
        let next = self.next.iter().map(Authority::cert_pem);
        let previous = self.previous.iter().map(String::as_str);
        std::iter::once(self.signing.cert_pem()).chain(next).chain(previous).collect()
    }

    /// What is served.
    pub fn leaf(&self) -> &Leaf {
        &self.leaf
    }

    /// What rustls serves.
    pub fn pair(&self) -> Result<Pair, CertError> {
        self.leaf.pair()
    }

    /// Who signs.
    pub fn signing(&self) -> &Authority {
        &self.signing
    }

    /// Who will sign.
    pub fn next(&self) -> Option<&Authority> {
        self.next.as_ref()
    }
}

#[cfg(test)]
mod tests;
