//! Compact JWS (RFC 7515), as tokens use it: header, payload, signature.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::TokenError;

/// A token with a hundred projects has 5 KiB.
pub const BYTES_MAX: usize = 8 * 1024;

/// A parsed token whose signature is not verified yet.
pub struct Jws<'a> {
    header: Header,
    message: &'a str,
    payload: Vec<u8>,
    signature: &'a str,
}

/// Keys and key addresses in the header are ignored on purpose.
#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    typ: Option<String>,
    crit: Option<IgnoredAny>,
}

impl<'a> Jws<'a> {
    pub fn read(token: &'a str) -> Result<Self, TokenError> {
        if token.len() > BYTES_MAX {
            return Err(TokenError::Malformed("it is too long"));
        }
        let parts: Vec<&str> = token.splitn(4, '.').collect();
        let [header, payload, signature] = parts.as_slice() else {
            return Err(TokenError::Malformed("it has not three parts"));
        };
        let bytes = |part: &str| URL_SAFE_NO_PAD.decode(part).ok().filter(|bytes| !bytes.is_empty());
        let not_base64 = TokenError::Malformed("a part is not base64url");
        let header: Header = serde_json::from_slice(&bytes(header).ok_or(not_base64)?)
            .map_err(|_| TokenError::Malformed("its header is not one of a JWT"))?;
        if header.crit.is_some() {
            return Err(TokenError::Malformed("its header has `crit`, which is not supported"));
        }
        // `header.payload`, which is what was signed.
        let end = token.len().saturating_sub(signature.len() + 1);
        let message = token.get(..end).unwrap_or_default();
        Ok(Self { header, message, payload: bytes(payload).ok_or(not_base64)?, signature })
    }

    /// Whether `typ` is one of these, in any case; `absent` is the result without a `typ`.
    pub fn is_type(&self, words: &[&str], absent: bool) -> bool {
        self.header.typ.as_ref().map_or(absent, |typ| words.iter().any(|word| typ.eq_ignore_ascii_case(word)))
    }

    /// The unverified issuer, only for choosing who verifies the token.
    pub fn claimed_issuer(&self) -> Result<String, TokenError> {
        #[derive(Deserialize)]
        struct Issuer {
            iss: String,
        }
        let claimed: Issuer = serde_json::from_slice(&self.payload)
            .map_err(|_| TokenError::Malformed("its claims have no single `iss`"))?;
        Ok(claimed.iss)
    }

    /// The payload, if the signature is by the key that the header names. `key` returns each key with its one
    /// algorithm; the header does not choose it.
    pub fn verified<'k>(
        self,
        key: impl FnOnce(&str) -> Option<(Algorithm, &'k DecodingKey)>,
    ) -> Result<Vec<u8>, TokenError> {
        // `none` and the symmetric algorithms are never accepted.
        let claimed = match self.header.alg.as_str() {
            "EdDSA" => Algorithm::EdDSA,
            "ES256" => Algorithm::ES256,
            "RS256" => Algorithm::RS256,
            _ => return Err(TokenError::Algorithm),
        };
        let kid = self.header.kid.as_deref().ok_or(TokenError::UnknownKey)?;
        let (algorithm, key) = key(kid).ok_or(TokenError::UnknownKey)?;
        if algorithm != claimed {
            return Err(TokenError::Algorithm);
        }
        crate::install_jwt_crypto();
        let verified = jsonwebtoken::crypto::verify(self.signature, self.message.as_bytes(), key, algorithm);
        if !verified.unwrap_or(false) {
            return Err(TokenError::Signature);
        }
        Ok(self.payload)
    }
}
