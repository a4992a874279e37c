//! The thread that serialises records and writes them to standard output or to a file that may be rotated.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Serialize as _;

use super::queue::Queue;
use super::record::Record;
use crate::escape::EscapeInvisible;
use crate::metrics;

/// Bytes per write. A line is never split over two writes, so that a reader of a file sees whole lines.
const CHUNK: usize = 64 << 10;

/// How often to check whether the file was moved by log rotation.
const ROTATION_CHECK: Duration = Duration::from_secs(1);

/// Runs until the queue is closed and empty. It has its own thread, because a write to a full pipe blocks.
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
                tracing::warn!(error = &error as &dyn std::error::Error, "cannot reopen the decision log");
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
        let mut line = serde_json::Serializer::with_formatter(&mut self.text, EscapeInvisible);
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
        // A failed write may have left a partial line.
        let written = if self.failing { self.sink.write(b"\n") } else { Ok(()) };
        let written = written.and_then(|()| self.sink.write(&self.text));
        if written.is_err() {
            metrics::decision_log_dropped(self.lines);
        }
        self.log_state_change(written);
        self.text.clear();
        self.text.shrink_to(2 * CHUNK);
        self.lines = 0;
    }

    /// Logs the first failure and the first success after it.
    fn log_state_change(&mut self, outcome: io::Result<()>) {
        match outcome {
            Err(error) if !self.failing => {
                self.failing = true;
                tracing::error!(error = &error as &dyn std::error::Error, "cannot write the decision log");
            }
            Ok(()) if self.failing => {
                self.failing = false;
                tracing::info!("writing the decision log again");
            }
            _ => {}
        }
    }
}

#[derive(Debug)]
pub(super) enum Sink {
    Stdout,
    File { path: PathBuf, file: File, checked: Instant },
}

impl Sink {
    pub(super) fn stdout() -> Self {
        Self::Stdout
    }

    pub(super) fn file(path: &Path) -> io::Result<Self> {
        Ok(Self::File { path: path.to_owned(), file: open(path)?, checked: Instant::now() })
    }

    /// Reopens the file on request, or if its path names another file. On an error the old file stays in use, so that no
    /// line is lost.
    pub(super) fn refresh(&mut self, requested: bool) -> io::Result<()> {
        let Self::File { path, file, checked } = self else { return Ok(()) };
        if !requested && checked.elapsed() < ROTATION_CHECK {
            return Ok(());
        }
        *checked = Instant::now();
        if requested || !is_same_file(path, file) {
            *file = open(path)?;
        }
        Ok(())
    }

    pub(super) fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        match self {
            Self::Stdout => {
                let mut stdout = io::stdout().lock();
                stdout.write_all(lines)?;
                stdout.flush()
            }
            Self::File { file, .. } => file.write_all(lines),
        }
    }
}

/// Readable by owner and group only, because the log holds contents of objects.
fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).mode(0o640).open(path)
}

fn is_same_file(path: &Path, file: &File) -> bool {
    let at_path = std::fs::metadata(path).map(|file| (file.dev(), file.ino()));
    let opened = file.metadata().map(|file| (file.dev(), file.ino()));
    matches!((at_path, opened), (Ok(at_path), Ok(opened)) if at_path == opened)
}
