//! A fuzzer without instrumentation: seeds, mutations of them by what such texts are made of, and a clock.

pub mod beside; // a body as serde_json reads it, beside the gate
pub mod differential; // OPA, the register machine and the interpreter on random policies
pub mod strict; // serde_json, and no key twice

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use fastrand::Rng;

/// The longest input, in bytes; what is longer is another test's.
const LENGTH_MAX: usize = 64 * 1024;
/// No input may take longer; the gate's own budget for a policy is 50 ms and this is a slow build.
const PATIENCE: Duration = Duration::from_secs(5);
/// Inputs that are kept beside the seeds, newest first, because something new came of them.
const KEPT_MAX: usize = 4096;

/// What a target says of an input: the same text for inputs that went the same way, or why it must not be so.
pub type Outcome = Result<String, String>;

/// Runs a target as the arguments say: `SECONDS [SEED | FILE]`.
///
/// # Panics
/// An input failed; it is kept, and the seed is named.
pub fn run(name: &str, seeds: Vec<Vec<u8>>, words: &[&[u8]], target: impl Fn(&[u8]) -> Outcome) {
    let mut args = std::env::args().skip(1);
    let seconds: u64 = args.next().map_or(60, |text| text.parse().expect("SECONDS is a number"));
    let second = args.next();
    if let Some(file) = second.as_ref().filter(|text| PathBuf::from(text).is_file()) {
        let input = std::fs::read(file).expect("the input can be read");
        println!("{name}: {:?}", judge(&input, &target));
        return;
    }
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |time| time.as_secs());
    let seed: u64 = second.map_or(now, |text| text.parse().expect("SEED is a number"));
    let (mut rng, mut corpus, mut seen) = (Rng::with_seed(seed), seeds, std::collections::HashSet::new());
    let first = corpus.len();
    assert!(first > 0, "no seeds");
    let (started, mut done, mut slowest) = (Instant::now(), 0_u64, Duration::ZERO);
    while started.elapsed() < Duration::from_secs(seconds) || done < first as u64 {
        let at = usize::try_from(done).ok().filter(|at| *at < first);
        let input = at.map_or_else(|| mutated(&mut rng, &corpus, words), |at| corpus[at].clone());
        let before = Instant::now();
        match judge(&input, &target) {
            Ok(way) => {
                // Another way through is worth going on from.
                if seen.insert(way) && at.is_none() && corpus.len() < first + KEPT_MAX {
                    corpus.push(input.clone());
                }
            }
            Err(why) => fail(name, seed, &input, &why),
        }
        let took = before.elapsed();
        slowest = slowest.max(took);
        if took > PATIENCE {
            fail(name, seed, &input, &format!("took {took:?}"));
        }
        done += 1;
    }
    println!("{name}: {done} inputs from {first} seeds in {:.0?}, {} ways through, slowest {slowest:.0?}, seed {seed}", started.elapsed(), seen.len());
}

fn judge(input: &[u8], target: &impl Fn(&[u8]) -> Outcome) -> Outcome {
    catch_unwind(AssertUnwindSafe(|| target(input))).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
        Err(format!("panicked: {}", text.unwrap_or_default()))
    })
}

fn fail(name: &str, seed: u64, input: &[u8], why: &str) -> ! {
    let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("artifacts");
    let file = dir.join(format!("{name}-{seed}"));
    std::fs::create_dir_all(&dir).and_then(|()| std::fs::write(&file, input)).expect("the input can be kept");
    eprintln!("{name}: {why}\ninput of {} bytes kept in {}", input.len(), file.display());
    std::process::exit(1);
}

/// One to eight changes of something that is there.
fn mutated(rng: &mut Rng, corpus: &[Vec<u8>], words: &[&[u8]]) -> Vec<u8> {
    let mut input = corpus[rng.usize(..corpus.len())].clone();
    for _ in 0..=rng.usize(..8).min(rng.usize(..8)) {
        let start = rng.usize(..=input.len());
        let end = (start + rng.usize(..=16)).min(input.len());
        match rng.u8(..8) {
            0 if start < input.len() => input[start] = rng.u8(..),
            1 if start < input.len() => input[start] ^= 1 << rng.u8(..8),
            2 => drop(input.drain(start..end)),
            3 => drop(input.splice(start..start, input[start..end].to_vec())),
            4 => drop(input.splice(start..end, words[rng.usize(..words.len())].to_vec())),
            5 => drop(input.splice(start..start, words[rng.usize(..words.len())].to_vec())),
            6 => {
                let other = &corpus[rng.usize(..corpus.len())];
                let from = rng.usize(..=other.len());
                let to = (from + rng.usize(..=200)).min(other.len());
                input.splice(start..end, other[from..to].to_vec());
            }
            _ => {
                // The same again and again: depth and length.
                let word = words[rng.usize(..words.len())];
                let again: Vec<u8> = std::iter::repeat_n(word, rng.usize(..200)).flatten().copied().collect();
                input.splice(start..start, again);
            }
        }
        input.truncate(LENGTH_MAX);
    }
    input
}

/// The root of the repository.
pub fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..")
}
