//! Our own tokens: JWT signed with Ed25519, issued and verified.
//!
//! Nothing in a token chooses how it is verified: the algorithm is ours, the key is one of ours, and the header may only
//! name which. Claims are read after the signature has been found good, into a type that refuses what it does not know.

pub mod claims;

pub mod error;

pub(super) mod jws;

pub use claims::Claims;
pub use error::TokenError;

use std::sync::Arc;

use jsonwebtoken::{Algorithm, Header};
use thiserror::Error;
use uuid::Uuid;

use super::identity::{Identity, PROCESS_ISSUER};
use super::keys::Keys;
use super::mint::Grant;
use jws::Jws;

#[cfg(test)]
mod tests;

/// Clocks may differ by so much, in either direction.
pub const LEEWAY_SECONDS: i64 = 10;

/// No token of ours lives longer: thirty days.
pub const LIFETIME_SECONDS_MAX: i64 = 30 * 24 * 60 * 60;

/// Who issues, where no flag says otherwise: an identity is `ledger#alice`.
pub const ISSUER: &str = "ledger";

/// Whom tokens are for, where no flag says otherwise.
pub const AUDIENCE: &str = "portcullis";

/// Issuer and audience of our own tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Names {
    issuer: String,
    audience: String,
}

/// Why there is no such issuer or audience.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum NamesError {
    /// `portcullis#reaper` is the reaper's alone.
    #[error("the issuer `{PROCESS_ISSUER}` is the server's own, for what it does by itself")]
    Reserved,
    /// A name that could be mistaken.
    #[error("an issuer or audience is 1 to 200 characters without spaces, `#`, commas or control characters")]
    Grammar,
}

/// Issues and verifies tokens.
pub struct Tokens {
    keys: Arc<Keys>,
    names: Names,
}

/// A token that was issued. Not `Debug`: it is a secret.
pub struct Issued {
    /// The token.
    pub token: String,
    /// What it says.
    pub claims: Claims,
}

/// No token could be signed.
#[derive(Debug, Error)]
pub enum IssueError {
    /// The keys are gone.
    #[error("there is no key to sign with")]
    NoKey,
    /// The key does not sign.
    #[error("the token cannot be signed")]
    Sign(#[source] jsonwebtoken::errors::Error),
    /// So much was asked for that nobody would accept it.
    #[error("the token would have {0} bytes (allowed: {max}); name fewer projects", max = jws::BYTES_MAX)]
    TooLong(usize),
}

/// Now, unix seconds.
pub fn now() -> i64 {
    jiff::Timestamp::now().as_second()
}

impl Names {
    /// Checks them.
    pub fn new(issuer: &str, audience: &str) -> Result<Self, NamesError> {
        check_issuer(issuer)?;
        if !plain(audience) {
            return Err(NamesError::Grammar);
        }
        Ok(Self { issuer: issuer.to_owned(), audience: audience.to_owned() })
    }

    /// Who issues.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// Whom it is for.
    pub fn audience(&self) -> &str {
        &self.audience
    }
}

/// Whether somebody may issue under this name. Without a `#`, because it ends where the first one stands.
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
    /// Signs and verifies with these keys, under these names.
    pub const fn new(keys: Arc<Keys>, names: Names) -> Self {
        Self { keys, names }
    }

    /// Issues what was granted. `now` is unix seconds.
    pub fn issue(&self, grant: &Grant, now: i64) -> Result<Issued, IssueError> {
        let set = self.keys.now();
        let key = set.signing(now).ok_or(IssueError::NoKey)?;
        let claims = Claims::of(grant, &self.names, Uuid::now_v7(), now);
        let header = Header { kid: Some(key.kid().to_owned()), ..Header::new(Algorithm::EdDSA) };
        let token = jsonwebtoken::encode(&header, &claims, key.signing()).map_err(IssueError::Sign)?;
        match token.len() {
            0..=jws::BYTES_MAX => Ok(Issued { token, claims }),
            length => Err(IssueError::TooLong(length)),
        }
    }

    /// Verifies a token of ours at a time, unix seconds. Whether it has been revoked is for the ledger to say, by
    /// the identity's `jti`.
    pub fn verify(&self, token: &str, now: i64) -> Result<Identity, TokenError> {
        self.claims(token)?.identity(&self.names, now)
    }

    /// The claims of a token that one of our keys has signed; nothing else of it has been checked.
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

    /// The keys.
    pub fn keys(&self) -> &Keys {
        &self.keys
    }

    /// Issuer and audience.
    pub const fn names(&self) -> &Names {
        &self.names
    }
}
