//! `portcullis sandbox`: namespaces free to edit.

use std::time::Duration;

use clap::Subcommand;
use serde_json::{Map, Value as Json};
use ureq::http::Method;

use super::path::{ProjectPath, UnitPath};
use super::{ApiArgs, Exit, run as with, show};
use portcullis_server::units::Span;

const COLUMNS: [show::Column; 5] = [
    ("name", "name"),
    ("namespace", "namespace"),
    ("display name", "displayName"),
    ("expires", "expiresAt"),
    ("id", "id"),
];

/// Words of `portcullis sandbox`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    api: ApiArgs,
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// List a project's sandboxes
    List {
        /// TENANT/PROJECT
        project: ProjectPath,
    },
    /// Show a sandbox
    Get {
        /// TENANT/PROJECT/sbx-NNN
        sandbox: UnitPath,
    },
    /// Make a sandbox; it takes the lowest free number
    Create {
        /// TENANT/PROJECT
        project: ProjectPath,
        /// What people call it
        #[arg(long, value_name = "TEXT")]
        display_name: Option<String>,
        /// How long it lives: 2h, 90m
        #[arg(long, value_name = "TIME")]
        ttl: Option<Span>,
    },
    /// Delete a sandbox
    Delete {
        /// TENANT/PROJECT/sbx-NNN
        sandbox: UnitPath,
    },
}

/// Runs it.
///
/// # Errors
/// See [`super::run`].
pub fn run(args: Args) -> anyhow::Result<Exit> {
    with(&args.api, |client| {
        match args.what {
            What::List { project } => {
                show::list(client, &COLUMNS, &client.list(&client.project(&project, &["sandboxes"]))?)?;
            }
            What::Get { sandbox } => {
                let path = client.project(&sandbox.project, &["sandboxes", &sandbox.name]);
                show::one(client, &client.get(&path)?)?;
            }
            What::Create { project, display_name, ttl } => {
                let mut body: Map<String, Json> = Map::new();
                body.extend(display_name.map(|name| ("displayName".to_owned(), Json::from(name))));
                body.extend(ttl.map(|Span(ttl): Span| ("ttlSeconds".to_owned(), seconds(ttl))));
                let path = client.project(&project, &["sandboxes"]);
                let made = client.send(&Method::POST, &path, Some(&body.into()), None)?.body;
                let (name, namespace) = (show::cell(&made, "name"), show::cell(&made, "namespace"));
                show::done(client, &format!("sandbox {name} is made: namespace {namespace}"), &made)?;
            }
            What::Delete { sandbox } => {
                let path = client.project(&sandbox.project, &["sandboxes", &sandbox.name]);
                let gone = client.send(&Method::DELETE, &path, None, None)?.body;
                show::done(client, &format!("sandbox {} is deleted", sandbox.name), &gone)?;
            }
        }
        Ok(Exit::Fine)
    })
}

fn seconds(ttl: Duration) -> Json {
    ttl.as_secs().into()
}
