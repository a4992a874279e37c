//! `portcullis settings`: what holds for all tenants.

use clap::Subcommand;
use serde_json::{Value as Json, json};
use ureq::http::Method;

use super::path::url;
use super::{ApiArgs, Exit, run as with, show};

const COLUMNS: [show::Column; 2] = [("key", "key"), ("value", "value")];

const EXAMPLES: &str = "\
Examples:
  portcullis settings get registries
  portcullis settings set registries '{ceiling: [docker.io, registry.example.com], platform: [registry.example.com/platform]}'";

/// Words of `portcullis settings`.
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
    /// List them
    List,
    /// Show one
    Get {
        /// Its key: registries, identities, connect, …
        key: String,
    },
    /// Replace one
    Set {
        /// Its key
        key: String,
        /// The value, YAML or JSON
        value: String,
    },
}

/// Runs it.
///
/// # Errors
/// See [`super::run`].
pub fn run(args: Args) -> anyhow::Result<Exit> {
    with(&args.api, |client| {
        match args.what {
            What::List => {
                // All of them are one page, and the route takes no `limit`.
                let mut page = client.get(&url(&["settings"]))?;
                let items = page.get_mut("items").map(Json::take);
                let items: Vec<Json> = items.map(serde_json::from_value).transpose()?.unwrap_or_default();
                show::list(client, &COLUMNS, &items)?;
            }
            What::Get { key } => show::one(client, &client.get(&url(&["settings", &key]))?)?,
            What::Set { key, value } => {
                let value: Json = serde_saphyr::from_str(&value).map_err(|error| {
                    anyhow::anyhow!("VALUE is neither YAML nor JSON: {}", error.without_snippet())
                })?;
                let body = json!({"value": value});
                let now = client.send(&Method::PUT, &url(&["settings", &key]), Some(&body), None)?.body;
                show::done(client, &format!("{key} is set"), &now)?;
            }
        }
        Ok(Exit::Fine)
    })
}
