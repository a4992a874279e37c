//! Test cases in YAML: a request and the expected response. `portcullis policy test` and the gate's own tests read them;
//! `docs/cases.md` specifies the format.

mod expect;

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value as Json, json};

pub use expect::{Answer, Expect, Word};

use super::review::Endpoint;

/// The user of a request.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct User {
    pub username: String,
    #[serde(default)]
    pub groups: Vec<String>,
}

/// Test users by short name.
pub type TestUsers = BTreeMap<String, User>;

/// `as`: the name of a test user, or a user.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
enum CaseUser {
    Name(String),
    User(User),
}

/// A case, ready to run.
#[derive(Debug, Clone)]
pub struct Case {
    /// Unique in its file; the id of a variant ends in `/name`.
    pub id: String,
    /// The reason for the expectation; shown when the case fails.
    pub why: String,
    pub endpoint: Endpoint,
    /// The AdmissionReview.
    pub body: Vec<u8>,
    pub expect: Expect,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CaseError {
    #[error("{0}: {1}")]
    File(String, String),
    #[error("{file}: case `{id}`: {message}")]
    Case { file: String, id: String, message: String },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    cases: Vec<Json>,
    #[serde(default)]
    users: TestUsers,
}

/// The fields of a case in YAML.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct CaseFields {
    #[serde(rename = "id")]
    _id: String,
    #[serde(default)]
    why: String,
    #[serde(default, rename = "as")]
    who: Option<CaseUser>,
    #[serde(default)]
    operation: Option<String>,
    #[serde(default)]
    resource: Option<String>,
    #[serde(default)]
    namespace: Option<String>,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    object: Json,
    #[serde(default)]
    old_object: Json,
    #[serde(default)]
    options: Json,
    #[serde(default)]
    dry_run: bool,
    #[serde(default)]
    endpoint: Option<String>,
    expect: Expect,
    #[serde(default)]
    review: Option<Json>,
}

/// Reads a file of cases and expands variants.
///
/// # Errors
/// All errors of the file.
pub fn parse(file: &str, text: &str, users: &TestUsers) -> Result<Vec<Case>, Vec<CaseError>> {
    let read: File = serde_saphyr::from_str(text)
        .map_err(|error| vec![CaseError::File(file.to_owned(), error.without_snippet().to_string())])?;
    let users: TestUsers = users.clone().into_iter().chain(read.users).collect();
    let (mut cases, mut errors) = (Vec::new(), Vec::new());
    for raw in read.cases {
        let id = raw.get("id").and_then(Json::as_str).unwrap_or("?").to_owned();
        for (id, fields) in variants(&id, raw) {
            match case(&id, fields, &users) {
                Ok(case) => cases.push(case),
                Err(message) => errors.push(CaseError::Case { file: file.to_owned(), id, message }),
            }
        }
    }
    let mut seen = std::collections::BTreeSet::new();
    for case in &cases {
        if !seen.insert(&case.id) {
            errors.push(CaseError::Case {
                file: file.to_owned(),
                id: case.id.clone(),
                message: "duplicate id".to_owned(),
            });
        }
    }
    if cases.is_empty() && errors.is_empty() {
        errors.push(CaseError::File(file.to_owned(), "`cases` is empty".to_owned()));
    }
    if errors.is_empty() { Ok(cases) } else { Err(errors) }
}

/// A case, or one for each variant: the variant is merged into the case (RFC 7396) and its `name` appended to the id.
fn variants(id: &str, mut raw: Json) -> Vec<(String, Json)> {
    let variants = raw.as_object_mut().and_then(|fields| fields.remove("variants"));
    let Some(Json::Array(variants)) = variants else { return vec![(id.to_owned(), raw)] };
    let each = |(index, mut variant): (usize, Json)| {
        let name = variant.as_object_mut().and_then(|fields| fields.remove("name"));
        let name = name.as_ref().and_then(Json::as_str).map_or_else(|| index.to_string(), str::to_owned);
        let mut merged = raw.clone();
        json_patch::merge(&mut merged, &variant);
        (format!("{id}/{name}"), merged)
    };
    variants.into_iter().enumerate().map(each).collect()
}

fn case(id: &str, fields: Json, users: &TestUsers) -> Result<Case, String> {
    let fields: CaseFields = serde_json::from_value(fields).map_err(|error| error.to_string())?;
    let endpoint = match fields.endpoint.as_deref() {
        None => Endpoint::Validate,
        Some(word) => Endpoint::parse(word)
            .ok_or_else(|| format!("endpoint `{word}` is not one of validate, mutate"))?,
    };
    let review = match &fields.review {
        Some(review) => review.clone(),
        None => review(id, &fields, users)?,
    };
    let body = serde_json::to_vec(&review).map_err(|error| error.to_string())?;
    Ok(Case { id: id.to_owned(), why: fields.why, endpoint, body, expect: fields.expect })
}

/// The AdmissionReview of a case that has no `review`.
fn review(id: &str, fields: &CaseFields, users: &TestUsers) -> Result<Json, String> {
    let user = user(fields, users)?;
    let operation =
        fields.operation.as_deref().ok_or("operation is missing: CREATE, UPDATE, DELETE or CONNECT")?;
    let notation =
        fields.resource.as_deref().ok_or("resource is missing, for example `deployments.apps/scale`")?;
    let (resource, subresource) =
        notation.split_once('/').map_or((notation, ""), |(resource, sub)| (resource, sub));
    let (resource, group) = resource.split_once('.').unwrap_or((resource, ""));
    let typed = if fields.object.is_object() { &fields.object } else { &fields.old_object };
    let api_version = typed.get("apiVersion").and_then(Json::as_str).unwrap_or("v1");
    let (kind_group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    let kind = json!({"group": kind_group, "version": version, "kind": typed.get("kind").and_then(Json::as_str).unwrap_or_default()});
    let resource_version = if kind_group == group { version } else { "v1" };
    let full = json!({"group": group, "version": resource_version, "resource": resource});
    let metadata = |key: &str| {
        let of = |object: &Json| {
            object.pointer(&format!("/metadata/{key}")).and_then(Json::as_str).map(str::to_owned)
        };
        of(&fields.object).or_else(|| of(&fields.old_object)).unwrap_or_default()
    };
    let name = fields.name.clone().unwrap_or_else(|| metadata("name"));
    let namespace = fields.namespace.clone().unwrap_or_else(|| {
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
        json!({"username": user.username, "uid": format!("uid-of-{}", user.username), "groups": user.groups}),
    );
    put("object", fields.object.clone());
    put("oldObject", fields.old_object.clone());
    put("dryRun", fields.dry_run.into());
    put("options", fields.options.clone());
    Ok(json!({"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "request": request}))
}

fn user(fields: &CaseFields, users: &TestUsers) -> Result<User, String> {
    match &fields.who {
        Some(CaseUser::User(user)) => Ok(user.clone()),
        Some(CaseUser::Name(name)) => users.get(name).cloned().ok_or_else(|| {
            let similar: Vec<&str> = users
                .keys()
                .filter(|other| other.starts_with(name.get(..3).unwrap_or(name)))
                .map(String::as_str)
                .take(8)
                .collect();
            format!(
                "`as: {name}` is not a test user{}{}",
                if similar.is_empty() { "" } else { "; did you mean: " },
                similar.join(", ")
            )
        }),
        None => Err("`as` is missing: the name of a test user, or {username, groups}".to_owned()),
    }
}
