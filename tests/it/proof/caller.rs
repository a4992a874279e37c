//! One connection as kube-apiserver keeps it: a review at a time, nothing repeated, a new one when the old is closed.

use std::net::SocketAddr;
use std::sync::{Arc, RwLock};
use std::time::Duration;

use portcullis_admission::cases::{Answer, Case, Word};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// As long as kube-apiserver waits for `/validate`.
const PATIENCE: Duration = Duration::from_secs(3);

/// As long as Go waits for a handshake.
const DIAL: Duration = Duration::from_secs(10);

/// Whom callers believe, which may change while they call.
pub type Trust = Arc<RwLock<Arc<ClientConfig>>>;

/// What came of a review.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    Right,
    /// Not the verdict that it must be, and what it is instead.
    Wrong(String),
    /// Told that there is too much to do: before the body was read, or in the answer.
    Shed,
    /// No answer, on a connection from this port.
    Failed(u16, String),
}

/// A caller and its connection.
pub struct Caller {
    address: SocketAddr,
    trust: Trust,
    connection: Option<(TlsStream<TcpStream>, u16)>,
}

/// What callers believe when these are the authorities.
pub fn trust(authorities: &[&str]) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    for pem in authorities {
        roots.add(CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()).unwrap();
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    Arc::new(builder.with_root_certificates(roots).with_no_client_auth())
}

impl Caller {
    pub fn new(address: SocketAddr, trust: Trust) -> Self {
        Self { address, trust, connection: None }
    }

    /// Closes the connection; the next review opens another.
    pub fn hang_up(&mut self) {
        self.connection = None;
    }

    /// Sends a review.
    pub async fn ask(&mut self, case: &Case) -> Outcome {
        let mut port = self.connection.as_ref().map_or(0, |(_, port)| *port);
        if self.connection.is_none() {
            match timeout(DIAL, self.dial(&mut port)).await {
                Ok(Ok(connection)) => self.connection = Some(connection),
                Ok(Err(error)) => return Outcome::Failed(port, error.to_string()),
                Err(_) => return Outcome::Failed(port, "no connection in time".to_owned()),
            }
        }
        let done = timeout(PATIENCE, self.exchange(case)).await;
        let failed = match done {
            Ok(Ok((200, body))) => return judge(case, &body),
            Ok(Ok((503, _))) => return Outcome::Shed,
            Ok(Ok((status, body))) => format!("{status} {}", String::from_utf8_lossy(&body)),
            Ok(Err(error)) => error.to_string(),
            Err(_) => "no answer in time".to_owned(),
        };
        self.connection = None;
        Outcome::Failed(port, failed)
    }

    async fn exchange(&mut self, case: &Case) -> std::io::Result<(u16, Vec<u8>)> {
        let Some((mut stream, from)) = self.connection.take() else {
            return Err(std::io::ErrorKind::NotConnected.into());
        };
        let head = format!(
            "POST /{}?timeout=3s HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            case.endpoint.as_str(),
            case.body.len()
        );
        stream.write_all(&[head.as_bytes(), &case.body].concat()).await?;
        let (head, body) = answer(&mut stream).await?;
        if !head.contains("\r\nconnection: close") {
            self.connection = Some((stream, from));
        }
        Ok((head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0), body))
    }

    async fn dial(&self, port: &mut u16) -> std::io::Result<(TlsStream<TcpStream>, u16)> {
        let stream = TcpStream::connect(self.address).await?;
        stream.set_nodelay(true)?;
        *port = stream.local_addr()?.port();
        let config = Arc::clone(&self.trust.read().unwrap());
        let name = "localhost".try_into().unwrap();
        Ok((TlsConnector::from(config).connect(name, stream).await?, *port))
    }
}

/// The head in lower case, and the body.
pub(super) async fn answer(stream: &mut (impl AsyncRead + Unpin)) -> std::io::Result<(String, Vec<u8>)> {
    let mut bytes = Vec::with_capacity(4096);
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break end + 4;
        }
        if stream.read_buf(&mut bytes).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
    };
    let head = String::from_utf8_lossy(&bytes[..end]).to_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    let length = length.and_then(|length| length.parse().ok()).unwrap_or(0);
    let mut body = bytes.split_off(end);
    while body.len() < length {
        if stream.read_buf(&mut body).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok((head, body))
}

fn judge(case: &Case, body: &[u8]) -> Outcome {
    let answer = match Answer::read(body) {
        Ok(answer) => answer,
        Err(error) => return Outcome::Wrong(format!("{}: {error}", case.id)),
    };
    // Shed once its tenant was known.
    let busy = answer.message().contains("full share of it")
        || answer.warnings().iter().any(|warning| warning.contains("full share of it"));
    if answer.verdict() == Word::Error && busy {
        return Outcome::Shed;
    }
    let wrong = case.expect.check(&case.body, &answer);
    if wrong.is_empty() { Outcome::Right } else { Outcome::Wrong(format!("{}: {wrong:?}", case.id)) }
}
