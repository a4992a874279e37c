//! What of a review is worth building, under a law and in a world.

use std::sync::Arc;

use super::facts::World;
use super::review::Header;
use super::shape;
use super::workload;
use portcullis_policy::PolicySet;
use portcullis_policy::select::Wanted;
use portcullis_rego::analysis::Step;
use portcullis_rego::reads::Reads;

/// What the policies that can match read, and what the gate itself needs to answer them.
pub fn wanted(law: &PolicySet, world: &World, header: &Header) -> Arc<Wanted> {
    // A Namespace is judged by its object's name, which is not known yet; and Namespaces are few. Of a subresource that is
    // not known it is compared what it changes.
    let whole = header.is_namespace() || shape::unknown_subresource(header);
    let Some(operation) = header.operation().filter(|_| !whole) else {
        return Wanted::everything();
    };
    let plan = law.plan(&header.query(operation, world.kind(header)));
    let make = || if plan.whole { Wanted::everything() } else { Arc::new(from_reads(header, &plan.reads)) };
    Arc::clone(plan.wanted.get_or_init(make))
}

fn from_reads(header: &Header, reads: &Reads) -> Wanted {
    let below = |path: &[&str]| reads.at(path).cloned().unwrap_or_default();
    let mut object = below(&["request", "object"]);
    let mut old_object = below(&["request", "oldObject"]);
    for part in shape::PARTS {
        let path = ["metadata", part].map(|part| Step::Name(part.to_owned()));
        object.add(&path);
        old_object.add(&path);
    }
    for path in shape::NAMES {
        object.add(&path.iter().map(|part| Step::Name((*part).to_owned())).collect::<Vec<_>>());
    }
    let template = workload::reads(header, reads);
    object.merge(&template);
    if reads.touches(&["images"]) {
        old_object.merge(&template);
    }
    if reads.touches(&["finalizerRemoval"]) {
        old_object.add(&["metadata", "deletionTimestamp"].map(|part| Step::Name(part.to_owned())));
    }
    Wanted { request: below(&["request"]), object, old_object }
}
