//! One review from its body to the answer: route, decode, take a place of its tenant, judge, encode.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::http::request::Parts;
use axum::http::{Request, StatusCode};
use axum::response::Response;
use bytes::Bytes;
use tower::Service;
use tower::util::service_fn;

use crate::admission::gate::Decoded;
use crate::admission::{Endpoint, Gate, http};
use crate::server::limits::{Fair, Pace, SMALL, Slots, Spending};
use crate::server::{Arrival, Peer};
use crate::telemetry::metrics;

/// How long a review may wait for a slot where the caller does not say how long it waits itself: well below the
/// three seconds after which an API server has given up.
const WAIT: Duration = Duration::from_secs(2);

/// What is kept of a caller's patience for the work on its review, ten times what the longest takes. A review that begins later
/// would be stopped at its deadline and answered as a failure of its policies, which it is not.
const WORK: Duration = Duration::from_millis(500);

/// What bounds the work on reviews.
struct Limits {
    tenants: Fair,
    spending: Spending,
    /// Of tenants that have had much of the processors of late: as many at once as there are processors, tenants in turn, so
    /// that another tenant waits for no backlog.
    busy: Slots,
    /// Of reviews that are large or dear: half as many. They go beside the workers, as threads that the system gives their
    /// share of the processors, so that the others have the rest.
    beside: Slots,
}

/// The service behind the listener.
pub fn service(
    gate: Arc<Gate>,
    per_tenant: usize,
) -> impl Service<Request<Bytes>, Response = Response, Error = Infallible, Future: Send> + Clone + Send + 'static
{
    let processors = std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get);
    let limits = Arc::new(Limits {
        tenants: Fair::new(per_tenant),
        spending: Spending::default(),
        busy: Slots::new(processors),
        beside: Slots::new((processors / 2).max(1)),
    });
    service_fn(move |request: Request<Bytes>| {
        let (gate, limits) = (Arc::clone(&gate), Arc::clone(&limits));
        async move { Ok(review(gate, limits, request).await) }
    })
}

/// The namespace that a review is about, from the beginning of its text, or an empty one where none is found there: whose large
/// reviews wait for each other. No verdict depends on it, and the text of a string cannot pass for it: its quotes are escaped.
#[expect(
    clippy::unnecessary_wraps,
    reason = "an `Owner` may know of none, and here what is not found is one owner"
)]
pub(super) fn namespace(begun: &[u8]) -> Option<&[u8]> {
    const KEY: &[u8] = b"\"namespace\":\"";
    let found = begun.windows(KEY.len()).position(|window| window == KEY).and_then(|at| {
        let rest = begun.get(at + KEY.len()..)?;
        rest.get(..rest.iter().position(|byte| *byte == b'"')?)
    });
    Some(found.unwrap_or_default())
}

async fn review(gate: Arc<Gate>, limits: Arc<Limits>, request: Request<Bytes>) -> Response {
    let (head, body) = request.into_parts();
    let endpoint = match http::route(&head) {
        Ok(endpoint) => endpoint,
        Err(response) => return response,
    };
    let verified = head.extensions.get::<Peer>().is_some_and(|peer| peer.verified);
    let work = Work { gate, limits, endpoint, verified, patience: Patience::of(&head) };
    if body.len() <= SMALL {
        return match work.decode(body) {
            Ok(decoded) => work.small(decoded).await,
            Err(refused) => refused,
        };
    }
    // Before it is decoded, which may take as long as its judgement.
    let Some(slot) = work.limits.beside.take(work.patience.wait()).await else {
        metrics::shed("large");
        return http::refuse(StatusCode::SERVICE_UNAVAILABLE, "too many large reviews; nothing was judged");
    };
    beside(slot, move || work.large(body)).await
}

/// One review on its way.
struct Work {
    gate: Arc<Gate>,
    limits: Arc<Limits>,
    endpoint: Endpoint,
    verified: bool,
    patience: Patience,
}

/// A review that was decoded, whose it is, and the processor time so far.
struct Decoding {
    decoded: Decoded,
    tenant: String,
    took: Duration,
}

