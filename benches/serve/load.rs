//! Reviews over kept-alive HTTP/1.1 connections, each with a name and a uid of its own.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::server::Server;
use crate::bodies;

/// A number that stands in the templates where each review has its own, eight hexadecimal digits.
const MARK: usize = 0xabcd_ef01;

/// A request whose name and uid are written over for each review.
#[derive(Clone)]
pub struct Template {
    bytes: Vec<u8>,
    places: Vec<usize>,
}

impl Template {
    /// The Pod of some 6 KB.
    pub fn small() -> Self {
        Self::new(&bodies::pod_6k(MARK))
    }

    /// The Pod of some 40 KB.
    pub fn large() -> Self {
        Self::new(&bodies::pod_40k(MARK))
    }

    /// The same with a label that no review had before, so that nothing of the verdict is answered from memory.
    pub fn labelled(self) -> Self {
        let text = String::from_utf8(self.bytes).unwrap();
        let start = text.find("\"pod-template-hash\":\"").unwrap();
        let end = start + text[start..].find([',', '}']).unwrap();
        // As long as what stands there, so that the length in the head stays right.
        let label = format!("\"pod-template-hash\":\"{MARK:08x}\"");
        let padding = " ".repeat((end - start).checked_sub(label.len()).unwrap());
        Self::find([&text[..start], &label, &padding, &text[end..]].concat().into_bytes())
    }

    /// The same Pod on its way to `/mutate`, without the labels that our mutation adds.
    pub fn unlabelled(self) -> Self {
        let text = String::from_utf8(self.bytes).unwrap();
        // Another prefix of the same length, so that the length in the head stays right.
        Self::find(
            text.replacen("POST /validate", "POST /mutate", 1)
                .replace("kubenova.io/", "example9.io/")
                .into_bytes(),
        )
    }

    fn new(body: &[u8]) -> Self {
        let head = format!(
            "POST /validate?timeout=3s HTTP/1.1\r\nhost: portcullis.portcullis-system.svc\r\nuser-agent: kube-apiserver-admission\r\n\
             content-length: {}\r\naccept: application/json, */*\r\ncontent-type: application/json\r\n\r\n",
            body.len()
        );
        Self::find([head.as_bytes(), body].concat())
    }

    fn find(bytes: Vec<u8>) -> Self {
        let mark = format!("{MARK:08x}");
        let places: Vec<usize> = bytes
            .windows(8)
            .enumerate()
            .filter(|(_, window)| *window == mark.as_bytes())
            .map(|(at, _)| at)
            .collect();
        assert!(places.len() >= 4, "a review names its Pod twice and has two uids");
        Self { bytes, places }
    }

    fn number(&mut self, n: usize) -> [u8; 8] {
        let digits: [u8; 8] = std::array::from_fn(|at| b"0123456789abcdef"[n >> (4 * (7 - at)) & 15]);
        for place in &self.places {
            self.bytes[*place..place + 8].copy_from_slice(&digits);
        }
        digits
    }
}

/// A connection that is kept.
pub struct Connection {
    stream: TlsStream<TcpStream>,
    buffer: Vec<u8>,
    next: usize,
}

impl Connection {
    /// Connects and shakes hands. `series` keeps the numbers of connections apart.
    pub async fn open(server: &Server, series: usize) -> Self {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(server.authority().as_bytes()).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap();
        let config = config.with_root_certificates(roots).with_no_client_auth();
        let stream = TcpStream::connect(&server.address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let stream = TlsConnector::from(Arc::new(config))
            .connect("localhost".try_into().unwrap(), stream)
            .await
            .unwrap();
        Self { stream, buffer: vec![0; 64 * 1024], next: series << 24 }
    }

    /// Sends one review; whether it was let through.
    pub async fn ask(&mut self, template: &mut Template) -> bool {
        self.next += 1;
        let digits = template.number(self.next);
        self.stream.write_all(&template.bytes).await.unwrap();
        let (mut filled, mut whole) = (0, None);
        let (start, end) = loop {
            let read = self.stream.read(&mut self.buffer[filled..]).await.unwrap();
            assert!(read > 0, "the server hung up");
            filled += read;
            whole = whole.or_else(|| extent(&self.buffer[..filled]));
            if let Some((start, end)) = whole.filter(|(_, end)| filled >= *end) {
                break (start, end);
            }
        };
        let body = &self.buffer[start..end];
        assert!(
            holds(body, &digits),
            "not the answer to this review: {}",
            String::from_utf8_lossy(&self.buffer[..end])
        );
        holds(body, b"\"allowed\":true")
    }
}

/// Where the body of an answer starts and ends, once its head is there.
fn extent(bytes: &[u8]) -> Option<(usize, usize)> {
    let head = bytes.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let text = std::str::from_utf8(&bytes[..head]).unwrap();
    assert!(text.starts_with("HTTP/1.1 200"), "{text}");
    let length = text.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
    Some((head, head + length.parse::<usize>().unwrap()))
}

fn holds(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

/// Sends `reviews` over some connections at once; all of them must be let through.
pub async fn send(connections: &mut Vec<Connection>, template: &Template, reviews: usize) {
    let each = reviews.div_ceil(connections.len());
    let mut running = tokio::task::JoinSet::new();
    for mut connection in connections.drain(..) {
        let mut template = template.clone();
        running.spawn(async move {
            for _ in 0..each {
                assert!(connection.ask(&mut template).await, "the bench's Pod is denied");
            }
            connection
        });
    }
    while let Some(connection) = running.join_next().await {
        connections.push(connection.unwrap());
    }
}

/// How long each of some reviews took on one connection.
pub async fn latencies(connection: &mut Connection, template: &Template, reviews: usize) -> Vec<Duration> {
    let mut template = template.clone();
    let mut found = Vec::with_capacity(reviews);
    for _ in 0..reviews {
        let started = Instant::now();
        assert!(connection.ask(&mut template).await, "the bench's Pod is denied");
        found.push(started.elapsed());
    }
    found
}
