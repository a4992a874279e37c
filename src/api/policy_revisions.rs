//! Revisions of the policies in the ledger. Each upload is compiled and tested before it is stored.

use std::collections::BTreeMap;

use axum::extract::State;
use serde::{Deserialize, Serialize};
use similar::TextDiff;
use utoipa::ToSchema;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};

use super::Api;
use super::answer::{Answer, Created};
use super::caller::Caller;
use super::extract::{Body, Path, Query};
use super::page::{Page, PageQuery};
use super::problem::{Code, Fault, Problem};
use portcullis_policy::layers::Layers;
use portcullis_policy::set::Options;
use portcullis_policy::{Bundle, PolicySet, Problems, rego_tests};
use portcullis_store::bundles::{self, Files, Revision};

/// Policies to upload.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PolicyUpload {
    /// Path inside the bundle → text: policies, their tests, `params/<id>/data.yaml`, `sets/<name>.yaml`.
    #[schema(schema_with = files_schema)]
    files: Files,
    /// A note for readers of the revision list.
    #[serde(default)]
    #[schema(max_length = 1000)]
    note: String,
}

fn files_schema() -> RefOr<Schema> {
    let text = ObjectBuilder::new().schema_type(Type::String).max_length(Some(super::extract::BODY_MAX));
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
pub struct PolicyRevision {
    /// The revision.
    #[serde(flatten)]
    revision: Revision,
    /// Path inside the bundle → text.
    files: Files,
}

/// The difference between two revisions.
#[derive(Debug, Serialize, ToSchema)]
pub struct PolicyDiff {
    /// Files that only the second has.
    added: Vec<String>,
    /// Files that only the first has.
    removed: Vec<String>,
    /// Files that differ, as unified diffs.
    changed: BTreeMap<String, String>,
}

pub async fn upload(
    State(api): State<Api>,
    caller: Caller,
    Body(PolicyUpload { files, note }): Body<PolicyUpload>,
) -> Result<Created<Revision>, Problem> {
    add(&api, &caller, "policy.upload", files, &note).await
}

fn pointer(path: &str) -> String {
    format!("/files/{}", path.replace('~', "~0").replace('/', "~1"))
}

pub async fn list(
    State(api): State<Api>,
    caller: Caller,
    Query(query): Query<PageQuery>,
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

pub async fn get(
    State(api): State<Api>,
    caller: Caller,
    Path(n): Path<String>,
) -> Result<Answer<PolicyRevision>, Problem> {
    let mut tx = api.read(&caller).await?;
    let (revision, files) = bundles::get(&mut tx, number(&n)?).await?;
    Ok(Answer::new(PolicyRevision { revision, files }))
}

pub async fn diff(
    State(api): State<Api>,
    caller: Caller,
    Path((n, m)): Path<(String, String)>,
) -> Result<Answer<PolicyDiff>, Problem> {
    let mut tx = api.read(&caller).await?;
    let (_, from) = bundles::get(&mut tx, number(&n)?).await?;
    let (_, to) = bundles::get(&mut tx, number(&m)?).await?;
    let only = |a: &Files, b: &Files| a.keys().filter(|path| !b.contains_key(*path)).cloned().collect();
    let changed = from.iter().filter_map(|(path, was)| {
        let is = to.get(path).filter(|is| *is != was)?;
        let text = TextDiff::from_lines(was, is).unified_diff().header(path, path).to_string();
        Some((path.clone(), text))
    });
    Ok(Answer::new(PolicyDiff {
        added: only(&to, &from),
        removed: only(&from, &to),
        changed: changed.collect(),
    }))
}

pub async fn rollback(
    State(api): State<Api>,
    caller: Caller,
    Path(n): Path<String>,
) -> Result<Created<Revision>, Problem> {
    let n = number(&n)?;
    let mut tx = api.read(&caller).await?;
    let (_, files) = bundles::get(&mut tx, n).await?;
    tx.rollback().await?;
    add(&api, &caller, "policy.rollback", files, &format!("rollback to revision {n}")).await
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
    // Compiling and testing would block a thread that serves requests.
    let tried = tokio::task::spawn_blocking(move || compile_and_test(&layers, tried)).await;
    tried.map_err(|error| Problem::internal(&error))?.map_err(|problems| refused(&problems))?;
    let mut tx = api.write(caller).await?;
    let made = bundles::add(&mut tx, action, &files, note).await?;
    let at = format!("/api/v1/policies/revisions/{}", made.revision);
    caller.commit(tx, Created::fixed_at(at, made)).await
}

/// Compiles and tests the files over the lower layers.
fn compile_and_test(layers: &Layers, files: Files) -> Result<(), Problems> {
    let bundle = Bundle::from_files(files.into_iter().map(|(path, text)| (path, text.into_bytes())))?;
    let bundle = layers.with_ledger(&bundle)?;
    PolicySet::compile(&bundle, Options::default(), Some(&layers.policies().load()))?;
    rego_tests::pass(&bundle)?;
    Ok(())
}

fn refused(problems: &Problems) -> Problem {
    let faults =
        problems.0.iter().take(100).map(|problem| Fault::new(pointer(&problem.file), problem.to_string()));
    Problem::faults(Code::PolicyInvalid, faults.collect())
}

fn number(text: &str) -> Result<i64, Problem> {
    text.parse().map_err(|_| Problem::of(Code::PolicyNotFound))
}
