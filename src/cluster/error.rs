//! What can go wrong with an API server, in sentences that say whose move it is.

use std::error::Error;
use std::fmt;
use std::path::PathBuf;

use kube::config::KubeconfigError;

/// The API server cannot be found, reached or asked.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// Nothing says where the API server is.
    #[error(
        "no cluster to ask: give --kubeconfig, set KUBECONFIG, write ~/.kube/config, or run in a Pod with a service account"
    )]
    Nowhere,
    /// A kubeconfig that cannot be used.
    #[error("kubeconfig {}: {why}", .path.display())]
    Kubeconfig {
        /// The file; where several make one, the first.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// No such context in the kubeconfig.
    #[error("kubeconfig {}: no context `{name}`; it has {}", .path.display(), listed(.known))]
    Context {
        /// The file.
        path: PathBuf,
        /// The context that was asked for.
        name: String,
        /// Those there are.
        known: Vec<String>,
    },
    /// The service account of this Pod cannot be used.
    #[error("service account of this Pod: {0}")]
    ServiceAccount(String),
    /// Nobody answers there, or not in time, or with a certificate that is not believed.
    #[error("cannot reach the API server while wanting to {need}: {why}")]
    Unreachable {
        /// What was asked.
        need: Box<Need>,
        /// The last cause.
        why: String,
    },
    /// The API server does not know who asks.
    #[error("the API server does not accept our credentials (401), so that nobody may {0}")]
    Unauthorized(Box<Need>),
    /// Who asks may not.
    #[error("{}", forbidden(.0))]
    Forbidden(Vec<Need>),
    /// It answered, and not as hoped.
    #[error("cannot {need}: the API server answers {code}: {message}")]
    Answer {
        /// What was asked.
        need: Box<Need>,
        /// HTTP status.
        code: u16,
        /// What it says.
        message: String,
    },
}

/// What is asked of the API server, in the words of RBAC.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Need {
    /// `get`, `list`, `watch`, `create`, `patch`, ….
    pub verb: &'static str,
    /// API group; empty for the core.
    pub group: &'static str,
    /// Plural of the kind.
    pub resource: &'static str,
    /// In which namespace; `None` for all of them and for what has none.
    pub namespace: Option<String>,
    /// Which object; `None` for any.
    pub name: Option<String>,
}

impl Need {
    /// At the cluster scope, any object.
    pub const fn new(verb: &'static str, group: &'static str, resource: &'static str) -> Self {
        Self { verb, group, resource, namespace: None, name: None }
    }

    /// The same in one namespace.
    #[must_use]
    pub fn within(self, namespace: &str) -> Self {
        Self { namespace: Some(namespace.to_owned()), ..self }
    }

    /// The same of one object.
    #[must_use]
    pub fn of(self, name: &str) -> Self {
        Self { name: Some(name.to_owned()), ..self }
    }

    /// What an error of this request means.
    pub fn failed(self, error: &kube::Error) -> ClusterError {
        match error {
            kube::Error::Api(status) if status.code == 401 => ClusterError::Unauthorized(Box::new(self)),
            kube::Error::Api(status) if status.is_forbidden() => ClusterError::Forbidden(vec![self]),
            kube::Error::Api(status) => ClusterError::Answer {
                need: Box::new(self),
                code: status.code,
                message: status.message.clone(),
            },
            other => ClusterError::Unreachable { need: Box::new(self), why: cause(other) },
        }
    }
}

impl fmt::Display for Need {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { verb, group, resource, .. } = self;
        let dot = if group.is_empty() { "" } else { "." };
        write!(out, "{verb} {resource}{dot}{group}")?;
        if let Some(name) = &self.name {
            write!(out, " `{name}`")?;
        }
        match &self.namespace {
            Some(namespace) => write!(out, " in namespace `{namespace}`"),
            None => Ok(()),
        }
    }
}

impl ClusterError {
    /// What a kubeconfig's error means.
    pub(super) fn kubeconfig(path: PathBuf, error: &KubeconfigError) -> Self {
        let why = match error {
            KubeconfigError::ReadConfig(error, _) => error.to_string(),
            other => other.to_string(),
        };
        Self::Kubeconfig { path, why }
    }
}

/// The last of a chain of causes, which is the one that says something.
pub(super) fn cause(error: &dyn Error) -> String {
    let mut last = error;
    while let Some(next) = last.source() {
        last = next;
    }
    last.to_string()
}

fn listed(names: &[String]) -> String {
    if names.is_empty() { "none".to_owned() } else { format!("`{}`", names.join("`, `")) }
}

fn forbidden(needs: &[Need]) -> String {
    let all: Vec<String> = needs.iter().map(ToString::to_string).collect();
    format!("RBAC forbids what is needed; grant: {}", all.join("; "))
}
