//! Review and facts → the document that policies see as `input` (its shape is documented in `docs/policies.md`).

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde_json::Value as Json;

use crate::policy::Operation;
use crate::policy::Value;
use crate::policy::engine::reads::Reads;
use crate::tenancy::requester::{Class, Requester};
use crate::tenancy::snapshot::{Namespace, Unit};

use super::changes;
use super::decode::interned;
use super::facts::Facts;
use super::mask;
use super::review::Review;
use super::workload::{self, Found, ShapeError};

/// Builds `input` as far as `reads` goes. `clear` leaves Secret values as they are.
///
/// # Errors
/// An object of a wrong shape where images or templates stand.
pub fn build(review: &Review, facts: &Facts, reads: &Reads, clear: bool) -> Result<Value, ShapeError> {
    let mut input = BTreeMap::new();
    let mut put = |key: &str, value: Value| drop(input.insert(interned(key), value));
    if reads.touches(&["request"]) {
        put("request", request(review, clear));
    }
    if reads.touches(&["tenancy"]) {
        let labels = reads.touches(&["tenancy", "namespace", "labels"]);
        put("tenancy", tenancy(review, facts, labels));
    }
    if let Some(object) = &review.object
        && (reads.touches(&["images"]) || reads.touches(&["workload"]))
        && let Some((path, template)) = workload::find(&review.header, object)?
    {
        if reads.touches(&["workload"]) {
            put("workload", template_value(&path, template)?);
        }
        put("images", images(review, &path, template)?);
    } else if reads.touches(&["images"]) {
        put("images", Value::new_array());
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
    Ok(Value::from(input))
}

fn request(review: &Review, clear: bool) -> Value {
    let mut request: BTreeMap<Value, Value> = review.fields.iter().cloned().collect();
    let secret = review.header.is_secret() && !clear;
    for (key, object) in [("object", &review.object), ("oldObject", &review.old_object)] {
        let value = match object {
            Some(object) if secret => mask::secret(object),
            Some(object) => object.clone(),
            // Absent and null are one thing to a policy: there is no object.
            None => Value::Null,
        };
        request.insert(interned(key), value);
    }
    Value::from(request)
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
    let writes = requester.class == Class::Controller
        && requester
            .writes
            .iter()
            .any(|pattern| pattern.matches(&resource.group, &resource.resource, &header.subresource));
    let tenants: Vec<Value> = requester.tenants.iter().map(|slug| interned(slug)).collect();
    let account = requester.service_account.as_ref().map_or("", |(namespace, _)| namespace.as_ref());
    Value::from(BTreeMap::from([
        (interned("class"), interned(requester.class.as_str())),
        (interned("name"), Value::from(requester.name.as_ref() as &str)),
        (interned("tenants"), Value::from(tenants)),
        (interned("createsNamespaces"), Value::Bool(requester.creates_namespaces)),
        (interned("writes"), Value::Bool(writes)),
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

fn images(review: &Review, path: &str, template: &Value) -> Result<Value, ShapeError> {
    let found = workload::images(path, template)?;
    let before = before(review)?;
    let same = |image: &Found| {
        before.get(&(image.list, image.container.clone())).is_some_and(|raw| *raw == image.image.raw)
    };
    Ok(Value::from(found.iter().map(|image| value(image, !same(image))).collect::<Vec<_>>()))
}

/// What the old object runs, by list and name, on UPDATE.
fn before(review: &Review) -> Result<HashMap<(&'static str, String), String>, ShapeError> {
    let Some(old) =
        review.old_object.as_ref().filter(|_| review.header.operation() == Some(Operation::Update))
    else {
        return Ok(HashMap::new());
    };
    let Some((path, template)) = workload::find(&review.header, old)? else { return Ok(HashMap::new()) };
    let images = workload::images(&path, template)?;
    Ok(images.into_iter().map(|found| ((found.list, found.container), found.image.raw)).collect())
}

fn value(found: &Found, changed: bool) -> Value {
    let image = &found.image;
    let text = |value: &str| Value::from(value);
    Value::from(BTreeMap::from([
        (interned("path"), text(&found.path)),
        (interned("list"), interned(found.list)),
        (interned("container"), text(&found.container)),
        (interned("raw"), text(&image.raw)),
        (interned("ok"), Value::Bool(image.ok)),
        (interned("valid"), Value::Bool(image.valid)),
        (interned("reason"), text(image.reason.as_ref())),
        (interned("registry"), text(&image.registry)),
        (interned("repository"), text(&image.repository)),
        (interned("tag"), text(&image.tag)),
        (interned("tagDefaulted"), Value::Bool(image.tag_defaulted)),
        (interned("digest"), text(&image.digest)),
        (interned("canonical"), text(&image.canonical)),
        (interned("changed"), Value::Bool(changed)),
    ]))
}

/// The JSON of an engine value, for what leaves the engine.
pub fn json(value: &Value) -> Json {
    serde_json::to_value(value).unwrap_or(Json::Null)
}
