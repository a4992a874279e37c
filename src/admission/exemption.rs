//! Exemptions: exceptions that an administrator granted, and break-glass documents whose signature verifies.
//!
//! The policies run as usual, their findings are recorded, and the response names the exemption. An exception lifts all
//! findings of one policy or none, so two partial exceptions do not add up to one (GHSA-gg4x-fgg2-h9w9). Only
//! break-glass lifts failures.

use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::Arc;

use jiff::Timestamp;

use super::context::ReviewContext;
use super::review::{Header, Review};
use super::verdict::{Named, Verdict};
use super::workload::member;
use portcullis_access::signature::Verifier;
use portcullis_policy::{Finding, Value};
use portcullis_telemetry::metrics;
use portcullis_tenancy::breakglass::{BreakglassEntry, Document};
use portcullis_tenancy::requester::{Class, Requester};
use portcullis_tenancy::resource::Pattern;
use portcullis_tenancy::snapshot::{Exception, Namespace, Snapshot};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ExemptionKind {
    Exception,
    Breakglass,
}

impl ExemptionKind {
    /// The value in audit annotations, the decision log and metric labels.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Exception => "exception",
            Self::Breakglass => "breakglass",
        }
    }
}

/// Exempts users and objects from policies for a time.
#[derive(Debug, PartialEq)]
pub struct Exemption {
    kind: ExemptionKind,
    id: Arc<str>,
    policies: Vec<Arc<str>>,
    /// Exact names. Empty means every user, which only an exception may say.
    subjects: Vec<Arc<str>>,
    tenant: Option<Arc<str>>,
    targets: Vec<Target>,
    from: Timestamp,
    until: Timestamp,
}

/// Selects objects; `None` matches any.
#[derive(Debug, PartialEq)]
struct Target {
    namespace: Option<Arc<str>>,
    resource: Option<Pattern>,
    name: Option<Arc<str>>,
}

/// What an exemption did to a verdict.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsedExemption {
    pub kind: ExemptionKind,
    pub id: Arc<str>,
    /// Open break-glass is reported even where it lifted nothing.
    pub lifted: bool,
}

/// The keys that verify break-glass documents, and the documents read from a file.
#[derive(Debug, Clone, Default)]
pub struct BreakglassSource {
    /// Without a key no document is valid.
    pub verifier: Verifier,
    /// By id.
    pub file: BTreeMap<Arc<str>, BreakglassEntry>,
}

/// All exemptions of a snapshot and a break-glass file.
#[derive(Debug, Default, PartialEq)]
pub struct Exemptions {
    all: Vec<Arc<Exemption>>,
    /// Invalid break-glass documents and the reason, by id.
    invalid: BTreeMap<Arc<str>, String>,
}

impl Deref for Exemptions {
    type Target = [Arc<Exemption>];

    fn deref(&self) -> &Self::Target {
        &self.all
    }
}

impl Exemptions {
    /// A break-glass document that either the snapshot or the file closes is closed.
    pub(crate) fn of(snapshot: &Snapshot, breakglass: &BreakglassSource) -> Self {
        let mut exemptions = Self::default();
        exemptions
            .all
            .extend(snapshot.exceptions.iter().filter_map(|(id, exception)| granted(id, exception)));
        let entries = || snapshot.breakglass.iter().chain(&breakglass.file);
        for (id, entry) in entries() {
            let closed = entries().any(|(other, entry)| other == id && entry.closed);
            let (Some(document), Some(signature)) = (&entry.document, &entry.signature) else { continue };
            if closed || exemptions.breakglass().any(|open| open.id == *id) {
                continue;
            }
            match verified(document, signature, &breakglass.verifier) {
                Ok(exemption) => exemptions.all.push(exemption),
                Err(reason) => drop(exemptions.invalid.insert(Arc::clone(id), reason)),
            }
        }
        exemptions
    }

    fn breakglass(&self) -> impl Iterator<Item = &Arc<Exemption>> {
        self.all.iter().filter(|exemption| exemption.kind == ExemptionKind::Breakglass)
    }

