//! Callers who come in by the wrong door, with too much, too slowly, or with something else altogether.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use crate::support::wire::{Ask, EVIL, PATIENCE, read};
use crate::support::{Gate, Options, wait};

const JSON: Option<&str> = Some("application/json");
const TOO_LONG: &str = "the body exceeds the limit of 16777216 bytes\n";

#[test]
fn a_wrong_door_says_which_is_the_right_one() {
    let mut gate = Gate::start(&Options::default());
    let review = Ask::default().body();
    let nothing = "not found; the webhook serves POST /validate and POST /mutate\n";
    let by_post = "send an AdmissionReview by POST\n";
    let kind = "the content type must be application/json\n";
    let rows = [
        ("GET", "/validate", None, 405, by_post),
        ("PUT", "/validate", JSON, 405, by_post),
        ("DELETE", "/mutate", JSON, 405, by_post),
        ("OPTIONS", "/mutate", None, 405, by_post),
        ("POST", "/", JSON, 404, nothing),
        ("POST", "/validate/", JSON, 404, nothing),
        ("POST", "/Validate", JSON, 404, nothing),
        ("POST", "//validate", JSON, 404, nothing),
        ("POST", "/validate/../mutate", JSON, 404, nothing),
        ("GET", "/metrics", None, 404, nothing),
        ("POST", "/validate", None, 415, kind),
        ("POST", "/validate", Some(""), 415, kind),
        ("POST", "/validate", Some("text/plain"), 415, kind),
        ("POST", "/validate", Some("application/yaml"), 415, kind),
        ("POST", "/validate", Some("application/jsonp"), 415, kind),
        ("POST", "/validate", Some("application/vnd.kubernetes.protobuf"), 415, kind),
    ];
    for (method, path, content_type, status, sentence) in rows {
        let reply = gate.dial().request(method, path, content_type, &review);
        assert_eq!(
            (reply.status, reply.text().as_str()),
            (status, sentence),
            "{method} {path} {content_type:?}"
        );
        assert!(reply.head.contains("content-type: text/plain; charset=utf-8\r\n"), "{}", reply.head);
        assert_eq!(reply.head.contains("\r\nallow: post\r\n"), status == 405, "{}", reply.head);
        gate.is_unharmed();
    }
    for status in ["405", "404", "415"] {
        let counted = gate.metric("portcullis_http_rejected_total", &[&format!("status=\"{status}\"")]);
        let sent = rows.iter().filter(|row| row.3.to_string() == status).count();
        assert_eq!(counted, sent as u64, "{status}");
    }
}

#[test]
fn a_content_type_may_carry_parameters_and_capitals() {
    let gate = Gate::start(&Options::default());
    for content_type in ["application/json; charset=utf-8", "Application/JSON", " application/json "] {
        let reply = gate.dial().post("/validate", Some(content_type), &Ask::default().body());
        assert_eq!(reply.status, 200, "{content_type}: {}", reply.text());
    }
}

/// Whoever is turned away at the door has still sent a body, and must see why it was for nothing.
#[test]
fn a_refusal_is_seen_by_who_is_still_sending() {
    let mut gate = Gate::start(&Options::default());
    let body = vec![b' '; 8 << 20];
    for (path, content_type, status) in [("/validate", Some("text/plain"), 415), ("/nowhere", JSON, 404)] {
        let reply = gate.dial().post(path, content_type, &body);
        assert_eq!(reply.status, status);
        gate.is_unharmed();
    }
}

#[test]
fn too_long_a_body_is_refused_by_its_length_and_by_its_size() {
    let mut gate = Gate::start(&Options::default());
    let long = vec![b' '; (16 << 20) + 1];
    let reply = gate.dial().post("/validate", JSON, &long);
    assert_eq!((reply.status, reply.text().as_str()), (413, TOO_LONG));
    gate.is_unharmed();

    let mut wire = gate.dial();
    wire.send(b"POST /mutate HTTP/1.1\r\nhost: gate\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n").unwrap();
    let chunk = [b"100000\r\n".as_slice(), &long[..1 << 20], b"\r\n"].concat();
    for _ in 0..20 {
        wire.send(&chunk).unwrap();
    }
    wire.send(b"0\r\n\r\n").unwrap();
    let reply = wire.reply().unwrap();
    assert_eq!((reply.status, reply.text().as_str()), (413, TOO_LONG));
    gate.is_unharmed();
}

