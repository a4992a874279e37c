//! Sandboxes: namespaces that a tenant's people write freely and the platform leaves alone.

use axum::extract::State;
use serde::Deserialize;
use utoipa::ToSchema;

use super::Api;
use super::answer::{Answer, Created, Done};
use super::apps::OfApp as OfSandbox;
use super::body::{MaybeBody, Path, Query};
use super::caller::Caller;
use super::etag::IfMatch;
use super::page::Page;
use super::place::{Names, Place};
use super::problem::{Code, Problem};
use super::turn::{Turn, no_labels};
use super::words;
use portcullis_access::Limit;
use portcullis_store::quota;
use portcullis_store::sandboxes::{self, Sandbox};

/// A new sandbox. Its number is the ledger's to give.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SandboxNew {
    /// Name for people.
    #[serde(default)]
    #[schema(required = false, schema_with = words::display_name)]
    pub display_name: String,
    /// Seconds after which it is deleted by itself; without them it stays.
    #[schema(minimum = 60, maximum = 31_536_000, nullable = false, example = 86_400)]
    pub ttl_seconds: Option<i64>,
}

/// Lists a project's sandboxes.
pub async fn list(
    State(api): State<Api>,
    caller: Caller,
    Path((c, t, p)): Path<Names>,
    Query(turn): Query<Turn>,
) -> Result<Answer<Page<Sandbox>>, Problem> {
    let mut filling = turn.filling()?;
    let mut tx = api.read(&caller).await?;
    let place = Place::read(&mut tx, &c, &t, &p).await?;
    while let Some((after, limit)) = filling.wants() {
        let rows = sandboxes::list(&mut tx, &place.project, after.as_deref(), limit).await?;
        filling.take(rows, |sandbox| &sandbox.id, no_labels);
    }
    Ok(Answer::new(filling.page()))
}

/// Makes a sandbox with the lowest number that is free.
pub async fn create(
    State(api): State<Api>,
    caller: Caller,
    Path((c, t, p)): Path<Names>,
    MaybeBody(new): MaybeBody<SandboxNew>,
) -> Result<Created<Sandbox>, Problem> {
    let mut tx = api.write(&caller).await?;
    let place = Place::change(&mut tx, &c, &t, &p).await?;
    if caller.scope().limit() == Some(Limit::SandboxSetting)
        && !sandboxes::open_to_developers(&mut tx).await?
    {
        return Err(Problem::new(Code::Forbidden, "the setting `sandboxes` leaves making them to owners"));
    }
    let count = sandboxes::count(&mut tx, &place.tenant.id).await?;
    quota::one_more(&mut tx, &place.tenant, "sandboxes", count).await?;
    let expires = new.ttl_seconds.map(|seconds| tx.now() + seconds * 1_000);
    let sandbox = sandboxes::create(&mut tx, place.both(), &new.display_name, expires).await?;
    let path = place.path(&format!("sandboxes/{}", sandbox.name));
    let answer = Created::at(path, sandbox.clone(), sandbox.version);
    caller.commit(tx, answer).await
}

/// Shows a sandbox.
pub async fn get(
    State(api): State<Api>,
    caller: Caller,
    Path((c, t, p, s)): Path<OfSandbox>,
) -> Result<Answer<Sandbox>, Problem> {
    let mut tx = api.read(&caller).await?;
    let place = Place::read(&mut tx, &c, &t, &p).await?;
    let sandbox = sandboxes::get(&mut tx, &place.project, &s).await?;
    let version = sandbox.version;
    Ok(Answer::versioned(sandbox, version))
}

/// Deletes a sandbox. It is its project's, not its maker's.
pub async fn delete(
    State(api): State<Api>,
    caller: Caller,
    Path((c, t, p, s)): Path<OfSandbox>,
    wanted: IfMatch,
) -> Result<Done, Problem> {
    let mut tx = api.write(&caller).await?;
    let place = Place::change(&mut tx, &c, &t, &p).await?;
    let was = sandboxes::get(&mut tx, &place.project, &s).await?;
    wanted.check(was.version)?;
    sandboxes::remove(&mut tx, &was, None).await?;
    caller.commit(tx, Done).await
}
