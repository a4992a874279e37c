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

use crate::admission::{Gate, http};
use crate::server::limits::{Fair, Pace, SMALL, Slots, Spending};
use crate::server::{Arrival, Peer};
use crate::telemetry::metrics;

/// How long a review may wait for a slot where the caller does not say how long it waits itself: well below the
/// three seconds after which an API server has given up.
const WAIT: Duration = Duration::from_secs(2);

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
        async move { Ok(review(&gate, &limits, request).await) }
    })
}

/// The namespace that a review is about, from the beginning of its text, or nothing where it is not found there: whose large
/// reviews wait for each other. No verdict depends on it, and the text of a string cannot pass for it: its quotes are escaped.
pub(super) fn namespace(begun: &[u8]) -> Option<&[u8]> {
    const KEY: &[u8] = b"\"namespace\":\"";
    let found = begun.windows(KEY.len()).position(|window| window == KEY).and_then(|at| {
        let rest = begun.get(at + KEY.len()..)?;
        rest.get(..rest.iter().position(|byte| *byte == b'"')?)
    });
    Some(found.unwrap_or_default())
}

async fn review(gate: &Gate, limits: &Limits, request: Request<Bytes>) -> Response {
    let (head, body) = request.into_parts();
    let endpoint = match http::route(&head) {
        Ok(endpoint) => endpoint,
        Err(response) => return response,
    };
    let verified = head.extensions.get::<Peer>().is_some_and(|peer| peer.verified);
    let patience = Patience::of(&head);
    let large = body.len() > SMALL;
    // Before it is decoded, which may take as long as its judgement.
    let slot = if large { limits.beside.take(patience.wait()).await } else { None };
    if large && slot.is_none() {
        metrics::shed("large");
        return http::refuse(StatusCode::SERVICE_UNAVAILABLE, "too many large reviews; nothing was judged");
    }
    let (decoded, decoding) = timed(large, || gate.decode(body, endpoint));
    let decoded = match decoded {
        Ok(decoded) => decoded,
        Err(error) => {
            let sentence = crate::admission::message::clean(&error.to_string(), 300);
            return http::refuse(StatusCode::BAD_REQUEST, &sentence);
        }
    };
    let tenant = decoded.share().to_owned();
    let pace = if large { Pace::Free } else { limits.spending.pace(&tenant) };
    let place = limits.tenants.try_acquire(&tenant);
    let turn = match pace {
        _ if place.is_none() => None,
        Pace::Free => Some(None),
        Pace::Busy => limits.busy.take_in_turn(&tenant, patience.wait()).await.map(Some),
        Pace::Dear => limits.beside.take_in_turn(&tenant, patience.wait()).await.map(Some),
    };
    if turn.is_none() {
        metrics::shed("tenant");
        return http::answer(&gate.shed(&decoded, verified));
    }
    let beside = large || pace == Pace::Dear;
    let (verdict, judging) = timed(beside, || gate.decide(decoded, patience.left(), verified));
    limits.spending.note(&tenant, decoding + judging);
    http::answer(&verdict)
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

    /// How long a review may wait for a slot.
    fn wait(&self) -> Duration {
        self.left().unwrap_or(WAIT)
    }
}

/// Works, and says how much processor time it took. Beside the worker, others have its other connections meanwhile.
fn timed<T>(beside: bool, work: impl FnOnce() -> T) -> (T, Duration) {
    let work = || {
        let before = processor_time();
        let done = work();
        (done, processor_time().saturating_sub(before))
    };
    if beside { tokio::task::block_in_place(work) } else { work() }
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
