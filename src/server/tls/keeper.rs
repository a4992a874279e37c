//! Keeps what is served equal to the files, or to what is handed in: a bad new pair leaves the old one in place.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use rustls::RootCertStore;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::time::{interval, sleep};
use tokio_util::sync::CancellationToken;

use super::Keys;
use super::clients::Clients;
use portcullis_certs::CertError;
use portcullis_certs::pair::{Flags, Pair, PairBytes, PairFiles, client_roots, read_client_ca};
use portcullis_lifecycle::ready::Condition;

/// Whoever replaces a certificate writes two files. Waiting this long after the first sign of it mostly sees both.
const SETTLE: Duration = Duration::from_millis(50);

/// A pair that does not fit may be half of a change: it is read once more after this before anybody is told.
const SECOND_LOOK: Duration = Duration::from_millis(500);

/// Pairs that somebody else makes: each is served from the next handshake on. None until there is one.
pub type Handed = watch::Receiver<Option<Pair>>;

/// What is followed, what was last served of it, and where to say so.
pub(crate) struct Keeper {
    pub(crate) files: Option<PairFiles>,
    pub(crate) handed: Option<Handed>,
    pub(crate) seen: Seen,
    /// notAfter of what is served, in seconds since 1970.
    pub(crate) end: Option<i64>,
    pub(crate) keys: Arc<Keys>,
    pub(crate) client_ca: Option<(PathBuf, Arc<Clients>)>,
    pub(crate) condition: Condition,
    pub(crate) poll: Duration,
}

/// Everything that was read at one time.
#[derive(PartialEq, Eq)]
pub(crate) struct Seen {
    pair: Option<PairBytes>,
    client_ca: Option<Vec<u8>>,
}

/// Everything that was read, found good.
pub(crate) struct Checked {
    pub(crate) pair: Option<Pair>,
    pub(crate) roots: Option<RootCertStore>,
}

/// Why a reload changed nothing.
#[derive(Debug, thiserror::Error)]
enum ReloadError {
    #[error(transparent)]
    Cert(#[from] CertError),
    #[error(transparent)]
    Tls(#[from] rustls::Error),
}

/// The flag of callers' authorities, for the sentence that says what is wrong with them.
fn flag(files: Option<&PairFiles>) -> &'static str {
    files.map_or(Flags::WEBHOOK, |files| files.flags).client_ca
}

/// Reads all files.
pub(crate) fn read(files: Option<&PairFiles>, client_ca: Option<&Path>) -> Result<Seen, CertError> {
    let pair = files.map(PairFiles::read).transpose()?;
    Ok(Seen { pair, client_ca: client_ca.map(|path| read_client_ca(flag(files), path)).transpose()? })
}

/// Checks what was read of these files.
pub(crate) fn check(
    files: Option<&PairFiles>,
    client_ca: Option<&Path>,
    seen: &Seen,
) -> Result<Checked, CertError> {
    let pair = files.zip(seen.pair.as_ref());
    let pair = pair.map(|(files, bytes)| files.check(bytes, Timestamp::now())).transpose()?;
    let roots = client_ca.zip(seen.client_ca.as_deref());
    Ok(Checked {
        pair,
        roots: roots.map(|(path, bytes)| client_roots(flag(files), path, bytes)).transpose()?,
    })
}

impl Keeper {
    /// Watches until told to stop.
    pub(crate) async fn run(mut self, stop: CancellationToken) -> std::io::Result<()> {
        let mut hangup = signal(SignalKind::hangup())?;
        let mut poll = interval(self.poll);
        let (tell, mut news) = mpsc::channel(1);
        let _watcher = self.watch(&tell);
        loop {
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                pair = another(&mut self.handed) => {
                    self.serve(pair);
                    continue;
                }
                _ = news.recv() => sleep(SETTLE).await,
                _ = hangup.recv() => tracing::info!("SIGHUP: looking at the certificate files"),
                _ = poll.tick() => {}
            }
            // What came while waiting is part of the same change.
            let _ = news.try_recv();
            self.look().await;
            if self.end.is_some_and(|end| end < Timestamp::now().as_second()) {
                tracing::error!("the certificate that is served has expired");
                self.condition.good_but("the certificate that is served has expired");
            }
        }
    }

    /// One look at the files; what is new and good is served. A second look where the first finds a flaw.
    async fn look(&mut self) {
        if self.reload().is_ok() {
            return;
        }
        sleep(SECOND_LOOK).await;
        let Err(flaw) = self.reload() else { return };
        let detail = format!("the new certificate is not served, the old one is: {flaw}");
        if self.condition.good_but(detail) {
            let cause = std::error::Error::source(&flaw).map(ToString::to_string);
            tracing::error!(error = %flaw, cause, "certificate files are bad; the old certificate stays");
        }
    }

    fn reload(&mut self) -> Result<(), ReloadError> {
        // A few KiB from a local file system: not worth another thread.
        let client_ca = self.client_ca.as_ref().map(|(path, _)| path.as_path());
        let seen = read(self.files.as_ref(), client_ca)?;
        if seen != self.seen {
            let Checked { pair, roots } = check(self.files.as_ref(), client_ca, &seen)?;
            if let (Some((_, clients)), Some(roots)) = (&self.client_ca, roots) {
                clients.swap(roots)?;
            }
            self.seen = seen;
            if let Some(pair) = pair {
                self.serve(pair);
            }
        }
        if self.end.is_some() {
            self.condition.good();
        }
        Ok(())
    }

    fn serve(&mut self, pair: Pair) {
        self.end = Some(pair.not_after);
        let expires = Timestamp::from_second(pair.not_after).unwrap_or_default();
        self.keys.swap(pair);
        self.condition.good();
        tracing::info!(%expires, "serving a new certificate");
    }

    /// Watches directories, not files: a ConfigMap or Secret volume changes by swapping the symlink `..data` beside
    /// them, and a watch on a file would follow the old one into the bin.
    fn watch(&self, tell: &mpsc::Sender<()>) -> Option<RecommendedWatcher> {
        let tell = tell.clone();
        let on_event = move |event: notify::Result<notify::Event>| {
            // Our own reading is an event too, and must not be the cause of the next.
            if !matches!(event, Ok(notify::Event { kind: EventKind::Access(_), .. })) {
                // Full means that a look is already due.
                let _ = tell.try_send(());
            }
        };
        let client_ca = self.client_ca.as_ref().map(|(path, _)| path.as_path());
        let pair = self.files.iter().flat_map(|files| [files.cert.as_path(), files.key.as_path()]);
        let mut directories: Vec<_> = pair
            .chain(client_ca)
            .map(|file| match file.parent() {
                Some(parent) if parent != Path::new("") => parent,
                _ => Path::new("."),
            })
            .collect();
        directories.sort_unstable();
        directories.dedup();
        let watcher = notify::recommended_watcher(on_event).and_then(|mut watcher| {
            directories
                .iter()
                .try_for_each(|directory| watcher.watch(directory, RecursiveMode::NonRecursive))?;
            Ok(watcher)
        });
        watcher
            .inspect_err(
                |error| tracing::warn!(%error, poll = ?self.poll, "cannot watch certificate files; polling"),
            )
            .ok()
    }
}

/// The next pair that is handed in; never where none will be.
async fn another(handed: &mut Option<Handed>) -> Pair {
    if let Some(handed) = handed {
        while handed.changed().await.is_ok() {
            if let Some(pair) = handed.borrow_and_update().clone() {
                return pair;
            }
        }
    }
    std::future::pending().await
}
