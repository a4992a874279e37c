//! Everybody who may say who somebody is: ourselves, and the further issuers of the flags.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::time::Duration;

use thiserror::Error;

use super::identity::Identity;
use super::oidc::{OidcError, Provider, Settings};
use super::token::jws::Jws;
use super::token::{TokenError, Tokens, now};

#[cfg(test)]
mod tests;

/// How often the keys are looked at. A new key waits for twelve of these before it signs.
const TEND: Duration = Duration::from_secs(5);

/// Whom we believe.
pub struct Issuers {
    own: Tokens,
    further: BTreeMap<String, Provider>,
}

/// Issuers that cannot stand beside each other.
#[derive(Debug, Error)]
pub enum IssuersError {
    /// One name for two: the subjects of one would be those of the other.
    #[error("two issuers are called `{0}`")]
    Twice(String),
    /// A file of keys that cannot be read at the start is a mistake of the flag.
    #[error(transparent)]
    Oidc(#[from] OidcError),
}

impl Issuers {
    /// Puts them together. Keys in files are read now; those at an address when they are needed, for a provider that is
    /// down should not keep us from starting.
    pub fn new(own: Tokens, further: Vec<Settings>) -> Result<Self, IssuersError> {
        let mut providers = BTreeMap::new();
        for settings in further {
            let local = matches!(settings.jwks, super::oidc::source::Source::File(_));
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

    /// Whose token this is. Revocation is the ledger's to know; and somebody without roles may be a member somewhere,
    /// which is the ledger's to know too.
    ///
    /// An unknown key of a further issuer is looked for once, within the bounds of its source.
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
            tracing::warn!(error = &error as &dyn std::error::Error, "keys of an issuer cannot be had");
        }
        // Also where nothing was read just now: somebody else may have, while this one waited.
        provider.verify(Jws::read(token)?, now())
    }

    /// Ourselves.
    pub const fn own(&self) -> &Tokens {
        &self.own
    }

    /// The further ones, by name.
    pub fn further(&self) -> impl Iterator<Item = &Provider> {
        self.further.values()
    }

    /// Follows the keys for as long as the process runs: ours every few seconds, the others' every ten minutes.
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
                        "keys of an issuer cannot be had"
                    );
                }
            }
        }
    }

    /// Says it once when the directory begins to fail, not every few seconds.
    fn follow_own(&self, was_failing: bool) -> bool {
        match self.own.keys().reload() {
            Ok(changed) => {
                if changed {
                    let keys = self.own.keys().now().iter().count();
                    tracing::info!(keys, "keys of tokens have changed");
                }
                false
            }
            Err(error) => {
                if !was_failing {
                    let error = &error as &dyn std::error::Error;
                    tracing::error!(error, "keys of tokens cannot be read; those of before stay");
                }
                true
            }
        }
    }
}
