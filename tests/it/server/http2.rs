//! HTTP/2, spoken by hand: a few frames are shorter than a client, and misbehave as told.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use super::harness::*;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;

struct Frame {
    kind: u8,
    stream: u32,
    payload: Vec<u8>,
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// `GET path`, without an end of stream where `open`.
fn get(stream: u32, path: &str, open: bool) -> Vec<u8> {
    let literal =
        |index: u8, text: &str| [&[index, u8::try_from(text.len()).unwrap()], text.as_bytes()].concat();
    // HPACK: 0x82 is `:method: GET`, 0x87 `:scheme: https`; 0x04 and 0x01 name `:path` and `:authority`.
    let block = [vec![0x82, 0x87], literal(0x04, path), literal(0x01, "g")].concat();
    frame(HEADERS, if open { 4 } else { 5 }, stream, &block)
}

async fn read(stream: &mut TlsStream<TcpStream>) -> Option<Frame> {
    let mut head = [0; 9];
    stream.read_exact(&mut head).await.ok()?;
    let [l0, l1, l2, kind, _, s0, s1, s2, s3] = head;
    let mut payload = vec![0; u32::from_be_bytes([0, l0, l1, l2]) as usize];
    stream.read_exact(&mut payload).await.ok()?;
    Some(Frame { kind, stream: u32::from_be_bytes([s0, s1, s2, s3]), payload })
}

/// The next frame of this kind.
async fn next(stream: &mut TlsStream<TcpStream>, kind: u8) -> Frame {
    let wait = async {
        loop {
            let frame = read(stream).await.expect("a frame before the end");
            if frame.kind == kind {
                return frame;
            }
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.expect("the frame in time")
}

async fn connect(gate: &Gate) -> TlsStream<TcpStream> {
    let mut stream =
        gate.connect_from("127.0.0.1", client(&gate.authority, None, &[b"h2", b"http/1.1"])).await;
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(b"h2".as_slice()));
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
    stream.write_all(&frame(SETTINGS, 0, 0, &[])).await.unwrap();
    stream
}

#[tokio::test]
async fn streams_are_answered_side_by_side() {
    let gate = Gate::start(&[]).await;
    let mut stream = connect(&gate).await;
    stream.write_all(&get(1, "/slow", false)).await.unwrap();
    stream.write_all(&get(3, "/peer", false)).await.unwrap();
    let head = next(&mut stream, HEADERS).await;
    assert_eq!((head.stream, head.payload[0]), (3, 0x88), "200, and not behind the slow one");
    assert_eq!(next(&mut stream, DATA).await.payload, b"127.0.0.1 false");
    gate.slow.add_permits(1);
    assert_eq!(next(&mut stream, HEADERS).await.stream, 1);
    assert_eq!(next(&mut stream, DATA).await.payload, b"slow");
}

#[tokio::test]
async fn a_drain_says_goodbye_and_finishes_the_stream() {
    let gate = Gate::start(&[]).await;
    let mut stream = connect(&gate).await;
    stream.write_all(&get(1, "/slow", false)).await.unwrap();
    stream.write_all(&get(3, "/peer", false)).await.unwrap();
    next(&mut stream, DATA).await;
    gate.drain.stop();
    next(&mut stream, GOAWAY).await;
    gate.slow.add_permits(1);
    assert_eq!(next(&mut stream, DATA).await.payload, b"slow");
    drop(stream);
    assert_eq!(gate.task.await.unwrap().unwrap().cut, 0);
}

#[tokio::test]
async fn rapid_resets_end_their_connection_alone() {
    let gate = Gate::start(&[]).await;
    let mut stream = connect(&gate).await;
    let attack = async {
        for id in (1..100_000).step_by(2) {
            let pair = [get(id, "/slow", true), frame(RST_STREAM, 0, id, &[0, 0, 0, 8])].concat();
            if stream.write_all(&pair).await.is_err() {
                break;
            }
        }
        // Depending on who is faster there is a GOAWAY to be read, or only the end.
        until_closed(&mut stream).await
    };
    tokio::time::timeout(PATIENCE, attack).await.expect("an end to the attack");
    gate.is_unharmed().await;
}

#[tokio::test]
async fn too_many_headers_are_refused() {
    let gate = Gate::start(&[]).await;
    let mut stream = connect(&gate).await;
    let value = [b'a'; 100];
    let field: Vec<u8> = [&[0x00, 1, b'x', 100], value.as_slice()].concat();
    let mut block = vec![0x82, 0x87, 0x84];
    for _ in 0..150 {
        block.extend_from_slice(&field);
    }
    // 150 fields of 133 bytes as HPACK counts them are 20 KiB.
    stream.write_all(&frame(HEADERS, 5, 1, &block)).await.unwrap();
    let head = next(&mut stream, HEADERS).await;
    assert_ne!(head.payload[0], 0x88, "not 200");
    gate.is_unharmed().await;
}

/// `SETTINGS_INITIAL_WINDOW_SIZE` of 0: no answer may be sent, so each would be kept.
#[tokio::test]
async fn caller_that_opens_no_window_is_cut() {
    let gate = Gate::start_with(&[], |args, _| {
        args.timeouts.head = std::time::Duration::from_millis(200);
        args.timeouts.response = std::time::Duration::from_millis(300);
    })
    .await;
    let mut stream = connect(&gate).await;
    stream.write_all(&frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0])).await.unwrap();
    stream.write_all(&get(1, "/peer", false)).await.unwrap();
    assert_eq!(next(&mut stream, HEADERS).await.stream, 1);
    until_closed(&mut stream).await;
    gate.is_unharmed().await;
}

