//! The bounded queue between reviews and the writer.
//!
//! A channel would wake the writer for every line: a system call for the review, a switch of threads, and a write of one
//! line. Here the writer, once woken, lets lines gather for 20 ms and takes them all, so that under load a line costs a
//! lock and a move, and there are at most 50 wake-ups a second.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::Record;

/// Lines waiting: at 30,000 reviews a second and a batch each 20 ms some 600, so this is room for a sink that stalls for a
/// quarter of a second.
const LINES_MAX: usize = 8192;

/// Bytes that the waiting lines may hold. A usual line weighs under 1 KiB; objects, where they are logged, up to some MiB.
const WEIGHT_MAX: usize = 8 << 20;

/// How long the writer lets lines gather.
const GATHER: Duration = Duration::from_millis(20);

#[derive(Debug)]
pub(super) struct Queue {
    state: Mutex<State>,
    wake: Condvar,
    done: Condvar,
}

#[derive(Debug, Default)]
struct State {
    lines: Vec<Record>,
    weight: usize,
    asleep: bool,
    reopen: bool,
    stage: Stage,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Takes lines.
    #[default]
    Open,
    /// Takes none; the writer has some left.
    Closed,
    /// All are written.
    Finished,
}

/// What [`Queue::take`] found.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Taken {
    /// The destination is to be opened again before these lines.
    pub reopen: bool,
    /// No more will come.
    pub last: bool,
}

impl Queue {
    pub(super) fn new() -> Self {
        Self { state: Mutex::default(), wake: Condvar::new(), done: Condvar::new() }
    }

    /// Adds a line; false when there is no room. Objects that do not fit are left out before a decision is lost.
    pub(super) fn push(&self, mut record: Record) -> bool {
        let mut weight = record.weight();
        let mut state = self.lock();
        if state.weight + weight > WEIGHT_MAX && record.omit_objects() {
            weight = record.weight();
        }
        if state.stage != Stage::Open || state.lines.len() >= LINES_MAX || state.weight + weight > WEIGHT_MAX
        {
            return false;
        }
        state.lines.push(record);
        state.weight += weight;
        if state.asleep || state.pressing() {
            state.asleep = false;
            drop(state);
            self.wake.notify_one();
        }
        true
    }

    /// Waits for lines and swaps them into `batch`, which must be empty.
    pub(super) fn take(&self, batch: &mut Vec<Record>) -> Taken {
        let mut state = self.lock();
        while state.lines.is_empty() && state.stage == Stage::Open {
            state.asleep = true;
            state = self.wake.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.asleep = false;
        let waiting = self
            .wake
            .wait_timeout_while(state, GATHER, |state| state.stage == Stage::Open && !state.pressing());
        let (mut state, _) = waiting.unwrap_or_else(PoisonError::into_inner);
        std::mem::swap(&mut state.lines, batch);
        state.weight = 0;
        Taken { reopen: std::mem::take(&mut state.reopen), last: state.stage != Stage::Open }
    }

    pub(super) fn reopen(&self) {
        self.lock().reopen = true;
    }

    /// Said by the writer when it has written the last line.
    pub(super) fn finish(&self) {
        self.lock().stage = Stage::Finished;
        self.done.notify_all();
    }

    /// Takes no more lines, and waits for [`finish`](Self::finish).
    pub(super) fn close(&self, patience: Duration) -> bool {
        let until = Instant::now() + patience;
        let mut state = self.lock();
        if state.stage == Stage::Open {
            state.stage = Stage::Closed;
        }
        self.wake.notify_one();
        while state.stage != Stage::Finished {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            state = self.done.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }

    /// Nothing is left half done where a holder could panic, so a poisoned lock is as good as any.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Half full: rather write now than gather.
    fn pressing(&self) -> bool {
        self.lines.len() >= LINES_MAX / 2 || self.weight >= WEIGHT_MAX / 2
    }
}
