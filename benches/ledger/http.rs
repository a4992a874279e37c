//! Requests to the API over a kept-alive connection.

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// A connection that is kept.
pub struct Http {
    stream: TcpStream,
    token: String,
    buffer: Vec<u8>,
}

impl Http {
    /// Connects to `ip:port`; every request bears this token.
    pub async fn open(address: &str, token: &str) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, token: token.to_owned(), buffer: vec![0; 64 * 1024] }
    }

    /// Sends a request; status and body.
    pub async fn ask(&mut self, method: &str, path: &str, body: Option<&Value>) -> (u16, Vec<u8>) {
        self.ask_with("", method, path, body).await
    }

    /// The same for a GET whose answer may be compressed.
    pub async fn ask_gzip(&mut self, path: &str) -> (u16, Vec<u8>) {
        self.ask_with("accept-encoding: gzip\r\n", "GET", path, None).await
    }

    async fn ask_with(
        &mut self,
        head: &str,
        method: &str,
        path: &str,
        body: Option<&Value>,
    ) -> (u16, Vec<u8>) {
        let body = body.map(ToString::to_string).unwrap_or_default();
        let kind = if body.is_empty() { "" } else { "content-type: application/json\r\n" };
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: ledger\r\nauthorization: Bearer {}\r\n{head}{kind}content-length: {}\r\n\r\n{body}",
            self.token,
            body.len()
        );
        self.stream.write_all(request.as_bytes()).await.unwrap();
        let (mut filled, mut whole) = (0, None);
        loop {
            if filled == self.buffer.len() {
                self.buffer.resize(2 * filled, 0);
            }
            let read = self.stream.read(&mut self.buffer[filled..]).await.unwrap();
            assert!(read > 0, "the API hung up");
            filled += read;
            whole = whole.or_else(|| extent(&self.buffer[..filled]));
            if let Some((status, start, end)) = whole.filter(|(_, _, end)| filled >= *end) {
                return (status, self.buffer[start..end].to_vec());
            }
        }
    }

    /// The same, and it must be well.
    pub async fn ok(&mut self, method: &str, path: &str, body: Option<&Value>) -> Value {
        let (status, answer) = self.ask(method, path, body).await;
        assert!(
            (200..300).contains(&status),
            "{method} {path}: {status} {}",
            String::from_utf8_lossy(&answer)
        );
        serde_json::from_slice(&answer).unwrap_or_default()
    }
}

/// Status, and where the body starts and ends, once the head is there.
fn extent(bytes: &[u8]) -> Option<(u16, usize, usize)> {
    let head = bytes.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let text = std::str::from_utf8(&bytes[..head]).unwrap();
    let status = text.split(' ').nth(1).unwrap().parse().unwrap();
    let length = text.lines().find_map(|line| line.strip_prefix("content-length: "));
    Some((status, head, head + length.map_or(0, |length| length.parse::<usize>().unwrap())))
}
