//! Token issuers: the server's own, and those of `--oidc`.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;

use super::identity::Identity;
use super::keys::{KeyError, Keys, default_dir};
use super::oidc::{OidcError, Provider, Settings};
use super::token::jws::Jws;
use super::token::{AUDIENCE, ISSUER, Names, NamesError, TokenError, Tokens, now};

#[cfg(test)]
mod tests;

/// Interval at which the key directory is read. A new key signs only after twelve of these.
const TEND: Duration = Duration::from_secs(5);

pub struct Issuers {
    own: Tokens,
    further: BTreeMap<String, Provider>,
}

#[derive(Debug, Error)]
pub enum IssuersError {
    /// Two issuers of one name would share their subjects.
    #[error("two issuers have the name `{0}`")]
    Twice(String),
    #[error(transparent)]
    Oidc(#[from] OidcError),
}

impl Issuers {
    /// Key files are read now, and a failure is an error. Keys at an address are fetched on first use, so that an
    /// unreachable provider does not stop the start.
    pub fn new(own: Tokens, further: Vec<Settings>) -> Result<Self, IssuersError> {
        let mut providers = BTreeMap::new();
        for settings in further {
            let local = matches!(settings.jwks, super::oidc::jwks::Source::File(_));
            let provider = Provider::new(settings);
            if local {
                provider.read()?;
            }
            match providers.entry(provider.issuer().to_owned()) {
                Entry::Vacant(place) if place.key() != own.names().issuer() => place.insert(provider),
                place => return Err(IssuersError::Twice(place.key().clone())),
            };
        }
        Ok(Self { own, further: providers })
    }

    /// Identifies the caller. The ledger knows about revocation, and about memberships of a caller without roles.
    ///
    /// An unknown key of a further issuer causes one refresh, within the rate limit of its source.
    pub async fn identify(&self, token: &str) -> Result<Identity, TokenError> {
        let jws = Jws::read(token)?;
        let issuer = jws.claimed_issuer()?;
        if issuer == self.own.names().issuer() {
            return self.own.verify(token, now());
        }
        let provider = self.further.get(&issuer).ok_or(TokenError::Issuer)?;
        match provider.verify(jws, now()) {
            Err(TokenError::UnknownKey | TokenError::NoKeys) => {}
            done => return done,
        }
        if let Err(error) = provider.refresh(provider.settings().jwks.apart()).await {
            tracing::warn!(error = &error as &dyn std::error::Error, "cannot read the keys of an issuer");
        }
        // Verified again also if this call read nothing: a concurrent call may have read the keys.
        provider.verify(Jws::read(token)?, now())
    }

    pub const fn own(&self) -> &Tokens {
        &self.own
    }

    pub fn further(&self) -> impl Iterator<Item = &Provider> {
        self.further.values()
    }

    /// Reloads keys while the process runs: its own every few seconds, others every ten minutes.
    pub async fn tend(&self) {
        self.tend_every(TEND).await;
    }

    async fn tend_every(&self, pause: Duration) {
        let mut failing = false;
        loop {
            tokio::time::sleep(pause).await;
            failing = self.follow_own(failing);
            for provider in self.further().filter(|provider| provider.is_due()) {
                if let Err(error) = provider.refresh(provider.settings().jwks.apart()).await {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "cannot read the keys of an issuer"
                    );
                }
            }
        }
    }

    /// Logs only the first failure in a row.
    fn follow_own(&self, was_failing: bool) -> bool {
        match self.own.keys().reload() {
            Ok(changed) => {
                if changed {
                    let keys = self.own.keys().now().iter().count();
                    tracing::info!(keys, "token keys reloaded");
                }
                false
            }
            Err(error) => {
                if !was_failing {
                    let error = &error as &dyn std::error::Error;
                    tracing::error!(error, "cannot read the token keys; the previous keys stay in use");
                }
                true
            }
        }
    }
}

#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Identity")]
pub struct AccessArgs {
    /// Directory of the keys that sign tokens; default: the user's data directory. If it is absent, it is created
    /// with a first key
    #[arg(long, value_name = "DIR", env = "PORTCULLIS_TOKEN_KEYS")]
    token_keys: Option<PathBuf>,

    /// Issuer name of the server's own tokens; identities start with it
    #[arg(long, value_name = "NAME", env = "PORTCULLIS_TOKEN_ISSUER", default_value = ISSUER)]
    token_issuer: String,

    /// Audience of the server's own tokens; tokens for another audience are rejected
    #[arg(long, value_name = "NAME", env = "PORTCULLIS_TOKEN_AUDIENCE", default_value = AUDIENCE)]
    token_audience: String,

    /// Additional OIDC issuer: `issuer=…,audience=…,jwks=FILE or
    /// https://…[,ca=FILE][,admin=SUBJECT…][,gate=SUBJECT…,cluster=ID or *]`; may be repeated
    #[arg(long, value_name = "SETTINGS", env = "PORTCULLIS_OIDC", value_delimiter = ';')]
    oidc: Vec<Settings>,
}

#[derive(Debug, Error)]
pub enum AccessError {
    #[error(transparent)]
    Keys(#[from] KeyError),
    #[error("--token-issuer, --token-audience: {0}")]
    Names(#[from] NamesError),
    #[error("--oidc: {0}")]
    Issuers(#[from] IssuersError),
}

impl AccessArgs {
    /// Opens the keys and sets up the issuers. Returns the key file if one was created.
    pub fn open(self) -> Result<(Issuers, Option<PathBuf>), AccessError> {
        let Self { token_keys, token_issuer, token_audience, oidc } = self;
        let names = Names::new(&token_issuer, &token_audience)?;
        let dir = token_keys.map_or_else(default_dir, Ok)?;
        let (keys, made) = Keys::open_or_create(&dir)?;
        Ok((Issuers::new(Tokens::new(Arc::new(keys), names), oidc)?, made))
    }
}
