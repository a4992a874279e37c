//! Evaluates the images of a source under the policies in force.
//!
//! A Pod with these images in the app's namespace is evaluated by [`portcullis_admission::decide`]. The tenancy is read in
//! the caller's transaction, and the app's namespace is added to it if it does not exist yet.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};

use super::images::ImageReference;
use crate::problem::{Fault, Problem};
use portcullis_admission::review::{self, Endpoint};
use portcullis_admission::verdict::{Named, Verdict};
use portcullis_admission::{PreparedSnapshot, ReviewContext, gate, message, projection};
use portcullis_policy::{Budget, PolicySet};
use portcullis_store::{Tx, snapshot};
use portcullis_tenancy::{Snapshot, name};

/// The app that the images belong to.
#[derive(Debug, Clone, Copy)]
pub struct AppIdentity<'a> {
    /// Slug of the tenant.
    pub tenant: &'a str,
    /// Slug of the project.
    pub project: &'a str,
    /// UUID of the app, or of what stands for one.
    pub id: &'a str,
    /// Slug of the app.
    pub app: &'a str,
}

/// Placeholder tenant of a global item; it may use all registries of the ceiling.
const ANY_TENANT: &str = "anytenant";

/// Placeholder project and app of an item.
const PLACEHOLDER: &str = "item";

/// Ids of the placeholders; no row of a ledger has them.
const PLACEHOLDER_IDS: [&str; 3] = [
    "00000000-0000-7000-8000-000000000001",
    "00000000-0000-7000-8000-000000000002",
    "00000000-0000-7000-8000-000000000003",
];

/// The tenancy around an app, and the name of the app's namespace.
///
/// # Errors
/// 503 and 500 where the ledger cannot be read.
pub async fn tenancy_with_app(
    tx: &mut Tx,
    subject: &AppIdentity<'_>,
) -> Result<(PreparedSnapshot, String), Problem> {
    let document = snapshot::of_tenant(tx, Some(subject.tenant), Some(subject.project)).await?;
    build(Value::Object(document), subject)
}

/// The tenancy for a catalog item: of a tenant, by slug, or a global one.
///
/// # Errors
/// As [`of`].
pub async fn tenancy_with_item(
    tx: &mut Tx,
    tenant: Option<&str>,
) -> Result<(PreparedSnapshot, String), Problem> {
    let [any_tenant, project, app] = PLACEHOLDER_IDS;
    let mut document = Value::Object(snapshot::of_tenant(tx, tenant, None).await?);
    if tenant.is_none() {
        let any_tenant =
            json!({ "id": any_tenant, "status": "active", "groups": [], "registries": "inherit" });
        json_patch::merge(&mut document, &json!({ "tenants": { ANY_TENANT: any_tenant } }));
    }
    let tenant = tenant.unwrap_or(ANY_TENANT);
    let placeholder = json!({ "projects": { format!("{tenant}/{PLACEHOLDER}"): { "id": project } } });
    json_patch::merge(&mut document, &placeholder);
    build(document, &AppIdentity { tenant, project: PLACEHOLDER, id: app, app: PLACEHOLDER })
}

fn build(mut document: Value, subject: &AppIdentity<'_>) -> Result<(PreparedSnapshot, String), Problem> {
    let AppIdentity { tenant, project, id, app } = *subject;
    let prefix = document.pointer("/settings/prefix").and_then(Value::as_str).unwrap_or(name::PREFIX);
    let namespace = name::app(prefix, tenant, project, app).map_err(|error| Problem::internal(&error))?;
    let own = json!({ "kind": "app", "tenant": tenant, "project": project, "app": app });
    let app = json!({
        "apps": { format!("{tenant}/{project}/{app}"): { "id": id } },
        "namespaces": { &*namespace: own },
    });
    json_patch::merge(&mut document, &app);
    let snapshot = Snapshot::parse("ledger.json", document.to_string().as_bytes());
    let snapshot = snapshot.map_err(|error| Problem::internal(&error))?;
    Ok((PreparedSnapshot::new(Arc::new(snapshot)), namespace))
}

