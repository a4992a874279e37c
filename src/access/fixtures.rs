//! Test helpers: an issuer with its keys, and tokens with arbitrary content.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use jsonwebtoken::{Algorithm, EncodingKey};
use serde_json::{Value as Json, json};
use tempfile::TempDir;

use super::identity::{Identity, TenantRef};
use super::keys::{self, Keys};
use super::matrix::Action;
use super::mint::{self, Grant, Membership, MintError, TokenRequest};
use super::role::Role;
use super::scope::authorize;
use super::token::{Names, Tokens};

pub const ACME: &str = "0190a0a0-0000-7000-8000-000000000001";
pub const GLOBEX: &str = "0190a0a0-0000-7000-8000-000000000002";
pub const SHOP: &str = "0190a0a0-0000-7000-8000-00000000000a";
pub const BLOG: &str = "0190a0a0-0000-7000-8000-00000000000b";

/// The time of the tests, a moment in 2026.
pub const NOW: i64 = 1_780_000_000;

pub struct TestIssuer {
    pub dir: TempDir,
    pub tokens: Tokens,
}

impl TestIssuer {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        keys::create(dir.path(), at(NOW - 3600)).unwrap();
        let keys = Arc::new(Keys::open(dir.path()).unwrap());
        Self { dir, tokens: Tokens::new(keys, Names::new("ledger", "portcullis").unwrap()) }
    }

    /// A valid token for an owner of acme.
    pub fn token(&self) -> String {
        self.tokens.issue(&granted(request()), NOW).unwrap().token
    }

    /// The claims of a valid token, for tests to modify.
    pub fn claims(&self) -> Json {
        serde_json::to_value(self.tokens.issue(&granted(request()), NOW).unwrap().claims).unwrap()
    }

    pub fn kid(&self) -> String {
        self.tokens.keys().now().signing(NOW).unwrap().kid().to_owned()
    }

    pub fn key(&self) -> EncodingKey {
        self.tokens.keys().now().signing(NOW).unwrap().signing().clone()
    }

    pub fn header(&self) -> Json {
        json!({"typ": "JWT", "alg": "EdDSA", "kid": self.kid()})
    }

    /// Any claims, signed with the real key.
    pub fn signed(&self, header: &Json, claims: &str) -> String {
        forge(&header.to_string(), claims, &self.key(), Algorithm::EdDSA)
    }
}

pub fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(seconds).unwrap()
}

pub fn forge(header: &str, claims: &str, key: &EncodingKey, algorithm: Algorithm) -> String {
    let message = format!("{}.{}", encode(header), encode(claims));
    let hmac = match algorithm {
        Algorithm::HS256 => Some(ring::hmac::HMAC_SHA256),
        Algorithm::HS384 => Some(ring::hmac::HMAC_SHA384),
        Algorithm::HS512 => Some(ring::hmac::HMAC_SHA512),
        _ => None,
    };
    let signature = if let Some(hmac) = hmac {
        let key = ring::hmac::Key::new(hmac, key.as_bytes());
        encode(ring::hmac::sign(&key, message.as_bytes()))
    } else {
        crate::install_jwt_crypto();
        jsonwebtoken::crypto::sign(message.as_bytes(), key, algorithm).unwrap()
    };
    format!("{message}.{signature}")
}

pub fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

pub fn acme() -> TenantRef {
    TenantRef { id: ACME.into(), slug: "acme".into() }
}

pub fn globex() -> TenantRef {
    TenantRef { id: GLOBEX.into(), slug: "globex".into() }
}

/// An owner of acme, for an hour.
pub fn request() -> TokenRequest {
    TokenRequest {
        subject: "alice".into(),
        roles: vec![Role::TenantOwner],
        tenant: Some(acme()),
        projects: None,
        clusters: None,
        ttl_seconds: 3600,
    }
}

pub fn granted(request: TokenRequest) -> Grant {
    minted(&Identity::process("test"), request, None).unwrap()
}

pub fn minted(
    who: &Identity,
    request: TokenRequest,
    member: Option<&Membership>,
) -> Result<Grant, MintError> {
    let scope = authorize(who, Action::TokensMint, None, "request").unwrap();
    mint::grant(&scope, request, member)
}
