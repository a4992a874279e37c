//! Notices changed files: a watch on directories, and a slow poll for file systems that send no events.
//!
//! The caller finds out what changed, because editors, `mv` and the symlink swap of a ConfigMap mount send different
//! events.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc;
use tokio::time::sleep;

/// Related files are often written together. A change must take effect within 50 ms; this delay is part of that.
const SETTLE: Duration = Duration::from_millis(4);

/// Interval of the poll without events.
const POLL: Duration = Duration::from_secs(15);

/// A watch on directories; dropping it ends it.
pub struct Watch {
    watcher: Option<RecommendedWatcher>,
    followed: BTreeSet<PathBuf>,
    changes: mpsc::Receiver<()>,
}

impl Watch {
    /// Watches nothing yet. Where the system offers no watch, [`Watch::changed`] polls.
    pub fn new() -> Self {
        let (sender, changes) = mpsc::channel(1);
        let tell = move |event: notify::Result<notify::Event>| {
            // Reading a file is an event too and must not cause another read.
            if !matches!(event, Ok(notify::Event { kind: EventKind::Access(_), .. })) {
                // A full channel means that a check is already pending.
                let _ = sender.try_send(());
            }
        };
        let watcher = notify::recommended_watcher(tell)
            .inspect_err(|error| tracing::warn!(%error, poll = ?POLL, "cannot watch files; polling"))
            .ok();
        Self { watcher, followed: BTreeSet::new(), changes }
    }

    /// Watches exactly these directories from now on.
    pub fn follow(&mut self, directories: impl IntoIterator<Item = PathBuf>) {
        let Some(watcher) = &mut self.watcher else { return };
        let current: BTreeSet<PathBuf> = directories.into_iter().collect();
        for gone in self.followed.difference(&current) {
            let _ = watcher.unwatch(gone);
        }
        for directory in &current {
            // A directory that was replaced under the same name must be watched again.
            if let Err(error) = watcher.watch(directory, RecursiveMode::NonRecursive) {
                tracing::debug!(directory = %directory.display(), %error, "cannot watch");
            }
        }
        self.followed = current;
    }

    /// Returns when something may have changed and the writer has had time to finish.
    pub async fn changed(&mut self) {
        tokio::select! {
            event = self.changes.recv() => match event {
                Some(()) => sleep(SETTLE).await,
                None => sleep(POLL).await,
            },
            () = sleep(POLL) => {}
        }
        let _ = self.changes.try_recv();
    }
}

impl Default for Watch {
    fn default() -> Self {
        Self::new()
    }
}

/// The directories to watch for a file: its own, and that of the file which symlinks lead to.
pub fn around(file: &Path) -> Vec<PathBuf> {
    let parent = |path: &Path| match path.parent() {
        Some(parent) if parent != Path::new("") => parent.to_path_buf(),
        _ => PathBuf::from("."),
    };
    let mut found = vec![parent(file)];
    if let Ok(real) = file.canonicalize() {
        found.push(parent(&real));
    }
    found
}
