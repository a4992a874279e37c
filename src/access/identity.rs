//! The authenticated caller, and which roles its token gives it.

use serde::{Deserialize, Serialize};
use thiserror::Error;
use uuid::Uuid;

use super::role::Role;

/// The issuer of the server's own work. No token may use it, so an audit row of `portcullis#reaper` is the reaper's.
pub const PROCESS_ISSUER: &str = "portcullis";

pub(super) fn of_process(name: &str) -> bool {
    name.split_once('#').is_some_and(|(issuer, _)| issuer == PROCESS_ISSUER)
}

/// The caller as its issuer describes it.
///
/// The fields can contradict each other (an admin of one tenant, an owner of some projects), so decisions use
/// [`Identity::standing`] and never one field alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Contains no `#`.
    pub issuer: String,
    /// Unique within the issuer.
    pub subject: String,
    /// Empty for a known subject without a role.
    pub roles: Vec<Role>,
    pub tenant: Option<TenantRef>,
    /// Ids of the projects that the subject is limited to; `None` means all projects of the tenant, an empty list
    /// means none.
    pub projects: Option<Vec<String>>,
    /// The clusters whose snapshot a gate may read. Required for the role `service`, not allowed for others.
    pub clusters: Option<Clusters>,
    /// The token's id, by which it is revoked.
    pub jti: Option<String>,
    /// Expiry of the token, unix seconds.
    pub expires: Option<i64>,
    /// Who minted the token, if not the subject: `issuer#sub`.
    pub minted_by: Option<String>,
}

/// The clusters that a gate's token is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Clusters {
    /// Every cluster; only the holder of the signing keys can issue it.
    All,
    /// One cluster by its id, a UUID in lower case. Names can be reused after a deletion.
    One(String),
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct TenantRef {
    /// UUID in lower case. Permissions use the id, since a slug can be reused after a deletion.
    pub id: String,
    pub slug: String,
}

/// What the roles of an identity permit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing<'a> {
    /// Authenticated, without a role.
    NoRole,
    Admin,
    Member {
        tenant: &'a TenantRef,
        /// The strongest of its roles there.
        role: Role,
        /// Ids of the projects it is limited to.
        projects: Option<&'a [String]>,
    },
    Service {
        /// The clusters that it may read.
        clusters: &'a Clusters,
    },
}

/// The fields of an identity contradict each other; it is denied everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Contradiction {
    #[error("the role `{0}` must be the only role")]
    NotAlone(Role),
    #[error("the role `{0}` belongs to no tenant and no project")]
    Bound(Role),
    #[error("the role `{0}` needs a tenant")]
    NoTenant(Role),
    /// An owner of some projects could give itself the rest.
    #[error("the role `tenantOwner` is for the whole tenant, not for some projects")]
    OwnerOfSome,
    #[error("the role `service` needs a cluster")]
    NoCluster,
    #[error("a cluster is for the role `service`, not for `{0}`")]
    ClusterOf(Role),
    #[error("a tenant or a project is named by an empty text")]
    Empty,
}

// === impl Clusters ===

impl Clusters {
    const ALL: &str = "*";

    /// As a token says it: an id, or `*`.
    pub fn as_str(&self) -> &str {
        match self {
            Self::All => Self::ALL,
            Self::One(id) => id,
        }
    }

    /// The inverse of [`Clusters::as_str`]; the caller checks the id.
    pub fn of(text: String) -> Self {
        if text == Self::ALL { Self::All } else { Self::One(text) }
    }
}

// === impl Identity ===

impl Identity {
    /// `issuer#sub`: subjects of two issuers never share a name.
    pub fn name(&self) -> String {
        format!("{}#{}", self.issuer, self.subject)
    }

    /// The server's own work, such as `portcullis#reaper`. It acts as an administrator.
    pub fn process(name: &str) -> Self {
        Self { roles: vec![Role::Admin], ..Self::known(PROCESS_ISSUER, name) }
    }

    /// The server's own work that reads the snapshot of all clusters and changes nothing.
    pub fn reading_process(name: &str) -> Self {
        Self {
            roles: vec![Role::Service],
            clusters: Some(Clusters::All),
            ..Self::known(PROCESS_ISSUER, name)
        }
    }

    /// An authenticated subject without a role.
    pub fn known(issuer: &str, subject: &str) -> Self {
        Self {
            issuer: issuer.to_owned(),
            subject: subject.to_owned(),
            roles: Vec::new(),
            tenant: None,
            projects: None,
            clusters: None,
            jti: None,
            expires: None,
            minted_by: None,
        }
    }

