//! Apps of a project. Each app has one namespace of its own.

pub(crate) mod revisions;

use axum::extract::State;
use serde::Deserialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::Api;
use super::answer::{Answer, Created, NoContent};
use super::caller::Caller;
use super::etag::IfMatch;
use super::extract::{Body, Path, Query};
use super::page::{Listed, LongFields, Page, ViewQuery, no_labels};
use super::problem::{Code, Problem};
use super::projects::{ProjectInTenant, ProjectPath};
use super::source::schema::{Source, objects};
use super::source::{self, TargetApp};
use portcullis_store::apps::{self, App, Content, Sourced, Spec};
use portcullis_store::{StoreError, Tx, namespaces, plans};

/// A new app.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AppNew {
    /// Slug: lower-case letters, digits and inner hyphens. Immutable, because the namespace name contains it.
    #[schema(
        min_length = 1,
        max_length = 20,
        pattern = "^[a-z0-9]([a-z0-9-]*[a-z0-9])?$",
        example = "frontend"
    )]
    pub name: String,
    /// Description.
    #[serde(default)]
    #[schema(
        required = false,
        max_length = 1000,
        pattern = "^[^\u{0}-\u{8}\u{b}-\u{1f}\u{7f}-\u{9f}]*$",
        example = "The shop's front page"
    )]
    pub description: String,
    /// Source of the app.
    pub spec: SpecNew,
    /// Components beside the source, as KubeVela has them.
    #[serde(default)]
    #[schema(required = false, schema_with = objects)]
    pub components: Vec<Map<String, Value>>,
    /// Traits.
    #[serde(default)]
    #[schema(required = false, schema_with = objects)]
    pub traits: Vec<Map<String, Value>>,
    /// Policies of the application.
    #[serde(default)]
    #[schema(required = false, schema_with = objects)]
    pub policies: Vec<Map<String, Value>>,
}

/// The new state of an app; absent fields are empty.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AppPut {
    /// Description.
    #[serde(default)]
    #[schema(
        required = false,
        max_length = 1000,
        pattern = "^[^\u{0}-\u{8}\u{b}-\u{1f}\u{7f}-\u{9f}]*$",
        example = "The shop's front page"
    )]
    pub description: String,
    /// Source of the app.
    pub spec: SpecNew,
    /// Components beside the source, as KubeVela has them.
    #[serde(default)]
    #[schema(required = false, schema_with = objects)]
    pub components: Vec<Map<String, Value>>,
    /// Traits.
    #[serde(default)]
    #[schema(required = false, schema_with = objects)]
    pub traits: Vec<Map<String, Value>>,
    /// Policies of the application.
    #[serde(default)]
    #[schema(required = false, schema_with = objects)]
    pub policies: Vec<Map<String, Value>>,
}

/// Where an app comes from.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SpecNew {
    /// Exactly one of the six kinds.
    #[schema(value_type = Source)]
    pub source: Value,
}

impl AppNew {
    /// Name, description and what it is made of.
    pub fn parts(self) -> (String, String, Spec) {
        let Self { name, description, spec, components, traits, policies } = self;
        (name, description, made_of(spec, components, traits, policies))
    }
}

impl AppPut {
    /// Description and what it is made of.
    pub fn parts(self) -> (String, Spec) {
        let Self { description, spec, components, traits, policies } = self;
        (description, made_of(spec, components, traits, policies))
    }
}

type Objects = Vec<Map<String, Value>>;

fn made_of(spec: SpecNew, components: Objects, traits: Objects, policies: Objects) -> Spec {
    let list = |objects: Objects| objects.into_iter().map(Value::Object).collect();
    Spec {
        spec: Sourced { source: spec.source },
        components: list(components),
        traits: list(traits),
        policies: list(policies),
    }
}

/// The variables of the path of one app.
pub(super) type AppPath = (String, String, String, String);

impl LongFields for App {
    const LISTED: &'static str = "ListedApp";
    const FIELDS: &'static [&'static str] =
        &["spec", "components", "traits", "policies", "catalogRef/overrides"];
}

