//! Errors of the API server, worded so that an operator knows what to change.

use std::error::Error;
use std::fmt;
use std::path::PathBuf;

use kube::config::KubeconfigError;

#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    #[error(
        "no cluster is configured: give --kubeconfig, set KUBECONFIG, write ~/.kube/config, or run in a Pod with a service account"
    )]
    NotConfigured,
    #[error("kubeconfig {}: {why}", .path.display())]
    Kubeconfig { path: PathBuf, why: String },
    #[error("kubeconfig {}: context `{name}` does not exist; it has {}", .path.display(), listed(.known))]
    Context { path: PathBuf, name: String, known: Vec<String> },
    #[error("service account of this Pod: {0}")]
    ServiceAccount(String),
    #[error("cannot reach the API server to {need}: {why}")]
    Unreachable { need: Box<Need>, why: String },
    #[error("the API server rejects the credentials (401), so the gate cannot {0}")]
    Unauthorized(Box<Need>),
    #[error("{}", forbidden(.0))]
    Forbidden(Vec<Need>),
    #[error("cannot {need}: the API server answers {code}: {message}")]
    Answer { need: Box<Need>, code: u16, message: String },
}

/// A permission that a request needs, in terms of RBAC.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Need {
    pub verb: &'static str,
    /// API group; empty for the core group.
    pub group: &'static str,
    /// Plural of the kind.
    pub resource: &'static str,
    /// `None` for all namespaces and for cluster-scoped resources.
    pub namespace: Option<String>,
    /// `None` for any object.
    pub name: Option<String>,
}

impl Need {
    pub const fn new(verb: &'static str, group: &'static str, resource: &'static str) -> Self {
        Self { verb, group, resource, namespace: None, name: None }
    }

    #[must_use]
    pub fn within(self, namespace: &str) -> Self {
        Self { namespace: Some(namespace.to_owned()), ..self }
    }

    #[must_use]
    pub fn of(self, name: &str) -> Self {
        Self { name: Some(name.to_owned()), ..self }
    }

    /// Turns an error of the request that needs this permission into its cause.
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
    pub(super) fn kubeconfig(path: PathBuf, error: &KubeconfigError) -> Self {
        let why = match error {
            KubeconfigError::ReadConfig(error, _) => error.to_string(),
            other => other.to_string(),
        };
        Self::Kubeconfig { path, why }
    }
}

/// The last error of a chain, which names the actual cause.
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
    format!("permissions are missing in RBAC; grant: {}", all.join("; "))
}
