//! Hostile tenants beside an innocent one: large, distinct, deep and long-listed reviews of every kind at full speed. The gate
//! stays small, every answer is right, and the innocent tenant does not notice.

mod caller; // one connection, and what came of a review on it
mod hostile; // what hostile tenants send
mod innocent; // whom it must not hurt
mod slow; // bodies that do not come

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustls::ClientConfig;

use crate::support::{Gate, Options, wait};

use self::caller::Caller;
use self::hostile::Kind;
use self::innocent::Innocent;
use super::caller::trust;

/// What the gate may take, with the tenants of the cases. The short run leaves out the text of the program: that of a debug
/// build is 40 MiB, and that of a release build 15.
pub const RESIDENT: u64 = 128 << 20;

/// What an innocent review may take in 99 of 100 cases; asserted by `make proof` alone, because a test must not depend on how
/// fast the machine is.
pub const P99: Duration = Duration::from_millis(50);

/// What came of it.
pub struct Soak {
    pub hostile: Vec<Count>,
    pub slow: Count,
    pub innocent: Innocent,
    /// The most memory that the process had, and what it had before.
    pub resident: u64,
    pub resident_before: u64,
}

/// The reviews of one kind.
#[derive(Default)]
pub struct Count {
    pub name: String,
    pub answered: usize,
    /// Explicit answers that there is too much to do.
    pub refused: usize,
    /// The most memory that the process had while one of them was judged alone.
    pub alone: u64,
    /// Wrong answers, and calls without one.
    pub flaws: Vec<String>,
}

/// Where the gate is and whom to believe, until the end.
#[derive(Clone)]
struct Target {
    address: SocketAddr,
    trust: Arc<ClientConfig>,
    over: Arc<AtomicBool>,
}

impl Target {
    fn over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }
}

/// Sends for so long, to a gate with these flags; `memory` is what of it counts.
pub fn run(time: Duration, flags: &[&str], memory: &'static str) -> Soak {
    let extra = [&["--decision-log", "none"], flags].concat();
    let gate = Gate::start(&Options { extra: &extra, ..Options::default() });
    let target = Target {
        address: gate.webhook.parse().unwrap(),
        trust: trust(&[gate.authority.cert_pem()]),
        over: Arc::default(),
    };
    let resident_before = super::memory::status(gate.pid(), memory);
    let kinds = hostile::kinds();
    let alone: Vec<_> = kinds.iter().map(|kind| alone(kind, &target, gate.pid())).collect();
    let innocent = innocent::begin(target.clone());
    let callers: Vec<_> = kinds.into_iter().map(|kind| begin(kind, target.clone())).collect();
    let slow = slow::begin(target.clone());
    let (began, mut most) = (Instant::now(), 0);
    wait(time + Duration::from_mins(1), || {
        most = most.max(super::memory::status(gate.pid(), memory));
        (began.elapsed() >= time).then_some(())
    });
    target.over.store(true, Ordering::Relaxed);
    let mut hostile: Vec<Count> = callers.into_iter().map(|caller| caller.join().unwrap()).collect();
    for (count, (flaw, memory)) in hostile.iter_mut().zip(alone) {
        count.alone = memory;
        count.flaws.splice(0..0, flaw);
    }
    let (slow, innocent) = (slow.join().unwrap(), innocent.join().unwrap());
    Soak {
        hostile,
        slow,
        innocent,
        resident: most.max(super::memory::status(gate.pid(), memory)),
        resident_before,
    }
}

/// What is wrong with the answer to a review of this kind when nothing else is asked, and the most memory meanwhile.
fn alone(kind: &Kind, target: &Target, pid: u32) -> (Option<String>, u64) {
    // Forgets the highest mark of before.
    std::fs::write(format!("/proc/{pid}/clear_refs"), "5").unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let answered = runtime.block_on(kind.ask_alone(&mut Caller::new(target, "127.0.0.1")));
    let flaw = match answered {
        Ok(true) => None,
        Ok(false) => Some("not judged although nothing else is asked".to_owned()),
        Err(flaw) => Some(flaw),
    };
    (flaw.map(|flaw| format!("{} alone: {flaw}", kind.name)), super::memory::status(pid, "VmHWM:"))
}

/// One kind at full speed, on a thread of its own that yields to the gate: what it takes to send is no part of what is measured.
fn begin(kind: Kind, target: Target) -> std::thread::JoinHandle<Count> {
    std::thread::spawn(move || {
        caller::yield_to_others();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let kind = Arc::new(kind);
            let mut callers = tokio::task::JoinSet::new();
            for first in 0..kind.callers {
                callers.spawn(call(kind.clone(), target.clone(), first));
            }
            Count::of(kind.name, callers.join_all().await)
        })
    })
}

/// One caller of a kind, with the reviews of every so manieth number.
async fn call(kind: Arc<Kind>, target: Target, first: usize) -> Count {
    let (mut count, mut caller) = (Count::default(), Caller::new(&target, "127.0.0.1"));
    let mut body = kind.body.clone();
    for n in (first..).step_by(kind.callers) {
        if target.over() || count.flaws.len() >= 3 {
            break;
        }
        count.note(kind.name, kind.ask(&mut caller, &mut body, n).await);
    }
    count
}

impl Count {
    /// All of them together, and of what is wrong a little of each.
    fn of(name: &str, each: Vec<Self>) -> Self {
        let mut whole = Self { name: name.to_owned(), ..Self::default() };
        for one in each {
            whole.answered += one.answered;
            whole.refused += one.refused;
            whole.flaws.extend(one.flaws);
        }
        whole
    }

    fn note(&mut self, name: &str, outcome: Result<bool, String>) {
        match outcome {
            Ok(judged) => {
                self.answered += 1;
                self.refused += usize::from(!judged);
            }
            Err(flaw) => self.flaws.push(format!("{name}: {flaw}")),
        }
    }
}

impl Soak {
    /// What must not be.
    pub fn flaws(&self, in_time: bool) -> Vec<String> {
        let mut flaws: Vec<String> =
            self.hostile.iter().flat_map(|count| count.flaws.iter().take(3).cloned()).collect();
        flaws.extend(self.slow.flaws.iter().take(3).cloned());
        flaws.extend(self.innocent.flaws.iter().take(10).cloned());
        let unanswered = self.hostile.iter().filter(|count| count.answered == 0);
        flaws.extend(unanswered.map(|count| format!("{}: none was answered", count.name)));
        let mebibytes = self.resident >> 20;
        flaws.extend((self.resident > RESIDENT).then(|| format!("{mebibytes} MiB of memory")));
        let p99 = self.innocent.percentile(99);
        flaws.extend((in_time && p99 > P99).then(|| format!("{p99:?} for 99 of 100 innocent reviews")));
        flaws
    }
}
