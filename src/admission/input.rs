//! Builds the document that policies read as `input`; `docs/policies.md` specifies it.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde_json::Value as Json;
use sha2::{Digest as _, Sha256};

use portcullis_policy::Operation;
use portcullis_policy::Value;
use portcullis_rego::reads::Reads;
use portcullis_tenancy::requester::{Class, Requester};
use portcullis_tenancy::resource::Pattern;
use portcullis_tenancy::snapshot::{Namespace, Unit};

use super::changes;
use super::context::ReviewContext;
use super::decode::interned;
use super::kinds;
use super::registries::NamespaceRegistries;
use super::review::Review;
use super::templates;
use super::workload::{self, ContainerImage, ShapeError};

/// The parts of an input. Under one plan equal parts give equal inputs, so the verdict cache is read before the input is
/// built.
pub(crate) struct InputParts<'a> {
    review: &'a Review,
    reads: &'a Reads,
    object: Option<Value>,
    old_object: Option<Value>,
    /// The registry lists of the namespace, and its tenant.
    registries: (&'a NamespaceRegistries, Value),
    /// The members of the input beside `request`, `workload` and `images`.
    members: Vec<(Value, Value)>,
    /// Why the input cannot be built.
    error: Option<ShapeError>,
}

/// Builds the members of `input` that `reads` names. With `clear`, Secret values are not masked.
///
/// # Errors
/// A field that holds images or templates has the wrong type.
pub fn build(
    review: &Review,
    context: &ReviewContext,
    reads: &Reads,
    clear: bool,
) -> Result<Value, ShapeError> {
    InputParts::gather(review, context, reads, clear).build()
}

impl<'a> InputParts<'a> {
    pub(crate) fn gather(
        review: &'a Review,
        context: &'a ReviewContext,
        reads: &'a Reads,
        clear: bool,
    ) -> Self {
        let mut members = Vec::new();
        let mut put = |key: &str, value: Value| members.push((interned(key), value));
        if reads.touches(&["tenancy"]) {
            let labels = reads.touches(&["tenancy", "namespace", "labels"]);
            put("tenancy", tenancy(review, context, labels));
        }
        if reads.touches(&["now"]) {
            put("now", Value::from(context.now.as_str()));
        }
        if reads.touches(&["finalizerRemoval"]) {
            put("finalizerRemoval", Value::Bool(changes::finalizer_removal(review)));
        }
        if reads.touches(&["changed"]) && review.header.operation() == Some(Operation::Update) {
            let pointers: Vec<Value> = changes::changed(review).into_iter().map(Value::from).collect();
            put("changed", Value::from(pointers));
        }
        let mut error = None;
        if reads.touches(&["templates"]) {
            let templates = templates::value(review).map_err(|shape| error = Some(shape));
            put("templates", templates.unwrap_or(Value::Null));
        }
        let secret = review.header.is_secret() && !clear;
        let [object, old_object] = [&review.object, &review.old_object].map(|object| {
            object.as_ref().map(|object| if secret { mask_secret(object) } else { object.clone() })
        });
        let owner = context.tenant().filter(|_| reads.touches(&["images"])).map_or(Value::Null, Value::from);
        Self { review, reads, object, old_object, registries: (&context.registries, owner), members, error }
    }

    /// All values, in a fixed order: the key of the verdict cache.
    pub(crate) fn values(&self) -> Vec<&Value> {
        let objects = [&self.object, &self.old_object].map(|object| object.as_ref().unwrap_or(&Value::Null));
        let members = self.review.fields.iter().chain(&self.members);
        let owner = std::iter::once(&self.registries.1);
        objects.into_iter().chain(owner).chain(members.flat_map(|(key, value)| [key, value])).collect()
    }

    /// # Errors
    /// See [`build`].
    pub(crate) fn build(&self) -> Result<Value, ShapeError> {
        let Self { review, reads, .. } = self;
        if let Some(error) = &self.error {
            return Err(error.clone());
        }
        let mut input = self.members.clone();
        let mut put = |key: &str, value: Value| input.push((interned(key), value));
        if reads.touches(&["request"]) {
            put("request", self.request());
        }
        if let Some(object) = &review.object
            && reads.touches(&["workload"])
            && let Some((path, template)) = workload::find_template(&review.header, object)?
        {
            put("workload", template_value(&path, template)?);
        }
        if reads.touches(&["images"]) {
            put("images", images(review, reads, self.registries.0)?);
        }
        Ok(Value::from(BTreeMap::from_iter(input)))
    }

