//! The ledger's commands for people: each is a call or two of its API, so that nobody needs curl.
//!
//! A thing is named by the way to it, as the snapshot names it: `acme`, `acme/shop`, `acme/shop/frontend`.

pub mod app;
pub mod apply;
pub mod catalog;
pub mod client;
pub mod cluster;
pub mod evaluate;
mod listener;
pub mod path;
pub mod problem;
pub mod project;
pub mod sandbox;
pub mod seed;
pub mod settings;
pub mod show;
pub mod tenant;

use std::path::PathBuf;

use super::{Exit, output};
use client::Client;
use problem::Refused;
use show::Format;

/// Where the ledger is, and as whom to ask.
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
    /// File with a token; without it PORTCULLIS_TOKEN, and on loopback a token of five minutes by the keys of this user
    #[arg(long, global = true, env = "PORTCULLIS_TOKEN_FILE", value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// PEM of the authority that issued the API's certificate
    #[arg(long, global = true, env = "PORTCULLIS_API_CA", value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// Name of the cluster whose tenants are meant
    #[arg(long, global = true, env = "PORTCULLIS_CLUSTER", value_name = "NAME", default_value = "default")]
    pub cluster: String,
    /// Tenant, by slug or id, that a member of several means where a command names none
    #[arg(long, global = true, env = "PORTCULLIS_AS_TENANT", value_name = "TENANT")]
    pub as_tenant: Option<String>,
    /// How to print
    #[arg(long, short, global = true, value_enum, default_value_t, value_name = "FORMAT")]
    pub output: Format,
}

/// Runs a command, and turns what the API refuses into exit code 1.
///
/// # Errors
/// The API cannot be reached, or a word on the command line is no good.
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
