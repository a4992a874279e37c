//! The API's end of the snapshot: what changed lately, in memory, for any number of gates that wait.
//!
//! One follower of this process reads each change once; gates wait here, on a number, and hold no connection of the
//! database while they do.

use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::revision::{Change, Now, Position};
use portcullis_telemetry::metrics;

/// Changes that are remembered; a gate that is further behind takes the whole.
const CHANGES_MAX: usize = 1024;

/// Bytes of changes that are remembered: one change may be as long as all of a tenant's policy sets.
const CHANGES_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Whole documents that are remembered, each of one cluster as of one revision.
const DOCUMENTS_MAX: usize = 16;

/// Patches of clusters that are remembered: gates of a cluster mostly stand at the same revision.
const PATCHES_MAX: usize = 64;

/// What gates of this process's API wait on; all clones are one.
#[derive(Clone)]
pub struct Mirror(Arc<Shared>);

/// Which document it is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Variant {
    /// A cluster's, or the whole ledger's.
    pub cluster: Option<String>,
    /// Compressed or not.
    pub gzip: bool,
    /// In this format.
    pub format: u32,
}

/// Which patch: of a variant, from a revision of a ledger, in the history that this process follows now.
type PatchKey = (Variant, String, u64, u64);

/// A patch as it is sent, and whether it is compressed; `None` stands for the whole document.
type Patch = Option<(Bytes, bool)>;

struct Shared {
    patches: tokio::sync::Mutex<BTreeMap<PatchKey, (u64, Patch)>>,
    changes: Mutex<Changes>,
    turn: watch::Sender<Turn>,
    touch: watch::Sender<Touch>,
    documents: tokio::sync::Mutex<BTreeMap<Variant, (u64, Now, Bytes)>>,
    /// Counts the histories that this process has followed: a document of an earlier one is not sent any more.
    histories: AtomicU64,
    closing: CancellationToken,
}

/// The newest changes, in order, and what the first of them follows: revision and digest, where that is known.
#[derive(Default)]
struct Changes {
    base: Option<(u64, Arc<str>)>,
    kept: VecDeque<Change>,
}

impl Changes {
    /// The digest of a revision, where it is known.
    fn digest_at(&self, revision: u64) -> Option<&str> {
        let base = self.base.as_ref().filter(|(at, _)| *at == revision).map(|(_, digest)| &**digest);
        let at = self.kept.partition_point(|change| change.revision < revision);
        let change = self.kept.get(at).filter(|change| change.revision == revision);
        change.map(|change| &*change.digest).or(base)
    }

    /// Forgets the oldest until they are within the bounds.
    fn shorten(&mut self) {
        let mut bytes: usize = self.kept.iter().map(|change| change.patch.len()).sum();
        while self.kept.len() > CHANGES_MAX || bytes > CHANGES_BYTES_MAX {
            let Some(change) = self.kept.pop_front() else { return };
            bytes -= change.patch.len();
            self.base = Some((change.revision, change.digest));
        }
    }
}

/// Where the ledger is, as far as this process knows.
#[derive(Debug, Clone, Default, PartialEq)]
struct Turn {
    now: Option<Now>,
    touch: Touch,
}

/// Whether this process hears what is committed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Touch {
    /// It does.
    InTouch,
    /// The ledger does not answer, or this process has not asked yet.
    #[default]
    Away,
    /// The ledger answers, and this process cannot read its document.
    Refuses,
}

/// What there is for somebody who waited.
#[derive(Debug)]
pub enum Next {
    /// These changes, in order, beginning right after where it stands and leading here; never none.
    Changes(Now, Vec<Change>),
    /// Only the whole document helps.
    Whole(Now),
    /// Nothing, and that is known.
    Nothing,
    /// This process is out of touch with the ledger, cannot read it, or is going away; ask another.
    Away(Touch),
}

impl Mirror {
    /// Out of touch until told otherwise; once `closing` is cancelled nobody waits any more.
    pub fn new(closing: CancellationToken) -> Self {
        let (turn, touch) = (watch::Sender::new(Turn::default()), watch::Sender::new(Touch::default()));
        let (changes, documents) = (Mutex::default(), tokio::sync::Mutex::default());
        let patches = tokio::sync::Mutex::default();
        let histories = AtomicU64::new(0);
        Self(Arc::new(Shared { patches, changes, turn, touch, documents, histories, closing }))
    }

    /// The ledger is here; what led to it is not known.
    pub(super) fn whole(&self, now: &Now) {
        self.publish(now, Vec::new());
    }

    /// The ledger is here, by these changes.
    pub(super) fn changed(&self, now: &Now, changes: Vec<Change>) {
        self.publish(now, changes);
    }

    /// Whether this process hears what is committed.
    pub(super) fn touched(&self, now: Touch) {
        self.0.turn.send_if_modified(|turn| std::mem::replace(&mut turn.touch, now) != now);
        self.0.touch.send_if_modified(|touch| std::mem::replace(touch, now) != now);
    }

    /// Whether this process hears what is committed, as that changes.
    pub fn touch(&self) -> watch::Receiver<Touch> {
        self.0.touch.subscribe()
    }

    fn publish(&self, now: &Now, new: Vec<Change>) {
        let mut changes = self.0.changes.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.0.turn.borrow().now.clone();
        if new.is_empty() && before.as_ref() == Some(now) {
            return self.touched(Touch::InTouch);
        }
        let follows = before.as_ref().is_some_and(|before| {
            before.ledger == now.ledger
                && new.first().is_some_and(|first| first.revision == before.revision + 1)
        });
        if !follows {
            let base = new.is_empty().then(|| (now.revision, Arc::clone(&now.digest)));
            *changes = Changes { base, kept: VecDeque::new() };
            // A whole at a revision that is not newer, or of another ledger, may be of another history.
            self.0.histories.fetch_add(1, Ordering::AcqRel);
        }
        changes.kept.extend(new);
        changes.shorten();
        self.0.turn.send_replace(Turn { now: Some(now.clone()), touch: Touch::InTouch });
        drop(changes);
        self.touched(Touch::InTouch);
    }

