//! One reads, as many judge as there are processors, one collects in order; what is under way has a bound.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use super::source::{Emit, Piece};

/// Pieces that are handed over at once, and their bytes: enough that handing over costs nothing.
const BATCH: usize = 64;
const BATCH_BYTES: usize = 256 * 1024;
/// Batches that wait for one who judges, and that wait to be collected.
const WAITING: usize = 2;
/// With more, the one who reads is what is waited for.
const WORKERS_MAX: usize = 16;

/// One a processor, for whoever has nothing else to do.
pub fn all() -> usize {
    thread::available_parallelism().map_or(1, usize::from).min(WORKERS_MAX)
}

/// Runs a source through `work`; in so many threads; `collect` takes what came of it, in the order in which it was read. Answers what
/// `read` answers.
///
/// # Errors
/// Those of `read` and of `collect`, which ends the reading.
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
                        return; // nobody collects any more
                    }
                }
            });
            gives.push(give);
            takes.push(take);
        }
        // It takes the senders with it, so that those who judge end when it does.
        let reader = scope.spawn(move || deal(read, gives));
        let collected = gather(takes, &mut collect);
        // What the collector says comes first: the reader only noticed that nobody wants more.
        let read = reader.join().map_err(|_| anyhow::anyhow!("reading ended in a panic"))?;
        collected.and(read)
    })
}

/// Deals batches in turns, so that they can be collected in turns: no order has to be restored.
fn deal<R>(
    read: impl FnOnce(Emit<'_>) -> anyhow::Result<R>,
    gives: Vec<SyncSender<Vec<Piece>>>,
) -> anyhow::Result<R> {
    let (mut batch, mut bytes) = (Vec::new(), 0);
    let mut turns = gives.iter().cycle();
    let mut send = |batch: Vec<Piece>| {
        let sent = turns.next().is_some_and(|give| give.send(batch).is_ok());
        anyhow::ensure!(sent, "nobody judges any more");
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

/// Collects in turns until one has nothing more, which then none has.
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
