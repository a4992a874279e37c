//! `portcullis breakglass`: temporarily bypasses named policies for named users in named namespaces, by a signed document.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, bail};
use clap::Subcommand;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value as Json, json};
use ureq::http::Method;

use super::ledger::show::{self, Format};
use super::ledger::{ApiArgs, path, run as with};
use super::{Exit, output};
use crate::cli::serve::breakglass::Documents;
use portcullis_access::signature;
use portcullis_server::args::Span;
use portcullis_tenancy::breakglass::{BreakglassEntry, Document};

const EXAMPLES: &str = "\
Examples:
  portcullis breakglass key breakglass.key                      create a key pair: breakglass.key and breakglass.key.pub
  portcullis serve --breakglass-key breakglass.key.pub …        start a gate that trusts the public key
  portcullis breakglass open --key breakglass.key --ttl 1h --reason 'INC-7: the shop is down' \\
      --user kim@example.com --namespace tn-acme-shop-app-frontend --policy app-namespace-read-only
  portcullis breakglass list
  portcullis breakglass close 0190a0a0-0000-7000-8000-000000000001

With --file FILE the document is written to the file of the gate's --breakglass, which needs no ledger. Without it, the
document is sent to the ledger's API.";

const COLUMNS: [show::Column; 5] = [
    ("id", "id"),
    ("opened by", "openedBy"),
    ("expires", "expires"),
    ("closed", "closedAt"),
    ("reason", "document.reason"),
];

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(flatten)]
    api: ApiArgs,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Create a key pair: FILE to sign documents, FILE.pub for the gates
    Key {
        /// File for the private key; it must not exist
        file: PathBuf,
    },
    /// Sign a document and deliver it to the ledger or to a file
    Open(OpenArgs),
    /// Close a document before it expires
    Close {
        /// Id of the document
        id: String,
        /// The file of the gate's --breakglass, instead of the ledger
        #[arg(long, value_name = "FILE")]
        file: Option<PathBuf>,
    },
    /// List documents, including expired and closed ones
    List {
        /// The file of the gate's --breakglass, instead of the ledger
        #[arg(long, value_name = "FILE")]
        file: Option<PathBuf>,
    },
}

pub fn run(args: Args) -> anyhow::Result<Exit> {
    let Args { api, command } = args;
    match command {
        Command::Key { file } => key(&file),
        Command::Open(args) => open(args, &api),
        Command::Close { id, file: Some(file) } => close_in_file(&file, &id),
        Command::Close { id, file: None } => with(&api, |client| {
            let at = path::url(&["breakglass", &format!("{id}:close")]);
            let closed = client.send(&Method::POST, &at, None, None)?.body;
            show::done(client, &format!("breakglass/{id} closed"), &closed)?;
            Ok(Exit::Ok)
        }),
        Command::List { file: Some(file) } => list_file(&file, api.output),
        Command::List { file: None } => with(&api, |client| {
            show::list(client, &COLUMNS, &client.list(&path::url(&["breakglass"]))?)?;
            Ok(Exit::Ok)
        }),
    }
}

fn key(file: &Path) -> anyhow::Result<Exit> {
    let (private, public) = signature::generate()?;
    let mut name = file.as_os_str().to_owned();
    name.push(".pub");
    let beside = PathBuf::from(name);
    for (path, text, mode) in [(file, private, 0o600), (&beside, public, 0o644)] {
        // `create_new`: an overwritten key would invalidate every signature that it made.
        let made = OpenOptions::new().write(true).create_new(true).mode(mode).open(path);
        made.and_then(|mut file| file.write_all(text.as_bytes()))
            .with_context(|| format!("cannot write `{}`", path.display()))?;
    }
    output::note(format!(
        "{} signs; {} is for --breakglass-key of the gates",
        file.display(),
        beside.display()
    ));
    Ok(Exit::Ok)
}

fn body(document: &portcullis_tenancy::breakglass::Document, signature: &str) -> Json {
    serde_json::json!({ "document": document, "signature": signature })
}

#[derive(Debug, clap::Args)]
pub struct OpenArgs {
    /// The private key, PEM
    #[arg(long, env = "PORTCULLIS_BREAKGLASS_SIGNING_KEY", value_name = "FILE")]
    key: PathBuf,

