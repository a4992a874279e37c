//! Everything but the review itself that a decision depends on, gathered once per review.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;

use super::decode::interned;
use super::exemption::{Exemption, OwnerChain};
use super::registries::NamespaceRegistries;
use super::review::Review;
use super::snapshot::PreparedSnapshot;
use super::workload::{ShapeError, member, text};
use portcullis_cluster::view::{NamespaceMeta, Namespaces};
use portcullis_policy::Value;
use portcullis_policy::verdict_cache::Digest;
use portcullis_tenancy::requester::{Class, Requester, classify};
use portcullis_tenancy::snapshot::{Kind, Namespace, PolicySet, Snapshot, Unit};

/// The context of one review.
#[derive(Debug, Clone)]
pub struct ReviewContext {
    pub decision_id: String,
    /// `input.now`, RFC 3339.
    pub now: String,
    /// The kind of the namespace under review.
    pub kind: Kind,
    /// Its name; empty for a cluster-scoped object and for a Namespace with `generateName`.
    pub namespace: String,
    /// Its entry in the snapshot.
    pub registered: Option<Namespace>,
    /// The namespace is a sandbox that expired before `now` and that the ledger has not removed yet.
    pub(crate) expired: bool,
    pub requester: Requester,
    /// The namespace belongs to a tenant, and the requester to neither that tenant nor the platform, and no exemption
    /// applies.
    pub(crate) foreign: bool,
    pub(crate) label_prefix: Arc<str>,
    /// `data.tenancy`, with the tenants and ids of this review only.
    pub tenancy: Value,
    pub(crate) tenancy_digest: Digest,
    pub(crate) registries: NamespaceRegistries,
    /// `None` where the cluster is not watched.
    pub(crate) cluster_namespaces: Option<Arc<Namespaces>>,
    /// The policy sets of the namespace's tenant, in the order in which they apply.
    pub policy_sets: Arc<[PolicySet]>,
    pub(crate) exemptions: Vec<Arc<Exemption>>,
    /// The snapshot's revision.
    pub(crate) revision: u64,
}

impl ReviewContext {
    /// # Errors
    /// The name or the labels of a Namespace object have the wrong type.
    pub fn gather(
        prepared: &PreparedSnapshot,
        review: &Review,
        decision_id: String,
        now: String,
    ) -> Result<Self, ShapeError> {
        let snapshot = &prepared.snapshot;
        let header = &review.header;
        let (namespace, kind) = subject(snapshot, review)?;
        let registered = snapshot.namespace(&namespace).cloned();
        let requester = classify(snapshot, &header.user.username, &header.user.groups);
        let mut slugs: Vec<&str> = requester.tenants.iter().map(AsRef::as_ref).collect();
        slugs.extend(registered.as_ref().map(|entry| -> &str { &entry.tenant }));
        let ids = claimed_ids(snapshot, review, kind)?;
        if header.is_namespace() {
            // A policy composes the name of a new Namespace from its tenant.
            slugs.extend(ids.iter().filter_map(|id| snapshot.tenant_by_id(id)).map(|(slug, _)| slug));
        }
        let (tenancy, tenancy_digest) = prepared.tenancy(&slugs, &ids);
        let tenant = registered.as_ref().and_then(|entry| snapshot.tenants.get(&entry.tenant));
        let owners = OwnerChain::of(review, &requester);
        let exemptions = prepared.exemptions.covering(header, &namespace, registered.as_ref(), &owners, &now);
        let foreign = matches!(requester.class, Class::Tenant | Class::Unknown)
            && exemptions.is_empty()
            && match &registered {
                Some(entry) => !requester.tenants.contains(&entry.tenant),
                // The name of an unregistered namespace says which tenant had it or will have it.
                None => {
                    kind == Kind::Unregistered
                        && !requester.tenants.iter().any(|tenant| snapshot.is_name_of(&namespace, tenant))
                }
            };
        Ok(Self {
            policy_sets: tenant.map(|tenant| Arc::clone(&tenant.policy_sets)).unwrap_or_default(),
            exemptions,
            foreign,
            registries: prepared.registries.of(registered.as_ref().map(|entry| entry.tenant.as_ref())),
            expired: registered.as_ref().is_some_and(|entry| expired(entry, &now)),
            decision_id,
            now,
            kind,
            namespace,
            registered,
            requester,
            label_prefix: Arc::from(snapshot.settings.label_prefix.as_ref() as &str),
            tenancy,
            tenancy_digest,
            cluster_namespaces: prepared.view.load(),
            revision: snapshot.revision,
        })
    }

    /// `data.cluster`, with this review's namespace only and without it where the cluster has none of that name. Null
    /// where no policy reads it; undefined where the cluster is not watched.
    pub fn cluster(&self, read: bool) -> Value {
        match &self.cluster_namespaces {
            _ if !read => Value::Null,
            None => Value::Undefined,
            Some(namespaces) => {
                let namespace = namespaces.get(&self.namespace).map(namespace_value);
                let entries = namespace.map(|namespace| (interned("namespace"), namespace));
                Value::from(entries.into_iter().collect::<BTreeMap<_, _>>())
            }
        }
    }

