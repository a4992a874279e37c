//! The decision log: what was decided, one JSON line each. Its shape is in `docs/logging.md`.
//!
//! A review never waits for it. It hands over an owned [`Record`]; a thread of our own masks, serialises and writes, a batch
//! at a time. When the queue is full the line is dropped and counted (`portcullis_decision_log_dropped_total`).

mod queue;
mod record;
mod sink;
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
use sink::Sink;

/// The flags of the decision log.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Decision log")]
pub struct DecisionArgs {
    /// Where decisions are written, one JSON line each: `stdout`, `none`, or a file that is appended to
    #[arg(long, value_name = "stdout|none|FILE", default_value = "stdout", env = "PORTCULLIS_DECISION_LOG")]
    pub decision_log: Destination,

    /// Share of plain allows that are written, 0 to 1; denials, errors, warnings and patches always are
    #[arg(long, value_name = "SHARE", default_value = "1", env = "PORTCULLIS_DECISION_LOG_SAMPLE")]
    pub decision_log_sample: Share,

    /// Write each object and old object too, secrets masked
    #[arg(long, env = "PORTCULLIS_DECISION_LOG_OBJECTS")]
    pub decision_log_objects: bool,
}

/// Where the decision log goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Destination {
    /// Standard output.
    Stdout,
    /// Nowhere; nothing is built for it either.
    None,
    /// This file, appended to, and opened again when it was moved away.
    File(PathBuf),
}

/// A number from 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Share(f64);

/// Why the decision log could not start.
#[derive(Debug, thiserror::Error)]
pub enum DecisionLogError {
    /// The file of `--decision-log` cannot be opened.
    #[error("cannot append to `{}`; give --decision-log a file in a directory that can be written", path.display())]
    Open {
        /// What was given.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// The system gives us no thread.
    #[error("cannot start the thread of the decision log")]
    Thread(#[source] std::io::Error),
    /// `--decision-log` is empty.
    #[error("the decision log has no name; give `stdout`, `none` or a file")]
    Nameless,
    /// `--decision-log-sample` is not a share.
    #[error("`{0}` is not a share; give a number from 0 to 1, such as 0.1")]
    Share(String),
}

/// The decision log of a gate; cheap to clone. [`close`](Self::close) it at the end, else the last batch is lost.
#[derive(Debug, Clone)]
pub struct DecisionLog(Option<Arc<Open>>);

#[derive(Debug)]
struct Open {
    queue: Arc<Queue>,
    /// Of 2^64: a plain allow whose draw is below it is written.
    threshold: u64,
    draws: AtomicU64,
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
            draws: AtomicU64::new(seed),
            objects: args.decision_log_objects,
        }))))
    }

    /// A log that keeps nothing.
    pub const fn none() -> Self {
        Self(None)
    }

    /// Whether [`Record::objects`] is to be filled.
    pub fn wants_objects(&self) -> bool {
        self.0.as_ref().is_some_and(|open| open.objects)
    }

    /// Logs one decision, or drops and counts it when the queue is full; never waits for the writer. `make` is called only
    /// when the line is wanted. A decision is a plain allow when it is an allow without findings (audited ones included),
    /// warnings or patch; those are sampled.
    pub fn record(&self, plain_allow: bool, make: impl FnOnce() -> Record) {
        let Some(open) = &self.0 else { return };
        if plain_allow && !open.draw() {
            return;
        }
        let mut record = make();
        record.bound();
        if !open.queue.push(record) {
            metrics::decision_log_dropped(1);
        }
    }

    /// Opens the file again before the next line; for SIGHUP. A file that was moved or removed is noticed anyway, within a
    /// second and at the next line.
    pub fn reopen(&self) {
        if let Some(open) = &self.0 {
            open.queue.reopen();
        }
    }

    /// Takes no more lines, and waits until those taken are written, at most this long. Says whether they were. Blocks:
    /// call it from `spawn_blocking`, or when the runtime is gone.
    pub fn close(&self, patience: Duration) -> bool {
        self.0.as_ref().is_none_or(|open| open.queue.close(patience))
    }
}

impl Open {
    /// Splitmix64 over a counter: even, without a lock, and not to be foreseen from outside.
    fn draw(&self) -> bool {
        if self.threshold == u64::MAX {
            return true;
        }
        let mut z = self.draws.fetch_add(0x9e37_79b9_7f4a_7c15, Relaxed);
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
            "" => Err(DecisionLogError::Nameless),
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
