//! One connection as kube-apiserver keeps it; an answer that comes before all is sent counts.

use std::process::Command;
use std::time::Duration;

use tokio::io::{AsyncWriteExt as _, split};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::Target;
use crate::proof::caller::answer;

/// Longer than any caller waits: what is not answered then is never answered.
const NEVER: Duration = Duration::from_secs(30);

pub struct Caller {
    target: Target,
    from: &'static str,
    connection: Option<TlsStream<TcpStream>>,
}

/// Status and body of an answer.
pub struct Reply {
    pub status: u16,
    pub body: Vec<u8>,
}

impl Caller {
    pub fn new(target: &Target, from: &'static str) -> Self {
        Self { target: target.clone(), from, connection: None }
    }

    /// Sends a review, on a new connection where the one before was closed.
    pub async fn ask(&mut self, path: &str, body: &[u8]) -> Result<Reply, String> {
        let done = timeout(NEVER, self.exchange(path, body)).await;
        done.map_err(|_| "no answer in half a minute".to_owned())?.map_err(|error| error.to_string())
    }

    async fn exchange(&mut self, path: &str, body: &[u8]) -> std::io::Result<Reply> {
        let stream = match self.connection.take() {
            Some(stream) => stream,
            None => dial(&self.target, self.from).await?,
        };
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        let (mut reader, mut writer) = split(stream);
        let send = async {
            writer.write_all(head.as_bytes()).await?;
            writer.write_all(body).await?;
            writer.flush().await
        };
        let (sent, read) = tokio::join!(send, answer(&mut reader));
        let (head, body) = read?;
        if sent.is_ok() && !head.contains("\r\nconnection: close") {
            self.connection = Some(reader.unsplit(writer));
        }
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
        Ok(Reply { status, body })
    }
}

pub async fn dial(target: &Target, from: &str) -> std::io::Result<TlsStream<TcpStream>> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(format!("{from}:0").parse().unwrap())?;
    let stream = socket.connect(target.address).await?;
    stream.set_nodelay(true)?;
    let name = "localhost".try_into().unwrap();
    TlsConnector::from(target.trust.clone()).connect(name, stream).await
}

/// Has the system prefer others to this thread.
pub fn yield_to_others() {
    let thread = std::fs::read_link("/proc/thread-self").unwrap();
    let thread = thread.file_name().unwrap().to_owned();
    let done = Command::new("renice").args(["-n", "10", "-p"]).arg(thread).output().unwrap();
    assert!(done.status.success(), "renice: {}", String::from_utf8_lossy(&done.stderr));
}
