//! What the process is to be, and what it therefore needs: the flags that say where the snapshot comes from.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::bail;
use clap::ValueEnum;

use portcullis_server::units::Span;
use portcullis_store::feed::remote::Remote;

/// Connections to the database: enough for what two processors do beside each other while one of them waits for a disk.
const CONNECTIONS: u32 = 8;

/// What the process is to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Role {
    /// The gate and the ledger's API. With --tenancy or --ledger the ledger is elsewhere, and it is the gate alone
    All,
    /// The gate: reviews in, verdicts out
    Gate,
    /// The ledger's API
    Api,
}

/// Where the snapshot comes from.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Ledger")]
pub struct SourceArgs {
    /// The ledger: `sqlite:PATH` or `postgres://…`. Without it, and without --tenancy and --ledger, `ledger.db` in the
    /// user's data folder, made where it is missing
    #[arg(long, env = "PORTCULLIS_DATABASE", value_name = "URL", conflicts_with_all = ["tenancy", "ledger"], hide_env_values = true)]
    database: Option<String>,

    /// Most connections to the database at a time; PostgreSQL must have as many for every process, and one more each
    #[arg(long, env = "PORTCULLIS_DATABASE_CONNECTIONS", value_name = "N", default_value_t = CONNECTIONS,
          value_parser = clap::value_parser!(u32).range(1..=100))]
    database_connections: u32,

    /// Do not bring the ledger's schema up to date at the start; an older one is then an error
    #[arg(long, env = "PORTCULLIS_NO_MIGRATE")]
    no_migrate: bool,

    /// Snapshot of the tenants, YAML or JSON, followed while serving, instead of a ledger
    #[arg(long, env = "PORTCULLIS_TENANCY", value_name = "FILE", conflicts_with = "ledger")]
    tenancy: Option<PathBuf>,

    /// The API of another process that serves the ledger, such as `https://ledger.example:8080`
    #[arg(long, env = "PORTCULLIS_LEDGER", value_name = "URL")]
    ledger: Option<String>,

    /// File of the token that is shown to --ledger, read anew for every call
    #[arg(long, env = "PORTCULLIS_LEDGER_TOKEN", value_name = "FILE", requires = "ledger")]
    ledger_token: Option<PathBuf>,

    /// PEM authorities that the certificate of --ledger must come from, instead of the public ones
    #[arg(long, env = "PORTCULLIS_LEDGER_CA", value_name = "FILE", requires = "ledger")]
    ledger_ca: Option<PathBuf>,

    /// PEM certificate that is shown to --ledger
    #[arg(long, env = "PORTCULLIS_LEDGER_CERT", value_name = "FILE", requires = "ledger_key")]
    ledger_cert: Option<PathBuf>,

    /// PEM key of --ledger-cert
    #[arg(long, env = "PORTCULLIS_LEDGER_KEY", value_name = "FILE", requires = "ledger_cert")]
    ledger_key: Option<PathBuf>,

    /// The cluster whose part of the ledger decides here; without it all of it does
    #[arg(long, env = "PORTCULLIS_CLUSTER", value_name = "NAME", conflicts_with = "tenancy")]
    cluster: Option<String>,

    /// Directory where the last good snapshot is kept, so that a start needs nobody; one for each process. In the user's
    /// data folder if the ledger is there
    #[arg(long, env = "PORTCULLIS_SNAPSHOT_CACHE", value_name = "DIR", conflicts_with = "tenancy")]
    snapshot_cache: Option<PathBuf>,

    /// How often the snapshot is compared with the whole ledger
    #[arg(long, env = "PORTCULLIS_RECONCILE", value_name = "TIME", default_value = "5m")]
    reconcile: Span,

    /// Out of touch with the ledger for so long, /readyz calls the snapshot stale; the gate goes on deciding by it
    #[arg(long, env = "PORTCULLIS_STALE_AFTER", value_name = "TIME", default_value = "1m")]
    stale_after: Span,
}

/// What is to run.
#[derive(Debug)]
pub struct Plan {
    /// Reviews are served.
    pub gate: bool,
    /// The ledger's API is served; then the source is a database.
    pub api: bool,
    /// Where the snapshot comes from.
    pub source: Source,
    /// The same for a database and an API.
    pub follow: Follow,
}

/// Where the snapshot comes from.
#[derive(Debug)]
pub enum Source {
    /// A document.
    File(PathBuf),
    /// The ledger itself.
    Database {
        /// Its address.
        url: String,
        /// Most connections to it at a time.
        connections: u32,
        /// Whether this process brings its schema up to date.
        migrate: bool,
    },
    /// Another process's API.
    Remote(Remote),
}

/// How a ledger is followed.
#[derive(Debug)]
pub struct Follow {
    /// The cluster whose part is taken.
    pub cluster: Option<String>,
    /// Where the last good snapshot is kept.
    pub cache: Option<PathBuf>,
    /// How often the whole is compared.
    pub reconcile: Span,
    /// After which a snapshot is stale.
    pub stale_after: Span,
}

impl SourceArgs {
    /// What these flags come to in a role.
    ///
    /// # Errors
    /// They do not go together.
    pub fn plan(self, role: Role) -> anyhow::Result<Plan> {
        let Self {
            database,
            database_connections: connections,
            no_migrate,
            tenancy,
            ledger,
            ledger_token,
            ledger_ca,
            ledger_cert,
            ledger_key,
            ..
        } = self;
        let (cluster, mut cache) = (self.cluster, self.snapshot_cache);
        let elsewhere = tenancy.is_some() || ledger.is_some();
        if role == Role::Api && elsewhere {
            bail!("--role api serves the ledger of --database; --tenancy and --ledger are for a gate");
        }
        if role == Role::Gate && database.is_none() && !elsewhere {
            bail!("a gate must know the tenants: give --tenancy FILE, --ledger URL or --database URL");
        }
        let api = role != Role::Gate && !elsewhere;
        let source = match (tenancy, ledger) {
            (Some(file), _) => Source::File(file),
            (None, Some(url)) => {
                if !url.starts_with("https://") && !url.starts_with("http://") {
                    bail!("--ledger `{url}` begins with neither `https://` nor `http://`");
                }
                let (token, ca, certificate) = (ledger_token, ledger_ca, ledger_cert.zip(ledger_key));
                if token.is_none() && certificate.is_none() {
                    bail!(
                        "--ledger must know who asks: give --ledger-token FILE, or --ledger-cert and --ledger-key"
                    );
                }
                // Twice within the time after which we call ourselves stale, so that one answer may be late.
                let hold = (self.stale_after.0 / 2).clamp(Duration::from_secs(1), Duration::from_secs(30));
                Source::Remote(Remote { url, token, ca, certificate, cluster: cluster.clone(), hold })
            }
            (None, None) => {
                if database.is_none() && cache.is_none() {
                    cache = portcullis_store::default_dir().ok().map(|dir| dir.join("snapshot"));
                }
                let url = database.map_or_else(portcullis_store::default_url, Ok)?;
                Source::Database { url, connections, migrate: api && !no_migrate }
            }
        };
        let follow = Follow { cluster, cache, reconcile: self.reconcile, stale_after: self.stale_after };
        Ok(Plan { gate: role != Role::Api, api, source, follow })
    }
}
