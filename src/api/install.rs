//! Installing from the catalog: an item's source, with what the caller would have otherwise, becomes an app or its next
//! revision.

use axum::extract::State;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::Api;
use super::answer::{Accepted, Answer, Either};
use super::apps::{make, nameable};
use super::caller::Caller;
use super::extract::{Body, Path};
use super::problem::{Code, Fault, Problem};
use super::projects::{ProjectInTenant, ProjectPath};
use super::source::{self, SOURCE, TargetApp, forbidden, schema, structure};
use portcullis_store::apps::{self, App, Origin, Sourced, Spec};
use portcullis_store::catalog::{self, Release};
use portcullis_store::{Tx, namespaces};
use portcullis_tenancy::slug::check_app;

/// What to install.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Install {
    /// Slug of the item; the tenant's own comes before the global one.
    #[schema(
        min_length = 1,
        max_length = 32,
        pattern = "^[a-z0-9]([a-z0-9-]*[a-z0-9])?$",
        example = "wordpress"
    )]
    pub slug: String,
    /// Version of the item; without it, the newest.
    #[schema(nullable = false, min_length = 5, max_length = 128, example = "1.2.0")]
    pub version: Option<String>,
    /// Slug of the app; without it, the item's.
    #[schema(
        nullable = false,
        min_length = 1,
        max_length = 20,
        pattern = "^[a-z0-9]([a-z0-9-]*[a-z0-9])?$",
        example = "blog"
    )]
    pub name: Option<String>,
    /// Overrides of the item's source, as a merge patch (RFC 7386): null removes.
    #[schema(required = false, schema_with = schema::overrides)]
    pub overrides: Option<Map<String, Value>>,
    /// Another name for `overrides`; one of the two may be given.
    #[schema(required = false, schema_with = schema::overrides)]
    pub source: Option<Map<String, Value>>,
    /// The namespace that the caller expects; it must be the app's own.
    #[schema(nullable = false, min_length = 1, max_length = 63, example = "tn-acme-shop-app-blog")]
    pub namespace: Option<String>,
}

/// The result of the installation.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Installed {
    /// State of the app: `committed` is stored and not yet applied to the cluster.
    #[schema(example = "committed")]
    pub status: String,
    /// UUID of the app; unchanged by an upgrade.
    pub app_id: String,
    /// Slug of the app.
    #[schema(example = "blog")]
    pub app_slug: String,
    /// Its namespace.
    #[schema(example = "tn-acme-shop-app-blog")]
    pub namespace: String,
    /// The installed version.
    #[schema(example = "1.2.0")]
    pub catalog_version: String,
    /// The app's revision.
    pub revision: i64,
    /// Whether the app existed before.
    pub upgraded: bool,
}

pub async fn install(
    State(api): State<Api>,
    caller: Caller,
    Path((c, t, p)): Path<ProjectPath>,
    Body(body): Body<Install>,
) -> Result<Either<Answer<Installed>, Accepted<Installed>>, Problem> {
    let (overrides, at) = body.overrides()?;
    let mut tx = api.write(&caller).await?;
    let parent = ProjectInTenant::change(&mut tx, &c, &t, &p).await?;
    let name = body.target(&mut tx, &parent).await?;
    let item = catalog::get(&mut tx, &body.slug, Some(&parent.tenant.id)).await?;
    let release = catalog::resolve(&mut tx, &item, body.version.as_deref()).await?;
    let was = apps::find(&mut tx, &parent.project, &name).await?.filter(|app| app.name == name);
    let origin =
        Origin { item_id: item.id.clone(), version: release.version.clone(), overrides: overrides.clone() };
    if let Some(app) = was.as_ref().filter(|app| app.catalog_ref.as_ref() == Some(&origin)) {
        let answer = Either::This(Answer::new(Installed::of(app, &release, true)));
        return caller.commit(tx, answer).await;
    }
    let app = put(&api, &mut tx, &parent, &name, was.as_ref(), &release, origin)
        .await
        .map_err(|problem| locate_faults(&problem, &overrides, at))?;
    let answer = Either::That(Accepted(Installed::of(&app, &release, was.is_some())));
    caller.commit(tx, answer).await
}

