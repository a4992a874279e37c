//! Where pod templates and images are, in every built-in kind and in Vela's Applications.

mod application;

use portcullis_policy::Value;
use portcullis_rego::analysis::Step;
use portcullis_rego::reads::Reads;
use portcullis_tenancy::image::Image;

use super::decode::interned;
use super::review::{Gvk, Header};

/// The container lists of a pod spec; image volumes are read beside them.
const LISTS: [&str; 3] = ["initContainers", "containers", "ephemeralContainers"];

/// Where the pod template of a resource is: the path to what holds `metadata` and `spec`. Empty for a Pod itself.
///
/// By resource, not by kind: the resource is what the API server routed, and one kind serves many resources.
/// Subresources that carry the object itself count; Scale, Binding, Eviction and the options kinds hold no Pod.
pub fn template(header: &Header) -> Option<&'static [&'static str]> {
    if !matches!(header.subresource.as_str(), "" | "status" | "ephemeralcontainers" | "resize" | "finalize") {
        return None;
    }
    template_of(&header.resource)
}

/// What tells apart the resources of which different parts are built; see [`reads`].
pub fn layout(header: &Header) -> Option<&'static [&'static str]> {
    if is_application(header) { Some(&["spec", "components"]) } else { template(header) }
}

fn template_of(resource: &Gvk) -> Option<&'static [&'static str]> {
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

/// What of the object is needed to answer `input.images` and `input.workload`.
pub fn reads(header: &Header, input: &Reads) -> Reads {
    let mut object = Reads::nothing();
    if is_application(header) && input.touches(&["images"]) {
        return application::reads();
    }
    let Some(root) = template(header) else { return object };
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

/// An object has a shape no API server would have let through: nothing can be said about it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{path}` is {found}, not {wanted}")]
pub struct ShapeError {
    /// Where.
    pub path: String,
    /// What stands there.
    pub found: &'static str,
    /// What must.
    pub wanted: &'static str,
}

impl ShapeError {
    /// What stands at a path, against what must.
    pub fn new(path: impl Into<String>, value: &Value, wanted: &'static str) -> Self {
        let found = match value {
            Value::Null | Value::Undefined => "missing",
            Value::Bool(_) => "a boolean",
            Value::Number(_) => "a number",
            Value::String(_) => "a string",
            Value::Array(_) | Value::Set(_) => "a list",
            Value::Object(_) => "an object",
        };
        Self { path: path.into(), found, wanted }
    }
}

/// A member of an object; `None` where it is absent or null.
///
/// # Errors
/// The value is no object.
pub fn member<'a>(value: &'a Value, path: &str, key: &str) -> Result<Option<&'a Value>, ShapeError> {
    match value {
        Value::Object(fields) => Ok(fields.get(&interned(key)).filter(|found| **found != Value::Null)),
        other => Err(ShapeError::new(path, other, "an object")),
    }
}

/// The pod template of an object: its path in words, and the value that holds `metadata` and `spec`.
///
/// # Errors
/// Something on the way is no object.
pub fn find<'a>(header: &Header, object: &'a Value) -> Result<Option<(String, &'a Value)>, ShapeError> {
    let Some(root) = template(header) else { return Ok(None) };
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

/// Every image of an object, whatever it is; none where nothing of it runs one.
///
/// # Errors
/// A pod template of the wrong shape.
pub fn images_of(header: &Header, object: &Value) -> Result<Vec<Found>, ShapeError> {
    if is_application(header) {
        return Ok(application::find(object));
    }
    match find(header, object)? {
        Some((path, template)) => images(&path, template),
        None => Ok(Vec::new()),
    }
}

/// One image reference of a pod spec.
#[derive(Debug, Clone)]
pub struct Found {
    /// `spec.template.spec.containers[0].image`
    pub path: String,
    /// `containers`, `initContainers`, `ephemeralContainers` or `volumes`; `components` in an Application.
    pub list: &'static str,
    /// The container's, volume's or component's name; what is below a component has its place after it: `web/traits/0`.
    pub container: String,
    /// The reference, read.
    pub image: Image,
}

/// Every image reference of a pod template, in order of list and position.
///
/// # Errors
/// A list that is none, an element that is no object, an image that is no string.
pub fn images(path: &str, template: &Value) -> Result<Vec<Found>, ShapeError> {
    let mut found = Vec::new();
    let mut spec_path = path.to_owned();
    let Some(spec) = member(template, path, "spec")? else { return Ok(found) };
    join(&mut spec_path, "spec");
    for list in LISTS {
        each(spec, &spec_path, list, |item, item_path| {
            if let Some(image) = member(item, item_path, "image")? {
                let path = format!("{item_path}.image");
                let raw = text(image, &path)?;
                found.push(Found { path, list, container: name(item, item_path)?, image: Image::parse(raw) });
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
            found.push(Found {
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

/// A string.
///
/// # Errors
/// The value is something else.
pub fn text<'a>(value: &'a Value, path: &str) -> Result<&'a str, ShapeError> {
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

#[cfg(test)]
mod tests;
