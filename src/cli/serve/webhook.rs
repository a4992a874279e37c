//! A review from body to response: routing, decoding, the limit per tenant, evaluation, encoding.

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
use portcullis_server::limits::{
    CpuUsage, PerTenantGuard, PerTenantLimit, ReviewCost, SMALL_BODY_BYTES, WorkerPool, WorkerSlot,
};
use portcullis_server::{Arrival, Peer};
use portcullis_telemetry::metrics;

/// For a caller that sends no timeout: well below the 3 seconds after which an API server gives up.
const WAIT: Duration = Duration::from_secs(2);

/// Reserved for the evaluation, ten times the longest. A review that starts later would be answered as a policy failure,
/// although only the queue was too long.
const WORK: Duration = Duration::from_millis(500);

struct Limits {
    tenants: PerTenantLimit,
    spending: CpuUsage,
    /// Reviews of tenants with high recent CPU use, expensive reviews and large reviews run on separate threads, so that
    /// they never delay the others.
    busy: WorkerPool,
    dear: WorkerPool,
    large: WorkerPool,
}

pub fn service(
    gate: Arc<Gate>,
    per_tenant: usize,
) -> std::io::Result<
    impl Service<Request<Bytes>, Response = Response, Error = Infallible, Future: Send> + Clone + Send + 'static,
> {
    let processors = std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get);
    let limits = Arc::new(Limits {
        tenants: PerTenantLimit::new(per_tenant),
        spending: CpuUsage::default(),
        busy: WorkerPool::new(processors)?,
        large: WorkerPool::new((processors / 2).max(1))?,
        dear: WorkerPool::new(processors)?,
    });
    Ok(service_fn(move |request: Request<Bytes>| {
        let (gate, limits) = (Arc::clone(&gate), Arc::clone(&limits));
        async move { Ok(review(gate, limits, request).await) }
    }))
}

/// The namespace from the start of the body; `None` if the object or the user comes first. Only scheduling depends on it,
/// and a string value cannot fake it because its quotes are escaped.
pub(super) fn namespace(begun: &[u8]) -> Option<&[u8]> {
    const KEY: &[u8] = b"\"namespace\":\"";
    const NEXT: &[u8] = b"\"operation\":";
    let at = memchr::memmem::find(begun, KEY)?;
    let end = memchr::memmem::find(begun, NEXT)?;
    let rest = begun.get(at + KEY.len()..end)?;
    rest.get(..memchr::memchr(b'"', rest)?)
}

/// Bodies that wait for memory and name no namespace share one owner.
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
    if body.len() <= SMALL_BODY_BYTES { work.small(body).await } else { work.large(body).await }
}

struct Work {
    gate: Arc<Gate>,
    limits: Arc<Limits>,
    endpoint: Endpoint,
    verified: bool,
    patience: Patience,
}

struct PendingReview {
    tenant: Arc<str>,
    body: Bytes,
    /// The decoded review and its CPU time, only if nothing else names the tenant. Not kept while the review waits, because
    /// it takes ten times the memory of the body.
    decoded: Option<(Box<Decoded>, Duration)>,
}

impl Work {
    /// Evaluates at once, or when the tenant's turn comes.
    async fn small(self, body: Bytes) -> Response {
        let mut review = match self.pending(body) {
            Ok(review) => review,
            Err(error) => return invalid_review(&error),
        };
        let Some(permit) = self.limits.tenants.try_acquire(&review.tenant) else { return self.shed(review) };
        let (limits, wait) = (Arc::clone(&self.limits), self.patience.wait());
        let pace = limits.spending.expected_cost(&review.tenant, review.body.len());
        if pace != ReviewCost::Low {
            review.decoded = None;
        }
        let lane = match pace {
            ReviewCost::Low => return self.evaluate(review),
            ReviewCost::AboveAverage => &limits.busy,
            ReviewCost::High => &limits.dear,
        };
        match lane.acquire(&review.tenant, wait).await {
            Some(slot) => beside((slot, permit), move || self.evaluate(review)).await,
            None => self.shed(review),
        }
    }

