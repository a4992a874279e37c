//! What a gate says of the snapshot that it has in headers, which an older API passes over.

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;

use crate::api::Api;
use crate::api::route::{Part, Shape};
use crate::store::revision::DIGEST_HEADER;

/// Longer is no digest.
const DIGEST_MAX: usize = 64;

/// The digest of the revision that the gate has, where it says one.
pub struct Digest(pub Option<String>);

impl FromRequestParts<Api> for Digest {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &Api) -> Result<Self, Infallible> {
        let value = parts.headers.get(DIGEST_HEADER).and_then(|value| value.to_str().ok());
        // What is no digest is none that we know, so the gate gets the whole.
        Ok(Self(value.map(|value| value.chars().take(DIGEST_MAX).collect())))
    }
}

impl Part for Digest {
    fn describe(_: &mut Shape) {}
}
