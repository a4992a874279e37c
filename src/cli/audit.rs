//! `portcullis audit`: is the past as it was written?

use clap::Subcommand;

use super::database::{Database, block_on};
use super::output::{BAD, GOOD, TextOrJson};
use super::{Exit, output};
use portcullis_access::{Action, Identity, authorize};
use portcullis_store::audit::{self, Chain, Report};
use portcullis_store::{Ledger, Options};

const EXAMPLES: &str = "\
Examples:
  portcullis audit verify
  portcullis audit verify --database postgres://portcullis@db/portcullis --output json > heads.json

Exit codes: 0 every chain is intact, 1 one is not, 2 the ledger cannot be read";

/// Words of `portcullis audit`.
#[derive(Debug, clap::Args)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub struct Args {
    #[command(subcommand)]
    word: Word,
}

#[derive(Debug, Subcommand)]
enum Word {
    /// Walk the hash chains of the audit log, and say what that proves
    Verify(Verify),
}

/// Flags of `audit verify`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
struct Verify {
    #[command(flatten)]
    database: Database,

    /// For people or for programs
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    output: TextOrJson,
}

/// Verifies.
///
/// # Errors
/// The ledger cannot be read, or its schema is not this program's.
pub fn run(args: Args) -> anyhow::Result<Exit> {
    let Word::Verify(Verify { database, output }) = args.word;
    let url = database.url()?;
    let report = block_on(async {
        let options = Options { connections: 1, migrate: false, ..Options::default() };
        let ledger = Ledger::open(&url, &options).await?;
        let scope = authorize(&Identity::process("audit-verify"), Action::AuditList, None, "audit-verify")?;
        let report = audit::verify(&mut ledger.read(&scope).await?).await?;
        ledger.close().await;
        Ok(report)
    })?;
    match output {
        TextOrJson::Json => output::print_json(&report)?,
        TextOrJson::Text => output::print(&told(&report))?,
    }
    Ok(Exit::findings(!report.is_intact()))
}

fn told(report: &Report) -> String {
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
    format!("{text}\n{}\n", audit::PROVES)
}
