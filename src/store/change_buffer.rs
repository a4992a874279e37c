//! Recent changes of the snapshot in memory, on which gates wait through the API. One follower of this process reads each
//! change once; waiting gates hold no database connection.

use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::revision::{Change, LedgerHead, Position};
use portcullis_telemetry::metrics;

/// A gate that is further behind receives the whole document.
const CHANGES_MAX: usize = 1024;

/// One change can be as long as all policy sets of a tenant.
const CHANGES_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Cached documents, each of one cluster and revision.
const DOCUMENTS_MAX: usize = 16;

/// Cached patches of clusters; most gates of a cluster have the same revision.
const PATCHES_MAX: usize = 64;

#[derive(Clone)]
pub struct ChangeBuffer(Arc<BufferState>);

/// A form of the document.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Variant {
    /// `None` for the whole ledger.
    pub cluster: Option<String>,
    pub gzip: bool,
    pub format: u32,
}

/// Variant, ledger, first revision, and number of the history.
type PatchKey = (Variant, String, u64, u64);

/// The encoded patch and whether it is compressed; `None` for the whole document.
type Patch = Option<(Bytes, bool)>;

struct BufferState {
    patches: tokio::sync::Mutex<BTreeMap<PatchKey, (u64, Patch)>>,
    changes: Mutex<Changes>,
    published: watch::Sender<Published>,
    contact: watch::Sender<LedgerContact>,
    documents: tokio::sync::Mutex<BTreeMap<Variant, (u64, LedgerHead, Bytes)>>,
    /// Counts the histories that this process has followed, so that documents of an earlier one are not sent.
    histories: AtomicU64,
    closing: CancellationToken,
}

/// The newest changes in order, and revision and digest that the first one follows.
#[derive(Default)]
struct Changes {
    base: Option<(u64, Arc<str>)>,
    entries: VecDeque<Change>,
}

impl Changes {
    fn digest_at(&self, revision: u64) -> Option<&str> {
        let base = self.base.as_ref().filter(|(at, _)| *at == revision).map(|(_, digest)| &**digest);
        let at = self.entries.partition_point(|change| change.revision < revision);
        let change = self.entries.get(at).filter(|change| change.revision == revision);
        change.map(|change| &*change.digest).or(base)
    }

    fn evict_oldest(&mut self) {
        let mut bytes: usize = self.entries.iter().map(|change| change.patch.len()).sum();
        while self.entries.len() > CHANGES_MAX || bytes > CHANGES_BYTES_MAX {
            let Some(change) = self.entries.pop_front() else { return };
            bytes -= change.patch.len();
            self.base = Some((change.revision, change.digest));
        }
    }
}

#[derive(Debug, Clone, Default, PartialEq)]
struct Published {
    now: Option<LedgerHead>,
    contact: LedgerContact,
}

/// Whether this process receives commits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum LedgerContact {
    Connected,
    /// The database does not answer, or was not contacted yet.
    #[default]
    Disconnected,
    /// The database answers, but its snapshot cannot be read.
    Invalid,
}

#[derive(Debug)]
pub enum Next {
    /// Changes that lead from the position to the head; not empty.
    Changes(LedgerHead, Vec<Change>),
    /// The gate needs the whole document.
    Whole(LedgerHead),
    /// The gate has the newest revision.
    Unchanged,
    /// This process is not connected to the ledger, cannot read it, or shuts down; another replica may answer.
    Unavailable(LedgerContact),
}

impl ChangeBuffer {
    /// Disconnected at first. Cancelling `closing` ends all waits.
    pub fn new(closing: CancellationToken) -> Self {
        let (published, contact) =
            (watch::Sender::new(Published::default()), watch::Sender::new(LedgerContact::default()));
        let (changes, documents) = (Mutex::default(), tokio::sync::Mutex::default());
        let patches = tokio::sync::Mutex::default();
        let histories = AtomicU64::new(0);
        Self(Arc::new(BufferState { patches, changes, published, contact, documents, histories, closing }))
    }

    /// Publishes a head whose changes are unknown.
    pub(super) fn whole(&self, now: &LedgerHead) {
        self.publish(now, Vec::new());
    }

    pub(super) fn changed(&self, now: &LedgerHead, changes: Vec<Change>) {
        self.publish(now, changes);
    }

    pub(super) fn set_contact(&self, now: LedgerContact) {
        self.0.published.send_if_modified(|published| std::mem::replace(&mut published.contact, now) != now);
        self.0.contact.send_if_modified(|contact| std::mem::replace(contact, now) != now);
    }

    pub fn contact(&self) -> watch::Receiver<LedgerContact> {
        self.0.contact.subscribe()
    }

