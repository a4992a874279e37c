//! The flags of identity: keys, names, further issuers.

use std::path::PathBuf;
use std::sync::Arc;

use thiserror::Error;

use super::issuers::{Issuers, IssuersError};
use super::keys::{self, KeyError, Keys};
use super::oidc::Settings;
use super::token::{AUDIENCE, ISSUER, Names, NamesError, Tokens};

/// Who is believed.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Identity")]
pub struct AccessArgs {
    /// Directory of the keys that sign tokens; the user's data folder by default. Made with a first key where it is absent
    #[arg(long, value_name = "DIR", env = "PORTCULLIS_TOKEN_KEYS")]
    token_keys: Option<PathBuf>,

    /// Who issues our tokens; what identities begin with
    #[arg(long, value_name = "NAME", env = "PORTCULLIS_TOKEN_ISSUER", default_value = ISSUER)]
    token_issuer: String,

    /// Whom our tokens are for; another installation's are not accepted if this differs
    #[arg(long, value_name = "NAME", env = "PORTCULLIS_TOKEN_AUDIENCE", default_value = AUDIENCE)]
    token_audience: String,

    /// A further issuer: `issuer=…,audience=…,jwks=FILE or https://…[,ca=FILE][,admin=SUBJECT…][,gate=SUBJECT…,cluster=ID or *]`; may be repeated
    #[arg(long, value_name = "SETTINGS", env = "PORTCULLIS_OIDC", value_delimiter = ';')]
    oidc: Vec<Settings>,
}

/// What is wrong with the flags of identity.
#[derive(Debug, Error)]
pub enum AccessError {
    /// `--token-keys`
    #[error(transparent)]
    Keys(#[from] KeyError),
    /// `--token-issuer` or `--token-audience`
    #[error("--token-issuer, --token-audience: {0}")]
    Names(#[from] NamesError),
    /// `--oidc`
    #[error("--oidc: {0}")]
    Issuers(#[from] IssuersError),
}

impl AccessArgs {
    /// Opens the keys and puts the issuers together. Says which file was made where there was no key.
    pub fn open(self) -> Result<(Issuers, Option<PathBuf>), AccessError> {
        let Self { token_keys, token_issuer, token_audience, oidc } = self;
        let names = Names::new(&token_issuer, &token_audience)?;
        let dir = token_keys.map_or_else(keys::default_dir, Ok)?;
        let (keys, made) = Keys::open_or_make(&dir)?;
        Ok((Issuers::new(Tokens::new(Arc::new(keys), names), oidc)?, made))
    }
}
