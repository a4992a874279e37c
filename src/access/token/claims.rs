//! Claims of the server's own tokens.

use serde::{Deserialize, Deserializer, Serialize};
use uuid::Uuid;

use super::{LEEWAY_SECONDS, LIFETIME_SECONDS_MAX, Names, TokenError};
use crate::identity::{Clusters, Identity, Standing, TenantRef, check_subject, is_id, is_slug};
use crate::mint::Grant;
use crate::role::Role;

/// An unknown or repeated claim is an error, since its meaning is unknown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Claims {
    pub iss: String,
    pub aud: String,
    pub sub: String,
    pub roles: Vec<Role>,
    /// Id of the tenant of the roles.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "there")]
    pub tenant: Option<String>,
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
    /// `issuer#sub`.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "there")]
    pub minted_by: Option<String>,
}

/// An explicit null is an error: `projects: null` would mean all projects.
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

    /// The identity, if every claim is valid.
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
            _ => return Err(TokenError::Malformed("it has only one of `tenant` and `tenantSlug`")),
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
        check_subject(&self.sub).map_err(|_| TokenError::Malformed("its `sub` is not a valid subject"))?;
        let mut ids = self.tenant.iter().chain(self.projects.iter().flatten()).chain([&self.jti]);
        if !ids.all(|id| is_id(id)) {
            return Err(TokenError::Malformed("an id in it is not a UUID"));
        }
        if !self.cluster.as_deref().is_none_or(|id| id == Clusters::All.as_str() || is_id(id)) {
            return Err(TokenError::Malformed("its cluster is neither a UUID nor `*`"));
        }
        if !self.tenant_slug.as_deref().is_none_or(is_slug) {
            return Err(TokenError::Malformed("its `tenantSlug` is not a slug"));
        }
        let lifetime = self.exp.saturating_sub(self.iat);
        if lifetime <= 0 || lifetime > LIFETIME_SECONDS_MAX || self.nbf >= self.exp {
            return Err(TokenError::Malformed(
                "`exp` must be after `iat` and `nbf`, at most 30 days after `iat`",
            ));
        }
        Ok(())
    }
}

pub(crate) const fn in_time(from: i64, until: i64, now: i64) -> Result<(), TokenError> {
    if now >= until.saturating_add(LEEWAY_SECONDS) {
        return Err(TokenError::Expired);
    }
    if now < from.saturating_sub(LEEWAY_SECONDS) {
        return Err(TokenError::NotYet);
    }
    Ok(())
}