    fn request(&self) -> Value {
        let mut request = self.review.fields.clone();
        for (key, object) in [("object", &self.object), ("oldObject", &self.old_object)] {
            // A policy sees null for an absent object.
            request.push((interned(key), object.clone().unwrap_or(Value::Null)));
        }
        Value::from(BTreeMap::from_iter(request))
    }
}

fn tenancy(review: &Review, context: &ReviewContext, labels: bool) -> Value {
    let mut namespace = BTreeMap::from([
        (interned("kind"), interned(context.kind.as_str())),
        (interned("name"), Value::from(context.namespace.as_str())),
    ]);
    if let Some(entry) = &context.registered {
        let mut put = |key: &str, value: Value| drop(namespace.insert(interned(key), value));
        put("tenant", Value::String(entry.tenant.clone()));
        put("tenantId", Value::String(entry.tenant_id.clone()));
        put("project", Value::String(entry.project.clone()));
        put("projectId", Value::String(entry.project_id.clone()));
        put("status", interned(entry.status.as_str()));
        match &entry.unit {
            Unit::App { app, id } => {
                put("app", Value::String(app.clone()));
                put("appId", Value::String(id.clone()));
            }
            Unit::Sandbox { number, id, .. } => {
                put("sandbox", Value::from(u64::from(*number)));
                put("sandboxId", Value::String(id.clone()));
                put("expired", Value::Bool(context.expired));
            }
        }
        if labels {
            put("labels", ownership_labels(entry, &context.label_prefix));
        }
    }
    let tenancy = BTreeMap::from([
        (interned("namespace"), Value::from(namespace)),
        (interned("requester"), requester(review, &context.requester)),
    ]);
    Value::from(tenancy)
}

