//! The commands that work on a ledger's database itself: `migrate`, `audit verify` and `master-key rotate`.

use std::fmt::Write as _;
use std::future::Future;
use std::path::PathBuf;

use clap::Subcommand;
use serde_json::json;

use super::Exit;
use super::output::{self, BAD, GOOD, TextOrJson};
use portcullis_access::{Action, Identity, authorize};
use portcullis_store::audit::{self as audit_chains, Chain, Report};
use portcullis_store::envelope::MasterKey;
use portcullis_store::key_rotation::{self, RotationSummary};
use portcullis_store::migrate::{self as migrations, Migration};
use portcullis_store::{Kind, Ledger, Options, default_url};

#[derive(Debug, clap::Args)]
pub struct Database {
    /// Database of the ledger: `sqlite:PATH` or `postgres://…`. By default a file in the user's data folder
    #[arg(long, env = "PORTCULLIS_DATABASE", value_name = "URL", hide_env_values = true)]
    database: Option<String>,
}

impl Database {
    pub fn url(&self) -> anyhow::Result<String> {
        Ok(match &self.database {
            Some(url) => url.clone(),
            None => default_url()?,
        })
    }
}

pub const fn called(kind: Kind) -> &'static str {
    match kind {
        Kind::Sqlite => "SQLite",
        Kind::Postgres => "PostgreSQL",
    }
}

pub fn block_on<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(work)
}

const MIGRATE_EXAMPLES: &str = "\
Examples:
  portcullis migrate                                                      the ledger in the user's data folder
  portcullis migrate --database postgres://portcullis@db/portcullis
  portcullis migrate --check || portcullis migrate                        only where something is missing

Two at once are safe: one waits for the other and finds nothing left to do. What is missing is applied as a whole or not
at all.

Exit codes: 0 up to date, 1 with --check: something is missing, 2 the database cannot be reached or is not ours";

#[derive(Debug, clap::Args)]
#[command(after_help = MIGRATE_EXAMPLES)]
pub struct MigrateArgs {
    #[command(flatten)]
    database: Database,

    /// Change nothing and list the missing migrations
    #[arg(long)]
    check: bool,
}

pub fn migrate(args: MigrateArgs) -> anyhow::Result<Exit> {
    let MigrateArgs { database, check } = args;
    let url = database.url()?;
    block_on(async {
        let options = Options { connections: 1, ..Options::default() };
        let ledger = Ledger::connect(&url, &options).await?;
        let all = migrations::all(ledger.kind());
        let found = if check { ledger.pending().await? } else { ledger.migrate(all).await? };
        output::print(&migrations_text(&found, if check { "missing" } else { "applied" }))?;
        if found.is_empty() || !check {
            output::print(&format!("the ledger is up to date ({})\n", called(ledger.kind())))?;
        }
        ledger.close().await;
        Ok(Exit::findings(check && !found.is_empty()))
    })
}

fn migrations_text(migrations: &[Migration], what: &str) -> String {
    let mut text = String::new();
    for Migration { version, name, .. } in migrations {
        let _ = writeln!(text, "{what} {version} {name}");
    }
    text
}

const AUDIT_EXAMPLES: &str = "\
Examples:
  portcullis audit verify
  portcullis audit verify --database postgres://portcullis@db/portcullis --output json > heads.json

Exit codes: 0 every chain is intact, 1 one is not, 2 the ledger cannot be read";

#[derive(Debug, clap::Args)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub struct AuditArgs {
    #[command(subcommand)]
    command: AuditCommand,
}

#[derive(Debug, Subcommand)]
enum AuditCommand {
    /// Verify the hash chains of the audit log, and report what they prove
    Verify(Verify),
}

#[derive(Debug, clap::Args)]
#[command(after_help = AUDIT_EXAMPLES)]
struct Verify {
    #[command(flatten)]
    database: Database,

    /// Output format
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    output: TextOrJson,
}

