//! The end: what was decided is written, what was announced is taken back.

use std::time::Duration;

use crate::support::wire::Ask;
use crate::support::{Gate, Options, wait};

const TERM: i32 = 15;
const INT: i32 = 2;

#[test]
fn sigterm_writes_the_last_line_and_ends_well() {
    for signal in [TERM, INT] {
        let gate = Gate::start(&Options::default());
        let ready = gate.path("ready.json");
        let told: serde_json::Value =
            serde_json::from_str(&std::fs::read_to_string(&ready).unwrap()).unwrap();
        assert_eq!(
            (told["webhook"].as_str().unwrap(), told["admin"].as_str().unwrap()),
            (gate.webhook.as_str(), gate.admin.as_str())
        );
        for _ in 0..200 {
            gate.ask("validate", &Ask::default().body());
        }
        let dir = gate.path("kept");
        std::os::unix::fs::symlink(gate.path("decisions.jsonl"), &dir).unwrap();
        let log = std::fs::File::open(gate.path("decisions.jsonl")).unwrap();
        let (place, status) = (ready.clone(), gate.end(signal));
        assert_eq!(status.code(), Some(0), "signal {signal}");
        assert_eq!(std::io::BufRead::lines(std::io::BufReader::new(log)).count(), 200, "signal {signal}");
        assert!(!place.exists(), "the ready file is gone");
    }
}

/// Lets the gate read what another connection has sent: reviews that come after it are answered.
fn has_begun(gate: &Gate) {
    for _ in 0..20 {
        gate.ask("validate", &Ask::default().body());
    }
}

#[test]
fn a_drain_is_announced_and_answers_what_comes_meanwhile() {
    let gate = Gate::start(&Options { extra: &["--drain-grace", "5s"], ..Options::default() });
    let mut begun = gate.dial();
    let body = Ask::default().body();
    let head = format!(
        "POST /validate HTTP/1.1\r\nhost: gate\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    begun.send(&[head.as_bytes(), &body[..100]].concat()).unwrap();
    has_begun(&gate);
    gate.signal(TERM);
    wait(Duration::from_secs(10), || (gate.get("/readyz").0 == 503).then_some(()));
    begun.send(&body[100..]).unwrap();
    let reply = begun.reply().unwrap();
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(gate.end(0).code(), Some(0));
}

#[test]
fn a_second_signal_aborts() {
    let gate = Gate::start(&Options { extra: &["--drain-grace", "60s"], ..Options::default() });
    let mut begun = gate.dial();
    begun.send(b"POST /validate HTTP/1.1\r\nhost: gate\r\ncontent-type: application/json\r\ncontent-length: 9000\r\n\r\n{").unwrap();
    has_begun(&gate);
    gate.signal(TERM);
    wait(Duration::from_secs(10), || (gate.get("/readyz").0 == 503).then_some(()));
    let status = gate.end(TERM);
    assert!(status.code().is_some_and(|code| code != 0), "{status}");
}
