//! `portcullis master-key`: secrets in a ledger are sealed with another key.

use std::path::PathBuf;

use clap::Subcommand;
use serde_json::json;

use super::database::{Database, block_on};
use super::output::TextOrJson;
use super::{Exit, output};
use portcullis_access::{Action, Identity, authorize};
use portcullis_store::rekey::{self, Rotated};
use portcullis_store::seal::MasterKey;
use portcullis_store::{Ledger, Options};

const EXAMPLES: &str = "\
Examples:
  openssl rand -hex 32 > new.key && chmod 600 new.key
  portcullis master-key rotate --old-key-file old.key --new-key-file new.key

Give the servers the new key first (`--master-key-file`): they only seal. Then rotate, and again until nothing is left to
do; a rotation that was broken off goes on where it was. Only then destroy the old key.

Exit codes: 0 everything is under the new key, 1 something is not, 2 the ledger or a key cannot be read";

/// Words of `portcullis master-key`.
#[derive(Debug, clap::Args)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub struct Args {
    #[command(subcommand)]
    word: Word,
}

#[derive(Debug, Subcommand)]
enum Word {
    /// Encrypt the key of every secret under a new master key
    Rotate(Rotate),
}

/// Flags of `master-key rotate`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
struct Rotate {
    #[command(flatten)]
    database: Database,

    /// File of the master key so far
    #[arg(long, value_name = "FILE")]
    old_key_file: PathBuf,

    /// File of the master key from now on
    #[arg(long, value_name = "FILE")]
    new_key_file: PathBuf,

    /// For people or for programs
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    output: TextOrJson,
}

/// Rotates.
///
/// # Errors
/// The ledger or a key cannot be read, or its schema is not this program's.
pub fn run(args: Args) -> anyhow::Result<Exit> {
    let Word::Rotate(Rotate { database, old_key_file, new_key_file, output }) = args.word;
    let (old, new) = (MasterKey::read(&old_key_file)?, MasterKey::read(&new_key_file)?);
    let url = database.url()?;
    let rotated = block_on(async {
        let options = Options { connections: 1, migrate: false, ..Options::default() };
        let ledger = Ledger::open(&url, &options).await?;
        let who = Identity::process("master-key");
        let scope = authorize(&who, Action::ClustersUpdate, None, "portcullis master-key rotate")?;
        let rotated = rekey::rotate(&ledger, &scope, &old, &new).await?;
        ledger.close().await;
        Ok(rotated)
    })?;
    let Rotated { rewrapped, already, broken, changed } = &rotated;
    match output {
        TextOrJson::Json => output::print_json(&json!({
            "rewrapped": rewrapped, "already": already, "broken": broken, "changed": changed,
        }))?,
        TextOrJson::Text => output::print(&told(&rotated))?,
    }
    Ok(Exit::findings(!broken.is_empty() || *changed > 0))
}

fn told(Rotated { rewrapped, already, broken, changed }: &Rotated) -> String {
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