/// Merges, asks, and writes down.
async fn put(
    api: &Api,
    tx: &mut Tx,
    parent: &ProjectInTenant,
    name: &str,
    was: Option<&App>,
    release: &Release,
    origin: Origin,
) -> Result<App, Problem> {
    let mut merged = release.source.clone();
    json_patch::merge(&mut merged, &origin.overrides);
    let faults = schema::faults(&merged, SOURCE)?;
    if !faults.is_empty() {
        return Err(Problem::invalid(faults));
    }
    let id = was.map_or_else(|| uuid::Uuid::now_v7().to_string(), |app| app.id.clone());
    let before = was.map(|app| app.content.clone()).unwrap_or_default();
    let spec = Spec { spec: Sourced { source: merged }, ..before };
    let content = source::content(api, tx, TargetApp { parent, id: &id, name }, spec, Some(origin)).await?;
    match was {
        Some(was) => Ok(apps::revise(tx, parent.both(), was, None, &content, "app.upgrade").await?),
        None => make(tx, parent, (&id, name), "", &content, "app.install").await,
    }
}

/// What is wrong with the merged source, said of the part of it that the caller has sent, else of the item.
fn locate_faults(problem: &Problem, overrides: &Value, at: &str) -> Problem {
    if problem.errors().is_empty() {
        return problem.clone();
    }
    let fault = |fault: &Fault| match fault.pointer.strip_prefix(SOURCE) {
        Some(below) if overrides.pointer(below).is_some() => {
            Fault::new(format!("{at}{below}"), fault.detail.clone())
        }
        Some(below) => Fault::new(
            "/slug",
            format!("names an item whose source is invalid at `{below}`: {}", fault.detail),
        ),
        None => fault.clone(),
    };
    Problem::faults(problem.code(), problem.errors().iter().map(fault).collect())
}

// === impl Install ===

impl Install {
    /// The one merge patch there is, and where it stands.
    fn overrides(&self) -> Result<(Value, &'static str), Problem> {
        let both = match (&self.overrides, &self.source) {
            (Some(_), Some(_)) => {
                let detail = "must not be given together with `overrides`";
                return Err(Problem::meaning(Code::UnprocessableEntity, "/source", detail));
            }
            (one, other) => one.as_ref().or(other.as_ref()),
        };
        let overrides = Value::Object(both.cloned().unwrap_or_default());
        let at = if self.source.is_some() { "/source" } else { "/overrides" };
        let faults = structure::bounds(&overrides, at);
        if !faults.is_empty() {
            return Err(Problem::invalid(faults));
        }
        // What a null or a later value would take out of the source is written down with the overrides all the same.
        let secrets = forbidden::credentials(&overrides, at);
        if secrets.is_empty() {
            Ok((overrides, at))
        } else {
            Err(Problem::faults(Code::UnprocessableEntity, secrets))
        }
    }

    /// The slug of the app, which goes into its own namespace and nowhere else.
    async fn target(&self, tx: &mut Tx, parent: &ProjectInTenant) -> Result<String, Problem> {
        let (name, at) = match &self.name {
            Some(name) => (name, "/name"),
            None => (&self.slug, "/slug"),
        };
        if is_sandbox(name) {
            let detail = "is the name of a sandbox; apps cannot be installed into a sandbox";
            return Err(Problem::meaning(Code::SandboxTargetForbidden, at, detail));
        }
        check_app(name).map_err(|_| {
            let detail = "is too long for the name of an app; set `name`";
            Problem::meaning(Code::NameTooLong, at, detail)
        })?;
        nameable(tx, parent, name).await?;
        let own = namespaces::of_app(tx, &parent.tenant.name, &parent.project.name, name).await?;
        match &self.namespace {
            Some(expected) if *expected != own => Err(wrong_namespace(tx, parent, expected, &own).await?),
            _ => Ok(name.clone()),
        }
    }
}

fn is_sandbox(name: &str) -> bool {
    name.strip_prefix("sbx-").is_some_and(|rest| rest.len() == 3 && rest.bytes().all(|b| b.is_ascii_digit()))
}

async fn wrong_namespace(
    tx: &mut Tx,
    parent: &ProjectInTenant,
    expected: &str,
    own: &str,
) -> Result<Problem, Problem> {
    let sandbox = namespaces::is_sandbox_of(tx, &parent.tenant.id, expected).await?;
    let code = if sandbox { Code::SandboxTargetForbidden } else { Code::UnprocessableEntity };
    Ok(Problem::meaning(code, "/namespace", format!("must be the app's namespace `{own}`")))
}

// === impl Installed ===

impl Installed {
    fn of(app: &App, release: &Release, upgraded: bool) -> Self {
        Self {
            status: app.state.clone(),
            app_id: app.id.clone(),
            app_slug: app.name.clone(),
            namespace: app.namespace.clone(),
            catalog_version: release.version.clone(),
            revision: app.revision,
            upgraded,
        }
    }
}
