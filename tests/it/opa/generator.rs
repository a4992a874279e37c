//! Random policies on random objects: OPA, the register machine and the interpreter say the same.
//!
//! `PORTCULLIS_REGO_SEED` repeats a run, `PORTCULLIS_REGO_PAIRS` says how many pairs it compares.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use super::differential::tally;
use super::tool;

/// Pairs of a policy and an object.
const PAIRS: usize = 20_000;

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}=`{text}` is no number")))
}

#[test]
fn random_policies_have_the_verdict_of_opa_on_both_engines() {
    let Some(tool) = tool() else { return };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
    let seed = number("PORTCULLIS_REGO_SEED").unwrap_or(now);
    let pairs = number("PORTCULLIS_REGO_PAIRS").map_or(PAIRS, |pairs| usize::try_from(pairs).unwrap());
    let started = Instant::now();
    let tally = tally::run(&tool, seed, pairs, || true);
    eprintln!("seed {seed}, {:.1?}: {tally}", started.elapsed());
}
