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

use portcullis_admission::gate::Decoded;
use portcullis_admission::review::DecodeError;
use portcullis_admission::{Endpoint, Gate, http};
use portcullis_server::limits::{Beside, Fair, Guard, Pace, SMALL, Spending, beside};
use portcullis_server::{Arrival, Peer};
use portcullis_telemetry::metrics;

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
    /// Tenants that have had much of the processors of late, those with dear reviews, and large reviews, half as many. They go
    /// beside the workers, so that the others have these, and wait for nothing that takes longer than they do.
    busy: Beside,
    dear: Beside,
    large: Beside,
}

/// The service behind the listener.
///
/// # Errors
/// The system gives no thread.
pub fn service(
    gate: Arc<Gate>,
    per_tenant: usize,
) -> std::io::Result<
    impl Service<Request<Bytes>, Response = Response, Error = Infallible, Future: Send> + Clone + Send + 'static,
> {
    let processors = std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get);
    let limits = Arc::new(Limits {
        tenants: Fair::new(per_tenant),
        spending: Spending::default(),
        busy: Beside::new(processors)?,
        large: Beside::new((processors / 2).max(1))?,
        dear: Beside::new(processors)?,
    });
    Ok(service_fn(move |request: Request<Bytes>| {
        let (gate, limits) = (Arc::clone(&gate), Arc::clone(&limits));
        async move { Ok(review(gate, limits, request).await) }
    }))
}

/// The namespace that a review is about, from the beginning of its text; none where its object or its user comes before it.
/// No verdict depends on it, and the text of a string cannot pass for it: its quotes are escaped.
pub(super) fn namespace(begun: &[u8]) -> Option<&[u8]> {
    const KEY: &[u8] = b"\"namespace\":\"";
    const NEXT: &[u8] = b"\"operation\":";
    let at = memchr::memmem::find(begun, KEY)?;
    let end = memchr::memmem::find(begun, NEXT)?;
    let rest = begun.get(at + KEY.len()..end)?;
    rest.get(..memchr::memchr(b'"', rest)?)
}

/// The same for bodies that wait for memory, where those that name none are one owner.
#[expect(clippy::unnecessary_wraps, reason = "an `Owner` may know of none")]
pub(super) fn owner(begun: &[u8]) -> Option<&[u8]> {
    Some(namespace(begun).unwrap_or_default())
}

async fn review(gate: Arc<Gate>, limits: Arc<Limits>, request: Request<Bytes>) -> Response {
    let (head, body) = request.into_parts();
    let endpoint = match http::route(&head) {
        Ok(endpoint) => endpoint,
        Err(response) => return response,
    };
    let verified = head.extensions.get::<Peer>().is_some_and(|peer| peer.verified);
    let work = Work { gate, limits, endpoint, verified, patience: Patience::of(&head) };
    if body.len() <= SMALL { work.small(body).await } else { work.large(body).await }
}

/// One review on its way.
struct Work {
    gate: Arc<Gate>,
    limits: Arc<Limits>,
    endpoint: Endpoint,
    verified: bool,
    patience: Patience,
}

/// A review, and whose share it falls under.
struct Asked {
    tenant: Arc<str>,
    body: Bytes,
    /// Decoded, and the processor time that this took: only where nothing else says whose it is, and never while it waits, since
    /// that takes ten times the memory of the body.
    decoded: Option<(Box<Decoded>, Duration)>,
}

impl Work {
    /// Judges at once, or when it is its tenant's turn.
    async fn small(self, body: Bytes) -> Response {
        let mut asked = match self.asked(body) {
            Ok(asked) => asked,
            Err(error) => return no_review(&error),
        };
        let Some(place) = self.limits.tenants.try_acquire(&asked.tenant) else { return self.shed(asked) };
        let (limits, wait) = (Arc::clone(&self.limits), self.patience.wait());
        let pace = limits.spending.pace(&asked.tenant, asked.body.len());
        if pace != Pace::Free {
            asked.decoded = None;
        }
        let lane = match pace {
            Pace::Free => return self.judge(asked),
            Pace::Busy => &limits.busy,
            Pace::Dear => &limits.dear,
        };
        match lane.take_in_turn(&asked.tenant, wait).await {
            Some(slot) => beside((slot, place), move || self.judge(asked)).await,
            None => self.shed(asked),
        }
    }

