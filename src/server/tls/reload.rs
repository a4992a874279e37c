//! Reloads certificates when their files change, or when another component provides them. An invalid new pair is not served.

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

use super::{ClientVerifier, CurrentCertificate};
use portcullis_certs::CertError;
use portcullis_certs::pair::{Flags, Pair, PairBytes, PairFiles, client_roots, read_client_ca};
use portcullis_lifecycle::ready::Condition;

/// Certificate and key are two files; after the first event the second one is usually written within this time.
const SETTLE_DELAY: Duration = Duration::from_millis(50);

/// An invalid pair may be half of a change; it is read again after this time before it is reported.
const RETRY_DELAY: Duration = Duration::from_millis(500);

/// Pairs from another component, served from the next handshake on. None until the first one exists.
pub type ExternalPairs = watch::Receiver<Option<Pair>>;

pub(crate) struct CertificateReloader {
    pub(crate) files: Option<PairFiles>,
    pub(crate) external: Option<ExternalPairs>,
    /// The last contents that were valid.
    pub(crate) contents: CertificateFiles,
    /// notAfter of the served certificate, in seconds since 1970.
    pub(crate) expiry: Option<i64>,
    pub(crate) certificate: Arc<CurrentCertificate>,
    pub(crate) client_ca: Option<(PathBuf, Arc<ClientVerifier>)>,
    pub(crate) condition: Condition,
    pub(crate) poll: Duration,
}

/// The contents of the files.
#[derive(PartialEq, Eq)]
pub(crate) struct CertificateFiles {
    pair: Option<PairBytes>,
    client_ca: Option<Vec<u8>>,
}

/// The parsed and validated contents.
pub(crate) struct CheckedCertificates {
    pub(crate) pair: Option<Pair>,
    pub(crate) roots: Option<RootCertStore>,
}

#[derive(Debug, thiserror::Error)]
enum ReloadError {
    #[error(transparent)]
    Cert(#[from] CertError),
    #[error(transparent)]
    Tls(#[from] rustls::Error),
}

/// The flag of the client CA, for error messages.
fn client_ca_flag(files: Option<&PairFiles>) -> &'static str {
    files.map_or(Flags::WEBHOOK, |files| files.flags).client_ca
}

pub(crate) fn read(
    files: Option<&PairFiles>,
    client_ca: Option<&Path>,
) -> Result<CertificateFiles, CertError> {
    let pair = files.map(PairFiles::read).transpose()?;
    Ok(CertificateFiles {
        pair,
        client_ca: client_ca.map(|path| read_client_ca(client_ca_flag(files), path)).transpose()?,
    })
}

pub(crate) fn check(
    files: Option<&PairFiles>,
    client_ca: Option<&Path>,
    contents: &CertificateFiles,
) -> Result<CheckedCertificates, CertError> {
    let pair = files.zip(contents.pair.as_ref());
    let pair = pair.map(|(files, bytes)| files.check(bytes, Timestamp::now())).transpose()?;
    let roots = client_ca.zip(contents.client_ca.as_deref());
    Ok(CheckedCertificates {
        pair,
        roots: roots.map(|(path, bytes)| client_roots(client_ca_flag(files), path, bytes)).transpose()?,
    })
}

impl CertificateReloader {
    /// Watches the files until `stop` is cancelled.
    pub(crate) async fn run(mut self, stop: CancellationToken) -> std::io::Result<()> {
        let mut hangup = signal(SignalKind::hangup())?;
        let mut poll = interval(self.poll);
        let (changed, mut changes) = mpsc::channel(1);
        let _watcher = self.watch(&changed);
        loop {
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                pair = next_pair(&mut self.external) => {
                    self.serve(pair);
                    continue;
                }
                _ = changes.recv() => sleep(SETTLE_DELAY).await,
                _ = hangup.recv() => tracing::info!("reading the certificate files after SIGHUP"),
                _ = poll.tick() => {}
            }
            // An event during the delay is part of the same change.
            let _ = changes.try_recv();
            self.check_files().await;
            if self.expiry.is_some_and(|expiry| expiry < Timestamp::now().as_second()) {
                tracing::error!("the served certificate has expired");
                self.condition.good_but("the served certificate has expired");
            }
        }
    }

    /// Serves new and valid contents. Invalid contents are read twice before they are reported.
    async fn check_files(&mut self) {
        if self.reload().is_ok() {
            return;
        }
        sleep(RETRY_DELAY).await;
        let Err(error) = self.reload() else { return };
        let detail = format!("the new certificate is invalid, and the previous one is served: {error}");
        if self.condition.good_but(detail) {
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            tracing::error!(%error, cause, "invalid certificate files; the previous certificate is served");
        }
    }

    fn reload(&mut self) -> Result<(), ReloadError> {
        // A few KiB from a local file system do not need a blocking thread.
        let client_ca = self.client_ca.as_ref().map(|(path, _)| path.as_path());
        let contents = read(self.files.as_ref(), client_ca)?;
        if contents != self.contents {
            let CheckedCertificates { pair, roots } = check(self.files.as_ref(), client_ca, &contents)?;
            if let (Some((_, clients)), Some(roots)) = (&self.client_ca, roots) {
                clients.replace(roots)?;
            }
            self.contents = contents;
            if let Some(pair) = pair {
                self.serve(pair);
            }
        }
        if self.expiry.is_some() {
            self.condition.good();
        }
        Ok(())
    }

    fn serve(&mut self, pair: Pair) {
        self.expiry = Some(pair.not_after);
        let expires = Timestamp::from_second(pair.not_after).unwrap_or_default();
        self.certificate.replace(pair);
        self.condition.good();
        tracing::info!(%expires, "serving a new certificate");
    }

    /// Watches the directories: a ConfigMap or Secret volume changes by replacing the symlink `..data`, and a watch on a file
    /// would follow the deleted one.
    fn watch(&self, changed: &mpsc::Sender<()>) -> Option<RecommendedWatcher> {
        let changed = changed.clone();
        let on_event = move |event: notify::Result<notify::Event>| {
            // Reading the files is an event too, and must not trigger the next read.
            if !matches!(event, Ok(notify::Event { kind: EventKind::Access(_), .. })) {
                // If the channel is full, a read is already due.
                let _ = changed.try_send(());
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
                |error| tracing::warn!(%error, poll = ?self.poll, "cannot watch certificate files; polling them instead"),
            )
            .ok()
    }
}

/// Waits for the next external pair; pending for ever without a source.
async fn next_pair(external: &mut Option<ExternalPairs>) -> Pair {
    if let Some(external) = external {
        while external.changed().await.is_ok() {
            if let Some(pair) = external.borrow_and_update().clone() {
                return pair;
            }
        }
    }
    std::future::pending().await
}
