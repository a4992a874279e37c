//! Where a Vela Application names images: early feedback to whoever writes it. Which image runs is judged by the Pod, so
//! what is not understood here is passed over.
//!
//! Components and traits say `image` in their properties (webservice, worker, task, cron-task, daemon, statefulset;
//! sidecar, init-container, container-image), an `override` policy says them again, `raw` and `k8s-objects` hold whole objects
//! (<https://kubevela.io/docs/end-user/components/references/>).

use portcullis_policy::Value;
use portcullis_rego::analysis::Step;
use portcullis_rego::reads::Reads;
use portcullis_tenancy::image::Image;

use super::{Found, images, template_of};
use crate::decode::interned;
use crate::review::Gvk;

/// What of an Application is needed to find its images.
pub fn reads() -> Reads {
    let mut object = Reads::nothing();
    for part in ["components", "policies"] {
        object.add(&["spec", part].map(|part| Step::Name(part.to_owned())));
    }
    object
}

/// Every image that an Application names, in order of position.
pub fn find(object: &Value) -> Vec<Found> {
    let mut found = Vec::new();
    let spec = member(object, "spec");
    components(spec, "spec.components", &mut found);
    for (path, policy) in items(spec.and_then(|spec| member(spec, "policies")), "spec.policies") {
        components(member(policy, "properties"), &format!("{path}.properties.components"), &mut found);
    }
    found
}

fn components(holder: Option<&Value>, place: &str, found: &mut Vec<Found>) {
    for (path, component) in items(holder.and_then(|holder| member(holder, "components")), place) {
        let name = string(component, "name").unwrap_or_default();
        properties(component, &path, name, found);
        for (index, (path, part)) in items(member(component, "traits"), &format!("{path}.traits")).enumerate()
        {
            properties(part, &path, &format!("{name}/traits/{index}"), found);
        }
        // `raw` is one object, `k8s-objects` a list of them.
        let inner = member(component, "properties");
        if let Some(object) = inner {
            whole(object, &format!("{path}.properties"), name, found);
        }
        let objects = inner.and_then(|properties| member(properties, "objects"));
        for (index, (path, object)) in items(objects, &format!("{path}.properties.objects")).enumerate() {
            whole(object, &path, &format!("{name}/objects/{index}"), found);
        }
    }
}

/// The image of a component or trait, and of the containers that a `container-image` trait lists.
fn properties(part: &Value, path: &str, name: &str, found: &mut Vec<Found>) {
    let Some(properties) = member(part, "properties") else { return };
    let path = format!("{path}.properties");
    add(properties, &path, name.to_owned(), found);
    for (index, (path, container)) in
        items(member(properties, "containers"), &format!("{path}.containers")).enumerate()
    {
        add(container, &path, format!("{name}/containers/{index}"), found);
    }
}

fn add(holder: &Value, path: &str, container: String, found: &mut Vec<Found>) {
    if let Some(raw) = string(holder, "image") {
        found.push(Found {
            path: format!("{path}.image"),
            list: "components",
            container,
            image: Image::parse(raw),
        });
    }
}

/// An object of `k8s-objects`, whose kind says where its pod template is.
fn whole(object: &Value, path: &str, name: &str, found: &mut Vec<Found>) {
    let (group, _) =
        string(object, "apiVersion").and_then(|version| version.split_once('/')).unwrap_or_default();
    // The plural of every built-in kind with a pod template.
    let resource = format!("{}s", string(object, "kind").unwrap_or_default().to_lowercase());
    let Some(root) = template_of(&Gvk { group: group.to_owned(), resource, ..Gvk::default() }) else {
        return;
    };
    let Some(template) = root.iter().try_fold(object, |value, part| member(value, part)) else { return };
    let path = [path].iter().chain(root).copied().collect::<Vec<_>>().join(".");
    for image in images(&path, template).unwrap_or_default() {
        let container = format!("{name}/{}/{}", image.list, image.container);
        found.push(Found { list: "components", container, ..image });
    }
}

fn items<'a>(list: Option<&'a Value>, place: &str) -> impl Iterator<Item = (String, &'a Value)> {
    let items = list.and_then(|list| list.as_array().ok()).map_or(&[][..], |items| items.as_slice());
    items.iter().enumerate().map(move |(index, item)| (format!("{place}[{index}]"), item))
}

fn member<'a>(value: &'a Value, key: &str) -> Option<&'a Value> {
    match value {
        Value::Object(fields) => fields.get(&interned(key)).filter(|found| **found != Value::Null),
        _ => None,
    }
}

fn string<'a>(value: &'a Value, key: &str) -> Option<&'a str> {
    match member(value, key) {
        Some(Value::String(text)) => Some(text),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
