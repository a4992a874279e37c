//! Finds pod templates and images in built-in kinds and in Vela Applications.

use portcullis_policy::Value;
use portcullis_rego::analysis::Step;
use portcullis_rego::reads::Reads;
use portcullis_tenancy::image::Image;

use super::decode::interned;
use super::review::{Gvk, Header};

/// The container lists of a pod spec. Image volumes name images too.
const LISTS: [&str; 3] = ["initContainers", "containers", "ephemeralContainers"];

/// The path of a resource's pod template, the object with `metadata` and `spec`; empty for a Pod.
///
/// It depends on the resource, which the API server routed by, not on the kind. Subresources whose body is the object
/// itself count.
fn template_path(header: &Header) -> Option<&'static [&'static str]> {
    if !matches!(header.subresource.as_str(), "" | "status" | "ephemeralcontainers" | "resize" | "finalize") {
        return None;
    }
    resource_template_path(&header.resource)
}

/// The key under which a plan caches its projection: resources with equal layouts have their images in the same fields.
pub(crate) fn layout(header: &Header) -> Option<&'static [&'static str]> {
    if is_application(header) { Some(&["spec", "components"]) } else { template_path(header) }
}

fn resource_template_path(resource: &Gvk) -> Option<&'static [&'static str]> {
    match (resource.group.as_str(), resource.resource.as_str()) {
        ("", "pods") => Some(&[]),
        ("", "podtemplates") => Some(&["template"]),
        ("", "replicationcontrollers")
        | ("apps" | "extensions", "deployments" | "replicasets" | "statefulsets" | "daemonsets")
        | ("batch", "jobs") => Some(&["spec", "template"]),
        ("batch", "cronjobs") => Some(&["spec", "jobTemplate", "spec", "template"]),
        _ => None,
    }
}

/// The fields of the object that `input.images` and `input.workload` are built from.
pub(crate) fn reads(header: &Header, input: &Reads) -> Reads {
    let mut object = Reads::nothing();
    if is_application(header) && input.touches(&["images"]) {
        return application_reads();
    }
    let Some(root) = template_path(header) else { return object };
    let steps = |rest: &[&str]| -> Vec<Step> {
        let name = |part: &&str| if *part == "*" { Step::Any } else { Step::Name((*part).to_owned()) };
        root.iter().chain(rest).map(name).collect()
    };
    if input.touches(&["images"]) {
        for list in LISTS {
            object.add(&steps(&["spec", list, "*", "image"]));
            object.add(&steps(&["spec", list, "*", "name"]));
        }
        object.add(&steps(&["spec", "volumes", "*", "image", "reference"]));
        object.add(&steps(&["spec", "volumes", "*", "name"]));
    }
    for part in ["metadata", "spec"] {
        if let Some(below) = input.at(&["workload", part]).filter(|below| !below.is_nothing()) {
            object.graft(&steps(&[part]), below);
        }
    }
    object
}

/// A field of an object has a type or value that no API server would have accepted, so the review fails.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{path}` is {found}, not {expected}")]
pub struct ShapeError {
    pub path: String,
    pub found: &'static str,
    pub expected: &'static str,
}

impl ShapeError {
    pub(crate) fn new(path: impl Into<String>, value: &Value, expected: &'static str) -> Self {
        let found = match value {
            Value::Null | Value::Undefined => "missing",
            Value::Bool(_) => "a boolean",
            Value::Number(_) => "a number",
            Value::String(_) => "a string",
            Value::Array(_) | Value::Set(_) => "a list",
            Value::Object(_) => "an object",
        };
        Self { path: path.into(), found, expected }
    }
}

/// A member of an object; `None` where it is absent or null.
///
/// # Errors
/// The value is not an object.
pub(crate) fn member<'a>(value: &'a Value, path: &str, key: &str) -> Result<Option<&'a Value>, ShapeError> {
    match value {
        Value::Object(fields) => Ok(fields.get(&interned(key)).filter(|found| **found != Value::Null)),
        other => Err(ShapeError::new(path, other, "an object")),
    }
}

