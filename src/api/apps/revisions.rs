//! Revisions of an app: the list, the difference between two, and the rollback.

use axum::extract::State;
use json_patch::{Patch, PatchOperation};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::AppPath;
use crate::Api;
use crate::answer::Answer;
use crate::caller::Caller;
use crate::etag::IfMatch;
use crate::extract::{Body, Path, Query};
use crate::page::{Listed, LongFields, Page, ViewQuery, no_labels};
use crate::problem::{Code, Fault, Problem};
use crate::projects::ProjectInTenant;
use crate::source::{self, TargetApp};
use portcullis_store::Tx;
use portcullis_store::apps::{self, App, Revision};

/// What differs between two revisions of an app.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AppDiff {
    /// First revision.
    pub from: i64,
    /// Second revision.
    pub to: i64,
    /// RFC 6902 operations, each with the previous value.
    pub changes: Vec<Change>,
}

/// The revision to roll back to.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Rollback {
    /// Number of the revision whose content becomes the newest.
    #[schema(minimum = 1, maximum = 2_147_483_647, example = 1)]
    pub to_revision: i64,
}

impl LongFields for Revision {
    const LISTED: &'static str = "ListedAppRevision";
    const FIELDS: &'static [&'static str] = App::FIELDS;
}

pub async fn list(
    State(api): State<Api>,
    caller: Caller,
    Path((c, t, p, a)): Path<AppPath>,
    Query(query): Query<ViewQuery>,
) -> Result<Answer<Page<Listed<Revision>>>, Problem> {
    let (builder, view) = query.builder()?;
    let mut builder = builder.large();
    let mut tx = api.read(&caller).await?;
    let parent = ProjectInTenant::read(&mut tx, &c, &t, &p).await?;
    let app = apps::get(&mut tx, &parent.project, &a).await?;
    while let Some((after, limit)) = builder.next_query() {
        let rows = apps::revisions(&mut tx, &app, after.as_deref(), limit, view.is_full()).await?;
        let items = rows.into_iter().map(|revision| Listed::new(revision, view)).collect();
        builder.add_large(items, |revision| &revision.item().id, no_labels);
    }
    Ok(Answer::new(builder.build()))
}

pub async fn diff(
    State(api): State<Api>,
    caller: Caller,
    Path((c, t, p, a, from, to)): Path<(String, String, String, String, String, String)>,
) -> Result<Answer<AppDiff>, Problem> {
    let mut tx = api.read(&caller).await?;
    let parent = ProjectInTenant::read(&mut tx, &c, &t, &p).await?;
    let app = apps::get(&mut tx, &parent.project, &a).await?;
    let from = numbered(&mut tx, &app, &from).await?;
    let to = numbered(&mut tx, &app, &to).await?;
    let changes = changes(&document(&from), &document(&to));
    Ok(Answer::new(AppDiff { from: from.revision, to: to.revision, changes }))
}

/// A revision that the path names.
async fn numbered(tx: &mut Tx, app: &App, number: &str) -> Result<Revision, Problem> {
    let found = match number.parse::<i64>() {
        Ok(parsed) if parsed.to_string() == number => apps::revision(tx, app, parsed).await?,
        _ => None,
    };
    found.ok_or_else(|| Problem::new(Code::AppNotFound, "the app has no such revision"))
}

/// What of a revision can differ.
fn document(revision: &Revision) -> Value {
    let mut document = json!(revision.content);
    if let Some(origin) = &revision.catalog_ref {
        json_patch::merge(&mut document, &json!({ "catalogRef": origin }));
    }
    document
}

