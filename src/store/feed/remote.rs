//! The snapshot from the API of another process, by long poll.
//!
//! A thread of its own asks and waits, since that is what it does all day; this task hands what comes to the intake.

mod client;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::intake::{Intake, Offer, Refused};
use super::pace::Pace;
use client::{Answer, Client, RemoteError};
use portcullis_telemetry::metrics;
use portcullis_tenancy::snapshot::Snapshot;

/// Where the API is, and who we are to it. Files are read anew for every call: what rotates them need not tell us.
#[derive(Debug, Clone)]
pub struct Remote {
    /// `https://host:port`, without a path.
    pub url: String,
    /// The token's file.
    pub token: Option<PathBuf>,
    /// Authorities for its certificate, instead of the public ones.
    pub ca: Option<PathBuf>,
    /// Certificate and key of ours.
    pub certificate: Option<(PathBuf, PathBuf)>,
    /// The cluster whose part is asked for.
    pub cluster: Option<String>,
    /// How long the API may hold an answer back when nothing changes: so often it is known that the snapshot is the
    /// newest. From 1 s to 30.
    pub hold: Duration,
}

/// The files of a law: path → text.
pub type Files = std::collections::BTreeMap<String, String>;

/// Why a law could not be fetched.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct LawError(#[from] RemoteError);

impl Remote {
    /// The files of a revision of the law. Blocks until they are here.
    ///
    /// # Errors
    /// The API cannot be reached, or refuses.
    pub fn law(&self, revision: u64) -> Result<Files, LawError> {
        Ok(Client::new(self.clone()).law(revision)?)
    }
}

/// Follows the API, until told to stop. Every `reconcile` the whole is asked for and compared.
///
/// # Errors
/// The thread cannot be started, or is gone.
pub async fn follow(
    remote: Remote,
    mut intake: Intake,
    reconcile: Duration,
    stop: CancellationToken,
) -> Result<(), std::io::Error> {
    let (asks, mut answers) = start(remote)?;
    let mut pace = Pace::new(stop.clone());
    let mut compared: Option<Instant> = None;
    let mut fits = true;
    loop {
        let whole = !fits || compared.is_none_or(|at| at.elapsed() >= reconcile);
        let gone = || std::io::Error::other("the thread that asks the ledger is gone");
        asks.send((whole, intake.current().cloned())).map_err(|_| gone())?;
        let answer = tokio::select! {
            () = stop.cancelled() => return Ok(()),
            answer = answers.recv() => answer.ok_or_else(gone)?,
        };
        let compare = compared.is_some() && fits;
        let taken = answer.and_then(|answer| take(&mut intake, answer, compare));
        let go_on = match taken {
            Ok(()) => {
                if whole {
                    compared = Some(Instant::now());
                }
                fits = true;
                intake.health().confirmed();
                pace.went_well(true).await
            }
            // Only the whole can help, and it helps at once; where it does not, we wait.
            Err(RemoteError::Refused(error)) if fits && !whole => {
                if matches!(error, Refused::Held) {
                    tracing::debug!(%error, "asking for the whole");
                } else {
                    tracing::error!(%error, "a change of the ledger does not fit; asking for the whole");
                }
                fits = false;
                true
            }
            Err(error) => {
                intake.health().trouble(error.kind(), error);
                pace.failed().await
            }
        };
        if !go_on {
            return Ok(());
        }
    }
}

/// `compare`: a whole is expected to be what is in force, if the revision is the same.
fn take(intake: &mut Intake, answer: Answer, compare: bool) -> Result<(), RemoteError> {
    match answer {
        Answer::Nothing => {}
        Answer::Change { since, revision, digest, patch } => {
            intake.change(since, revision, digest, &patch)?
        }
        Answer::Whole(snapshot, held) => {
            let at = (snapshot.ledger.to_string(), snapshot.revision);
            let same = intake.position().is_some_and(|here| here.ledger == at.0 && here.revision == at.1);
            let offer = intake.whole(*snapshot, held)?;
            if compare && same && offer != Offer::Fork {
                metrics::snapshot_reconciled(offer == Offer::Same);
                if offer == Offer::Different {
                    tracing::error!(
                        revision = at.1,
                        "the snapshot was not what the ledger says; a change was lost"
                    );
                }
            }
        }
    }
    Ok(())
}

/// Whether the whole is asked for, and the snapshot that is here: what has changed since is asked for otherwise, and an
/// entry which does not read stays as it is there.
type Asked = (bool, Option<Arc<Snapshot>>);

type Channels = (std::sync::mpsc::Sender<Asked>, mpsc::Receiver<Result<Answer, RemoteError>>);

/// A thread rather than the runtime's: a long poll must not hold up the end of the process.
fn start(remote: Remote) -> std::io::Result<Channels> {
    let (asks, asked) = std::sync::mpsc::channel::<Asked>();
    let (answer, answers) = mpsc::channel(1);
    let mut client = Client::new(remote);
    std::thread::Builder::new().name("ledger".to_owned()).spawn(move || {
        while let Ok((whole, before)) = asked.recv() {
            let got = client.ask(whole, before.as_deref());
            if answer.blocking_send(got).is_err() {
                return;
            }
        }
    })?;
    Ok((asks, answers))
}
