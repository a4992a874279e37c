//! The snapshot from the API of another process, by long poll. A thread sends the requests; an async task applies the answers.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use ureq::http::Response;
use ureq::tls::{Certificate, ClientCert, PemItem, PrivateKey, RootCerts, TlsConfig, parse_pem};
use ureq::{Agent, Body};

use crate::feed::backoff::Backoff;
use crate::feed::health::TroubleKind;
use crate::feed::snapshot_applier::{ApplyError, Comparison, SnapshotApplier};
use crate::revision::{DIGEST_HEADER, FORMAT_HEADER, Position};
use portcullis_telemetry::{gzip, metrics};
use portcullis_tenancy::snapshot::{FORMAT_VERSION, Fallbacks, LENGTH_MAX, Snapshot, SnapshotError};

/// Address and credentials. Files are read for every request, so that they can be rotated.
#[derive(Debug, Clone)]
pub struct Remote {
    /// `https://host:port`, without a path.
    pub url: String,
    pub token: Option<PathBuf>,
    /// CA certificates; by default the public ones.
    pub ca: Option<PathBuf>,
    /// Client certificate and key.
    pub certificate: Option<(PathBuf, PathBuf)>,
    pub cluster: Option<String>,
    /// How long the API may delay an answer without changes, 1 to 30 s.
    pub hold: Duration,
}

/// Policy files: path → text.
pub type Files = std::collections::BTreeMap<String, String>;

#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct PolicyFilesError(#[from] RemoteError);

impl Remote {
    /// The files of a revision of the policies. Blocks.
    pub fn policy_files(&self, revision: u64) -> Result<Files, PolicyFilesError> {
        Ok(Client::new(self.clone()).policy_files(revision)?)
    }
}

/// Follows the API until `stop` is cancelled, and compares the whole document every `resync`.
pub async fn follow(
    remote: Remote,
    mut applier: SnapshotApplier,
    resync: Duration,
    stop: CancellationToken,
) -> Result<(), std::io::Error> {
    let (requests, mut answers) = start(remote)?;
    let mut backoff = Backoff::new(stop.clone());
    let mut compared: Option<Instant> = None;
    let mut applicable = true;
    loop {
        let whole = !applicable || compared.is_none_or(|at| at.elapsed() >= resync);
        let gone = || std::io::Error::other("the thread that polls the ledger has ended");
        requests.send((whole, applier.current().cloned())).map_err(|_| gone())?;
        let answer = tokio::select! {
            () = stop.cancelled() => return Ok(()),
            answer = answers.recv() => answer.ok_or_else(gone)?,
        };
        let compare = compared.is_some() && applicable;
        let result = answer.and_then(|answer| apply(&mut applier, answer, compare));
        let go_on = match result {
            Ok(()) => {
                if whole {
                    compared = Some(Instant::now());
                }
                applicable = true;
                applier.health().confirmed();
                backoff.succeeded(true).await
            }
            // The whole document is requested at once; a second failure waits.
            Err(RemoteError::Rejected(error)) if applicable && !whole => {
                if matches!(error, ApplyError::NeedsWholeDocument) {
                    tracing::debug!(%error, "requesting the whole document");
                } else {
                    tracing::error!(%error, "a change of the ledger cannot be applied; requesting the whole document");
                }
                applicable = false;
                true
            }
            Err(error) => {
                applier.health().trouble(error.kind(), error);
                backoff.failed().await
            }
        };
        if !go_on {
            return Ok(());
        }
    }
}

/// With `compare`, a whole document of the same revision must equal the snapshot in force.
fn apply(applier: &mut SnapshotApplier, answer: Answer, compare: bool) -> Result<(), RemoteError> {
    match answer {
        Answer::Nothing => {}
        Answer::Change { since, revision, digest, patch } => {
            applier.change(since, revision, digest, &patch)?
        }
        Answer::Whole(snapshot, fallbacks) => {
            let at = (snapshot.ledger.to_string(), snapshot.revision);
            let same = applier.position().is_some_and(|here| here.ledger == at.0 && here.revision == at.1);
            let comparison = applier.whole(*snapshot, fallbacks)?;
            if compare && same && comparison != Comparison::Fork {
                metrics::snapshot_reconciled(comparison == Comparison::Same);
                if comparison == Comparison::Different {
                    tracing::error!(
                        revision = at.1,
                        "the snapshot differed from the ledger: a change was lost"
                    );
                }
            }
        }
    }
    Ok(())
}

