//! JSON Web Key Sets (RFC 7517) of further issuers, and where they are read from.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::{Read as _, Result as IoResult};
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value as Json;
use thiserror::Error;
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig};

use super::OidcError;

const KEYS_MAX: usize = 100;

#[derive(Debug, Error)]
pub enum JwksError {
    #[error("is no JSON Web Key Set")]
    Shape(#[source] serde_json::Error),
    #[error("holds {0} keys (allowed: {KEYS_MAX})")]
    TooMany(usize),
    #[error("holds two keys of the id `{}`", .0.escape_debug())]
    Twice(String),
    #[error("holds no key that can be used: an id, and RSA of 2048 to 4096 bits, P-256 or Ed25519")]
    Empty,
}

/// The usable keys by id, each with its one algorithm.
pub struct Jwks(BTreeMap<String, (Algorithm, DecodingKey)>);

#[derive(Deserialize)]
struct Set {
    keys: Vec<Json>,
}

#[derive(Deserialize)]
struct Jwk {
    kty: String,
    kid: String,
    #[serde(rename = "use")]
    usage: Option<String>,
    alg: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
    d: Option<IgnoredAny>,
}

impl Jwks {
    /// Reads a key set. Keys of unsupported kinds are skipped: providers publish them for other clients.
    pub fn parse(text: &[u8]) -> Result<Self, JwksError> {
        let set: Set = serde_json::from_slice(text).map_err(JwksError::Shape)?;
        if set.keys.len() > KEYS_MAX {
            return Err(JwksError::TooMany(set.keys.len()));
        }
        let mut keys = BTreeMap::new();
        for jwk in set.keys.into_iter().filter_map(|json| serde_json::from_value::<Jwk>(json).ok()) {
            if let Some(key) = jwk.key()
                && keys.insert(jwk.kid.clone(), key).is_some()
            {
                return Err(JwksError::Twice(jwk.kid));
            }
        }
        if keys.is_empty() { Err(JwksError::Empty) } else { Ok(Self(keys)) }
    }

    pub fn find(&self, kid: &str) -> Option<(Algorithm, &DecodingKey)> {
        self.0.get(kid).map(|(algorithm, key)| (*algorithm, key))
    }
}

impl Jwk {
    /// The key if it is usable: a supported kind and size, for signatures, and without its private half.
    fn key(&self) -> Option<(Algorithm, DecodingKey)> {
        if self.kid.is_empty() || self.d.is_some() || self.usage.as_ref().is_some_and(|usage| usage != "sig")
        {
            return None;
        }
        let is_for = |words: &[&str]| self.alg.as_ref().is_none_or(|alg| words.contains(&alg.as_str()));
        match (self.kty.as_str(), self.crv.as_deref()) {
            ("RSA", None) if is_for(&["RS256"]) => {
                let (n, e) = (bytes(self.n.as_ref()?)?, bytes(self.e.as_ref()?)?);
                let key = || DecodingKey::from_rsa_raw_components(&n, &e);
                (strong(&n) && odd(&e)).then(key).map(|key| (Algorithm::RS256, key))
            }
            ("EC", Some("P-256")) if is_for(&["ES256"]) => {
                let (x, y) = (self.x.as_ref()?, self.y.as_ref()?);
                let whole = [x, y].iter().all(|part| bytes(part).is_some_and(|part| part.len() == 32));
                let key = DecodingKey::from_ec_components(x, y).ok().filter(|_| whole)?;
                Some((Algorithm::ES256, key))
            }
            // The library panics on fewer than 32 bytes.
            ("OKP", Some("Ed25519")) if is_for(&["EdDSA", "Ed25519"]) => {
                let x = bytes(self.x.as_ref()?).filter(|x| x.len() == 32)?;
                Some((Algorithm::EdDSA, DecodingKey::from_ed_der(&x)))
            }
            _ => None,
        }
    }
}

fn bytes(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

/// From 2048 bits, below which RSA is weak, to 4096, the maximum of the library.
fn strong(modulus: &[u8]) -> bool {
    (256..=512).contains(&modulus.len()) && modulus.first().is_some_and(|first| *first >= 0x80)
        || (257..=512).contains(&modulus.len()) && modulus.first().is_some_and(|first| *first > 0)
}

/// At least three: with an exponent of one every text is its own signature.
fn odd(exponent: &[u8]) -> bool {
    let value = exponent.iter().fold(0_u64, |value, byte| value << 8 | u64::from(*byte));
    exponent.len() <= 4 && value >= 3 && value % 2 == 1
}

/// The sets of large providers have some 20 KiB.
const BYTES_MAX: u64 = 256 * 1024;

/// For the whole request, since a caller waits for it.
const TIMEOUT: Duration = Duration::from_secs(5);

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// For providers that the server cannot reach.
    File(PathBuf),
    Url {
        /// `https://…`
        url: String,
        /// The CA of the address, PEM, instead of the public CAs.
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
    /// The shortest interval between refreshes for unknown keys, so that invalid tokens do not cause requests to the
    /// provider.
    pub const fn apart(&self) -> Duration {
        match self {
            Self::File(_) => Duration::from_secs(2),
            Self::Url { .. } => Duration::from_mins(1),
        }
    }

    /// Blocks for at most five seconds.
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