    /// The tenant of the namespace.
    pub fn tenant(&self) -> Option<&str> {
        self.registered.as_ref().map(|entry| entry.tenant.as_ref())
    }

    /// The project of the namespace.
    pub fn project(&self) -> Option<&Arc<str>> {
        self.registered.as_ref().map(|entry| &entry.project)
    }

    /// The name by which the gate's capacity is shared out: the namespace's tenant, else the requester's tenant or class.
    pub(crate) fn fairness_key(&self) -> &str {
        self.tenant().unwrap_or_else(|| match self.requester.class {
            Class::Tenant => self.requester.tenants.first().map_or("unknown", AsRef::as_ref),
            other => other.as_str(),
        })
    }
}

fn namespace_value(namespace: &NamespaceMeta) -> Value {
    let texts = |texts: &BTreeMap<String, String>| {
        let texts = texts.iter().map(|(key, text)| (Value::from(key.as_str()), Value::from(text.as_str())));
        Value::from(texts.collect::<BTreeMap<_, _>>())
    };
    Value::from(BTreeMap::from([
        (interned("labels"), texts(&namespace.labels)),
        (interned("annotations"), texts(&namespace.annotations)),
        (interned("phase"), Value::from(namespace.phase.as_str())),
    ]))
}

/// Whether a sandbox has expired. An unreadable time counts as expired.
fn expired(entry: &Namespace, now: &str) -> bool {
    let Unit::Sandbox { expires_at: Some(at), .. } = &entry.unit else { return false };
    match (at.parse::<Timestamp>(), now.parse::<Timestamp>()) {
        (Ok(at), Ok(now)) => at <= now,
        _ => true,
    }
}

/// The namespace under review and its kind. For a Namespace that is its own name, read from the object, because a
/// Namespace with `generateName` has neither `request.namespace` nor `request.name`.
fn subject(snapshot: &Snapshot, review: &Review) -> Result<(String, Kind), ShapeError> {
    let header = &review.header;
    if !header.is_namespace() {
        return Ok((header.namespace.clone(), snapshot.kind(&header.namespace)));
    }
    for (object, root) in [(&review.object, "object"), (&review.old_object, "oldObject")] {
        let Some(object) = object else { continue };
        let path = format!("{root}.metadata");
        let Some(metadata) = member(object, root, "metadata")? else { continue };
        if let Some(name) = member(metadata, &path, "name")? {
            let name = text(name, &format!("{path}.name"))?;
            if !name.is_empty() {
                return Ok((name.to_owned(), namespace_kind(snapshot.kind(name))));
            }
        }
        if let Some(prefix) = member(metadata, &path, "generateName")? {
            let prefix = text(prefix, &format!("{path}.generateName"))?;
            // The final name is not known yet: the prefix `tn` may still become `tn-…`.
            let tenant_prefix = format!("{}-", snapshot.settings.prefix);
            let kind = if prefix.starts_with(&tenant_prefix) || tenant_prefix.starts_with(prefix) {
                Kind::Unregistered
            } else {
                Kind::Platform
            };
            return Ok((String::new(), kind));
        }
    }
    let name = if header.name.is_empty() { &header.namespace } else { &header.name };
    Ok((name.clone(), namespace_kind(snapshot.kind(name))))
}

/// A Namespace without a name counts as a platform namespace, not as cluster-scoped.
fn namespace_kind(kind: Kind) -> Kind {
    if kind == Kind::Cluster { Kind::Platform } else { kind }
}

/// The names of the labels that hold the owner's ids.
const ID_LABELS: [&str; 3] = ["tenant-id", "project-id", "app-id"];

/// The ids in the labels of a Namespace, or of an object in an unregistered namespace. In a registered namespace the
/// snapshot says which ids are right.
fn claimed_ids<'a>(
    snapshot: &Snapshot,
    review: &'a Review,
    kind: Kind,
) -> Result<BTreeSet<&'a str>, ShapeError> {
    let mut ids = BTreeSet::new();
    if !review.header.is_namespace() && kind != Kind::Unregistered {
        return Ok(ids);
    }
    let keys = ID_LABELS.map(|name| format!("{}/{name}", snapshot.settings.label_prefix));
    for object in [&review.object, &review.old_object].into_iter().flatten() {
        let Some(metadata) = member(object, "object", "metadata")? else { continue };
        let Some(labels) = member(metadata, "object.metadata", "labels")? else { continue };
        for key in &keys {
            let Some(id) = member(labels, "object.metadata.labels", key)? else { continue };
            ids.insert(text(id, "object.metadata.labels")?);
        }
    }
    Ok(ids)
}
