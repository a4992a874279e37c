//! The server's own tokens: JWTs signed with Ed25519.
//!
//! A token does not choose how it is verified: the algorithm is fixed, and the header only names one of the server's
//! keys. Claims are parsed after the signature is verified, and unknown claims are refused.

pub mod claims;
pub(super) mod jws;

pub use claims::Claims;

use std::sync::Arc;

use jsonwebtoken::{Algorithm, Header};
use thiserror::Error;
use uuid::Uuid;

use super::identity::{Contradiction, Identity, PROCESS_ISSUER};
use super::keys::Keys;
use super::mint::Grant;
pub use super::mint::LIFETIME_SECONDS_MAX;
use jws::Jws;

#[cfg(test)]
mod tests;

/// Tolerated clock difference in either direction.
pub const LEEWAY_SECONDS: i64 = 10;

/// Default issuer: an identity is `ledger#alice`.
pub const ISSUER: &str = "ledger";

/// Default audience.
pub const AUDIENCE: &str = "portcullis";

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Names {
    issuer: String,
    audience: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum NamesError {
    #[error("the issuer `{PROCESS_ISSUER}` is reserved for the server's own work")]
    Reserved,
    #[error("an issuer or audience is 1 to 200 characters without spaces, `#`, commas or control characters")]
    Grammar,
}

pub struct Tokens {
    keys: Arc<Keys>,
    names: Names,
}

/// An issued token; secret, hence not `Debug`.
pub struct Issued {
    pub token: String,
    pub claims: Claims,
}

#[derive(Debug, Error)]
pub enum IssueError {
    #[error("there is no key to sign with")]
    NoKey,
    #[error("the token cannot be signed")]
    Sign(#[source] jsonwebtoken::errors::Error),
    #[error("the token would have {0} bytes (allowed: {max}); name fewer projects", max = jws::BYTES_MAX)]
    TooLong(usize),
}

/// Why a token is rejected. No message repeats a part of the token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum TokenError {
    #[error("the token is malformed: {0}")]
    Malformed(&'static str),
    #[error("the token's algorithm is not the one of its key")]
    Algorithm,
    #[error("the token's key is unknown")]
    UnknownKey,
    #[error("the token's signature is wrong")]
    Signature,
    #[error("the token's issuer is unknown")]
    Issuer,
    #[error("the token is for another audience")]
    Audience,
    /// Only reported for a token whose signature is valid.
    #[error("the token has expired")]
    Expired,
    #[error("the token is not valid yet")]
    NotYet,
    #[error("the token contradicts itself: {0}")]
    Contradiction(Contradiction),
    /// The keys of a further issuer are older than [`super::oidc::STALE`].
    #[error("the keys of the token's issuer are unavailable")]
    NoKeys,
}

impl From<Contradiction> for TokenError {
    fn from(contradiction: Contradiction) -> Self {
        Self::Contradiction(contradiction)
    }
}

/// The current time in unix seconds.
pub fn now() -> i64 {
    jiff::Timestamp::now().as_second()
}

impl Names {
    pub fn new(issuer: &str, audience: &str) -> Result<Self, NamesError> {
        check_issuer(issuer)?;
        if !plain(audience) {
            return Err(NamesError::Grammar);
        }
        Ok(Self { issuer: issuer.to_owned(), audience: audience.to_owned() })
    }

    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    pub fn audience(&self) -> &str {
        &self.audience
    }
}

/// Checks an issuer's name. It has no `#`, because the first `#` ends it in `issuer#sub`.
pub(super) fn check_issuer(issuer: &str) -> Result<(), NamesError> {
    match issuer {
        PROCESS_ISSUER => Err(NamesError::Reserved),
        name if plain(name) => Ok(()),
        _ => Err(NamesError::Grammar),
    }
}

fn plain(name: &str) -> bool {
    (1..=200).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_graphic() && b != b'#' && b != b',')
}

impl Tokens {
    pub const fn new(keys: Arc<Keys>, names: Names) -> Self {
        Self { keys, names }
    }

    /// `now` is unix seconds.
    pub fn issue(&self, grant: &Grant, now: i64) -> Result<Issued, IssueError> {
        let set = self.keys.now();
        let key = set.signing(now).ok_or(IssueError::NoKey)?;
        let claims = Claims::of(grant, &self.names, Uuid::now_v7(), now);
        let header = Header { kid: Some(key.kid().to_owned()), ..Header::new(Algorithm::EdDSA) };
        crate::install_jwt_crypto();
        let token = jsonwebtoken::encode(&header, &claims, key.signing()).map_err(IssueError::Sign)?;
        match token.len() {
            0..=jws::BYTES_MAX => Ok(Issued { token, claims }),
            length => Err(IssueError::TooLong(length)),
        }
    }

    /// Verifies a token at a time, unix seconds. The ledger checks revocation by the identity's `jti`.
    pub fn verify(&self, token: &str, now: i64) -> Result<Identity, TokenError> {
        self.claims(token)?.identity(&self.names, now)
    }

    /// The claims of a token with a valid signature; nothing else is checked.
    pub fn claims(&self, token: &str) -> Result<Claims, TokenError> {
        let jws = Jws::read(token)?;
        if !jws.is_type(&["JWT"], false) {
            return Err(TokenError::Malformed("its type is not `JWT`"));
        }
        let set = self.keys.now();
        let payload = jws.verified(|kid| Some((Algorithm::EdDSA, set.find(kid)?.verifying())))?;
        serde_json::from_slice(&payload)
            .map_err(|_| TokenError::Malformed("its claims are not those of our tokens"))
    }

    pub fn keys(&self) -> &Keys {
        &self.keys
    }

    pub const fn names(&self) -> &Names {
        &self.names
    }
}
