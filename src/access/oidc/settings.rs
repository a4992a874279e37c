//! The flag: `issuer=…,audience=…,jwks=…`.

use std::collections::BTreeSet;
use std::str::FromStr;

use thiserror::Error;

use super::source::Source;
use crate::identity::Clusters;
use crate::subject::{self, SubjectError};
use crate::token::claims::is_id;
use crate::token::{Names, NamesError};

/// What is known of a further issuer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Its name, as its tokens have it in `iss`.
    pub issuer: String,
    /// What its tokens for us have in `aud`.
    pub audience: String,
    /// Where its keys are.
    pub jwks: Source,
    /// Its subjects who run the platform.
    pub admins: BTreeSet<String>,
    /// Its subjects that are gates, such as `system:serviceaccount:portcullis:portcullis`.
    pub gates: BTreeSet<String>,
    /// The clusters whose part of the snapshot those gates may read; there where there are gates.
    pub clusters: Option<Clusters>,
}

/// What is wrong with the flag.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SettingsError {
    /// A part without `=`, or with nothing behind it.
    #[error("`{0}` is not `key=value`")]
    NoPair(String),
    /// A key that means nothing.
    #[error("`{0}` is no key (issuer, audience, jwks, ca, admin, gate, cluster)")]
    Unknown(String),
    /// A key twice, but for `admin` and `gate`.
    #[error("`{0}` stands twice")]
    Twice(String),
    /// A key that has to be there.
    #[error("`{0}` is missing")]
    Missing(&'static str),
    /// No issuer, or no audience.
    #[error(transparent)]
    Names(#[from] NamesError),
    /// An administrator that cannot be.
    #[error("`admin`: {0}")]
    Admin(#[from] SubjectError),
    /// A gate that cannot be.
    #[error("`gate`: {0}")]
    Gate(SubjectError),
    /// A subject with two roles.
    #[error("`{0}` is named by `admin` and by `gate`")]
    Both(String),
    /// Gates whose cluster is not said, or a cluster without gates.
    #[error(
        "`gate` and `cluster` go together: `cluster` is the id of the gates' cluster, or `*` for all clusters"
    )]
    Cluster,
    /// Keys over a connection that anybody can change say what anybody likes.
    #[error("`jwks` is a file or an https:// address")]
    Scheme,
    /// `ca` beside a file.
    #[error("`ca` vouches for an https:// address, and `jwks` is a file")]
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
                    subject::check(value)?;
                    admins.insert(value.to_owned());
                    continue;
                }
                "gate" => {
                    subject::check(value).map_err(SettingsError::Gate)?;
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
