//! Exceptions: owners ask for their own tenant, administrators grant.

use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Api;
use super::answer::{Answer, Created, Done};
use super::body::{Body, Path, Query};
use super::caller::Caller;
use super::etag::IfMatch;
use super::page::Page;
use super::policysets::{NO_LABELS, PlainQuery};
use super::problem::{Code, Fault, Problem};
use portcullis_access::matrix::Limit;
use portcullis_store::exceptions::{self, Exception, Exempt, New};
use portcullis_store::{Time, tenants};
use portcullis_tenancy::resource::Pattern;

/// The longest that an exception lasts, in milliseconds: a year and a day.
const LONGEST: i64 = 366 * 24 * 60 * 60 * 1000;

/// What is asked for.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ExceptionNew {
    /// Tenant it is for, by slug or id; an owner's own where it is absent, and every tenant's where an administrator asks.
    #[schema(min_length = 1, max_length = 36, nullable = false)]
    tenant: Option<String>,
    /// Id of the policy.
    #[schema(
        min_length = 1,
        max_length = 63,
        pattern = "^[a-z]([-a-z0-9]*[a-z0-9])?$",
        example = "registry-allowlist"
    )]
    policy: String,
    /// Usernames and groups it is for; empty means everybody.
    #[serde(default)]
    #[schema(max_items = 100, inline)]
    subjects: Vec<Name>,
    /// Objects it is for.
    #[schema(min_items = 1, max_items = 100)]
    objects: Vec<Exempt>,
    /// Why.
    #[schema(min_length = 1, max_length = 1000)]
    reason: String,
    /// When it ends, RFC 3339; a year at most.
    #[schema(format = DateTime, min_length = 20, max_length = 40)]
    expires: String,
}

/// A name of Kubernetes: a user, a group, a namespace, a policy.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[schema(min_length = 1, max_length = 256)]
pub struct Name(String);

/// Lists exceptions; a tenant's own people see theirs.
pub async fn list(
    State(api): State<Api>,
    caller: Caller,
    Query(query): Query<PlainQuery>,
) -> Result<Answer<Page<Exception>>, Problem> {
    let mut filling = query.window()?.filling().large();
    let mut tx = api.read(&caller).await?;
    while let Some((after, limit)) = filling.wants() {
        let rows = exceptions::list(&mut tx, after.as_deref(), limit).await?;
        filling.take_large(rows, |row| &row.id, |_| &NO_LABELS);
    }
    Ok(Answer::new(filling.page()))
}

/// Asks for an exception; an administrator's takes effect.
pub async fn create(
    State(api): State<Api>,
    caller: Caller,
    Body(new): Body<ExceptionNew>,
) -> Result<Created<Exception>, Problem> {
    let own = caller.identity().tenant.as_ref().map(|tenant| tenant.id.clone());
    let tenant = new.tenant.clone().or(own);
    let scope = match &tenant {
        Some(tenant) => caller.scope_in(tenant)?,
        None => caller.scope().clone(),
    };
    let mut tx = api.ledger().write(&scope).await?;
    let tenant_id = match tenant {
        Some(tenant) => Some(tenants::change_anywhere(&mut tx, &tenant).await?.id),
        None => None,
    };
    let expires = expiry(&new.expires, tx.now(), LONGEST, "/expires")?;
    if let Ok(layers) = api.layers()
        && layers.live().load().policy(&new.policy).is_none()
    {
        let detail = format!("there is no policy `{}`", new.policy);
        return Err(Problem::meaning(Code::UnprocessableEntity, "/policy", detail));
    }
    let wrong = new.objects.iter().enumerate().filter_map(|(at, objects)| {
        let error = Pattern::parse(objects.resource.as_deref()?).err()?;
        Some(Fault::new(format!("/objects/{at}/resource"), error.to_string()))
    });
    let wrong: Vec<Fault> = wrong.collect();
    if !wrong.is_empty() {
        return Err(Problem::invalid(wrong));
    }
    let subjects = new.subjects.into_iter().map(|name| name.0).collect();
    let (policy, objects, reason) = (new.policy, new.objects, new.reason);
    let made =
        exceptions::create(&mut tx, New { tenant_id, policy, subjects, objects, reason, expires }).await?;
    let (at, version) = (format!("/api/v1/exceptions/{}", made.id), made.version);
    caller.commit(tx, Created::at(at, made, version)).await
}

/// A time to come, no further than `longest` milliseconds away.
pub(super) fn expiry(text: &str, now: i64, longest: i64, pointer: &str) -> Result<Time, Problem> {
    let none = |_| {
        Problem::invalid(vec![Fault::new(pointer, "is no time of RFC 3339, as in `2026-11-21T10:00:00Z`")])
    };
    let time: jiff::Timestamp = text.parse().map_err(none)?;
    let at = time.as_millisecond();
    if at <= now || at > now.saturating_add(longest) {
        let detail = format!("is not between now and {} hours from now", longest / 3_600_000);
        return Err(Problem::meaning(Code::UnprocessableEntity, pointer, detail));
    }
    Ok(Time(at))
}

/// Shows an exception.
pub async fn get(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Answer<Exception>, Problem> {
    let mut tx = api.read(&caller).await?;
    let found = exceptions::get(&mut tx, &id).await?;
    let version = found.version;
    Ok(Answer::versioned(found, version))
}

/// Ends an exception; an owner takes back what it asked for.
pub async fn delete(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
    wanted: IfMatch,
) -> Result<Done, Problem> {
    let mut tx = api.write(&caller).await?;
    let was = exceptions::get(&mut tx, &id).await?;
    wanted.check(was.version)?;
    let own = was.requested_by == caller.identity().name() && was.state == "requested";
    if caller.scope().limit() == Some(Limit::OwnRequest) && !own {
        return Err(Problem::new(Code::Forbidden, "an owner takes back only what it has asked for itself"));
    }
    exceptions::remove(&mut tx, was).await?;
    caller.commit(tx, Done).await
}

/// Grants what was asked for.
pub async fn approve(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Answer<Exception>, Problem> {
    let mut tx = api.write(&caller).await?;
    let was = exceptions::get(&mut tx, &id).await?;
    let is = exceptions::approve(&mut tx, was).await?;
    let version = is.version;
    caller.commit(tx, Answer::versioned(is, version)).await
}
