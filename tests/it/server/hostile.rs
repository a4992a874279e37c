//! Callers who do not speak TLS, or HTTP, or do not speak at all. Each ends in bounded time; the others go on.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::harness::*;

const PEER: &str = "GET /peer HTTP/1.1\r\nhost: g\r\n\r\n";

async fn impatient() -> Gate {
    Gate::start_with(&[], |args, _| {
        args.timeouts.handshake = Duration::from_secs(2);
        args.timeouts.head = Duration::from_millis(200);
        args.timeouts.idle = Duration::from_secs(4);
    })
    .await
}

#[tokio::test]
async fn plain_http_is_told_to_use_tls() {
    let gate = Gate::start(&[]).await;
    let mut neighbour = gate.connect().await;
    for request in [PEER.to_owned(), format!("POST /validate HTTP/1.1\r\n\r\n{}", "x".repeat(100_000))] {
        let mut stream = TcpStream::connect(gate.webhook).await.unwrap();
        let _ = stream.write_all(request.as_bytes()).await;
        let answer = answer(&mut stream).await.unwrap();
        assert_eq!(answer.status, 400);
        assert_eq!(answer.body, "this port requires TLS: use an https URL\n");
        assert_eq!(until_closed(&mut stream).await, b"");
    }
    assert_eq!(ask(&mut neighbour, PEER).await.status, 200);
}

#[tokio::test]
async fn garbage_gets_an_alert_and_a_close() {
    let gate = Gate::start(&[]).await;
    let mut neighbour = gate.connect().await;
    for garbage in [vec![0_u8; 3_000], vec![0x16; 3_000], b"\x80\x2e\x01\x00\x02garbage".to_vec()] {
        let mut stream = TcpStream::connect(gate.webhook).await.unwrap();
        stream.write_all(&garbage).await.unwrap();
        let rest = until_closed(&mut stream).await;
        assert_eq!(rest.first(), Some(&0x15), "an alert record: {rest:?}");
        assert_eq!(rest.get(5), Some(&2), "that is fatal");
    }
    assert_eq!(ask(&mut neighbour, PEER).await.status, 200);
}

#[tokio::test]
async fn a_handshake_that_does_not_come_or_stops_half_way_ends() {
    let gate = impatient().await;
    let mut silent = TcpStream::connect(gate.webhook).await.unwrap();
    let mut half = TcpStream::connect(gate.webhook).await.unwrap();
    // A record header that promises a ClientHello of 512 bytes, and the first few of them.
    half.write_all(&[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3]).await.unwrap();
    assert_eq!(until_closed(&mut silent).await, b"");
    assert_eq!(until_closed(&mut half).await, b"");
    gate.is_unharmed().await;
}

#[tokio::test]
async fn a_head_that_trickles_is_cut() {
    let gate = impatient().await;
    let (mut read, mut write) = tokio::io::split(gate.connect().await);
    write.write_all(b"GET /peer HTTP/1.1\r\n").await.unwrap();
    let trickle = async {
        loop {
            let _ = write.write_all(b"x-a: b\r\n").await;
            let _ = write.flush().await;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::select! {
        rest = until_closed(&mut read) => assert_eq!(rest, b""),
        () = trickle => {}
    }
    gate.is_unharmed().await;
}

#[tokio::test]
async fn an_idle_connection_outlives_the_head_timeout_and_ends_with_its_own() {
    let gate = impatient().await;
    let mut used = gate.connect().await;
    let mut unused = gate.connect().await;
    assert_eq!(ask(&mut used, PEER).await.status, 200);
    // Three times the head timeout, a small part of the idle one.
    tokio::time::sleep(Duration::from_millis(600)).await;
    assert_eq!(ask(&mut used, PEER).await.status, 200, "between requests nobody is in a hurry");
    assert_eq!(ask(&mut unused, PEER).await.status, 200, "Go opens connections that it uses later");
    assert_eq!(until_closed(&mut used).await, b"");
    assert_eq!(until_closed(&mut unused).await, b"");
}

#[tokio::test]
async fn a_head_without_end_is_refused() {
    let gate = Gate::start(&[]).await;
    let mut stream = gate.connect().await;
    let request = format!("GET /peer HTTP/1.1\r\nhost: g\r\nx-a: {}\r\n\r\n", "a".repeat(200_000));
    let _ = stream.write_all(request.as_bytes()).await;
    assert_eq!(answer(&mut stream).await.unwrap().status, 431);
    gate.is_unharmed().await;
}

#[tokio::test]
async fn what_is_no_http_inside_tls_is_answered_400() {
    let gate = Gate::start(&[]).await;
    let mut stream = gate.connect().await;
    assert_eq!(ask(&mut stream, "\u{1}\u{2}\u{3} nonsense\r\n\r\n").await.status, 400);
    gate.is_unharmed().await;
}

#[tokio::test]
async fn callers_who_vanish_leave_nothing_behind() {
    let gate = Gate::start(&["--max-inflight", "4", "--max-connections", "20"]).await;
    let half = "POST /echo HTTP/1.1\r\nhost: g\r\ncontent-length: 100\r\n\r\nabc";
    let slow = "GET /slow HTTP/1.1\r\nhost: g\r\n\r\n";
    for request in [half, slow, PEER].into_iter().cycle().take(60) {
        let mut stream = TcpStream::connect(gate.webhook).await.unwrap();
        let _ = stream.write_all(&[0x16, 3, 1]).await;
        drop(stream);
        // The bound on connections holds as well for those that are just ending.
        eventually(async || {
            let stream = TcpStream::connect(gate.webhook).await.unwrap();
            let Ok(mut stream) = handshake(stream, gate.client(None)).await else { return false };
            stream.write_all(request.as_bytes()).await.is_ok()
        })
        .await;
    }
    eventually(async || {
        let mut stream = gate.connect().await;
        let _ = stream.write_all(PEER.as_bytes()).await;
        let mut status = [0; 12];
        stream.read_exact(&mut status).await.is_ok() && &status == b"HTTP/1.1 200"
    })
    .await;
}
