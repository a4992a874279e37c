//! An exemption for a person does not end at the Deployment: what the controllers of kube-system make of it is exempt too,
//! as far as their ownerReferences lead to an object that the exemption is for.

use portcullis_policy::Value;
use portcullis_tenancy::requester::{Class, Requester};

use super::Place;
use crate::review::Review;
use crate::workload::member;

/// Controllers that make objects of other objects' templates, which were judged under their authors' names.
const CONTROLLERS: [&str; 7] = [
    "cronjob-controller",
    "daemon-set-controller",
    "deployment-controller",
    "job-controller",
    "replicaset-controller",
    "replication-controller",
    "statefulset-controller",
];

/// The kinds that they make.
const MADE: [(&str, &str); 3] = [("", "pods"), ("apps", "replicasets"), ("batch", "jobs")];

/// The name of all controllers, where kube-controller-manager runs without `--use-service-account-credentials`.
const SHARED: &str = "system:kube-controller-manager";

/// A resource and the name of one object.
type Named = (&'static str, &'static str, String);

/// What an object was made of, by those who made it.
#[derive(Debug, Default)]
pub struct Made(Option<Vec<Named>>);

impl Made {
    /// `Made(None)` of what none of these controllers writes.
    pub fn of(review: &Review, requester: &Requester) -> Self {
        let account = requester.service_account.as_ref();
        let system = requester.class == Class::System;
        let controller = system
            && account.is_some_and(|(namespace, name)| {
                namespace == "kube-system" && CONTROLLERS.contains(&name.as_str())
            });
        let shared = system && review.header.user.username == SHARED;
        let resource = &review.header.resource;
        let kind = (resource.group.as_str(), resource.resource.as_str());
        if !(controller || shared) || !review.header.subresource.is_empty() || !MADE.contains(&kind) {
            return Self(None);
        }
        let ancestors = review.object.as_ref().map(ancestors).unwrap_or_default();
        // The shared name does not say which controller writes: the owner has to be one whose controller makes this kind.
        let told = controller
            || ancestors.first().is_some_and(|(group, resource, _)| makes((group, resource)).contains(&kind));
        Self(told.then_some(ancestors))
    }

    /// Whether an exemption for these objects extends to this one.
    pub(super) fn within(&self, place: &Place, namespace: &str) -> bool {
        let Some(ancestors) = &self.0 else { return false };
        place.namespace.as_ref().is_none_or(|wanted| **wanted == *namespace)
            && ((place.resource.is_none() && place.name.is_none())
                || ancestors.iter().any(|(group, resource, name)| {
                    place.name.as_ref().is_none_or(|wanted| **wanted == **name)
                        && place.resource.as_ref().is_none_or(|wanted| wanted.matches(group, resource, ""))
                }))
    }
}

/// What the controller of a kind makes of its objects.
fn makes(owner: (&str, &str)) -> &'static [(&'static str, &'static str)] {
    match owner {
        ("apps", "deployments") => &[("apps", "replicasets")],
        ("batch", "cronjobs") => &[("batch", "jobs")],
        ("apps", "replicasets" | "statefulsets" | "daemonsets")
        | ("batch", "jobs")
        | ("", "replicationcontrollers") => &[("", "pods")],
        _ => &[],
    }
}

/// What a controller makes of random bytes for the hash of a template; `apimachinery`'s `rand.SafeEncodeString`.
const HASH_LETTERS: &str = "bcdfghjklmnpqrstvwxz2456789";

/// The one controlling owner, and where its name is as controllers write it, the owner's owner: a ReplicaSet is called after
/// its Deployment and the hash that its Pods carry, a Job after its CronJob and the minute. A review does not show more;
/// the policy `replicaset-hash` keeps people from writing that hash, and nothing keeps them from such a Job.
fn ancestors(object: &Value) -> Vec<Named> {
    let mut found = Vec::new();
    let Ok(Some(metadata)) = member(object, "object", "metadata") else { return found };
    let Ok(Some(Value::Array(owners))) = member(metadata, "object.metadata", "ownerReferences") else {
        return found;
    };
    let text = |of: &Value, key: &str| match member(of, "", key) {
        Ok(Some(Value::String(text))) => text.to_string(),
        _ => String::new(),
    };
    let controls = |owner: &&Value| matches!(member(owner, "", "controller"), Ok(Some(Value::Bool(true))));
    let mut controlling = owners.iter().filter(controls);
    // An API server lets one owner control an object.
    let (Some(owner), None) = (controlling.next(), controlling.next()) else { return found };
    let (api_version, kind, name) = (text(owner, "apiVersion"), text(owner, "kind"), text(owner, "name"));
    let resource = match (api_version.as_str(), kind.as_str()) {
        ("apps/v1", "Deployment") => ("apps", "deployments"),
        ("apps/v1", "ReplicaSet") => ("apps", "replicasets"),
        ("apps/v1", "StatefulSet") => ("apps", "statefulsets"),
        ("apps/v1", "DaemonSet") => ("apps", "daemonsets"),
        ("batch/v1", "Job") => ("batch", "jobs"),
        ("batch/v1", "CronJob") => ("batch", "cronjobs"),
        ("v1", "ReplicationController") => ("", "replicationcontrollers"),
        _ => return found,
    };
    let above = name.rsplit_once('-').filter(|(above, _)| !above.is_empty()).and_then(|(above, end)| {
        let labels = || member(metadata, "", "labels").ok().flatten();
        match resource {
            ("apps", "replicasets") if is_hash(end) => {
                let same = labels().is_some_and(|labels| text(labels, "pod-template-hash") == end);
                same.then_some(("apps", "deployments", above.to_owned()))
            }
            ("batch", "jobs") if is_minute(end) => Some(("batch", "cronjobs", above.to_owned())),
            _ => None,
        }
    });
    found.push((resource.0, resource.1, name.clone()));
    found.extend(above);
    found
}

/// A 32-bit number in decimals, letter by letter in others.
fn is_hash(text: &str) -> bool {
    (1..=10).contains(&text.len()) && text.chars().all(|letter| HASH_LETTERS.contains(letter))
}

/// A minute since 1970: eight digits until 2160.
fn is_minute(text: &str) -> bool {
    text.len() == 8 && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests;
