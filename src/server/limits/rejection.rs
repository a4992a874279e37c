//! Reasons for which a request is not served, and their responses.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

/// The limit that a request or a connection reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LimitReached {
    /// Requests in flight of all addresses.
    Inflight,
    /// Requests in flight of this address.
    Address,
    /// Connections of all addresses.
    Connections,
    /// Connections of this address.
    AddressConnections,
}

impl LimitReached {
    /// A value of the label of `portcullis_requests_rejected_total`.
    pub(crate) fn reason(self) -> &'static str {
        match self {
            Self::Inflight => "inflight",
            Self::Address => "address",
            Self::Connections => "connections",
            Self::AddressConnections => "address-connections",
        }
    }
}

/// Why a request is not served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// 413
    #[error("the body exceeds the limit of {max} bytes")]
    TooLong { max: usize },
    /// 408
    #[error("the body was not received in time")]
    Slow,
    /// 400
    #[error("the body is incomplete")]
    Broken,
    /// 503
    #[error(
        "overloaded: too many bytes of unfinished bodies, or of bodies over 64 KiB; the request was not evaluated, try again"
    )]
    Memory,
    /// 503
    #[error(
        "overloaded: too many unfinished bodies from this address; the request was not evaluated, try again"
    )]
    Unfinished,
    /// 503
    #[error("overloaded: too many requests in flight{}; the request was not evaluated, try again", if *.address { " from this address" } else { "" })]
    Busy {
        /// Whether the limit of the address was reached.
        address: bool,
    },
}

impl Rejection {
    pub fn status(self) -> StatusCode {
        match self {
            Self::TooLong { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Slow => StatusCode::REQUEST_TIMEOUT,
            Self::Broken => StatusCode::BAD_REQUEST,
            Self::Memory | Self::Unfinished | Self::Busy { .. } => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// The label of a body in `portcullis_requests_rejected_total`.
    pub(super) fn reason(self) -> Option<&'static str> {
        match self {
            Self::Memory => Some("memory"),
            Self::Unfinished => Some("unfinished"),
            _ => None,
        }
    }
}

impl From<LimitReached> for Rejection {
    fn from(limit: LimitReached) -> Self {
        Self::Busy { address: limit == LimitReached::Address }
    }
}

impl IntoResponse for Rejection {
    /// Without `Retry-After`: client-go would repeat the call up to ten times within its deadline, and add to the overload.
    /// The connection is closed after a body that was not read to its end.
    fn into_response(self) -> Response {
        let mut response = plain(self.status(), format!("{self}\n"));
        if !matches!(self, Self::Busy { .. }) {
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

pub(crate) fn plain(status: StatusCode, text: impl Into<axum::body::Body>) -> Response {
    let mut response = Response::new(text.into());
    *response.status_mut() = status;
    let content_type = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, content_type);
    response
}
