//! Why a token is no good.

use thiserror::Error;

use crate::identity::Contradiction;

/// Why a token is no good. None of them repeats anything of the token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum TokenError {
    /// Not three parts of base64url, not JSON, absent, doubled or unknown claims.
    #[error("the token is malformed: {0}")]
    Malformed(&'static str),
    /// Signed, or so it says, by an algorithm that its key is not for; `none` and the secret kinds among them.
    #[error("the token's algorithm is not the one of its key")]
    Algorithm,
    /// No key of that id, or none any more.
    #[error("the token's key is not known")]
    UnknownKey,
    /// The signature is not that key's: somebody has changed it, or made it up.
    #[error("the token's signature is wrong")]
    Signature,
    /// Nobody whom we believe.
    #[error("the token's issuer is not known")]
    Issuer,
    /// For somebody else.
    #[error("the token is for another audience")]
    Audience,
    /// Its time is over. Said of tokens only whose signature is good.
    #[error("the token has expired")]
    Expired,
    /// Its time has not come.
    #[error("the token is not valid yet")]
    NotYet,
    /// What it grants contradicts itself.
    #[error("the token contradicts itself: {0}")]
    Contradiction(Contradiction),
    /// The keys of a further issuer could not be had for so long that they vouch for nothing.
    #[error("the keys of the token's issuer cannot be had")]
    NoKeys,
}
