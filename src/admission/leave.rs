//! Leave from laws: exceptions that were granted, and break-glass documents that verify.
//!
//! It lifts what was found and hides nothing: the laws are asked as ever, what they found is recorded, the answer names
//! the leave. One exception is for one policy, and lifts all that this policy found or none of it, so two that each fall
//! short do not add up to one (GHSA-gg4x-fgg2-h9w9). What failed is lifted by break-glass alone.

mod follow;
mod prepare;

use std::sync::Arc;

use jiff::Timestamp;

use super::facts::Facts;
use super::review::Header;
use super::verdict::{Named, Verdict};
use portcullis_policy::Finding;
use portcullis_telemetry::metrics;
use portcullis_tenancy::resource::Pattern;
use portcullis_tenancy::snapshot::Namespace;

pub use follow::Made;
pub use prepare::{Emergencies, Leaves};

/// By what right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// An administrator granted it.
    Exception,
    /// Somebody with a key signed it.
    Breakglass,
}

impl Kind {
    /// As in annotations and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Exception => "exception",
            Self::Breakglass => "breakglass",
        }
    }
}

/// Leave from some policies, for some people and objects, for a time.
#[derive(Debug, PartialEq)]
pub struct Leave {
    kind: Kind,
    id: Arc<str>,
    policies: Vec<Arc<str>>,
    /// Exact; empty is everybody, which break-glass never is.
    subjects: Vec<Arc<str>>,
    tenant: Option<Arc<str>>,
    places: Vec<Place>,
    from: Timestamp,
    until: Timestamp,
}

/// Objects; what is absent is any.
#[derive(Debug, PartialEq)]
struct Place {
    namespace: Option<Arc<str>>,
    resource: Option<Pattern>,
    name: Option<Arc<str>>,
}

/// What a leave did to a verdict.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Used {
    /// By what right.
    pub kind: Kind,
    /// Its id.
    pub id: Arc<str>,
    /// Whether it lifted something; a break-glass document is told of where it is open, used or not.
    pub lifted: bool,
}

impl Leaves {
    /// Those that hold for a review.
    pub fn covering(
        &self,
        header: &Header,
        namespace: &str,
        known: Option<&Namespace>,
        made: &Made,
        now: &str,
    ) -> Vec<Arc<Leave>> {
        if self.is_empty() {
            return Vec::new();
        }
        // A time that cannot be read is within nobody's time.
        let Ok(now) = now.parse::<Timestamp>() else { return Vec::new() };
        let holds = |leave: &&Arc<Leave>| {
            leave.from <= now && now < leave.until && leave.covers(header, namespace, known, made)
        };
        self.iter().filter(holds).cloned().collect()
    }
}

impl Leave {
    fn covers(&self, header: &Header, namespace: &str, known: Option<&Namespace>, made: &Made) -> bool {
        let user = &header.user;
        let subject = |subject: &Arc<str>| {
            let group = self.kind == Kind::Exception && user.groups.iter().any(|group| **group == **subject);
            *user.username == **subject || group
        };
        let named = self.subjects.is_empty() || self.subjects.iter().any(subject);
        let place =
            |place: &Place| (named && place.holds(header, namespace)) || made.within(place, namespace);
        self.tenant.as_ref().is_none_or(|tenant| known.is_some_and(|known| known.tenant == *tenant))
            && self.places.iter().any(place)
    }
}

impl Place {
    fn holds(&self, header: &Header, namespace: &str) -> bool {
        let resource = &header.resource;
        // What has no name yet is not the object of that name.
        self.namespace.as_ref().is_none_or(|wanted| **wanted == *namespace)
            && self.name.as_ref().is_none_or(|wanted| **wanted == *header.name)
            && self
                .resource
                .as_ref()
                .is_none_or(|wanted| wanted.matches(&resource.group, &resource.resource, &header.subresource))
    }
}

/// Lifts what is covered, and has the verdict say so.
pub fn apply(facts: &Facts, verdict: &mut Verdict) {
    for leave in &facts.leaves {
        let names = |policy: &str| leave.policies.iter().any(|named| **named == *policy);
        let denials = std::mem::take(&mut verdict.denials);
        let (lifted, stay): (Vec<_>, Vec<_>) = denials.into_iter().partition(|named| names(&named.policy));
        verdict.denials = stay;
        let mut policies: Vec<String> = lifted.iter().map(|named| named.policy.clone()).collect();
        verdict.audited.extend(lifted);
        if leave.kind == Kind::Breakglass {
            for failure in &mut verdict.failures {
                if failure.denies && names(&failure.policy) {
                    failure.denies = false;
                    policies.push(failure.policy.clone());
                }
            }
        }
        policies.sort_unstable();
        policies.dedup();
        let used = Used { kind: leave.kind, id: Arc::clone(&leave.id), lifted: !policies.is_empty() };
        if used.lifted && !verdict.dry_run {
            metrics::leave_used(leave.kind.as_str());
        }
        let msg = format!("lifted until {} by {} {}", leave.until, leave.kind.as_str(), leave.id);
        let warn = |policy| Named { policy, finding: Finding { msg: msg.clone(), ..Finding::default() } };
        verdict.warnings.extend(policies.into_iter().map(warn));
        if used.lifted || used.kind == Kind::Breakglass {
            verdict.leaves.push(used);
        }
    }
}

#[cfg(test)]
mod tests;
