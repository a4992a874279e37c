//! What a gate says of the snapshot that it has in headers, which an older API passes over.

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;

use crate::Api;
use crate::problem::{Code, Problem};
use crate::route::{Part, Shape};
use portcullis_store::revision::{DIGEST_HEADER, FORMAT_HEADER};
use portcullis_store::snapshot::FORMAT_MIN;
use portcullis_tenancy::snapshot::FORMAT_VERSION;

/// Longer is no digest.
const DIGEST_MAX: usize = 64;

/// The digest of the revision that the gate has, where it says one.
pub struct Digest(pub Option<String>);

impl FromRequestParts<Api> for Digest {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &Api) -> Result<Self, Infallible> {
        let value = parts.headers.get(DIGEST_HEADER).and_then(|value| value.to_str().ok());
        // A text that is not a digest is not one that is known here, so the gate gets the whole.
        Ok(Self(value.map(|value| value.chars().take(DIGEST_MAX).collect())))
    }
}

/// The format in which the gate is answered: the newest that it reads and that this build writes.
pub struct Format(pub u32);

impl FromRequestParts<Api> for Format {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &Api) -> Result<Self, Problem> {
        let Some(value) = parts.headers.get(FORMAT_HEADER) else { return Ok(Self(FORMAT_MIN)) };
        let read = value.to_str().ok().and_then(|value| value.parse::<u32>().ok());
        match read.map(|read| read.min(FORMAT_VERSION)) {
            Some(format) if format >= FORMAT_MIN => Ok(Self(format)),
            _ => {
                let detail =
                    format!("{FORMAT_HEADER}: a format from {FORMAT_MIN} to {FORMAT_VERSION} is served");
                Err(Problem::new(Code::ValidationError, detail))
            }
        }
    }
}

impl Part for Format {
    fn describe(_: &mut Shape) {}
}

impl Part for Digest {
    fn describe(_: &mut Shape) {}
}
