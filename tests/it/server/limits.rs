//! Too much of something: an answer that the caller sees, and nothing that the others notice.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::harness::*;

#[tokio::test]
async fn a_body_that_says_it_is_too_long_is_answered_and_then_thrown_away() {
    let gate = Gate::start(&["--max-body", "1MiB"]).await;
    let mut stream = gate.connect().await;
    let length = 3 << 20;
    let head = format!("POST /echo HTTP/1.1\r\nhost: g\r\ncontent-length: {length}\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    // Everything is written before anything is read, as simple clients do.
    stream.write_all(&vec![b'x'; length]).await.unwrap();
    let answer = answer(&mut stream).await.unwrap();
    assert_eq!(answer.status, 413);
    assert_eq!(answer.body, "the body exceeds the limit of 1048576 bytes\n");
    assert!(answer.head.contains("connection: close"), "{}", answer.head);
    assert_eq!(until_closed(&mut stream).await, b"");
    gate.is_unharmed().await;
}

#[tokio::test]
async fn a_caller_who_asks_before_sending_is_told_at_once() {
    let gate = Gate::start(&["--max-body", "1KiB"]).await;
    let mut stream = gate.connect().await;
    let head = "POST /echo HTTP/1.1\r\nhost: g\r\ncontent-length: 2000\r\nexpect: 100-continue\r\n\r\n";
    assert_eq!(ask(&mut stream, head).await.status, 413, "and not 100");
    assert_eq!(until_closed(&mut stream).await, b"");
}

#[tokio::test]
async fn a_body_of_unknown_length_is_cut_where_it_is_too_long() {
    let gate = Gate::start(&["--max-body", "64KiB"]).await;
    let mut stream = gate.connect().await;
    stream.write_all(b"POST /echo HTTP/1.1\r\nhost: g\r\ntransfer-encoding: chunked\r\n\r\n").await.unwrap();
    let chunk = [b"4000\r\n".as_slice(), &[b'x'; 0x4000], b"\r\n"].concat();
    for _ in 0..10 {
        stream.write_all(&chunk).await.unwrap();
    }
    stream.write_all(b"0\r\n\r\n").await.unwrap();
    assert_eq!(answer(&mut stream).await.unwrap().status, 413);
    until_closed(&mut stream).await;
    gate.is_unharmed().await;
}

#[tokio::test]
async fn a_body_without_end_is_not_read_for_ever() {
    let gate = Gate::start(&["--max-body", "64KiB"]).await;
    let mut stream = gate.connect().await;
    let head = "POST /echo HTTP/1.1\r\nhost: g\r\ncontent-length: 99999999999\r\n\r\n";
    assert_eq!(ask(&mut stream, head).await.status, 413);
    let piece = vec![b'x'; 64 * 1024];
    let flood = async { while stream.write_all(&piece).await.is_ok() {} };
    tokio::time::timeout(PATIENCE, flood).await.expect("a close within the bound");
}

#[tokio::test]
async fn a_slow_body_is_answered_408() {
    let stall = Duration::from_millis(100);
    let gate = Gate::start_with(&[], |args, _| args.timeouts.body_stall = stall).await;
    let mut stream = gate.connect().await;
    let answer = ask(&mut stream, "POST /echo HTTP/1.1\r\nhost: g\r\ncontent-length: 10\r\n\r\nhalf").await;
    assert_eq!((answer.status, answer.body.as_str()), (408, "the body was not received in time\n"));
    until_closed(&mut stream).await;
}

#[tokio::test]
async fn a_body_that_trickles_is_answered_408() {
    let whole = Duration::from_millis(300);
    let gate = Gate::start_with(&[], |args, _| args.timeouts.body_whole = whole).await;
    let (mut read, mut write) = tokio::io::split(gate.connect().await);
    let trickle = async {
        let head = b"POST /echo HTTP/1.1\r\nhost: g\r\ncontent-length: 100000\r\n\r\n";
        write.write_all(head).await.unwrap();
        loop {
            let _ = write.write_all(b"x").await;
            let _ = write.flush().await;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::select! {
        answer = answer(&mut read) => assert_eq!(answer.unwrap().status, 408),
        () = trickle => {}
    }
}

#[tokio::test]
async fn beyond_the_bound_requests_are_shed() {
    let gate = Gate::start(&["--max-inflight", "1"]).await;
    let mut first = gate.connect().await;
    gate.ask_slow(&mut first).await;
    let mut second = gate.connect().await;
    let body = "x".repeat(100_000);
    let request = format!("POST /echo HTTP/1.1\r\nhost: g\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    let answer503 = ask(&mut second, &request).await;
    assert_eq!(answer503.status, 503);
    assert_eq!(
        answer503.body,
        "overloaded: too many requests in flight; the request was not evaluated, try again\n"
    );
    assert!(answer503.head.contains("content-type: text/plain"), "{}", answer503.head);
    assert!(!answer503.head.contains("retry-after"), "{}", answer503.head);
    gate.slow.add_permits(1);
    assert_eq!(answer(&mut first).await.unwrap().body, "slow");
    assert_eq!(ask(&mut second, &request).await.body, "100000", "the connection that was shed goes on");
}

#[tokio::test]
async fn one_address_does_not_take_what_another_needs() {
    let gate = Gate::start(&["--max-inflight", "2", "--max-inflight-per-address", "1"]).await;
    let mut greedy = gate.connect().await;
    gate.ask_slow(&mut greedy).await;
    let mut again = gate.connect().await;
    let answer = ask(&mut again, "GET /peer HTTP/1.1\r\nhost: g\r\n\r\n").await;
    assert_eq!(
        answer.body,
        "overloaded: too many requests in flight from this address; the request was not evaluated, try again\n"
    );
    let mut other = gate.connect_from("127.0.0.2", gate.client(None)).await;
    let answer = ask(&mut other, "GET /peer HTTP/1.1\r\nhost: g\r\n\r\n").await;
    assert_eq!(answer.body, "127.0.0.2 false");
}

#[tokio::test]
async fn one_connection_too_many_is_closed_at_once() {
    let gate = Gate::start(&["--max-connections", "3", "--max-connections-per-address", "2"]).await;
    let held = [gate.connect().await, gate.connect().await];
    let mut third = TcpStream::connect(gate.webhook).await.unwrap();
    assert_eq!(until_closed(&mut third).await, b"", "the address has its two");
    let other = gate.connect_from("127.0.0.2", gate.client(None)).await;
    let mut fourth = tcp_from("127.0.0.3", gate.webhook).await;
    assert_eq!(fourth.read(&mut [0]).await.unwrap_or(0), 0, "all three are taken");
    drop((held, other));
    eventually(async || {
        let stream = TcpStream::connect(gate.webhook).await.unwrap();
        handshake(stream, gate.client(None)).await.is_ok()
    })
    .await;
}
