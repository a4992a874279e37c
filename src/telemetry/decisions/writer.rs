//! The thread that turns records into lines.

use std::io;
use std::sync::Arc;

use serde::Serialize as _;

use super::Record;
use super::queue::Queue;
use super::sink::Sink;
use crate::metrics;
use crate::visible::Visible;

/// Bytes written at once. Lines are never split over two writes, so a reader of a file sees whole lines.
const CHUNK: usize = 64 << 10;

/// Runs until the queue is closed and empty. A thread of its own, because a pipe that nobody reads blocks it.
pub(super) fn spawn(queue: Arc<Queue>, sink: Sink) -> io::Result<()> {
    let thread = std::thread::Builder::new().name("decision-log".to_owned());
    thread.spawn(move || Writer { sink, failing: false, text: Vec::new(), lines: 0 }.run(&queue)).map(drop)
}

struct Writer {
    sink: Sink,
    failing: bool,
    text: Vec<u8>,
    lines: u64,
}

impl Writer {
    fn run(&mut self, queue: &Queue) {
        let mut batch = Vec::new();
        loop {
            let taken = queue.take(&mut batch);
            if let Err(error) = self.sink.refresh(taken.reopen) {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "the decision log cannot be opened again"
                );
            }
            for record in batch.drain(..) {
                self.add(&record);
                if self.text.len() >= CHUNK {
                    self.write();
                }
            }
            self.write();
            if taken.last {
                return queue.finish();
            }
        }
    }

    fn add(&mut self, record: &Record) {
        let before = self.text.len();
        let mut line = serde_json::Serializer::with_formatter(&mut self.text, Visible);
        if record.serialize(&mut line).is_ok() {
            self.text.push(b'\n');
            self.lines += 1;
        } else {
            self.text.truncate(before);
            metrics::decision_log_dropped(1);
        }
    }

    fn write(&mut self) {
        if self.lines == 0 {
            return;
        }
        // A failed write may have left half a line, so what follows begins on a new one.
        let written = if self.failing { self.sink.write(b"\n") } else { Ok(()) };
        let written = written.and_then(|()| self.sink.write(&self.text));
        if written.is_err() {
            metrics::decision_log_dropped(self.lines);
        }
        self.told(written);
        self.text.clear();
        self.text.shrink_to(2 * CHUNK);
        self.lines = 0;
    }

    /// Says once that the sink fails, and once that it works again.
    fn told(&mut self, outcome: io::Result<()>) {
        match outcome {
            Err(error) if !self.failing => {
                self.failing = true;
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "the decision log cannot be written"
                );
            }
            Ok(()) if self.failing => {
                self.failing = false;
                tracing::info!("the decision log is written again");
            }
            _ => {}
        }
    }
}
