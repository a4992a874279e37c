//! What a token of ours says.

use serde::{Deserialize, Deserializer, Serialize};
use uuid::Uuid;

use super::{LEEWAY_SECONDS, LIFETIME_SECONDS_MAX, Names, TokenError};
use crate::identity::{Clusters, Contradiction, Identity, Standing, TenantRef};
use crate::mint::Grant;
use crate::role::Role;
use crate::subject;

/// What a token of ours says. An unknown or doubled claim is an error: who signed it meant something by it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Claims {
    /// Who issued it.
    pub iss: String,
    /// Whom it is for.
    pub aud: String,
    /// Whom it is about.
    pub sub: String,
    /// What that is.
    pub roles: Vec<Role>,
    /// Id of the tenant in which it is that.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "there")]
    pub tenant: Option<String>,
    /// Slug of that tenant.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "there")]
    pub tenant_slug: Option<String>,
    /// Ids of the projects to which it is limited.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "there")]
    pub projects: Option<Vec<String>>,
    /// Id of the cluster whose part of the snapshot a gate may read, or `*` for all.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "there")]
    pub cluster: Option<String>,
    /// Issued at, unix seconds.
    pub iat: i64,
    /// Not valid before, unix seconds.
    pub nbf: i64,
    /// Not valid from then on, unix seconds.
    pub exp: i64,
    /// Its own id, a UUID.
    pub jti: String,
    /// Who minted it: `issuer#sub`.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "there")]
    pub minted_by: Option<String>,
}

/// A claim that is there has a value: `projects: null` would be all projects, said by nobody.
fn there<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

impl Claims {
    pub(super) fn of(grant: &Grant, names: &Names, jti: Uuid, now: i64) -> Self {
        let (tenant, tenant_slug) = grant.tenant().map(|t| (t.id.clone(), t.slug.clone())).unzip();
        Self {
            iss: names.issuer().to_owned(),
            aud: names.audience().to_owned(),
            sub: grant.subject().to_owned(),
            roles: grant.roles().to_vec(),
            tenant,
            tenant_slug,
            projects: grant.projects().map(<[String]>::to_vec),
            cluster: grant.clusters().map(|clusters| clusters.as_str().to_owned()),
            iat: now,
            nbf: now,
            exp: now.saturating_add(grant.ttl_seconds()),
            jti: jti.to_string(),
            minted_by: Some(grant.minted_by().to_owned()),
        }
    }

    /// Who it is, once all of it has been found in order.
    pub(super) fn identity(self, names: &Names, now: i64) -> Result<Identity, TokenError> {
        if self.iss != names.issuer() {
            return Err(TokenError::Issuer);
        }
        if self.aud != names.audience() {
            return Err(TokenError::Audience);
        }
        self.well_formed()?;
        in_time(self.iat.max(self.nbf), self.exp, now)?;
        let tenant = match (self.tenant, self.tenant_slug) {
            (None, None) => None,
            (Some(id), Some(slug)) => Some(TenantRef { id, slug }),
            _ => return Err(TokenError::Malformed("it names half a tenant")),
        };
        let who = Identity {
            issuer: self.iss,
            subject: self.sub,
            roles: self.roles,
            tenant,
            projects: self.projects,
            clusters: self.cluster.map(Clusters::of),
            jti: Some(self.jti),
            expires: Some(self.exp),
            minted_by: self.minted_by,
        };
        match who.standing() {
            Ok(Standing::NoRole) => Err(TokenError::Malformed("it grants no role")),
            Ok(_) => Ok(who),
            Err(contradiction) => Err(TokenError::Contradiction(contradiction)),
        }
    }

    fn well_formed(&self) -> Result<(), TokenError> {
        subject::check(&self.sub).map_err(|_| TokenError::Malformed("its subject is none"))?;
        let mut ids = self.tenant.iter().chain(self.projects.iter().flatten()).chain([&self.jti]);
        if !ids.all(|id| is_id(id)) {
            return Err(TokenError::Malformed("an id in it is no UUID"));
        }
        if !self.cluster.as_deref().is_none_or(|id| id == Clusters::All.as_str() || is_id(id)) {
            return Err(TokenError::Malformed("its cluster is neither a UUID nor `*`"));
        }
        if !self.tenant_slug.as_deref().is_none_or(is_slug) {
            return Err(TokenError::Malformed("its tenant's slug is none"));
        }
        let lifetime = self.exp.saturating_sub(self.iat);
        if lifetime <= 0 || lifetime > LIFETIME_SECONDS_MAX || self.nbf >= self.exp {
            return Err(TokenError::Malformed("it begins and ends in no order, or lives too long"));
        }
        Ok(())
    }
}

/// Whether a time, unix seconds, is between these two.
pub(crate) const fn in_time(from: i64, until: i64, now: i64) -> Result<(), TokenError> {
    if now >= until.saturating_add(LEEWAY_SECONDS) {
        return Err(TokenError::Expired);
    }
    if now < from.saturating_sub(LEEWAY_SECONDS) {
        return Err(TokenError::NotYet);
    }
    Ok(())
}

/// Whether a text is a UUID as the ledger writes it: lower case, with hyphens. One spelling, so that ids compare as text.
pub(crate) fn is_id(text: &str) -> bool {
    Uuid::try_parse(text).is_ok_and(|id| id.to_string() == text)
}

/// Whether a text could be a tenant's slug. No UUID can, so a slug is never taken for another tenant's id.
pub(crate) fn is_slug(text: &str) -> bool {
    let plain = text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    plain && (1..=20).contains(&text.len()) && text.starts_with(|c: char| c.is_ascii_lowercase())
}

impl From<Contradiction> for TokenError {
    fn from(contradiction: Contradiction) -> Self {
        Self::Contradiction(contradiction)
    }
}
