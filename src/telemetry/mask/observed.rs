//! What a finding observed, and its details: a text, and the path of the field where it was seen.

use std::borrow::Cow;

use serde_json::Value;

use super::{LABEL_MAPS, LAST_APPLIED, Nature, digest, is_masked, mask_object};

/// Fields of a Secret that are no secret.
const OPEN_FIELDS: [&str; 5] = ["apiVersion", "kind", "metadata", "type", "immutable"];

/// Masks what a finding observed, when its field (`spec.containers[0].env[1].value`, or a JSON pointer) points into a
/// place that [`mask_object`] masks in an object of this kind; and, when what it observed is itself JSON, masks within it.
pub fn mask_observed<'a>(kind: &str, field: &str, observed: &'a str) -> Cow<'a, str> {
    let nature = Nature::of("", kind);
    let steps = steps(field);
    if observed.is_empty() {
        Cow::Borrowed(observed)
    } else if points_at_secret(nature, kind, &steps) {
        whole(observed)
    } else {
        within(nature, kind, observed)
    }
}

/// Masks the details of a finding, which are JSON and stay JSON, as [`mask_observed`] masks what it observed there.
pub fn mask_details<'a>(kind: &str, field: &str, details: &'a str) -> Cow<'a, str> {
    let Ok(text) = serde_json::from_str::<String>(details) else {
        return mask_observed(kind, field, details);
    };
    // A string may hold an object as text.
    match mask_observed(kind, field, &text) {
        Cow::Borrowed(_) => Cow::Borrowed(details),
        Cow::Owned(masked) => Cow::Owned(Value::from(masked).to_string()),
    }
}

/// What is masked already stays: a law sees Secrets masked, and may observe that.
fn whole(observed: &str) -> Cow<'_, str> {
    if serde_json::from_str(observed).is_ok_and(|value| is_masked(&value)) {
        return Cow::Borrowed(observed);
    }
    Cow::Owned(digest(observed.as_bytes()).to_string())
}

fn within<'a>(nature: Nature, kind: &str, observed: &'a str) -> Cow<'a, str> {
    let text = observed.trim_start();
    if !text.starts_with(['{', '[']) {
        return Cow::Borrowed(observed);
    }
    let Ok(mut value) = serde_json::from_str::<Value>(observed) else {
        // A part of an object, or an object in another notation: only what can hold no secret may pass.
        let marks = ["env", "ecret", "oken", "stringData", LAST_APPLIED, "\"value\""];
        // What was cut may have had a mark behind the cut.
        let open = nature == Nature::Plain
            && !observed.ends_with('…')
            && !marks.iter().any(|mark| text.contains(mark));
        return if open { Cow::Borrowed(observed) } else { whole(observed) };
    };
    let before = value.clone();
    mask_object("", kind, &mut value);
    if value == before { Cow::Borrowed(observed) } else { Cow::Owned(value.to_string()) }
}

fn points_at_secret(nature: Nature, kind: &str, steps: &[Step]) -> bool {
    let first = steps.first().map(|step| step.name.as_str());
    let has = |name: &str| steps.iter().any(|step| step.name == name);
    if steps.iter().any(|step| step.name.ends_with(LAST_APPLIED)) || points_at_env(steps) {
        return true;
    }
    match nature {
        Nature::Secret => {
            !first.is_some_and(|first| OPEN_FIELDS.contains(&first)) || has("data") || has("stringData")
        }
        Nature::Token => {
            steps.is_empty() || has("token") || (steps.len() == 1 && matches!(first, Some("status" | "spec")))
        }
        // A Secret may lie within a List or a Vela component; the `data` of a ConfigMap is not secret.
        Nature::Plain => has("stringData") || (has("data") && !kind.starts_with("ConfigMap")),
    }
}

/// Below `env` only the name of a variable, and where its value comes from, may be read.
fn points_at_env(steps: &[Step]) -> bool {
    let mut parent = "";
    for (place, step) in steps.iter().enumerate() {
        if step.name == "env" && !LABEL_MAPS.contains(&parent) {
            let mut below = steps.iter().skip(place + 1);
            let indexed = below.next().is_some_and(|step| step.index);
            let open = below.next().is_some_and(|step| matches!(step.name.as_str(), "name" | "valueFrom"));
            if !(indexed && open) {
                return true;
            }
        }
        parent = &step.name;
    }
    false
}

#[derive(Debug, PartialEq, Eq)]
struct Step {
    name: String,
    /// Whether it can be an element of a list: a number, or what stands in brackets.
    index: bool,
}

/// The steps of `a.b[0].c["x.y/z"]` or of `/a/b/0/c/x.y~1z`; never fails, since any text can be a field.
fn steps(field: &str) -> Vec<Step> {
    let mut steps = Vec::new();
    if let Some(pointer) = field.strip_prefix('/') {
        for part in pointer.split('/') {
            add(&mut steps, &part.replace("~1", "/").replace("~0", "~"), false);
        }
        return steps;
    }
    let mut name = String::new();
    let mut bracket = false;
    let mut quote = None;
    for character in field.chars() {
        match (character, quote) {
            (c, Some(open)) if c == open => quote = None,
            ('"' | '\'', None) if bracket => quote = Some(character),
            ('[' | '.', None) if !bracket => {
                add(&mut steps, &std::mem::take(&mut name), false);
                bracket = character == '[';
            }
            (']', None) if bracket => {
                add(&mut steps, &std::mem::take(&mut name), true);
                bracket = false;
            }
            (other, _) => name.push(other),
        }
    }
    add(&mut steps, &name, bracket);
    steps
}

fn add(steps: &mut Vec<Step>, name: &str, bracketed: bool) {
    if !name.is_empty() {
        let index = bracketed || name.bytes().all(|byte| byte.is_ascii_digit());
        steps.push(Step { name: name.to_owned(), index });
    }
}
