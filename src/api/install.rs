//! Installing from the catalog: an item's source, with what the caller would have otherwise, becomes an app or its next
//! revision.

use axum::extract::State;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::Api;
use super::answer::{Accepted, Answer, Either};
use super::apps::{make, nameable};
use super::body::{Body, Path};
use super::caller::Caller;
use super::place::{Names, Place};
use super::problem::{Code, Fault, Problem};
use super::source::check::{self, For, SOURCE};
use super::source::{self, shape};
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
    /// What shall be otherwise than in the item's source, as a merge patch (RFC 7386): null takes away.
    #[schema(required = false, schema_with = shape::overrides)]
    pub overrides: Option<Map<String, Value>>,
    /// Another name for `overrides`; one of the two may be given.
    #[schema(required = false, schema_with = shape::overrides)]
    pub source: Option<Map<String, Value>>,
    /// The namespace that the caller expects. There is one right answer, the app's own.
    #[schema(nullable = false, min_length = 1, max_length = 63, example = "tn-acme-shop-app-blog")]
    pub namespace: Option<String>,
}

/// What came of it.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Installed {
    /// The app's state: `committed` is written down, for a writer to carry out.
    #[schema(example = "committed")]
    pub status: String,
    /// UUID of the app; an upgrade keeps it.
    pub app_id: String,
    /// Slug of the app.
    #[schema(example = "blog")]
    pub app_slug: String,
    /// Its namespace.
    #[schema(example = "tn-acme-shop-app-blog")]
    pub namespace: String,
    /// The version that is installed now.
    #[schema(example = "1.2.0")]
    pub catalog_version: String,
    /// The app's revision.
    pub revision: i64,
    /// Whether the app was there before.
    pub upgraded: bool,
}

/// Installs or upgrades. The same version with the same overrides once more changes nothing, and is answered 200.
pub async fn install(
    State(api): State<Api>,
    caller: Caller,
    Path((c, t, p)): Path<Names>,
    Body(body): Body<Install>,
) -> Result<Either<Answer<Installed>, Accepted<Installed>>, Problem> {
    let (overrides, at) = body.overrides()?;
    let mut tx = api.write(&caller).await?;
    let place = Place::change(&mut tx, &c, &t, &p).await?;
    let name = body.target(&mut tx, &place).await?;
    let item = catalog::get(&mut tx, &body.slug, Some(&place.tenant.id)).await?;
    let release = catalog::resolve(&mut tx, &item, body.version.as_deref()).await?;
    let was = apps::find(&mut tx, &place.project, &name).await?.filter(|app| app.name == name);
    let origin =
        Origin { item_id: item.id.clone(), version: release.version.clone(), overrides: overrides.clone() };
    if let Some(app) = was.as_ref().filter(|app| app.catalog_ref.as_ref() == Some(&origin)) {
        let answer = Either::This(Answer::new(Installed::of(app, &release, true)));
        return caller.commit(tx, answer).await;
    }
    let app = put(&api, &mut tx, &place, &name, was.as_ref(), &release, origin)
        .await
        .map_err(|problem| said_of(&problem, &overrides, at))?;
    let answer = Either::That(Accepted(Installed::of(&app, &release, was.is_some())));
    caller.commit(tx, answer).await
}

/// Merges, asks, and writes down.
async fn put(
    api: &Api,
    tx: &mut Tx,
    place: &Place,
    name: &str,
    was: Option<&App>,
    release: &Release,
    origin: Origin,
) -> Result<App, Problem> {
    let mut merged = release.source.clone();
    json_patch::merge(&mut merged, &origin.overrides);
    let faults = shape::faults(&merged, SOURCE)?;
    if !faults.is_empty() {
        return Err(Problem::invalid(faults));
    }
    let id = was.map_or_else(|| uuid::Uuid::now_v7().to_string(), |app| app.id.clone());
    let before = was.map(|app| app.content.clone()).unwrap_or_default();
    let spec = Spec { spec: Sourced { source: merged }, ..before };
    let content = check::content(api, tx, For { place, id: &id, name }, spec, Some(origin)).await?;
    match was {
        Some(was) => Ok(apps::revise(tx, place.both(), was, None, &content, "app.upgrade").await?),
        None => make(tx, place, (&id, name), "", &content, "app.install").await,
    }
}

/// What is wrong with the merged source, said of the part of it that the caller has sent, else of the item.
fn said_of(problem: &Problem, overrides: &Value, at: &str) -> Problem {
    if problem.errors().is_empty() {
        return problem.clone();
    }
    let fault = |fault: &Fault| match fault.pointer.strip_prefix(SOURCE) {
        Some(below) if overrides.pointer(below).is_some() => {
            Fault::new(format!("{at}{below}"), fault.detail.clone())
        }
        Some(below) => {
            Fault::new("/slug", format!("names an item whose source has at `{below}`: {}", fault.detail))
        }
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
                let detail = "is another name for `overrides`, which is given too";
                return Err(Problem::meaning(Code::UnprocessableEntity, "/source", detail));
            }
            (one, other) => one.as_ref().or(other.as_ref()),
        };
        let overrides = Value::Object(both.cloned().unwrap_or_default());
        let at = if self.source.is_some() { "/source" } else { "/overrides" };
        let shape = source::bounds(&overrides, at);
        if !shape.is_empty() {
            return Err(Problem::invalid(shape));
        }
        // What a null or a later value would take out of the source is written down with the overrides all the same.
        let secrets = source::secrets::scan(&overrides, at);
        if secrets.is_empty() {
            Ok((overrides, at))
        } else {
            Err(Problem::faults(Code::UnprocessableEntity, secrets))
        }
    }

    /// The slug of the app, which goes into its own namespace and nowhere else.
    async fn target(&self, tx: &mut Tx, place: &Place) -> Result<String, Problem> {
        let (name, at) = match &self.name {
            Some(name) => (name, "/name"),
            None => (&self.slug, "/slug"),
        };
        if is_sandbox(name) {
            let detail = "is the name of a sandbox, into which nothing is installed";
            return Err(Problem::meaning(Code::SandboxTargetForbidden, at, detail));
        }
        check_app(name).map_err(|_| {
            let detail = "is longer than an app's name may be; give another `name`";
            Problem::meaning(Code::NameTooLong, at, detail)
        })?;
        nameable(tx, place, name).await?;
        let own = namespaces::of_app(tx, &place.tenant.name, &place.project.name, name).await?;
        match &self.namespace {
            Some(wanted) if *wanted != own => Err(elsewhere(tx, place, wanted, &own).await?),
            _ => Ok(name.clone()),
        }
    }
}

fn is_sandbox(name: &str) -> bool {
    name.strip_prefix("sbx-").is_some_and(|rest| rest.len() == 3 && rest.bytes().all(|b| b.is_ascii_digit()))
}

async fn elsewhere(tx: &mut Tx, place: &Place, wanted: &str, own: &str) -> Result<Problem, Problem> {
    let sandbox = namespaces::is_sandbox_of(tx, &place.tenant.id, wanted).await?;
    let code = if sandbox { Code::SandboxTargetForbidden } else { Code::UnprocessableEntity };
    Ok(Problem::meaning(code, "/namespace", format!("is not the app's namespace, which is `{own}`")))
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
