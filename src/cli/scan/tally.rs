//! What was found, as numbers: per policy, per tenant, per kind of namespace. Its size does not grow with the objects.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::judge::{Change, Found, Judged, Level};
use super::source::{PassedOver, Place};
use portcullis_policy::PolicySet;
use portcullis_tenancy::snapshot::Kind;

/// What could not be judged is spelt out so often, and counted beyond.
const UNJUDGED_MAX: usize = 1000;
/// Assumptions that are told; there is one a kind that nobody knows.
const ASSUMED_MAX: usize = 100;
/// Where what has no tenant is counted.
pub const NO_TENANT: &str = "-";

/// Findings by weight, and how many objects were looked at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Objects; for a policy, those of which it said something.
    pub objects: usize,
    /// Denied whoever wrote it.
    pub deny: usize,
    /// The law could not be asked.
    pub error: usize,
    /// Warnings.
    pub warn: usize,
    /// Recorded only.
    pub audit: usize,
    /// Denied or not by who wrote it.
    pub doubt: usize,
    /// Denied or failed only under the law that is tried.
    #[serde(skip_serializing_if = "is_zero")]
    pub new: usize,
    /// Denied or failed only under the law that it is compared with; counted nowhere else.
    #[serde(skip_serializing_if = "is_zero")]
    pub gone: usize,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
const fn is_zero(number: &usize) -> bool {
    *number == 0
}

impl Counts {
    fn add(&mut self, found: &Found) {
        match found.change {
            Some(Change::Gone) => {
                self.gone += usize::from(found.level.bites());
                return;
            }
            Some(Change::New) => self.new += usize::from(found.level.bites()),
            Some(Change::Same) | None => {}
        }
        match found.level {
            Level::Deny => self.deny += 1,
            Level::Error => self.error += 1,
            Level::Warn => self.warn += 1,
            Level::Audit => self.audit += 1,
            Level::Doubt => self.doubt += 1,
        }
    }
}

/// What could not be judged, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Unjudged {
    /// File, `-` or `cluster`.
    pub source: String,
    /// From 1; 0 where there are no lines.
    pub line: usize,
    /// The sentence.
    pub reason: String,
}

/// All the numbers of a scan.
#[derive(Debug, Default)]
pub struct Tally {
    /// Of everything.
    pub total: Counts,
    /// Objects about which nothing was found that bites.
    pub clean: usize,
    /// Objects to which no policy applies; they are among the clean ones.
    pub outside: usize,
    /// By policy id; every policy of the law is there.
    pub policies: BTreeMap<String, Counts>,
    /// By slug; [`NO_TENANT`] for what belongs to nobody.
    pub tenants: BTreeMap<String, Counts>,
    /// By kind of namespace.
    pub places: BTreeMap<Kind, Counts>,
    /// What could not be judged; the first of it.
    pub unjudged: Vec<Unjudged>,
    /// How much that was.
    pub unjudged_count: usize,
    /// What was assumed.
    pub assumed: BTreeSet<String>,
    /// What was passed over.
    pub passed: PassedOver,
}

impl Tally {
    /// Nothing yet, of a law.
    pub fn of(law: &PolicySet) -> Self {
        let ids = law.policies.iter().map(|policy| policy.manifest.id.clone());
        let broken = law.broken.iter().map(|broken| broken.id.clone());
        let policies = ids.chain(broken).map(|id| (id, Counts::default())).collect();
        Self { policies, ..Self::default() }
    }

    /// Adds an object.
    pub fn add(&mut self, object: &Judged) {
        let tenant = object.tenant.as_deref().unwrap_or(NO_TENANT);
        // A lookup of what is nearly always there makes no String.
        if !self.tenants.contains_key(tenant) {
            self.tenants.insert(tenant.to_owned(), Counts::default());
        }
        let place = self.places.entry(object.place).or_default();
        let lists = [Some(&mut self.total), self.tenants.get_mut(tenant), Some(place)];
        for counts in lists.into_iter().flatten() {
            counts.objects += 1;
            object.found.iter().for_each(|found| counts.add(found));
        }
        let mut seen: Vec<&str> = Vec::new();
        for found in &object.found {
            if !self.policies.contains_key(&found.policy) {
                self.policies.insert(found.policy.clone(), Counts::default());
            }
            let Some(counts) = self.policies.get_mut(&found.policy) else { continue };
            counts.add(found);
            if !seen.contains(&found.policy.as_str()) {
                seen.push(&found.policy);
                counts.objects += 1;
            }
        }
        let bites = |found: &Found| found.level.bites() && found.change != Some(Change::Gone);
        self.clean += usize::from(!object.found.iter().any(bites));
        self.outside += usize::from(object.outside && object.found.is_empty());
        for assumed in &object.assumed {
            if self.assumed.len() < ASSUMED_MAX && !self.assumed.contains(assumed) {
                self.assumed.insert(assumed.clone());
            }
        }
    }

    /// Adds what could not be judged.
    pub fn unjudged(&mut self, place: &Place, reason: &str) {
        self.unjudged_count += 1;
        if self.unjudged.len() < UNJUDGED_MAX {
            let source = place.source.to_string();
            self.unjudged.push(Unjudged { source, line: place.line, reason: reason.to_owned() });
        }
    }

    /// Whether something was found that is denied or failed; against another law, only what is new.
    pub const fn bites(&self, compared: bool) -> bool {
        if compared { self.total.new > 0 } else { self.total.deny + self.total.error > 0 }
    }
}
