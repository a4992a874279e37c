//! What an app was, what has changed since, and the way back.

use axum::extract::State;
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::OfApp;
use super::body::Rollback;
use super::diff::{Change, changes};
use crate::Api;
use crate::answer::Answer;
use crate::body::{Body, Path, Query};
use crate::caller::Caller;
use crate::etag::IfMatch;
use crate::page::{Listed, Long, Page};
use crate::place::Place;
use crate::problem::{Code, Fault, Problem};
use crate::source::check::{self, For};
use crate::turn::{ViewTurn, no_labels};
use portcullis_store::Tx;
use portcullis_store::apps::{self, App, Revision};

/// What differs between two revisions of an app.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AppDiff {
    /// The one it starts from.
    pub from: i64,
    /// The one it leads to.
    pub to: i64,
    /// RFC 6902 operations, each with what was there before.
    pub changes: Vec<Change>,
}

impl Long for Revision {
    const LISTED: &'static str = "ListedAppRevision";
    const FIELDS: &'static [&'static str] = App::FIELDS;
}

/// Lists an app's revisions.
pub async fn revisions(
    State(api): State<Api>,
    caller: Caller,
    Path((c, t, p, a)): Path<OfApp>,
    Query(turn): Query<ViewTurn>,
) -> Result<Answer<Page<Listed<Revision>>>, Problem> {
    let (filling, view) = turn.filling()?;
    let mut filling = filling.large();
    let mut tx = api.read(&caller).await?;
    let place = Place::read(&mut tx, &c, &t, &p).await?;
    let app = apps::get(&mut tx, &place.project, &a).await?;
    while let Some((after, limit)) = filling.wants() {
        let rows = apps::revisions(&mut tx, &app, after.as_deref(), limit, view.is_full()).await?;
        let items = rows.into_iter().map(|revision| Listed::new(revision, view)).collect();
        filling.take_large(items, |revision| &revision.item().id, no_labels);
    }
    Ok(Answer::new(filling.page()))
}

/// What differs between two revisions.
pub async fn diff(
    State(api): State<Api>,
    caller: Caller,
    Path((c, t, p, a, from, to)): Path<(String, String, String, String, String, String)>,
) -> Result<Answer<AppDiff>, Problem> {
    let mut tx = api.read(&caller).await?;
    let place = Place::read(&mut tx, &c, &t, &p).await?;
    let app = apps::get(&mut tx, &place.project, &a).await?;
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

/// Makes an older revision the newest. What it holds is judged by the law of today.
pub async fn rollback(
    State(api): State<Api>,
    caller: Caller,
    Path((c, t, p, a)): Path<OfApp>,
    wanted: IfMatch,
    Body(Rollback { to_revision }): Body<Rollback>,
) -> Result<Answer<App>, Problem> {
    let mut tx = api.write(&caller).await?;
    let place = Place::change(&mut tx, &c, &t, &p).await?;
    let was = apps::get(&mut tx, &place.project, &a).await?;
    wanted.check(was.version)?;
    let Some(target) = apps::revision(&mut tx, &was, to_revision).await? else {
        let detail = format!("is no revision of this app; its newest is {}", was.revision);
        return Err(Problem::meaning(Code::UnprocessableEntity, "/toRevision", detail));
    };
    let content = target.content()?;
    let named = For { place: &place, id: &was.id, name: &was.name };
    let checked = check::content(&api, &mut tx, named, content.spec.clone(), content.origin.clone()).await;
    checked.map_err(|problem| said_of(&problem, to_revision))?;
    let app = if target.revision == was.revision {
        was
    } else {
        apps::revise(&mut tx, place.both(), &was, None, &content, "app.rollback").await?
    };
    let version = app.version;
    caller.commit(tx, Answer::versioned(app, version)).await
}

/// The sender has written none of what is refused, but the number.
fn said_of(problem: &Problem, revision: i64) -> Problem {
    if problem.errors().is_empty() {
        return problem.clone();
    }
    let fault = |fault: &Fault| {
        Fault::new(
            "/toRevision",
            format!("revision {revision} is not admitted any more: `{}` {}", fault.pointer, fault.detail),
        )
    };
    Problem::faults(problem.code(), problem.errors().iter().map(fault).collect())
}
