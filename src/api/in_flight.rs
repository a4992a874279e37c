//! Limits the bytes of requests in flight, per caller and in total. A response counts until it is sent, so callers that do
//! not read long pages cannot fill the memory.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody as _};
use axum::http::header::CONTENT_LENGTH;
use axum::response::Response;
use tokio::sync::Notify;

use super::problem::{Code, Problem};

/// Of all callers.
const TOTAL_MAX: usize = 64 * 1024 * 1024;

/// Of one caller: five pages.
const CALLER_MAX: usize = 16 * 1024 * 1024;

/// A page while it is made: its rows, its items and its text, each up to a page's length.
const PAGE_BYTES: usize = 3 * 1024 * 1024;

/// Any other request while it is answered.
const OTHER_BYTES: usize = 64 * 1024;

/// Bytes of an answer that the connection takes at a time.
const CHUNK_BYTES: usize = 16 * 1024;

/// How long a request waits for its bytes before it gets 503.
const WAIT_MAX: Duration = Duration::from_secs(5);

/// What is in flight; all clones are one.
#[derive(Clone, Default)]
pub(super) struct InFlight(Arc<State>);

#[derive(Default)]
struct State {
    held: Mutex<BytesHeld>,
    /// Told of everything that is given back.
    freed: Notify,
}

#[derive(Default)]
struct BytesHeld {
    total: usize,
    /// Callers that hold something.
    callers: HashMap<Arc<str>, usize>,
}

/// Reserved bytes, released on drop.
pub(super) struct Reservation {
    state: Arc<State>,
    caller: Arc<str>,
    bytes: usize,
}

impl InFlight {
    /// Reserves bytes for a request, more for a `page`, and waits while too many are reserved.
    ///
    /// # Errors
    /// 503 where they are not free in time.
    pub(super) async fn reserve(&self, caller: &str, page: bool) -> Result<Reservation, Problem> {
        self.reserve_within(WAIT_MAX, caller, page).await
    }

    async fn reserve_within(
        &self,
        timeout: Duration,
        caller: &str,
        page: bool,
    ) -> Result<Reservation, Problem> {
        let bytes = if page { PAGE_BYTES } else { OTHER_BYTES };
        let caller: Arc<str> = caller.into();
        let taken = async {
            loop {
                // Registered before it is looked: what is freed in between is not missed.
                let freed = self.0.freed.notified();
                if self.0.lock().take(&caller, bytes) {
                    return;
                }
                freed.await;
            }
        };
        let waited = tokio::time::timeout(timeout, taken).await;
        waited.map_err(|_| {
            Problem::new(
                Code::ServiceUnavailable,
                "too many large responses are in flight for this caller; read those first",
            )
        })?;
        Ok(Reservation { state: Arc::clone(&self.0), caller, bytes })
    }
}

impl State {
    fn lock(&self) -> std::sync::MutexGuard<'_, BytesHeld> {
        // Every edit leaves it whole.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl BytesHeld {
    fn take(&mut self, caller: &Arc<str>, bytes: usize) -> bool {
        let of_caller = self.callers.get(caller).copied().unwrap_or_default();
        let free = self.total + bytes <= TOTAL_MAX && of_caller + bytes <= CALLER_MAX;
        if free {
            self.total += bytes;
            self.callers.insert(Arc::clone(caller), of_caller + bytes);
        }
        free
    }

    fn release(&mut self, caller: &Arc<str>, bytes: usize) {
        self.total = self.total.saturating_sub(bytes);
        if let Some(held) = self.callers.get_mut(caller) {
            *held = held.saturating_sub(bytes);
            if *held == 0 {
                self.callers.remove(caller);
            }
        }
    }

    fn add(&mut self, caller: &Arc<str>, bytes: usize) {
        self.total += bytes;
        *self.callers.entry(Arc::clone(caller)).or_default() += bytes;
    }
}