    /// Username, exact, for whom the policies are bypassed; may be repeated, up to 20 times
    #[arg(long = "user", value_name = "USER", required = true)]
    users: Vec<Arc<str>>,

    /// Namespace, exact; may be repeated, up to 100 times
    #[arg(long = "namespace", value_name = "NAME", required = true)]
    namespaces: Vec<Arc<str>>,

    /// Id of a policy to bypass, as a denial names it; may be repeated, up to 50 times
    #[arg(long = "policy", value_name = "ID", required = true)]
    policies: Vec<Arc<str>>,

    /// Reason, for the audit log
    #[arg(long, value_name = "TEXT")]
    reason: Arc<str>,

    /// How long the bypass holds, at most 8h
    #[arg(long, value_name = "TIME", default_value = "1h")]
    ttl: Span,

    /// The file of the gate's --breakglass, instead of the ledger
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
}

fn open(args: OpenArgs, api: &ApiArgs) -> anyhow::Result<Exit> {
    let OpenArgs { key, users, namespaces, policies, reason, ttl, file } = args;
    let now = Timestamp::now();
    let until = now.checked_add(SignedDuration::try_from(ttl.0)?)?;
    let time = |at: Timestamp| Arc::from(format!("{at:.0}"));
    let document = Document {
        id: uuid::Uuid::now_v7().to_string().into(),
        users,
        namespaces,
        policies,
        reason,
        not_before: time(now),
        expires: time(until),
    };
    if let Err(error) = document.window() {
        bail!("the gate would reject this document: {error}");
    }
    let named = || format!("--key `{}`", key.display());
    let pem = std::fs::read(&key).with_context(|| format!("{}: cannot read it", named()))?;
    let signature = signature::sign(&pem, &document.signed()).with_context(named)?;
    let opened = format!("breakglass/{} open until {}", document.id, document.expires);
    if let Some(file) = file {
        add_to_file(&file, document, signature)?;
        output::note(opened);
        return Ok(Exit::Ok);
    }
    with(api, |client| {
        let at = path::url(&["breakglass"]);
        let created = client.send(&Method::POST, &at, Some(&body(&document, &signature)), None)?.body;
        show::done(client, &opened, &created)?;
        Ok(Exit::Ok)
    })
}

fn add_to_file(path: &Path, document: Document, signature: String) -> anyhow::Result<()> {
    let mut documents = Documents::read(path)?;
    let id = document.id.clone();
    let entry =
        BreakglassEntry { document: Some(document), signature: Some(signature.into()), closed: false };
    documents.breakglass.insert(id, entry);
    write_file(path, &documents)
}

/// Replaces the document by a closed mark, which also closes the ledger's copy of it.
fn close_in_file(path: &Path, id: &str) -> anyhow::Result<Exit> {
    let mut documents = Documents::read(path)?;
    let Some(entry) = documents.breakglass.get_mut(id) else {
        bail!("`{}` holds no break-glass document `{id}`", path.display());
    };
    *entry = BreakglassEntry { document: None, signature: None, closed: true };
    write_file(path, &documents)?;
    output::note(format!("breakglass/{id} closed"));
    Ok(Exit::Ok)
}

fn list_file(path: &Path, format: Format) -> anyhow::Result<Exit> {
    let documents = Documents::read(path)?;
    let items: Vec<_> = documents
        .breakglass
        .iter()
        .map(|(id, entry)| match &entry.document {
            Some(document) => json!({"id": id, "document": document, "expires": document.expires}),
            None => json!({"id": id, "closedAt": "closed"}),
        })
        .collect();
    show::items(format, &COLUMNS, &items)?;
    Ok(Exit::Ok)
}

fn write_file(path: &Path, documents: &Documents) -> anyhow::Result<()> {
    let failed = || format!("cannot write `{}`", path.display());
    let mut aside = path.as_os_str().to_owned();
    aside.push(".new");
    let text = serde_json::to_string_pretty(documents)?;
    std::fs::write(&aside, text).with_context(failed)?;
    std::fs::rename(&aside, path).with_context(failed)
}
