//! The fixed part of the input document. A reference to a field that it does not have, or a comparison that is never true,
//! is refused.

use portcullis_rego::analysis::{Comparison, Step};
use portcullis_rego::did_you_mean::nearest;

enum InputSchema {
    Any,
    /// A string, a number or a boolean.
    Scalar,
    /// One of these strings.
    Word(&'static [&'static str]),
    List(&'static InputSchema),
    /// An object with these fields and no others.
    Object(&'static [(&'static str, &'static InputSchema)]),
}

use InputSchema::{Any, List, Object, Scalar, Word};

static INPUT: InputSchema = Object(NAMES);
const NAMES: &[(&str, &InputSchema)] = &[
    ("request", &REQUEST),
    ("tenancy", &TENANCY),
    ("workload", &WORKLOAD),
    ("images", &List(&IMAGE)),
    ("templates", &List(&TEMPLATE)),
    ("changed", &List(&Scalar)),
    ("finalizerRemoval", &Scalar),
    ("now", &Scalar),
];
static REQUEST: InputSchema = Object(&[
    ("uid", &Scalar),
    ("kind", &KIND),
    ("resource", &RESOURCE),
    ("subResource", &Scalar),
    ("requestKind", &KIND),
    ("requestResource", &RESOURCE),
    ("requestSubResource", &Scalar),
    ("name", &Scalar),
    ("namespace", &Scalar),
    ("operation", &Word(&["CREATE", "UPDATE", "DELETE", "CONNECT"])),
    ("userInfo", &USER),
    ("object", &Any),
    ("oldObject", &Any),
    ("dryRun", &Scalar),
    ("options", &Any),
]);
static KIND: InputSchema = Object(&[("group", &Scalar), ("version", &Scalar), ("kind", &Scalar)]);
static RESOURCE: InputSchema = Object(&[("group", &Scalar), ("version", &Scalar), ("resource", &Scalar)]);
static USER: InputSchema =
    Object(&[("username", &Scalar), ("uid", &Scalar), ("groups", &List(&Scalar)), ("extra", &Any)]);
static TENANCY: InputSchema = Object(&[("namespace", &NAMESPACE), ("requester", &REQUESTER)]);
static NAMESPACE: InputSchema = Object(&[
    ("kind", &Word(&["app", "sandbox", "unregistered", "platform", "cluster"])),
    ("name", &Scalar),
    ("tenant", &Scalar),
    ("project", &Scalar),
    ("app", &Scalar),
    ("sandbox", &Scalar),
    ("tenantId", &Scalar),
    ("projectId", &Scalar),
    ("appId", &Scalar),
    ("sandboxId", &Scalar),
    ("expired", &Scalar),
    ("status", &Scalar),
    ("labels", &Any),
]);
static REQUESTER: InputSchema = Object(&[
    (
        "class",
        &Word(&["platform", "vela", "capsule", "system", "node", "controller", "admin", "tenant", "unknown"]),
    ),
    ("name", &Scalar),
    ("tenants", &List(&Scalar)),
    ("createsNamespaces", &Scalar),
    ("writes", &Scalar),
    ("writesByName", &Scalar),
    ("serviceAccountNamespace", &Scalar),
    ("username", &Scalar),
]);
static WORKLOAD: InputSchema = Object(&[("path", &Scalar), ("metadata", &Any), ("spec", &Any)]);
static IMAGE: InputSchema = Object(&[
    ("path", &Scalar),
    ("list", &Scalar),
    ("container", &Scalar),
    ("raw", &Scalar),
    ("ok", &Scalar),
    ("reason", &Scalar),
    ("valid", &Scalar),
    ("registry", &Scalar),
    ("repository", &Scalar),
    ("tag", &Scalar),
    ("tagDefaulted", &Scalar),
    ("digest", &Scalar),
    ("canonical", &Scalar),
    ("changed", &Scalar),
    ("entries", &ENTRIES),
]);
static TEMPLATE: InputSchema = Object(&[("field", &Scalar), ("entries", &Any), ("old", &Any)]);
static ENTRIES: InputSchema = Object(&[("ceiling", &Scalar), ("platform", &Scalar), ("tenant", &Scalar)]);

/// The names directly below `input`.
pub fn input_names() -> Vec<&'static str> {
    NAMES.iter().map(|(name, _)| *name).collect()
}

/// The schema at a path, and the path as text; an error where the path is always undefined.
fn follow(steps: &[Step]) -> Result<(&'static InputSchema, String), String> {
    let (mut schema, mut path) = (&INPUT, "input".to_owned());
    for step in steps {
        schema = match (schema, step) {
            (Object(names), Step::Name(name)) => match names.iter().find(|(known, _)| known == name) {
                Some((_, below)) => below,
                None => return Err(unknown(&path, name, names)),
            },
            (List(element), Step::Any) => element,
            (List(_), Step::Name(name)) => {
                return Err(format!(
                    "`{path}.{name}` is always undefined: `{path}` is a list; write `{path}[_].{name}`"
                ));
            }
            (Scalar | Word(_), Step::Name(name)) => {
                return Err(format!("`{path}.{name}` is always undefined: nothing is below `{path}`"));
            }
            (Scalar | Word(_), Step::Any) => {
                return Err(format!("`{path}[…]` is always undefined: nothing is below `{path}`"));
            }
            (Any, _) | (Object(_), Step::Any) => return Ok((&Any, path)),
        };
        match step {
            Step::Name(name) => path = format!("{path}.{name}"),
            Step::Any => path.push_str("[_]"),
        }
    }
    Ok((schema, path))
}

fn unknown(path: &str, name: &str, names: &[(&'static str, &InputSchema)]) -> String {
    let known: Vec<&str> = names.iter().map(|(known, _)| *known).collect();
    let elsewhere = match (path, name) {
        ("input", "review") => Some("input.request"),
        ("input", "parameters") => Some("data.params"),
        ("input", "object" | "oldObject" | "operation" | "userInfo" | "namespace" | "name" | "kind") => {
            Some("")
        }
        _ => None,
    };
    let meant = match elsewhere {
        Some("") => Some(format!("input.request.{name}")),
        Some(other) => Some(other.to_owned()),
        None => nearest(name, known.iter().copied()).map(|near| format!("{path}.{near}")),
    };
    let meant = meant.map(|meant| format!(": did you mean `{meant}`?")).unwrap_or_default();
    format!("`{path}.{name}` is always undefined; below `{path}` there is: {}{meant}", known.join(", "))
}

/// Why a path is always undefined, where it is.
pub(super) fn undefined_path(steps: &[Step]) -> Option<String> {
    follow(steps).err()
}

/// Why a comparison with a string is never true, where it is.
pub(super) fn never_equal(compared: &Comparison) -> Option<String> {
    let (schema, path) = follow(&compared.path).ok()?;
    let text = &compared.text;
    match schema {
        Word(words) if !words.contains(&text.as_str()) => {
            let meant = nearest(text, words.iter().copied()).map(|near| format!(": did you mean `{near}`?"));
            Some(format!(
                "`{path}` is never \"{text}\"; it is one of: {}{}",
                words.join(", "),
                meant.unwrap_or_default()
            ))
        }
        Object(names) => {
            let names: Vec<&str> = names.iter().map(|(name, _)| *name).collect();
            Some(format!(
                "`{path}` is an object and never equals a text; below it there is: {}",
                names.join(", ")
            ))
        }
        List(_) => Some(format!("`{path}` is a list and never equals a text; write `\"{text}\" in {path}`")),
        _ => None,
    }
}
