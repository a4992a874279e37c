//! Patches that append to a list without reading it. The API server calls again with the result (`reinvocationPolicy`),
//! and the second patch would append again.

use serde_json::Value as Json;

use super::findings::written;
use super::safety::Flaw;

/// Judges the rules `patch` of a module's tree. `refers` says whether a rule asks others, which may look at the list.
pub(super) fn check(ast: &Json, refers: &dyn Fn(&Json) -> bool) -> Vec<Flaw> {
    let rules = ast.get("rules").and_then(Json::as_array).into_iter().flatten();
    let patches = rules.filter(|rule| {
        rule.pointer("/Spec/head/Set/refr/Var/value").and_then(Json::as_str) == Some("patch") && !refers(rule)
    });
    patches.filter_map(judge).collect()
}

fn judge(rule: &Json) -> Option<Flaw> {
    let key = rule.pointer("/Spec/head/Set/key")?;
    written(key, rule).into_iter().find_map(|object| {
        let field = |name: &str| {
            let fields = object.get("fields")?.as_array()?;
            fields.iter().find(|field| field.get(1).and_then(text) == Some(name))?.get(2)
        };
        let (path, place) = (field("path").and_then(text)?, field("path")?);
        let list = path.strip_suffix("/-")?.rsplit('/').next()?;
        let adds = field("op").and_then(text) == Some("add");
        (adds && !mentions(rule, list)).then(|| {
            let message = format!(
                "`{path}` appends each time it is asked, and a patch is asked again on its result; look whether `{list}` holds it, as in `not held` with `held if some item in …`"
            );
            Flaw::at(place, message)
        })
    })
}

fn text(node: &Json) -> Option<&str> {
    ["String", "RawString"].iter().find_map(|kind| node.get(*kind)?.get("value")?.as_str())
}

/// Whether a text or a field of this name stands in a rule.
fn mentions(node: &Json, name: &str) -> bool {
    match node {
        Json::String(found) => found == name,
        Json::Array(items) => items.iter().any(|item| mentions(item, name)),
        Json::Object(map) => map.values().any(|value| mentions(value, name)),
        _ => false,
    }
}
