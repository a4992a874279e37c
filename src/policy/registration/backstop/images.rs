//! Images by their text: what is plainly outside the ceiling.

use super::who::quoted;
use portcullis_tenancy::image::Entry;

/// Of Docker Hub, whose names may be written in more ways than CEL should know.
const HUB: &str = "docker.io";

/// One validation a list of containers.
pub(super) fn validations(ceiling: &[Entry]) -> Vec<(String, &'static str)> {
    let message = "an image is from outside the registries that the platform admits";
    let container = inside("c.image", ceiling);
    let volume = inside("v.image.reference", ceiling);
    let known = "(oldObject != null && has(oldObject.spec) && has(oldObject.spec.ephemeralContainers) &&\n    \
                 oldObject.spec.ephemeralContainers.exists(o, o.name == c.name && has(o.image) && o.image == c.image))";
    let list = |name: &str, each: &str| {
        format!(
            "!has(object.spec) || !has(object.spec.{name}) || dyn(object.spec.{name}) == null ||\n\
             object.spec.{name}.all({each})"
        )
    };
    let on_create = |text: String| format!("request.operation != \"CREATE\" || {text}");
    [
        on_create(list("containers", &format!("c, !has(c.image) || c.image == \"\" ||\n  {container}"))),
        on_create(list("initContainers", &format!("c, !has(c.image) || c.image == \"\" ||\n  {container}"))),
        list(
            "ephemeralContainers",
            &format!("c, !has(c.image) || c.image == \"\" || {known} ||\n  {container}"),
        ),
        on_create(list(
            "volumes",
            &format!(
                "v, !has(v.image) || !has(v.image.reference) || v.image.reference == \"\" ||\n  {volume}"
            ),
        )),
    ]
    .into_iter()
    .map(|text| (text, message))
    .collect()
}

/// Whether the text at `path` may be inside. What names no registry is Docker Hub's.
fn inside(path: &str, ceiling: &[Entry]) -> String {
    let entries: Vec<String> = ceiling.iter().map(ToString::to_string).collect();
    let hub = entries.iter().any(|entry| entry == HUB || entry.starts_with(&format!("{HUB}/")));
    let list = |paths: bool| {
        let some = entries.iter().filter(|entry| entry.contains('/') == paths);
        some.map(|entry| quoted(entry)).collect::<Vec<_>>().join(", ")
    };
    format!(
        "((!{path}.contains(\"/\") || !({path}.split(\"/\")[0].contains(\".\") || {path}.split(\"/\")[0].contains(\":\") ||\n    \
         {path}.split(\"/\")[0] == \"localhost\") || {path}.startsWith(\"{HUB}/\") || {path}.startsWith(\"index.{HUB}/\"))\n  \
         ? {hub}\n  \
         : [{hosts}].exists(e, {path}.startsWith(e + \"/\")) ||\n    \
         [{paths}].exists(e, {path} == e || {path}.startsWith(e + \"/\") || {path}.startsWith(e + \":\") || {path}.startsWith(e + \"@\")))",
        hosts = list(false),
        paths = list(true),
    )
}
