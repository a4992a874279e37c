//! Apps: what a tenant has the platform run, each in one namespace of its own.

mod body;
pub mod diff;
mod revisions;

pub use body::{AppNew, AppPut, Rollback};
pub use revisions::{diff as compare, revisions, rollback};

use axum::extract::State;

use super::Api;
use super::answer::{Answer, Created, Done};
use super::body::{Body, Path, Query};
use super::caller::Caller;
use super::etag::IfMatch;
use super::page::{Listed, Long, Page};
use super::place::{Names, Place};
use super::problem::{Code, Problem};
use super::source::check::{self, For};
use super::turn::{ViewTurn, no_labels};
use portcullis_store::apps::{self, App, Content};
use portcullis_store::{StoreError, Tx, namespaces, quota};

/// The variables of the path of one app.
pub(super) type OfApp = (String, String, String, String);

impl Long for App {
    const LISTED: &'static str = "ListedApp";
    const FIELDS: &'static [&'static str] =
        &["spec", "components", "traits", "policies", "catalogRef/overrides"];
}

/// Lists a project's apps.
pub async fn list(
    State(api): State<Api>,
    caller: Caller,
    Path((c, t, p)): Path<Names>,
    Query(turn): Query<ViewTurn>,
) -> Result<Answer<Page<Listed<App>>>, Problem> {
    let (filling, view) = turn.filling()?;
    let mut filling = filling.large();
    let mut tx = api.read(&caller).await?;
    let place = Place::read(&mut tx, &c, &t, &p).await?;
    while let Some((after, limit)) = filling.wants() {
        let rows = apps::list(&mut tx, &place.project, after.as_deref(), limit, view.is_full()).await?;
        let items = rows.into_iter().map(|app| Listed::new(app, view)).collect();
        filling.take_large(items, |app| &app.item().id, no_labels);
    }
    Ok(Answer::new(filling.page()))
}

/// Makes an app with its namespace.
pub async fn create(
    State(api): State<Api>,
    caller: Caller,
    Path((c, t, p)): Path<Names>,
    Body(new): Body<AppNew>,
) -> Result<Created<App>, Problem> {
    let mut tx = api.write(&caller).await?;
    let place = Place::change(&mut tx, &c, &t, &p).await?;
    let (name, description, spec) = new.parts();
    let id = uuid::Uuid::now_v7().to_string();
    nameable(&mut tx, &place, &name).await?;
    let content =
        check::content(&api, &mut tx, For { place: &place, id: &id, name: &name }, spec, None).await?;
    let app = make(&mut tx, &place, (&id, &name), &description, &content, "app.create").await?;
    let answer = Created::at(place.path(&format!("apps/{}", app.name)), app.clone(), app.version);
    caller.commit(tx, answer).await
}

/// Shows an app.
pub async fn get(
    State(api): State<Api>,
    caller: Caller,
    Path((c, t, p, a)): Path<OfApp>,
) -> Result<Answer<App>, Problem> {
    let mut tx = api.read(&caller).await?;
    let place = Place::read(&mut tx, &c, &t, &p).await?;
    let app = apps::get(&mut tx, &place.project, &a).await?;
    let version = app.version;
    Ok(Answer::versioned(app, version))
}

/// Replaces what an app is made of, as its next revision. The same once more is no revision.
pub async fn replace(
    State(api): State<Api>,
    caller: Caller,
    Path((c, t, p, a)): Path<OfApp>,
    wanted: IfMatch,
    Body(put): Body<AppPut>,
) -> Result<Answer<App>, Problem> {
    let mut tx = api.write(&caller).await?;
    let place = Place::change(&mut tx, &c, &t, &p).await?;
    let was = apps::get(&mut tx, &place.project, &a).await?;
    wanted.check(was.version)?;
    let (description, spec) = put.parts();
    let target = For { place: &place, id: &was.id, name: &was.name };
    let content = check::content(&api, &mut tx, target, spec, None).await?;
    let same = was.content == content.spec && was.catalog_ref.is_none() && was.description == description;
    if same {
        let version = was.version;
        return caller.commit(tx, Answer::versioned(was, version)).await;
    }
    let app = apps::revise(&mut tx, place.both(), &was, Some(&description), &content, "app.update").await?;
    let version = app.version;
    caller.commit(tx, Answer::versioned(app, version)).await
}

/// Deletes an app; its namespace is then nobody's.
pub async fn delete(
    State(api): State<Api>,
    caller: Caller,
    Path((c, t, p, a)): Path<OfApp>,
    wanted: IfMatch,
) -> Result<Done, Problem> {
    let mut tx = api.write(&caller).await?;
    let place = Place::change(&mut tx, &c, &t, &p).await?;
    let was = apps::get(&mut tx, &place.project, &a).await?;
    wanted.check(was.version)?;
    apps::remove(&mut tx, place.both(), &was).await?;
    caller.commit(tx, Done).await
}

/// Makes an app where its tenant may have one more.
pub(super) async fn make(
    tx: &mut Tx,
    place: &Place,
    app: (&str, &str),
    description: &str,
    content: &Content,
    action: &'static str,
) -> Result<App, Problem> {
    let count = apps::count(tx, &place.tenant.id).await?;
    quota::one_more(tx, &place.tenant, "apps", count).await?;
    Ok(apps::create(tx, place.both(), app, description, content, action).await?)
}

/// Asked before anything else is, so that the answer names the field.
pub(super) async fn nameable(tx: &mut Tx, place: &Place, name: &str) -> Result<(), Problem> {
    match namespaces::of_app(tx, &place.tenant.name, &place.project.name, name).await {
        Ok(_) => Ok(()),
        Err(StoreError::Conflict { constraint, detail }) if constraint == "name.length" => {
            Err(Problem::meaning(Code::NameTooLong, "/name", detail))
        }
        Err(error) => Err(error.into()),
    }
}
