//! Exceptions from policies: owners request them for their tenant, administrators grant them.

use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Api;
use super::answer::{Answer, Created, NoContent};
use super::caller::Caller;
use super::etag::IfMatch;
use super::extract::{Body, Path, Query};
use super::page::{Page, PageQuery, no_labels};
use super::problem::{Code, Fault, Problem};
use portcullis_access::matrix::Limit;
use portcullis_store::exceptions::{self, Exception, Exempt, New};
use portcullis_store::{Time, tenants};
use portcullis_tenancy::resource::Pattern;

/// The longest validity of an exception, in milliseconds: a year and a day.
const VALIDITY_MAX: i64 = 366 * 24 * 60 * 60 * 1000;

/// A request for an exception.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ExceptionNew {
    /// The tenant, by slug or id. By default an owner's own tenant, and for administrators every tenant.
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
    /// Usernames and groups; empty means every user.
    #[serde(default)]
    #[schema(max_items = 100, inline)]
    subjects: Vec<Name>,
    /// Objects that are exempt.
    #[schema(min_items = 1, max_items = 100)]
    objects: Vec<Exempt>,
    /// The reason, for the audit log.
    #[schema(min_length = 1, max_length = 1000)]
    reason: String,
    /// Expiry, RFC 3339; at most a year from now.
    #[schema(format = DateTime, min_length = 20, max_length = 40)]
    expires: String,
}

/// A name of a user, group, namespace or policy.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[schema(min_length = 1, max_length = 256)]
pub struct Name(String);

pub async fn list(
    State(api): State<Api>,
    caller: Caller,
    Query(query): Query<PageQuery>,
) -> Result<Answer<Page<Exception>>, Problem> {
    let mut builder = query.window()?.builder().large();
    let mut tx = api.read(&caller).await?;
    while let Some((after, limit)) = builder.next_query() {
        let rows = exceptions::list(&mut tx, after.as_deref(), limit).await?;
        builder.add_large(rows, |row| &row.id, no_labels);
    }
    Ok(Answer::new(builder.build()))
}

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
    let expires = expiry(&new.expires, tx.now(), VALIDITY_MAX, "/expires")?;
    if let Ok(layers) = api.layers()
        && layers.policies().load().policy(&new.policy).is_none()
    {
        let detail = format!("no policy `{}` exists", new.policy);
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

/// A future time, at most `longest` milliseconds from now.
pub(super) fn expiry(text: &str, now: i64, longest: i64, pointer: &str) -> Result<Time, Problem> {
    let none = |_| {
        Problem::invalid(vec![Fault::new(pointer, "is not an RFC 3339 time, as in `2026-11-21T10:00:00Z`")])
    };
    let time: jiff::Timestamp = text.parse().map_err(none)?;
    let at = time.as_millisecond();
    if at <= now || at > now.saturating_add(longest) {
        let detail = format!("must be between now and {} hours from now", longest / 3_600_000);
        return Err(Problem::meaning(Code::UnprocessableEntity, pointer, detail));
    }
    Ok(Time(at))
}

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

pub async fn delete(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
    if_match: IfMatch,
) -> Result<NoContent, Problem> {
    let mut tx = api.write(&caller).await?;
    let was = exceptions::get(&mut tx, &id).await?;
    if_match.check(was.version)?;
    let own = was.requested_by == caller.identity().name() && was.state == "requested";
    if caller.scope().limit() == Some(Limit::OwnRequest) && !own {
        return Err(Problem::new(Code::Forbidden, "an owner may only withdraw its own pending requests"));
    }
    exceptions::remove(&mut tx, was).await?;
    caller.commit(tx, NoContent).await
}

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
