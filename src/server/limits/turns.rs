//! Whose turn it is when more is asked for than can be judged.
//!
//! A review is judged in one go on the worker that read it, so what cannot be judged yet waits where workers take their
//! work from: in the order of arrival, in which whoever has the most connections has the most turns. While workers have
//! nothing to do now and then that is harmless, and nothing here is asked. Once none of them has rested for a while, those
//! who have had more than their share step aside: they go on as soon as a worker would rest, least served first. So a
//! tenant that asks for less than its share waits for nobody's backlog, and no time of a worker is lost.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher as _, RandomState};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use tokio::time::timeout;

/// Without rest for so long, workers have more than they can do: fifty small reviews each.
const PRESSURE: Duration = Duration::from_millis(2);

/// What was had so long ago counts for little (a factor of e).
const MEMORY: Duration = Duration::from_millis(100);

/// Below this a share is forgotten.
const NOTHING: f64 = 0.25;

/// So many more than its share, and a share goes on: two that ask for the same are never exactly even.
const SLACK: f64 = 2.0;

/// How often who stepped aside looks by itself, should no worker have told it.
const LOOK: Duration = Duration::from_millis(20);

/// All clones are one.
#[derive(Clone)]
pub struct Turns(Arc<Inner>);

struct Inner {
    began: Instant,
    seed: RandomState,
    /// When a worker last had nothing to do, in microseconds since `began`.
    rested: AtomicU64,
    waiting: AtomicUsize,
    queue: Mutex<Queue>,
}

/// What each share has had of late, and who has stepped aside.
#[derive(Default)]
struct Queue {
    shares: HashMap<u64, Share>,
    /// Of all shares together.
    had: Had,
    swept: Duration,
}

#[derive(Default)]
struct Share {
    had: Had,
    waiting: VecDeque<oneshot::Sender<()>>,
}

/// A count that fades.
#[derive(Default, Clone, Copy)]
struct Had {
    count: f64,
    at: Duration,
}

// === impl Turns ===

impl Default for Turns {
    fn default() -> Self {
        Self(Arc::new(Inner {
            began: Instant::now(),
            seed: RandomState::new(),
            rested: AtomicU64::new(0),
            waiting: AtomicUsize::new(0),
            queue: Mutex::default(),
        }))
    }
}

impl Turns {
    /// A worker has nothing to do: whoever stepped aside goes on. To be called before a worker of the runtime parks.
    pub fn rest(&self) {
        if self.0.waiting.load(Ordering::Relaxed) > 0 {
            while let Some(next) = self.queue().next(self.now()) {
                self.0.waiting.fetch_sub(1, Ordering::Relaxed);
                if next.send(()).is_ok() {
                    return;
                }
            }
        }
        let now = u64::try_from(self.now().as_micros()).unwrap_or(u64::MAX);
        self.0.rested.store(now, Ordering::Relaxed);
    }

