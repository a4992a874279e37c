//! One question to the API: what is new since where we are?

use std::io::Read;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use ureq::http::Response;
use ureq::tls::{Certificate, ClientCert, PemItem, PrivateKey, RootCerts, TlsConfig, parse_pem};
use ureq::{Agent, Body};

use super::Remote;
use crate::feed::health::TroubleKind;
use crate::feed::intake::Refused;
use crate::revision::{DIGEST_HEADER, FORMAT_HEADER, Position};
use portcullis_telemetry::gzip;
use portcullis_tenancy::snapshot::{FORMAT_VERSION, Held, LENGTH_MAX, Snapshot, SnapshotError};

/// What takes so much longer than it was asked to hangs.
const PATIENCE: Duration = Duration::from_secs(10);

/// For the connection itself.
const PATIENCE_CONNECT: Duration = Duration::from_secs(5);

/// Bytes of an answer once it is decompressed, at most: the longest document that is read, and what is around it.
const BYTES_MAX: u64 = LENGTH_MAX as u64 + 1024 * 1024;

/// What the API says.
#[derive(Debug)]
pub(super) enum Answer {
    /// The document, and what of it does not read.
    Whole(Box<Snapshot>, Held),
    Change {
        since: u64,
        revision: u64,
        digest: Option<Arc<str>>,
        patch: Value,
    },
    Nothing,
}

