//! Projects of a tenant, who has access to them, and the lookup of the project that a path names.

use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Api;
use super::answer::{Answer, Created, NoContent};
use super::caller::{Caller, read_subject};
use super::etag::IfMatch;
use super::extract::{Body, Path, Query};
use super::fields::{self, Labels, LabelsPatch};
use super::page::{ListQuery, Page};
use super::problem::{Code, Fault, Problem};
use portcullis_store::Tx;
use portcullis_store::members::{self, Access, ProjectRole};
use portcullis_store::projects::{self, New, Project, ProjectUpdate};
use portcullis_store::tenants::{self, Tenant};

/// The variables of the path, by id or slug.
pub type ProjectPath = (String, String, String);

/// A project and its tenant, as the ledger has them.
#[derive(Debug, Clone)]
pub struct ProjectInTenant {
    /// The tenant.
    pub tenant: Tenant,
    /// The project.
    pub project: Project,
}

impl ProjectInTenant {
    /// For reading.
    ///
    /// # Errors
    /// 404 for the first that does not exist.
    pub async fn read(tx: &mut Tx, c: &str, t: &str, p: &str) -> Result<Self, Problem> {
        let tenant = tenants::get(tx, c, t).await?;
        let project = projects::get(tx, &tenant.id, p).await?;
        Ok(Self { tenant, project })
    }

    /// For changes: locks the tenant until the commit.
    ///
    /// # Errors
    /// As [`Self::read`], and 403 if the tenant is suspended.
    pub async fn change(tx: &mut Tx, c: &str, t: &str, p: &str) -> Result<Self, Problem> {
        let tenant = tenants::change(tx, c, t).await?;
        let project = projects::get(tx, &tenant.id, p).await?;
        Ok(Self { tenant, project })
    }

    /// Both, as the ledger's functions take them.
    pub const fn both(&self) -> (&Tenant, &Project) {
        (&self.tenant, &self.project)
    }

    /// The path of something in it.
    pub fn path(&self, below: &str) -> String {
        let Self { tenant, project } = self;
        format!(
            "/api/v1/clusters/{}/tenants/{}/projects/{}/{below}",
            tenant.cluster_id, tenant.name, project.name
        )
    }
}

/// A new project.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct ProjectNew {
    /// Slug.
    #[schema(schema_with = fields::project_slug)]
    pub name: String,
    /// Display name.
    #[serde(default)]
    #[schema(schema_with = fields::display_name, required = false)]
    pub display_name: String,
    /// Labels.
    #[serde(default)]
    pub labels: Labels,
}

/// A merge patch (RFC 7396) of a project: absent fields stay, null removes.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct ProjectPatch {
    /// Display name.
    #[serde(default, deserialize_with = "fields::given")]
    #[schema(schema_with = fields::display_name_or_null, required = false)]
    pub display_name: Option<Option<String>>,
    /// Labels, merged by key.
    #[serde(default, deserialize_with = "fields::given")]
    #[schema(value_type = Option<LabelsPatch>)]
    pub labels: Option<Option<LabelsPatch>>,
}

pub async fn list(
    State(api): State<Api>,
    caller: Caller,
    Path((cluster, tenant)): Path<(String, String)>,
    Query(query): Query<ListQuery>,
) -> Result<Answer<Page<Project>>, Problem> {
    let mut builder = query.window()?.builder();
    let mut tx = api.read(&caller).await?;
    let tenant = tenants::get(&mut tx, &cluster, &tenant).await?.id;
    while let Some((after, limit)) = builder.next_query() {
        let rows = projects::list(&mut tx, &tenant, after.as_deref(), limit).await?;
        builder.add(rows, |project| &project.id, |project| &project.labels);
    }
    Ok(Answer::new(builder.build()))
}

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

