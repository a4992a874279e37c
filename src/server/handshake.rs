//! The first bytes of a connection: TLS within its time, plain HTTP told so, garbage sent off with an alert.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::server::TlsStream;

use super::tls::Acceptor;

/// To whoever speaks plain HTTP here. The test counts its bytes.
const SPEAK_TLS: &str = "HTTP/1.1 400 Bad Request\r\n\
    content-type: text/plain; charset=utf-8\r\n\
    content-length: 63\r\n\
    connection: close\r\n\r\n\
    this port speaks TLS and was asked in plain HTTP; use https://\n";

/// What is read and thrown away after a refusal, so that unread bytes do not reset the connection under the
/// answer: the largest TLS record, four times over, within a second.
const LINGER_BYTES: usize = 64 * 1024;
const LINGER_TIME: Duration = Duration::from_secs(1);

/// A connection that speaks TLS.
pub(super) struct Greeting {
    pub(super) stream: TlsStream<TcpStream>,
    /// Agreed through ALPN; whoever offers nothing speaks HTTP/1.1.
    pub(super) http2: bool,
    /// A client certificate was shown, and rustls has checked it.
    pub(super) verified: bool,
}

/// Shakes hands, or has answered and closed.
pub(super) async fn greet(acceptor: &Acceptor, stream: TcpStream, within: Duration) -> Option<Greeting> {
    match timeout(within, shake(acceptor, stream)).await {
        Ok(Ok(stream)) => {
            let (_, session) = stream.get_ref();
            let http2 = session.alpn_protocol() == Some(b"h2".as_slice());
            let verified = session.peer_certificates().is_some();
            Some(Greeting { stream, http2, verified })
        }
        Ok(Err((error, Some(mut stream)))) => {
            tracing::debug!(%error, "handshake refused");
            linger(&mut stream).await;
            None
        }
        // Closed before it began, as balancers do to see whether the port is open; or too slow.
        Ok(Err((_, None))) | Err(_) => None,
    }
}

/// Where it fails, rustls has already sent its alert.
async fn shake(
    acceptor: &Acceptor,
    mut stream: TcpStream,
) -> Result<TlsStream<TcpStream>, (io::Error, Option<TcpStream>)> {
    let mut first = [0];
    match stream.peek(&mut first).await {
        Ok(1..) => {}
        Ok(0) => return Err((io::ErrorKind::UnexpectedEof.into(), None)),
        Err(error) => return Err((error, None)),
    }
    // A TLS record of a handshake begins with 22; every method of HTTP with a capital letter.
    if first.iter().all(u8::is_ascii_uppercase) {
        let written = stream.write_all(SPEAK_TLS.as_bytes()).await;
        let error = written.err().unwrap_or_else(|| io::Error::other("plain HTTP on the TLS port"));
        return Err((error, Some(stream)));
    }
    acceptor.accept(stream).await
}

/// Closes our side and reads on for a moment.
async fn linger(stream: &mut TcpStream) {
    let _ = timeout(LINGER_TIME, async {
        let _ = stream.shutdown().await;
        let mut seen = 0;
        let mut buffer = [0; 4096];
        while let Ok(read @ 1..) = stream.read(&mut buffer).await {
            seen += read;
            if seen > LINGER_BYTES {
                break;
            }
        }
    })
    .await;
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_answer_is_as_long_as_it_says() {
        let (head, body) = super::SPEAK_TLS.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("content-length: {}\r\n", body.len())), "{}", body.len());
    }
}