/// The policy whose every finding counts. Of other policies only findings about an image count.
const IMAGES: &str = "registry-allowlist";

/// Images of one source; a source with more is rejected without evaluation.
pub const IMAGES_MAX: usize = 200;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the images could not be evaluated: {0}")]
pub struct EvaluationError(String);

/// Evaluates the images of a source in the app's namespace. `prepared` holds at least that namespace and its tenant.
///
/// # Errors
/// A policy failed; the images must then be rejected.
pub fn evaluate_images(
    policies: &PolicySet,
    prepared: &PreparedSnapshot,
    namespace: &str,
    images: &[ImageReference],
) -> Result<Vec<Fault>, EvaluationError> {
    if images.len() > IMAGES_MAX {
        let detail = format!("names {} images (allowed: at most {IMAGES_MAX})", images.len());
        return Ok(vec![Fault::new(images.first().map_or("", |found| &found.pointer), detail)]);
    }
    let verdict = evaluate(policies, prepared, namespace, images)?;
    if let Some(failure) = verdict.failures.iter().find(|failure| failure.denies) {
        return Err(EvaluationError(message::failure_line(failure)));
    }
    Ok(verdict.denials.iter().filter_map(|named| issue(named, images)).collect())
}

fn evaluate(
    policies: &PolicySet,
    prepared: &PreparedSnapshot,
    namespace: &str,
    images: &[ImageReference],
) -> Result<Verdict, EvaluationError> {
    let failed = |error: &dyn std::fmt::Display| EvaluationError(error.to_string());
    let body = Bytes::from(pod(namespace, images).to_string());
    let review = review::decode(body, Endpoint::Validate, &|header| {
        projection::projection(policies, prepared, header)
    })
    .map_err(|error| failed(&error))?;
    let now = format!("{:.3}", jiff::Timestamp::now());
    let context =
        ReviewContext::gather(prepared, &review, gate::decision_id(), now).map_err(|error| failed(&error))?;
    // No admission request waits for this result, so a busy machine gets more time.
    let deadline = Duration::from_secs(10);
    let budget = Budget {
        time: Duration::from_secs(1),
        review: Duration::from_secs(2),
        deadline,
        ..Budget::default()
    };
    Ok(portcullis_admission::decide(policies, &context, &review, budget))
}

/// A review of a Pod with these images, as kube-apiserver would send it.
fn pod(namespace: &str, images: &[ImageReference]) -> serde_json::Value {
    let container = |(index, found): (usize, &ImageReference)| json!({ "name": format!("c{index}"), "image": found.reference });
    let containers: Vec<_> = images.iter().enumerate().map(container).collect();
    json!({
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": gate::decision_id(),
            "kind": { "group": "", "version": "v1", "kind": "Pod" },
            "resource": { "group": "", "version": "v1", "resource": "pods" },
            "name": "source",
            "namespace": namespace,
            "operation": "CREATE",
            "dryRun": true,
            "userInfo": { "username": "portcullis", "groups": ["system:authenticated"] },
            "object": {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": { "name": "source", "namespace": namespace },
                "spec": { "containers": containers },
            },
        },
    })
}

/// The finding in the author's terms; `None` where it is not about the images.
fn issue(named: &Named, images: &[ImageReference]) -> Option<Fault> {
    let at =
        named.finding.field.strip_prefix("spec.containers[").and_then(|rest| rest.strip_suffix("].image"));
    let found = at.and_then(|index| index.parse::<usize>().ok()).and_then(|index| images.get(index));
    match found {
        Some(found) => Some(Fault::new(found.pointer.clone(), message::line(&without_field(named)))),
        None if named.policy == IMAGES => {
            Some(Fault::new(images.first()?.pointer.clone(), message::line(&without_field(named))))
        }
        None => None,
    }
}

/// The author did not write the Pod, so its field would confuse.
fn without_field(named: &Named) -> Named {
    let mut named = named.clone();
    named.finding.field.clear();
    named
}

#[cfg(test)]
mod tests;