pub async fn get(
    State(api): State<Api>,
    caller: Caller,
    Path((cluster, tenant, project)): Path<(String, String, String)>,
) -> Result<Answer<Project>, Problem> {
    let mut tx = api.read(&caller).await?;
    let tenant = tenants::get(&mut tx, &cluster, &tenant).await?;
    Ok(versioned(projects::get(&mut tx, &tenant.id, &project).await?))
}

pub async fn update(
    State(api): State<Api>,
    caller: Caller,
    Path((cluster, tenant, project)): Path<(String, String, String)>,
    if_match: IfMatch,
    Body(patch): Body<ProjectPatch>,
) -> Result<Answer<Project>, Problem> {
    let mut tx = api.write(&caller).await?;
    let tenant = tenants::change(&mut tx, &cluster, &tenant).await?;
    let was = projects::get(&mut tx, &tenant.id, &project).await?;
    if_match.check(was.version)?;
    let labels = fields::merged(&was.labels, patch.labels)?;
    let update = ProjectUpdate { display_name: patch.display_name.map(Option::unwrap_or_default), labels };
    let project = projects::update(&mut tx, was, update).await?;
    caller.commit(tx, versioned(project)).await
}

pub async fn delete(
    State(api): State<Api>,
    caller: Caller,
    Path((cluster, tenant, project)): Path<(String, String, String)>,
    if_match: IfMatch,
) -> Result<NoContent, Problem> {
    let mut tx = api.write(&caller).await?;
    let tenant = tenants::change(&mut tx, &cluster, &tenant).await?;
    let was = projects::get(&mut tx, &tenant.id, &project).await?;
    if_match.check(was.version)?;
    projects::remove(&mut tx, &tenant, was, false).await?;
    caller.commit(tx, NoContent).await
}

fn versioned(project: Project) -> Answer<Project> {
    let version = project.version;
    Answer::versioned(project, version)
}

/// All members that are limited to projects and have access to this one. Owners and members of all projects have access
/// without an entry.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AccessList {
    /// Each subject once.
    #[schema(max_items = 200)]
    pub members: Vec<ProjectAccess>,
}

/// A subject with its role in the project.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ProjectAccess {
    /// The subject.
    #[schema(schema_with = fields::subject)]
    pub subject: String,
    /// The role.
    pub role: ProjectRole,
}

pub async fn access(
    State(api): State<Api>,
    caller: Caller,
    Path((cluster, tenant, project)): Path<(String, String, String)>,
    if_match: IfMatch,
    Body(body): Body<AccessList>,
) -> Result<Answer<AccessList>, Problem> {
    let lines = read(&api, &body)?;
    let mut tx = api.write(&caller).await?;
    let tenant = tenants::change(&mut tx, &cluster, &tenant).await?;
    let project = projects::get(&mut tx, &tenant.id, &project).await?;
    if_match.check(project.version)?;
    if let Err(impossible) = members::replace_access(&mut tx, &project, &lines).await? {
        let faults =
            impossible.into_iter().map(|line| Fault::new(format!("/members/{}", line.index), line.why));
        return Err(Problem::faults(Code::UnprocessableEntity, faults.collect()));
    }
    let version = projects::increment_version(&mut tx, project).await?.version;
    let members =
        lines.into_iter().map(|line| ProjectAccess { subject: line.subject, role: line.role }).collect();
    caller.commit(tx, Answer::versioned(AccessList { members }, version)).await
}

fn read(api: &Api, body: &AccessList) -> Result<Vec<Access>, Problem> {
    let mut lines: Vec<Access> = Vec::with_capacity(body.members.len());
    let mut faults = Vec::new();
    for (index, member) in body.members.iter().enumerate() {
        let at = format!("/members/{index}/subject");
        match read_subject(api, &member.subject, &at) {
            Ok(subject) if lines.iter().any(|line| line.subject == subject) => {
                faults.push(Fault::new(at, "is listed twice"));
            }
            Ok(subject) => lines.push(Access { subject, role: member.role }),
            Err(fault) => faults.push(fault),
        }
    }
    if faults.is_empty() { Ok(lines) } else { Err(Problem::invalid(faults)) }
}
