//! `portcullis cluster` and `portcullis settings`: the clusters of the ledger, and the settings that hold for all tenants.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::Subcommand;
use serde_json::{Value as Json, json};
use ureq::http::Method;

use super::path::url;
use super::{ApiArgs, Exit, run as with, show};

/// The API takes 512 KiB of base64.
const KUBECONFIG_BYTES_MAX: u64 = 384 * 1024;

const CLUSTER_COLUMNS: [show::Column; 3] = [("name", "name"), ("labels", "labels"), ("id", "id")];

#[derive(Debug, clap::Args)]
pub struct ClusterArgs {
    #[command(flatten)]
    api: ApiArgs,
    #[command(subcommand)]
    command: ClusterCommand,
}

#[derive(Debug, Subcommand)]
enum ClusterCommand {
    /// List the clusters
    List,
    /// Show a cluster
    Get {
        /// Name or id of the cluster
        name: String,
    },
    /// Create a cluster
    Create {
        /// Name of the cluster, one DNS label
        name: String,
        /// URL of its capsule-proxy, if it has one
        #[arg(long, value_name = "URL", default_value = "")]
        capsule_proxy_url: String,
    },
    /// Replace the stored kubeconfig of a cluster
    SetKubeconfig {
        /// Name or id of the cluster
        name: String,
        /// File with the new kubeconfig, `-` for standard input
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// Fail unless the cluster has this version, as `cluster get` shows it; by default the version that is read first
        #[arg(long, value_name = "N")]
        version: Option<i64>,
    },
    /// Delete a cluster without tenants
    Delete {
        /// Name or id of the cluster
        name: String,
    },
}

/// Reads one byte more than the API takes, to detect a file that is too large.
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

pub fn cluster(args: ClusterArgs) -> anyhow::Result<Exit> {
    with(&args.api, |client| {
        match args.command {
            ClusterCommand::List => show::list(client, &CLUSTER_COLUMNS, &client.list(&url(&["clusters"]))?)?,
            ClusterCommand::Get { name } => show::one(client, &client.get(&url(&["clusters", &name]))?)?,
            ClusterCommand::Create { name, capsule_proxy_url } => {
                let mut body = json!({"name": name});
                if let Some(fields) = body.as_object_mut().filter(|_| !capsule_proxy_url.is_empty()) {
                    fields.insert("capsuleProxyUrl".into(), capsule_proxy_url.into());
                }
                let made = client.send(&Method::POST, &url(&["clusters"]), Some(&body), None)?.body;
                show::done(client, &format!("cluster/{name} created"), &made)?;
            }
            ClusterCommand::SetKubeconfig { name, file, version } => {
                let at = url(&["clusters", &name]);
                let body = json!({"kubeconfig": STANDARD.encode(kubeconfig(&file)?)});
                let etag = match version {
                    Some(version) => Some(format!("\"{version}\"")),
                    None => client.send(&Method::GET, &at, None, None)?.etag,
                };
                let is = client.send(&Method::PATCH, &at, Some(&body), etag.as_deref())?.body;
                show::done(client, &format!("cluster/{name} updated"), &is)?;
            }
            ClusterCommand::Delete { name } => {
                let gone = client.send(&Method::DELETE, &url(&["clusters", &name]), None, None)?.body;
                show::done(client, &format!("cluster/{name} deleted"), &gone)?;
            }
        }
        Ok(Exit::Ok)
    })
}

const SETTING_COLUMNS: [show::Column; 2] = [("key", "key"), ("value", "value")];

const SETTINGS_EXAMPLES: &str = "\
Examples:
  portcullis settings get registries
  portcullis settings set registries '{ceiling: [docker.io, registry.example.com], platform: [registry.example.com/platform]}'";

#[derive(Debug, clap::Args)]
#[command(after_help = SETTINGS_EXAMPLES)]
pub struct SettingsArgs {
    #[command(flatten)]
    api: ApiArgs,
    #[command(subcommand)]
    command: SettingsCommand,
}

#[derive(Debug, Subcommand)]
enum SettingsCommand {
    /// List settings
    List,
    /// Show a setting
    Get {
        /// Key of the setting: registries, identities, connect, …
        key: String,
    },
    /// Replace a setting
    Set {
        /// Key of the setting
        key: String,
        /// Value, YAML or JSON
        value: String,
    },
}

pub fn settings(args: SettingsArgs) -> anyhow::Result<Exit> {
    with(&args.api, |client| {
        match args.command {
            SettingsCommand::List => {
                // The route returns all settings and takes no `limit`.
                let mut page = client.get(&url(&["settings"]))?;
                let items = page.get_mut("items").map(Json::take);
                let items: Vec<Json> = items.map(serde_json::from_value).transpose()?.unwrap_or_default();
                show::list(client, &SETTING_COLUMNS, &items)?;
            }
            SettingsCommand::Get { key } => show::one(client, &client.get(&url(&["settings", &key]))?)?,
            SettingsCommand::Set { key, value } => {
                let value: Json = serde_saphyr::from_str(&value).map_err(|error| {
                    anyhow::anyhow!("VALUE is neither YAML nor JSON: {}", error.without_snippet())
                })?;
                let body = json!({"value": value});
                let now = client.send(&Method::PUT, &url(&["settings", &key]), Some(&body), None)?.body;
                show::done(client, &format!("setting/{key} updated"), &now)?;
            }
        }
        Ok(Exit::Ok)
    })
}
