//! The API server: where it is, a client whose calls all have timeouts, and permission checks.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec,
};
use kube::api::PostParams;
use kube::client::ClientBuilder;
use kube::config::{KubeConfigOptions, Kubeconfig, KubeconfigError};
use kube::{Api, Client, Config};
use tower::timeout::TimeoutLayer;

use super::error::{ClusterError, Need};

const CONNECT: Duration = Duration::from_secs(5);

/// Time to the first byte of an answer. Lists of large clusters take seconds.
const ANSWER: Duration = Duration::from_secs(20);

/// Between two reads of one answer. A watch sends something at least every [`WATCH_SECONDS`]: its end.
const READ: Duration = Duration::from_secs(35);

/// How long one watch lasts before it is restarted where it was, which bounds how long a dead connection goes unnoticed.
pub(crate) const WATCH_SECONDS: u32 = 25;

#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Cluster")]
pub struct ClusterArgs {
    /// Kubeconfig file; by default $KUBECONFIG, ~/.kube/config, or in a Pod its service account
    #[arg(long, env = "PORTCULLIS_KUBECONFIG", value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,

    /// Context of the kubeconfig; by default its current context
    #[arg(long, env = "PORTCULLIS_CONTEXT", value_name = "NAME")]
    pub context: Option<String>,
}

#[derive(Clone)]
pub struct Cluster {
    pub client: Client,
    /// Namespace of the context, or in a Pod the namespace of the Pod.
    pub namespace: String,
    pub server: String,
}

impl ClusterArgs {
    /// Reads the configuration and builds a client; sends nothing. Must be called inside a Tokio runtime.
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
            None => (default_path(), Kubeconfig::read()),
        };
        let not_found = matches!(&read, Err(KubeconfigError::FindPath))
            || matches!(&read, Err(KubeconfigError::ReadConfig(error, _)) if error.kind() == std::io::ErrorKind::NotFound);
        let named = self.kubeconfig.is_some() || std::env::var_os("KUBECONFIG").is_some();
        if not_found && !named && self.context.is_none() {
            return Ok((bounded(in_cluster()?), None));
        }
        let kubeconfig = read.map_err(|error| ClusterError::kubeconfig(path.clone(), &error))?;
        let known: Vec<String> = kubeconfig.contexts.iter().map(|context| context.name.clone()).collect();
        let name = self.context.clone().or_else(|| kubeconfig.current_context.clone());
        if let Some(name) = name.filter(|name| !known.contains(name)) {
            return Err(ClusterError::Context { path, name, known });
        }
        let options = KubeConfigOptions { context: self.context.clone(), ..KubeConfigOptions::default() };
        let config = Config::from_custom_kubeconfig(kubeconfig, &options).await;
        let config = config.map_err(|error| ClusterError::kubeconfig(path.clone(), &error))?;
        Ok((bounded(config), Some(path)))
    }
}

impl Cluster {
    /// Requests `/version`, which needs no permission.
    pub async fn reach(&self) -> Result<String, ClusterError> {
        let need = Need::new("get", "", "/version");
        self.client
            .apiserver_version()
            .await
            .map(|info| info.git_version)
            .map_err(|error| need.failed(&error))
    }

    /// Fails with [`ClusterError::Forbidden`], which lists every missing permission.
    pub async fn check_permissions(&self, needs: &[Need]) -> Result<(), ClusterError> {
        let api: Api<SelfSubjectAccessReview> = Api::all(self.client.clone());
        let mut missing = Vec::new();
        for need in needs {
            let review = SelfSubjectAccessReview { spec: access_review(need), ..Default::default() };
            let own_need = Need::new("create", "authorization.k8s.io", "selfsubjectaccessreviews");
            let answer = api.create(&PostParams::default(), &review).await;
            let answer = answer.map_err(|error| own_need.failed(&error))?;
            if !answer.status.is_some_and(|status| status.allowed) {
                missing.push(need.clone());
            }
        }
        if missing.is_empty() { Ok(()) } else { Err(ClusterError::Forbidden(missing)) }
    }
}

fn bounded(mut config: Config) -> Config {
    config.connect_timeout = Some(CONNECT);
    config.read_timeout = Some(READ);
    // Without this, the idle time of a connection counts against the next answer on it.
    config.reset_reader_on_write = true;
    config
}

fn in_cluster() -> Result<Config, ClusterError> {
    if std::env::var_os("KUBERNETES_SERVICE_HOST").is_none() {
        return Err(ClusterError::NotConfigured);
    }
    Config::incluster().map_err(|error| ClusterError::ServiceAccount(error.to_string()))
}

/// The kubeconfig that is read by default, for messages.
fn default_path() -> PathBuf {
    let listed = std::env::var_os("KUBECONFIG").unwrap_or_default();
    let first = std::env::split_paths(&listed).find(|path| !path.as_os_str().is_empty());
    first.unwrap_or_else(|| PathBuf::from("~/.kube/config"))
}

fn access_review(need: &Need) -> SelfSubjectAccessReviewSpec {
    let attributes = ResourceAttributes {
        verb: Some(need.verb.to_owned()),
        group: Some(need.group.to_owned()),
        resource: Some(need.resource.to_owned()),
        namespace: need.namespace.clone(),
        name: need.name.clone(),
        ..Default::default()
    };
    SelfSubjectAccessReviewSpec { resource_attributes: Some(attributes), ..Default::default() }
}

#[cfg(test)]
mod tests;
