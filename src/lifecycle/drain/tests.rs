use std::future::pending;
use std::sync::atomic::{AtomicBool, Ordering};

use super::*;
use crate::tasks::{Died, How};

const SHORT: Timing = Timing { delay: Duration::from_millis(20), grace: Duration::from_secs(5) };

#[tokio::test]
async fn first_signal_drains_in_order() {
    let readiness = Readiness::new();
    let (conductor, drain) = Conductor::new(SHORT, readiness.clone());
    let (signal, signals) = Signals::manual();
    signal.send(()).await.unwrap();
    let work = async {
        drain.closing().cancelled().await;
        assert!(!readiness.is_ready(), "unready comes first");
        assert!(!drain.stopping().is_cancelled(), "callers are told before the listener stops");
        drain.stopping().cancelled().await;
        7
    };
    let finished = conductor.conduct(signals, pending(), work).await.unwrap();
    assert_eq!((finished.output, finished.died), (7, None));
}

#[tokio::test]
async fn second_signal_aborts() {
    struct Dropped<'a>(&'a AtomicBool);
    impl Drop for Dropped<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
    let dropped = AtomicBool::new(false);
    let (conductor, _drain) = Conductor::new(SHORT, Readiness::new());
    let (signal, signals) = Signals::manual();
    signal.send(()).await.unwrap();
    signal.send(()).await.unwrap();
    let guard = Dropped(&dropped);
    let work = async move {
        let _guard = guard;
        pending::<()>().await;
    };
    assert!(matches!(conductor.conduct(signals, pending(), work).await, Err(Aborted)));
    assert!(dropped.load(Ordering::Relaxed));
}

#[tokio::test]
async fn ended_task_starts_the_drain() {
    let (conductor, drain) = Conductor::new(SHORT, Readiness::new());
    let (_signal, signals) = Signals::manual();
    let died = Died { name: "policy reload", how: How::Returned };
    let cause = died.clone();
    let stopping = drain.stopping();
    let finished =
        conductor.conduct(signals, async move { cause }, stopping.cancelled()).await.expect("not aborted");
    assert_eq!(finished.died, Some(died));
}

#[tokio::test]
async fn finished_work_needs_no_signal() {
    let readiness = Readiness::new();
    let (conductor, _drain) = Conductor::new(SHORT, readiness.clone());
    let (_signal, signals) = Signals::manual();
    let finished = conductor.conduct(signals, pending(), async { "done" }).await.unwrap();
    assert_eq!(finished.output, "done");
    assert!(readiness.is_ready());
}
