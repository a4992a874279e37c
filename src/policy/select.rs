//! Selects the policies that match a request, by an index, so that a policy that does not match costs nothing.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use quick_cache::sync::Cache;

use super::manifest::{Match, Operation};
use portcullis_rego::reads::Reads;
use portcullis_tenancy::resource::Pattern;
use portcullis_tenancy::snapshot::Kind;

/// The properties of a request that `match` depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Query<'a> {
    pub operation: Operation,
    /// API group; empty for the core group.
    pub group: &'a str,
    /// Plural resource.
    pub resource: &'a str,
    /// Subresource; empty for the object itself.
    pub subresource: &'a str,
    pub kind: Kind,
    /// Path of the pod template in an object of this resource. It is part of the key because a [`Plan::projection`] depends on
    /// it.
    pub layout: Option<&'static [&'static str]>,
}

/// The policies that match a query, and what they need.
#[derive(Debug)]
pub struct Plan {
    /// Unique in the process; never 0.
    pub id: u64,
    /// Indexes in order of id.
    pub policies: Vec<usize>,
    /// Indexes of broken policies that match.
    pub broken: Vec<usize>,
    /// The union of what they read of the input.
    pub reads: Reads,
    /// Build the whole input, whatever they read.
    pub whole: bool,
    /// Whether one of them defines `patch` or `merge`.
    pub patches: bool,
    /// Whether one of them can read `data.cluster`.
    pub cluster: bool,
    /// The fields of a review that the decoder builds for them; set by the decoder on first use.
    pub projection: OnceLock<Arc<Projection>>,
}

impl Default for Plan {
    fn default() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            policies: Vec::new(),
            broken: Vec::new(),
            reads: Reads::nothing(),
            whole: false,
            patches: false,
            cluster: false,
            projection: OnceLock::new(),
        }
    }
}

/// The fields of a review that a decoder builds.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Projection {
    /// Below `input.request`, without the objects.
    pub request: Reads,
    /// Below `input.request.object`.
    pub object: Reads,
    /// Below `input.request.oldObject`.
    pub old_object: Reads,
}

impl Projection {
    pub fn everything() -> Arc<Self> {
        Arc::new(Self {
            request: Reads::everything(),
            object: Reads::everything(),
            old_object: Reads::everything(),
        })
    }
}

/// An index over `match` blocks. The caller numbers the items.
#[derive(Debug, Default)]
pub struct Index {
    buckets: HashMap<(Operation, Kind), Bucket>,
}

/// Exact patterns by name, and patterns with a wildcard by the suffix of their group.
#[derive(Debug, Default)]
struct Bucket {
    exact: HashMap<Box<str>, Vec<usize>>,
    suffix: HashMap<Box<str>, Vec<usize>>,
    wide: Vec<(Pattern, usize)>,
}

impl Index {
    pub fn add(&mut self, item: usize, matches: &[Match]) {
        for entry in matches {
            for operation in &entry.operations {
                for kind in &entry.namespaces {
                    let bucket = self.buckets.entry((*operation, *kind)).or_default();
                    entry.resources.iter().for_each(|pattern| bucket.add(item, pattern));
                }
            }
        }
    }

    /// The items that match, in order, each once.
    pub fn find(&self, query: &Query<'_>) -> Vec<usize> {
        let Some(bucket) = self.buckets.get(&(query.operation, query.kind)) else { return Vec::new() };
        let mut found = Vec::new();
        let fits = |pattern: &Pattern| pattern.matches(query.group, query.resource, query.subresource);
        if let Some(items) =
            bucket.exact.get(exact_key(query.group, query.resource, query.subresource).as_str())
        {
            found.extend_from_slice(items);
        }
        let mut group = query.group;
        while !group.is_empty() {
            // The table knows only the suffix, so the pattern is matched again.
            if let Some(items) = bucket.suffix.get(group) {
                found.extend(
                    items
                        .iter()
                        .filter(|at| bucket.wide.get(**at).is_some_and(|(p, _)| fits(p)))
                        .filter_map(|at| bucket.wide.get(*at).map(|(_, item)| *item)),
                );
            }
            group = group.split_once('.').map_or("", |(_, rest)| rest);
        }
        if let Some(items) = bucket.suffix.get("") {
            found.extend(
                items
                    .iter()
                    .filter_map(|at| bucket.wide.get(*at))
                    .filter(|(p, _)| fits(p))
                    .map(|(_, item)| *item),
            );
        }
        found.sort_unstable();
        found.dedup();
        found
    }
}

impl Bucket {
    fn add(&mut self, item: usize, pattern: &Pattern) {
        if let Some((group, resource, subresource)) = pattern.exact() {
            self.exact.entry(exact_key(group, resource, subresource).into()).or_default().push(item);
        } else {
            let at = self.wide.len();
            self.wide.push((pattern.clone(), item));
            self.suffix.entry(pattern.group_suffix().unwrap_or_default().into()).or_default().push(at);
        }
    }
}

fn exact_key(group: &str, resource: &str, subresource: &str) -> String {
    let mut key = String::with_capacity(group.len() + resource.len() + subresource.len() + 2);
    key.push_str(resource);
    // No name contains NUL, so different triples have different keys.
    key.push('\0');
    key.push_str(group);
    key.push('\0');
    key.push_str(subresource);
    key
}

/// Resource names with a plan, each under 1 KiB. A cluster serves a few hundred, each with a few operations.
const NAMES_MAX: usize = 4096;

/// PlanCache of about 50 KiB. There are as many as different selections of policies.
const PLANS_MAX: usize = 256;

/// The longest name that is cached: a resource, a group and a subresource at Kubernetes' bounds.
const NAME_BYTES_MAX: usize = 512;

/// Names that select the same policies share a plan, so invented resource names create no plans.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Selection {
    policies: Vec<usize>,
    broken: Vec<usize>,
    layout: Option<&'static [&'static str]>,
}

/// Bounded caches of plans by selection and by resource name. Names that are used once are evicted first.
#[derive(Debug)]
pub(crate) struct PlanCache {
    names: Cache<Box<str>, Arc<Plan>>,
    plans: Cache<Selection, Arc<Plan>>,
}

impl Default for PlanCache {
    fn default() -> Self {
        Self { names: Cache::new(NAMES_MAX), plans: Cache::new(PLANS_MAX) }
    }
}

impl PlanCache {
    /// The plan of a query. `find` returns the indexes of the policies and of the broken policies that match.
    pub(crate) fn get(
        &self,
        query: &Query<'_>,
        find: impl FnOnce() -> (Vec<usize>, Vec<usize>),
        make: impl FnOnce(Vec<usize>, Vec<usize>) -> Plan,
    ) -> Arc<Plan> {
        let key = name_key(query);
        if let Some(plan) = self.names.get(key.as_str()) {
            return plan;
        }
        let (policies, broken) = find();
        let selection = Selection { policies, broken, layout: query.layout };
        let made = self.plans.get_or_insert_with(&selection, || {
            Ok::<_, Infallible>(Arc::new(make(selection.policies.clone(), selection.broken.clone())))
        });
        let Ok(plan) = made;
        if key.len() <= NAME_BYTES_MAX {
            self.names.insert(key.into(), Arc::clone(&plan));
        }
        plan
    }
}

fn name_key(query: &Query<'_>) -> String {
    let mut key = exact_key(query.group, query.resource, query.subresource);
    for part in [query.operation.as_str(), query.kind.as_str()].iter().chain(query.layout.unwrap_or(&["-"])) {
        key.push('\0');
        key.push_str(part);
    }
    key
}

#[cfg(test)]
mod tests;
