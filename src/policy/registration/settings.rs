//! What differs from one installation to the next.

use std::fmt;

/// Settings of the two configurations. [`Settings::validate`] has to pass before anything is printed from them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// What webhook names end in: a DNS subdomain with a dot in it, at most 200 characters.
    pub domain: String,
    /// First token of a tenant namespace's name, `[a-z][a-z0-9]{0,9}`; the snapshot's own must be the same.
    pub prefix: String,
    /// What the name of a tenant's group ends in, and no other group's; `[A-Za-z0-9._:-]{2,63}`.
    pub tenant_suffix: String,
    /// Username of vela-core.
    pub vela: String,
    /// Where the gate is.
    pub client: Client,
    /// PEM certificates that vouch for the gate's; `None` where something else writes them (cert-manager, for one).
    pub ca_bundle: Option<String>,
}

/// Where kube-apiserver finds the gate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Client {
    /// A Service of the cluster; the certificate's name is then `NAME.NAMESPACE.svc`.
    Service {
        /// DNS label.
        namespace: String,
        /// DNS label.
        name: String,
        /// 1 to 65535.
        port: u16,
    },
    /// `https://HOST[:PORT]` without a path, for a gate outside the cluster.
    Url(String),
}

/// A setting that cannot be registered. Each names its flag.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// Of --domain.
    #[error(
        "`{0}` of --domain is no domain; webhook names need one with a dot in it, as in `portcullis.kubenova.io`"
    )]
    Domain(String),
    /// Of --prefix.
    #[error(
        "`{0}` of --prefix is no prefix; write a letter and up to nine letters or digits in lower case, as in `tn`"
    )]
    Prefix(String),
    /// Of --tenant-suffix.
    #[error(
        "`{0}` of --tenant-suffix is no suffix; write 2 to 63 of letters, digits and `.`, `_`, `:`, `-`, as in `-devs`"
    )]
    TenantSuffix(String),
    /// Of --vela-user.
    #[error("`{0}` of --vela-user is no service account; write `system:serviceaccount:NAMESPACE:NAME`")]
    Vela(String),
    /// Of --service.
    #[error("`{0}` of --service is no Service; write `NAMESPACE/NAME` or `NAMESPACE/NAME:PORT`")]
    Service(String),
    /// Of --url.
    #[error("`{0}` of --url cannot be called; write `https://HOST[:PORT]` without path, user or query")]
    Url(String),
    /// Of --ca-bundle.
    #[error("the file of --ca-bundle holds no certificate in PEM")]
    CaBundle,
    /// Of --ca-bundle.
    #[error("the file of --ca-bundle holds a private key, and what is registered is public")]
    Key,
}

impl fmt::Display for Client {
    /// As --service and --url are written; the usual port is left out.
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
    /// Whether this can be registered.
    pub fn validate(&self) -> Result<(), SettingsError> {
        if !(self.domain.contains('.') && self.domain.len() <= 200 && self.domain.split('.').all(is_label)) {
            return Err(SettingsError::Domain(self.domain.clone()));
        }
        let lower = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let starts_low = self.prefix.starts_with(|first: char| first.is_ascii_lowercase());
        if !(starts_low && self.prefix.len() <= 10 && self.prefix.bytes().all(lower)) {
            return Err(SettingsError::Prefix(self.prefix.clone()));
        }
        // They stand in a CEL string: the alphabet is what makes quoting needless.
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
    /// Reads `NAMESPACE/NAME[:PORT]`; the port is 443 where none is given.
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

    /// Reads `https://HOST[:PORT]`.
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
