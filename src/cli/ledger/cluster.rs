//! `portcullis cluster`: the clusters whose tenants the ledger keeps.

use clap::Subcommand;
use serde_json::json;
use ureq::http::Method;

use super::{ApiArgs, Exit, path, run as with, show};

const COLUMNS: [show::Column; 3] = [("name", "name"), ("labels", "labels"), ("id", "id")];

/// Words of `portcullis cluster`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    api: ApiArgs,
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// List the clusters
    List,
    /// Show a cluster
    Get {
        /// Its name or id
        name: String,
    },
    /// Register a cluster
    Create {
        /// Its name, one DNS label
        name: String,
        /// URL of its capsule-proxy, where it has one
        #[arg(long, value_name = "URL", default_value = "")]
        capsule_proxy_url: String,
    },
    /// Remove a cluster that holds no tenants
    Delete {
        /// Its name or id
        name: String,
    },
}

/// Runs it.
///
/// # Errors
/// See [`super::run`].
pub fn run(args: Args) -> anyhow::Result<Exit> {
    with(&args.api, |client| {
        match args.what {
            What::List => show::list(client, &COLUMNS, &client.list(&path::url(&["clusters"]))?)?,
            What::Get { name } => show::one(client, &client.get(&path::url(&["clusters", &name]))?)?,
            What::Create { name, capsule_proxy_url } => {
                let mut body = json!({"name": name});
                if let Some(fields) = body.as_object_mut().filter(|_| !capsule_proxy_url.is_empty()) {
                    fields.insert("capsuleProxyUrl".into(), capsule_proxy_url.into());
                }
                let made = client.send(&Method::POST, &path::url(&["clusters"]), Some(&body), None)?.body;
                show::done(client, &format!("cluster {name} is registered"), &made)?;
            }
            What::Delete { name } => {
                let gone = client.send(&Method::DELETE, &path::url(&["clusters", &name]), None, None)?.body;
                show::done(client, &format!("cluster {name} is removed"), &gone)?;
            }
        }
        Ok(Exit::Fine)
    })
}
