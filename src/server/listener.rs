//! The accept loop, TLS handshakes, and the drain of a listener.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::http::Request;
use axum::response::Response;
use bytes::Bytes;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::server::TlsStream;
use tower::Service;

use super::connection::{self, Peer, ServerContext};
use super::limits::{Caller, ConnectionLimit};
use super::tls::Acceptor;
use portcullis_certs::CertError;
use portcullis_lifecycle::tasks::Died;
use portcullis_telemetry::metrics;

/// Delay after an accept that failed for lack of file descriptors or memory: other connections must close first.
const ACCEPT_RETRY_DELAY: Duration = Duration::from_millis(50);

/// The response to plain HTTP. A test checks its content-length.
const HTTPS_REQUIRED: &str = "HTTP/1.1 400 Bad Request\r\n\
    content-type: text/plain; charset=utf-8\r\n\
    content-length: 41\r\n\
    connection: close\r\n\r\n\
    this port requires TLS: use an https URL\n";

/// What is read and discarded after a rejection, because closing a connection with unread bytes resets it and loses the
/// response. Four of the largest TLS records.
const LINGER_BYTES: usize = 64 * 1024;
const LINGER_TIME: Duration = Duration::from_secs(1);

/// How long a background task may take to stop.
pub(super) const TASK_GRACE: Duration = Duration::from_secs(1);

#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    #[error(
        "--tls-cert and --tls-key are required, because `{0}` of --listen is not a loopback address; a development \
         certificate is served only on a loopback address"
    )]
    NoCertificate(SocketAddr),
    /// A certificate, a key or a CA is invalid.
    #[error(transparent)]
    Cert(#[from] CertError),
    #[error("cannot set up TLS")]
    Tls(#[from] rustls::Error),
    #[error("cannot listen on `{address}` of {flag}")]
    Bind {
        flag: &'static str,
        address: SocketAddr,
        #[source]
        source: io::Error,
    },
    #[error("cannot start the threads for large reviews")]
    Threads(#[source] io::Error),
    /// A task ended while the server was running.
    #[error(transparent)]
    Died(#[from] Died),
}

#[derive(Clone)]
pub(super) enum Transport {
    Tls(Acceptor),
    Plain,
}

/// The result of a drain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drained {
    /// Connections that were closed while busy, at the end of the grace period.
    pub cut: usize,
}

pub(super) async fn bind(
    flag: &'static str,
    address: SocketAddr,
) -> Result<(TcpListener, SocketAddr), ServerError> {
    let failed = |source| ServerError::Bind { flag, address, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((listener, bound))
}

/// Serves until the drain stops it and the requests in flight have finished, or the grace period ends.
pub(super) async fn serve<S>(
    listener: TcpListener,
    transport: Transport,
    server: Arc<ServerContext>,
    mut connection_limit: ConnectionLimit,
    service: S,
) -> Drained
where
    S: Service<Request<Bytes>, Response = Response, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    let stopping = server.drain.stopping();
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            () = stopping.cancelled() => break,
            Some(ended) = connections.join_next() => {
                log_panic(ended);
                connection_limit.sweep(connections.len());
            }
            accepted = listener.accept() => match accepted {
                Ok((stream, address)) => match connection_limit.connect(connections.len(), address.ip()) {
                    Ok(caller) => {
                        let work = serve_stream(transport.clone(), server.clone(), caller, stream, address, service.clone());
                        let open = server.is_counted.then(metrics::OpenConnection::new);
                        connections.spawn(async move {
                            work.await;
                            drop(open);
                        });
                    }
                    // Closed at once, so that the client can try another replica.
                    Err(limit) => metrics::request_rejected(limit.reason()),
                },
                Err(error) => wait_before_retry(&error).await,
            },
        }
    }
    drop(listener);
    let finished = async { while connections.join_next().await.map(log_panic).is_some() {} };
    let timed_out = timeout(server.drain.grace(), finished).await.is_err();
    let cut = if timed_out { connections.len() } else { 0 };
    connections.shutdown().await;
    Drained { cut }
}