    /// Frees all memory of the review afterwards.
    async fn large(self, body: Bytes) -> Response {
        let tenant = self.tenant(&body).unwrap_or_default();
        let limits = Arc::clone(&self.limits);
        let Some(permit) = limits.tenants.try_acquire(&tenant) else { return too_many_large() };
        let Some(slot) = limits.large.acquire(&tenant, self.patience.wait()).await else {
            return too_many_large();
        };
        let review = PendingReview { tenant, body, decoded: None };
        beside((slot, permit), move || self.evaluate(review)).await
    }

    /// The tenant of the namespace that the body names before its object.
    fn tenant(&self, body: &[u8]) -> Option<Arc<str>> {
        self.gate.tenant_of(std::str::from_utf8(namespace(body)?).ok()?)
    }

    fn pending(&self, body: Bytes) -> Result<PendingReview, DecodeError> {
        if let Some(tenant) = self.tenant(&body) {
            return Ok(PendingReview { tenant, body, decoded: None });
        }
        let (decoded, took) = timed(|| self.decode(body.clone()));
        let decoded = Box::new(decoded?);
        Ok(PendingReview { tenant: decoded.fairness_key().into(), body, decoded: Some((decoded, took)) })
    }

    fn decode(&self, body: Bytes) -> Result<Decoded, DecodeError> {
        self.gate.decode(body, self.endpoint)
    }

    fn evaluate(&self, review: PendingReview) -> Response {
        // A timeout in the queue is overload and not a policy failure.
        if self.patience.left().is_some_and(|left| left.is_zero()) {
            return self.shed(review);
        }
        let PendingReview { tenant, body, decoded } = review;
        let large = body.len() > SMALL_BODY_BYTES;
        let before = decoded.as_ref().map_or(Duration::ZERO, |(_, took)| *took);
        let (done, took) = timed(|| {
            let decoded = decoded.map_or_else(|| self.decode(body), |(decoded, _)| Ok(*decoded))?;
            Ok::<_, DecodeError>(self.gate.decide(decoded, self.patience.left(), self.verified))
        });
        let spending = &self.limits.spending;
        if large {
            spending.record_large(&tenant, took)
        } else {
            spending.record(&tenant, before + took)
        }
        match done {
            Ok(verdict) => http::respond(&verdict),
            Err(error) => invalid_review(&error),
        }
    }

    fn shed(&self, PendingReview { body, decoded, .. }: PendingReview) -> Response {
        metrics::request_rejected("tenant");
        match decoded.map_or_else(|| self.decode(body), |(decoded, _)| Ok(*decoded)) {
            Ok(decoded) => http::respond(&self.gate.reject(&decoded, self.verified)),
            Err(error) => invalid_review(&error),
        }
    }
}

fn invalid_review(error: &DecodeError) -> Response {
    http::reject(StatusCode::BAD_REQUEST, &portcullis_admission::message::clean(&error.to_string(), 300))
}

fn too_many_large() -> Response {
    metrics::request_rejected("large");
    http::reject(
        StatusCode::SERVICE_UNAVAILABLE,
        "the gate is busy: too many reviews over 64 KiB at once; nothing was evaluated, try again",
    )
}

/// Runs `work` on another thread. A panic propagates, so that the connection answers 500.
async fn beside(
    (slot, permit): (WorkerSlot, PerTenantGuard),
    work: impl FnOnce() -> Response + Send + 'static,
) -> Response {
    let work = move || {
        let _permit = permit;
        work()
    };
    match slot.run(work).await {
        Ok(response) => response,
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        Err(_) => {
            http::reject(StatusCode::SERVICE_UNAVAILABLE, "the gate is shutting down; nothing was evaluated")
        }
    }
}

/// The timeout that the caller sent, and the arrival of its request.
struct Patience {
    whole: Option<Duration>,
    arrival: Instant,
}

impl Patience {
    fn of(head: &Parts) -> Self {
        let arrival = head.extensions.get::<Arrival>().map_or_else(Instant::now, |Arrival(at)| *at);
        Self { whole: http::timeout(head), arrival }
    }

    fn left(&self) -> Option<Duration> {
        self.whole.map(|whole| whole.saturating_sub(self.arrival.elapsed()))
    }

    /// Leaves enough time for the evaluation.
    fn wait(&self) -> Duration {
        self.left().unwrap_or(WAIT).saturating_sub(WORK)
    }
}

fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let before = processor_time();
    let done = work();
    (done, processor_time().saturating_sub(before))
}

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
