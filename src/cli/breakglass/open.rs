//! `portcullis breakglass open`: the document, its signature, and the way it goes.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use jiff::{SignedDuration, Timestamp};
use ureq::http::Method;

use super::super::ledger::{ApiArgs, path, run as with, show};
use super::super::{Exit, output};
use super::{body, file};
use portcullis_access::signature;
use portcullis_server::units::Span;
use portcullis_tenancy::breakglass::Document;

/// Words of `portcullis breakglass open`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The private key, PEM
    #[arg(long, env = "PORTCULLIS_BREAKGLASS_SIGNING_KEY", value_name = "FILE")]
    key: PathBuf,

    /// Username, exact, for whom the laws are lifted; may be repeated, up to 20 times
    #[arg(long = "person", value_name = "USER", required = true)]
    people: Vec<Arc<str>>,

    /// Namespace, exact; may be repeated, up to 100 times
    #[arg(long = "namespace", value_name = "NAME", required = true)]
    namespaces: Vec<Arc<str>>,

    /// Id of a policy to lift, as a denial names it; may be repeated, up to 50 times
    #[arg(long = "law", value_name = "ID", required = true)]
    laws: Vec<Arc<str>>,

    /// Why, for the audit log
    #[arg(long, value_name = "TEXT")]
    reason: Arc<str>,

    /// How long it holds: at most 8h
    #[arg(long, value_name = "TIME", default_value = "1h")]
    ttl: Span,

    /// The file that the gate follows by --breakglass, instead of the ledger
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
}

/// Signs it and delivers it.
///
/// # Errors
/// The key is none, the document would be refused, or it cannot be delivered.
pub fn run(args: Args, api: &ApiArgs) -> anyhow::Result<Exit> {
    let Args { key, people, namespaces, laws, reason, ttl, file } = args;
    let now = Timestamp::now();
    let until = now.checked_add(SignedDuration::try_from(ttl.0)?)?;
    let time = |at: Timestamp| Arc::from(format!("{at:.0}"));
    let document = Document {
        id: uuid::Uuid::now_v7().to_string().into(),
        people,
        namespaces,
        laws,
        reason,
        not_before: time(now),
        expires: time(until),
    };
    if let Err(error) = document.window() {
        bail!("such a document would be refused: {error}");
    }
    let named = || format!("--key `{}`", key.display());
    let pem = std::fs::read(&key).with_context(|| format!("{}: cannot read it", named()))?;
    let signature = signature::sign(&pem, &document.signed()).with_context(named)?;
    let told = format!("break-glass {} is open until {}", document.id, document.expires);
    if let Some(file) = file {
        file::open(&file, document, signature)?;
        output::note(told);
        return Ok(Exit::Fine);
    }
    with(api, |client| {
        let at = path::url(&["breakglass"]);
        let made = client.send(&Method::POST, &at, Some(&body(&document, &signature)), None)?.body;
        show::done(client, &told, &made)?;
        Ok(Exit::Fine)
    })
}