    fn publish(&self, now: &LedgerHead, new: Vec<Change>) {
        let mut changes = self.0.changes.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.0.published.borrow().now.clone();
        if new.is_empty() && before.as_ref() == Some(now) {
            return self.set_contact(LedgerContact::Connected);
        }
        let follows = before.as_ref().is_some_and(|before| {
            before.ledger == now.ledger
                && new.first().is_some_and(|first| first.revision == before.revision + 1)
        });
        if !follows {
            let base = new.is_empty().then(|| (now.revision, Arc::clone(&now.digest)));
            *changes = Changes { base, entries: VecDeque::new() };
            // A whole document may belong to another history.
            self.0.histories.fetch_add(1, Ordering::AcqRel);
        }
        changes.entries.extend(new);
        changes.evict_oldest();
        self.0
            .published
            .send_replace(Published { now: Some(now.clone()), contact: LedgerContact::Connected });
        drop(changes);
        self.set_contact(LedgerContact::Connected);
    }

    /// Waits for news for a gate at `position`, or for a gate without a snapshot. If the position has a digest, changes are sent
    /// only where they follow it.
    pub async fn next(&self, position: Option<Position<'_>>, timeout: Duration) -> Next {
        let mut published = self.0.published.subscribe();
        let until = tokio::time::Instant::now() + timeout;
        loop {
            let Published { now, contact } = published.borrow_and_update().clone();
            let available = contact == LedgerContact::Connected && !self.0.closing.is_cancelled();
            let Some(now) = now.filter(|_| available) else {
                return Next::Unavailable(contact);
            };
            let ahead = match position {
                Some(at) if at.ledger == now.ledger => {
                    if at.revision < now.revision {
                        return self.next_after(at, now);
                    }
                    if at.revision == now.revision && !is_same_history(at, Some(&now.digest)) {
                        return Next::Whole(now);
                    }
                    // Another replica was faster. A gate rejects an older revision.
                    at.revision > now.revision
                }
                _ => return Next::Whole(now),
            };
            tokio::select! {
                () = self.0.closing.cancelled() => return Next::Unavailable(contact),
                waited = tokio::time::timeout_at(until, published.changed()) => match waited {
                    Ok(Ok(())) => {}
                    Ok(Err(_)) => return Next::Unavailable(LedgerContact::Disconnected),
                    Err(_) => return if ahead { Next::Whole(now) } else { Next::Unchanged },
                },
            }
        }
    }

    fn next_after(&self, at: Position<'_>, now: LedgerHead) -> Next {
        let changes = self.0.changes.lock().unwrap_or_else(PoisonError::into_inner);
        if !is_same_history(at, changes.digest_at(at.revision)) {
            return Next::Whole(now);
        }
        let from = changes.entries.partition_point(|change| change.revision <= at.revision);
        // Changes that arrived after `now` was read are for the next call.
        let until = changes.entries.partition_point(|change| change.revision <= now.revision);
        let found: Vec<Change> = changes.entries.range(from.min(until)..until).cloned().collect();
        let ends = (found.first().map(|first| first.revision), found.last().map(|last| last.revision));
        if ends == (Some(at.revision + 1), Some(now.revision)) {
            Next::Changes(now, found)
        } else {
            Next::Whole(now)
        }
    }

    /// The encoded document as of `now` or later; `render` creates it. Concurrent callers wait for one rendering.
    pub async fn document<E>(
        &self,
        variant: &Variant,
        now: &LedgerHead,
        render: impl Future<Output = Result<(LedgerHead, Bytes), E>>,
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
        let (of, document) = render.await?;
        if documents.len() >= DOCUMENTS_MAX {
            documents.clear();
        }
        documents.insert(variant.clone(), (history, of, document.clone()));
        Ok(document)
    }

    /// The encoded patch of a cluster from `since` to `now` or later; concurrent callers wait for one rendering.
    pub async fn patch<E>(
        &self,
        variant: &Variant,
        since: u64,
        now: &LedgerHead,
        render: impl Future<Output = Result<Patch, E>>,
    ) -> Result<Patch, E> {
        let mut patches = self.0.patches.lock().await;
        let history = self.0.histories.load(Ordering::Acquire);
        let key = (variant.clone(), now.ledger.clone(), since, history);
        if let Some((_, patch)) = patches.get(&key).filter(|(revision, _)| *revision >= now.revision) {
            return Ok(patch.clone());
        }
        let patch = render.await?;
        if patches.len() >= PATCHES_MAX {
            patches.clear();
        }
        patches.insert(key, (now.revision, patch.clone()));
        Ok(patch)
    }
}

/// An empty digest is unknown.
fn is_same_history(at: Position<'_>, known: Option<&str>) -> bool {
    let Some(has) = at.digest.filter(|has| Some(*has) != known) else { return true };
    if !has.is_empty() && known.is_some_and(|known| !known.is_empty()) {
        metrics::snapshot_forked();
        if may_log() {
            tracing::error!(
                revision = at.revision,
                "a gate has another history of the ledger than the database and receives the whole document"
            );
        }
    }
    false
}

/// Limits the log to one line per minute; the metric counts all.
fn may_log() -> bool {
    const PAUSE: Duration = Duration::from_mins(1);
    static LOGGED: Mutex<Option<std::time::Instant>> = Mutex::new(None);
    let mut logged = LOGGED.lock().unwrap_or_else(PoisonError::into_inner);
    let may = logged.is_none_or(|at| at.elapsed() >= PAUSE);
    if may {
        *logged = Some(std::time::Instant::now());
    }
    may
}

#[cfg(test)]
mod tests;
