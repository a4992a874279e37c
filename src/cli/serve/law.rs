//! The law that the ledger keeps, laid over this gate's own: fetched when the snapshot names another, kept on disk for a
//! start without the ledger, and never left out in silence.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::path::PathBuf;
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use portcullis_access::{Action, Identity, authorize};
use portcullis_lifecycle::ready::Condition;
use portcullis_policy::layers::Layers;
use portcullis_policy::live::Reload;
use portcullis_policy::source::kept::Kept;
use portcullis_policy::{Bundle, Problem, Problems};
use portcullis_store::feed::remote::Remote;
use portcullis_store::{Ledger, bundles};
use portcullis_tenancy::snapshot::Law;

/// How long a law that cannot be had is waited for before it is asked for again.
const AGAIN: Duration = Duration::from_secs(2);

/// Where the text of a law is had.
pub enum Origin {
    /// The ledger's database.
    Database(Ledger),
    /// Another process's API.
    Remote(Remote),
}

/// Follows what the snapshot names.
pub struct Follower {
    /// What is laid over what.
    pub layers: Layers,
    /// Where the text is had.
    pub origin: Origin,
    /// Where the last one is kept.
    pub cache: Option<PathBuf>,
    /// What the snapshot names; `None` until there is a snapshot.
    pub named: watch::Receiver<Option<Option<Law>>>,
}

impl Follower {
    /// Runs until it is told to stop.
    ///
    /// # Errors
    /// Never; a task that ends is a task that died.
    pub async fn run(mut self, condition: Condition, stop: CancellationToken) -> Result<(), Infallible> {
        loop {
            let named = self.named.borrow_and_update().clone();
            let wait = match named {
                None => None,
                Some(None) => {
                    self.take(None).await;
                    condition.good();
                    None
                }
                Some(Some(law)) => match self.bring(&law).await {
                    Ok(()) => {
                        condition.good();
                        None
                    }
                    Err(Trouble::Refused(problems)) => {
                        let first = problems.0.first().map(ToString::to_string).unwrap_or_default();
                        condition.good_but(format!(
                            "law {} of the ledger does not fit this gate's own, and the last good one is in force: {first}",
                            law.revision
                        ));
                        None
                    }
                    Err(Trouble::Away(why)) => {
                        tracing::error!(revision = law.revision, %why, "the ledger's law cannot be had");
                        condition.bad(format!("law {} of the ledger is not here yet", law.revision));
                        Some(AGAIN)
                    }
                },
            };
            let again = async {
                match wait {
                    Some(wait) => tokio::time::sleep(wait).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                () = again => {}
                changed = self.named.changed() => if changed.is_err() { stop.cancelled().await },
            }
        }
    }

    /// Puts the law that is named in force: from disk where it is there, else from the ledger.
    async fn bring(&self, law: &Law) -> Result<(), Trouble> {
        let kept = self.cache.as_deref().map(Kept::of_ledger);
        let known = kept.as_ref().and_then(Kept::read).filter(|bundle| bundle.digest == law.sha256);
        let bundle = match known {
            Some(bundle) => bundle,
            None => {
                let files = self.fetch(law).await?;
                let mut bundle = Bundle::from_files(files).map_err(Trouble::Refused)?;
                // Named as the snapshot names it, so that a start finds it again.
                bundle.digest.clone_from(&law.sha256);
                if let Some(kept) = &kept {
                    kept.write(&bundle);
                }
                bundle
            }
        };
        match self.take(Some(bundle)).await {
            Some(Reload::Refused(problems)) => Err(Trouble::Refused(problems)),
            _ => Ok(()),
        }
    }

    async fn take(&self, bundle: Option<Bundle>) -> Option<Reload> {
        let layers = self.layers.clone();
        let done = tokio::task::spawn_blocking(move || layers.upper(bundle)).await;
        done.inspect_err(|error| tracing::error!(%error, "a law could not be compiled")).ok()
    }

    async fn fetch(&self, law: &Law) -> Result<Vec<(String, Vec<u8>)>, Trouble> {
        let away = |why: String| Trouble::Away(why);
        let files: BTreeMap<String, String> = match &self.origin {
            Origin::Database(ledger) => {
                let scope = authorize(&Identity::process("gate"), Action::RevisionsGet, None, "law")
                    .map_err(|error| away(error.to_string()))?;
                let mut tx = ledger.read(&scope).await.map_err(|error| away(error.to_string()))?;
                let revision = i64::try_from(law.revision).unwrap_or(i64::MAX);
                bundles::get(&mut tx, revision).await.map_err(|error| away(error.to_string()))?.1
            }
            Origin::Remote(remote) => {
                let (remote, revision) = (remote.clone(), law.revision);
                let got = tokio::task::spawn_blocking(move || remote.law(revision)).await;
                got.map_err(|error| away(error.to_string()))?.map_err(|error| away(error.to_string()))?
            }
        };
        let text = serde_json::to_string(&files).unwrap_or_default();
        if hex::encode(Sha256::digest(text)) != law.sha256 {
            let message = "is not what the snapshot names: its SHA-256 is another";
            return Err(Trouble::Refused(Problems(vec![Problem::of("the ledger's law", message)])));
        }
        Ok(files.into_iter().map(|(path, text)| (path, text.into_bytes())).collect())
    }
}

/// Why the law that is named is not in force.
enum Trouble {
    /// Nobody answers, or says no; it is asked for again.
    Away(String),
    /// It does not load over what lies below it.
    Refused(Problems),
}
