//! The end: callers are told to leave, what is in flight finishes, what does not is cut.

use std::future::pending;
use std::time::Duration;

use portcullis_lifecycle::drain::{Conductor, Signals, Timing};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use super::harness::*;

const PEER: &str = "GET /peer HTTP/1.1\r\nhost: g\r\n\r\n";

#[tokio::test]
async fn a_drain_tells_callers_and_finishes_what_is_in_flight() {
    let gate = Gate::start(&[]).await;
    let (mut flying, mut idle, mut kept) = (gate.connect().await, gate.connect().await, gate.connect().await);
    gate.ask_slow(&mut flying).await;
    assert_eq!(ask(&mut idle, PEER).await.status, 200);

    gate.drain.close();
    let told = ask(&mut kept, PEER).await;
    assert!(told.status == 200 && told.head.contains("connection: close"), "{}", told.head);
    assert_eq!(until_closed(&mut kept).await, b"");
    gate.is_unharmed().await;

    gate.drain.stop();
    assert_eq!(until_closed(&mut idle).await, b"", "an idle connection has nothing to wait for");
    eventually(async || TcpStream::connect(gate.webhook).await.is_err()).await;
    assert!(!gate.task.is_finished(), "one is in flight");
    assert_eq!(gate.admin("/livez").await.status, 200, "probes are answered to the last");

    gate.slow.add_permits(1);
    let last = answer(&mut flying).await.unwrap();
    assert!(last.body == "slow" && last.head.contains("connection: close"), "{}", last.head);
    assert_eq!(gate.task.await.unwrap().unwrap().cut, 0);
}

#[tokio::test]
async fn a_request_that_is_half_here_is_still_answered() {
    let gate = Gate::start(&[]).await;
    let mut stream = gate.connect().await;
    assert_eq!(ask(&mut stream, PEER).await.status, 200);
    let (first, second) = PEER.split_at(10);
    stream.write_all(first.as_bytes()).await.unwrap();
    stream.flush().await.unwrap();
    // Long enough for the bytes to be read; too short only makes the test weaker.
    tokio::time::sleep(Duration::from_millis(100)).await;
    gate.drain.stop();
    tokio::time::sleep(Duration::from_millis(100)).await;
    let answer = ask(&mut stream, second).await;
    assert!(answer.status == 200 && answer.head.contains("connection: close"), "{}", answer.head);
    assert_eq!(gate.task.await.unwrap().unwrap().cut, 0);
}

#[tokio::test]
async fn what_does_not_finish_in_its_grace_is_cut_and_counted() {
    let gate = Gate::start(&["--drain-grace", "200ms"]).await;
    let mut stuck = gate.connect().await;
    gate.ask_slow(&mut stuck).await;
    gate.drain.stop();
    assert_eq!(gate.task.await.unwrap().unwrap().cut, 1);
    assert_eq!(until_closed(&mut stuck).await, b"");
}

#[tokio::test]
async fn from_signal_to_exit() {
    let timing = Timing { delay: Duration::from_millis(50), grace: PATIENCE };
    let gate = Gate::start(&[]).await;
    let (conductor, drain) = Conductor::new(timing, gate.readiness.clone());
    let (signal, signals) = Signals::manual();
    let served = gate.drain.clone();
    let work = async {
        // The harness has a drain of its own; it follows the conductor's.
        drain.closing().cancelled().await;
        assert_eq!(gate.admin("/readyz").await.status, 503);
        served.close();
        drain.stopping().cancelled().await;
        served.stop();
        gate.task.await.unwrap().unwrap()
    };
    signal.send(()).await.unwrap();
    let finished = conductor.conduct(signals, pending(), work).await.unwrap();
    assert_eq!((finished.output.cut, finished.died), (0, None));
}
