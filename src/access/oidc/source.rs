//! Where an issuer's keys are: a file, or an address.

use std::fmt;
use std::fs::File;
use std::io::{Read as _, Result as IoResult};
use std::path::{Path, PathBuf};
use std::time::Duration;

use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig};

use super::OidcError;

/// The sets of large providers have some 20 KiB.
const BYTES_MAX: u64 = 256 * 1024;

/// For all of it, from the name's resolution to the last byte: somebody waits.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Where an issuer's keys are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A file, for providers that cannot be reached, or should not have to be.
    File(PathBuf),
    /// An address.
    Url {
        /// `https://…`
        url: String,
        /// What vouches for it, PEM, instead of the public authorities.
        ca: Option<PathBuf>,
    },
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Url { url, .. } => f.write_str(url),
        }
    }
}

impl Source {
    /// How long unknown keys have to wait before they are looked for again: whoever makes them up should not make us
    /// knock at somebody's door.
    pub const fn apart(&self) -> Duration {
        match self {
            Self::File(_) => Duration::from_secs(2),
            Self::Url { .. } => Duration::from_mins(1),
        }
    }

    /// Reads it; blocks for five seconds at most.
    pub(super) fn read(&self, issuer: &str) -> Result<Vec<u8>, OidcError> {
        let file = |path: &Path, source| OidcError::File {
            issuer: issuer.to_owned(),
            from: path.display().to_string(),
            source,
        };
        match self {
            Self::File(path) => read(path).map_err(|error| file(path, error)),
            Self::Url { url, ca: None } => fetch(issuer, url, RootCerts::WebPki),
            Self::Url { url, ca: Some(path) } => {
                let pem = read(path).map_err(|error| file(path, error))?;
                let known = authorities(&pem).map_err(|source| failed(issuer, url, source))?;
                fetch(issuer, url, RootCerts::new_with_certs(&known))
            }
        }
    }
}

fn read(path: &Path) -> IoResult<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > BYTES_MAX {
        return Err(std::io::Error::new(std::io::ErrorKind::FileTooLarge, "more than 256 KiB"));
    }
    Ok(bytes)
}

fn authorities(pem: &[u8]) -> Result<Vec<Certificate<'static>>, ureq::Error> {
    let mut found = Vec::new();
    for item in ureq::tls::parse_pem(pem) {
        if let PemItem::Certificate(certificate) = item? {
            found.push(certificate);
        }
    }
    Ok(found)
}

fn fetch(issuer: &str, url: &str, roots: RootCerts) -> Result<Vec<u8>, OidcError> {
    let config = ureq::Agent::config_builder()
        .tls_config(TlsConfig::builder().root_certs(roots).build())
        .https_only(true)
        .http_status_as_error(false)
        .max_redirects(0)
        .timeout_global(Some(TIMEOUT));
    let agent: ureq::Agent = config.build().into();
    let mut answer = agent.get(url).call().map_err(|source| failed(issuer, url, source))?;
    let status = answer.status().as_u16();
    if status != 200 {
        return Err(OidcError::Status { issuer: issuer.to_owned(), from: url.to_owned(), status });
    }
    let body = answer.body_mut().with_config().limit(BYTES_MAX).read_to_vec();
    body.map_err(|source| failed(issuer, url, source))
}

fn failed(issuer: &str, url: &str, source: ureq::Error) -> OidcError {
    OidcError::Fetch { issuer: issuer.to_owned(), from: url.to_owned(), source: Box::new(source) }
}
