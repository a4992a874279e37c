use std::collections::VecDeque;
use std::io;
use std::sync::atomic::Ordering;

use axum::response::IntoResponse as _;
use hyper::body::Frame;

use super::*;

enum Step {
    Send(usize),
    Wait(Duration),
    Hang,
    Break,
}

struct Sender {
    steps: VecDeque<Step>,
    declared: Option<u64>,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Body for Sender {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        if let Some(timer) = &mut self.timer {
            ready!(timer.as_mut().poll(cx));
            self.timer = None;
        }
        match self.steps.pop_front() {
            None => Poll::Ready(None),
            Some(Step::Send(n)) => Poll::Ready(Some(Ok(Frame::data(vec![b'x'; n].into())))),
            Some(Step::Break) => Poll::Ready(Some(Err(io::ErrorKind::UnexpectedEof.into()))),
            Some(Step::Wait(time)) => {
                self.timer = Some(Box::pin(tokio::time::sleep(time)));
                self.poll_frame(cx)
            }
            Some(Step::Hang) => {
                self.steps.push_front(Step::Hang);
                Poll::Pending
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.steps.is_empty() && self.timer.is_none()
    }

    fn size_hint(&self) -> hyper::body::SizeHint {
        self.declared.map(hyper::body::SizeHint::with_exact).unwrap_or_default()
    }
}

const MAX: usize = 200_000;

fn timeouts(stall: Duration, whole: Duration) -> Timeouts {
    Timeouts { body_stall: stall, body_whole: whole, ..Timeouts::default() }
}

/// Without deadlines that a busy machine could miss.
fn limits() -> BodyLimits {
    let minute = Duration::from_mins(1);
    BodyLimits::new(MAX, Timeouts { body_slow: minute, ..timeouts(minute, minute) }, |_| None)
}

fn short_timeouts() -> BodyLimits {
    BodyLimits::new(MAX, timeouts(Duration::from_millis(60), Duration::from_millis(200)), |_| None)
}

async fn read(limits: &BodyLimits, declared: Option<u64>, steps: Vec<Step>) -> Result<Bytes, Rejection> {
    read_from(&Arc::default(), limits, declared, steps).await
}

async fn read_from(
    caller: &Arc<Caller>,
    limits: &BodyLimits,
    declared: Option<u64>,
    steps: Vec<Step>,
) -> Result<Bytes, Rejection> {
    let sender = Sender { steps: steps.into(), declared, timer: None };
    read_body(&HeaderMap::new(), sender, limits, caller).await
}

#[tokio::test]
async fn bodies_within_the_limits_are_read_whole() {
    let short = || Step::Wait(Duration::from_millis(1));
    for (steps, length) in [
        (vec![], 0),
        (vec![Step::Send(6_000)], 6_000),
        (vec![Step::Send(0), Step::Send(4_096), short(), Step::Send(1_904)], 6_000),
        (vec![Step::Send(100_000), short(), Step::Send(100_000)], MAX),
    ] {
        assert_eq!(read(&limits(), None, steps).await.unwrap().len(), length);
    }
}

#[tokio::test]
async fn each_rejection_has_its_status() {
    let wait = || Step::Wait(Duration::from_millis(40));
    for (declared, steps, status) in [
        (Some(200_001), vec![Step::Hang], 413),
        (None, vec![Step::Send(MAX + 1)], 413),
        (None, vec![Step::Send(MAX), Step::Send(1)], 413),
        (Some(10), vec![Step::Send(5), Step::Hang], 408),
        (None, std::iter::repeat_with(|| [wait(), Step::Send(1)]).take(20).flatten().collect(), 408),
        (Some(10), vec![Step::Send(5), Step::Break], 400),
    ] {
        let rejection = read(&short_timeouts(), declared, steps).await.unwrap_err();
        assert_eq!(rejection.status().as_u16(), status, "{rejection}");
        assert!(rejection.into_response().headers().get(header::RETRY_AFTER).is_none());
    }
}

#[tokio::test]
async fn large_bodies_wait_for_memory_and_release_it() {
    let limits = BodyLimits::new(8 << 20, Timeouts::default(), |_| None);
    let length = 8 << 20;
    let steps = || vec![Step::Send(length - 100_000), Step::Send(100_000)];
    let big = || read(&limits, Some(length as u64), steps());
    let mut bodies = vec![big().await.unwrap()];
    let patience = Duration::from_millis(50);
    assert!(timeout(patience, big()).await.is_err(), "the second waits");
    assert_eq!(read(&limits, None, vec![Step::Send(6_000)]).await.unwrap().len(), 6_000, "small ones go on");
    let medium = read(&limits, Some(100_000), vec![Step::Send(50_000), Step::Send(50_000)]).await;
    assert_eq!(medium.unwrap().len(), 100_000, "and those of medium size");
    let slice = bodies.pop().unwrap().slice(..10);
    assert!(timeout(patience, big()).await.is_err(), "a slice holds the whole reservation");
    let (next, ()) = tokio::join!(big(), async {
        tokio::task::yield_now().await;
        drop(slice);
    });
    assert_eq!(next.unwrap().len(), length, "the one that waited");
}

#[tokio::test]
async fn body_is_rejected_after_waiting_for_memory() {
    let limits =
        BodyLimits::new(MAX, timeouts(Duration::from_secs(9), Duration::from_millis(80)), |_| Some(b"a"));
    let big = || read(&limits, Some(MAX as u64), vec![Step::Send(100_000), Step::Send(100_000)]);
    let _bodies = [big().await.unwrap(), big().await.unwrap()];
    assert_eq!(big().await.unwrap_err(), Rejection::Memory, "its owner has two already");
}

#[tokio::test]
async fn deadline_of_a_large_body_depends_on_its_size() {
    let quick = Timeouts {
        body_slow: Duration::from_millis(50),
        ..timeouts(Duration::from_secs(9), Duration::from_secs(9))
    };
    let limits = BodyLimits::new(MAX, quick, |_| None);
    let steps = vec![Step::Send(100_000), Step::Hang];
    let begun = Instant::now();
    assert_eq!(read(&limits, Some(MAX as u64), steps).await.unwrap_err(), Rejection::Slow);
    assert!(begun.elapsed() < Duration::from_secs(5), "and not the nine seconds of any body");
}

#[tokio::test]
async fn bytes_of_small_unfinished_bodies_are_bounded_for_an_address() {
    let (limits, caller) = (limits(), Arc::<Caller>::default());
    let mut waiting = tokio::task::JoinSet::new();
    let count = 8 * 1024 / 60;
    for _ in 0..count {
        let (limits, caller) = (limits.clone(), Arc::clone(&caller));
        let steps = vec![Step::Send(60 << 10), Step::Hang];
        waiting.spawn(async move { read_from(&caller, &limits, None, steps).await });
    }
    while caller.small_bytes.load(Ordering::Relaxed) < count * (60 << 10) {
        tokio::task::yield_now().await;
    }
    let steps = || vec![Step::Send(30_000), Step::Send(30_000)];
    assert_eq!(read_from(&caller, &limits, None, steps()).await.unwrap_err(), Rejection::Memory);
    assert_eq!(
        read_from(&caller, &limits, None, vec![Step::Send(60_000)]).await.unwrap().len(),
        60_000,
        "whole"
    );
    assert!(read(&limits, None, steps()).await.is_ok(), "another address");
    waiting.shutdown().await;
    assert!(read_from(&caller, &limits, None, steps()).await.is_ok(), "released");
}
