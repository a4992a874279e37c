//! Projects of a tenant.

mod access;

pub use access::{AccessList, access};

use axum::extract::State;
use serde::Deserialize;
use utoipa::ToSchema;

use super::Api;
use super::answer::{Answer, Created, Done};
use super::body::{Body, Path, Query};
use super::caller::Caller;
use super::etag::IfMatch;
use super::fields::{self, Labels, LabelsPatch};
use super::page::{ListQuery, Page};
use super::problem::Problem;
use super::words;
use portcullis_store::projects::{self, Amendment, New, Project};
use portcullis_store::tenants;

/// A new project.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct ProjectNew {
    /// Slug.
    #[schema(schema_with = words::project_slug)]
    pub name: String,
    /// Name for people.
    #[serde(default)]
    #[schema(schema_with = words::display_name, required = false)]
    pub display_name: String,
    /// Labels.
    #[serde(default)]
    pub labels: Labels,
}

/// A merge patch (RFC 7396) of a project: what is absent stays, null takes away.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct ProjectPatch {
    /// Name for people.
    #[serde(default, deserialize_with = "fields::given")]
    #[schema(schema_with = words::display_name_or_null, required = false)]
    pub display_name: Option<Option<String>>,
    /// Labels, merged key by key.
    #[serde(default, deserialize_with = "fields::given")]
    #[schema(value_type = Option<LabelsPatch>)]
    pub labels: Option<Option<LabelsPatch>>,
}

/// Lists projects; who is limited to some sees those.
pub async fn list(
    State(api): State<Api>,
    caller: Caller,
    Path((cluster, tenant)): Path<(String, String)>,
    Query(query): Query<ListQuery>,
) -> Result<Answer<Page<Project>>, Problem> {
    let mut filling = query.window()?.filling();
    let mut tx = api.read(&caller).await?;
    let tenant = tenants::get(&mut tx, &cluster, &tenant).await?.id;
    while let Some((after, limit)) = filling.wants() {
        let rows = projects::list(&mut tx, &tenant, after.as_deref(), limit).await?;
        filling.take(rows, |project| &project.id, |project| &project.labels);
    }
    Ok(Answer::new(filling.page()))
}

/// Makes a project.
pub async fn create(
    State(api): State<Api>,
    caller: Caller,
    Path((cluster, tenant)): Path<(String, String)>,
    Body(new): Body<ProjectNew>,
) -> Result<Created<Project>, Problem> {
    let ProjectNew { name, display_name, labels } = new;
    let mut tx = api.write(&caller).await?;
    let tenant = tenants::change(&mut tx, &cluster, &tenant).await?;
    let project = projects::create(&mut tx, &tenant, &New { name, display_name, labels: labels.0 }).await?;
    let at = format!("/api/v1/clusters/{}/tenants/{}/projects/{}", tenant.cluster_id, tenant.id, project.id);
    let version = project.version;
    caller.commit(tx, Created::at(at, project, version)).await
}

/// Shows a project.
pub async fn get(
    State(api): State<Api>,
    caller: Caller,
    Path((cluster, tenant, project)): Path<(String, String, String)>,
) -> Result<Answer<Project>, Problem> {
    let mut tx = api.read(&caller).await?;
    let tenant = tenants::get(&mut tx, &cluster, &tenant).await?;
    Ok(versioned(projects::get(&mut tx, &tenant.id, &project).await?))
}

/// Changes a project by a merge patch.
pub async fn update(
    State(api): State<Api>,
    caller: Caller,
    Path((cluster, tenant, project)): Path<(String, String, String)>,
    wanted: IfMatch,
    Body(patch): Body<ProjectPatch>,
) -> Result<Answer<Project>, Problem> {
    let mut tx = api.write(&caller).await?;
    let tenant = tenants::change(&mut tx, &cluster, &tenant).await?;
    let was = projects::get(&mut tx, &tenant.id, &project).await?;
    wanted.check(was.version)?;
    let labels = fields::merged(&was.labels, patch.labels)?;
    let amendment = Amendment { display_name: patch.display_name.map(Option::unwrap_or_default), labels };
    let project = projects::amend(&mut tx, was, amendment).await?;
    caller.commit(tx, versioned(project)).await
}

/// Deletes a project that has neither apps nor sandboxes.
pub async fn delete(
    State(api): State<Api>,
    caller: Caller,
    Path((cluster, tenant, project)): Path<(String, String, String)>,
    wanted: IfMatch,
) -> Result<Done, Problem> {
    let mut tx = api.write(&caller).await?;
    let tenant = tenants::change(&mut tx, &cluster, &tenant).await?;
    let was = projects::get(&mut tx, &tenant.id, &project).await?;
    wanted.check(was.version)?;
    projects::remove(&mut tx, &tenant, was, false).await?;
    caller.commit(tx, Done).await
}

fn versioned(project: Project) -> Answer<Project> {
    let version = project.version;
    Answer::versioned(project, version)
}