    /// Start and end of each break-glass document.
    pub(crate) fn breakglass_windows(&self) -> impl Iterator<Item = (Timestamp, Timestamp)> {
        self.breakglass().map(|exemption| (exemption.from, exemption.until))
    }

    /// Logs the break-glass documents that were opened, closed or found invalid since `before`.
    pub(crate) fn log_changes(&self, before: &Self) {
        for open in self.breakglass().filter(|open| !before.all.contains(open)) {
            tracing::warn!(id = %open.id, from = %open.from, until = %open.until, policies = ?open.policies,
                users = ?open.subjects, "break-glass opened");
        }
        for closed in before.breakglass() {
            if !self.all.iter().any(|other| other.id == closed.id) {
                tracing::warn!(id = %closed.id, "break-glass closed");
            }
        }
        for (id, why) in self.invalid.iter().filter(|(id, why)| before.invalid.get(*id) != Some(*why)) {
            tracing::error!(%id, %why, "break-glass document rejected");
        }
    }

    /// The exemptions that apply to a review at a time.
    pub(crate) fn covering(
        &self,
        header: &Header,
        namespace: &str,
        registered: Option<&Namespace>,
        owners: &OwnerChain,
        now: &str,
    ) -> Vec<Arc<Exemption>> {
        if self.is_empty() {
            return Vec::new();
        }
        // An unreadable time is outside every window.
        let Ok(now) = now.parse::<Timestamp>() else { return Vec::new() };
        let applies = |exemption: &&Arc<Exemption>| {
            exemption.from <= now
                && now < exemption.until
                && exemption.covers(header, namespace, registered, owners)
        };
        self.iter().filter(applies).cloned().collect()
    }
}

/// `None` where the exception cannot be read; the snapshot was checked before, so that does not happen.
fn granted(id: &Arc<str>, exception: &Exception) -> Option<Arc<Exemption>> {
    let targets = exception.objects.iter().map(|objects| {
        let resource = objects.resource.as_deref().map(Pattern::parse).transpose().ok()?;
        Some(Target { namespace: objects.namespace.clone(), resource, name: objects.name.clone() })
    });
    Some(Arc::new(Exemption {
        kind: ExemptionKind::Exception,
        id: Arc::clone(id),
        policies: vec![Arc::clone(&exception.policy)],
        subjects: exception.subjects.clone(),
        tenant: exception.tenant.clone(),
        targets: targets.collect::<Option<_>>()?,
        from: Timestamp::MIN,
        until: exception.expires.parse().ok()?,
    }))
}

fn verified(document: &Document, signature: &str, verifier: &Verifier) -> Result<Arc<Exemption>, String> {
    if verifier.is_empty() {
        return Err("no public key is configured; start the gate with --breakglass-key".to_owned());
    }
    if !verifier.verifies(&document.signed(), signature) {
        return Err("the signature is by none of the keys of --breakglass-key".to_owned());
    }
    let (from, until) = document.window().map_err(|error| error.to_string())?;
    let target =
        |namespace: &Arc<str>| Target { namespace: Some(Arc::clone(namespace)), resource: None, name: None };
    Ok(Arc::new(Exemption {
        kind: ExemptionKind::Breakglass,
        id: Arc::clone(&document.id),
        policies: document.policies.clone(),
        subjects: document.users.clone(),
        tenant: None,
        targets: document.namespaces.iter().map(target).collect(),
        from,
        until,
    }))
}

impl Exemption {
    fn covers(
        &self,
        header: &Header,
        namespace: &str,
        registered: Option<&Namespace>,
        owners: &OwnerChain,
    ) -> bool {
        let user = &header.user;
        let is_user = |subject: &Arc<str>| {
            let in_group =
                self.kind == ExemptionKind::Exception && user.groups.iter().any(|group| **group == **subject);
            *user.username == **subject || in_group
        };
        let for_user = self.subjects.is_empty() || self.subjects.iter().any(is_user);
        let selects = |target: &Target| {
            (for_user && target.selects(header, namespace)) || target.selects_owner(owners, namespace)
        };
        self.tenant.as_ref().is_none_or(|tenant| registered.is_some_and(|entry| entry.tenant == *tenant))
            && self.targets.iter().any(selects)
    }
}