pub fn audit(args: AuditArgs) -> anyhow::Result<Exit> {
    let AuditCommand::Verify(Verify { database, output }) = args.command;
    let url = database.url()?;
    let report = block_on(async {
        let options = Options { connections: 1, migrate: false, ..Options::default() };
        let ledger = Ledger::open(&url, &options).await?;
        let scope = authorize(&Identity::process("audit-verify"), Action::AuditList, None, "audit-verify")?;
        let report = audit_chains::verify(&mut ledger.read(&scope).await?).await?;
        ledger.close().await;
        Ok(report)
    })?;
    match output {
        TextOrJson::Json => output::print_json(&report)?,
        TextOrJson::Text => output::print(&audit_text(&report))?,
    }
    Ok(Exit::findings(!report.is_intact()))
}

fn audit_text(report: &Report) -> String {
    let mut table = output::table(&["chain", "rows", "head", "hash", "found"]);
    for Chain { chain, rows, seq, hash, anchored_at, fault } in &report.chains {
        let found = match fault {
            Some(fault) => format!("{BAD}{fault}{BAD:#}"),
            None if *anchored_at > 0 => format!("{GOOD}intact{GOOD:#} since {anchored_at}"),
            None => format!("{GOOD}intact{GOOD:#}"),
        };
        table.add_row([chain.clone(), rows.to_string(), seq.to_string(), hash.clone(), found]);
    }
    let mut text = output::lines(&table);
    for trigger in &report.unguarded {
        text.push_str(&format!("{BAD}the trigger `{trigger}` is missing or disabled{BAD:#}\n"));
    }
    format!("{text}\n{}\n", audit_chains::PROVES)
}

const MASTERKEY_EXAMPLES: &str = "\
Examples:
  openssl rand -hex 32 > new.key && chmod 600 new.key
  portcullis master-key rotate --old-key-file old.key --new-key-file new.key

Give the servers the new key first (`--master-key-file`): they only seal. Then rotate, and again until nothing is left to
do; a rotation that was broken off goes on where it was. Only then destroy the old key.

Exit codes: 0 everything is under the new key, 1 something is not, 2 the ledger or a key cannot be read";

#[derive(Debug, clap::Args)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub struct MasterKeyArgs {
    #[command(subcommand)]
    command: MasterKeyCommand,
}

#[derive(Debug, Subcommand)]
enum MasterKeyCommand {
    /// Encrypt the data key of every secret with a new master key
    Rotate(Rotate),
}

#[derive(Debug, clap::Args)]
#[command(after_help = MASTERKEY_EXAMPLES)]
struct Rotate {
    #[command(flatten)]
    database: Database,

    /// File of the old master key
    #[arg(long, value_name = "FILE")]
    old_key_file: PathBuf,

    /// File of the new master key
    #[arg(long, value_name = "FILE")]
    new_key_file: PathBuf,

    /// Output format
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    output: TextOrJson,
}

pub fn master_key(args: MasterKeyArgs) -> anyhow::Result<Exit> {
    let MasterKeyCommand::Rotate(Rotate { database, old_key_file, new_key_file, output }) = args.command;
    let (old, new) = (MasterKey::read(&old_key_file)?, MasterKey::read(&new_key_file)?);
    let url = database.url()?;
    let rotated = block_on(async {
        let options = Options { connections: 1, migrate: false, ..Options::default() };
        let ledger = Ledger::open(&url, &options).await?;
        let who = Identity::process("master-key");
        let scope = authorize(&who, Action::ClustersUpdate, None, "portcullis master-key rotate")?;
        let rotated = key_rotation::rotate(&ledger, &scope, &old, &new).await?;
        ledger.close().await;
        Ok(rotated)
    })?;
    let RotationSummary { rewrapped, already, broken, changed } = &rotated;
    match output {
        TextOrJson::Json => output::print_json(&json!({
            "rewrapped": rewrapped, "already": already, "broken": broken, "changed": changed,
        }))?,
        TextOrJson::Text => output::print(&rotation_text(&rotated))?,
    }
    Ok(Exit::findings(!broken.is_empty() || *changed > 0))
}

fn rotation_text(RotationSummary { rewrapped, already, broken, changed }: &RotationSummary) -> String {
    let mut text = format!("{rewrapped} secrets encrypted under the new key, {already} were already\n");
    for name in broken {
        text +=
            &format!("cluster/{name}: its kubeconfig opens with neither key; replace it, or give the key\n");
    }
    if *changed > 0 {
        text += &format!("{changed} secrets changed meanwhile; run it again\n");
    }
    text
}
