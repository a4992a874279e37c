//! The settings of the webhook configurations that differ between installations.

use std::fmt;

/// [`Settings::validate`] must pass before a configuration is rendered from them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Suffix of the webhook names: a DNS subdomain with a dot, at most 200 characters.
    pub domain: String,
    /// First token of a tenant namespace's name, `[a-z][a-z0-9]{0,9}`; must equal the snapshot's.
    pub prefix: String,
    /// Suffix of the names of tenants' groups, and of no other group; `[A-Za-z0-9._:-]{2,63}`.
    pub tenant_suffix: String,
    /// Username of vela-core.
    pub vela: String,
    pub client: Client,
    /// PEM certificates of the CA that signs the gate's certificate; `None` where something else writes them, for example
    /// cert-manager.
    pub ca_bundle: Option<String>,
}

/// How kube-apiserver calls the gate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Client {
    /// The certificate must be for `NAME.NAMESPACE.svc`.
    Service {
        namespace: String,
        name: String,
        /// 1 to 65535.
        port: u16,
    },
    /// `https://HOST[:PORT]` without a path, for a gate outside the cluster.
    Url(String),
}

/// An invalid setting; the message names its flag.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    #[error("--domain `{0}` is not a domain with a dot, for example `portcullis.kubenova.io`")]
    Domain(String),
    #[error(
        "--prefix `{0}` must be a lower-case letter and up to nine lower-case letters or digits, for example `tn`"
    )]
    Prefix(String),
    #[error(
        "--tenant-suffix `{0}` must be 2 to 63 letters, digits, `.`, `_`, `:` or `-`, for example `-devs`"
    )]
    TenantSuffix(String),
    #[error("--vela-user `{0}` is not a service account; write `system:serviceaccount:NAMESPACE:NAME`")]
    Vela(String),
    #[error("--service `{0}` must be `NAMESPACE/NAME` or `NAMESPACE/NAME:PORT`")]
    Service(String),
    #[error("--url `{0}` must be `https://HOST[:PORT]` without path, user or query")]
    Url(String),
    #[error("the file of --ca-bundle has no PEM certificate")]
    CaBundle,
    #[error(
        "the file of --ca-bundle has a private key, and a webhook configuration is public; give the certificate only"
    )]
    Key,
}

impl fmt::Display for Client {
    /// In the notation of --service and --url; port 443 is left out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Service { namespace, name, port: 443 } => write!(f, "{namespace}/{name}"),
            Self::Service { namespace, name, port } => write!(f, "{namespace}/{name}:{port}"),
            Self::Url(url) => f.write_str(url),
        }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            domain: "portcullis.kubenova.io".to_owned(),
            prefix: "tn".to_owned(),
            tenant_suffix: "-devs".to_owned(),
            vela: "system:serviceaccount:vela-system:kubevela-vela-core".to_owned(),
            client: Client::default(),
            ca_bundle: None,
        }
    }
}

impl Default for Client {
    fn default() -> Self {
        Self::Service { namespace: "portcullis-system".to_owned(), name: "portcullis".to_owned(), port: 443 }
    }
}

impl Settings {
    pub fn validate(&self) -> Result<(), SettingsError> {
        if !(self.domain.contains('.') && self.domain.len() <= 200 && self.domain.split('.').all(is_label)) {
            return Err(SettingsError::Domain(self.domain.clone()));
        }
        let lower = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let starts_low = self.prefix.starts_with(|first: char| first.is_ascii_lowercase());
        if !(starts_low && self.prefix.len() <= 10 && self.prefix.bytes().all(lower)) {
            return Err(SettingsError::Prefix(self.prefix.clone()));
        }
        // This alphabet needs no quoting in a CEL string.
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._:-".contains(&byte);
        if !((2..=63).contains(&self.tenant_suffix.len()) && self.tenant_suffix.bytes().all(plain)) {
            return Err(SettingsError::TenantSuffix(self.tenant_suffix.clone()));
        }
        let account = self.vela.strip_prefix("system:serviceaccount:").and_then(|rest| rest.split_once(':'));
        if !account.is_some_and(|(namespace, name)| is_label(namespace) && name.split('.').all(is_label)) {
            return Err(SettingsError::Vela(self.vela.clone()));
        }
        self.client.validate()?;
        self.ca_bundle.as_deref().map_or(Ok(()), certificates)
    }
}

impl Client {
    /// Parses `NAMESPACE/NAME[:PORT]`; the default port is 443.
    pub fn service(text: &str) -> Result<Self, SettingsError> {
        let wrong = || SettingsError::Service(text.to_owned());
        let (namespace, rest) = text.split_once('/').ok_or_else(wrong)?;
        let (name, port) = match rest.split_once(':') {
            Some((name, port)) => (name, port.parse().map_err(|_| wrong())?),
            None => (rest, 443),
        };
        let client = Self::Service { namespace: namespace.to_owned(), name: name.to_owned(), port };
        client.validate().map_err(|_| wrong())?;
        Ok(client)
    }

    /// Parses `https://HOST[:PORT]`.
    pub fn url(text: &str) -> Result<Self, SettingsError> {
        let client = Self::Url(text.trim_end_matches('/').to_owned());
        client.validate().map_err(|_| SettingsError::Url(text.to_owned()))?;
        Ok(client)
    }

    fn validate(&self) -> Result<(), SettingsError> {
        match self {
            Self::Service { namespace, name, port } if is_label(namespace) && is_label(name) && *port > 0 => {
                Ok(())
            }
            Self::Service { namespace, name, port } => {
                Err(SettingsError::Service(format!("{namespace}/{name}:{port}")))
            }
            Self::Url(url) => {
                let host = url.strip_prefix("https://").unwrap_or_default();
                let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-:[]".contains(&byte);
                if host.is_empty() || !host.bytes().all(plain) {
                    Err(SettingsError::Url(url.clone()))
                } else {
                    Ok(())
                }
            }
        }
    }
}

fn certificates(pem: &str) -> Result<(), SettingsError> {
    if pem.contains("PRIVATE KEY-----") {
        return Err(SettingsError::Key);
    }
    let whole = pem.contains("-----BEGIN CERTIFICATE-----") && pem.contains("-----END CERTIFICATE-----");
    if whole { Ok(()) } else { Err(SettingsError::CaBundle) }
}

fn is_label(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=63).contains(&text.len())
        && text.bytes().all(inner)
        && !text.starts_with('-')
        && !text.ends_with('-')
}