    /// Judges when it is its tenant's turn; nothing of it is left afterwards.
    async fn large(self, body: Bytes) -> Response {
        let tenant = self.tenant(&body).unwrap_or_default();
        let limits = Arc::clone(&self.limits);
        let Some(place) = limits.tenants.try_acquire(&tenant) else { return too_many_large() };
        let Some(slot) = limits.large.take_in_turn(&tenant, self.patience.wait()).await else {
            return too_many_large();
        };
        let asked = Asked { tenant, body, decoded: None };
        beside((slot, place), move || self.judge(asked)).await
    }

    /// The tenant of the namespace that the text names before its object.
    fn tenant(&self, body: &[u8]) -> Option<Arc<str>> {
        self.gate.tenant_of(std::str::from_utf8(namespace(body)?).ok()?)
    }

    /// The review and whose it is.
    fn asked(&self, body: Bytes) -> Result<Asked, DecodeError> {
        if let Some(tenant) = self.tenant(&body) {
            return Ok(Asked { tenant, body, decoded: None });
        }
        let (decoded, took) = timed(|| self.decode(body.clone()));
        let decoded = Box::new(decoded?);
        Ok(Asked { tenant: decoded.share().into(), body, decoded: Some((decoded, took)) })
    }

    fn decode(&self, body: Bytes) -> Result<Decoded, DecodeError> {
        self.gate.decode(body, self.endpoint)
    }

    fn judge(&self, asked: Asked) -> Response {
        // Its turn came too late: that is for load, and no failure of a policy.
        if self.patience.left().is_some_and(|left| left.is_zero()) {
            return self.shed(asked);
        }
        let Asked { tenant, body, decoded } = asked;
        let large = body.len() > SMALL;
        let before = decoded.as_ref().map_or(Duration::ZERO, |(_, took)| *took);
        let (done, took) = timed(|| {
            let decoded = decoded.map_or_else(|| self.decode(body), |(decoded, _)| Ok(*decoded))?;
            Ok::<_, DecodeError>(self.gate.decide(decoded, self.patience.left(), self.verified))
        });
        let spending = &self.limits.spending;
        if large {
            spending.note_large(&tenant, took)
        } else {
            spending.note(&tenant, before + took)
        }
        match done {
            Ok(verdict) => http::answer(&verdict),
            Err(error) => no_review(&error),
        }
    }

    fn shed(&self, Asked { body, decoded, .. }: Asked) -> Response {
        metrics::shed("tenant");
        match decoded.map_or_else(|| self.decode(body), |(decoded, _)| Ok(*decoded)) {
            Ok(decoded) => http::answer(&self.gate.shed(&decoded, self.verified)),
            Err(error) => no_review(&error),
        }
    }
}

fn no_review(error: &DecodeError) -> Response {
    http::refuse(StatusCode::BAD_REQUEST, &portcullis_admission::message::clean(&error.to_string(), 300))
}

fn too_many_large() -> Response {
    metrics::shed("large");
    http::refuse(
        StatusCode::SERVICE_UNAVAILABLE,
        "the gate is busy: too many reviews over 64 KiB at once; nothing was judged, try again",
    )
}

/// Works on a thread of its own while both are held, and panics where the work does: the connection answers 500.
async fn beside(
    (slot, place): (beside::Slot, Guard),
    work: impl FnOnce() -> Response + Send + 'static,
) -> Response {
    let work = move || {
        let _place = place;
        work()
    };
    match slot.run(work).await {
        Ok(response) => response,
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
            (
                r#"{"request":{"uid":"u","name":"n","namespace":"tn-a","operation":"CREATE","object":{"#,
                Some("tn-a"),
            ),
            (r#"{"request":{"name":"\",\"namespace\":\"tn-b","namespace":"tn-a","operation":"#, Some("tn-a")),
            (r#"{"request":{"resource":{"resource":"aaaaaaaaaaaaaaaaaaaaaaaa"#, None),
            (r#"{"request":{"namespace":"tn-a"#, None),
            (
                r#"{"request":{"name":"n","operation":"CREATE","object":{"metadata":{"namespace":"tn-a"}"#,
                None,
            ),
        ] {
            assert_eq!(namespace(text.as_bytes()), found.map(str::as_bytes), "{text}");
        }
    }
}
