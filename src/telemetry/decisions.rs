//! The decision log: one JSON line for each decision. `docs/logging.md` lists its fields.
//!
//! A review never waits for it: it queues an owned [`Record`], and a thread masks, serialises and writes batches. If the
//! queue is full, the line is dropped and counted in `portcullis_decision_log_dropped_total`.

mod queue;
mod record;
mod writer;

#[cfg(test)]
mod tests;

use std::fmt;
use std::hash::{BuildHasher, Hasher};
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use super::metrics;
use queue::Queue;
pub use record::{Exemption, Finding, Objects, PolicyOutcome, Record};
use writer::Sink;

#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Decision log")]
pub struct DecisionArgs {
    /// Where to write decisions, one JSON line each: `stdout`, `none`, or a file to append to
    #[arg(long, value_name = "stdout|none|FILE", default_value = "stdout", env = "PORTCULLIS_DECISION_LOG")]
    pub decision_log: Destination,

    /// Share of plain allows to write, from 0 to 1; denials, errors, warnings and patches are always written
    #[arg(long, value_name = "SHARE", default_value = "1", env = "PORTCULLIS_DECISION_LOG_SAMPLE")]
    pub decision_log_sample: Share,

    /// Also write the object and the old object, with secrets masked
    #[arg(long, env = "PORTCULLIS_DECISION_LOG_OBJECTS")]
    pub decision_log_objects: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Destination {
    Stdout,
    /// No record is built.
    None,
    /// Appended to, and reopened after log rotation.
    File(PathBuf),
}

/// From 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Share(f64);

#[derive(Debug, thiserror::Error)]
pub enum DecisionLogError {
    #[error("cannot append to `{}`; set --decision-log to a file in a writable directory", path.display())]
    Open {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("cannot start the thread of the decision log")]
    Thread(#[source] std::io::Error),
    #[error("the value is empty; set `stdout`, `none` or a file")]
    Empty,
    #[error("`{0}` is not a number from 0 to 1, such as 0.1")]
    Share(String),
}

/// Cheap to clone. Call [`close`](Self::close) at shutdown, else the last batch is lost.
#[derive(Debug, Clone)]
pub struct DecisionLog(Option<Arc<Open>>);

#[derive(Debug)]
struct Open {
    queue: Arc<Queue>,
    /// A plain allow is written if its random number is below this.
    threshold: u64,
    random_state: AtomicU64,
    objects: bool,
}

impl DecisionLog {
    /// Opens the destination and starts the writer.
    pub fn start(args: &DecisionArgs) -> Result<Self, DecisionLogError> {
        let sink = match &args.decision_log {
            Destination::None => return Ok(Self::none()),
            Destination::Stdout => Sink::stdout(),
            Destination::File(path) => {
                Sink::file(path).map_err(|source| DecisionLogError::Open { path: path.clone(), source })?
            }
        };
        let queue = Arc::new(Queue::new());
        writer::spawn(Arc::clone(&queue), sink).map_err(DecisionLogError::Thread)?;
        let seed = std::hash::RandomState::new().build_hasher().finish();
        Ok(Self(Some(Arc::new(Open {
            queue,
            threshold: args.decision_log_sample.threshold(),
            random_state: AtomicU64::new(seed),
            objects: args.decision_log_objects,
        }))))
    }

    /// A log that writes nothing.
    pub const fn none() -> Self {
        Self(None)
    }

    /// Whether [`Record::objects`] must be set.
    pub fn logs_objects(&self) -> bool {
        self.0.as_ref().is_some_and(|open| open.objects)
    }

    /// Queues one decision, or drops and counts it if the queue is full. `build` is called only if the line is written.
    /// A plain allow has no findings (audited ones included), no warnings and no patch; only plain allows are sampled.
    pub fn record(&self, plain_allow: bool, build: impl FnOnce() -> Record) {
        let Some(open) = &self.0 else { return };
        if plain_allow && !open.samples_next() {
            return;
        }
        let mut record = build();
        record.bound();
        if !open.queue.push(record) {
            metrics::decision_log_dropped(1);
        }
    }

    /// Reopens the file before the next line, for SIGHUP. Without it, a file that was moved or removed is noticed within
    /// a second, at the next line.
    pub fn reopen(&self) {
        if let Some(open) = &self.0 {
            open.queue.reopen();
        }
    }

    /// Accepts no more lines, waits up to `limit` until the queued ones are written, and returns whether they were. It
    /// blocks: call it from `spawn_blocking`, or after the runtime has ended.
    pub fn close(&self, limit: Duration) -> bool {
        self.0.as_ref().is_none_or(|open| open.queue.close(limit))
    }
}

impl Open {
    /// SplitMix64 over a counter: uniform, lock-free, and unpredictable to a caller.
    fn samples_next(&self) -> bool {
        if self.threshold == u64::MAX {
            return true;
        }
        let mut z = self.random_state.fetch_add(0x9e37_79b9_7f4a_7c15, Relaxed);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) < self.threshold
    }
}

// === impl Destination ===

impl FromStr for Destination {
    type Err = DecisionLogError;

    fn from_str(text: &str) -> Result<Self, DecisionLogError> {
        match text {
            "" => Err(DecisionLogError::Empty),
            "stdout" => Ok(Self::Stdout),
            "none" => Ok(Self::None),
            path => Ok(Self::File(path.into())),
        }
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stdout => formatter.write_str("stdout"),
            Self::None => formatter.write_str("none"),
            Self::File(path) => path.display().fmt(formatter),
        }
    }
}

// === impl Share ===

impl Share {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a share is within 0 to 1, and the cast saturates"
    )]
    fn threshold(self) -> u64 {
        (self.0 * u64::MAX as f64) as u64
    }
}

impl FromStr for Share {
    type Err = DecisionLogError;

    fn from_str(text: &str) -> Result<Self, DecisionLogError> {
        let share = text.parse().ok().filter(|share| (0.0..=1.0).contains(share));
        share.map(Self).ok_or_else(|| DecisionLogError::Share(text.to_owned()))
    }
}

impl fmt::Display for Share {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}
