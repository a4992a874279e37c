//! Random policies on random objects: OPA, the register machine and the interpreter say the same. `rego SECONDS [SEED]`;
//! the seed that it prints gives the same policies and objects in the same order.

use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use portcullis_fuzz::differential::tally::Run;

/// Differences that are made small.
const SHRUNK: usize = 20;

fn main() {
    let mut args = std::env::args().skip(1);
    let mut number = |what: &str| args.next().map(|text| text.parse::<u64>().unwrap_or_else(|_| panic!("{what} is a number")));
    let seconds = Duration::from_secs(number("SECONDS").unwrap_or(60));
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
    let seed = number("SEED").unwrap_or(now);
    let tool = PathBuf::from(std::env::var_os("PORTCULLIS_OPA").expect("PORTCULLIS_OPA, which tests/fuzz/run sets"));
    let started = Instant::now();
    let run = Run { tool: &tool, seed, pairs: usize::MAX, shrunk: SHRUNK, without: Vec::new() };
    let tally = run.tally(|| started.elapsed() < seconds);
    println!("rego: seed {seed}, {:.0?}: {tally}", started.elapsed());
    std::process::exit(i32::from(tally.wrong() > 0));
}
