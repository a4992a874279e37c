//! Callers who send slowly, or do not read: they cost themselves and nobody else.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::client::TlsStream;

use super::harness::*;

/// For callers who must not be cut, however loaded the machine is.
const LONG: Duration = Duration::from_mins(5);

fn post(length: usize) -> String {
    format!("POST /echo HTTP/1.1\r\nhost: g\r\ncontent-length: {length}\r\n\r\n")
}

/// So many requests from this address whose bodies have begun and do not go on.
async fn begin_bodies(gate: &Gate, address: &str, count: usize) -> Vec<TlsStream<TcpStream>> {
    let mut all = JoinSet::new();
    for _ in 0..count {
        let (connected, address) = (tcp_from(address, gate.webhook).await, address.to_owned());
        let config = gate.client(None);
        all.spawn(async move {
            let mut stream = handshake(connected, config).await.unwrap_or_else(|e| panic!("{address}: {e}"));
            stream.write_all(format!("{}x", post(2)).as_bytes()).await.unwrap();
            stream.flush().await.unwrap();
            stream
        });
    }
    all.join_all().await
}

/// Two addresses with as many slow bodies as there are places in flight: before, the third saw 503 for as long as they liked.
#[tokio::test]
async fn unfinished_bodies_of_two_addresses_do_not_refuse_a_third() {
    let flags = ["--max-inflight", "64", "--max-inflight-per-address", "32"];
    let gate = Gate::start_with(&flags, |args, _| {
        (args.timeouts.body_slow, args.timeouts.body_stall, args.timeouts.body_whole) = (LONG, LONG, LONG);
    })
    .await;
    let mut held = begin_bodies(&gate, "127.0.0.2", 40).await;
    held.extend(begin_bodies(&gate, "127.0.0.3", 40).await);
    let mut third = gate.connect_from("127.0.0.4", gate.client(None)).await;
    for length in [5, 10_000, 100_000] {
        let answer = ask(&mut third, &format!("{}{}", post(length), "x".repeat(length))).await;
        assert_eq!((answer.status, answer.body), (200, length.to_string()));
    }
    // And they are served once they are here.
    for stream in &mut held {
        stream.write_all(b"x").await.unwrap();
        assert_eq!(answer(stream).await.unwrap().body, "2");
    }
}

#[tokio::test]
async fn address_has_few_slow_bodies_and_fast_ones_pass_them() {
    let gate = Gate::start_with(&[], |args, _| {
        args.timeouts.body_slow = Duration::from_millis(50);
        (args.timeouts.body_stall, args.timeouts.body_whole) = (LONG, LONG);
    })
    .await;
    let held = begin_bodies(&gate, "127.0.0.2", 38).await;
    let mut refused = 0;
    let mut waiting = Vec::new();
    for mut stream in held {
        match tokio::time::timeout(Duration::from_millis(100), stream.read(&mut [0; 12])).await {
            Err(_) => waiting.push(stream),
            Ok(read) => {
                assert_eq!(read.unwrap(), 12);
                refused += 1;
            }
        }
    }
    assert_eq!((refused, waiting.len()), (6, 32), "32 of them may be slow");
    let mut fast = gate.connect_from("127.0.0.2", gate.client(None)).await;
    assert_eq!(ask(&mut fast, &format!("{}hello", post(5))).await.body, "5");
    let mut other = begin_bodies(&gate, "127.0.0.3", 1).await;
    let none = tokio::time::timeout(Duration::from_millis(200), other[0].read(&mut [0])).await;
    assert!(none.is_err(), "another address has its own");
}

/// Larger bodies wait for memory; those who send theirs slowly are cut, and who waits behind them is served.
#[tokio::test]
async fn slow_large_bodies_are_cut_and_the_next_is_served() {
    let gate = Gate::start_with(&[], |args, _| args.timeouts.body_slow = Duration::from_millis(500)).await;
    let mut slow = Vec::new();
    for _ in 0..24 {
        let mut stream = gate.connect_from("127.0.0.2", gate.client(None)).await;
        stream.write_all(format!("{}{}", post(1 << 20), "x".repeat(70_000)).as_bytes()).await.unwrap();
        slow.push(stream);
    }
    let mut other = gate.connect_from("127.0.0.3", gate.client(None)).await;
    let answered = ask(&mut other, &format!("{}{}", post(1 << 20), "x".repeat(1 << 20))).await;
    assert_eq!(answered.body, (1 << 20).to_string());
    for mut stream in slow {
        assert!([408, 503].contains(&answer(&mut stream).await.unwrap().status));
    }
}

fn impatient_with_readers(args: &mut portcullis_server::ServerArgs) {
    args.timeouts.head = Duration::from_millis(200);
    args.timeouts.response = Duration::from_millis(300);
}

#[tokio::test]
async fn caller_that_does_not_read_its_answer_is_cut() {
    let gate = Gate::start_with(&[], |args, _| impatient_with_readers(args)).await;
    let mut stream = gate.connect().await;
    stream.write_all(b"GET /large HTTP/1.1\r\nhost: g\r\n\r\n").await.unwrap();
    tokio::time::sleep(Duration::from_secs(2)).await;
    let read = until_closed(&mut stream).await.len();
    assert!(read < 64 << 20, "{read} bytes: what the socket had taken, and no more");
    gate.is_unharmed().await;
}