    /// Whether the membership must still hold: true for a member's token that was minted through the API, false for
    /// one that was signed with the keys directly (`portcullis token new`).
    pub fn leans_on_membership(&self) -> bool {
        let by_hand = self.minted_by.as_deref().is_some_and(of_process);
        self.jti.is_some() && self.tenant.is_some() && !by_hand
    }

    /// The same subject with only this membership.
    #[must_use]
    pub fn member(self, tenant: TenantRef, role: Role, projects: Option<Vec<String>>) -> Self {
        Self { roles: vec![role], tenant: Some(tenant), projects, ..self }
    }

    pub fn standing(&self) -> Result<Standing<'_>, Contradiction> {
        let Some(role) = self.roles.iter().copied().min() else { return Ok(Standing::NoRole) };
        if self.clusters.is_some()
            && let Some(other) = self.roles.iter().copied().find(|role| *role != Role::Service)
        {
            return Err(Contradiction::ClusterOf(other));
        }
        let apart = self.roles.iter().copied().find(|role| !role.in_tenant());
        if let Some(apart) = apart {
            return match (self.roles.len(), &self.tenant, &self.projects) {
                (1, None, None) if apart == Role::Admin => Ok(Standing::Admin),
                (1, None, None) => match &self.clusters {
                    Some(clusters) => Ok(Standing::Service { clusters }),
                    None => Err(Contradiction::NoCluster),
                },
                (1, ..) => Err(Contradiction::Bound(apart)),
                _ => Err(Contradiction::NotAlone(apart)),
            };
        }
        let tenant = self.tenant.as_ref().ok_or(Contradiction::NoTenant(role))?;
        let projects = self.projects.as_deref();
        if tenant.id.is_empty()
            || tenant.slug.is_empty()
            || projects.into_iter().flatten().any(String::is_empty)
        {
            return Err(Contradiction::Empty);
        }
        match (role, projects) {
            (Role::TenantOwner, Some(_)) => Err(Contradiction::OwnerOfSome),
            _ => Ok(Standing::Member { tenant, role, projects }),
        }
    }
}

pub const SUBJECT_BYTES_MAX: usize = 255;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum SubjectError {
    #[error("a subject has 1 to {SUBJECT_BYTES_MAX} bytes")]
    Length,
    #[error("a subject holds no spaces, no control characters and nothing invisible")]
    Character,
}

/// Checks a subject. Subjects are compared byte by byte and shown to people, so invisible characters are refused.
pub fn check_subject(subject: &str) -> Result<(), SubjectError> {
    if subject.is_empty() || subject.len() > SUBJECT_BYTES_MAX {
        return Err(SubjectError::Length);
    }
    let invisible = |c: char| {
        c.is_control()
            || c.is_whitespace()
            || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff0}'..='\u{ffff}' | '\u{e0000}'..='\u{e0fff}')
    };
    if subject.chars().any(invisible) { Err(SubjectError::Character) } else { Ok(()) }
}

/// Whether `text` is a UUID as the ledger writes it: lower case, with hyphens. Ids compare as text, so one spelling
/// is allowed.
pub(crate) fn is_id(text: &str) -> bool {
    Uuid::try_parse(text).is_ok_and(|id| id.to_string() == text)
}

/// Whether `text` can be a tenant's slug. No UUID can, so a slug is never taken for an id.
pub(crate) fn is_slug(text: &str) -> bool {
    let plain = text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    plain && (1..=20).contains(&text.len()) && text.starts_with(|c: char| c.is_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invisible_characters_in_a_subject_are_refused() {
        for good in [
            "a",
            "alice@example.com",
            "system:serviceaccount:ns:name",
            "a#b",
            "José",
            "0oa1|x",
            &"x".repeat(255),
        ] {
            assert_eq!(check_subject(good), Ok(()), "{good}");
        }
        for (bad, why) in [
            ("", SubjectError::Length),
            (&*"x".repeat(256), SubjectError::Length),
            ("alice bob", SubjectError::Character),
            ("alice\n", SubjectError::Character),
            ("alice\0", SubjectError::Character),
            ("ali\u{200b}ce", SubjectError::Character),
            ("\u{202e}ecila", SubjectError::Character),
            ("alice\u{feff}", SubjectError::Character),
            ("alice\u{e0061}", SubjectError::Character),
            ("a\u{a0}b", SubjectError::Character),
        ] {
            assert_eq!(check_subject(bad), Err(why), "{bad:?}");
        }
    }
}
