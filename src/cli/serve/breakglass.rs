//! Break-glass of `serve`: the keys that verify documents, and a file of documents, which needs no ledger.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use tokio_util::sync::CancellationToken;

use portcullis_access::signature::Verifier;
use portcullis_admission::snapshot::SnapshotCell;
use portcullis_lifecycle::ready::{Condition, Readiness};
use portcullis_lifecycle::tasks::Tasks;
use portcullis_lifecycle::watch::{Watch, around};
use portcullis_tenancy::breakglass::BreakglassEntry;

/// A document has about 1 KiB, so a larger file is something else.
const BYTES_MAX: usize = 1024 * 1024;

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Break-glass")]
pub struct BreakglassArgs {
    /// PEM file of Ed25519 public keys; a document that one of them verifies bypasses the policies that it names. Without
    /// it no document is valid
    #[arg(long, env = "PORTCULLIS_BREAKGLASS_KEY", value_name = "FILE")]
    breakglass_key: Option<PathBuf>,

    /// File of break-glass documents, YAML or JSON, reloaded when it changes; documents of the ledger are valid too
    #[arg(long, env = "PORTCULLIS_BREAKGLASS", value_name = "FILE", requires = "breakglass_key")]
    breakglass: Option<PathBuf>,
}

#[derive(Debug, Default, Deserialize, serde::Serialize)]
#[serde(deny_unknown_fields)]
pub struct Documents {
    /// By id.
    #[serde(default)]
    pub breakglass: BTreeMap<Arc<str>, BreakglassEntry>,
}

impl Documents {
    /// A missing or empty file holds no documents.
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

/// Sets the keys of the gate and starts watching the file.
pub fn follow(
    args: BreakglassArgs,
    snapshots: SnapshotCell,
    readiness: &Readiness,
    tasks: &mut Tasks,
) -> anyhow::Result<()> {
    let Some(path) = args.breakglass_key else { return Ok(()) };
    let named = || format!("--breakglass-key `{}`", path.display());
    let pem = std::fs::read(&path).with_context(|| format!("{}: cannot read it", named()))?;
    let verifier = Verifier::parse(&pem).with_context(named)?;
    snapshots.update_breakglass(|breakglass| breakglass.verifier = verifier);
    if let Some(path) = args.breakglass {
        let condition = readiness.condition("breakglass", "not read yet");
        let mut digest_seen = None;
        reload(&path, &mut digest_seen, &snapshots, &condition);
        tasks.spawn("breakglass", |stop| watch(path, digest_seen, snapshots, condition, stop));
    }
    Ok(())
}

async fn watch(
    path: PathBuf,
    mut digest_seen: Option<[u8; 32]>,
    snapshots: SnapshotCell,
    condition: Condition,
    stop: CancellationToken,
) -> Result<(), Infallible> {
    let mut watch = Watch::new();
    loop {
        watch.follow(around(&path));
        reload(&path, &mut digest_seen, &snapshots, &condition);
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = watch.changed() => {}
        }
    }
}

/// Applies a changed file. An invalid file keeps the documents of the previous version.
fn reload(path: &Path, digest_seen: &mut Option<[u8; 32]>, snapshots: &SnapshotCell, condition: &Condition) {
    let digest = Sha256::digest(std::fs::read(path).unwrap_or_default()).into();
    if *digest_seen == Some(digest) {
        return;
    }
    *digest_seen = Some(digest);
    match Documents::read(path) {
        Ok(documents) => {
            snapshots.update_breakglass(|breakglass| breakglass.file = documents.breakglass);
            condition.good();
        }
        Err(error) => {
            tracing::error!(%error, "the file of break-glass documents is rejected; the previous documents stay in force");
            condition.good_but(
                "the file of break-glass documents is rejected; the previous documents stay in force"
                    .to_owned(),
            );
        }
    }
}