/// Answers that wait for a window are bounded for an address; past the bound they are sent without a body.
#[tokio::test]
async fn answers_that_an_address_does_not_take_are_bounded() {
    let gate = Gate::start(&[]).await;
    let mut held = Vec::new();
    let mut refused = 0;
    for _ in 0..3 {
        let mut stream = connect(&gate).await;
        stream.write_all(&frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0])).await.unwrap();
        for n in 0..200 {
            stream.write_all(&get(2 * n + 1, "/peer", false)).await.unwrap();
            // HPACK: the first byte of the head is 0x88 for 200; else the status is a literal.
            refused += usize::from(next(&mut stream, HEADERS).await.payload[0] != 0x88);
        }
        held.push(stream);
    }
    assert_eq!(refused, 600 - 512);
    drop(held);
    eventually(async || {
        let mut stream = connect(&gate).await;
        stream.write_all(&get(1, "/peer", false)).await.unwrap();
        next(&mut stream, HEADERS).await.payload[0] == 0x88
    })
    .await;
}

/// Each stream may have a body that does not come.
#[tokio::test]
async fn address_waits_for_512_bodies_at_most() {
    let long = std::time::Duration::from_mins(5);
    let gate = Gate::start_with(&["--max-inflight", "8"], |args, _| {
        (args.timeouts.body_slow, args.timeouts.body_stall, args.timeouts.body_whole) = (long, long, long);
    })
    .await;
    let mut held = Vec::new();
    for _ in 0..3 {
        let mut stream = connect(&gate).await;
        for n in 0..200 {
            stream.write_all(&get(2 * n + 1, "/peer", true)).await.unwrap();
        }
        // A stream without a body is answered once those before it are known.
        stream.write_all(&get(401, "/peer", false)).await.unwrap();
        stream.flush().await.unwrap();
        let mut refused = 0;
        loop {
            let head = next(&mut stream, HEADERS).await;
            if head.stream == 401 {
                assert_eq!(head.payload[0], 0x88, "what is here is served");
                break;
            }
            assert_ne!(head.payload[0], 0x88);
            refused += 1;
        }
        held.push((stream, refused));
    }
    let refused: Vec<_> = held.iter().map(|(_, refused)| *refused).collect();
    assert_eq!(refused, [0, 0, 600 - 512]);
    gate.is_unharmed().await;
    let first = &mut held[0].0;
    first.write_all(&frame(DATA, 1, 1, &[])).await.unwrap();
    let head = next(first, HEADERS).await;
    assert_eq!((head.stream, head.payload[0]), (1, 0x88), "and so is what comes later");
}
