//! Break-glass: whose signature counts, and documents from a file, which need no ledger, no database and no API server.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use tokio_util::sync::CancellationToken;

use portcullis_access::signature::Verifier;
use portcullis_admission::gate::Worlds;
use portcullis_lifecycle::ready::{Condition, Readiness};
use portcullis_lifecycle::tasks::Tasks;
use portcullis_lifecycle::watch::{Watch, around};
use portcullis_tenancy::breakglass::Entry;

/// A document is a kilobyte; what is longer is something else.
const BYTES_MAX: usize = 1024 * 1024;

/// Who may open break-glass, and where.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Break-glass")]
pub struct BreakglassArgs {
    /// PEM public keys of Ed25519; a document that one of them verifies lifts the laws that it names. Without it none does
    #[arg(long, env = "PORTCULLIS_BREAKGLASS_KEY", value_name = "FILE")]
    breakglass_key: Option<PathBuf>,

    /// Break-glass documents, YAML or JSON, followed while serving; those of the ledger hold beside them
    #[arg(long, env = "PORTCULLIS_BREAKGLASS", value_name = "FILE", requires = "breakglass_key")]
    breakglass: Option<PathBuf>,
}

/// A file of documents, as `portcullis breakglass` writes it.
#[derive(Debug, Default, Deserialize, serde::Serialize)]
#[serde(deny_unknown_fields)]
pub struct Documents {
    /// By id.
    #[serde(default)]
    pub breakglass: BTreeMap<Arc<str>, Entry>,
}

impl Documents {
    /// Reads a file; one that is not there or empty holds none.
    ///
    /// # Errors
    /// It cannot be read, or is something else.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let bytes = match std::fs::read(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Self::default()),
            read => read.with_context(|| format!("cannot read `{}`", path.display()))?,
        };
        Self::parse(&bytes).with_context(|| format!("`{}` holds no break-glass documents", path.display()))
    }

    fn parse(bytes: &[u8]) -> anyhow::Result<Self> {
        anyhow::ensure!(bytes.len() <= BYTES_MAX, "it has more than {BYTES_MAX} bytes");
        let text = std::str::from_utf8(bytes).context("it is not UTF-8")?;
        if text.trim().is_empty() {
            return Ok(Self::default());
        }
        Ok(serde_saphyr::from_str(text)?)
    }
}

/// Gives the gate its keys, and has the file followed.
///
/// # Errors
/// The keys are none.
pub fn follow(
    args: BreakglassArgs,
    worlds: Worlds,
    readiness: &Readiness,
    tasks: &mut Tasks,
) -> anyhow::Result<()> {
    let Some(path) = args.breakglass_key else { return Ok(()) };
    let named = || format!("--breakglass-key `{}`", path.display());
    let pem = std::fs::read(&path).with_context(|| format!("{}: cannot read it", named()))?;
    let verifier = Verifier::parse(&pem).with_context(named)?;
    worlds.emergencies(|emergencies| emergencies.verifier = verifier);
    if let Some(path) = args.breakglass {
        let condition = readiness.condition("breakglass", "not read yet");
        let mut seen = None;
        look(&path, &mut seen, &worlds, &condition);
        tasks.spawn("breakglass", |stop| watch(path, seen, worlds, condition, stop));
    }
    Ok(())
}

async fn watch(
    path: PathBuf,
    mut seen: Option<[u8; 32]>,
    worlds: Worlds,
    condition: Condition,
    stop: CancellationToken,
) -> Result<(), Infallible> {
    let mut watch = Watch::new();
    loop {
        watch.follow(around(&path));
        look(&path, &mut seen, &worlds, &condition);
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = watch.changed() => {}
        }
    }
}

/// Takes what the file says, if that is news. One that cannot be understood opens nothing new and closes nothing.
fn look(path: &Path, seen: &mut Option<[u8; 32]>, worlds: &Worlds, condition: &Condition) {
    let digest = Sha256::digest(std::fs::read(path).unwrap_or_default()).into();
    if *seen == Some(digest) {
        return;
    }
    *seen = Some(digest);
    match Documents::read(path) {
        Ok(documents) => {
            worlds.emergencies(|emergencies| emergencies.file = documents.breakglass);
            condition.good();
        }
        Err(error) => {
            tracing::error!(%error, "the file of break-glass documents is refused; those of before hold");
            condition
                .good_but("the file of break-glass documents is refused; those of before hold".to_owned());
        }
    }
}
