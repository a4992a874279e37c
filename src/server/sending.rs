//! Answers of HTTP/2, counted until they are sent.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::Body;
use axum::http::StatusCode;
use axum::response::Response;
use bytes::Bytes;
use hyper::body::{Body as _, Frame, SizeHint};

use super::limits::{Caller, Untaken};
use super::pulse::{Pulse, Unsent};
use portcullis_telemetry::metrics;

/// Counts an answer until it is sent: with its windows closed, a caller could have any number of them kept. Over HTTP/1.1 a
/// connection has one at a time.
pub(super) fn counted(response: Response, caller: &Arc<Caller>, pulse: &Arc<Pulse>) -> Response {
    if response.body().is_end_stream() {
        return response;
    }
    let Some(place) = caller.unsent() else {
        metrics::shed("unread");
        let mut response = Response::default();
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        return response;
    };
    let unsent = (pulse.unsent(), place);
    response.map(|body| Body::new(Sending { body, _unsent: unsent }))
}

/// The body of an answer that is counted until it is sent.
struct Sending {
    body: Body,
    _unsent: (Unsent, Untaken),
}

impl hyper::body::Body for Sending {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
