//! The one flag of every command that works on a ledger's database itself.

use std::future::Future;

use portcullis_store::{Kind, default_url};

/// Where the ledger is.
#[derive(Debug, clap::Args)]
pub struct Database {
    /// The ledger: `sqlite:PATH` or `postgres://…`. Without it a file in the user's data folder
    #[arg(long, env = "PORTCULLIS_DATABASE", value_name = "URL", hide_env_values = true)]
    database: Option<String>,
}

impl Database {
    /// Its address.
    ///
    /// # Errors
    /// None was given, and there is no home directory to look in.
    pub fn url(&self) -> anyhow::Result<String> {
        Ok(match &self.database {
            Some(url) => url.clone(),
            None => default_url()?,
        })
    }
}

/// What a database is called in a sentence.
pub const fn called(kind: Kind) -> &'static str {
    match kind {
        Kind::Sqlite => "SQLite",
        Kind::Postgres => "PostgreSQL",
    }
}

/// Runs one command's work to its end.
///
/// # Errors
/// Those of the work; or there are no threads to be had.
pub fn block_on<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(work)
}
