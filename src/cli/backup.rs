//! `portcullis backup`: the ledger as one file, that restores on either database.

use std::fs::File;
use std::io::{BufWriter, IsTerminal as _, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::database::{Database, block_on};
use super::{Exit, output};
use portcullis_store::backup::Summary;
use portcullis_store::seal::MasterKey;
use portcullis_store::{Ledger, Options};

const EXAMPLES: &str = "\
Examples:
  portcullis backup ledger.backup.gz                                      the ledger in the user's data folder
  portcullis backup --database postgres://portcullis@db/portcullis /backups/$(date +%F).backup.gz
  portcullis backup - | ssh backups.example 'cat > ledger.backup.gz'
  portcullis restore --check ledger.backup.gz                             is it whole, and what is in it?

The file is one consistent revision, whatever is written meanwhile, and restores on SQLite and on PostgreSQL. It holds all of
the ledger: keep it as you keep the database. Sealed secrets stay sealed in it, and the master key is not in it.

Exit codes: 0 written, 2 the ledger cannot be read or the file not be written";

/// Flags of `backup`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The file, which must not exist; `-` is standard output
    #[arg(value_name = "FILE")]
    file: PathBuf,

    #[command(flatten)]
    database: Database,

    /// File of the key that secrets are sealed with: make sure that they open with it, and name it in the file
    #[arg(long, env = "PORTCULLIS_MASTER_KEY_FILE", value_name = "FILE")]
    master_key_file: Option<PathBuf>,
}

/// Writes it.
///
/// # Errors
/// The ledger cannot be read, or the file not be written; what is half written is removed.
pub fn run(args: Args) -> anyhow::Result<Exit> {
    let Args { file, database, master_key_file } = args;
    let url = database.url()?;
    let key = master_key_file.as_deref().map(MasterKey::read).transpose()?;
    if file.as_os_str() == "-" {
        if std::io::stdout().is_terminal() {
            bail!("a backup is no text for a terminal: name a file, or lead it into one");
        }
        let (summary, _) = write(&url, key.as_ref(), std::io::stdout().lock())?;
        output::say(&told(&summary));
        return Ok(Exit::Fine);
    }
    if file.exists() {
        bail!("`{}` exists; name another file", file.display());
    }
    let aside = aside(&file);
    let summary = to_file(&url, key.as_ref(), &aside)
        .and_then(|summary| std::fs::rename(&aside, &file).map(|()| summary).map_err(Into::into))
        .inspect_err(|_| drop(std::fs::remove_file(&aside)))
        .with_context(|| format!("`{}` was not written", file.display()))?;
    let bytes = std::fs::metadata(&file)?.len();
    output::print(&format!("{}{} written, {bytes} bytes\n", told(&summary), file.display()))?;
    Ok(Exit::Fine)
}

fn to_file(url: &str, key: Option<&MasterKey>, aside: &Path) -> anyhow::Result<Summary> {
    let out = File::options().write(true).create(true).truncate(true).mode(0o600).open(aside)?;
    let (summary, out) = write(url, key, BufWriter::new(out))?;
    out.into_inner().map_err(std::io::IntoInnerError::into_error)?.sync_all()?;
    Ok(summary)
}

fn aside(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".part");
    name.into()
}

fn write<W: Write>(url: &str, key: Option<&MasterKey>, out: W) -> anyhow::Result<(Summary, W)> {
    block_on(async {
        let options = Options { connections: 1, migrate: false, ..Options::default() };
        let ledger = Ledger::connect(url, &options).await?;
        let bar = Bar::begin();
        let written = ledger.backup(out, key, &mut |table, rows| bar.tell(table, rows)).await;
        bar.end();
        ledger.close().await;
        Ok(written?)
    })
}

/// What is in a file, in a few lines.
pub fn told(summary: &Summary) -> String {
    let head = &summary.head;
    let counts = ["tenant", "project", "app", "sandbox", "namespace"].map(|thing| {
        let table = if thing == "sandbox" { "sandboxes".to_owned() } else { format!("{thing}s") };
        format!("{} {table}", summary.count(&table))
    });
    let audited = summary.count("audit_log");
    let sealed = match (summary.sealed, &head.master_key) {
        (0, _) => String::new(),
        (sealed, Some(key)) => format!(
            "  {sealed} sealed secrets, which open only with the master key {key}; it is in no backup\n"
        ),
        (sealed, None) => format!(
            "  {sealed} sealed secrets, which open only with the master key of the API (--master-key-file); it is in no backup\n"
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

/// A line that says how far it is, on a terminal only.
pub struct Bar(ProgressBar);

impl Bar {
    /// Begins one.
    pub fn begin() -> Self {
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

    /// Tells how far it is.
    pub fn tell(&self, what: &str, rows: u64) {
        let message = if rows == 0 { what.to_owned() } else { format!("{what}: {rows} rows") };
        self.0.set_message(message);
    }

    /// Takes it away.
    pub fn end(self) {
        self.0.finish_and_clear();
    }
}
