//! Namespace names, composed from slugs and compared, never parsed.

use super::slug::{SlugError, check_app, check_project, check_tenant};
use super::text::quoted;

/// Longest namespace name: Kubernetes allows one DNS label.
pub const LENGTH_MAX: usize = 63;

/// Default namespace prefix.
pub const PREFIX: &str = "tn";

/// Sandbox numbers; written with three digits.
pub const SANDBOXES: std::ops::RangeInclusive<u16> = 1..=999;

/// Longest namespace prefix, in bytes.
const PREFIX_MAX: usize = 10;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    #[error(transparent)]
    Slug(#[from] SlugError),
    #[error(
        "prefix {prefix} is no namespace prefix (allowed: a lower-case letter, then up to 9 lower-case letters and digits, not `kube`)"
    )]
    Prefix {
        /// The prefix, quoted.
        prefix: String,
    },
    #[error("sandbox number {number} is out of range (allowed: 1 to 999)")]
    Sandbox { number: u16 },
    /// A name is never truncated: two apps must not share a namespace.
    #[error(
        "namespace name `{name}` has {length} characters (allowed: at most {LENGTH_MAX}); choose shorter slugs"
    )]
    TooLong { name: String, length: usize },
}

/// `<prefix>-<tenant>-<project>-app-<app>`, the one namespace of an app; at most 63 characters.
pub fn app(prefix: &str, tenant: &str, project: &str, app: &str) -> Result<String, NameError> {
    check_owner(prefix, tenant, project)?;
    check_app(app)?;
    bounded(format!("{prefix}-{tenant}-{project}-app-{app}"))
}

/// `<prefix>-<tenant>-<project>-sbx-<NNN>`, a sandbox; `number` is 1 to 999, written with three digits.
pub fn sandbox(prefix: &str, tenant: &str, project: &str, number: u16) -> Result<String, NameError> {
    check_owner(prefix, tenant, project)?;
    if !SANDBOXES.contains(&number) {
        return Err(NameError::Sandbox { number });
    }
    bounded(format!("{prefix}-{tenant}-{project}-sbx-{number:03}"))
}

/// Checks a namespace prefix: `[a-z][a-z0-9]{0,9}`. `kube` is refused because `kube-system` would become a tenant's.
pub fn check_prefix(prefix: &str) -> Result<(), NameError> {
    let starts = prefix.starts_with(|c: char| c.is_ascii_lowercase());
    let plain = prefix.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    if starts && plain && prefix.len() <= PREFIX_MAX && prefix != "kube" {
        return Ok(());
    }
    Err(NameError::Prefix { prefix: quoted(prefix) })
}

fn check_owner(prefix: &str, tenant: &str, project: &str) -> Result<(), NameError> {
    check_prefix(prefix)?;
    check_tenant(tenant)?;
    check_project(project)?;
    Ok(())
}

fn bounded(name: String) -> Result<String, NameError> {
    if name.len() > LENGTH_MAX {
        let length = name.len();
        return Err(NameError::TooLong { name, length });
    }
    Ok(name)
}

#[cfg(test)]
mod tests;
