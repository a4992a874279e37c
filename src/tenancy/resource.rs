//! Resource patterns in kubectl notation: `pods`, `pods/exec`, `deployments.apps`, `*.oam.dev/*`, `*/scale`, `*/*`.

use super::text::{is_dns_label, is_dns_subdomain, quoted};

/// Longest pattern: a label, a dot, a group and a subresource.
const LENGTH_MAX: usize = 400;

/// A set of resources. A bare name is of the core group; no `/` means the resource itself and no subresource; `/*` means
/// the resource and all its subresources, as in webhook rules.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Pattern {
    resource: Option<Box<str>>, // None: any
    group: Group,
    subresource: Subresource,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Group {
    Any,
    Is(Box<str>),
    /// The group itself or one below it at a dot.
    Under(Box<str>),
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Subresource {
    None,
    Any,
    Is(Box<str>),
}

/// Why a text is no pattern. Texts are quoted and cut.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    #[error("resource pattern is empty (allowed: for example `pods`, `deployments.apps/status`, `*/*`)")]
    Empty,
    #[error("resource pattern has {length} characters (allowed: at most {LENGTH_MAX})")]
    TooLong { length: usize },
    #[error(
        "resource pattern {pattern} has the resource {found} (allowed: a plural name in lower case such as `pods`, or `*` alone)"
    )]
    Resource { pattern: String, found: String },
    #[error(
        "resource pattern {pattern} has the group {found} (allowed: an API group such as `apps` or `cert-manager.io`, without a version; none for the core group)"
    )]
    Group { pattern: String, found: String },
    #[error(
        "resource pattern {pattern} has the subresource {found} (allowed: one name in lower case such as `status`, or `*`)"
    )]
    Subresource { pattern: String, found: String },
}

impl Pattern {
    /// Reads a pattern: `(NAME | *)[.GROUP][/(NAME | *)]`, lower case, at most 400 bytes.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        match text.len() {
            0 => return Err(PatternError::Empty),
            1..=LENGTH_MAX => {}
            length => return Err(PatternError::TooLong { length }),
        }
        let (whole, subresource) =
            text.split_once('/').map_or((text, None), |(whole, sub)| (whole, Some(sub)));
        let (resource, group) =
            whole.split_once('.').map_or((whole, None), |(name, group)| (name, Some(group)));
        if resource != "*" && !is_dns_label(resource) {
            return Err(PatternError::Resource { pattern: quoted(text), found: quoted(resource) });
        }
        Ok(Self {
            resource: (resource != "*").then(|| resource.into()),
            group: Group::parse(text, resource, group)?,
            subresource: Subresource::parse(text, subresource)?,
        })
    }

    /// Whether a request's resource is in the set; `group` and `subresource` are empty where it has none.
    pub fn matches(&self, group: &str, resource: &str, subresource: &str) -> bool {
        self.resource.as_deref().is_none_or(|name| name == resource)
            && match &self.group {
                Group::Any => true,
                Group::Is(name) => **name == *group,
                Group::Under(name) => group
                    .strip_suffix(&**name)
                    .is_some_and(|before| before.is_empty() || before.ends_with('.')),
            }
            && match &self.subresource {
                Subresource::None => subresource.is_empty(),
                Subresource::Any => true,
                Subresource::Is(name) => **name == *subresource,
            }
    }
}

impl Pattern {
    /// Whether a writer of the set may write this: what [`Pattern::matches`], and for a whole group or everything
    /// also `status` and `finalizers`, which belong to the controller that reconciles the kind.
    pub fn covers(&self, group: &str, resource: &str, subresource: &str) -> bool {
        let own = self.resource.is_none()
            && matches!(subresource, "status" | "finalizers")
            && self.matches(group, resource, "");
        own || self.matches(group, resource, subresource)
    }
}

impl Pattern {
    /// Whether something of a resource is in the set: the resource itself, or a subresource that is named with it.
    pub fn includes(&self, group: &str, resource: &str) -> bool {
        let subresource = match &self.subresource {
            Subresource::None | Subresource::Any => "",
            Subresource::Is(_) if self.resource.is_none() => return false,
            Subresource::Is(name) => name,
        };
        self.matches(group, resource, subresource)
    }
}

impl Pattern {
    /// What [`Pattern::covers`] by a pattern that spells the resource out: `*` and `*.apps` name nothing.
    pub fn names(&self, group: &str, resource: &str, subresource: &str) -> bool {
        self.resource.is_some() && self.covers(group, resource, subresource)
    }
}

/// What an index needs to know of a pattern.
impl Pattern {
    /// Everything, `*/*`.
    pub const fn everything() -> Self {
        Self { resource: None, group: Group::Any, subresource: Subresource::Any }
    }

    /// Group, resource and subresource, where the pattern is exactly one.
    pub fn exact(&self) -> Option<(&str, &str, &str)> {
        let subresource = match &self.subresource {
            Subresource::None => "",
            Subresource::Is(name) => name,
            Subresource::Any => return None,
        };
        match (&self.resource, &self.group) {
            (Some(resource), Group::Is(group)) => Some((group, resource, subresource)),
            _ => None,
        }
    }

    /// The group that a match is in or below; `None` where it says nothing of groups.
    pub fn group_suffix(&self) -> Option<&str> {
        match &self.group {
            Group::Any => None,
            Group::Is(name) | Group::Under(name) => Some(name),
        }
    }
}

impl Group {
    fn parse(pattern: &str, resource: &str, group: Option<&str>) -> Result<Self, PatternError> {
        match group {
            None if resource == "*" => Ok(Self::Any),
            None => Ok(Self::Is("".into())),
            Some(name) if !is_dns_subdomain(name) || name.split('.').next().is_some_and(is_version) => {
                Err(PatternError::Group { pattern: quoted(pattern), found: quoted(name) })
            }
            Some(name) if resource == "*" => Ok(Self::Under(name.into())),
            Some(name) => Ok(Self::Is(name.into())),
        }
    }
}

/// `deployments.v1.apps` is kubectl notation too, but a rule for one version is evaded through another.
fn is_version(label: &str) -> bool {
    let Some(rest) = label.strip_prefix('v') else { return false };
    rest.starts_with(|c: char| c.is_ascii_digit())
}

impl Subresource {
    fn parse(pattern: &str, subresource: Option<&str>) -> Result<Self, PatternError> {
        match subresource {
            None => Ok(Self::None),
            Some("*") => Ok(Self::Any),
            Some(name) if is_dns_label(name) => Ok(Self::Is(name.into())),
            Some(name) => Err(PatternError::Subresource { pattern: quoted(pattern), found: quoted(name) }),
        }
    }
}

impl std::fmt::Display for Pattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.resource.as_deref().unwrap_or("*"))?;
        match &self.group {
            Group::Is(name) | Group::Under(name) if !name.is_empty() => write!(f, ".{name}")?,
            _ => {}
        }
        match &self.subresource {
            Subresource::None => Ok(()),
            Subresource::Any => f.write_str("/*"),
            Subresource::Is(name) => write!(f, "/{name}"),
        }
    }
}

#[cfg(test)]
mod tests;
