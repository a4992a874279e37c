//! `portcullis backup` writes a ledger to one file, which `portcullis restore` puts back on either database.

use std::fs::File;
use std::io::{BufWriter, IsTerminal as _, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::database::{Database, block_on};
use super::{Exit, output};
use portcullis_access::{Action, Identity, authorize};
use portcullis_store::backup::{Restore, Restored, Summary, check};
use portcullis_store::envelope::MasterKey;
use portcullis_store::{Ledger, Options};

const BACKUP_EXAMPLES: &str = "\
Examples:
  portcullis backup ledger.backup.gz                                      the ledger in the user's data folder
  portcullis backup --database postgres://portcullis@db/portcullis /backups/$(date +%F).backup.gz
  portcullis backup - | ssh backups.example 'cat > ledger.backup.gz'
  portcullis restore --check ledger.backup.gz                             check it and show its contents

The file holds one consistent revision of the whole ledger and restores on SQLite and on PostgreSQL: protect it like the
database. Secrets stay encrypted in it, and the master key is not in it.

Exit codes: 0 written, 2 the ledger cannot be read or the file cannot be written";

#[derive(Debug, clap::Args)]
#[command(after_help = BACKUP_EXAMPLES)]
pub struct BackupArgs {
    /// Backup file, which must not exist; `-` is standard output
    #[arg(value_name = "FILE")]
    file: PathBuf,

    #[command(flatten)]
    database: Database,

    /// Master key file: check that it decrypts every secret, and record its id in the backup
    #[arg(long, env = "PORTCULLIS_MASTER_KEY_FILE", value_name = "FILE")]
    master_key_file: Option<PathBuf>,
}

pub fn backup(args: BackupArgs) -> anyhow::Result<Exit> {
    let BackupArgs { file, database, master_key_file } = args;
    let url = database.url()?;
    let key = master_key_file.as_deref().map(MasterKey::read).transpose()?;
    if file.as_os_str() == "-" {
        if std::io::stdout().is_terminal() {
            bail!("a backup is binary; name a file or redirect standard output");
        }
        let (summary, _) = write(&url, key.as_ref(), std::io::stdout().lock())?;
        output::say(&summary_text(&summary));
        return Ok(Exit::Ok);
    }
    if file.exists() {
        bail!("`{}` exists; name another file", file.display());
    }
    let temporary_name = temporary_name(&file);
    let summary = to_file(&url, key.as_ref(), &temporary_name)
        .and_then(|summary| std::fs::rename(&temporary_name, &file).map(|()| summary).map_err(Into::into))
        .inspect_err(|_| drop(std::fs::remove_file(&temporary_name)))
        .with_context(|| format!("`{}` was not written", file.display()))?;
    let bytes = std::fs::metadata(&file)?.len();
    output::print(&format!("{}{} written, {bytes} bytes\n", summary_text(&summary), file.display()))?;
    Ok(Exit::Ok)
}

fn to_file(url: &str, key: Option<&MasterKey>, temporary_name: &Path) -> anyhow::Result<Summary> {
    let out = File::options().write(true).create(true).truncate(true).mode(0o600).open(temporary_name)?;
    let (summary, out) = write(url, key, BufWriter::new(out))?;
    out.into_inner().map_err(std::io::IntoInnerError::into_error)?.sync_all()?;
    Ok(summary)
}

fn temporary_name(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".part");
    name.into()
}

fn write<W: Write>(url: &str, key: Option<&MasterKey>, out: W) -> anyhow::Result<(Summary, W)> {
    block_on(async {
        let options = Options { connections: 1, migrate: false, ..Options::default() };
        let ledger = Ledger::connect(url, &options).await?;
        let bar = Progress::begin();
        let written = ledger.backup(out, key, &mut |table, rows| bar.tell(table, rows)).await;
        bar.end();
        ledger.close().await;
        Ok(written?)
    })
}

fn summary_text(summary: &Summary) -> String {
    let head = &summary.head;
    let counts = ["tenant", "project", "app", "sandbox", "namespace"].map(|thing| {
        let table = if thing == "sandbox" { "sandboxes".to_owned() } else { format!("{thing}s") };
        format!("{} {table}", summary.count(&table))
    });
    let audited = summary.count("audit_log");
    let sealed = match (summary.sealed, &head.master_key) {
        (0, _) => String::new(),
        (sealed, Some(key)) => format!(
            "  {sealed} encrypted secrets, which need the master key {key}; a backup never contains it\n"
        ),
        (sealed, None) => format!(
            "  {sealed} encrypted secrets, which need the master key of the API (--master-key-file); a backup never contains it\n"
        ),
    };
    format!(
        "ledger {} at revision {}, from {} at {} by portcullis {}\n  {}, {audited} audit rows\n{sealed}  sha256 {}\n",
        head.ledger,
        head.revision,
        head.database,
        head.created_at,
        head.program,
        counts.join(", "),
        summary.sha256
    )
}

