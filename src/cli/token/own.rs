//! A short token for this very call, by keys that this user can read.

use std::path::PathBuf;
use std::sync::Arc;

use portcullis_access::keys::{Keys, default_dir};
use portcullis_access::mint::{Wish, grant};
use portcullis_access::token::{AUDIENCE, ISSUER, Names, Tokens};
use portcullis_access::{Action, Identity, Role, authorize};

/// Long enough for one command.
const SECONDS: i64 = 300;

/// A token of an administrator, if there are keys; made for the commands of the ledger on loopback.
///
/// # Errors
/// There are no keys, or they cannot be read.
pub fn own() -> anyhow::Result<String> {
    let env = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let dir = env("PORTCULLIS_TOKEN_KEYS").map_or_else(default_dir, |dir| Ok(PathBuf::from(dir)))?;
    let issuer = env("PORTCULLIS_TOKEN_ISSUER").unwrap_or_else(|| ISSUER.to_owned());
    let audience = env("PORTCULLIS_TOKEN_AUDIENCE").unwrap_or_else(|| AUDIENCE.to_owned());
    let subject = env("USER").or_else(|| env("LOGNAME")).filter(|user| user.bytes().all(plain));
    let wish = Wish {
        subject: subject.unwrap_or_else(|| "operator".to_owned()),
        roles: vec![Role::Admin],
        tenant: None,
        projects: None,
        clusters: None,
        ttl_seconds: SECONDS,
    };
    let scope = authorize(&Identity::process("token"), Action::TokensMint, None, "portcullis")?;
    let granted = grant(&scope, wish, None)?;
    let tokens = Tokens::new(Arc::new(Keys::open(&dir)?), Names::new(&issuer, &audience)?);
    Ok(tokens.issue(&granted, jiff::Timestamp::now().as_second())?.token)
}

const fn plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.')
}
