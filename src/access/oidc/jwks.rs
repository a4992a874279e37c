//! A set of public keys, RFC 7517, and what of it is used.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value as Json;
use thiserror::Error;

/// Large providers publish some ten.
const KEYS_MAX: usize = 100;

/// What makes a set unusable as a whole.
#[derive(Debug, Error)]
pub enum JwksError {
    /// No JSON, or no `keys`.
    #[error("is no JSON Web Key Set")]
    Shape(#[source] serde_json::Error),
    /// More keys than anybody has.
    #[error("holds {0} keys (allowed: {KEYS_MAX})")]
    TooMany(usize),
    /// Two usable keys of one id: which was meant is not for us to guess.
    #[error("holds two keys of the id `{}`", .0.escape_debug())]
    Twice(String),
    /// Nothing that could verify anything.
    #[error("holds no key that can be used: an id, and RSA of 2048 to 4096 bits, P-256 or Ed25519")]
    Empty,
}

/// The keys that are used, each with the one algorithm it is for.
pub struct Jwks(BTreeMap<String, (Algorithm, DecodingKey)>);

#[derive(Deserialize)]
struct Set {
    keys: Vec<Json>,
}

#[derive(Deserialize)]
struct Jwk {
    kty: String,
    kid: String,
    #[serde(rename = "use")]
    usage: Option<String>,
    alg: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
    d: Option<IgnoredAny>,
}

impl Jwks {
    /// Reads a set. Keys of kinds that we do not use are passed over: providers publish them for others.
    pub fn parse(text: &[u8]) -> Result<Self, JwksError> {
        let set: Set = serde_json::from_slice(text).map_err(JwksError::Shape)?;
        if set.keys.len() > KEYS_MAX {
            return Err(JwksError::TooMany(set.keys.len()));
        }
        let mut keys = BTreeMap::new();
        for jwk in set.keys.into_iter().filter_map(|json| serde_json::from_value::<Jwk>(json).ok()) {
            if let Some(key) = jwk.key()
                && keys.insert(jwk.kid.clone(), key).is_some()
            {
                return Err(JwksError::Twice(jwk.kid));
            }
        }
        if keys.is_empty() { Err(JwksError::Empty) } else { Ok(Self(keys)) }
    }

    /// The key of this id, and what it is for.
    pub fn find(&self, kid: &str) -> Option<(Algorithm, &DecodingKey)> {
        self.0.get(kid).map(|(algorithm, key)| (*algorithm, key))
    }
}

impl Jwk {
    /// The key, where it is one that we use: of a kind whose strength and form we have looked at, for signatures, and
    /// not published with its private half.
    fn key(&self) -> Option<(Algorithm, DecodingKey)> {
        if self.kid.is_empty() || self.d.is_some() || self.usage.as_ref().is_some_and(|usage| usage != "sig")
        {
            return None;
        }
        let is_for = |words: &[&str]| self.alg.as_ref().is_none_or(|alg| words.contains(&alg.as_str()));
        match (self.kty.as_str(), self.crv.as_deref()) {
            ("RSA", None) if is_for(&["RS256"]) => {
                let (n, e) = (bytes(self.n.as_ref()?)?, bytes(self.e.as_ref()?)?);
                let key = || DecodingKey::from_rsa_raw_components(&n, &e);
                (strong(&n) && odd(&e)).then(key).map(|key| (Algorithm::RS256, key))
            }
            ("EC", Some("P-256")) if is_for(&["ES256"]) => {
                let (x, y) = (self.x.as_ref()?, self.y.as_ref()?);
                let whole = [x, y].iter().all(|part| bytes(part).is_some_and(|part| part.len() == 32));
                let key = DecodingKey::from_ec_components(x, y).ok().filter(|_| whole)?;
                Some((Algorithm::ES256, key))
            }
            // The library cuts 32 bytes out of what it is given, and panics where there are fewer.
            ("OKP", Some("Ed25519")) if is_for(&["EdDSA", "Ed25519"]) => {
                let x = bytes(self.x.as_ref()?).filter(|x| x.len() == 32)?;
                Some((Algorithm::EdDSA, DecodingKey::from_ed_der(&x)))
            }
            _ => None,
        }
    }
}

fn bytes(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

/// 2048 bits, below which RSA can be broken, to 4096, above which the library does not go.
fn strong(modulus: &[u8]) -> bool {
    (256..=512).contains(&modulus.len()) && modulus.first().is_some_and(|first| *first >= 0x80)
        || (257..=512).contains(&modulus.len()) && modulus.first().is_some_and(|first| *first > 0)
}

/// An exponent of three at least; one makes every text its own signature.
fn odd(exponent: &[u8]) -> bool {
    let value = exponent.iter().fold(0_u64, |value, byte| value << 8 | u64::from(*byte));
    exponent.len() <= 4 && value >= 3 && value % 2 == 1
}