/// The labels with the owner's ids that every object in the namespace carries.
fn ownership_labels(entry: &Namespace, prefix: &str) -> Value {
    let app = match &entry.unit {
        Unit::App { id, .. } => Some(("app-id", id)),
        Unit::Sandbox { .. } => None,
    };
    let ids = [("tenant-id", &entry.tenant_id), ("project-id", &entry.project_id)].into_iter().chain(app);
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
        || (requester.class == Class::Controller && is_event_about_writes(review, requester));
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

fn images(review: &Review, reads: &Reads, registries: &NamespaceRegistries) -> Result<Value, ShapeError> {
    let Some(object) = &review.object else { return Ok(Value::new_array()) };
    let found = workload::images_of(&review.header, object)?;
    if found.is_empty() {
        return Ok(Value::new_array());
    }
    let before = old_images(review)?;
    let same = |image: &ContainerImage| {
        before.get(&(image.list, image.container.clone())).is_some_and(|raw| *raw == image.image.raw)
    };
    let element = reads.at(&["images"]).and_then(Reads::element);
    let read = |(key, field): &(&str, ImageField)| element?.key(key).map(|_| (interned(key), *field));
    let fields: Vec<(Value, ImageField)> = IMAGE_FIELDS.iter().filter_map(read).collect();
    let value = |image: &ContainerImage| {
        let changed = !same(image);
        let entry = |(key, field): &(Value, ImageField)| (key.clone(), field(image, changed, registries));
        Value::from(fields.iter().map(entry).collect::<BTreeMap<_, _>>())
    };
    Ok(Value::from(found.iter().map(value).collect::<Vec<_>>()))
}

/// On UPDATE, the images of the old object by list and container.
fn old_images(review: &Review) -> Result<HashMap<(&'static str, String), String>, ShapeError> {
    let Some(old) =
        review.old_object.as_ref().filter(|_| review.header.operation() == Some(Operation::Update))
    else {
        return Ok(HashMap::new());
    };
    let images = workload::images_of(&review.header, old)?;
    Ok(images.into_iter().map(|found| ((found.list, found.container), found.image.raw)).collect())
}

/// Reads a field of `input.images[_]` from the image, whether it changed, and the registry lists.
type ImageField = fn(&ContainerImage, bool, &NamespaceRegistries) -> Value;

/// The fields of `input.images[_]`, sorted.
const IMAGE_FIELDS: [(&str, ImageField); 15] = [
    ("canonical", |found, _, _| text(&found.image.canonical)),
    ("changed", |_, changed, _| Value::Bool(changed)),
    ("container", |found, _, _| text(&found.container)),
    ("digest", |found, _, _| text(&found.image.digest)),
    ("entries", |found, _, registries| registries.entries(&found.image)),
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

/// A Secret in which each value of `data` and `stringData`, and the copy in kubectl's annotation, is replaced by
/// `{sha256, length}`.
fn mask_secret(object: &Value) -> Value {
    let Value::Object(fields) = object else { return object.clone() };
    let mut masked: BTreeMap<Value, Value> =
        fields.iter().map(|(key, value)| (key.clone(), value.clone())).collect();
    for key in ["data", "stringData"] {
        if let Some(value) = masked.get_mut(&interned(key)) {
            *value = mask_values(value);
        }
    }
    let metadata = interned("metadata");
    if let Some(Value::Object(fields)) = masked.get(&metadata) {
        let mut clean: BTreeMap<Value, Value> =
            fields.iter().map(|(key, value)| (key.clone(), value.clone())).collect();
        if let Some(annotations) = clean.get_mut(&interned("annotations")) {
            *annotations = mask_last_applied(annotations);
        }
        masked.insert(metadata, Value::from(clean));
    }
    Value::from(masked)
}

fn mask_values(value: &Value) -> Value {
    match value {
        Value::Object(fields) => Value::from(
            fields.iter().map(|(key, value)| (key.clone(), masked_value(value))).collect::<BTreeMap<_, _>>(),
        ),
        Value::Null => Value::Null,
        // A value of the wrong type is masked as a whole.
        other => masked_value(other),
    }
}

fn mask_last_applied(annotations: &Value) -> Value {
    let Value::Object(fields) = annotations else { return annotations.clone() };
    let last = interned("kubectl.kubernetes.io/last-applied-configuration");
    let hide = |(key, value): (&Value, &Value)| {
        (key.clone(), if *key == last { masked_value(value) } else { value.clone() })
    };
    Value::from(fields.iter().map(hide).collect::<BTreeMap<_, _>>())
}

fn masked_value(value: &Value) -> Value {
    let text = match value {
        Value::String(text) => text.to_string(),
        other => other.to_string(),
    };
    let hash = hex::encode(Sha256::digest(text.as_bytes()));
    Value::from(BTreeMap::from([
        (interned("sha256"), Value::from(hash)),
        (interned("length"), Value::from(text.len())),
    ]))
}

/// Whether this is an Event about a resource that the controller's `writes` names; for an update, before and after.
fn is_event_about_writes(review: &Review, requester: &Requester) -> bool {
    let resource = &review.header.resource;
    let field = match resource.group.as_str() {
        "" => "involvedObject",
        "events.k8s.io" => "regarding",
        _ => return false,
    };
    if resource.resource != "events" || !review.header.subresource.is_empty() {
        return false;
    }
    changes::with_stack(review, || {
        let (new, old) = changes::objects(review);
        let events: Vec<&Json> = [&new, &old].into_iter().filter(|object| !object.is_null()).collect();
        !events.is_empty()
            && events
                .into_iter()
                .all(|event| event.get(field).is_some_and(|of| names_involved(of, requester)))
    })
}

/// Whether `writes` names the resource of an Event's object reference. The plural of a kind that is not built in is the
/// regular one; a controller of an irregular one lists `events` in `writes`. Without `apiVersion`, every group that has the
/// kind counts.
fn names_involved(reference: &Json, requester: &Requester) -> bool {
    let text = |key: &str| reference.get(key).and_then(Json::as_str).filter(|text| !text.is_empty());
    let Some(kind) = text("kind") else { return false };
    let of_group = |group: &str| {
        let resource = kinds::resource(group, kind);
        resource.subresource.is_empty()
            && requester.writes.iter().any(|pattern| pattern.includes(group, &resource.resource))
    };
    match text("apiVersion") {
        Some(version) => of_group(version.split_once('/').map_or("", |(group, _)| group)),
        None => kinds::groups_of(kind).any(of_group),
    }
}

/// Converts an engine value to JSON.
pub fn json(value: &Value) -> Json {
    serde_json::to_value(value).unwrap_or(Json::Null)
}

#[cfg(test)]
mod tests;