impl Reservation {
    /// Holds what the answer takes, instead of what was taken for it, until it is sent.
    pub(super) fn hold_until_sent(mut self, response: Response) -> Response {
        let length = response.body().size_hint().exact().and_then(|length| usize::try_from(length).ok());
        let Some(length) = length.filter(|length| *length > OTHER_BYTES) else { return response };
        self.resize(length);
        let (mut head, body) = response.into_parts();
        head.headers.insert(CONTENT_LENGTH, length.into());
        let sent = futures_util::stream::unfold(
            (body, Bytes::new(), self),
            async |(mut body, mut rest, reservation)| {
                if rest.is_empty() {
                    rest = http_body_util::BodyExt::frame(&mut body).await?.ok()?.into_data().ok()?;
                }
                let chunk = rest.split_to(rest.len().min(CHUNK_BYTES));
                Some((Ok::<_, Infallible>(chunk), (body, rest, reservation)))
            },
        );
        Response::from_parts(head, Body::from_stream(sent))
    }

    fn resize(&mut self, bytes: usize) {
        let mut held = self.state.lock();
        // What an answer turned out to be is there already: it is counted, and the next wait for it.
        held.release(&self.caller, self.bytes);
        held.add(&self.caller, bytes);
        drop(held);
        self.bytes = bytes;
        self.state.freed.notify_waiters();
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.state.lock().release(&self.caller, self.bytes);
        self.state.freed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;

    fn held(in_flight: &InFlight) -> usize {
        in_flight.0.lock().total
    }

    #[tokio::test]
    async fn caller_that_reads_nothing_waits_and_others_do_not() {
        let in_flight = InFlight::default();
        let mut reservations = Vec::new();
        for _ in 0..CALLER_MAX / PAGE_BYTES {
            reservations.push(in_flight.reserve("a#1", true).await.unwrap());
        }
        let refused = in_flight.reserve_within(Duration::from_millis(1), "a#1", true).await.err().unwrap();
        assert_eq!(refused.code(), Code::ServiceUnavailable);
        in_flight.reserve("b#1", true).await.unwrap();
        let waits = tokio::spawn({
            let in_flight = in_flight.clone();
            async move { in_flight.reserve("a#1", true).await.map(drop) }
        });
        tokio::task::yield_now().await;
        drop(reservations.pop());
        waits.await.unwrap().unwrap();
        drop(reservations);
        assert_eq!((held(&in_flight), in_flight.0.lock().callers.len()), (0, 0));
    }

    #[tokio::test]
    async fn all_callers_together_are_bounded() {
        let in_flight = InFlight::default();
        let mut reservations = Vec::new();
        for n in 0..TOTAL_MAX / PAGE_BYTES {
            reservations.push(in_flight.reserve(&format!("a#{n}"), true).await.unwrap());
        }
        assert!(held(&in_flight) <= TOTAL_MAX);
        assert!(in_flight.reserve_within(Duration::from_millis(1), "b#1", true).await.is_err());
    }

    #[tokio::test]
    async fn answer_is_held_until_it_is_sent() {
        let in_flight = InFlight::default();
        let text = "x".repeat(5 * CHUNK_BYTES + 7);
        let reservation = in_flight.reserve("a#1", false).await.unwrap();
        let response = reservation.hold_until_sent(Response::new(Body::from(text.clone())));
        assert_eq!(held(&in_flight), text.len());
        assert_eq!(response.headers()[CONTENT_LENGTH], text.len().to_string());
        let mut body = response.into_body();
        let first = body.frame().await.unwrap().unwrap().into_data().unwrap();
        assert_eq!((first.len(), held(&in_flight)), (CHUNK_BYTES, text.len()));
        let rest = body.collect().await.unwrap().to_bytes();
        assert_eq!([first, rest].concat(), text.as_bytes());
        assert_eq!(held(&in_flight), 0);
    }

    #[tokio::test]
    async fn short_answer_is_given_back_at_once() {
        let in_flight = InFlight::default();
        let reservation = in_flight.reserve("a#1", true).await.unwrap();
        let response = reservation.hold_until_sent(Response::new(Body::from("short")));
        assert_eq!(held(&in_flight), 0);
        assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "short");
    }
}