    /// Waits until there is something for a gate at `position`, or for one that has nothing. One that says the digest of
    /// its revision is answered with changes only where they follow that.
    pub async fn next(&self, position: Option<Position<'_>>, patience: Duration) -> Next {
        let mut turn = self.0.turn.subscribe();
        let until = tokio::time::Instant::now() + patience;
        loop {
            let Turn { now, touch } = turn.borrow_and_update().clone();
            let here = touch == Touch::InTouch && !self.0.closing.is_cancelled();
            let Some(now) = now.filter(|_| here) else {
                return Next::Away(touch);
            };
            let ahead = match position {
                Some(at) if at.ledger == now.ledger => {
                    if at.revision < now.revision {
                        return self.next_after(at, now);
                    }
                    if at.revision == now.revision && !is_of(at, Some(&now.digest)) {
                        return Next::Whole(now);
                    }
                    // Another replica heard first; that it stays so is for the gate to refuse.
                    at.revision > now.revision
                }
                _ => return Next::Whole(now),
            };
            tokio::select! {
                () = self.0.closing.cancelled() => return Next::Away(touch),
                waited = tokio::time::timeout_at(until, turn.changed()) => match waited {
                    Ok(Ok(())) => {}
                    Ok(Err(_)) => return Next::Away(Touch::Away),
                    Err(_) => return if ahead { Next::Whole(now) } else { Next::Nothing },
                },
            }
        }
    }

    fn next_after(&self, at: Position<'_>, now: Now) -> Next {
        let changes = self.0.changes.lock().unwrap_or_else(PoisonError::into_inner);
        if !is_of(at, changes.digest_at(at.revision)) {
            return Next::Whole(now);
        }
        let from = changes.kept.partition_point(|change| change.revision <= at.revision);
        // More may have come since `now` was read; they are for the next question.
        let until = changes.kept.partition_point(|change| change.revision <= now.revision);
        let found: Vec<Change> = changes.kept.range(from.min(until)..until).cloned().collect();
        let ends = (found.first().map(|first| first.revision), found.last().map(|last| last.revision));
        if ends == (Some(at.revision + 1), Some(now.revision)) {
            Next::Changes(now, found)
        } else {
            Next::Whole(now)
        }
    }

    /// The whole document for a cluster as it is sent, compressed or not, as of `now` or later; `make` gives it where it is not remembered.
    /// Whoever asks meanwhile waits for the one that is being made.
    ///
    /// # Errors
    /// As `make`.
    pub async fn document<E>(
        &self,
        variant: &Variant,
        now: &Now,
        make: impl Future<Output = Result<(Now, Bytes), E>>,
    ) -> Result<Bytes, E> {
        let mut documents = self.0.documents.lock().await;
        let history = self.0.histories.load(Ordering::Acquire);
        if let Some((from, of, document)) = documents.get(variant)
            && *from == history
            && of.ledger == now.ledger
            && of.revision >= now.revision
        {
            return Ok(document.clone());
        }
        let (of, document) = make.await?;
        if documents.len() >= DOCUMENTS_MAX {
            documents.clear();
        }
        documents.insert(variant.clone(), (history, of, document.clone()));
        Ok(document)
    }
}

impl Mirror {
    /// The patch of a cluster as it is sent, and whether it is compressed, from revision `since` to `now` or later; `make`
    /// gives it where it is not remembered. Others who ask meanwhile wait for it. `None` stands for the whole document.
    ///
    /// # Errors
    /// As `make`.
    pub async fn patch<E>(
        &self,
        variant: &Variant,
        since: u64,
        now: &Now,
        make: impl Future<Output = Result<Patch, E>>,
    ) -> Result<Patch, E> {
        let mut patches = self.0.patches.lock().await;
        let history = self.0.histories.load(Ordering::Acquire);
        let key = (variant.clone(), now.ledger.clone(), since, history);
        if let Some((_, patch)) = patches.get(&key).filter(|(revision, _)| *revision >= now.revision) {
            return Ok(patch.clone());
        }
        let patch = make.await?;
        if patches.len() >= PATCHES_MAX {
            patches.clear();
        }
        patches.insert(key, (now.revision, patch.clone()));
        Ok(patch)
    }
}

/// Whether a gate is in the history in which its revision has this digest, as far as it says; an empty one is not known.
fn is_of(at: Position<'_>, known: Option<&str>) -> bool {
    let Some(has) = at.digest.filter(|has| Some(*has) != known) else { return true };
    if !has.is_empty() && known.is_some_and(|known| !known.is_empty()) {
        metrics::snapshot_forked();
        if may_tell() {
            tracing::error!(
                revision = at.revision,
                "a gate has another history of the ledger than its database; it gets the whole document"
            );
        }
    }
    false
}

/// A gate that says a wrong digest again and again must not fill the log; the metric counts all of them.
fn may_tell() -> bool {
    const PAUSE: Duration = Duration::from_mins(1);
    static TOLD: Mutex<Option<std::time::Instant>> = Mutex::new(None);
    let mut told = TOLD.lock().unwrap_or_else(PoisonError::into_inner);
    let may = told.is_none_or(|at| at.elapsed() >= PAUSE);
    if may {
        *told = Some(std::time::Instant::now());
    }
    may
}

#[cfg(test)]
mod tests;
