//! `portcullis token`: the first token, what a token says, and the keys that sign them.
//!
//! Whoever can read the keys can mint anything: this command asks nobody. Later tokens are minted through the API, which
//! asks who wants them and writes it down.

mod keys;
mod new;
mod own;
mod show;

use std::path::PathBuf;
use std::sync::Arc;

use clap::Subcommand;
pub use own::own;

use super::ledger::{ApiArgs, path, run as with, show as show_list};
use super::{Exit, output};
use portcullis_access::keys::{Keys, default_dir};
use portcullis_access::token::{AUDIENCE, ISSUER, Names, Tokens};

const EXAMPLES: &str = "\
Examples:
  portcullis token new --subject me --role admin > token            the first one, for an hour
  portcullis token new --subject gate-1 --role service --cluster-id UUID   for a gate of a cluster
  portcullis token show token                                       what does it say, and is it good?
  portcullis token list                                             what the ledger's API has minted
  portcullis token keys rotate                                      a new key, which signs in a minute

These are for whoever holds the keys. Everybody else asks the API: POST /api/v1/tokens.";

/// Words of `portcullis token`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(flatten)]
    place: Place,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Mint a token and print it
    New(new::Args),
    /// Say what a token says, and whether it is good
    Show(show::Args),
    /// List the tokens that the ledger's API has minted and that have not ended
    List(ListArgs),
    /// List or rotate the keys that sign tokens
    Keys(keys::Args),
}

/// Where the keys are, and under which names they sign.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Keys")]
struct Place {
    /// Directory of the keys, the server's `--token-keys`; by default, as there, in the user's data folder
    #[arg(long = "keys", global = true, value_name = "DIR", env = "PORTCULLIS_TOKEN_KEYS")]
    dir: Option<PathBuf>,

    /// Who issues, the server's `--token-issuer`
    #[arg(long, global = true, value_name = "NAME", env = "PORTCULLIS_TOKEN_ISSUER", default_value = ISSUER)]
    issuer: String,

    /// Whom tokens are for, the server's `--token-audience`
    #[arg(long, global = true, value_name = "NAME", env = "PORTCULLIS_TOKEN_AUDIENCE", default_value = AUDIENCE)]
    audience: String,
}

impl Place {
    fn dir(&self) -> anyhow::Result<PathBuf> {
        Ok(self.dir.clone().map_or_else(default_dir, Ok)?)
    }

    /// Signs, or verifies, with these keys.
    fn tokens(&self, keys: Keys) -> anyhow::Result<Tokens> {
        let names = Names::new(&self.issuer, &self.audience)?;
        Ok(Tokens::new(Arc::new(keys), names))
    }
}

/// Runs a command.
///
/// # Errors
/// See each of them.
pub fn run(args: Args) -> anyhow::Result<Exit> {
    let Args { place, command } = args;
    match command {
        Command::New(args) => new::run(args, &place),
        Command::Show(args) => show::run(&args, &place),
        Command::List(args) => list(&args.api),
        Command::Keys(args) => keys::run(&args, &place),
    }
}

/// Words of `portcullis token list`.
#[derive(Debug, clap::Args)]
struct ListArgs {
    #[command(flatten)]
    api: ApiArgs,
}

const COLUMNS: [show_list::Column; 6] = [
    ("jti", "jti"),
    ("subject", "subject"),
    ("roles", "roles"),
    ("minted by", "mintedBy"),
    ("expires", "expiresAt"),
    ("revoked", "revoked"),
];

/// What `portcullis token new` has made is in no ledger.
fn list(api: &ApiArgs) -> anyhow::Result<Exit> {
    with(api, |client| {
        show_list::list(client, &COLUMNS, &client.list(&path::url(&["tokens"]))?)?;
        Ok(Exit::Fine)
    })
}

/// A time for people, from unix seconds.
fn time(seconds: i64) -> String {
    jiff::Timestamp::from_second(seconds).map_or_else(|_| "?".to_owned(), |time| time.to_string())
}
