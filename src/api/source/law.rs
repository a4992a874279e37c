//! Images judged by the law in force, the same that stands in the cluster: a Pod with these images in the app's namespace
//! is put to [`portcullis_admission::decide`], and what it says of an image is said of the place where the image was written.

use std::time::Duration;

use bytes::Bytes;
use serde_json::json;

use super::images::Found;
use crate::problem::Fault;
use portcullis_admission::review::{self, Endpoint};
use portcullis_admission::verdict::{Named, Verdict};
use portcullis_admission::{Facts, World, gate, message, wanted};
use portcullis_policy::{Budget, PolicySet};

/// The policy whose every finding counts. Of others those count that are about an image: who writes how many replicas
/// of what is judged when it is written.
const IMAGES: &str = "registry-allowlist";

/// Images of one source that are judged; a source with more is refused unread.
pub const IMAGES_MAX: usize = 200;

/// Why nothing can be said of the images.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the law could not judge the images: {0}")]
pub struct Unjudged(String);

/// What the law has against the images of a source, in the namespace that they would run in.
///
/// `world` holds at least that namespace and its tenant, as they are now.
///
/// # Errors
/// The law itself failed. What cannot be judged is not admitted.
pub fn judge(
    law: &PolicySet,
    world: &World,
    namespace: &str,
    images: &[Found],
) -> Result<Vec<Fault>, Unjudged> {
    if images.len() > IMAGES_MAX {
        let detail = format!("names {} images (allowed: at most {IMAGES_MAX})", images.len());
        return Ok(vec![Fault::new(images.first().map_or("", |found| &found.pointer), detail)]);
    }
    let verdict = ask(law, world, namespace, images)?;
    if let Some(failure) = verdict.failures.iter().find(|failure| failure.denies) {
        return Err(Unjudged(message::failure_line(failure)));
    }
    Ok(verdict.denials.iter().filter_map(|named| issue(named, images)).collect())
}

fn ask(law: &PolicySet, world: &World, namespace: &str, images: &[Found]) -> Result<Verdict, Unjudged> {
    let failed = |error: &dyn std::fmt::Display| Unjudged(error.to_string());
    let body = Bytes::from(pod(namespace, images).to_string());
    let review = review::decode(body, Endpoint::Validate, &|header| wanted::wanted(law, world, header))
        .map_err(|error| failed(&error))?;
    let now = format!("{:.3}", jiff::Timestamp::now());
    let facts = Facts::gather(world, &review, gate::decision_id(), now).map_err(|error| failed(&error))?;
    // Nobody's Pod waits for this answer, and a busy machine must not make it a failure.
    let deadline = Duration::from_secs(10);
    let budget = Budget {
        time: Duration::from_secs(1),
        review: Duration::from_secs(2),
        deadline,
        ..Budget::default()
    };
    Ok(portcullis_admission::decide(law, &facts, &review, budget))
}

/// A review of a Pod with these images, as kube-apiserver would send it.
fn pod(namespace: &str, images: &[Found]) -> serde_json::Value {
    let container =
        |(index, found): (usize, &Found)| json!({ "name": format!("c{index}"), "image": found.reference });
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
fn issue(named: &Named, images: &[Found]) -> Option<Fault> {
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

/// The field of a Pod that nobody wrote would only confuse.
fn without_field(named: &Named) -> Named {
    let mut named = named.clone();
    named.finding.field.clear();
    named
}

#[cfg(test)]
mod tests;
