//! The images and OCI registries that a source names, wherever they stand.
//!
//! A chart is rendered later and elsewhere, so this finds what can be found without rendering: images of pod templates in
//! any kind, of components and traits, of charts' values by the conventions that nearly all of them keep. The policies
//! decide again when the Pod is created; this early check reports the denial to the author.

use serde_json::{Map, Value};

use super::structure::{join, members};
use portcullis_tenancy::source::SourceKind;

/// An image reference with its pointer in the source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageReference {
    /// Where the author can change it.
    pub pointer: String,
    /// The whole reference, as a runtime would be given it.
    pub reference: String,
}

/// How the scheme of OCI registries is written.
const OCI: &str = "oci://";

/// Every reference in a source of a known kind. `at` is where the source stands.
pub fn of_source(source: &Value, kind: SourceKind, at: &str) -> Vec<ImageReference> {
    let at = join(at, kind.as_str());
    let Some(body) = source.get(kind.as_str()) else { return Vec::new() };
    match kind {
        SourceKind::ContainerImage => container_image(body, &at),
        SourceKind::HelmOci => {
            let mut found: Vec<ImageReference> = chart(body, &at).into_iter().collect();
            found.extend(
                body.get("values").map(|values| anywhere(values, &join(&at, "values"))).unwrap_or_default(),
            );
            found
        }
        _ => anywhere(body, &at),
    }
}

/// Every reference in something written freely: manifests, values, parameters, components, traits, policies.
pub fn anywhere(value: &Value, at: &str) -> Vec<ImageReference> {
    let mut found = Vec::new();
    walk(value, at, &mut found);
    found
}

fn walk(value: &Value, at: &str, found: &mut Vec<ImageReference>) {
    if let Value::String(text) = value
        && let Some(reference) = text.strip_prefix(OCI)
    {
        found.push(ImageReference { pointer: at.to_owned(), reference: reference.to_owned() });
    }
    if let Value::Object(fields) = value {
        found.extend(fields.get("image").and_then(|image| image_member(image, &join(at, "image"))));
        found.extend(patched(fields, at));
    }
    let opaque = value.as_object().is_some_and(holds_opaque_data);
    for (pointer, member) in members(value, at) {
        if !(opaque
            && ["/data", "/binaryData", "/stringData"].iter().any(|end| pointer == format!("{at}{end}")))
        {
            walk(member, &pointer, found);
        }
    }
}

/// What stands under `image`: the reference itself, its parts as charts have them, or an image volume.
fn image_member(image: &Value, at: &str) -> Option<ImageReference> {
    if let Some(reference) = image.as_str() {
        return Some(ImageReference { pointer: at.to_owned(), reference: reference.to_owned() });
    }
    if let Some(reference) = text(image, "reference") {
        return Some(ImageReference { pointer: join(at, "reference"), reference: reference.to_owned() });
    }
    let repository = text(image, "repository")?;
    let registry = text(image, "registry").map(|registry| format!("{registry}/")).unwrap_or_default();
    let tag = text(image, "tag").map(|tag| format!(":{tag}")).unwrap_or_default();
    let digest = text(image, "digest").map(|digest| format!("@{digest}")).unwrap_or_default();
    let pointer = if registry.is_empty() { join(at, "repository") } else { at.to_owned() };
    Some(ImageReference { pointer, reference: format!("{registry}{repository}{tag}{digest}") })
}

/// An RFC 6902 operation that puts an image somewhere (the trait `json-patch`).
fn patched(fields: &Map<String, Value>, at: &str) -> Option<ImageReference> {
    let path = fields.get("path")?.as_str()?;
    let reference = fields.get("value")?.as_str()?;
    let ends = path.ends_with("/image") || path.ends_with("/image/reference");
    ends.then(|| ImageReference { pointer: join(at, "value"), reference: reference.to_owned() })
}

/// `image` with `tag`, which stands apart so that an override can change it alone.
fn container_image(body: &Value, at: &str) -> Vec<ImageReference> {
    let Some(image) = text(body, "image") else { return Vec::new() };
    let tag = text(body, "tag").map(|tag| format!(":{tag}")).unwrap_or_default();
    vec![ImageReference { pointer: join(at, "image"), reference: format!("{image}{tag}") }]
}

/// A chart in a registry is an artifact like any other; Helm writes `+` of a version as `_` in its tag.
fn chart(body: &Value, at: &str) -> Option<ImageReference> {
    let registry = text(body, "registry")?.strip_prefix(OCI)?.trim_end_matches('/');
    let (chart, version) = (text(body, "chart")?, text(body, "version")?.replace('+', "_"));
    Some(ImageReference { pointer: join(at, "registry"), reference: format!("{registry}/{chart}:{version}") })
}

/// A non-empty text: charts leave `tag: ""` for their own version.
fn text<'a>(value: &'a Value, key: &str) -> Option<&'a str> {
    value.get(key)?.as_str().filter(|text| !text.is_empty())
}

/// Of a ConfigMap's contents nothing is run as an image.
fn holds_opaque_data(fields: &Map<String, Value>) -> bool {
    fields.get("kind").and_then(Value::as_str).is_some_and(|kind| kind == "ConfigMap" || kind == "Secret")
}
