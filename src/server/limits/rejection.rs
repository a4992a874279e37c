//! Why a request is not served, as an answer.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::{Shed, plain};

/// Why a request is not served; as a response, the answer to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// 413
    #[error("the body is longer than the {max} bytes that are read here")]
    TooLong {
        /// The bound.
        max: usize,
    },
    /// 408
    #[error("the body came too slowly")]
    Slow,
    /// 400
    #[error("the body ended before its end")]
    Broken,
    /// 503
    #[error(
        "the gate is busy: too many bytes of unfinished bodies, or of bodies over 64 KiB, at once; nothing was judged, try again"
    )]
    Memory,
    /// 503
    #[error("too many unfinished bodies from this address; nothing was judged, try again")]
    Unfinished,
    /// 503
    #[error("the gate is busy: too many requests in flight{}; nothing was judged, try again", if *.address { " from this address" } else { "" })]
    Busy {
        /// Whether it is the address that has too many.
        address: bool,
    },
}

impl Rejection {
    /// The status of the answer.
    pub fn status(self) -> StatusCode {
        match self {
            Self::TooLong { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Slow => StatusCode::REQUEST_TIMEOUT,
            Self::Broken => StatusCode::BAD_REQUEST,
            Self::Memory | Self::Unfinished | Self::Busy { .. } => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// The reason under which a body that finds no room is counted; [`Shed`] has those of requests in flight.
    pub(super) fn shed(self) -> Option<&'static str> {
        match self {
            Self::Memory => Some("memory"),
            Self::Unfinished => Some("unfinished"),
            _ => None,
        }
    }
}

impl From<Shed> for Rejection {
    fn from(shed: Shed) -> Self {
        Self::Busy { address: shed == Shed::Address }
    }
}

impl IntoResponse for Rejection {
    /// Never with `Retry-After`: client-go would repeat the call up to ten times inside its deadline, and send the
    /// load that was just shed again. The connection is closed after a body that was not read to its end.
    fn into_response(self) -> Response {
        let mut response = plain(self.status(), format!("{self}\n"));
        if !matches!(self, Self::Busy { .. }) {
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}
