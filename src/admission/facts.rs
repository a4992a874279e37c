//! Plain data about a review's surroundings, gathered once, so that `decide` needs nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;

use portcullis_cluster::view::{Namespaces, Seen, View};
use sha2::{Digest as _, Sha256};

use portcullis_policy::Value;
use portcullis_policy::verdicts::{self, Digest};
use portcullis_tenancy::requester::{Class, Requester, classify};
use portcullis_tenancy::snapshot::{Changes, Kind, Map, Namespace, PolicySet, Snapshot, Unit};

use super::leave::{Emergencies, Leave, Leaves, Made};
use super::listed::{Listed, Lists};
use super::review::{Header, Review};
use super::workload::{ShapeError, member, text};

/// A snapshot, with what policies see of it prepared as engine values.
#[derive(Debug, Clone)]
pub struct World {
    /// The snapshot.
    pub snapshot: Arc<Snapshot>,
    /// Leave from laws that somebody has.
    pub leaves: Arc<Leaves>,
    /// What the cluster says of its Namespaces.
    pub view: View,
    settings: Prepared,
    tenants: Map<Prepared>,
    lists: Lists,
}

/// A document of the snapshot as policies see it, and its digest.
#[derive(Debug, Clone)]
struct Prepared {
    value: Value,
    digest: Digest,
}

impl From<serde_json::Value> for Prepared {
    fn from(document: serde_json::Value) -> Self {
        let value = Value::from(document);
        Self { digest: verdicts::digest(&value), value }
    }
}

impl World {
    /// Prepares a snapshot; once a snapshot, not once a review.
    pub fn new(snapshot: Arc<Snapshot>) -> Self {
        let mut tenants = Map::default();
        let mut lists = Lists::default().shared(&snapshot.settings);
        for (slug, _) in snapshot.tenants.iter() {
            prepare(&snapshot, slug, &mut tenants);
            lists.prepare(&snapshot, slug);
        }
        let leaves = Arc::new(Leaves::of(&snapshot, &Emergencies::default()));
        Self {
            settings: Prepared::from(snapshot.settings_document()),
            tenants,
            lists,
            leaves,
            view: View::default(),
            snapshot,
        }
    }

    /// The same with the break-glass documents that hold.
    #[must_use]
    pub fn with(self, emergencies: &Emergencies) -> Self {
        Self { leaves: Arc::new(Leaves::of(&self.snapshot, emergencies)), ..self }
    }

    /// The world after a change: what the change did not touch is shared with this one.
    pub fn next(&self, snapshot: Arc<Snapshot>, changes: &Changes) -> Self {
        if changes.everything {
            return Self::new(snapshot);
        }
        let (mut tenants, mut lists) = (self.tenants.clone(), self.lists.clone());
        if changes.settings {
            lists = lists.shared(&snapshot.settings);
        }
        for slug in &changes.tenants {
            prepare(&snapshot, slug, &mut tenants);
            lists.prepare(&snapshot, slug);
        }
        let settings =
            if changes.settings { snapshot.settings_document().into() } else { self.settings.clone() };
        let (leaves, view) = (Arc::clone(&self.leaves), self.view.clone());
        Self { settings, tenants, lists, leaves, view, snapshot }
    }

    /// The same where the cluster says this of its Namespaces.
    #[must_use]
    pub fn seeing(self, view: View) -> Self {
        Self { view, ..self }
    }

    /// `data.tenancy` of some tenants and ids, and its digest.
    fn tenancy(&self, slugs: &[&str], ids: &BTreeSet<&str>) -> (Value, Digest) {
        let tenants: BTreeMap<&str, &Prepared> =
            slugs.iter().filter_map(|slug| Some((*slug, self.tenants.get(slug)?))).collect();
        let mut digest = Sha256::new_with_prefix(self.settings.digest);
        for (slug, tenant) in &tenants {
            digest.update((slug.len() as u64).to_le_bytes());
            digest.update(slug.as_bytes());
            digest.update(tenant.digest);
        }
        let known = |id: &&str| Some(((*id).to_owned(), self.snapshot.id_document(id)?));
        let ids: serde_json::Map<_, _> = ids.iter().filter_map(known).collect();
        let ids = if ids.is_empty() {
            Value::new_object()
        } else {
            let ids = Prepared::from(serde_json::Value::from(ids));
            digest.update(ids.digest);
            ids.value
        };
        let key = super::decode::interned;
        let tenants = tenants.into_iter().map(|(slug, tenant)| (key(slug), tenant.value.clone()));
        let tenancy = BTreeMap::from([
            (key("settings"), self.settings.value.clone()),
            (key("tenants"), Value::from(tenants.collect::<BTreeMap<_, _>>())),
            (key("ids"), ids),
        ]);
        (Value::from(tenancy), digest.finalize().into())
    }

