//! A gate with a small service behind it, and a client that says exactly what it is told to.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::response::Response;
use axum::routing::{get, post};
use bytes::Bytes;
use clap::Parser;
use portcullis_certs::develop::{CertificateAuthority, Issued, Use};
use portcullis_lifecycle::drain::Drain;
use portcullis_lifecycle::ready::Readiness;
use portcullis_server::{Drained, Pages, Peer, ServerArgs, ServerError};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio_rustls::client::TlsStream;
use tower::ServiceExt as _;

/// Long enough for a loaded machine; nothing here measures time, this only ends a test that hangs.
pub const PATIENCE: Duration = Duration::from_secs(30);

pub struct Gate {
    pub webhook: SocketAddr,
    pub admin: SocketAddr,
    pub dir: tempfile::TempDir,
    pub authority: CertificateAuthority,
    pub readiness: Readiness,
    pub drain: Drain,
    /// Each permit lets one `/slow` finish.
    pub slow: Arc<Semaphore>,
    /// Each `/slow` that has begun leaves a permit here.
    begun: Arc<Semaphore>,
    pub task: JoinHandle<Result<Drained, ServerError>>,
}

#[derive(Parser)]
struct Command {
    #[command(flatten)]
    server: ServerArgs,
}

#[derive(Clone)]
struct Shared {
    slow: Arc<Semaphore>,
    begun: Arc<Semaphore>,
}

pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

/// Flags as they are typed.
pub fn args(flags: &[&str]) -> ServerArgs {
    let fixed = ["gate", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"];
    Command::try_parse_from(fixed.iter().chain(flags)).unwrap().server
}

impl Gate {
    pub async fn start(flags: &[&str]) -> Self {
        Self::start_with(flags, |_, _| {}).await
    }

    /// With this page of metrics.
    pub async fn start_with_page(flags: &[&str], page: String) -> Self {
        Self::start_of(flags, page, |_, _| {}).await
    }

    /// `edit` may change what is no flag, and write into the directory that holds the certificate.
    pub async fn start_with(
        flags: &[&str],
        edit: impl FnOnce(&mut ServerArgs, &CertificateAuthority),
    ) -> Self {
        Self::start_of(flags, "# nothing\n".to_owned(), edit).await
    }

    async fn start_of(
        flags: &[&str],
        page: String,
        edit: impl FnOnce(&mut ServerArgs, &CertificateAuthority),
    ) -> Self {
        let (dir, authority) =
            (tempfile::tempdir().unwrap(), CertificateAuthority::new("test authority").unwrap());
        let mut args = args(flags);
        let paths = (dir.path().join("tls.crt"), dir.path().join("tls.key"));
        server_leaf(&authority).write(&paths.0, &paths.1).unwrap();
        (args.tls_cert, args.tls_key) = (Some(paths.0), Some(paths.1));
        edit(&mut args, &authority);
        let drain = Drain::new(args.drain_grace.0);
        let readiness = Readiness::new();
        let (slow, begun) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
        let bound = args.bind(&readiness, None).await.unwrap();
        let (webhook, admin) = (bound.webhook_address(), bound.admin_address());
        let router = router(Shared { slow: slow.clone(), begun: begun.clone() });
        let service = router.map_request(|request: axum::http::Request<Bytes>| request.map(Body::from));
        let pages = Pages {
            metrics: Arc::new(move || page.clone()),
            version: Arc::new(|| serde_json::json!({"version": "0"})),
        };
        let task = tokio::spawn(bound.run(service, |_| None, pages, drain.clone()));
        Self { webhook, admin, dir, authority, readiness, drain, slow, begun, task }
    }

    /// Asks for `/slow` on this connection, and returns once its handler waits.
    pub async fn ask_slow(&self, stream: &mut TlsStream<TcpStream>) {
        stream.write_all(b"GET /slow HTTP/1.1\r\nhost: g\r\n\r\n").await.unwrap();
        self.slow_begins().await;
    }

    /// Returns once one more `/slow` waits in its handler.
    pub async fn slow_begins(&self) {
        tokio::time::timeout(PATIENCE, self.begun.acquire()).await.expect("a slow request").unwrap().forget();
    }

    /// A caller who trusts the gate's authority and speaks HTTP/1.1.
    pub async fn connect(&self) -> TlsStream<TcpStream> {
        self.connect_from("127.0.0.1", self.client(None)).await
    }

    pub async fn connect_from(&self, address: &str, config: ClientConfig) -> TlsStream<TcpStream> {
        handshake(tcp_from(address, self.webhook).await, config).await.unwrap()
    }

    pub fn client(&self, certificate: Option<&Issued>) -> ClientConfig {
        client(&self.authority, certificate, &[b"http/1.1"])
    }

    /// The gate answers a new caller as if nothing had happened.
    pub async fn is_unharmed(&self) {
        let mut stream = self.connect().await;
        assert_eq!(ask(&mut stream, "GET /peer HTTP/1.1\r\nhost: g\r\n\r\n").await.status, 200);
    }

    pub async fn admin(&self, path: &str) -> Answer {
        let mut stream = TcpStream::connect(self.admin).await.unwrap();
        ask(&mut stream, &format!("GET {path} HTTP/1.1\r\nhost: g\r\n\r\n")).await
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }
}

pub fn server_leaf(authority: &CertificateAuthority) -> Issued {
    authority.issue(&["localhost".to_owned()], Use::Server).unwrap()
}

pub fn client(
    authority: &CertificateAuthority,
    certificate: Option<&Issued>,
    alpn: &[&[u8]],
) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority.cert_pem().as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let mut config = match certificate {
        None => builder.with_no_client_auth(),
        Some(leaf) => {
            let chain = vec![CertificateDer::from_pem_slice(leaf.cert_pem().as_bytes()).unwrap()];
            let key = PrivateKeyDer::from_pem_slice(leaf.key_pem().as_bytes()).unwrap();
            builder.with_client_auth_cert(chain, key).unwrap()
        }
    };
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    config
}

