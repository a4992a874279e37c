//! `portcullis cluster`: the clusters whose tenants the ledger keeps.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::Subcommand;
use serde_json::json;
use ureq::http::Method;

use super::{ApiArgs, Exit, path, run as with, show};

/// In base64 the API takes 512 KiB.
const KUBECONFIG_BYTES_MAX: u64 = 384 * 1024;

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
    /// Replace the kubeconfig that is kept of a cluster
    SetKubeconfig {
        /// Its name or id
        name: String,
        /// The new kubeconfig, `-` for standard input
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// Only while the cluster has this version, as `cluster get` shows it; without it, the version that is read first
        #[arg(long, value_name = "N")]
        version: Option<i64>,
    },
    /// Remove a cluster that holds no tenants
    Delete {
        /// Its name or id
        name: String,
    },
}

/// As much of the file as the API takes.
fn kubeconfig(file: &Path) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let limit = KUBECONFIG_BYTES_MAX + 1;
    if file.as_os_str() == "-" {
        std::io::stdin().take(limit).read_to_end(&mut bytes).context("standard input")?;
    } else {
        let failed = || format!("`{}`", file.display());
        let open = std::fs::File::open(file).with_context(failed)?;
        open.take(limit).read_to_end(&mut bytes).with_context(failed)?;
    }
    if bytes.len() as u64 > KUBECONFIG_BYTES_MAX {
        bail!("`{}` has more than {KUBECONFIG_BYTES_MAX} bytes, which is no kubeconfig", file.display());
    }
    Ok(bytes)
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
            What::SetKubeconfig { name, file, version } => {
                let at = path::url(&["clusters", &name]);
                let body = json!({"kubeconfig": STANDARD.encode(kubeconfig(&file)?)});
                let etag = match version {
                    Some(version) => Some(format!("\"{version}\"")),
                    None => client.send(&Method::GET, &at, None, None)?.etag,
                };
                let is = client.send(&Method::PATCH, &at, Some(&body), etag.as_deref())?.body;
                show::done(client, &format!("cluster/{name} kubeconfig replaced"), &is)?;
            }
            What::Delete { name } => {
                let gone = client.send(&Method::DELETE, &path::url(&["clusters", &name]), None, None)?.body;
                show::done(client, &format!("cluster {name} is removed"), &gone)?;
            }
        }
        Ok(Exit::Fine)
    })
}
