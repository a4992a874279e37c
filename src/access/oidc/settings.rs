//! The value of `--oidc`: `issuer=…,audience=…,jwks=…`.

use std::collections::BTreeSet;
use std::str::FromStr;

use thiserror::Error;

use super::jwks::Source;
use crate::identity::{Clusters, SubjectError, check_subject, is_id};
use crate::token::{Names, NamesError};

/// A further issuer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The `iss` of its tokens.
    pub issuer: String,
    /// The `aud` of its tokens.
    pub audience: String,
    pub jwks: Source,
    /// Subjects with the role `admin`.
    pub admins: BTreeSet<String>,
    /// Subjects with the role `service`, such as `system:serviceaccount:portcullis:portcullis`.
    pub gates: BTreeSet<String>,
    /// The clusters whose snapshot those gates may read; set if and only if there are gates.
    pub clusters: Option<Clusters>,
}

#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SettingsError {
    #[error("`{0}` is not `key=value`")]
    NoPair(String),
    #[error("`{0}` is no key (issuer, audience, jwks, ca, admin, gate, cluster)")]
    Unknown(String),
    #[error("`{0}` occurs twice")]
    Twice(String),
    #[error("`{0}` is missing")]
    Missing(&'static str),
    #[error(transparent)]
    Names(#[from] NamesError),
    #[error("`admin`: {0}")]
    Admin(#[from] SubjectError),
    #[error("`gate`: {0}")]
    Gate(SubjectError),
    #[error("`{0}` is named by `admin` and by `gate`")]
    Both(String),
    #[error(
        "`gate` and `cluster` go together: `cluster` is the id of the gates' cluster, or `*` for all clusters"
    )]
    Cluster,
    #[error("`jwks` is a file or an https:// address")]
    Scheme,
    #[error("`ca` requires `jwks` to be an https:// address, and it is a file")]
    Ca,
}

impl FromStr for Settings {
    type Err = SettingsError;

    fn from_str(flag: &str) -> Result<Self, SettingsError> {
        let (mut issuer, mut audience, mut jwks, mut ca, mut cluster) = (None, None, None, None, None);
        let (mut admins, mut gates) = (BTreeSet::new(), BTreeSet::new());
        for part in flag.split(',') {
            let Some((key, value)) = part.split_once('=').filter(|(_, value)| !value.is_empty()) else {
                return Err(SettingsError::NoPair(part.to_owned()));
            };
            let place = match key {
                "issuer" => &mut issuer,
                "audience" => &mut audience,
                "jwks" => &mut jwks,
                "ca" => &mut ca,
                "cluster" => &mut cluster,
                "admin" => {
                    check_subject(value)?;
                    admins.insert(value.to_owned());
                    continue;
                }
                "gate" => {
                    check_subject(value).map_err(SettingsError::Gate)?;
                    gates.insert(value.to_owned());
                    continue;
                }
                other => return Err(SettingsError::Unknown(other.to_owned())),
            };
            if place.replace(value).is_some() {
                return Err(SettingsError::Twice(key.to_owned()));
            }
        }
        let missing = SettingsError::Missing;
        let names = Names::new(issuer.ok_or(missing("issuer"))?, audience.ok_or(missing("audience"))?)?;
        let jwks = source(jwks.ok_or(missing("jwks"))?, ca)?;
        if let Some(both) = admins.intersection(&gates).next() {
            return Err(SettingsError::Both(both.clone()));
        }
        let clusters = cluster.map(|cluster| Clusters::of(cluster.to_owned()));
        let is_id = clusters.as_ref().is_none_or(|one| *one == Clusters::All || is_id(one.as_str()));
        if clusters.is_some() == gates.is_empty() || !is_id {
            return Err(SettingsError::Cluster);
        }
        let (issuer, audience) = (names.issuer().to_owned(), names.audience().to_owned());
        Ok(Self { issuer, audience, jwks, admins, gates, clusters })
    }
}

fn source(jwks: &str, ca: Option<&str>) -> Result<Source, SettingsError> {
    let secure = jwks.get(..8).is_some_and(|scheme| scheme.eq_ignore_ascii_case("https://"));
    match (secure, ca) {
        (true, ca) => Ok(Source::Url { url: jwks.to_owned(), ca: ca.map(Into::into) }),
        (false, _) if jwks.contains("://") => Err(SettingsError::Scheme),
        (false, Some(_)) => Err(SettingsError::Ca),
        (false, None) => Ok(Source::File(jwks.into())),
    }
}