    /// Waits for the turn of a share; false where it does not come within `patience`.
    pub async fn take(&self, share: &str, patience: Duration) -> bool {
        if !self.pressed() {
            return true;
        }
        let share = self.0.seed.hash_one(share);
        let Some(mut turn) = self.queue().ask(share, self.now()) else { return true };
        self.0.waiting.fetch_add(1, Ordering::Relaxed);
        let until = Instant::now() + patience;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            match timeout(LOOK.min(left), &mut turn).await {
                Ok(_) => return true,
                Err(_) if !self.pressed() => return true,
                Err(_) if left <= LOOK => return false,
                Err(_) => {}
            }
        }
    }

    /// Whether no worker has rested for a while.
    fn pressed(&self) -> bool {
        let rested = Duration::from_micros(self.0.rested.load(Ordering::Relaxed));
        self.now().saturating_sub(rested) > PRESSURE
    }

    fn now(&self) -> Duration {
        self.0.began.elapsed()
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.0.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Queue ===

impl Queue {
    /// Counts a turn and gives it; or has a share that is over its own step aside.
    fn ask(&mut self, share: u64, now: Duration) -> Option<oneshot::Receiver<()>> {
        self.sweep(now);
        let known = self.shares.entry(share).or_default();
        let had = known.had.fade(now);
        let others = u32::try_from(self.shares.len()).unwrap_or(u32::MAX);
        let fair = self.had.fade(now) / f64::from(others);
        if others < 2 || had <= fair + SLACK {
            self.count(share, now);
            return None;
        }
        let (tell, told) = oneshot::channel();
        let waiting = &mut self.shares.entry(share).or_default().waiting;
        // Those who have given up leave their place behind.
        while waiting.front().is_some_and(oneshot::Sender::is_closed) {
            waiting.pop_front();
        }
        waiting.push_back(tell);
        Some(told)
    }

    /// The first of the share that had least of those who wait.
    fn next(&mut self, now: Duration) -> Option<oneshot::Sender<()>> {
        let had = |share: &Share| share.had.faded(now);
        let waiting = self.shares.iter().filter(|(_, share)| !share.waiting.is_empty());
        let (share, _) = waiting.min_by(|(_, one), (_, other)| had(one).total_cmp(&had(other)))?;
        let share = *share;
        self.count(share, now);
        self.shares.get_mut(&share)?.waiting.pop_front()
    }

    fn count(&mut self, share: u64, now: Duration) {
        self.shares.entry(share).or_default().had.add(now);
        self.had.add(now);
    }

    /// Forgets shares that had nothing of late and wait for nothing.
    fn sweep(&mut self, now: Duration) {
        if now.saturating_sub(self.swept) < MEMORY {
            return;
        }
        self.swept = now;
        self.shares.retain(|_, share| share.had.faded(now) > NOTHING || !share.waiting.is_empty());
    }
}

// === impl Had ===

impl Had {
    fn faded(self, now: Duration) -> f64 {
        self.count * (-now.saturating_sub(self.at).as_secs_f64() / MEMORY.as_secs_f64()).exp()
    }

    fn fade(&mut self, now: Duration) -> f64 {
        *self = Self { count: self.faded(now), at: now };
        self.count
    }

    fn add(&mut self, now: Duration) {
        self.fade(now);
        self.count += 1.0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Turns of a thousand in which `greedy` always asks and `modest` every tenth time, and a worker rests `rests` times
    /// between two.
    fn run(rests: usize) -> (usize, usize, Queue) {
        let mut queue = Queue::default();
        let (mut greedy, mut held) = (0, 0);
        let mut told = Vec::new();
        for n in 0..1000_u32 {
            let now = Duration::from_micros(50) * n;
            match queue.ask(1, now) {
                None => greedy += 1,
                Some(turn) => told.push(turn),
            }
            if n % 10 == 0 && queue.ask(2, now).is_some() {
                held += 1;
            }
            for _ in 0..rests {
                greedy += usize::from(queue.next(now).is_some_and(|next| next.send(()).is_ok()));
            }
        }
        (greedy, held, queue)
    }

    #[test]
    fn a_modest_share_never_waits_and_a_greedy_one_has_what_is_left() {
        let (greedy, held, _) = run(0);
        assert_eq!(held, 0, "the modest one steps aside for nobody");
        assert!((90..250).contains(&greedy), "as much as the other while nobody rests, not {greedy}");
        let (greedy, held, queue) = run(1);
        assert_eq!((greedy, held), (1000, 0), "and all of it where there is room");
        assert!(queue.shares.values().all(|share| share.waiting.is_empty()));
    }

    #[test]
    fn whoever_is_alone_never_waits() {
        let mut queue = Queue::default();
        for n in 0..1000 {
            assert!(queue.ask(7, Duration::from_micros(n)).is_none());
        }
    }

    #[test]
    fn the_least_served_goes_first() {
        let (now, mut queue) = (Duration::from_millis(1), Queue::default());
        (0..30).for_each(|_| queue.count(1, now));
        (0..20).for_each(|_| queue.count(2, now));
        queue.count(3, now);
        let mut turns = [queue.ask(1, now).unwrap(), queue.ask(2, now).unwrap()];
        assert!(queue.ask(3, now).is_none());
        queue.next(now).unwrap().send(()).unwrap();
        assert!(turns[1].try_recv().is_ok() && turns[0].try_recv().is_err());
    }

    #[tokio::test]
    async fn a_turn_that_does_not_come_is_said() {
        let turns = Turns::default();
        // Nobody rests, ever.
        tokio::time::sleep(PRESSURE * 2).await;
        assert!(turns.take("a", Duration::from_secs(1)).await);
        assert!(turns.take("b", Duration::from_secs(1)).await);
        assert!(turns.take("b", Duration::from_secs(1)).await, "as much as the other so far");
        let mut given = 0;
        while turns.take("b", LOOK).await {
            given += 1;
            assert!(given < 10, "and so on for ever");
        }
        turns.rest();
        assert_eq!(turns.0.waiting.load(Ordering::Relaxed), 0, "who gave up is not waited for");
        assert!(turns.take("b", Duration::ZERO).await, "workers rest again");
    }
}
