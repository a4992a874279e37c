//! Which parts of a review are decoded: what the matching policies read, and what the gate itself checks.

use std::sync::Arc;

use super::object_checks;
use super::review::Header;
use super::snapshot::PreparedSnapshot;
use super::workload;
use portcullis_policy::PolicySet;
use portcullis_policy::select::Projection;
use portcullis_rego::analysis::Step;
use portcullis_rego::reads::Reads;

/// The projection for a review's header under a policy set and a snapshot.
pub fn projection(set: &PolicySet, prepared: &PreparedSnapshot, header: &Header) -> Arc<Projection> {
    // A Namespace's kind depends on its object, which is not decoded yet. An unknown subresource is compared as a whole.
    let whole = header.is_namespace() || object_checks::unknown_subresource(header);
    let Some(operation) = header.operation().filter(|_| !whole) else {
        return Projection::everything();
    };
    let plan = set.plan(&header.query(operation, prepared.kind(header)));
    let build =
        || if plan.whole { Projection::everything() } else { Arc::new(from_reads(header, &plan.reads)) };
    Arc::clone(plan.projection.get_or_init(build))
}

fn from_reads(header: &Header, reads: &Reads) -> Projection {
    let below = |path: &[&str]| reads.at(path).cloned().unwrap_or_default();
    let step = |name: &str| Step::Name(name.to_owned());
    let mut object = below(&["request", "object"]);
    let mut old_object = below(&["request", "oldObject"]);
    for field in object_checks::METADATA_FIELDS {
        let path = ["metadata", field].map(step);
        object.add(&path);
        old_object.add(&path);
    }
    for path in object_checks::IDENTITY_FIELDS {
        object.add(&path.iter().map(|name| step(name)).collect::<Vec<_>>());
    }
    let template = workload::reads(header, reads);
    object.merge(&template);
    if reads.touches(&["images"]) {
        old_object.merge(&template);
    }
    if reads.touches(&["finalizerRemoval"]) {
        old_object.add(&["metadata", "deletionTimestamp"].map(step));
    }
    Projection { request: below(&["request"]), object, old_object }
}
