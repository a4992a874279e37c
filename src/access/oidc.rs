//! Further issuers: OpenID Connect providers whose tokens are believed for who somebody is.
//!
//! What somebody is here, they do not say: roles come from memberships, which name `issuer#sub`, or from the list of
//! administrators and gates in the flag. Their keys are read from a file or over HTTPS, each pinned to one algorithm by its kind.

mod claims;
pub mod jwks;
pub mod settings;
pub mod source;

pub use settings::{Settings, SettingsError};

use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use thiserror::Error;
use tokio::sync::Mutex;

use super::identity::Identity;
use super::role::Role;
use super::token::TokenError;
use super::token::jws::Jws;
use claims::Claims;
use jwks::Jwks;

#[cfg(test)]
mod tests;

/// Keys are read again so often. A key that its issuer has withdrawn is good for so long here.
pub const REFRESH: Duration = Duration::from_mins(10);

/// Keys that could not be read again for so long vouch for nothing: what was withdrawn meanwhile cannot be told.
pub const STALE: Duration = Duration::from_hours(24);

/// Why an issuer's keys cannot be had.
#[derive(Debug, Error)]
pub enum OidcError {
    /// The file cannot be read.
    #[error("the keys of `{issuer}` cannot be read from `{from}`")]
    File {
        /// Whose.
        issuer: String,
        /// From where.
        from: String,
        /// Why.
        source: std::io::Error,
    },
    /// The address does not answer.
    #[error("the keys of `{issuer}` cannot be fetched from `{from}`")]
    Fetch {
        /// Whose.
        issuer: String,
        /// From where.
        from: String,
        /// Why.
        source: Box<ureq::Error>,
    },
    /// The address answers something else. Redirections are not followed: the flag says where keys are, nobody else.
    #[error("the keys of `{issuer}`: `{from}` answers {status}")]
    Status {
        /// Whose.
        issuer: String,
        /// From where.
        from: String,
        /// The status.
        status: u16,
    },
    /// What was read is no set of keys, or one in which a key is not to be told from another.
    #[error("the keys of `{issuer}` at `{from}`")]
    Jwks {
        /// Whose.
        issuer: String,
        /// From where.
        from: String,
        /// What is wrong.
        source: jwks::JwksError,
    },
    /// Reading was cut off by the end of the process.
    #[error("reading the keys of `{0}` was cut off")]
    Cut(String),
}

/// A further issuer with its keys of now.
pub struct Provider {
    shared: Arc<Shared>,
    /// When keys were last asked for, well or not. Held while they are: one asks, the others wait for what it finds.
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
    /// An issuer whose keys have not been read yet; till then, no token of it is good.
    pub fn new(settings: Settings) -> Self {
        let shared = Shared { settings, keys: ArcSwapOption::empty() };
        Self { shared: Arc::new(shared), asked: Arc::default() }
    }

    /// Its name.
    pub fn issuer(&self) -> &str {
        &self.shared.settings.issuer
    }

    /// What is known of it.
    pub fn settings(&self) -> &Settings {
        &self.shared.settings
    }

    /// Whom a token of this issuer is about. `now` is unix seconds.
    pub(super) fn verify(&self, jws: Jws<'_>, now: i64) -> Result<Identity, TokenError> {
        self.verify_at(jws, now, Instant::now())
    }

    /// The same with both clocks: the wall's for the token, and the one that never goes back for the age of the keys.
    fn verify_at(&self, jws: Jws<'_>, now: i64, moment: Instant) -> Result<Identity, TokenError> {
        // A logout token has issuer, audience and subject as well, and says the opposite.
        if !jws.is_type(&["JWT", "at+jwt", "application/at+jwt"], true) {
            return Err(TokenError::Malformed("its type is none that says who somebody is"));
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

    /// Reads the keys again, unless somebody has asked for them less than `apart` ago; says whether they were read.
    /// What cannot be read changes nothing. Whoever goes away while it waits ends nothing: the reading goes on.
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

    /// Reads the keys now, on this thread, which may take as long as its source's bound.
    pub fn read(&self) -> Result<(), OidcError> {
        self.shared.read()
    }

    /// Whether the keys are due to be read again.
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