#[test]
fn the_longest_body_that_is_read_is_judged() {
    let gate = Gate::start(&Options::default());
    let mut body = Ask::pod(EVIL).body();
    body.resize(16 << 20, b' ');
    assert_eq!(gate.ask("validate", &body).denied_by(), ["registry-allowlist"]);
}

/// The library's own tests (`server::hostile`) try every kind of slowness; this is the way through the whole gate.
#[test]
fn slow_callers_keep_nobody_waiting_and_are_let_go() {
    let mut gate = Gate::start(&Options::default());
    let body = Ask::pod(EVIL).body();
    let head = |length: usize| {
        format!(
            "POST /validate HTTP/1.1\r\nhost: gate\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n"
        )
    };
    let (first, rest) = body.split_at(body.len() / 2);
    let (mut late, mut never, mut headless) = (gate.dial(), gate.dial(), gate.dial());
    late.send(&[head(body.len()).as_bytes(), first].concat()).unwrap();
    never.send(&[head(body.len()).as_bytes(), first].concat()).unwrap();
    headless.send(b"POST /validate HTTP/1.1\r\nhost:").unwrap();
    gate.is_unharmed();
    late.send(rest).unwrap();
    assert_eq!(read(&late.reply().unwrap().body).denied_by(), ["registry-allowlist"]);
    let slow = never.reply().unwrap();
    assert_eq!((slow.status, slow.text().as_str()), (408, "the body was not received in time\n"));
    assert!(
        headless.reply().is_none_or(|reply| reply.status == 408),
        "a head that does not come ends the connection"
    );
    gate.is_unharmed();
}

#[test]
fn what_is_no_tls_is_told_so() {
    let mut gate = Gate::start(&Options::default());
    let mut plain = dial(&gate, b"POST /validate HTTP/1.1\r\nhost: gate\r\ncontent-length: 0\r\n\r\n");
    let mut answer = String::new();
    plain.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    assert!(answer.ends_with("this port requires TLS: use an https URL\n"), "{answer}");
    gate.is_unharmed();

    let mut garbage = dial(&gate, &[0x16; 3000]);
    let mut alert = Vec::new();
    let _ = garbage.read_to_end(&mut alert);
    assert_eq!(alert.first(), Some(&0x15), "an alert record: {alert:?}");
    gate.is_unharmed();
}

#[test]
fn open_connections_are_counted_until_they_close() {
    let gate = Gate::start(&Options::default());
    let open = |expected: u64| {
        wait(Duration::from_secs(20), || {
            (gate.metric("portcullis_connections", &[]) == expected).then_some(())
        });
    };
    let dialled: Vec<_> = (0..3).map(|_| gate.dial()).collect();
    open(3);
    drop(dialled);
    open(0);
}

/// A caller who goes away in the middle of a body leaves nothing behind.
#[test]
fn callers_who_leave_are_forgotten() {
    let mut gate = Gate::start(&Options::default());
    for _ in 0..50 {
        let mut wire = gate.dial();
        wire.send(b"POST /validate HTTP/1.1\r\nhost: gate\r\ncontent-type: application/json\r\ncontent-length: 9000\r\n\r\n{\"a").unwrap();
    }
    gate.is_unharmed();
    wait(Duration::from_secs(20), || (gate.metric("portcullis_inflight_requests", &[]) == 0).then_some(()));
}

fn dial(gate: &Gate, bytes: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(&gate.webhook).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let _ = stream.write_all(bytes);
    stream
}