impl Work {
    /// The review, or the answer to what is none.
    #[expect(clippy::result_large_err, reason = "a response is what a refusal is")]
    fn decode(&self, body: Bytes) -> Result<Decoding, Response> {
        let (decoded, took) = timed(|| self.gate.decode(body, self.endpoint));
        match decoded {
            Ok(decoded) => Ok(Decoding { tenant: decoded.share().to_owned(), decoded, took }),
            Err(error) => {
                let sentence = crate::admission::message::clean(&error.to_string(), 300);
                Err(http::refuse(StatusCode::BAD_REQUEST, &sentence))
            }
        }
    }

    /// From the body to the answer; nothing of it is left afterwards.
    fn large(self, body: Bytes) -> Response {
        let decoding = match self.decode(body) {
            Ok(decoding) => decoding,
            Err(refused) => return refused,
        };
        match self.limits.tenants.try_acquire(&decoding.tenant) {
            Some(_place) => self.judge(decoding),
            None => self.shed(&decoding),
        }
    }

    /// Judges at once, or when it is its tenant's turn.
    async fn small(self, decoding: Decoding) -> Response {
        let Some(place) = self.limits.tenants.try_acquire(&decoding.tenant) else {
            return self.shed(&decoding);
        };
        let (limits, wait) = (Arc::clone(&self.limits), self.patience.wait());
        match limits.spending.pace(&decoding.tenant) {
            Pace::Free => self.judge(decoding),
            Pace::Busy => match limits.busy.take_in_turn(&decoding.tenant, wait).await {
                Some(_slot) => self.judge(decoding),
                None => self.shed(&decoding),
            },
            Pace::Dear => match limits.beside.take_in_turn(&decoding.tenant, wait).await {
                Some(slot) => beside((slot, place), move || self.judge(decoding)).await,
                None => self.shed(&decoding),
            },
        }
    }

    fn judge(&self, Decoding { decoded, tenant, took }: Decoding) -> Response {
        let (verdict, judging) = timed(|| self.gate.decide(decoded, self.patience.left(), self.verified));
        self.limits.spending.note(&tenant, took + judging);
        http::answer(&verdict)
    }

    fn shed(&self, decoding: &Decoding) -> Response {
        metrics::shed("tenant");
        http::answer(&self.gate.shed(&decoding.decoded, self.verified))
    }
}

/// Works on a thread of its own while it holds these places. What large reviews leave behind in an allocator, a few threads
/// leave behind, and not each worker.
async fn beside(held: impl Send + 'static, work: impl FnOnce() -> Response + Send + 'static) -> Response {
    let done = tokio::task::spawn_blocking(move || {
        let _held = held;
        work()
    });
    match done.await {
        Ok(response) => response,
        // As if it had been here: the connection answers 500.
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        Err(_) => http::refuse(StatusCode::SERVICE_UNAVAILABLE, "the gate is ending; nothing was judged"),
    }
}

/// How long the caller of a review waits for its answer, where it says so.
struct Patience {
    whole: Option<Duration>,
    arrival: Instant,
}

impl Patience {
    fn of(head: &Parts) -> Self {
        let arrival = head.extensions.get::<Arrival>().map_or_else(Instant::now, |Arrival(at)| *at);
        Self { whole: http::patience(head), arrival }
    }

    /// What is left of it.
    fn left(&self) -> Option<Duration> {
        self.whole.map(|whole| whole.saturating_sub(self.arrival.elapsed()))
    }

    /// How long a review may wait for a slot: what is left afterwards suffices for its judgement.
    fn wait(&self) -> Duration {
        self.left().unwrap_or(WAIT).saturating_sub(WORK)
    }
}

/// Works, and says how much processor time it took.
fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let before = processor_time();
    let done = work();
    (done, processor_time().saturating_sub(before))
}

/// The processor time of this thread.
fn processor_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::namespace;

    #[test]
    fn a_namespace_is_found_where_an_api_server_writes_it_and_no_string_passes_for_it() {
        for (text, found) in [
            (r#"{"request":{"uid":"u","name":"n","namespace":"tn-a","object":{"#, "tn-a"),
            (r#"{"request":{"name":"\",\"namespace\":\"tn-b","namespace":"tn-a""#, "tn-a"),
            (r#"{"request":{"resource":{"resource":"aaaaaaaaaaaaaaaaaaaaaaaa"#, ""),
            (r#"{"request":{"namespace":"cut"#, ""),
        ] {
            assert_eq!(namespace(text.as_bytes()), Some(found.as_bytes()), "{text}");
        }
    }
}
