//! Review and facts → the document that policies see as `input` (its shape is documented in `docs/policies.md`).

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde_json::Value as Json;

use portcullis_policy::Operation;
use portcullis_policy::Value;
use portcullis_rego::reads::Reads;
use portcullis_tenancy::requester::{Class, Requester};
use portcullis_tenancy::resource::Pattern;
use portcullis_tenancy::snapshot::{Namespace, Unit};

use super::changes;
use super::decode::interned;
use super::events;
use super::facts::Facts;
use super::listed::Listed;
use super::mask;
use super::review::Review;
use super::templates;
use super::workload::{self, Found, ShapeError};

/// What an input is made of. Equal parts make equal inputs of one plan, so a question that was asked before is known
/// before its input is built.
pub struct Parts<'a> {
    review: &'a Review,
    reads: &'a Reads,
    object: Option<Value>,
    old_object: Option<Value>,
    /// What images are looked up in, and whose lists that are.
    listed: (&'a Listed, Value),
    /// The members that come from elsewhere than the request, by key.
    others: Vec<(Value, Value)>,
    /// Why the input cannot be built.
    wrong: Option<ShapeError>,
}

/// Builds `input` as far as `reads` goes. `clear` leaves Secret values as they are.
///
/// # Errors
/// An object of a wrong shape where images or templates stand.
pub fn build(review: &Review, facts: &Facts, reads: &Reads, clear: bool) -> Result<Value, ShapeError> {
    Parts::gather(review, facts, reads, clear).build()
}

impl<'a> Parts<'a> {
    /// Gathers what `reads` names.
    pub fn gather(review: &'a Review, facts: &'a Facts, reads: &'a Reads, clear: bool) -> Self {
        let mut others = Vec::new();
        let mut put = |key: &str, value: Value| others.push((interned(key), value));
        if reads.touches(&["tenancy"]) {
            let labels = reads.touches(&["tenancy", "namespace", "labels"]);
            put("tenancy", tenancy(review, facts, labels));
        }
        if reads.touches(&["now"]) {
            put("now", Value::from(facts.now.as_str()));
        }
        if reads.touches(&["finalizerRemoval"]) {
            put("finalizerRemoval", Value::Bool(changes::finalizer_removal(review)));
        }
        if reads.touches(&["changed"]) && review.header.operation() == Some(Operation::Update) {
            let pointers: Vec<Value> = changes::changed(review).into_iter().map(Value::from).collect();
            put("changed", Value::from(pointers));
        }
        let mut wrong = None;
        if reads.touches(&["templates"]) {
            let told = templates::value(review).map_err(|error| wrong = Some(error));
            put("templates", told.unwrap_or(Value::Null));
        }
        let secret = review.header.is_secret() && !clear;
        let [object, old_object] = [&review.object, &review.old_object].map(|object| {
            object.as_ref().map(|object| if secret { mask::secret(object) } else { object.clone() })
        });
        let owner = facts.tenant().filter(|_| reads.touches(&["images"])).map_or(Value::Null, Value::from);
        Self { review, reads, object, old_object, listed: (&facts.listed, owner), others, wrong }
    }

    /// All of them, in an order that is always the same.
    pub fn values(&self) -> Vec<&Value> {
        let objects = [&self.object, &self.old_object].map(|object| object.as_ref().unwrap_or(&Value::Null));
        let members = self.review.fields.iter().chain(&self.others);
        let owner = std::iter::once(&self.listed.1);
        objects.into_iter().chain(owner).chain(members.flat_map(|(key, value)| [key, value])).collect()
    }

    /// Builds the input.
    ///
    /// # Errors
    /// An object of a wrong shape where images or templates stand.
    pub fn build(&self) -> Result<Value, ShapeError> {
        let Self { review, reads, .. } = self;
        if let Some(wrong) = &self.wrong {
            return Err(wrong.clone());
        }
        let mut input = self.others.clone();
        let mut put = |key: &str, value: Value| input.push((interned(key), value));
        if reads.touches(&["request"]) {
            put("request", self.request());
        }
        if let Some(object) = &review.object
            && reads.touches(&["workload"])
            && let Some((path, template)) = workload::find(&review.header, object)?
        {
            put("workload", template_value(&path, template)?);
        }
        if reads.touches(&["images"]) {
            put("images", images(review, reads, self.listed.0)?);
        }
        Ok(Value::from(BTreeMap::from_iter(input)))
    }

    fn request(&self) -> Value {
        let mut request = self.review.fields.clone();
        for (key, object) in [("object", &self.object), ("oldObject", &self.old_object)] {
            // Absent and null are one thing to a policy: there is no object.
            request.push((interned(key), object.clone().unwrap_or(Value::Null)));
        }
        Value::from(BTreeMap::from_iter(request))
    }
}

fn tenancy(review: &Review, facts: &Facts, labels: bool) -> Value {
    let mut namespace = BTreeMap::from([
        (interned("kind"), interned(facts.kind.as_str())),
        (interned("name"), Value::from(facts.namespace.as_str())),
    ]);
    if let Some(known) = &facts.known {
        let mut put = |key: &str, value: Value| drop(namespace.insert(interned(key), value));
        put("tenant", Value::String(known.tenant.clone()));
        put("tenantId", Value::String(known.tenant_id.clone()));
        put("project", Value::String(known.project.clone()));
        put("projectId", Value::String(known.project_id.clone()));
        put("status", interned(known.status.as_str()));
        match &known.unit {
            Unit::App { app, id } => {
                put("app", Value::String(app.clone()));
                put("appId", Value::String(id.clone()));
            }
            Unit::Sandbox { number, id, .. } => {
                put("sandbox", Value::from(u64::from(*number)));
                put("sandboxId", Value::String(id.clone()));
                put("expired", Value::Bool(facts.expired));
            }
        }
        if labels {
            put("labels", ownership(known, &facts.label_prefix));
        }
    }
    let tenancy = BTreeMap::from([
        (interned("namespace"), Value::from(namespace)),
        (interned("requester"), requester(review, &facts.requester)),
    ]);
    Value::from(tenancy)
}