impl Target {
    fn selects(&self, header: &Header, namespace: &str) -> bool {
        let resource = &header.resource;
        let matches =
            |pattern: &Pattern| pattern.matches(&resource.group, &resource.resource, &header.subresource);
        // A target with a name does not select an object that has no name yet.
        self.namespace.as_ref().is_none_or(|selected| **selected == *namespace)
            && self.name.as_ref().is_none_or(|selected| **selected == *header.name)
            && self.resource.as_ref().is_none_or(matches)
    }

    /// Whether the object's owners are selected, so that the exemption extends to what controllers create for them.
    fn selects_owner(&self, owners: &OwnerChain, namespace: &str) -> bool {
        let Some(owners) = &owners.0 else { return false };
        let selects = |(group, resource, name): &Owner| {
            self.name.as_ref().is_none_or(|selected| **selected == **name)
                && self.resource.as_ref().is_none_or(|pattern| pattern.matches(group, resource, ""))
        };
        self.namespace.as_ref().is_none_or(|selected| **selected == *namespace)
            && ((self.resource.is_none() && self.name.is_none()) || owners.iter().any(selects))
    }
}

/// Applies the exemptions of a review: moves denials to the audited findings and adds a warning for each.
pub(crate) fn apply(context: &ReviewContext, verdict: &mut Verdict) {
    for exemption in &context.exemptions {
        let exempts = |policy: &str| exemption.policies.iter().any(|exempt| **exempt == *policy);
        let denials = std::mem::take(&mut verdict.denials);
        let (lifted, denied): (Vec<_>, Vec<_>) =
            denials.into_iter().partition(|denial| exempts(&denial.policy));
        verdict.denials = denied;
        let mut policies: Vec<String> = lifted.iter().map(|denial| denial.policy.clone()).collect();
        verdict.audited.extend(lifted);
        if exemption.kind == ExemptionKind::Breakglass {
            for failure in &mut verdict.failures {
                if failure.denies && exempts(&failure.policy) {
                    failure.denies = false;
                    policies.push(failure.policy.clone());
                }
            }
        }
        policies.sort_unstable();
        policies.dedup();
        let used = UsedExemption {
            kind: exemption.kind,
            id: Arc::clone(&exemption.id),
            lifted: !policies.is_empty(),
        };
        if used.lifted && !verdict.dry_run {
            metrics::exemption_used(exemption.kind.as_str());
        }
        let msg = format!("lifted until {} by {} {}", exemption.until, exemption.kind.as_str(), exemption.id);
        let warn = |policy| Named { policy, finding: Finding { msg: msg.clone(), ..Finding::default() } };
        verdict.warnings.extend(policies.into_iter().map(warn));
        if used.lifted || used.kind == ExemptionKind::Breakglass {
            verdict.exemptions.push(used);
        }
    }
}

/// Controllers of kube-controller-manager that create objects from templates. The template was reviewed under its
/// author's name.
const CONTROLLERS: [&str; 7] = [
    "cronjob-controller",
    "daemon-set-controller",
    "deployment-controller",
    "job-controller",
    "replicaset-controller",
    "replication-controller",
    "statefulset-controller",
];

/// The resources that those controllers create.
const CREATED: [(&str, &str); 3] = [("", "pods"), ("apps", "replicasets"), ("batch", "jobs")];

/// The username of all controllers where kube-controller-manager runs without `--use-service-account-credentials`.
const SHARED_USER: &str = "system:kube-controller-manager";

/// Group, resource and name of an owner.
type Owner = (&'static str, &'static str, String);

/// The owners of an object that a built-in controller creates, nearest first; `None` for every other write.
///
/// With them an exemption for a Deployment also covers its ReplicaSets and Pods.
#[derive(Debug, Default)]
pub(crate) struct OwnerChain(Option<Vec<Owner>>);

