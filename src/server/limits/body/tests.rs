use std::collections::VecDeque;
use std::io;

use axum::http::Request;
use hyper::body::Frame;

use super::*;

/// What a caller does, in turn.
enum Step {
    Send(usize),
    Wait(Duration),
    Hang,
    Break,
}

struct Caller {
    steps: VecDeque<Step>,
    declared: Option<u64>,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Body for Caller {
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

    fn size_hint(&self) -> hyper::body::SizeHint {
        self.declared.map(hyper::body::SizeHint::with_exact).unwrap_or_default()
    }
}

const MAX: usize = 200_000;

/// For callers who must not be cut, however loaded the machine is.
fn limits() -> BodyLimits {
    BodyLimits::new(MAX, Duration::from_mins(1), Duration::from_mins(1))
}

/// For callers who must be.
fn impatient() -> BodyLimits {
    BodyLimits::new(MAX, Duration::from_millis(60), Duration::from_millis(200))
}

async fn read(limits: &BodyLimits, declared: Option<u64>, steps: Vec<Step>) -> Result<Bytes, Rejection> {
    let (head, ()) = Request::new(()).into_parts();
    read_body(&head, Caller { steps: steps.into(), declared, timer: None }, limits).await
}

#[tokio::test]
async fn bodies_within_the_bounds_come_whole() {
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
async fn each_flaw_has_its_answer() {
    let wait = || Step::Wait(Duration::from_millis(40));
    for (declared, steps, status) in [
        (Some(200_001), vec![Step::Hang], 413),
        (None, vec![Step::Send(MAX + 1)], 413),
        (None, vec![Step::Send(MAX), Step::Send(1)], 413),
        (Some(10), vec![Step::Send(5), Step::Hang], 408),
        (None, std::iter::repeat_with(|| [wait(), Step::Send(1)]).take(20).flatten().collect(), 408),
        (Some(10), vec![Step::Send(5), Step::Break], 400),
    ] {
        let rejection = read(&impatient(), declared, steps).await.unwrap_err();
        assert_eq!(rejection.status().as_u16(), status, "{rejection}");
        assert!(rejection.into_response().headers().get(header::RETRY_AFTER).is_none());
    }
}

#[tokio::test]
async fn large_bodies_share_their_memory_and_give_it_back() {
    let limits = limits();
    let big = || read(&limits, None, vec![Step::Send(100_000), Step::Send(100_000)]);
    let mut kept = Vec::new();
    for _ in 0..BODIES {
        kept.push(big().await.unwrap());
    }
    assert_eq!(big().await.unwrap_err(), Rejection::Memory);
    assert_eq!(read(&limits, None, vec![Step::Send(6_000)]).await.unwrap().len(), 6_000, "small ones go on");
    let slice = kept.pop().unwrap().slice(..10);
    assert_eq!(big().await.unwrap_err(), Rejection::Memory, "a slice holds the whole");
    drop(slice);
    assert!(big().await.is_ok());
}
