//! Where lines go: standard output, or a file that may be rotated under us.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How often we look whether the file was moved away: often enough for a rotation, seldom enough to cost nothing.
const LOOK: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) enum Sink {
    Stdout,
    File { path: PathBuf, file: File, looked: Instant },
}

impl Sink {
    pub(super) fn stdout() -> Self {
        Self::Stdout
    }

    pub(super) fn file(path: &Path) -> io::Result<Self> {
        Ok(Self::File { path: path.to_owned(), file: open(path)?, looked: Instant::now() })
    }

    /// Opens the file again, when asked to or when it is no longer the one that bears the name. On an error the old one
    /// stays in use: a line in a moved file is better than none.
    pub(super) fn refresh(&mut self, asked: bool) -> io::Result<()> {
        let Self::File { path, file, looked } = self else { return Ok(()) };
        if !asked && looked.elapsed() < LOOK {
            return Ok(());
        }
        *looked = Instant::now();
        if asked || !same(path, file) {
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

/// Readable by the owner and the group only: what people write into a cluster is not everybody's.
fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).mode(0o640).open(path)
}

fn same(path: &Path, file: &File) -> bool {
    let named = std::fs::metadata(path).map(|named| (named.dev(), named.ino()));
    let held = file.metadata().map(|held| (held.dev(), held.ino()));
    matches!((named, held), (Ok(named), Ok(held)) if named == held)
}
