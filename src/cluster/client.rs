//! Where the API server is, and a client that never waits for ever.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use kube::client::ClientBuilder;
use kube::config::{KubeConfigOptions, Kubeconfig, KubeconfigError};
use kube::{Client, Config};
use tower::timeout::TimeoutLayer;

use super::error::{ClusterError, Need};

/// A connection that takes longer is refused by something that does not say so.
const CONNECT: Duration = Duration::from_secs(5);

/// How long an API server may take to begin an answer. Lists of large clusters take seconds.
const ANSWER: Duration = Duration::from_secs(20);

/// Between two reads of one answer. A watch says something at least every [`WATCH_SECONDS`], its end.
const READ: Duration = Duration::from_secs(35);

/// How long a watch stands before it is begun again where it was: what a dead connection can hide is no older.
pub const WATCH_SECONDS: u32 = 25;

/// Which cluster, and as whom.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Cluster")]
pub struct ClusterArgs {
    /// Which cluster, and as whom; without it $KUBECONFIG, ~/.kube/config, or in a Pod its service account
    #[arg(long, env = "PORTCULLIS_KUBECONFIG", value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,

    /// Context of the kubeconfig, other than its current one
    #[arg(long, env = "PORTCULLIS_CONTEXT", value_name = "NAME")]
    pub context: Option<String>,
}

/// A cluster that can be asked.
#[derive(Clone)]
pub struct Cluster {
    /// The client; all clones share its connections.
    pub client: Client,
    /// Of the context, or in a Pod its own.
    pub namespace: String,
    /// Address of the API server.
    pub server: String,
}

impl ClusterArgs {
    /// Finds the cluster, and asks it nothing yet. It is to be called inside a runtime.
    ///
    /// # Errors
    /// No kubeconfig and no service account, or one that is no good.
    pub async fn connect(&self) -> Result<Cluster, ClusterError> {
        let (config, from) = self.config().await?;
        let (namespace, server) = (config.default_namespace.clone(), config.cluster_url.to_string());
        let unusable = |error: &kube::Error| {
            let why = super::error::cause(error);
            match &from {
                Some(path) => ClusterError::Kubeconfig { path: path.clone(), why },
                None => ClusterError::ServiceAccount(why),
            }
        };
        let builder = ClientBuilder::try_from(config).map_err(|error| unusable(&error))?;
        let client = builder.with_layer(&TimeoutLayer::new(ANSWER)).build();
        Ok(Cluster { client, namespace, server })
    }

    async fn config(&self) -> Result<(Config, Option<PathBuf>), ClusterError> {
        let (path, read) = match &self.kubeconfig {
            Some(path) => (path.clone(), Kubeconfig::read_from(path)),
            None => (usual(), Kubeconfig::read()),
        };
        let nothing = matches!(&read, Err(KubeconfigError::FindPath))
            || matches!(&read, Err(KubeconfigError::ReadConfig(error, _)) if error.kind() == std::io::ErrorKind::NotFound);
        let named = self.kubeconfig.is_some() || std::env::var_os("KUBECONFIG").is_some();
        if nothing && !named && self.context.is_none() {
            return Ok((bounded(in_a_pod()?), None));
        }
        let kubeconfig = read.map_err(|error| ClusterError::kubeconfig(path.clone(), &error))?;
        let known: Vec<String> = kubeconfig.contexts.iter().map(|context| context.name.clone()).collect();
        let wanted = self.context.clone().or_else(|| kubeconfig.current_context.clone());
        if let Some(name) = wanted.filter(|name| !known.contains(name)) {
            return Err(ClusterError::Context { path, name, known });
        }
        let options = KubeConfigOptions { context: self.context.clone(), ..KubeConfigOptions::default() };
        let config = Config::from_custom_kubeconfig(kubeconfig, &options).await;
        let config = config.map_err(|error| ClusterError::kubeconfig(path.clone(), &error))?;
        Ok((bounded(config), Some(path)))
    }
}

impl Cluster {
    /// Asks the API server for its version: a first call that needs no permission.
    ///
    /// # Errors
    /// It cannot be reached, or does not know us.
    pub async fn reach(&self) -> Result<String, ClusterError> {
        let need = Need::new("get", "", "/version");
        self.client
            .apiserver_version()
            .await
            .map(|info| info.git_version)
            .map_err(|error| need.failed(&error))
    }
}

fn bounded(mut config: Config) -> Config {
    config.connect_timeout = Some(CONNECT);
    config.read_timeout = Some(READ);
    // Else the time for which a connection lay idle counts against the next answer on it.
    config.reset_reader_on_write = true;
    config
}

fn in_a_pod() -> Result<Config, ClusterError> {
    if std::env::var_os("KUBERNETES_SERVICE_HOST").is_none() {
        return Err(ClusterError::Nowhere);
    }
    Config::incluster().map_err(|error| ClusterError::ServiceAccount(error.to_string()))
}

/// The file that is read where none is named, for messages.
fn usual() -> PathBuf {
    let listed = std::env::var_os("KUBECONFIG").unwrap_or_default();
    let first = std::env::split_paths(&listed).find(|path| !path.as_os_str().is_empty());
    first.unwrap_or_else(|| PathBuf::from("~/.kube/config"))
}

#[cfg(test)]
mod tests;
