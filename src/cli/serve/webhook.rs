//! One review from the connection to the answer: route, read, decode, take a place, judge, encode.

use std::convert::Infallible;
use std::sync::Arc;

use axum::http::{Request, StatusCode};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use hyper::body::Incoming;
use tower::Service;
use tower::util::service_fn;

use crate::admission::{Endpoint, Gate, http};
use crate::server::Peer;
use crate::server::limits::{BodyLimits, Fair, read_body};

/// From this size on a review takes longer than a worker should be away from its other connections: some 2 ms.
const LARGE: usize = 256 * 1024;

/// The service behind the door.
pub fn service(
    gate: Arc<Gate>,
    bodies: BodyLimits,
    per_tenant: usize,
) -> impl Service<Request<Incoming>, Response = Response, Error = Infallible, Future: Send> + Clone + Send + 'static
{
    let fair = Fair::new(per_tenant);
    service_fn(move |request: Request<Incoming>| {
        let (gate, bodies, fair) = (Arc::clone(&gate), bodies.clone(), fair.clone());
        async move { Ok(review(&gate, &bodies, &fair, request).await) }
    })
}

async fn review(gate: &Gate, bodies: &BodyLimits, fair: &Fair, request: Request<Incoming>) -> Response {
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
    let judge = || judge(gate, fair, endpoint, bytes.clone(), deadline, verified);
    if bytes.len() < LARGE { judge() } else { tokio::task::block_in_place(judge) }
}

fn judge(
    gate: &Gate,
    fair: &Fair,
    endpoint: Endpoint,
    bytes: Bytes,
    deadline: Option<std::time::Duration>,
    verified: bool,
) -> Response {
    let decoded = match gate.decode(bytes, endpoint) {
        Ok(decoded) => decoded,
        Err(error) => {
            return http::refuse(
                StatusCode::BAD_REQUEST,
                &crate::admission::message::clean(&error.to_string(), 300),
            );
        }
    };
    let Some(_place) = fair.try_acquire(decoded.share()) else {
        crate::telemetry::metrics::shed("tenant");
        return http::answer(&gate.shed(&decoded, verified));
    };
    http::answer(&gate.decide(decoded, deadline, verified))
}