impl OwnerChain {
    pub(crate) fn of(review: &Review, requester: &Requester) -> Self {
        let account = requester.service_account.as_ref();
        let system = requester.class == Class::System;
        let controller = system
            && account.is_some_and(|(namespace, name)| {
                namespace == "kube-system" && CONTROLLERS.contains(&name.as_str())
            });
        let shared = system && review.header.user.username == SHARED_USER;
        let resource = &review.header.resource;
        let resource = (resource.group.as_str(), resource.resource.as_str());
        if !(controller || shared) || !review.header.subresource.is_empty() || !CREATED.contains(&resource) {
            return Self(None);
        }
        let owners = review.object.as_ref().map(owners).unwrap_or_default();
        // The shared user does not name the controller, so the owner's controller must be one that creates this resource.
        let plausible = controller
            || owners.first().is_some_and(|(group, owner, _)| created_by(group, owner).contains(&resource));
        Self(plausible.then_some(owners))
    }
}

/// The resources that the controller of an owner creates.
fn created_by(group: &str, owner: &str) -> &'static [(&'static str, &'static str)] {
    match (group, owner) {
        ("apps", "deployments") => &[("apps", "replicasets")],
        ("batch", "cronjobs") => &[("batch", "jobs")],
        ("apps", "replicasets" | "statefulsets" | "daemonsets")
        | ("batch", "jobs")
        | ("", "replicationcontrollers") => &[("", "pods")],
        _ => &[],
    }
}

/// The alphabet of a pod template hash: `rand.SafeEncodeString` of apimachinery.
const HASH_LETTERS: &str = "bcdfghjklmnpqrstvwxz2456789";

/// The controlling owner, and that owner's owner where the name shows it: a ReplicaSet is named after its Deployment
/// and the pod template hash, a Job after its CronJob and the minute. The policy `replicaset-hash` keeps users from
/// setting that hash; nothing keeps them from naming a Job so.
fn owners(object: &Value) -> Vec<Owner> {
    let mut owners = Vec::new();
    let Ok(Some(metadata)) = member(object, "object", "metadata") else { return owners };
    let Ok(Some(Value::Array(references))) = member(metadata, "object.metadata", "ownerReferences") else {
        return owners;
    };
    let text = |of: &Value, key: &str| match member(of, "", key) {
        Ok(Some(Value::String(text))) => text.to_string(),
        _ => String::new(),
    };
    let controls = |owner: &&Value| matches!(member(owner, "", "controller"), Ok(Some(Value::Bool(true))));
    let mut controlling = references.iter().filter(controls);
    // The API server accepts one controlling owner.
    let (Some(owner), None) = (controlling.next(), controlling.next()) else { return owners };
    let (api_version, kind, name) = (text(owner, "apiVersion"), text(owner, "kind"), text(owner, "name"));
    let resource = match (api_version.as_str(), kind.as_str()) {
        ("apps/v1", "Deployment") => ("apps", "deployments"),
        ("apps/v1", "ReplicaSet") => ("apps", "replicasets"),
        ("apps/v1", "StatefulSet") => ("apps", "statefulsets"),
        ("apps/v1", "DaemonSet") => ("apps", "daemonsets"),
        ("batch/v1", "Job") => ("batch", "jobs"),
        ("batch/v1", "CronJob") => ("batch", "cronjobs"),
        ("v1", "ReplicationController") => ("", "replicationcontrollers"),
        _ => return owners,
    };
    let second = name.rsplit_once('-').filter(|(prefix, _)| !prefix.is_empty());
    let second = second.and_then(|(prefix, suffix)| match resource {
        ("apps", "replicasets") if is_hash(suffix) => {
            let labels = member(metadata, "", "labels").ok().flatten();
            let same = labels.is_some_and(|labels| text(labels, "pod-template-hash") == suffix);
            same.then_some(("apps", "deployments", prefix.to_owned()))
        }
        ("batch", "jobs") if is_minute(suffix) => Some(("batch", "cronjobs", prefix.to_owned())),
        _ => None,
    });
    owners.push((resource.0, resource.1, name.clone()));
    owners.extend(second);
    owners
}

/// A 32-bit number in decimal digits, each encoded as one of [`HASH_LETTERS`].
fn is_hash(text: &str) -> bool {
    (1..=10).contains(&text.len()) && text.chars().all(|letter| HASH_LETTERS.contains(letter))
}

/// Minutes since 1970: eight digits until 2160.
fn is_minute(text: &str) -> bool {
    text.len() == 8 && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests;
