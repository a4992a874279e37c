//! Members of a tenant.

use axum::extract::State;
use serde::Deserialize;
use utoipa::ToSchema;

use super::Api;
use super::answer::{Answer, NoContent};
use super::caller::{Caller, read_subject};
use super::etag::IfMatch;
use super::extract::{Body, Path, Query};
use super::page::{Page, PageQuery, no_labels};
use super::problem::{Code, Fault, Problem};
use portcullis_store::members::{self, Member, MemberRole};
use portcullis_store::tenants::{self, Tenant};
use portcullis_store::{StoreError, Tx, projects};

/// A membership in a tenant.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Membership {
    /// The role.
    pub role: MemberRole,
    /// Projects that the member is limited to, by id or slug. Absent means all projects; an empty list means none.
    #[schema(max_items = 100, required = false)]
    pub projects: Option<Vec<ProjectName>>,
}

/// A project by id or slug.
#[derive(Debug, Clone, Deserialize)]
#[serde(transparent)]
pub struct ProjectName(pub String);

impl utoipa::PartialSchema for ProjectName {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
        super::fields::project_name()
    }
}

impl ToSchema for ProjectName {
    fn name() -> std::borrow::Cow<'static, str> {
        "ProjectName".into()
    }
}

pub async fn list(
    State(api): State<Api>,
    caller: Caller,
    Path((cluster, tenant)): Path<(String, String)>,
    Query(query): Query<PageQuery>,
) -> Result<Answer<Page<Member>>, Problem> {
    let mut builder = query.window()?.builder();
    let mut tx = api.read(&caller).await?;
    let tenant = tenants::get(&mut tx, &cluster, &tenant).await?;
    while let Some((after, limit)) = builder.next_query() {
        let rows = members::list(&mut tx, &tenant.id, after.as_deref(), limit).await?;
        builder.add(rows, |member| &member.id, no_labels);
    }
    Ok(Answer::new(builder.build()))
}

pub async fn put(
    State(api): State<Api>,
    caller: Caller,
    Path((cluster, tenant, subject)): Path<(String, String, String)>,
    if_match: IfMatch,
    Body(body): Body<Membership>,
) -> Result<Answer<Member>, Problem> {
    let subject = named(&api, &subject)?;
    may_give(&caller, body.role)?;
    let mut tx = api.write(&caller).await?;
    let tenant = tenants::change(&mut tx, &cluster, &tenant).await?;
    let was = members::find(&mut tx, &tenant.id, &subject).await?;
    if let Some(was) = &was {
        may_give(&caller, was.role)?;
    }
    if_match.check(was.as_ref().map_or(0, |was| was.version))?;
    let projects = limited_to(&mut tx, &tenant, &body).await?;
    let member = members::put(&mut tx, &tenant, &subject, body.role, projects.as_deref()).await?;
    let version = member.version;
    caller.commit(tx, Answer::versioned(member, version)).await
}

pub async fn delete(
    State(api): State<Api>,
    caller: Caller,
    Path((cluster, tenant, subject)): Path<(String, String, String)>,
    if_match: IfMatch,
) -> Result<NoContent, Problem> {
    let subject = named(&api, &subject).map_err(|_| Problem::from(StoreError::NotFound("member")))?;
    let mut tx = api.write(&caller).await?;
    let tenant = tenants::change(&mut tx, &cluster, &tenant).await?;
    let was = members::find(&mut tx, &tenant.id, &subject).await?.ok_or(StoreError::NotFound("member"))?;
    may_give(&caller, was.role)?;
    if_match.check(was.version)?;
    members::delete(&mut tx, &tenant, was).await?;
    caller.commit(tx, NoContent).await
}

fn named(api: &Api, text: &str) -> Result<String, Problem> {
    read_subject(api, text, "").map_err(|fault| {
        Problem::invalid(vec![Fault::new("", format!("the subject in the path {}", fault.detail))])
    })
}

/// A caller cannot grant or revoke a role above its own.
fn may_give(caller: &Caller, role: MemberRole) -> Result<(), Problem> {
    if caller.scope().may_grant(role.role()) {
        return Ok(());
    }
    let detail = format!("the role `{}` is higher than the caller's own", role.as_str());
    Err(Problem::new(Code::Forbidden, detail))
}

/// Ids of the projects that the body names, each of this tenant.
async fn limited_to(tx: &mut Tx, tenant: &Tenant, body: &Membership) -> Result<Option<Vec<String>>, Problem> {
    let Some(names) = &body.projects else { return Ok(None) };
    if body.role == MemberRole::TenantOwner {
        let detail = "must be absent for an owner, who has all projects";
        return Err(Problem::meaning(Code::UnprocessableEntity, "/projects", detail));
    }
    let mut ids: Vec<String> = Vec::with_capacity(names.len());
    let mut faults = Vec::new();
    for (index, ProjectName(name)) in names.iter().enumerate() {
        match projects::get(tx, &tenant.id, name).await {
            Ok(project) if ids.contains(&project.id) => {}
            Ok(project) => ids.push(project.id),
            Err(StoreError::NotFound(_)) => {
                faults.push(Fault::new(format!("/projects/{index}"), "is not a project of this tenant"));
            }
            Err(other) => return Err(other.into()),
        }
    }
    if faults.is_empty() { Ok(Some(ids)) } else { Err(Problem::faults(Code::UnprocessableEntity, faults)) }
}
