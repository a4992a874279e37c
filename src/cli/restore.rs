//! `portcullis restore`: a ledger from a file, or one that was put back by other means, under a new id.

use std::fs::File;
use std::path::PathBuf;

use anyhow::Context as _;

use super::backup::{Bar, told};
use super::database::{Database, block_on};
use super::{Exit, output};
use portcullis_access::{Action, Identity, authorize};
use portcullis_store::backup::{Restore, Restored, check};
use portcullis_store::seal::MasterKey;
use portcullis_store::{Ledger, Options, revision};

const EXAMPLES: &str = "\
Examples:
  portcullis restore --check ledger.backup.gz                             is it whole, and what is in it?
  portcullis restore ledger.backup.gz                                     into an empty ledger in the user's data folder
  portcullis restore --database postgres://portcullis@db/portcullis ledger.backup.gz
  portcullis restore --replace 018f2b7c-0000-7000-8000-000000000001 ledger.backup.gz
  portcullis restore --renew                                              after the database was put back by other means

All of it is one transaction: if the file is cut off, damaged, or of a newer program, the database stays as it was. The
ledger gets a new id and a higher revision, so that every gate takes it as a whole. Tokens that were revoked, and tenants that
were suspended, since the backup are so no more: docs/operations.md says what to look at.

Exit codes: 0 restored, 1 restored, but its audit log or an entry of it is not as it should be, 2 nothing was changed";

/// Flags of `restore`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The file that `portcullis backup` wrote
    #[arg(value_name = "FILE", required_unless_present = "renew")]
    file: Option<PathBuf>,

    #[command(flatten)]
    database: Database,

    /// Replace the ledger of this id, which the database holds; without it only an empty database is restored into
    #[arg(long, value_name = "LEDGER", conflicts_with_all = ["check", "renew"])]
    replace: Option<String>,

    /// Only look whether the file is whole, and say what is in it
    #[arg(long, conflicts_with = "renew")]
    check: bool,

    /// Restore nothing: give the ledger that is in the database a new id, because it was put back by other means
    #[arg(long, conflicts_with = "file")]
    renew: bool,

    /// File of the key that secrets are sealed with: make sure that they open with it
    #[arg(long, env = "PORTCULLIS_MASTER_KEY_FILE", value_name = "FILE")]
    master_key_file: Option<PathBuf>,
}

/// Restores, checks, or renews.
///
/// # Errors
/// The file is no good, the database not empty, or the key another one. Nothing was changed.
pub fn run(args: Args) -> anyhow::Result<Exit> {
    let Args { file, database, replace, check: only_check, renew, master_key_file } = args;
    let Some(file) = file.filter(|_| !renew) else { return renew_in_place(&database) };
    let open = || File::open(&file);
    let shown = file.display();
    let key = master_key_file.as_deref().map(MasterKey::read).transpose()?;
    if only_check {
        let summary = open().map_err(Into::into).and_then(check).with_context(|| format!("`{shown}`"))?;
        if let Some(key) = &key {
            summary.opens_with(key).with_context(|| format!("`{shown}`"))?;
        }
        output::print(&format!("{}{shown} is whole\n", told(&summary)))?;
        return Ok(Exit::Fine);
    }
    let url = database.url()?;
    let restored = block_on(async {
        let options = Options { connections: 1, ..Options::default() };
        let ledger = Ledger::connect(&url, &options).await?;
        let how = Restore { replace: replace.as_deref(), key: key.as_ref() };
        let bar = Bar::begin();
        let restored = ledger.restore(open, &how, &mut |what, rows| bar.tell(what, rows)).await;
        bar.end();
        ledger.close().await;
        restored.with_context(|| format!("`{shown}` was not restored"))
    })?;
    output::print(&said(&restored))?;
    Ok(Exit::findings(!restored.audit.is_intact() || !restored.unreadable.is_empty()))
}

fn said(restored: &Restored) -> String {
    let Restored { backup, ledger, revision, replaced, audit, unreadable } = restored;
    let mut text = told(backup);
    if let Some((ledger, revision)) = replaced {
        text.push_str(&format!("ledger {ledger} at revision {revision} replaced\n"));
    }
    let rows: u64 = audit.chains.iter().map(|chain| chain.rows).sum();
    if audit.is_intact() {
        text.push_str(&format!("audit log intact: {} chains, {rows} rows\n", audit.chains.len()));
    }
    for chain in &audit.chains {
        if let Some(fault) = &chain.fault {
            text.push_str(&format!("audit log, chain {}: {fault}; it was so in the backup\n", chain.chain));
        }
    }
    for problem in unreadable {
        text.push_str(&format!("gates do not read an entry: {problem}; it was so in the backup\n"));
    }
    text.push_str(&format!("ledger {ledger} restored at revision {revision}\n"));
    text
}

fn renew_in_place(database: &Database) -> anyhow::Result<Exit> {
    let url = database.url()?;
    let (id, revision) = block_on(async {
        let options = Options { connections: 1, migrate: false, ..Options::default() };
        let ledger = Ledger::open(&url, &options).await?;
        let scope = authorize(&Identity::process("restore"), Action::AuditList, None, "restore")?;
        let mut tx = ledger.write(&scope).await?;
        let id = revision::renew(&mut tx).await?;
        let committed = tx.commit().await?;
        ledger.close().await;
        Ok((id, committed.revision.unwrap_or_default()))
    })?;
    output::print(&format!("ledger {id} renewed at revision {revision}\n"))?;
    Ok(Exit::Fine)
}