/// Why there is no answer, or none that can be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum RemoteError {
    #[error("cannot read `{path}`: {source}")]
    File { path: String, source: std::io::Error },
    #[error("`{0}` holds no PEM of what it is named for")]
    Pem(String),
    #[error("the ledger's API cannot be reached: {0}")]
    Transport(Box<ureq::Error>),
    #[error("the ledger's API answers {status}{title}")]
    Status { status: u16, title: String },
    #[error("the ledger's API answers more than {0} bytes")]
    TooLong(u64),
    #[error("the ledger's API answers in the content encoding `{0}` (read here: gzip)")]
    Encoding(String),
    #[error("the ledger's API answers in format {0} of the snapshot (read here: {FORMAT_VERSION})")]
    Format(u32),
    #[error("the answer of the ledger's API cannot be read: {0}")]
    Body(std::io::Error),
    #[error("the ledger's API answers what is no snapshot: {0}")]
    Answer(#[from] serde_json::Error),
    #[error("the ledger's document does not hold: {0}")]
    Document(#[from] SnapshotError),
    #[error(transparent)]
    Refused(#[from] Refused),
}

impl RemoteError {
    /// Whether the API answers, and what it says is not taken.
    pub(super) const fn kind(&self) -> TroubleKind {
        match self {
            Self::Answer(_)
            | Self::Document(_)
            | Self::Refused(_)
            | Self::TooLong(_)
            | Self::Format(_)
            | Self::Encoding(_) => TroubleKind::Refused,
            Self::File { .. } | Self::Pem(_) | Self::Transport(_) | Self::Body(_) | Self::Status { .. } => {
                TroubleKind::OutOfTouch
            }
        }
    }
}

/// An agent, as long as the files it was made from say the same.
pub(super) struct Client {
    remote: Remote,
    agent: Option<(Vec<Vec<u8>>, Agent)>,
}

#[derive(Deserialize)]
struct Wire<'a> {
    revision: u64,
    digest: Option<Arc<str>>,
    /// Of the document and of patches over it; an older API does not say it, and has the first.
    format: Option<u32>,
    since: Option<u64>,
    #[serde(borrow)]
    whole: Option<&'a RawValue>,
    patch: Option<Value>,
}

impl Client {
    pub(super) fn new(remote: Remote) -> Self {
        Self { remote, agent: None }
    }

    /// Asks for the whole, or for what has changed since `before`, and waits for an answer. Entries that do not read stay as
    /// they are in `before`.
    pub(super) fn ask(&mut self, whole: bool, before: Option<&Snapshot>) -> Result<Answer, RemoteError> {
        let agent = self.agent()?;
        let mut request = agent.get(format!("{}/api/v1/snapshot", self.remote.url.trim_end_matches('/')));
        if let Some(Position { ledger, revision, digest }) = before.filter(|_| !whole).map(Position::of) {
            request = request.query("ledger", ledger).query("since", revision.to_string());
            // An empty one is not known: an API that knows it answers the whole.
            request = request.header(DIGEST_HEADER, digest.unwrap_or_default());
            request = request.query("wait", self.remote.hold.as_secs().clamp(1, 30).to_string());
        }
        if let Some(cluster) = &self.remote.cluster {
            request = request.query("cluster", cluster);
        }
        if let Some(bearer) = self.bearer()? {
            request = request.header("Authorization", bearer);
        }
        request = request.header(FORMAT_HEADER, FORMAT_VERSION.to_string());
        let mut response = request.header("Accept-Encoding", "gzip").call().map_err(transport)?;
        let status = response.status().as_u16();
        let body = body(&mut response, BYTES_MAX)?;
        if status != 200 {
            return Err(RemoteError::Status { status, title: title(&body) });
        }
        let wire: Wire<'_> = serde_json::from_slice(&body)?;
        if let Some(format) = wire.format.filter(|format| *format != FORMAT_VERSION) {
            return Err(RemoteError::Format(format));
        }
        match (wire.whole, wire.since, wire.patch) {
            (Some(whole), ..) => {
                let text = whole.get().as_bytes();
                let (mut snapshot, held) = Snapshot::read_or_last_good("the ledger's API", text, before)?;
                snapshot.digest = wire.digest.filter(|digest| !digest.is_empty());
                Ok(Answer::Whole(Box::new(snapshot), held))
            }
            (None, Some(since), Some(_)) if since == wire.revision => Ok(Answer::Nothing),
            (None, Some(since), Some(patch)) => {
                Ok(Answer::Change { since, revision: wire.revision, digest: wire.digest, patch })
            }
            _ => Err(RemoteError::Status {
                status,
                title: ": neither `whole` nor `since` and `patch`".to_owned(),
            }),
        }
    }

    /// The files of a revision of the law.
    pub(super) fn law(&mut self, revision: u64) -> Result<super::Files, RemoteError> {
        #[derive(Deserialize)]
        struct Law {
            files: super::Files,
        }
        let agent = self.agent()?;
        let url = self.remote.url.trim_end_matches('/');
        let mut request = agent.get(format!("{url}/api/v1/policies/revisions/{revision}"));
        if let Some(bearer) = self.bearer()? {
            request = request.header("Authorization", bearer);
        }
        let mut response = request.header("Accept-Encoding", "gzip").call().map_err(transport)?;
        let status = response.status().as_u16();
        let body = body(&mut response, BYTES_MAX)?;
        if status != 200 {
            return Err(RemoteError::Status { status, title: title(&body) });
        }
        Ok(serde_json::from_slice::<Law>(&body)?.files)
    }

    /// What proves who we are, read anew.
    fn bearer(&self) -> Result<Option<String>, RemoteError> {
        let Some(path) = &self.remote.token else { return Ok(None) };
        let token = read(path)?;
        Ok(Some(format!("Bearer {}", String::from_utf8_lossy(&token).trim())))
    }

    fn agent(&mut self) -> Result<Agent, RemoteError> {
        let certificate = self.remote.certificate.iter().flat_map(|(certificate, key)| [certificate, key]);
        let files: Result<Vec<_>, _> =
            self.remote.ca.iter().chain(certificate).map(|path| read(path)).collect();
        let files = files?;
        if let Some((known, agent)) = &self.agent
            && *known == files
        {
            return Ok(agent.clone());
        }
        let mut tls = TlsConfig::builder();
        let mut pems = files.iter();
        if let (Some(path), Some(pem)) = (&self.remote.ca, self.remote.ca.as_ref().and_then(|_| pems.next()))
        {
            let roots = certificates(pem, path)?;
            tls = tls.root_certs(RootCerts::new_with_certs(&roots));
        }
        if let (Some((path, key_path)), Some(pem), Some(key)) =
            (&self.remote.certificate, pems.next(), pems.next())
        {
            let key = PrivateKey::from_pem(key).map_err(|_| none(key_path))?;
            tls = tls.client_cert(Some(ClientCert::new_with_certs(&certificates(pem, path)?, key)));
        }
        let config = Agent::config_builder()
            .tls_config(tls.build())
            .timeout_global(Some(self.remote.hold + PATIENCE))
            .timeout_connect(Some(PATIENCE_CONNECT))
            .max_redirects(0)
            .http_status_as_error(false);
        let agent: Agent = config.build().into();
        self.agent = Some((files, agent.clone()));
        Ok(agent)
    }
}

/// The answer, decompressed; never more of it in memory than `max` bytes.
fn body(response: &mut Response<Body>, max: u64) -> Result<Vec<u8>, RemoteError> {
    let coding = response.headers().get("content-encoding");
    let coding = coding.map(|coding| String::from_utf8_lossy(coding.as_bytes()).into_owned());
    // The bound is on what is read here, so the client's own bound must not come first.
    let sent = response.body_mut().with_config().limit(u64::MAX).reader();
    let text: Box<dyn Read> = match coding.as_deref() {
        None | Some("identity") => Box::new(sent),
        Some(coding) if coding.eq_ignore_ascii_case("gzip") => Box::new(gzip::decompress(sent)),
        Some(coding) => return Err(RemoteError::Encoding(coding.chars().take(64).collect())),
    };
    bounded(text, max)
}

/// All of a text, of which no more is read than one byte over the bound.
fn bounded(text: impl Read, max: u64) -> Result<Vec<u8>, RemoteError> {
    let mut bytes = Vec::new();
    text.take(max.saturating_add(1)).read_to_end(&mut bytes).map_err(RemoteError::Body)?;
    if bytes.len() as u64 > max { Err(RemoteError::TooLong(max)) } else { Ok(bytes) }
}

fn certificates(pem: &[u8], path: &Path) -> Result<Vec<Certificate<'static>>, RemoteError> {
    let found: Vec<_> = parse_pem(pem)
        .filter_map(|item| match item {
            Ok(PemItem::Certificate(certificate)) => Some(certificate),
            _ => None,
        })
        .collect();
    if found.is_empty() { Err(none(path)) } else { Ok(found) }
}

fn read(path: &Path) -> Result<Vec<u8>, RemoteError> {
    std::fs::read(path).map_err(|source| RemoteError::File { path: path.display().to_string(), source })
}

fn none(path: &Path) -> RemoteError {
    RemoteError::Pem(path.display().to_string())
}

fn transport(error: ureq::Error) -> RemoteError {
    RemoteError::Transport(Box::new(error))
}

/// What a problem document says, as far as a line bears it; nothing of anything else.
fn title(body: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Problem {
        code: Option<String>,
        detail: Option<String>,
    }
    let Ok(Problem { code, detail }) = serde_json::from_slice(body) else { return String::new() };
    let words: Vec<String> = [code, detail].into_iter().flatten().collect();
    let line: String = words.join(": ").chars().filter(|c| !c.is_control()).take(400).collect();
    if line.is_empty() { line } else { format!(": {line}") }
}

#[cfg(test)]
mod tests;
