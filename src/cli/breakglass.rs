//! `portcullis breakglass`: when the law stands between people and an outage, somebody who holds the key lifts it, by
//! name, for hours, with a reason; and everybody sees it.

mod file;
mod open;

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Subcommand;
use serde_json::Value as Json;
use ureq::http::Method;

use super::ledger::{ApiArgs, path, run as with, show};
use super::{Exit, output};
use portcullis_access::signature;

const EXAMPLES: &str = "\
Examples:
  portcullis breakglass key breakglass.key                      a key pair: breakglass.key and breakglass.key.pub
  portcullis serve --breakglass-key breakglass.key.pub …        the gate believes whoever holds it
  portcullis breakglass open --key breakglass.key --ttl 1h --reason 'INC-7: the shop is down' \\
      --person kim@example.com --namespace tn-acme-shop-app-frontend --law app-namespace-read-only
  portcullis breakglass list
  portcullis breakglass close 0190a0a0-0000-7000-8000-000000000001

With --file FILE a document goes into that file, which the gate follows by its own --breakglass, and nothing else of ours
needs to run. Without it, it goes through the ledger's API.";

const COLUMNS: [show::Column; 5] = [
    ("id", "id"),
    ("opened by", "openedBy"),
    ("expires", "expires"),
    ("closed", "closedAt"),
    ("reason", "document.reason"),
];

/// Words of `portcullis breakglass`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(flatten)]
    api: ApiArgs,
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Make a key pair: FILE for whoever may open, FILE.pub for the gates
    Key {
        /// Where the private key goes; it must not be there yet
        file: PathBuf,
    },
    /// Sign a document and deliver it
    Open(open::Args),
    /// Close a document before its time
    Close {
        /// Its id
        id: String,
        /// The file that the gate follows, instead of the ledger
        #[arg(long, value_name = "FILE")]
        file: Option<PathBuf>,
    },
    /// List documents, those that are over too
    List {
        /// The file that the gate follows, instead of the ledger
        #[arg(long, value_name = "FILE")]
        file: Option<PathBuf>,
    },
}

/// Runs it.
///
/// # Errors
/// A file cannot be read or written, or see [`super::ledger::run`].
pub fn run(args: Args) -> anyhow::Result<Exit> {
    let Args { api, what } = args;
    match what {
        What::Key { file } => key(&file),
        What::Open(args) => open::run(args, &api),
        What::Close { id, file: Some(file) } => file::close(&file, &id),
        What::Close { id, file: None } => with(&api, |client| {
            let at = path::url(&["breakglass", &format!("{id}:close")]);
            let closed = client.send(&Method::POST, &at, None, None)?.body;
            show::done(client, &format!("break-glass {id} is closed"), &closed)?;
            Ok(Exit::Fine)
        }),
        What::List { file: Some(file) } => file::list(&file, api.output),
        What::List { file: None } => with(&api, |client| {
            show::list(client, &COLUMNS, &client.list(&path::url(&["breakglass"]))?)?;
            Ok(Exit::Fine)
        }),
    }
}

fn key(file: &Path) -> anyhow::Result<Exit> {
    let (private, public) = signature::make()?;
    let mut name = file.as_os_str().to_owned();
    name.push(".pub");
    let beside = PathBuf::from(name);
    for (path, text, mode) in [(file, private, 0o600), (&beside, public, 0o644)] {
        // Never over a key that is there: what it signed would verify no more.
        let made = OpenOptions::new().write(true).create_new(true).mode(mode).open(path);
        made.and_then(|mut file| file.write_all(text.as_bytes()))
            .with_context(|| format!("cannot write `{}`", path.display()))?;
    }
    output::note(format!(
        "{} signs; {} is for --breakglass-key of the gates",
        file.display(),
        beside.display()
    ));
    Ok(Exit::Fine)
}

/// The body of `POST /api/v1/breakglass`.
fn body(document: &portcullis_tenancy::breakglass::Document, signature: &str) -> Json {
    serde_json::json!({ "document": document, "signature": signature })
}