/// Whether to request the whole document, and the current snapshot.
type PollRequest = (bool, Option<Arc<Snapshot>>);

type Channels = (std::sync::mpsc::Sender<PollRequest>, mpsc::Receiver<Result<Answer, RemoteError>>);

/// A thread, because a long poll must not delay the end of the runtime.
fn start(remote: Remote) -> std::io::Result<Channels> {
    let (requests, received) = std::sync::mpsc::channel::<PollRequest>();
    let (sender, answers) = mpsc::channel(1);
    let mut client = Client::new(remote);
    std::thread::Builder::new().name("ledger".to_owned()).spawn(move || {
        while let Ok((whole, before)) = received.recv() {
            let answer = client.poll(whole, before.as_deref());
            if sender.blocking_send(answer).is_err() {
                return;
            }
        }
    })?;
    Ok((requests, answers))
}

/// Added to the time for which the API may hold the request.
const EXTRA_TIMEOUT: Duration = Duration::from_secs(10);

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Limit of the decompressed answer.
const BYTES_MAX: u64 = LENGTH_MAX as u64 + 1024 * 1024;

#[derive(Debug)]
enum Answer {
    /// The document, and its invalid entries.
    Whole(Box<Snapshot>, Fallbacks),
    Change {
        since: u64,
        revision: u64,
        digest: Option<Arc<str>>,
        patch: Value,
    },
    Nothing,
}

