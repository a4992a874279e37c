//! Rate limits: per subject, per address without a token, and per address of failed sign-ins.
//!
//! A caller with a good token is never refused for what others fail at from behind the same address.

use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU32, Ordering};

use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};

use super::problem::{Code, Problem};

/// Between two sweeps of the tables, in checks. A table holds what asked since the last but one, about 100 bytes each.
const SWEEP: u32 = 4096;

/// The flags.
#[derive(Debug, Clone, Copy, clap::Args)]
#[command(next_help_heading = "API")]
pub struct LimitArgs {
    /// Requests that one subject may make in a second, on average
    #[arg(long, env = "PORTCULLIS_API_RATE", value_name = "N", default_value = "100")]
    pub api_rate: NonZeroU32,

    /// Requests that one subject may make at once after a pause
    #[arg(long, env = "PORTCULLIS_API_BURST", value_name = "N", default_value = "200")]
    pub api_burst: NonZeroU32,

    /// Sign-ins that may fail from one address (one /64 of IPv6) in a minute before the answer is 429
    #[arg(long, env = "PORTCULLIS_API_FAILED_SIGNINS", value_name = "N", default_value = "10")]
    pub api_failed_signins: NonZeroU32,
}

/// The state of all limits.
pub struct Limits {
    subjects: Table<String>,
    addresses: Table<IpAddr>,
    failures: Table<IpAddr>,
}

struct Table<K: Hash + Eq + Clone> {
    limiter: DefaultKeyedRateLimiter<K>,
    checks: AtomicU32,
}

// === impl Limits ===

impl Limits {
    pub fn new(args: LimitArgs) -> Self {
        let usual = Quota::per_second(args.api_rate).allow_burst(args.api_burst);
        let failures = Quota::per_minute(args.api_failed_signins);
        Self { subjects: Table::new(usual), addresses: Table::new(usual), failures: Table::new(failures) }
    }

    /// A request of this subject (`issuer#sub`).
    pub fn subject(&self, name: &str) -> Result<(), Problem> {
        self.subjects.check(&name.to_owned(), "the rate limit of this subject is exceeded")
    }

    /// A request that needs no token, from this address.
    pub fn address(&self, address: IpAddr) -> Result<(), Problem> {
        self.addresses.check(&block(address), "the rate limit of this address is exceeded")
    }

    /// A sign-in that failed, from this address.
    pub fn failure(&self, address: IpAddr) -> Result<(), Problem> {
        self.failures.check(&block(address), "too many sign-ins failed from this address")
    }
}

/// One IPv6 client usually has a whole /64.
fn block(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & (u128::MAX << 64))),
        v4 @ IpAddr::V4(_) => v4,
    }
}

// === impl Table ===

impl<K: Hash + Eq + Clone> Table<K> {
    fn new(quota: Quota) -> Self {
        Self { limiter: RateLimiter::keyed(quota), checks: AtomicU32::new(0) }
    }

    fn check(&self, key: &K, sentence: &str) -> Result<(), Problem> {
        if self.checks.fetch_add(1, Ordering::Relaxed) % SWEEP == SWEEP - 1 {
            self.limiter.retain_recent();
        }
        self.limiter.check_key(key).map_err(|until| {
            let wait = until.wait_time_from(DefaultClock::default().now());
            Problem::new(Code::RateLimitExceeded, sentence).after(wait)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits() -> Limits {
        let n = |n| NonZeroU32::new(n).unwrap();
        Limits::new(LimitArgs { api_rate: n(1), api_burst: n(3), api_failed_signins: n(2) })
    }

    #[test]
    fn a_burst_passes_and_the_next_waits() {
        let limits = limits();
        for _ in 0..3 {
            limits.subject("a#1").unwrap();
        }
        let problem = limits.subject("a#1").unwrap_err();
        assert_eq!(problem.code(), Code::RateLimitExceeded);
        limits.subject("b#1").expect("another issuer's subject is another");
    }

    #[test]
    fn ipv6_addresses_of_one_64_share_a_limit() {
        let limits = limits();
        let address = |text: &str| text.parse::<IpAddr>().unwrap();
        limits.failure(address("2001:db8::1")).unwrap();
        limits.failure(address("2001:db8::2")).unwrap();
        limits.failure(address("2001:db8::3")).unwrap_err();
        limits.failure(address("2001:db8:0:1::1")).unwrap();
        limits.failure(address("192.0.2.1")).unwrap();
        limits.failure(address("::ffff:192.0.2.1")).unwrap();
        limits.failure(address("192.0.2.1")).unwrap_err();
    }
}
