//! One review from the connection to the answer: route, read, decode, take a place, judge, encode.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::http::{Request, StatusCode};
use axum::response::{IntoResponse as _, Response};
use hyper::body::Incoming;
use tower::Service;
use tower::util::service_fn;

use crate::admission::{Gate, http};
use crate::server::Peer;
use crate::server::limits::{BodyLimits, Fair, Turns, read_body};

/// From this size on a review takes longer than a worker should be away from its other connections: some 2 ms.
const LARGE: usize = 256 * 1024;

/// How long a review may wait for its tenant's turn before it is told to come again: well below the three seconds after which
/// an API server has given up.
const TURN: Duration = Duration::from_secs(1);

/// The service behind the door.
pub fn service(
    gate: Arc<Gate>,
    bodies: BodyLimits,
    per_tenant: usize,
    turns: Turns,
) -> impl Service<Request<Incoming>, Response = Response, Error = Infallible, Future: Send> + Clone + Send + 'static
{
    let fair = Fair::new(per_tenant);
    service_fn(move |request: Request<Incoming>| {
        let (gate, bodies, fair) = (Arc::clone(&gate), bodies.clone(), fair.clone());
        let turns = turns.clone();
        async move { Ok(review(&gate, &bodies, &fair, &turns, request).await) }
    })
}

async fn review(
    gate: &Gate,
    bodies: &BodyLimits,
    fair: &Fair,
    turns: &Turns,
    request: Request<Incoming>,
) -> Response {
    let (head, body) = request.into_parts();
    let endpoint = match http::route(&head) {
        Ok(endpoint) => endpoint,
        Err(response) => {
            // Whoever is turned away may still be sending; closed over unread bytes the connection is reset, and the answer lost.
            let _ = read_body(&head, body, bodies).await;
            return response;
        }
    };
    let verified = head.extensions.get::<Peer>().is_some_and(|peer| peer.verified);
    let bytes = match read_body(&head, body, bodies).await {
        Ok(bytes) => bytes,
        Err(rejection) => return rejection.into_response(),
    };
    let deadline = http::patience(&head);
    let large = bytes.len() >= LARGE;
    let decoded = match aside(large, || gate.decode(bytes, endpoint)) {
        Ok(decoded) => decoded,
        Err(error) => {
            return http::refuse(
                StatusCode::BAD_REQUEST,
                &crate::admission::message::clean(&error.to_string(), 300),
            );
        }
    };
    // Whoever waits for its turn has a place too, so what one tenant has waiting is bounded.
    let place = fair.try_acquire(decoded.share());
    let patience = deadline.map_or(TURN, |left| left.min(TURN));
    if place.is_none() || !turns.take(decoded.share(), patience).await {
        crate::telemetry::metrics::shed("tenant");
        return http::answer(&gate.shed(&decoded, verified));
    }
    http::answer(&aside(large, || gate.decide(decoded, deadline, verified)))
}

/// Lets others have the worker's other connections meanwhile, where it takes long.
fn aside<T>(large: bool, work: impl FnOnce() -> T) -> T {
    if large { tokio::task::block_in_place(work) } else { work() }
}
