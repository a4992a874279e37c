//! A case in short → the AdmissionReview that kube-apiserver would have sent.

use serde_json::{Value as Json, json};

use super::{People, Person, Who, Wire};

/// The review of a case that is not given as one.
pub(super) fn review(id: &str, wire: &Wire, people: &People) -> Result<Json, String> {
    let who = person(wire, people)?;
    let operation =
        wire.operation.as_deref().ok_or("operation is missing: CREATE, UPDATE, DELETE or CONNECT")?;
    let notation =
        wire.resource.as_deref().ok_or("resource is missing, for example `deployments.apps/scale`")?;
    let (resource, subresource) =
        notation.split_once('/').map_or((notation, ""), |(resource, sub)| (resource, sub));
    let (resource, group) = resource.split_once('.').unwrap_or((resource, ""));
    let shown = if wire.object.is_object() { &wire.object } else { &wire.old_object };
    let api_version = shown.get("apiVersion").and_then(Json::as_str).unwrap_or("v1");
    let (kind_group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    let kind = json!({"group": kind_group, "version": version, "kind": shown.get("kind").and_then(Json::as_str).unwrap_or_default()});
    let resource_version = if kind_group == group { version } else { "v1" };
    let full = json!({"group": group, "version": resource_version, "resource": resource});
    let metadata = |key: &str| {
        let of = |object: &Json| {
            object.pointer(&format!("/metadata/{key}")).and_then(Json::as_str).map(str::to_owned)
        };
        of(&wire.object).or_else(|| of(&wire.old_object)).unwrap_or_default()
    };
    let name = wire.name.clone().unwrap_or_else(|| metadata("name"));
    let namespace = wire.namespace.clone().unwrap_or_else(|| {
        if group.is_empty() && resource == "namespaces" { metadata("name") } else { metadata("namespace") }
    });
    let mut request = json!({
        "uid": format!("case-{id}"), "kind": kind, "resource": full,
        "requestKind": kind, "requestResource": full,
    });
    let mut put = |key: &str, value: Json| {
        if let Some(fields) =
            request.as_object_mut().filter(|_| !matches!(&value, Json::String(text) if text.is_empty()))
        {
            fields.insert(key.to_owned(), value);
        }
    };
    put("subResource", subresource.into());
    put("requestSubResource", subresource.into());
    put("name", name.into());
    put("namespace", namespace.into());
    put("operation", operation.into());
    put(
        "userInfo",
        json!({"username": who.username, "uid": format!("uid-of-{}", who.username), "groups": who.groups}),
    );
    put("object", wire.object.clone());
    put("oldObject", wire.old_object.clone());
    put("dryRun", wire.dry_run.into());
    put("options", wire.options.clone());
    Ok(json!({"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "request": request}))
}

fn person(wire: &Wire, people: &People) -> Result<Person, String> {
    match &wire.who {
        Some(Who::Person(person)) => Ok(person.clone()),
        Some(Who::Name(name)) => people.get(name).cloned().ok_or_else(|| {
            let near: Vec<&str> = people
                .keys()
                .filter(|known| known.starts_with(name.get(..3).unwrap_or(name)))
                .map(String::as_str)
                .take(8)
                .collect();
            format!(
                "`as: {name}` is nobody we know{}{}",
                if near.is_empty() { "" } else { "; there is: " },
                near.join(", ")
            )
        }),
        None => Err("`as` is missing: a name of the people file, or {username, groups}".to_owned()),
    }
}