/// Shown on a terminal only.
struct Progress(ProgressBar);

impl Progress {
    fn begin() -> Self {
        let bar = ProgressBar::no_length();
        if !std::io::stderr().is_terminal() {
            bar.set_draw_target(ProgressDrawTarget::hidden());
        }
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} {elapsed}") {
            bar.set_style(style);
        }
        bar.enable_steady_tick(std::time::Duration::from_millis(200));
        Self(bar)
    }

    fn tell(&self, what: &str, rows: u64) {
        let message = if rows == 0 { what.to_owned() } else { format!("{what}: {rows} rows") };
        self.0.set_message(message);
    }

    fn end(self) {
        self.0.finish_and_clear();
    }
}

const RESTORE_EXAMPLES: &str = "\
Examples:
  portcullis restore --check ledger.backup.gz                             check it and show its contents
  portcullis restore ledger.backup.gz                                     into an empty ledger in the user's data folder
  portcullis restore --database postgres://portcullis@db/portcullis ledger.backup.gz
  portcullis restore --replace 018f2b7c-0000-7000-8000-000000000001 ledger.backup.gz
  portcullis restore --renew                                              after the database was restored by other means

All of it is one transaction: if the file is cut off, damaged, or of a newer program, the database stays as it was. The
ledger gets a new id and a higher revision, so that every gate takes it as a whole. Tokens that were revoked, and tenants that
were suspended, since the backup are so no more: docs/operations.md says what to look at.

Exit codes: 0 restored, 1 restored, but its audit log or an entry of it is not as it should be, 2 nothing was changed";

#[derive(Debug, clap::Args)]
#[command(after_help = RESTORE_EXAMPLES)]
pub struct RestoreArgs {
    /// Backup file
    #[arg(value_name = "FILE", required_unless_present = "renew")]
    file: Option<PathBuf>,

    #[command(flatten)]
    database: Database,

    /// Replace the ledger with this id in the database; without it the database must be empty
    #[arg(long, value_name = "LEDGER", conflicts_with_all = ["check", "renew"])]
    replace: Option<String>,

    /// Only check that the backup is complete, and show its contents
    #[arg(long, conflicts_with = "renew")]
    check: bool,

    /// Restore nothing: give the ledger in the database a new id, after it was restored by other means
    #[arg(long, conflicts_with = "file")]
    renew: bool,

    /// Master key file: check that it decrypts every secret
    #[arg(long, env = "PORTCULLIS_MASTER_KEY_FILE", value_name = "FILE")]
    master_key_file: Option<PathBuf>,
}

pub fn restore(args: RestoreArgs) -> anyhow::Result<Exit> {
    let RestoreArgs { file, database, replace, check: only_check, renew, master_key_file } = args;
    let Some(file) = file.filter(|_| !renew) else { return renew_in_place(&database) };
    let open = || File::open(&file);
    let shown = file.display();
    let key = master_key_file.as_deref().map(MasterKey::read).transpose()?;
    if only_check {
        let summary = open().map_err(Into::into).and_then(check).with_context(|| format!("`{shown}`"))?;
        if let Some(key) = &key {
            summary.opens_with(key).with_context(|| format!("`{shown}`"))?;
        }
        output::print(&format!("{}{shown} is complete\n", summary_text(&summary)))?;
        return Ok(Exit::Ok);
    }
    let url = database.url()?;
    let restored = block_on(async {
        let options = Options { connections: 1, ..Options::default() };
        let ledger = Ledger::connect(&url, &options).await?;
        let how = Restore { replace: replace.as_deref(), key: key.as_ref() };
        let bar = Progress::begin();
        let restored = ledger.restore(open, &how, &mut |what, rows| bar.tell(what, rows)).await;
        bar.end();
        ledger.close().await;
        restored.with_context(|| format!("`{shown}` was not restored"))
    })?;
    output::print(&restored_text(&restored))?;
    Ok(Exit::findings(!restored.audit.is_intact() || !restored.unreadable.is_empty()))
}

fn restored_text(restored: &Restored) -> String {
    let Restored { backup, ledger, revision, replaced, audit, unreadable } = restored;
    let mut text = summary_text(backup);
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
        let id = tx.renew_ledger().await?;
        let committed = tx.commit().await?;
        ledger.close().await;
        Ok((id, committed.revision.unwrap_or_default()))
    })?;
    output::print(&format!("ledger {id} renewed at revision {revision}\n"))?;
    Ok(Exit::Ok)
}
