//! OpenID Connect providers whose tokens are accepted.
//!
//! Their tokens authenticate only: roles come from memberships, which name `issuer#sub`, or from the flag's lists of
//! admins and gates. Keys are read from a file or over HTTPS, each with the one algorithm of its kind.

pub mod jwks;
pub mod settings;

pub use settings::{Settings, SettingsError};

use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use serde::{Deserialize, Deserializer};
use thiserror::Error;
use tokio::sync::Mutex;

use super::identity::{Identity, check_subject};
use super::role::Role;
use super::token::TokenError;
use super::token::claims::in_time;
use super::token::jws::Jws;
use jwks::Jwks;

#[cfg(test)]
mod tests;

/// Interval between refreshes, and so how long a withdrawn key is still accepted.
pub const REFRESH: Duration = Duration::from_mins(10);

/// Keys older than this verify nothing, since they may have been withdrawn.
pub const STALE: Duration = Duration::from_hours(24);

#[derive(Debug, Error)]
pub enum OidcError {
    #[error("the keys of `{issuer}` cannot be read from `{from}`")]
    File { issuer: String, from: String, source: std::io::Error },
    #[error("the keys of `{issuer}` cannot be fetched from `{from}`")]
    Fetch { issuer: String, from: String, source: Box<ureq::Error> },
    /// Redirects are not followed, so that only the configured address provides keys.
    #[error("the keys of `{issuer}`: `{from}` answers {status}")]
    Status { issuer: String, from: String, status: u16 },
    #[error("the keys of `{issuer}` at `{from}`")]
    Jwks { issuer: String, from: String, source: jwks::JwksError },
    #[error("reading the keys of `{0}` was cut off")]
    Cut(String),
}

/// A further issuer with its current keys.
pub struct Provider {
    shared: Arc<Shared>,
    /// When the keys were last requested. Locked during a request, so that concurrent callers wait for one result.
    asked: Arc<Mutex<Option<Instant>>>,
}

struct Shared {
    settings: Settings,
    keys: ArcSwapOption<Read>,
}

struct Read {
    jwks: Jwks,
    at: Instant,
}

// === impl Provider ===

impl Provider {
    /// An issuer without keys; its tokens are rejected until the first refresh.
    pub fn new(settings: Settings) -> Self {
        let shared = Shared { settings, keys: ArcSwapOption::empty() };
        Self { shared: Arc::new(shared), asked: Arc::default() }
    }

    pub fn issuer(&self) -> &str {
        &self.shared.settings.issuer
    }

    pub fn settings(&self) -> &Settings {
        &self.shared.settings
    }

    /// `now` is unix seconds.
    pub(super) fn verify(&self, jws: Jws<'_>, now: i64) -> Result<Identity, TokenError> {
        self.verify_at(jws, now, Instant::now())
    }

    /// `now` is the wall clock for the token, `moment` the monotonic clock for the age of the keys.
    fn verify_at(&self, jws: Jws<'_>, now: i64, moment: Instant) -> Result<Identity, TokenError> {
        // A logout token has the same claims, so the type is checked.
        if !jws.is_type(&["JWT", "at+jwt", "application/at+jwt"], true) {
            return Err(TokenError::Malformed("its type is not that of an ID or access token"));
        }
        let keys = self.shared.keys.load();
        let young = |read: &&Arc<Read>| moment.duration_since(read.at) < STALE;
        let read = keys.as_ref().filter(young).ok_or(TokenError::NoKeys)?;
        let payload = jws.verified(|kid| read.jwks.find(kid))?;
        let claims: Claims = serde_json::from_slice(&payload)
            .map_err(|_| TokenError::Malformed("its claims are not those of OpenID Connect"))?;
        let Settings { issuer, audience, admins, gates, clusters, .. } = self.settings();
        let (subject, expires) = claims.check(issuer, audience, now)?;
        let role = match () {
            () if admins.contains(&subject) => Some(Role::Admin),
            () if gates.contains(&subject) => Some(Role::Service),
            () => None,
        };
        let clusters = clusters.clone().filter(|_| role == Some(Role::Service));
        let roles = role.into_iter().collect();
        Ok(Identity { roles, clusters, expires: Some(expires), ..Identity::known(issuer, &subject) })
    }

    /// Reads the keys again, unless they were requested less than `apart` ago; returns whether they were read. On an
    /// error the previous keys stay. A cancelled caller does not cancel the refresh.
    pub async fn refresh(&self, apart: Duration) -> Result<bool, OidcError> {
        let mut asked = Arc::clone(&self.asked).lock_owned().await;
        if asked.is_some_and(|at| at.elapsed() < apart) {
            return Ok(false);
        }
        let shared = Arc::clone(&self.shared);
        let read = tokio::task::spawn_blocking(move || {
            let done = shared.read();
            *asked = Some(Instant::now());
            done
        });
        read.await.map_err(|_| OidcError::Cut(self.issuer().to_owned()))?.map(|()| true)
    }

    /// Reads the keys on this thread; blocks for as long as the source allows.
    pub fn read(&self) -> Result<(), OidcError> {
        self.shared.read()
    }

    pub fn is_due(&self) -> bool {
        self.shared.keys.load().as_ref().is_none_or(|read| read.at.elapsed() >= REFRESH)
    }
}

impl Shared {
    fn read(&self) -> Result<(), OidcError> {
        let Settings { issuer, jwks, .. } = &self.settings;
        let text = jwks.read(issuer)?;
        let failed = |source| OidcError::Jwks { issuer: issuer.clone(), from: jwks.to_string(), source };
        let jwks = Jwks::parse(&text).map_err(failed)?;
        self.keys.store(Some(Arc::new(Read { jwks, at: Instant::now() })));
        Ok(())
    }
}

/// The claims that are read; others are ignored, and these must be present once.
#[derive(Deserialize)]
struct Claims {
    iss: String,
    aud: Audience,
    sub: String,
    exp: Seconds,
    nbf: Option<Seconds>,
    iat: Option<Seconds>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Several(Vec<String>),
}

/// RFC 7519 allows fractions; they are cut off. Times beyond some 35,000 years are refused.
struct Seconds(i64);

impl<'de> Deserialize<'de> for Seconds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = serde_json::Number::deserialize(deserializer)?;
        let text = number.to_string();
        let whole = text.split(['.', 'e', 'E']).next().unwrap_or_default();
        let plain =
            number.as_i64().or_else(|| if text.contains(['e', 'E']) { None } else { whole.parse().ok() });
        let far = 1 << 40; // some 35,000 years
        match plain {
            Some(seconds) if (0..far).contains(&seconds) => Ok(Self(seconds)),
            _ => Err(serde::de::Error::custom("no time in seconds")),
        }
    }
}

impl Claims {
    /// Returns subject and expiry if every claim is valid.
    fn check(self, issuer: &str, audience: &str, now: i64) -> Result<(String, i64), TokenError> {
        if self.iss != issuer {
            return Err(TokenError::Issuer);
        }
        let ours = match &self.aud {
            Audience::One(one) => one == audience,
            Audience::Several(several) => several.iter().any(|one| one == audience),
        };
        if !ours {
            return Err(TokenError::Audience);
        }
        check_subject(&self.sub).map_err(|_| TokenError::Malformed("its `sub` is not a valid subject"))?;
        let from = [self.nbf, self.iat].into_iter().flatten().map(|Seconds(at)| at).max().unwrap_or(0);
        let Seconds(until) = self.exp;
        in_time(from, until, now)?;
        Ok((self.sub, until))
    }
}