#[derive(Debug, thiserror::Error)]
enum RemoteError {
    #[error("cannot read `{path}`: {source}")]
    File { path: String, source: std::io::Error },
    #[error("`{0}` holds no PEM certificate or key")]
    Pem(String),
    #[error("the API of the ledger cannot be reached: {0}")]
    Transport(Box<ureq::Error>),
    #[error("the API of the ledger answers {status}{title}")]
    Status { status: u16, title: String },
    #[error("the API of the ledger answers with more than {0} bytes")]
    TooLong(u64),
    #[error("the API of the ledger answers with the content encoding `{0}`; only gzip is supported")]
    Encoding(String),
    #[error("the API of the ledger answers with snapshot format {0}; this version reads {FORMAT_VERSION}")]
    Format(u32),
    #[error("the answer of the API of the ledger cannot be read: {0}")]
    Body(std::io::Error),
    #[error("the API of the ledger answers with an invalid snapshot: {0}")]
    Answer(#[from] serde_json::Error),
    #[error("the snapshot of the ledger is invalid: {0}")]
    Document(#[from] SnapshotError),
    #[error(transparent)]
    Rejected(#[from] ApplyError),
}

impl RemoteError {
    /// Whether the API answers and its answer is rejected.
    const fn kind(&self) -> TroubleKind {
        match self {
            Self::Answer(_)
            | Self::Document(_)
            | Self::Rejected(_)
            | Self::TooLong(_)
            | Self::Format(_)
            | Self::Encoding(_) => TroubleKind::Refused,
            Self::File { .. } | Self::Pem(_) | Self::Transport(_) | Self::Body(_) | Self::Status { .. } => {
                TroubleKind::Unreachable
            }
        }
    }
}

/// The agent is reused until one of its files changes.
struct Client {
    remote: Remote,
    agent: Option<(Vec<Vec<u8>>, Agent)>,
}

#[derive(Deserialize)]
struct SnapshotResponse<'a> {
    revision: u64,
    digest: Option<Arc<str>>,
    /// An older API omits it.
    format: Option<u32>,
    since: Option<u64>,
    #[serde(borrow)]
    whole: Option<&'a RawValue>,
    patch: Option<Value>,
}

impl Client {
    fn new(remote: Remote) -> Self {
        Self { remote, agent: None }
    }

    /// Requests the whole document, or the changes since `before`. Invalid entries stay as in `before`.
    fn poll(&mut self, whole: bool, before: Option<&Snapshot>) -> Result<Answer, RemoteError> {
        let agent = self.agent()?;
        let mut request = agent.get(format!("{}/api/v1/snapshot", self.remote.url.trim_end_matches('/')));
        if let Some(Position { ledger, revision, digest }) = before.filter(|_| !whole).map(Position::of) {
            request = request.query("ledger", ledger).query("since", revision.to_string());
            // With an empty digest the API answers with the whole document if it knows the digest.
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
        let wire: SnapshotResponse<'_> = serde_json::from_slice(&body)?;
        if let Some(format) = wire.format.filter(|format| *format != FORMAT_VERSION) {
            return Err(RemoteError::Format(format));
        }
        match (wire.whole, wire.since, wire.patch) {
            (Some(whole), ..) => {
                let text = whole.get().as_bytes();
                let (mut snapshot, fallbacks) =
                    Snapshot::read_or_last_good("the ledger's API", text, before)?;
                snapshot.digest = wire.digest.filter(|digest| !digest.is_empty());
                Ok(Answer::Whole(Box::new(snapshot), fallbacks))
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

    fn policy_files(&mut self, revision: u64) -> Result<Files, RemoteError> {
        #[derive(Deserialize)]
        struct PolicyRevision {
            files: Files,
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
        Ok(serde_json::from_slice::<PolicyRevision>(&body)?.files)
    }

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
            let key = PrivateKey::from_pem(key).map_err(|_| pem_error(key_path))?;
            tls = tls.client_cert(Some(ClientCert::new_with_certs(&certificates(pem, path)?, key)));
        }
        let config = Agent::config_builder()
            .tls_config(tls.build())
            .timeout_global(Some(self.remote.hold + EXTRA_TIMEOUT))
            .timeout_connect(Some(CONNECT_TIMEOUT))
            .max_redirects(0)
            .http_status_as_error(false);
        let agent: Agent = config.build().into();
        self.agent = Some((files, agent.clone()));
        Ok(agent)
    }
}

/// Decompressed; reads at most `max` bytes.
fn body(response: &mut Response<Body>, max: u64) -> Result<Vec<u8>, RemoteError> {
    let coding = response.headers().get("content-encoding");
    let coding = coding.map(|coding| String::from_utf8_lossy(coding.as_bytes()).into_owned());
    // The limit applies to the decompressed text, so the limit of the client is disabled.
    let sent = response.body_mut().with_config().limit(u64::MAX).reader();
    let text: Box<dyn Read> = match coding.as_deref() {
        None | Some("identity") => Box::new(sent),
        Some(coding) if coding.eq_ignore_ascii_case("gzip") => Box::new(gzip::decompress(sent)),
        Some(coding) => return Err(RemoteError::Encoding(coding.chars().take(64).collect())),
    };
    bounded(text, max)
}

/// Reads at most one byte more than `max`.
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
    if found.is_empty() { Err(pem_error(path)) } else { Ok(found) }
}

fn read(path: &Path) -> Result<Vec<u8>, RemoteError> {
    std::fs::read(path).map_err(|source| RemoteError::File { path: path.display().to_string(), source })
}

fn pem_error(path: &Path) -> RemoteError {
    RemoteError::Pem(path.display().to_string())
}

fn transport(error: ureq::Error) -> RemoteError {
    RemoteError::Transport(Box::new(error))
}

/// Code and detail of a problem document in one line.
fn title(body: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Problem {
        code: Option<String>,
        detail: Option<String>,
    }
    let Ok(Problem { code, detail }) = serde_json::from_slice(body) else { return String::new() };
    let fields: Vec<String> = [code, detail].into_iter().flatten().collect();
    let line: String = fields.join(": ").chars().filter(|c| !c.is_control()).take(400).collect();
    if line.is_empty() { line } else { format!(": {line}") }
}

#[cfg(test)]
mod tests;