pub async fn list(
    State(api): State<Api>,
    caller: Caller,
    Path((c, t, p)): Path<ProjectPath>,
    Query(query): Query<ViewQuery>,
) -> Result<Answer<Page<Listed<App>>>, Problem> {
    let (builder, view) = query.builder()?;
    let mut builder = builder.large();
    let mut tx = api.read(&caller).await?;
    let parent = ProjectInTenant::read(&mut tx, &c, &t, &p).await?;
    while let Some((after, limit)) = builder.next_query() {
        let rows = apps::list(&mut tx, &parent.project, after.as_deref(), limit, view.is_full()).await?;
        let items = rows.into_iter().map(|app| Listed::new(app, view)).collect();
        builder.add_large(items, |app| &app.item().id, no_labels);
    }
    Ok(Answer::new(builder.build()))
}

pub async fn create(
    State(api): State<Api>,
    caller: Caller,
    Path((c, t, p)): Path<ProjectPath>,
    Body(new): Body<AppNew>,
) -> Result<Created<App>, Problem> {
    let mut tx = api.write(&caller).await?;
    let parent = ProjectInTenant::change(&mut tx, &c, &t, &p).await?;
    let (name, description, spec) = new.parts();
    let id = uuid::Uuid::now_v7().to_string();
    nameable(&mut tx, &parent, &name).await?;
    let content =
        source::content(&api, &mut tx, TargetApp { parent: &parent, id: &id, name: &name }, spec, None)
            .await?;
    let app = make(&mut tx, &parent, (&id, &name), &description, &content, "app.create").await?;
    let answer = Created::at(parent.path(&format!("apps/{}", app.name)), app.clone(), app.version);
    caller.commit(tx, answer).await
}

pub async fn get(
    State(api): State<Api>,
    caller: Caller,
    Path((c, t, p, a)): Path<AppPath>,
) -> Result<Answer<App>, Problem> {
    let mut tx = api.read(&caller).await?;
    let parent = ProjectInTenant::read(&mut tx, &c, &t, &p).await?;
    let app = apps::get(&mut tx, &parent.project, &a).await?;
    let version = app.version;
    Ok(Answer::versioned(app, version))
}

pub async fn replace(
    State(api): State<Api>,
    caller: Caller,
    Path((c, t, p, a)): Path<AppPath>,
    if_match: IfMatch,
    Body(put): Body<AppPut>,
) -> Result<Answer<App>, Problem> {
    let mut tx = api.write(&caller).await?;
    let parent = ProjectInTenant::change(&mut tx, &c, &t, &p).await?;
    let was = apps::get(&mut tx, &parent.project, &a).await?;
    if_match.check(was.version)?;
    let (description, spec) = put.parts();
    let target = TargetApp { parent: &parent, id: &was.id, name: &was.name };
    let content = source::content(&api, &mut tx, target, spec, None).await?;
    let same = was.content == content.spec && was.catalog_ref.is_none() && was.description == description;
    if same {
        let version = was.version;
        return caller.commit(tx, Answer::versioned(was, version)).await;
    }
    let app = apps::revise(&mut tx, parent.both(), &was, Some(&description), &content, "app.update").await?;
    let version = app.version;
    caller.commit(tx, Answer::versioned(app, version)).await
}

pub async fn delete(
    State(api): State<Api>,
    caller: Caller,
    Path((c, t, p, a)): Path<AppPath>,
    if_match: IfMatch,
) -> Result<NoContent, Problem> {
    let mut tx = api.write(&caller).await?;
    let parent = ProjectInTenant::change(&mut tx, &c, &t, &p).await?;
    let was = apps::get(&mut tx, &parent.project, &a).await?;
    if_match.check(was.version)?;
    apps::remove(&mut tx, parent.both(), &was).await?;
    caller.commit(tx, NoContent).await
}

/// Makes an app where its tenant may have one more.
pub(super) async fn make(
    tx: &mut Tx,
    parent: &ProjectInTenant,
    app: (&str, &str),
    description: &str,
    content: &Content,
    action: &'static str,
) -> Result<App, Problem> {
    let count = apps::count(tx, &parent.tenant.id).await?;
    plans::check_quota(tx, &parent.tenant, "apps", count).await?;
    Ok(apps::create(tx, parent.both(), app, description, content, action).await?)
}

/// Asked before anything else is, so that the answer names the field.
pub(super) async fn nameable(tx: &mut Tx, parent: &ProjectInTenant, name: &str) -> Result<(), Problem> {
    match namespaces::of_app(tx, &parent.tenant.name, &parent.project.name, name).await {
        Ok(_) => Ok(()),
        Err(StoreError::Conflict { constraint, detail }) if constraint == "name.length" => {
            Err(Problem::meaning(Code::NameTooLong, "/name", detail))
        }
        Err(error) => Err(error.into()),
    }
}