async fn serve_stream<S>(
    transport: Transport,
    server: Arc<ServerContext>,
    caller: Arc<Caller>,
    stream: TcpStream,
    address: SocketAddr,
    service: S,
) where
    S: Service<Request<Bytes>, Response = Response, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    // Nagle's algorithm would delay a small response by 40 ms on a kept-alive connection.
    if stream.set_nodelay(true).is_err() {
        return;
    }
    match transport {
        Transport::Plain => {
            let peer = Peer { address, verified: false };
            connection::serve(server, caller, stream, peer, false, service).await;
        }
        Transport::Tls(acceptor) => {
            let connection = accept_tls(&acceptor, stream, server.timeouts.handshake).await;
            if let Some(TlsConnection { stream, http2, verified }) = connection {
                let peer = Peer { address, verified };
                connection::serve(server, caller, stream, peer, http2, service).await;
            }
        }
    }
}

fn log_panic(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        tracing::error!(%error, "a connection panicked");
    }
}

/// Some errors concern only the connection that was not accepted.
async fn wait_before_retry(error: &io::Error) {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted};
    if !matches!(error.kind(), ConnectionAborted | ConnectionReset | Interrupted) {
        tracing::error!(%error, "cannot accept connections");
        tokio::time::sleep(ACCEPT_RETRY_DELAY).await;
    }
}

struct TlsConnection {
    stream: TlsStream<TcpStream>,
    /// Negotiated by ALPN; without ALPN it is HTTP/1.1.
    http2: bool,
    /// The client showed a certificate, and rustls verified it.
    verified: bool,
}

/// None if the handshake failed; the connection is closed.
async fn accept_tls(acceptor: &Acceptor, stream: TcpStream, within: Duration) -> Option<TlsConnection> {
    match timeout(within, handshake(acceptor, stream)).await {
        Ok(Ok(stream)) => {
            let (_, session) = stream.get_ref();
            let http2 = session.alpn_protocol() == Some(b"h2".as_slice());
            let verified = session.peer_certificates().is_some();
            Some(TlsConnection { stream, http2, verified })
        }
        Ok(Err((error, Some(mut stream)))) => {
            tracing::debug!(%error, "TLS handshake failed");
            linger(&mut stream).await;
            None
        }
        // Closed before it started, as load balancers do for a health check; or timed out.
        Ok(Err((_, None))) | Err(_) => None,
    }
}

/// If it fails, rustls has sent its alert.
async fn handshake(
    acceptor: &Acceptor,
    mut stream: TcpStream,
) -> Result<TlsStream<TcpStream>, (io::Error, Option<TcpStream>)> {
    let mut first = [0];
    match stream.peek(&mut first).await {
        Ok(1..) => {}
        Ok(0) => return Err((io::ErrorKind::UnexpectedEof.into(), None)),
        Err(error) => return Err((error, None)),
    }
    // A TLS handshake record begins with 22; an HTTP method begins with a capital letter.
    if first.iter().all(u8::is_ascii_uppercase) {
        let written = stream.write_all(HTTPS_REQUIRED.as_bytes()).await;
        let error = written.err().unwrap_or_else(|| io::Error::other("plain HTTP on the TLS port"));
        return Err((error, Some(stream)));
    }
    acceptor.accept(stream).await
}

/// Closes the sending side and discards what the client still sends.
async fn linger(stream: &mut TcpStream) {
    let _ = timeout(LINGER_TIME, async {
        let _ = stream.shutdown().await;
        let mut discarded = 0;
        let mut buffer = [0; 4096];
        while let Ok(read @ 1..) = stream.read(&mut buffer).await {
            discarded += read;
            if discarded > LINGER_BYTES {
                break;
            }
        }
    })
    .await;
}

#[cfg(test)]
mod tests {
    #[test]
    fn response_to_plain_http_has_its_content_length() {
        let (head, body) = super::HTTPS_REQUIRED.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("content-length: {}\r\n", body.len())), "{}", body.len());
    }
}
