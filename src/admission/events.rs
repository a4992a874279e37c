//! Events of a controller: it tells in them how it goes with what it writes, and with nothing else.

use serde_json::Value as Json;

use super::ask::kinds;
use super::changes;
use super::review::Review;
use portcullis_tenancy::requester::Requester;

/// Whether this is an Event about a resource of which `writes` names something; of an update, before and after.
pub(super) fn about_own(review: &Review, requester: &Requester) -> bool {
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
        let given: Vec<&Json> = [&new, &old].into_iter().filter(|object| !object.is_null()).collect();
        !given.is_empty()
            && given.into_iter().all(|event| event.get(field).is_some_and(|of| own(of, requester)))
    })
}

/// Whether `writes` names something of what an Event is about. The plural of a kind that is not built in is the usual one;
/// a controller of another names `events` among its `writes`. Where no group is said, it is one that is known to have the kind.
fn own(reference: &Json, requester: &Requester) -> bool {
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