pub async fn tcp_from(address: &str, to: SocketAddr) -> TcpStream {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind(format!("{address}:0").parse().unwrap()).unwrap();
    socket.connect(to).await.unwrap()
}

pub async fn handshake(stream: TcpStream, config: ClientConfig) -> std::io::Result<TlsStream<TcpStream>> {
    let name = ServerName::try_from("localhost").unwrap();
    tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, stream).await
}

/// Sends as it stands, and reads one answer.
pub async fn ask<S: AsyncRead + tokio::io::AsyncWrite + Unpin>(stream: &mut S, text: &str) -> Answer {
    stream.write_all(text.as_bytes()).await.unwrap();
    stream.flush().await.unwrap();
    answer(stream).await.expect("an answer")
}

/// One HTTP/1.1 answer; none where the connection ends first.
pub async fn answer(stream: &mut (impl AsyncRead + Unpin)) -> Option<Answer> {
    tokio::time::timeout(PATIENCE, async {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.ok()?);
        }
        let head = String::from_utf8(head).unwrap().to_lowercase();
        let field = |name: &str| head.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
        let mut body = vec![0; field("content-length:").map_or(0, |length| length.parse().unwrap())];
        stream.read_exact(&mut body).await.ok()?;
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Some(Answer { status, head: head.clone(), body: String::from_utf8(body).unwrap() })
    })
    .await
    .expect("an answer in time")
}

/// Returns what still comes until the other side closes, in whatever way.
pub async fn until_closed(stream: &mut (impl AsyncRead + Unpin)) -> Vec<u8> {
    let mut rest = Vec::new();
    let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut rest)).await;
    let _ = read.expect("a close in time");
    rest
}

/// Asks again and again until it holds; the test hangs for at most [`PATIENCE`] where it never does.
pub async fn eventually<F: Future<Output = bool>>(mut holds: impl FnMut() -> F) {
    let wait = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.expect("what was waited for");
}

fn router(shared: Shared) -> Router {
    Router::new()
        .route("/echo", post(echo))
        .route("/large", get(large))
        .route("/slow", get(slow).post(slow))
        .route("/peer", get(peer))
        .route("/panic", get(async || -> Response { panic!("a handler's own fault") }))
        .layer(DefaultBodyLimit::disable())
        .with_state(shared)
}

async fn echo(body: Bytes) -> String {
    body.len().to_string()
}

/// More than a socket takes at once.
async fn large() -> Vec<u8> {
    vec![b'x'; 64 << 20]
}

async fn slow(State(shared): State<Shared>) -> &'static str {
    shared.begun.add_permits(1);
    shared.slow.acquire().await.unwrap().forget();
    "slow"
}

async fn peer(request: Request) -> String {
    let peer: &Peer = request.extensions().get().unwrap();
    format!("{} {}", peer.address.ip(), peer.verified)
}
