//! Sandboxes: namespaces that users of a tenant write freely and the platform does not manage.

use axum::extract::State;
use serde::Deserialize;
use utoipa::ToSchema;

use super::Api;
use super::answer::{Answer, Created, NoContent};
use super::apps::AppPath as SandboxPath;
use super::caller::Caller;
use super::etag::IfMatch;
use super::extract::{MaybeBody, Path, Query};
use super::fields;
use super::page::Page;
use super::page::{PageQuery, no_labels};
use super::problem::{Code, Problem};
use super::projects::{ProjectInTenant, ProjectPath};
use portcullis_access::Limit;
use portcullis_store::plans;
use portcullis_store::sandboxes::{self, Sandbox};

/// A new sandbox. The ledger assigns its number.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SandboxNew {
    /// Display name.
    #[serde(default)]
    #[schema(required = false, schema_with = fields::display_name)]
    pub display_name: String,
    /// Seconds until it is deleted automatically; absent means never.
    #[schema(minimum = 60, maximum = 31_536_000, nullable = false, example = 86_400)]
    pub ttl_seconds: Option<i64>,
}

pub async fn list(
    State(api): State<Api>,
    caller: Caller,
    Path((c, t, p)): Path<ProjectPath>,
    Query(query): Query<PageQuery>,
) -> Result<Answer<Page<Sandbox>>, Problem> {
    let mut builder = query.builder()?;
    let mut tx = api.read(&caller).await?;
    let parent = ProjectInTenant::read(&mut tx, &c, &t, &p).await?;
    while let Some((after, limit)) = builder.next_query() {
        let rows = sandboxes::list(&mut tx, &parent.project, after.as_deref(), limit).await?;
        builder.add(rows, |sandbox| &sandbox.id, no_labels);
    }
    Ok(Answer::new(builder.build()))
}

pub async fn create(
    State(api): State<Api>,
    caller: Caller,
    Path((c, t, p)): Path<ProjectPath>,
    MaybeBody(new): MaybeBody<SandboxNew>,
) -> Result<Created<Sandbox>, Problem> {
    let mut tx = api.write(&caller).await?;
    let parent = ProjectInTenant::change(&mut tx, &c, &t, &p).await?;
    if caller.scope().limit() == Some(Limit::SandboxSetting)
        && !sandboxes::developers_may_create(&mut tx).await?
    {
        return Err(Problem::new(
            Code::Forbidden,
            "only owners may create sandboxes, by the setting `sandboxes`",
        ));
    }
    let count = sandboxes::count(&mut tx, &parent.tenant.id).await?;
    plans::check_quota(&mut tx, &parent.tenant, "sandboxes", count).await?;
    let expires = new.ttl_seconds.map(|seconds| tx.now() + seconds * 1_000);
    let sandbox = sandboxes::create(&mut tx, parent.both(), &new.display_name, expires).await?;
    let path = parent.path(&format!("sandboxes/{}", sandbox.name));
    let answer = Created::at(path, sandbox.clone(), sandbox.version);
    caller.commit(tx, answer).await
}

pub async fn get(
    State(api): State<Api>,
    caller: Caller,
    Path((c, t, p, s)): Path<SandboxPath>,
) -> Result<Answer<Sandbox>, Problem> {
    let mut tx = api.read(&caller).await?;
    let parent = ProjectInTenant::read(&mut tx, &c, &t, &p).await?;
    let sandbox = sandboxes::get(&mut tx, &parent.project, &s).await?;
    let version = sandbox.version;
    Ok(Answer::versioned(sandbox, version))
}

pub async fn delete(
    State(api): State<Api>,
    caller: Caller,
    Path((c, t, p, s)): Path<SandboxPath>,
    if_match: IfMatch,
) -> Result<NoContent, Problem> {
    let mut tx = api.write(&caller).await?;
    let parent = ProjectInTenant::change(&mut tx, &c, &t, &p).await?;
    let was = sandboxes::get(&mut tx, &parent.project, &s).await?;
    if_match.check(was.version)?;
    sandboxes::remove(&mut tx, &was, None).await?;
    caller.commit(tx, NoContent).await
}
