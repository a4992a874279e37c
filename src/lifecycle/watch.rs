//! Notices that files changed: a watch on directories, with a slow poll behind it for file systems that tell of nothing.
//!
//! What changed is for the caller to find out. Events differ between editors, `mv`, and the symlink swap of a ConfigMap
//! mount; that there was one is all they have in common.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc;
use tokio::time::sleep;

/// Who writes one file often writes the next at once; a change must decide within 50 ms, so this is a small part of it.
const SETTLE: Duration = Duration::from_millis(4);

/// How often is looked although nobody told of a change.
const POLL: Duration = Duration::from_secs(15);

/// A watch on directories; dropping it ends it.
pub struct Watch {
    watcher: Option<RecommendedWatcher>,
    followed: BTreeSet<PathBuf>,
    changes: mpsc::Receiver<()>,
}

impl Watch {
    /// A watch on nothing yet. Where the system has none to give, [`Watch::changed`] polls.
    pub fn new() -> Self {
        let (sender, changes) = mpsc::channel(1);
        let tell = move |event: notify::Result<notify::Event>| {
            // Our own reading is an event too, and must not be the cause of the next.
            if !matches!(event, Ok(notify::Event { kind: EventKind::Access(_), .. })) {
                // Full means that a look is already due.
                let _ = sender.try_send(());
            }
        };
        let watcher = notify::recommended_watcher(tell)
            .inspect_err(|error| tracing::warn!(%error, poll = ?POLL, "cannot watch files; polling"))
            .ok();
        Self { watcher, followed: BTreeSet::new(), changes }
    }

    /// Follows exactly these directories from now on. Those that are gone are let go.
    pub fn follow(&mut self, directories: impl IntoIterator<Item = PathBuf>) {
        let Some(watcher) = &mut self.watcher else { return };
        let wanted: BTreeSet<PathBuf> = directories.into_iter().collect();
        for gone in self.followed.difference(&wanted) {
            let _ = watcher.unwatch(gone);
        }
        for directory in &wanted {
            // Watching again is how a directory that was replaced under the same name is followed.
            if let Err(error) = watcher.watch(directory, RecursiveMode::NonRecursive) {
                tracing::debug!(directory = %directory.display(), %error, "cannot watch");
            }
        }
        self.followed = wanted;
    }

    /// Returns when something may have changed, once whoever changes it has settled.
    pub async fn changed(&mut self) {
        tokio::select! {
            told = self.changes.recv() => match told {
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

/// The directories to follow for a file: where it is named, and where symlinks lead, each on the way.
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
