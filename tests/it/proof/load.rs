//! A bounded load of reviews whose right verdicts are known, and the count of what came of them.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use portcullis_admission::cases::Case;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use super::balancer::Balancer;
use super::caller::{Caller, Outcome, Trust};
use super::number;

/// What the load is made of.
#[derive(Clone)]
pub struct Load {
    pub balancer: Balancer,
    pub trust: Trust,
    pub cases: Arc<Vec<Case>>,
    /// How many connections at once.
    pub callers: usize,
    /// Reviews a second, of all callers; where answers come late, fewer.
    pub rate: f64,
}

/// What came of the reviews.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    pub sent: usize,
    pub wrong: Vec<String>,
    pub shed: usize,
    /// By the replica that had the connection.
    pub failed: BTreeMap<String, Vec<String>>,
    pub took: Duration,
}

impl Tally {
    fn note(&mut self, outcome: Outcome, balancer: &Balancer) {
        self.sent += 1;
        match outcome {
            Outcome::Right => {}
            Outcome::Wrong(why) => self.wrong.push(why),
            Outcome::Shed => self.shed += 1,
            Outcome::Failed(port, why) => {
                self.failed.entry(balancer.replica_of(port)).or_default().push(why);
            }
        }
    }

    /// How many calls failed that were not on connections of these replicas.
    pub fn failed_elsewhere(&self, victims: &[String]) -> usize {
        self.failed.iter().filter(|(name, _)| !victims.contains(name)).map(|(_, why)| why.len()).sum()
    }

    pub fn failed(&self) -> usize {
        self.failed.values().map(Vec::len).sum()
    }
}

/// A load that goes on until it is ended.
pub struct Running {
    tally: Arc<Mutex<Tally>>,
    sent: Arc<AtomicUsize>,
    over: Arc<AtomicBool>,
    callers: JoinSet<()>,
    began: Instant,
}

impl Load {
    /// Begins to call.
    pub fn begin(&self) -> Running {
        let (tally, over) = (Arc::new(Mutex::new(Tally::default())), Arc::new(AtomicBool::new(false)));
        let sent = Arc::new(AtomicUsize::new(0));
        let mut callers = JoinSet::new();
        for n in 0..self.callers {
            let (load, tally, over, sent) =
                (self.clone(), Arc::clone(&tally), Arc::clone(&over), Arc::clone(&sent));
            callers.spawn(async move { load.call(n, &tally, &over, &sent).await });
        }
        Running { tally, sent, over, callers, began: Instant::now() }
    }

    async fn call(&self, n: usize, tally: &Mutex<Tally>, over: &AtomicBool, sent: &AtomicUsize) {
        let mut caller = Caller::new(self.balancer.address, Arc::clone(&self.trust));
        // Handshakes all at once are another load than this one.
        tokio::time::sleep(Duration::from_millis(4) * u32::try_from(n).unwrap()).await;
        let mut pace = interval(Duration::from_secs_f64(number(self.callers) / self.rate));
        pace.set_missed_tick_behavior(MissedTickBehavior::Skip);
        // Each begins elsewhere among the cases and they are never in step.
        let start = n * self.cases.len() / self.callers;
        for at in start.. {
            pace.tick().await;
            if over.load(Ordering::Relaxed) {
                return;
            }
            let outcome = caller.ask(&self.cases[at % self.cases.len()]).await;
            tally.lock().unwrap().note(outcome, &self.balancer);
            sent.fetch_add(1, Ordering::Relaxed);
            // An API server opens connections now and then; so each replica gets some of every event.
            if at % 512 == 511 {
                caller.hang_up();
            }
        }
    }
}

impl Running {
    pub fn sent(&self) -> usize {
        self.sent.load(Ordering::Relaxed)
    }

    /// Ends it once at least so many were sent, and says what came of them.
    pub async fn end(mut self, least: usize) -> Tally {
        while self.sent() < least {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        self.over.store(true, Ordering::Relaxed);
        while self.callers.join_next().await.transpose().unwrap().is_some() {}
        let mut tally = std::mem::take(&mut *self.tally.lock().unwrap());
        tally.took = self.began.elapsed();
        tally
    }
}
