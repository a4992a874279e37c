use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;

use super::*;
use portcullis_tenancy::example;

/// The request that a client sends to a server with this answer, and the result.
fn response_to(headers: &str, body: Vec<u8>) -> (String, Result<Answer, RemoteError>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let head = format!("HTTP/1.1 200 OK\r\n{headers}content-length: {}\r\n\r\n", body.len());
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let lines = BufReader::new(stream.try_clone().unwrap()).lines().map(Result::unwrap);
        let sent: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
        // The client may close the connection early.
        let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body));
        sent.join("\n")
    });
    let hold = Duration::from_secs(1);
    let remote = Remote { url, token: None, ca: None, certificate: None, cluster: None, hold };
    let answer = Client::new(remote).poll(true, None);
    (server.join().unwrap(), answer)
}

fn document() -> Vec<u8> {
    let whole = serde_json::to_value(example::snapshot().unwrap()).unwrap();
    serde_json::to_vec(
        &serde_json::json!({"ledger": whole["ledger"], "revision": whole["revision"], "whole": whole}),
    )
    .unwrap()
}

#[test]
fn answer_is_read_with_and_without_compression() {
    let compressed = gzip::compress(&document()).unwrap();
    for (headers, body) in [("", document()), ("content-encoding: GZIP\r\n", compressed)] {
        let (sent, answer) = response_to(headers, body);
        assert!(sent.to_lowercase().contains("accept-encoding: gzip"), "{sent}");
        let Ok(Answer::Whole(snapshot, fallbacks)) = answer else { panic!("{answer:?}") };
        assert!(*snapshot == example::snapshot().unwrap() && fallbacks.is_empty());
    }
}

#[test]
fn answer_above_the_limit_is_rejected_even_if_compressed() {
    let bomb = gzip::compress(&vec![b' '; 4 * usize::try_from(BYTES_MAX).unwrap()]).unwrap();
    assert!(bomb.len() < 4 * 1024 * 1024, "{}", bomb.len());
    let (_, answer) = response_to("content-encoding: gzip\r\n", bomb);
    assert!(matches!(answer, Err(RemoteError::TooLong(BYTES_MAX))), "{answer:?}");
    let (_, answer) = response_to("", vec![b' '; usize::try_from(BYTES_MAX).unwrap() + 1]);
    assert!(matches!(answer, Err(RemoteError::TooLong(BYTES_MAX))), "{answer:?}");
}

#[test]
fn reading_stops_at_the_limit() {
    // Without the limit this reads until the error after it.
    let endless = std::io::repeat(b' ').take(1 << 20).chain(Broken);
    assert!(matches!(bounded(endless, 1000), Err(RemoteError::TooLong(1000))));
    assert_eq!(bounded(&b"short"[..], 5).unwrap(), b"short");
    assert!(matches!(bounded(&b"longer"[..], 5), Err(RemoteError::TooLong(5))));
}

struct Broken;

impl Read for Broken {
    fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
        Err(std::io::Error::other("read too far"))
    }
}

#[test]
fn unknown_and_truncated_encodings_are_rejected() {
    let (_, answer) = response_to("content-encoding: br\r\n", document());
    assert!(matches!(answer, Err(RemoteError::Encoding(coding)) if coding == "br"));
    let mut torn = gzip::compress(&document()).unwrap();
    torn.truncate(torn.len() / 2);
    for body in [torn, document()] {
        let (_, answer) = response_to("content-encoding: gzip\r\n", body);
        assert!(matches!(answer, Err(RemoteError::Body(_))), "{answer:?}");
    }
}
