//! The bounded queue between reviews and the writer of the decision log.
//!
//! A channel would wake the writer for every line. Here the writer, once woken, waits 20 ms and takes all lines, so that
//! under load a line costs a lock and a move, and there are at most 50 wake-ups a second.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::record::Record;

/// At 30,000 reviews a second this is a quarter of a second of lines.
const LINES_MAX: usize = 8192;

/// Bytes of the queued lines. A usual line has less than 1 KiB; logged objects have up to some MiB.
const WEIGHT_MAX: usize = 8 << 20;

/// How long the writer waits for further lines.
const BATCH_DELAY: Duration = Duration::from_millis(20);

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
    #[default]
    Open,
    /// Accepts no more lines; the writer has some left.
    Closed,
    /// All lines are written.
    Finished,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct BatchInfo {
    /// The file must be reopened before these lines are written.
    pub reopen: bool,
    /// No further batch follows.
    pub last: bool,
}

impl Queue {
    pub(super) fn new() -> Self {
        Self { state: Mutex::default(), wake: Condvar::new(), done: Condvar::new() }
    }

    /// False if there is no room. Objects that do not fit are dropped before a line is.
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
        if state.asleep || state.is_half_full() {
            state.asleep = false;
            drop(state);
            self.wake.notify_one();
        }
        true
    }

    /// Waits for lines and swaps them into `batch`, which must be empty.
    pub(super) fn take(&self, batch: &mut Vec<Record>) -> BatchInfo {
        let mut state = self.lock();
        while state.lines.is_empty() && state.stage == Stage::Open {
            state.asleep = true;
            state = self.wake.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.asleep = false;
        let waiting = self.wake.wait_timeout_while(state, BATCH_DELAY, |state| {
            state.stage == Stage::Open && !state.is_half_full()
        });
        let (mut state, _) = waiting.unwrap_or_else(PoisonError::into_inner);
        std::mem::swap(&mut state.lines, batch);
        state.weight = 0;
        BatchInfo { reopen: std::mem::take(&mut state.reopen), last: state.stage != Stage::Open }
    }

    pub(super) fn reopen(&self) {
        self.lock().reopen = true;
    }

    /// Called by the writer after the last line.
    pub(super) fn finish(&self) {
        self.lock().stage = Stage::Finished;
        self.done.notify_all();
    }

    /// Accepts no more lines, and waits for [`finish`](Self::finish).
    pub(super) fn close(&self, limit: Duration) -> bool {
        let until = Instant::now() + limit;
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

    /// The state is consistent wherever a holder could panic, so a poisoned lock is usable.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Then the writer does not wait for further lines.
    fn is_half_full(&self) -> bool {
        self.lines.len() >= LINES_MAX / 2 || self.weight >= WEIGHT_MAX / 2
    }
}
