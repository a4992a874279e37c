//! The law that the ledger keeps: uploaded as revisions, each compiled and tested before it is taken.

use std::collections::BTreeMap;

use axum::extract::State;
use serde::{Deserialize, Serialize};
use similar::TextDiff;
use utoipa::ToSchema;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};

use super::Api;
use super::answer::{Answer, Created};
use super::body::{Body, Path, Query};
use super::caller::Caller;
use super::page::Page;
use super::policysets::PlainQuery;
use super::problem::{Code, Fault, Problem};
use portcullis_policy::layers::Layers;
use portcullis_policy::set::Options;
use portcullis_policy::{Bundle, PolicySet, Problems, testing};
use portcullis_store::bundles::{self, Files, Revision};

/// A law to be taken.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Upload {
    /// Path inside the bundle → text: policies, their tests, `params/<id>/data.yaml`, `sets/<name>.yaml`.
    #[schema(schema_with = files_schema)]
    files: Files,
    /// What people should know of it.
    #[serde(default)]
    #[schema(max_length = 1000)]
    note: String,
}

fn files_schema() -> RefOr<Schema> {
    let text = ObjectBuilder::new().schema_type(Type::String).max_length(Some(super::body::BODY_MAX));
    let path = ObjectBuilder::new().schema_type(Type::String).min_length(Some(1)).max_length(Some(200));
    let path = path.pattern(Some("^[A-Za-z0-9_-][A-Za-z0-9_.-]*(/[A-Za-z0-9_-][A-Za-z0-9_.-]*)*$")).build();
    ObjectBuilder::new()
        .schema_type(Type::Object)
        .additional_properties(Some(RefOr::T(Schema::from(text))))
        .property_names(Some(Schema::from(path)))
        .max_properties(Some(1000))
        .description(Some("Path inside the bundle → text."))
        .into()
}

/// A revision with its files.
#[derive(Debug, Serialize, ToSchema)]
pub struct Law {
    /// The revision.
    #[serde(flatten)]
    revision: Revision,
    /// Path inside the bundle → text.
    files: Files,
}

/// What differs between two revisions.
#[derive(Debug, Serialize, ToSchema)]
pub struct LawDiff {
    /// Files that only the second has.
    added: Vec<String>,
    /// Files that only the first has.
    removed: Vec<String>,
    /// Files that differ, as unified diffs.
    changed: BTreeMap<String, String>,
}

/// Takes a law, after it was compiled with what lies below it, and its tests have passed.
pub async fn upload(
    State(api): State<Api>,
    caller: Caller,
    Body(Upload { files, note }): Body<Upload>,
) -> Result<Created<Revision>, Problem> {
    add(&api, &caller, "policy.upload", files, &note).await
}

fn pointer(path: &str) -> String {
    format!("/files/{}", path.replace('~', "~0").replace('/', "~1"))
}

/// Lists revisions, the newest first.
pub async fn list(
    State(api): State<Api>,
    caller: Caller,
    Query(query): Query<PlainQuery>,
) -> Result<Answer<Page<Revision>>, Problem> {
    let window = query.window()?;
    let below = window.after.as_deref().and_then(|after| after.parse().ok());
    let mut tx = api.read(&caller).await?;
    let limit = i64::try_from(window.limit).unwrap_or(200);
    let mut items = bundles::list(&mut tx, below, limit + 1).await?;
    let more = items.len() > window.limit;
    items.truncate(window.limit);
    let last = items.last().filter(|_| more).map(|last| super::page::encode(&last.revision.to_string()));
    Ok(Answer::new(Page { items, next_cursor: last }))
}

/// Shows a revision, for gates too.
pub async fn get(
    State(api): State<Api>,
    caller: Caller,
    Path(n): Path<String>,
) -> Result<Answer<Law>, Problem> {
    let mut tx = api.read(&caller).await?;
    let (revision, files) = bundles::get(&mut tx, number(&n)?).await?;
    Ok(Answer::new(Law { revision, files }))
}

/// Says what differs between two revisions.
pub async fn diff(
    State(api): State<Api>,
    caller: Caller,
    Path((n, m)): Path<(String, String)>,
) -> Result<Answer<LawDiff>, Problem> {
    let mut tx = api.read(&caller).await?;
    let (_, from) = bundles::get(&mut tx, number(&n)?).await?;
    let (_, to) = bundles::get(&mut tx, number(&m)?).await?;
    let only = |a: &Files, b: &Files| a.keys().filter(|path| !b.contains_key(*path)).cloned().collect();
    let changed = from.iter().filter_map(|(path, was)| {
        let is = to.get(path).filter(|is| *is != was)?;
        let text = TextDiff::from_lines(was, is).unified_diff().header(path, path).to_string();
        Some((path.clone(), text))
    });
    Ok(Answer::new(LawDiff {
        added: only(&to, &from),
        removed: only(&from, &to),
        changed: changed.collect(),
    }))
}

/// Makes the content of a revision the newest; it is tried as an upload is.
pub async fn rollback(
    State(api): State<Api>,
    caller: Caller,
    Path(n): Path<String>,
) -> Result<Created<Revision>, Problem> {
    let n = number(&n)?;
    let mut tx = api.read(&caller).await?;
    let (_, files) = bundles::get(&mut tx, n).await?;
    tx.rollback().await?;
    add(&api, &caller, "policy.rollback", files, &format!("as it was in revision {n}")).await
}

async fn add(
    api: &Api,
    caller: &Caller,
    action: &'static str,
    files: Files,
    note: &str,
) -> Result<Created<Revision>, Problem> {
    let layers = api.layers()?.clone();
    let tried = files.clone();
    // Compiling takes milliseconds and tests may take more: not on a thread that answers.
    let tried = tokio::task::spawn_blocking(move || attempt(&layers, tried)).await;
    tried.map_err(|error| Problem::internal(&error))?.map_err(|problems| refused(&problems))?;
    let mut tx = api.write(caller).await?;
    let made = bundles::add(&mut tx, action, &files, note).await?;
    let at = format!("/api/v1/policies/revisions/{}", made.revision);
    caller.commit(tx, Created::fixed_at(at, made)).await
}

/// Whether the files make a law over what lies below.
fn attempt(layers: &Layers, files: Files) -> Result<(), Problems> {
    let bundle = Bundle::from_files(files.into_iter().map(|(path, text)| (path, text.into_bytes())))?;
    let law = layers.with(&bundle)?;
    PolicySet::compile(&law, Options::default(), Some(&layers.live().load()))?;
    testing::pass(&law)?;
    Ok(())
}

fn refused(problems: &Problems) -> Problem {
    let faults =
        problems.0.iter().take(100).map(|problem| Fault::new(pointer(&problem.file), problem.to_string()));
    Problem::faults(Code::PolicyInvalid, faults.collect())
}

/// The number of a revision. What is none names nothing.
fn number(text: &str) -> Result<i64, Problem> {
    text.parse().map_err(|_| Problem::of(Code::PolicyNotFound))
}
