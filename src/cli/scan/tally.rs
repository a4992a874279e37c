//! Counts findings per policy, tenant and kind of namespace; memory does not grow with the objects.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::context::{Change, Level, ScanFinding, ScannedObject};
use super::source::{Location, PassedOver};
use portcullis_policy::PolicySet;
use portcullis_tenancy::snapshot::Kind;

/// Further failures are counted only.
const UNJUDGED_MAX: usize = 1000;
/// There is one assumption per unknown kind.
const ASSUMED_MAX: usize = 100;
/// Key for objects without a tenant.
pub const NO_TENANT: &str = "-";

/// Findings by level, and the number of objects.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Objects; for a policy, those with a finding.
    pub objects: usize,
    /// Denied for every user.
    pub deny: usize,
    /// A policy failed.
    pub error: usize,
    /// Warnings.
    pub warn: usize,
    /// Audited only.
    pub audit: usize,
    /// Denied or allowed depending on the author.
    pub unattributed: usize,
    /// Denied or failed only under the scanned policies.
    #[serde(skip_serializing_if = "is_zero")]
    pub new: usize,
    /// Denied or failed only under the baseline; counted in no other field.
    #[serde(skip_serializing_if = "is_zero")]
    pub resolved: usize,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
const fn is_zero(number: &usize) -> bool {
    *number == 0
}

impl Counts {
    fn add(&mut self, found: &ScanFinding) {
        match found.change {
            Some(Change::Resolved) => {
                self.resolved += usize::from(found.level.bites());
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
            Level::Unattributed => self.unattributed += 1,
        }
    }
}

/// An object that could not be evaluated.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Unjudged {
    /// File, `-` or `cluster`.
    pub source: String,
    /// From 1; 0 if the source has no lines.
    pub line: usize,
    /// The reason.
    pub reason: String,
}

/// The totals of a scan.
#[derive(Debug, Default)]
pub struct Tally {
    pub total: Counts,
    /// Objects that are not denied.
    pub clean: usize,
    /// Objects to which no policy applies; `clean` includes them.
    pub outside: usize,
    /// By policy id, with an entry for every policy.
    pub policies: BTreeMap<String, Counts>,
    /// By slug, or [`NO_TENANT`].
    pub tenants: BTreeMap<String, Counts>,
    /// By kind of namespace.
    pub places: BTreeMap<Kind, Counts>,
    /// The first failures.
    pub unjudged: Vec<Unjudged>,
    /// The number of all failures.
    pub unjudged_count: usize,
    pub assumed: BTreeSet<String>,
    pub passed: PassedOver,
}

impl Tally {
    pub fn of(policies: &PolicySet) -> Self {
        let ids = policies.policies.iter().map(|policy| policy.manifest.id.clone());
        let broken = policies.broken.iter().map(|broken| broken.id.clone());
        let policies = ids.chain(broken).map(|id| (id, Counts::default())).collect();
        Self { policies, ..Self::default() }
    }

    pub fn add(&mut self, object: &ScannedObject) {
        let tenant = object.tenant.as_deref().unwrap_or(NO_TENANT);
        // A lookup first, because `entry` would allocate a key for each object.
        if !self.tenants.contains_key(tenant) {
            self.tenants.insert(tenant.to_owned(), Counts::default());
        }
        let place = self.places.entry(object.place).or_default();
        let lists = [Some(&mut self.total), self.tenants.get_mut(tenant), Some(place)];
        for counts in lists.into_iter().flatten() {
            counts.objects += 1;
            object.findings.iter().for_each(|found| counts.add(found));
        }
        let mut seen: Vec<&str> = Vec::new();
        for found in &object.findings {
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
        let bites = |found: &ScanFinding| found.level.bites() && found.change != Some(Change::Resolved);
        self.clean += usize::from(!object.findings.iter().any(bites));
        self.outside += usize::from(object.outside && object.findings.is_empty());
        for assumed in &object.assumed {
            if self.assumed.len() < ASSUMED_MAX && !self.assumed.contains(assumed) {
                self.assumed.insert(assumed.clone());
            }
        }
    }

    pub fn unjudged(&mut self, place: &Location, reason: &str) {
        self.unjudged_count += 1;
        if self.unjudged.len() < UNJUDGED_MAX {
            let source = place.source.to_string();
            self.unjudged.push(Unjudged { source, line: place.line, reason: reason.to_owned() });
        }
    }

    /// With a baseline, only new findings count.
    pub const fn bites(&self, compared: bool) -> bool {
        if compared { self.total.new > 0 } else { self.total.deny + self.total.error > 0 }
    }
}