/// The pod template of an object and its path.
///
/// # Errors
/// A field on the path is not an object.
pub(crate) fn find_template<'a>(
    header: &Header,
    object: &'a Value,
) -> Result<Option<(String, &'a Value)>, ShapeError> {
    let Some(root) = template_path(header) else { return Ok(None) };
    let (mut value, mut path) = (object, String::new());
    for part in root {
        let Some(below) = member(value, &path, part)? else { return Ok(None) };
        join(&mut path, part);
        value = below;
    }
    Ok(Some((path, value)))
}

fn is_application(header: &Header) -> bool {
    header.resource.group == "core.oam.dev"
        && header.resource.resource == "applications"
        && header.subresource.is_empty()
}

/// The images of an object.
///
/// # Errors
/// A field of the pod template has the wrong type.
pub(crate) fn images_of(header: &Header, object: &Value) -> Result<Vec<ContainerImage>, ShapeError> {
    if is_application(header) {
        return Ok(application_images(object));
    }
    match find_template(header, object)? {
        Some((path, template)) => images(&path, template),
        None => Ok(Vec::new()),
    }
}

/// An image reference and where it is.
#[derive(Debug, Clone)]
pub(crate) struct ContainerImage {
    /// `spec.template.spec.containers[0].image`
    pub path: String,
    /// `containers`, `initContainers`, `ephemeralContainers` or `volumes`; `components` in an Application.
    pub list: &'static str,
    /// The name of the container, volume or component; a part of a component is named `web/traits/0`.
    pub container: String,
    pub image: Image,
}

/// The images of a pod template, in order of list and position.
///
/// # Errors
/// A list, an element or an image has the wrong type.
fn images(path: &str, template: &Value) -> Result<Vec<ContainerImage>, ShapeError> {
    let mut found = Vec::new();
    let mut spec_path = path.to_owned();
    let Some(spec) = member(template, path, "spec")? else { return Ok(found) };
    join(&mut spec_path, "spec");
    for list in LISTS {
        each(spec, &spec_path, list, |item, item_path| {
            if let Some(image) = member(item, item_path, "image")? {
                let path = format!("{item_path}.image");
                let raw = text(image, &path)?;
                found.push(ContainerImage {
                    path,
                    list,
                    container: name(item, item_path)?,
                    image: Image::parse(raw),
                });
            }
            Ok(())
        })?;
    }
    each(spec, &spec_path, "volumes", |item, item_path| {
        let Some(source) = member(item, item_path, "image")? else { return Ok(()) };
        let source_path = format!("{item_path}.image");
        if let Some(reference) = member(source, &source_path, "reference")? {
            let path = format!("{source_path}.reference");
            let raw = text(reference, &path)?;
            found.push(ContainerImage {
                path,
                list: "volumes",
                container: name(item, item_path)?,
                image: Image::parse(raw),
            });
        }
        Ok(())
    })?;
    Ok(found)
}

fn each(
    spec: &Value,
    spec_path: &str,
    list: &'static str,
    mut visit: impl FnMut(&Value, &str) -> Result<(), ShapeError>,
) -> Result<(), ShapeError> {
    let Some(value) = member(spec, spec_path, list)? else { return Ok(()) };
    let Value::Array(items) = value else {
        return Err(ShapeError::new(format!("{spec_path}.{list}"), value, "a list"));
    };
    for (index, item) in items.iter().enumerate() {
        visit(item, &format!("{spec_path}.{list}[{index}]"))?;
    }
    Ok(())
}

fn name(item: &Value, path: &str) -> Result<String, ShapeError> {
    let name = member(item, path, "name")?;
    name.map_or(Ok(String::new()), |name| text(name, &format!("{path}.name")).map(str::to_owned))
}

/// # Errors
/// The value is not a string.
pub(crate) fn text<'a>(value: &'a Value, path: &str) -> Result<&'a str, ShapeError> {
    match value {
        Value::String(text) => Ok(text),
        other => Err(ShapeError::new(path, other, "a string")),
    }
}

fn join(path: &mut String, part: &str) {
    if !path.is_empty() {
        path.push('.');
    }
    path.push_str(part);
}

/// The parts of an Application that may name images.
fn application_reads() -> Reads {
    let mut object = Reads::nothing();
    for part in ["components", "policies"] {
        object.add(&["spec", part].map(|part| Step::Name(part.to_owned())));
    }
    object
}

