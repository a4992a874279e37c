//! `portcullis migrate`: the ledger's schema, brought up to date or only looked at.

use std::fmt::Write as _;

use super::database::{Database, block_on, called};
use super::{Exit, output};
use portcullis_store::migrate::{self, Migration};
use portcullis_store::{Ledger, Options};

const EXAMPLES: &str = "\
Examples:
  portcullis migrate                                                      the ledger in the user's data folder
  portcullis migrate --database postgres://portcullis@db/portcullis
  portcullis migrate --check || portcullis migrate                        only where something is missing

Two at once are safe: one waits for the other and finds nothing left to do. What is missing is applied as a whole or not
at all.

Exit codes: 0 up to date, 1 with --check: something is missing, 2 the database cannot be reached or is not ours";

/// Flags of `migrate`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(flatten)]
    database: Database,

    /// Change nothing; say what is missing
    #[arg(long)]
    check: bool,
}

/// Migrates, or checks.
///
/// # Errors
/// The database cannot be reached, is newer than this program, or lacks roles that this login may not make.
pub fn run(args: Args) -> anyhow::Result<Exit> {
    let Args { database, check } = args;
    let url = database.url()?;
    block_on(async {
        let options = Options { connections: 1, ..Options::default() };
        let ledger = Ledger::connect(&url, &options).await?;
        let all = migrate::all(ledger.kind());
        let found = if check { ledger.pending().await? } else { ledger.migrate(all).await? };
        output::print(&told(&found, if check { "missing" } else { "applied" }))?;
        if found.is_empty() || !check {
            output::print(&format!("the ledger is up to date ({})\n", called(ledger.kind())))?;
        }
        ledger.close().await;
        Ok(Exit::findings(check && !found.is_empty()))
    })
}

fn told(migrations: &[Migration], what: &str) -> String {
    let mut text = String::new();
    for Migration { version, name, .. } in migrations {
        let _ = writeln!(text, "{what} {version} {name}");
    }
    text
}
