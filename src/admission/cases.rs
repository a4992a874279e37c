//! Golden cases: a request in a few lines of YAML, and what must come of it. One format for the authors of policies
//! (`portcullis policy test`) and for the gate's own tests, through `decide` and over TLS alike.
//!
//! The format is documented in `docs/cases.md`.

mod body;
mod expect;

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value as Json;

pub use expect::{Answer, Expect, Word};

use super::review::Endpoint;

/// A person of the cast.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Person {
    /// `userInfo.username`
    pub username: String,
    /// `userInfo.groups`
    #[serde(default)]
    pub groups: Vec<String>,
}

/// Short names → persons.
pub type People = BTreeMap<String, Person>;

/// Who asks: a short name, or a person spelt out.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum Who {
    /// A name of the people file.
    Name(String),
    /// A person.
    Person(Person),
}

/// One case, ready to run.
#[derive(Debug, Clone)]
pub struct Case {
    /// Unique in its file; a variant's ends in `/name`.
    pub id: String,
    /// Why it must be so; shown when it fails.
    pub why: String,
    /// Which endpoint is asked.
    pub endpoint: Endpoint,
    /// The AdmissionReview, as bytes.
    pub body: Vec<u8>,
    /// What must come of it.
    pub expect: Expect,
}

/// Why a file of cases cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CaseError {
    /// The file is no YAML, or has no list `cases`.
    #[error("{0}: {1}")]
    File(String, String),
    /// A case has something nobody documented, or lacks something.
    #[error("{file}: case `{id}`: {message}")]
    Case {
        /// The file.
        file: String,
        /// The case.
        id: String,
        /// What is wrong with it.
        message: String,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    cases: Vec<Json>,
    #[serde(default)]
    people: People,
}

/// A case as it is written.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Wire {
    #[serde(rename = "id")]
    _id: String,
    #[serde(default)]
    why: String,
    #[serde(default, rename = "as")]
    who: Option<Who>,
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

/// Reads a file of cases, variants spelt out.
///
/// # Errors
/// Everything that is wrong with it.
pub fn parse(file: &str, text: &str, people: &People) -> Result<Vec<Case>, Vec<CaseError>> {
    let read: File = serde_saphyr::from_str(text)
        .map_err(|error| vec![CaseError::File(file.to_owned(), error.without_snippet().to_string())])?;
    let people: People = people.clone().into_iter().chain(read.people).collect();
    let (mut cases, mut errors) = (Vec::new(), Vec::new());
    for raw in read.cases {
        let id = raw.get("id").and_then(Json::as_str).unwrap_or("?").to_owned();
        for (id, written) in variants(&id, raw) {
            match case(&id, written, &people) {
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
                message: "stands twice".to_owned(),
            });
        }
    }
    if cases.is_empty() && errors.is_empty() {
        errors.push(CaseError::File(file.to_owned(), "`cases` is empty".to_owned()));
    }
    if errors.is_empty() { Ok(cases) } else { Err(errors) }
}

/// A case, or one a variant: the variant is merged over it (RFC 7396), its `name` ends the id.
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

fn case(id: &str, written: Json, people: &People) -> Result<Case, String> {
    let wire: Wire = serde_json::from_value(written).map_err(|error| error.to_string())?;
    let endpoint = match wire.endpoint.as_deref() {
        None => Endpoint::Validate,
        Some(word) => {
            Endpoint::of(word).ok_or_else(|| format!("endpoint `{word}` is not one of validate, mutate"))?
        }
    };
    let review = match &wire.review {
        Some(review) => review.clone(),
        None => body::review(id, &wire, people)?,
    };
    let body = serde_json::to_vec(&review).map_err(|error| error.to_string())?;
    Ok(Case { id: id.to_owned(), why: wire.why, endpoint, body, expect: wire.expect })
}
