//! One thread reads, several evaluate, one collects in order; the queues between them are bounded. And the progress line.

use std::io::IsTerminal as _;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::source::{Emit, Piece};
use super::tally::Tally;
use crate::cli::output::count;

/// Pieces per batch, and their bytes: few enough to keep all workers busy, many enough to make sending cheap.
const BATCH: usize = 64;
const BATCH_BYTES: usize = 256 * 1024;
/// Batches that may wait for a worker or for the collector.
const WAITING: usize = 2;
/// Beyond this the reader is the bottleneck.
const WORKERS_MAX: usize = 16;

/// One worker per processor.
pub fn all() -> usize {
    thread::available_parallelism().map_or(1, usize::from).min(WORKERS_MAX)
}

/// `collect` receives the results in the order in which they were read. Returns the result of `read`.
pub fn run<T: Send, R: Send>(
    workers: usize,
    read: impl FnOnce(Emit<'_>) -> anyhow::Result<R> + Send,
    work: impl Fn(Piece) -> Vec<T> + Sync,
    mut collect: impl FnMut(Vec<T>) -> anyhow::Result<()>,
) -> anyhow::Result<R> {
    thread::scope(|scope| {
        let (mut gives, mut takes) = (Vec::new(), Vec::new());
        for _ in 0..workers {
            let (give, pieces) = sync_channel::<Vec<Piece>>(WAITING);
            let (done, take) = sync_channel::<Vec<T>>(WAITING);
            let work = &work;
            scope.spawn(move || {
                for batch in pieces {
                    if done.send(batch.into_iter().flat_map(work).collect()).is_err() {
                        return; // the collector has stopped
                    }
                }
            });
            gives.push(give);
            takes.push(take);
        }
        // The thread owns the senders, so the workers end when it ends.
        let reader = scope.spawn(move || deal(read, gives));
        let collected = gather(takes, &mut collect);
        // The collector's error wins: the reader only noticed that the queue was closed.
        let read = reader.join().map_err(|_| anyhow::anyhow!("reading ended in a panic"))?;
        collected.and(read)
    })
}

/// Distributes batches round robin, so that the collector can restore the order without sorting.
fn deal<R>(
    read: impl FnOnce(Emit<'_>) -> anyhow::Result<R>,
    gives: Vec<SyncSender<Vec<Piece>>>,
) -> anyhow::Result<R> {
    let (mut batch, mut bytes) = (Vec::new(), 0);
    let mut turns = gives.iter().cycle();
    let mut send = |batch: Vec<Piece>| {
        let sent = turns.next().is_some_and(|give| give.send(batch).is_ok());
        anyhow::ensure!(sent, "every worker has stopped");
        Ok(())
    };
    let answer = read(&mut |piece| {
        bytes += piece.bytes();
        batch.push(piece);
        if batch.len() < BATCH && bytes < BATCH_BYTES {
            return Ok(());
        }
        bytes = 0;
        send(std::mem::take(&mut batch))
    })?;
    send(batch)?;
    Ok(answer)
}

/// Collects round robin; when one worker has no more, the others have none either.
fn gather<T>(
    takes: Vec<Receiver<Vec<T>>>,
    collect: &mut impl FnMut(Vec<T>) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    for take in takes.iter().cycle() {
        match take.recv() {
            Ok(batch) => collect(batch)?,
            Err(_) => return Ok(()),
        }
    }
    Ok(())
}

/// Objects between two updates of the clock.
const EVERY: usize = 64;

/// Shown on a terminal only, and only if standard output goes elsewhere.
pub struct Progress(ProgressBar);

impl Progress {
    pub fn begin() -> Self {
        let bar = ProgressBar::no_length();
        if std::io::stdout().is_terminal() {
            bar.set_draw_target(ProgressDrawTarget::hidden());
        }
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} {per_sec} {elapsed}") {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_millis(200));
        Self(bar)
    }

    pub fn tell(&self, tally: &Tally) {
        let seen = tally.total.objects + tally.unjudged_count;
        if seen.is_multiple_of(EVERY) && !self.0.is_hidden() {
            self.0.set_position(u64::try_from(seen).unwrap_or(u64::MAX));
            let denied = tally.total.objects - tally.clean;
            self.0.set_message(format!("{}, {denied} denied", count(seen, "object")));
        }
    }

    pub fn end(self) {
        self.0.finish_and_clear();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn in_the_order_in_which_it_was_read() {
        let mut seen = Vec::new();
        let read = |emit: Emit<'_>| {
            (0..1000).try_for_each(|line| emit(Piece::broken(&Arc::from("x"), line, ""))).map(|()| 7)
        };
        let answer = run(
            all(),
            read,
            |piece| vec![piece.place.line; 2],
            |batch| {
                seen.extend(batch);
                Ok(())
            },
        );
        assert_eq!(answer.expect("runs"), 7);
        assert_eq!(seen, (0..1000).flat_map(|line| [line; 2]).collect::<Vec<_>>());
    }

    #[test]
    fn who_collects_ends_it() {
        let read = |emit: Emit<'_>| loop {
            emit(Piece::broken(&Arc::from("x"), 0, ""))?;
        };
        let answer: anyhow::Result<()> = run(all(), read, |_| vec![()], |_| anyhow::bail!("enough"));
        assert_eq!(answer.expect_err("ends").to_string(), "enough");
    }
}
