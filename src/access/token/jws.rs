//! The compact form of RFC 7515, as far as tokens use it: three parts, a header, a signature.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::TokenError;

/// A token of a hundred projects has 5 KiB; what is longer is refused before it is read.
pub const BYTES_MAX: usize = 8 * 1024;

/// A token that has been read, and not believed.
pub struct Jws<'a> {
    header: Header,
    message: &'a str,
    payload: Vec<u8>,
    signature: &'a str,
}

/// What is asked of a header. Keys and addresses of keys in it are not among that, on purpose.
#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    typ: Option<String>,
    crit: Option<IgnoredAny>,
}

impl<'a> Jws<'a> {
    /// Reads the parts.
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
            return Err(TokenError::Malformed("its header demands what nobody here understands"));
        }
        // `header.payload`, which is what was signed.
        let end = token.len().saturating_sub(signature.len() + 1);
        let message = token.get(..end).unwrap_or_default();
        Ok(Self { header, message, payload: bytes(payload).ok_or(not_base64)?, signature })
    }

    /// Whether its type is one of these words, in any case; an absent one as `absent` says.
    pub fn is_type(&self, words: &[&str], absent: bool) -> bool {
        self.header.typ.as_ref().map_or(absent, |typ| words.iter().any(|word| typ.eq_ignore_ascii_case(word)))
    }

    /// Whom it says it is from: only good for choosing who verifies it.
    pub fn claimed_issuer(&self) -> Result<String, TokenError> {
        #[derive(Deserialize)]
        struct Issuer {
            iss: String,
        }
        let claimed: Issuer = serde_json::from_slice(&self.payload)
            .map_err(|_| TokenError::Malformed("its claims name no one issuer"))?;
        Ok(claimed.iss)
    }

    /// The payload, once the signature has been found to be that of the key its header names. `key` gives each key
    /// with the one algorithm that it is for; the header has no say in it.
    pub fn verified<'k>(
        self,
        key: impl FnOnce(&str) -> Option<(Algorithm, &'k DecodingKey)>,
    ) -> Result<Vec<u8>, TokenError> {
        // `none` and the secret kinds are no algorithms here, whatever key is named.
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
        let verified = jsonwebtoken::crypto::verify(self.signature, self.message.as_bytes(), key, algorithm);
        if !verified.unwrap_or(false) {
            return Err(TokenError::Signature);
        }
        Ok(self.payload)
    }
}