    /// The kind of the namespace a header is about; [`Kind::Cluster`] where there is none.
    pub fn kind(&self, header: &Header) -> Kind {
        self.snapshot.kind(&header.namespace)
    }
}

fn prepare(snapshot: &Snapshot, slug: &Arc<str>, tenants: &mut Map<Prepared>) {
    match snapshot.tenant_document(slug) {
        Some(document) => drop(tenants.insert(Arc::clone(slug), document.into())),
        None => drop(tenants.remove(slug)),
    }
}

/// The surroundings of one review.
#[derive(Debug, Clone)]
pub struct Facts {
    /// Names this decision in message, log and audit annotation.
    pub decision_id: String,
    /// RFC 3339, as `input.now`.
    pub now: String,
    /// Kind of the namespace under review.
    pub kind: Kind,
    /// Its name; empty for what has none and for a Namespace still to be named.
    pub namespace: String,
    /// What the snapshot says of it.
    pub known: Option<Namespace>,
    /// It is a sandbox whose time is over by [`Facts::now`], and which the ledger has not removed yet.
    pub expired: bool,
    /// Who asks.
    pub requester: Requester,
    /// A tenant's namespace is under review, and the requester belongs neither to that tenant nor to the platform, and has
    /// no exemption there.
    pub foreign: bool,
    /// Before the slash of our label keys.
    pub label_prefix: Arc<str>,
    /// `data.tenancy`, of this review's tenants and ids only.
    pub tenancy: Value,
    /// Its digest.
    pub tenancy_digest: Digest,
    /// The lists of registries that hold or do not hold its images.
    pub listed: Listed,
    /// What the cluster says of its Namespaces; `None` where nobody knows.
    pub seen: Option<Arc<Namespaces>>,
    /// Policy sets of the namespace's tenant, in the order in which they apply.
    pub policy_sets: Arc<[PolicySet]>,
    /// Leave from laws that who asks has for this.
    pub leaves: Vec<Arc<Leave>>,
    /// Revision of the snapshot.
    pub revision: u64,
}

impl Facts {
    /// Gathers what a review needs.
    ///
    /// # Errors
    /// A Namespace object whose name or labels have a wrong shape.
    pub fn gather(
        world: &World,
        review: &Review,
        decision_id: String,
        now: String,
    ) -> Result<Self, ShapeError> {
        let snapshot = &world.snapshot;
        let header = &review.header;
        let (namespace, kind) = subject(snapshot, review)?;
        let known = snapshot.namespace(&namespace).cloned();
        let requester = classify(snapshot, &header.user.username, &header.user.groups);
        let mut slugs: Vec<&str> = requester.tenants.iter().map(AsRef::as_ref).collect();
        slugs.extend(known.as_ref().map(|known| -> &str { &known.tenant }));
        let ids = claimed_ids(snapshot, review, kind)?;
        if header.is_namespace() {
            // By its tenant a policy composes the name of a new Namespace.
            slugs.extend(ids.iter().filter_map(|id| snapshot.tenant_by_id(id)).map(|(slug, _)| slug));
        }
        let (tenancy, tenancy_digest) = world.tenancy(&slugs, &ids);
        let owner = known.as_ref().and_then(|known| snapshot.tenants.get(&known.tenant));
        let leaves =
            world.leaves.covering(header, &namespace, known.as_ref(), &Made::of(review, &requester), &now);
        let foreign = matches!(requester.class, Class::Tenant | Class::Unknown)
            && leaves.is_empty()
            && match &known {
                Some(known) => !requester.tenants.contains(&known.tenant),
                // What the ledger does not know belonged to the tenant whose name it has, or will.
                None => {
                    kind == Kind::Unregistered
                        && !requester.tenants.iter().any(|tenant| snapshot.is_name_of(&namespace, tenant))
                }
            };
        Ok(Self {
            policy_sets: owner.map(|tenant| Arc::clone(&tenant.policy_sets)).unwrap_or_default(),
            leaves,
            foreign,
            listed: world.lists.of(known.as_ref().map(|known| known.tenant.as_ref())),
            expired: known.as_ref().is_some_and(|known| expired(known, &now)),
            decision_id,
            now,
            kind,
            namespace,
            known,
            requester,
            label_prefix: Arc::from(snapshot.settings.label_prefix.as_ref() as &str),
            tenancy,
            tenancy_digest,
            seen: world.view.load(),
            revision: snapshot.revision,
        })
    }

