//! The role of the process and the flags that name the source of its snapshot.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::bail;
use clap::ValueEnum;

use portcullis_server::args::Span;
use portcullis_store::feed::remote::Remote;

/// Enough to keep two processors busy while some connections wait for a disk.
const CONNECTIONS: u32 = 8;

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Role {
    /// The gate and the ledger's API. With --tenancy or --ledger the ledger is elsewhere, and only the gate runs
    All,
    /// The gate only
    Gate,
    /// The ledger's API only
    Api,
}

#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Ledger")]
pub struct SourceArgs {
    /// Database of the ledger: `sqlite:PATH` or `postgres://…`. Without it, --tenancy and --ledger, `ledger.db` in the
    /// user's data folder, created if missing
    #[arg(long, env = "PORTCULLIS_DATABASE", value_name = "URL", conflicts_with_all = ["tenancy", "ledger"], hide_env_values = true)]
    database: Option<String>,

    /// Maximum number of database connections; PostgreSQL must allow as many for every process, and one more each
    #[arg(long, env = "PORTCULLIS_DATABASE_CONNECTIONS", value_name = "N", default_value_t = CONNECTIONS,
          value_parser = clap::value_parser!(u32).range(1..=100))]
    database_connections: u32,

    /// Do not migrate the ledger's schema at start; an outdated schema is then an error
    #[arg(long, env = "PORTCULLIS_NO_MIGRATE")]
    no_migrate: bool,

    /// Snapshot file of the tenants, YAML or JSON, reloaded when it changes, instead of a ledger
    #[arg(long, env = "PORTCULLIS_TENANCY", value_name = "FILE", conflicts_with = "ledger")]
    tenancy: Option<PathBuf>,

    /// URL of the API of another process that serves the ledger, such as `https://ledger.example:8080`
    #[arg(long, env = "PORTCULLIS_LEDGER", value_name = "URL")]
    ledger: Option<String>,

    /// File with the token for --ledger, read for every request
    #[arg(long, env = "PORTCULLIS_LEDGER_TOKEN", value_name = "FILE", requires = "ledger")]
    ledger_token: Option<PathBuf>,

    /// PEM file with the CA certificates that verify --ledger, instead of the public ones
    #[arg(long, env = "PORTCULLIS_LEDGER_CA", value_name = "FILE", requires = "ledger")]
    ledger_ca: Option<PathBuf>,

    /// PEM client certificate for --ledger
    #[arg(long, env = "PORTCULLIS_LEDGER_CERT", value_name = "FILE", requires = "ledger_key")]
    ledger_cert: Option<PathBuf>,

    /// PEM key of --ledger-cert
    #[arg(long, env = "PORTCULLIS_LEDGER_KEY", value_name = "FILE", requires = "ledger_cert")]
    ledger_key: Option<PathBuf>,

    /// Cluster whose part of the ledger this gate uses; by default the whole ledger
    #[arg(long, env = "PORTCULLIS_CLUSTER", value_name = "NAME", conflicts_with = "tenancy")]
    cluster: Option<String>,

    /// Directory for the last good snapshot, so that a gate can start without its dependencies; one directory per process.
    /// By default in the user's data folder, if the ledger is there
    #[arg(long, env = "PORTCULLIS_SNAPSHOT_CACHE", value_name = "DIR", conflicts_with = "tenancy")]
    snapshot_cache: Option<PathBuf>,

    /// How often the snapshot is compared with the whole ledger
    #[arg(long, env = "PORTCULLIS_RESYNC_INTERVAL", value_name = "TIME", default_value = "5m")]
    resync_interval: Span,

    /// How long the ledger may be unreachable before /readyz reports the snapshot as stale; the gate keeps using it
    #[arg(long, env = "PORTCULLIS_MAX_STALENESS", value_name = "TIME", default_value = "1m")]
    max_staleness: Span,
}

#[derive(Debug)]
pub struct Plan {
    pub gate: bool,
    /// Implies a database as the source.
    pub api: bool,
    pub source: Source,
    /// Settings that a database and an API have in common.
    pub follow: Follow,
}

#[derive(Debug)]
pub enum Source {
    File(PathBuf),
    Database {
        url: String,
        connections: u32,
        /// Whether this process migrates the schema.
        migrate: bool,
    },
    Remote(Remote),
}

#[derive(Debug)]
pub struct Follow {
    /// The cluster whose part is followed; `None` for the whole ledger.
    pub cluster: Option<String>,
    /// Directory for the last good snapshot.
    pub cache: Option<PathBuf>,
    pub resync_interval: Span,
    pub max_staleness: Span,
}

impl SourceArgs {
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
            bail!(
                "--role gate needs a source of tenants: give --tenancy FILE, --ledger URL or --database URL"
            );
        }
        let api = role != Role::Gate && !elsewhere;
        let source = match (tenancy, ledger) {
            (Some(file), _) => Source::File(file),
            (None, Some(url)) => {
                if !url.starts_with("https://") && !url.starts_with("http://") {
                    bail!("--ledger `{url}` must begin with `https://` or `http://`");
                }
                let (token, ca, certificate) = (ledger_token, ledger_ca, ledger_cert.zip(ledger_key));
                if token.is_none() && certificate.is_none() {
                    bail!(
                        "--ledger needs credentials: give --ledger-token FILE, or --ledger-cert and --ledger-key"
                    );
                }
                // Two long polls fit into --max-staleness, so that one answer may be late.
                let hold = (self.max_staleness.0 / 2).clamp(Duration::from_secs(1), Duration::from_secs(30));
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
        let follow = Follow {
            cluster,
            cache,
            resync_interval: self.resync_interval,
            max_staleness: self.max_staleness,
        };
        Ok(Plan { gate: role != Role::Api, api, source, follow })
    }
}
