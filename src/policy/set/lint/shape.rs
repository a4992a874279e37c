//! The shape of the input, as far as it is always the same: names that are none, lists taken for objects, words that
//! never stand there.

use portcullis_rego::analysis::{Compared, Step};
use portcullis_rego::did_you_mean::nearest;

/// What stands at a place of the input.
enum Shape {
    /// Whatever it may be.
    Any,
    /// A text, a number or a boolean.
    Scalar,
    /// One of these words.
    Word(&'static [&'static str]),
    /// A list.
    List(&'static Shape),
    /// An object with these names and no others.
    Object(&'static [(&'static str, &'static Shape)]),
}

use Shape::{Any, List, Object, Scalar, Word};

static INPUT: Shape = Object(NAMES);
const NAMES: &[(&str, &Shape)] = &[
    ("request", &REQUEST),
    ("tenancy", &TENANCY),
    ("workload", &WORKLOAD),
    ("images", &List(&IMAGE)),
    ("templates", &List(&TEMPLATE)),
    ("changed", &List(&Scalar)),
    ("finalizerRemoval", &Scalar),
    ("now", &Scalar),
];
static REQUEST: Shape = Object(&[
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
static KIND: Shape = Object(&[("group", &Scalar), ("version", &Scalar), ("kind", &Scalar)]);
static RESOURCE: Shape = Object(&[("group", &Scalar), ("version", &Scalar), ("resource", &Scalar)]);
static USER: Shape =
    Object(&[("username", &Scalar), ("uid", &Scalar), ("groups", &List(&Scalar)), ("extra", &Any)]);
static TENANCY: Shape = Object(&[("namespace", &NAMESPACE), ("requester", &REQUESTER)]);
static NAMESPACE: Shape = Object(&[
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
static REQUESTER: Shape = Object(&[
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
static WORKLOAD: Shape = Object(&[("path", &Scalar), ("metadata", &Any), ("spec", &Any)]);
static IMAGE: Shape = Object(&[
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
static TEMPLATE: Shape = Object(&[("field", &Scalar), ("entries", &Any), ("old", &Any)]);
static ENTRIES: Shape = Object(&[("ceiling", &Scalar), ("platform", &Scalar), ("tenant", &Scalar)]);

/// The names directly below `input`.
pub fn input_names() -> Vec<&'static str> {
    NAMES.iter().map(|(name, _)| *name).collect()
}

/// Follows a path as far as it is known.
fn follow(steps: &[Step]) -> Result<(&'static Shape, String), String> {
    let (mut shape, mut path) = (&INPUT, "input".to_owned());
    for step in steps {
        shape = match (shape, step) {
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
    Ok((shape, path))
}

fn unknown(path: &str, name: &str, names: &[(&'static str, &Shape)]) -> String {
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

/// What is wrong with a path.
pub(super) fn misnamed(steps: &[Step]) -> Option<String> {
    follow(steps).err()
}

/// What is wrong with a comparison: a word that never stands there, or a text in the place of an object.
pub(super) fn miscompared(compared: &Compared) -> Option<String> {
    let (shape, path) = follow(&compared.path).ok()?;
    let text = &compared.text;
    match shape {
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