/// The labels that every object in the namespace carries: whose it is, by id.
fn ownership(known: &Namespace, prefix: &str) -> Value {
    let app = match &known.unit {
        Unit::App { id, .. } => Some(("app-id", id)),
        Unit::Sandbox { .. } => None,
    };
    let ids = [("tenant-id", &known.tenant_id), ("project-id", &known.project_id)].into_iter().chain(app);
    Value::from(
        ids.map(|(key, id)| (interned(&format!("{prefix}/{key}")), Value::String(Arc::clone(id))))
            .collect::<BTreeMap<_, _>>(),
    )
}

fn requester(review: &Review, requester: &Requester) -> Value {
    let header = &review.header;
    let resource = &header.resource;
    let any = |has: fn(&Pattern, &str, &str, &str) -> bool| {
        let has = |pattern| has(pattern, &resource.group, &resource.resource, &header.subresource);
        requester.class == Class::Controller && requester.writes.iter().any(has)
    };
    let writes = any(Pattern::covers)
        || (requester.class == Class::Controller && events::about_own(review, requester));
    let tenants: Vec<Value> = requester.tenants.iter().map(|slug| interned(slug)).collect();
    let account = requester.service_account.as_ref().map_or("", |(namespace, _)| namespace.as_ref());
    Value::from(BTreeMap::from([
        (interned("class"), interned(requester.class.as_str())),
        (interned("name"), Value::from(requester.name.as_ref() as &str)),
        (interned("tenants"), Value::from(tenants)),
        (interned("createsNamespaces"), Value::Bool(requester.creates_namespaces)),
        (interned("writes"), Value::Bool(writes)),
        (interned("writesByName"), Value::Bool(any(Pattern::names))),
        (interned("serviceAccountNamespace"), Value::from(account)),
        (interned("username"), Value::from(header.user.username.as_str())),
    ]))
}

fn template_value(path: &str, template: &Value) -> Result<Value, ShapeError> {
    let mut value = BTreeMap::from([(interned("path"), Value::from(path))]);
    for key in ["metadata", "spec"] {
        if let Some(part) = workload::member(template, path, key)? {
            value.insert(interned(key), part.clone());
        }
    }
    Ok(Value::from(value))
}

fn images(review: &Review, reads: &Reads, listed: &Listed) -> Result<Value, ShapeError> {
    let Some(object) = &review.object else { return Ok(Value::new_array()) };
    let found = workload::images_of(&review.header, object)?;
    if found.is_empty() {
        return Ok(Value::new_array());
    }
    let before = before(review)?;
    let same = |image: &Found| {
        before.get(&(image.list, image.container.clone())).is_some_and(|raw| *raw == image.image.raw)
    };
    let element = reads.at(&["images"]).and_then(Reads::element);
    let read = |(key, field): &(&str, Field)| element?.key(key).map(|_| (interned(key), *field));
    let fields: Vec<(Value, Field)> = IMAGE.iter().filter_map(read).collect();
    let value = |image: &Found| {
        let changed = !same(image);
        let entry = |(key, field): &(Value, Field)| (key.clone(), field(image, changed, listed));
        Value::from(fields.iter().map(entry).collect::<BTreeMap<_, _>>())
    };
    Ok(Value::from(found.iter().map(value).collect::<Vec<_>>()))
}

/// What the old object runs, by list and name, on UPDATE.
fn before(review: &Review) -> Result<HashMap<(&'static str, String), String>, ShapeError> {
    let Some(old) =
        review.old_object.as_ref().filter(|_| review.header.operation() == Some(Operation::Update))
    else {
        return Ok(HashMap::new());
    };
    let images = workload::images_of(&review.header, old)?;
    Ok(images.into_iter().map(|found| ((found.list, found.container), found.image.raw)).collect())
}

/// A field of an image, which has changed or not, and which lists may hold.
type Field = fn(&Found, bool, &Listed) -> Value;

/// The fields of an image, in the order in which an object holds them.
const IMAGE: [(&str, Field); 15] = [
    ("canonical", |found, _, _| text(&found.image.canonical)),
    ("changed", |_, changed, _| Value::Bool(changed)),
    ("container", |found, _, _| text(&found.container)),
    ("digest", |found, _, _| text(&found.image.digest)),
    ("entries", |found, _, listed| listed.entries(&found.image)),
    ("list", |found, _, _| interned(found.list)),
    ("ok", |found, _, _| Value::Bool(found.image.ok)),
    ("path", |found, _, _| text(&found.path)),
    ("raw", |found, _, _| text(&found.image.raw)),
    ("reason", |found, _, _| text(found.image.reason.as_ref())),
    ("registry", |found, _, _| text(&found.image.registry)),
    ("repository", |found, _, _| text(&found.image.repository)),
    ("tag", |found, _, _| text(&found.image.tag)),
    ("tagDefaulted", |found, _, _| Value::Bool(found.image.tag_defaulted)),
    ("valid", |found, _, _| Value::Bool(found.image.valid)),
];

fn text(text: &str) -> Value {
    Value::from(text)
}

/// The JSON of an engine value, for what leaves the engine.
pub fn json(value: &Value) -> Json {
    serde_json::to_value(value).unwrap_or(Json::Null)
}