    /// `data.cluster`: of this review's namespace only, and nothing of one that the cluster does not have. Null where nobody
    /// wants it, undefined where nobody knows.
    pub fn cluster(&self, wanted: bool) -> Value {
        match &self.seen {
            _ if !wanted => Value::Null,
            None => Value::Undefined,
            Some(namespaces) => {
                let namespace = namespaces.get(&self.namespace).map(seen);
                let entries = namespace.map(|namespace| (super::decode::interned("namespace"), namespace));
                Value::from(entries.into_iter().collect::<BTreeMap<_, _>>())
            }
        }
    }

    /// The tenant that the namespace belongs to.
    pub fn tenant(&self) -> Option<&str> {
        self.known.as_ref().map(|known| known.tenant.as_ref())
    }

    /// The project that the namespace belongs to.
    pub fn project(&self) -> Option<&Arc<str>> {
        self.known.as_ref().map(|known| &known.project)
    }

    /// The name by which fairness is kept: the namespace's tenant, else the class of who asks.
    pub fn share(&self) -> &str {
        self.tenant().unwrap_or_else(|| match self.requester.class {
            Class::Tenant => self.requester.tenants.first().map_or("unknown", AsRef::as_ref),
            other => other.as_str(),
        })
    }
}

fn seen(namespace: &Seen) -> Value {
    let key = super::decode::interned;
    let texts = |texts: &BTreeMap<String, String>| {
        let texts = texts.iter().map(|(key, text)| (Value::from(key.as_str()), Value::from(text.as_str())));
        Value::from(texts.collect::<BTreeMap<_, _>>())
    };
    Value::from(BTreeMap::from([
        (key("labels"), texts(&namespace.labels)),
        (key("annotations"), texts(&namespace.annotations)),
        (key("phase"), Value::from(namespace.phase.as_str())),
    ]))
}

/// Whether a sandbox's time is over. A time that cannot be read is over: what may be written then is for the ledger to say.
fn expired(known: &Namespace, now: &str) -> bool {
    let Unit::Sandbox { expires_at: Some(at), .. } = &known.unit else { return false };
    match (at.parse::<Timestamp>(), now.parse::<Timestamp>()) {
        (Ok(at), Ok(now)) => at <= now,
        _ => true,
    }
}

/// The namespace a review is about. A Namespace is about itself: by its object, since a Namespace with
/// `generateName` has neither `request.namespace` nor `request.name`.
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
                return Ok((name.to_owned(), named(snapshot.kind(name))));
            }
        }
        if let Some(prefix) = member(metadata, &path, "generateName")? {
            let prefix = text(prefix, &format!("{path}.generateName"))?;
            // The name to come is in no snapshot; `tn` could still become `tn-…`.
            let ours = format!("{}-", snapshot.settings.prefix);
            let kind = if prefix.starts_with(&ours) || ours.starts_with(prefix) {
                Kind::Unregistered
            } else {
                Kind::Platform
            };
            return Ok((String::new(), kind));
        }
    }
    let name = if header.name.is_empty() { &header.namespace } else { &header.name };
    Ok((name.clone(), named(snapshot.kind(name))))
}

/// A Namespace is never outside all namespaces.
fn named(kind: Kind) -> Kind {
    if kind == Kind::Cluster { Kind::Platform } else { kind }
}

/// Labels that say by an id whose something is.
const IDENTITY: [&str; 3] = ["tenant-id", "project-id", "app-id"];

/// The ids in the identity labels of a Namespace, and of what lies in one that the snapshot does not hold: elsewhere the
/// namespace says which ids may stand there.
fn claimed_ids<'a>(
    snapshot: &Snapshot,
    review: &'a Review,
    kind: Kind,
) -> Result<BTreeSet<&'a str>, ShapeError> {
    let mut ids = BTreeSet::new();
    if !review.header.is_namespace() && kind != Kind::Unregistered {
        return Ok(ids);
    }
    let keys = IDENTITY.map(|name| format!("{}/{name}", snapshot.settings.label_prefix));
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