/// The images that a Vela Application names: early feedback for its author. The Pod decides which image runs, so fields
/// that are not understood are skipped.
///
/// Components and traits have `image` in their properties, an `override` policy overrides them, `raw` and `k8s-objects`
/// contain whole objects (<https://kubevela.io/docs/end-user/components/references/>).
fn application_images(object: &Value) -> Vec<ContainerImage> {
    let mut found = Vec::new();
    let spec = optional_member(object, "spec");
    components(spec, "spec.components", &mut found);
    for (path, policy) in items(spec.and_then(|spec| optional_member(spec, "policies")), "spec.policies") {
        components(
            optional_member(policy, "properties"),
            &format!("{path}.properties.components"),
            &mut found,
        );
    }
    found
}

fn components(holder: Option<&Value>, path: &str, found: &mut Vec<ContainerImage>) {
    for (path, component) in items(holder.and_then(|holder| optional_member(holder, "components")), path) {
        let name = optional_string(component, "name").unwrap_or_default();
        properties(component, &path, name, found);
        for (index, (path, part)) in
            items(optional_member(component, "traits"), &format!("{path}.traits")).enumerate()
        {
            properties(part, &path, &format!("{name}/traits/{index}"), found);
        }
        // `raw` is one object, `k8s-objects` a list of them.
        let inner = optional_member(component, "properties");
        if let Some(object) = inner {
            embedded_object(object, &format!("{path}.properties"), name, found);
        }
        let objects = inner.and_then(|properties| optional_member(properties, "objects"));
        for (index, (path, object)) in items(objects, &format!("{path}.properties.objects")).enumerate() {
            embedded_object(object, &path, &format!("{name}/objects/{index}"), found);
        }
    }
}

/// The image of a component or trait, and those of a `container-image` trait.
fn properties(part: &Value, path: &str, name: &str, found: &mut Vec<ContainerImage>) {
    let Some(properties) = optional_member(part, "properties") else { return };
    let path = format!("{path}.properties");
    add(properties, &path, name.to_owned(), found);
    for (index, (path, container)) in
        items(optional_member(properties, "containers"), &format!("{path}.containers")).enumerate()
    {
        add(container, &path, format!("{name}/containers/{index}"), found);
    }
}

fn add(holder: &Value, path: &str, container: String, found: &mut Vec<ContainerImage>) {
    if let Some(raw) = optional_string(holder, "image") {
        found.push(ContainerImage {
            path: format!("{path}.image"),
            list: "components",
            container,
            image: Image::parse(raw),
        });
    }
}

/// The images of an object in `raw` or `k8s-objects`.
fn embedded_object(object: &Value, path: &str, name: &str, found: &mut Vec<ContainerImage>) {
    let (group, _) =
        optional_string(object, "apiVersion").and_then(|version| version.split_once('/')).unwrap_or_default();
    // This is the plural of every built-in kind with a pod template.
    let resource = format!("{}s", optional_string(object, "kind").unwrap_or_default().to_lowercase());
    let Some(root) = resource_template_path(&Gvk { group: group.to_owned(), resource, ..Gvk::default() })
    else {
        return;
    };
    let Some(template) = root.iter().try_fold(object, |value, part| optional_member(value, part)) else {
        return;
    };
    let path = [path].iter().chain(root).copied().collect::<Vec<_>>().join(".");
    for image in images(&path, template).unwrap_or_default() {
        let container = format!("{name}/{}/{}", image.list, image.container);
        found.push(ContainerImage { list: "components", container, ..image });
    }
}

fn items<'a>(list: Option<&'a Value>, path: &str) -> impl Iterator<Item = (String, &'a Value)> {
    let items = list.and_then(|list| list.as_array().ok()).map_or(&[][..], |items| items.as_slice());
    items.iter().enumerate().map(move |(index, item)| (format!("{path}[{index}]"), item))
}

fn optional_member<'a>(value: &'a Value, key: &str) -> Option<&'a Value> {
    match value {
        Value::Object(fields) => fields.get(&interned(key)).filter(|found| **found != Value::Null),
        _ => None,
    }
}

fn optional_string<'a>(value: &'a Value, key: &str) -> Option<&'a str> {
    match optional_member(value, key) {
        Some(Value::String(text)) => Some(text),
        _ => None,
    }
}

#[cfg(test)]
mod application_tests;
#[cfg(test)]
mod tests;
