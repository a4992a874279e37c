use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;

use super::*;
use portcullis_tenancy::example;

/// Asks a server that answers once with these headers and this body; what the client sent, and what it made of it.
fn asked(headers: &str, body: Vec<u8>) -> (String, Result<Answer, RemoteError>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let head = format!("HTTP/1.1 200 OK\r\n{headers}content-length: {}\r\n\r\n", body.len());
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let lines = BufReader::new(stream.try_clone().unwrap()).lines().map(Result::unwrap);
        let sent: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
        // A client that has read enough closes the connection.
        let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body));
        sent.join("\n")
    });
    let hold = Duration::from_secs(1);
    let remote = Remote { url, token: None, ca: None, certificate: None, cluster: None, hold };
    let answer = Client::new(remote).ask(true, None);
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
        let (sent, answer) = asked(headers, body);
        assert!(sent.to_lowercase().contains("accept-encoding: gzip"), "{sent}");
        let Ok(Answer::Whole(snapshot, held)) = answer else { panic!("{answer:?}") };
        assert!(*snapshot == example::snapshot().unwrap() && held.is_empty());
    }
}

#[test]
fn answer_longer_than_the_bound_is_refused_however_short_it_is_on_the_wire() {
    let bomb = gzip::compress(&vec![b' '; 4 * usize::try_from(BYTES_MAX).unwrap()]).unwrap();
    assert!(bomb.len() < 4 * 1024 * 1024, "{}", bomb.len());
    let (_, answer) = asked("content-encoding: gzip\r\n", bomb);
    assert!(matches!(answer, Err(RemoteError::TooLong(BYTES_MAX))), "{answer:?}");
    let (_, answer) = asked("", vec![b' '; usize::try_from(BYTES_MAX).unwrap() + 1]);
    assert!(matches!(answer, Err(RemoteError::TooLong(BYTES_MAX))), "{answer:?}");
}

#[test]
fn no_more_is_read_than_the_bound() {
    // Without the bound this is read until a piece fails, long after it.
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
fn other_and_broken_encodings_are_refused() {
    let (_, answer) = asked("content-encoding: br\r\n", document());
    assert!(matches!(answer, Err(RemoteError::Encoding(coding)) if coding == "br"));
    let mut torn = gzip::compress(&document()).unwrap();
    torn.truncate(torn.len() / 2);
    for body in [torn, document()] {
        let (_, answer) = asked("content-encoding: gzip\r\n", body);
        assert!(matches!(answer, Err(RemoteError::Body(_))), "{answer:?}");
    }
}
