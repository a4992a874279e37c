//! `portcullis seed`: a small platform to try things on. Made by the same documents that `apply` takes, so seeding twice
//! changes nothing.

use serde_json::json;
use ureq::http::Method;

use super::client::Client;
use super::path::ProjectPath;
use super::{ApiArgs, Exit, apply, run as with, show};
use crate::cli::output;

const DOCUMENTS: &str = include_str!("seed.yaml");

/// Projects that get a sandbox if they have none.
const PLAYGROUNDS: [(&str, &str); 3] = [("acme", "shop"), ("acme", "data"), ("globex", "web")];

/// Words of `portcullis seed`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    api: ApiArgs,
    /// Print the documents and make nothing
    #[arg(long)]
    print: bool,
}

/// Makes it.
///
/// # Errors
/// See [`super::run`].
pub fn run(args: Args) -> anyhow::Result<Exit> {
    if args.print {
        output::print(DOCUMENTS)?;
        return Ok(Exit::Fine);
    }
    let targets = apply::targets("seed.yaml", DOCUMENTS)?;
    with(&args.api, |client| {
        apply::all(client, &targets, false, false)?;
        for (tenant, project) in PLAYGROUNDS {
            sandbox(client, &ProjectPath { tenant: tenant.to_owned(), project: project.to_owned() })?;
        }
        output::note(
            "try `portcullis tenant list`, `portcullis app list acme/shop`, `portcullis sandbox list acme/shop`",
        );
        Ok(Exit::Fine)
    })
}

fn sandbox(client: &Client, at: &ProjectPath) -> anyhow::Result<()> {
    let path = client.project(at, &["sandboxes"]);
    if !client.list(&path)?.is_empty() {
        return Ok(());
    }
    let made = client.send(&Method::POST, &path, Some(&json!({})), None)?.body;
    let (name, namespace) = (show::cell(&made, "name"), show::cell(&made, "namespace"));
    output::print(&format!("sandbox {}/{}/{name} made: namespace {namespace}\n", at.tenant, at.project))
}
