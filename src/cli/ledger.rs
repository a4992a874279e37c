//! The commands of the ledger: each makes one or two calls of its API. A path names an object: `acme`, `acme/shop`,
//! `acme/shop/frontend`.

pub mod apply;
pub mod catalog;
pub mod client;
pub mod evaluate;
pub mod path;
pub mod platform;
pub mod projects;
pub mod show;
pub mod tenant;

use std::path::PathBuf;

use super::{Exit, output};
use client::{Client, Refused};
use show::Format;

#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Ledger")]
pub struct ApiArgs {
    /// URL of the ledger's API
    #[arg(
        long,
        global = true,
        env = "PORTCULLIS_API_URL",
        value_name = "URL",
        default_value = "http://127.0.0.1:8080"
    )]
    pub api_url: String,
    /// File with a token; by default PORTCULLIS_TOKEN, and on loopback a 5-minute token signed with this user's keys
    #[arg(long, global = true, env = "PORTCULLIS_TOKEN_FILE", value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// PEM file with the CA certificates that verify the API's certificate
    #[arg(long, global = true, env = "PORTCULLIS_API_CA", value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// Name of the cluster
    #[arg(long, global = true, env = "PORTCULLIS_CLUSTER", value_name = "NAME", default_value = "default")]
    pub cluster: String,
    /// Tenant (slug or id) that a member of several tenants acts for
    #[arg(long, global = true, env = "PORTCULLIS_AS_TENANT", value_name = "TENANT")]
    pub as_tenant: Option<String>,
    /// Output format
    #[arg(long, short, global = true, value_enum, default_value_t, value_name = "FORMAT")]
    pub output: Format,
}

/// A request that the API rejects ends with exit code 1.
pub fn run(api: &ApiArgs, work: impl FnOnce(&Client) -> anyhow::Result<Exit>) -> anyhow::Result<Exit> {
    let client = Client::new(api)?;
    match work(&client) {
        Err(error) => match error.downcast_ref::<Refused>() {
            Some(refused) => {
                output::error(&refused.to_string());
                Ok(Exit::Findings)
            }
            None => Err(error),
        },
        done => done,
    }
}