pub async fn rollback(
    State(api): State<Api>,
    caller: Caller,
    Path((c, t, p, a)): Path<AppPath>,
    if_match: IfMatch,
    Body(Rollback { to_revision }): Body<Rollback>,
) -> Result<Answer<App>, Problem> {
    let mut tx = api.write(&caller).await?;
    let parent = ProjectInTenant::change(&mut tx, &c, &t, &p).await?;
    let was = apps::get(&mut tx, &parent.project, &a).await?;
    if_match.check(was.version)?;
    let Some(target) = apps::revision(&mut tx, &was, to_revision).await? else {
        let detail = format!("is not a revision of this app; the latest is {}", was.revision);
        return Err(Problem::meaning(Code::UnprocessableEntity, "/toRevision", detail));
    };
    let content = target.content()?;
    let named = TargetApp { parent: &parent, id: &was.id, name: &was.name };
    let checked = source::content(&api, &mut tx, named, content.spec.clone(), content.origin.clone()).await;
    checked.map_err(|problem| on_to_revision(&problem, to_revision))?;
    let app = if target.revision == was.revision {
        was
    } else {
        apps::revise(&mut tx, parent.both(), &was, None, &content, "app.rollback").await?
    };
    let version = app.version;
    caller.commit(tx, Answer::versioned(app, version)).await
}

/// The sender has written none of what is refused, but the number.
fn on_to_revision(problem: &Problem, revision: i64) -> Problem {
    if problem.errors().is_empty() {
        return problem.clone();
    }
    let fault = |fault: &Fault| {
        Fault::new(
            "/toRevision",
            format!("revision {revision} is no longer allowed: `{}` {}", fault.pointer, fault.detail),
        )
    };
    Problem::faults(problem.code(), problem.errors().iter().map(fault).collect())
}

/// One difference.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Change {
    /// `add`, `remove` or `replace`.
    pub op: &'static str,
    /// RFC 6901 pointer into the revision.
    #[schema(example = "/source/containerImage/tag")]
    pub path: String,
    /// Previous value; absent for `add`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Value>)]
    pub before: Option<Value>,
    /// New value; absent for `remove`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Value>)]
    pub after: Option<Value>,
}

/// The differences, in an order in which they can be applied.
pub fn changes(from: &Value, to: &Value) -> Vec<Change> {
    let mut current = from.clone();
    let mut changes = Vec::new();
    for operation in json_patch::diff(from, to).0 {
        let change = match &operation {
            PatchOperation::Add(add) => change("add", add.path.as_str(), None, Some(add.value.clone())),
            PatchOperation::Remove(remove) => {
                let path = remove.path.as_str();
                change("remove", path, current.pointer(path).cloned(), None)
            }
            PatchOperation::Replace(replace) => {
                let path = replace.path.as_str();
                change("replace", path, current.pointer(path).cloned(), Some(replace.value.clone()))
            }
            PatchOperation::Move(_) | PatchOperation::Copy(_) | PatchOperation::Test(_) => continue,
        };
        // Positions in a list are those of the moment, so the next operation is read against what this one leaves.
        let _ = json_patch::patch(&mut current, &Patch(vec![operation]));
        changes.push(change);
    }
    changes
}

fn change(op: &'static str, path: &str, before: Option<Value>, after: Option<Value>) -> Change {
    Change { op, path: path.to_owned(), before, after }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn each_change_has_the_previous_value() {
        let from = json!({ "a": [1, 2, 3], "b": { "c/d": "x" }, "gone": null });
        let to = json!({ "a": [3], "b": { "c/d": "y" }, "new": 1 });
        let found = changes(&from, &to);
        let mut replayed = from.clone();
        for change in &found {
            assert_eq!(replayed.pointer(&change.path), change.before.as_ref(), "{change:?}");
            let mut operation = json!({ "op": change.op, "path": change.path });
            if let Some(after) = &change.after {
                operation["value"] = after.clone();
            }
            let operation: PatchOperation = serde_json::from_value(operation).unwrap();
            json_patch::patch(&mut replayed, &Patch(vec![operation])).unwrap();
        }
        assert_eq!(replayed, to);
        assert!(found.iter().any(|c| c.path == "/b/c~1d" && c.before == Some(json!("x"))));
        assert_eq!(changes(&to, &to), []);
    }
}
