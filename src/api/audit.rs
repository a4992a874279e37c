//! Reading the audit log: administrators all of it, owners what is their tenant's.

use axum::extract::State;
use serde::Deserialize;
use utoipa::ToSchema;

use super::Api;
use super::answer::Answer;
use super::body::Query;
use super::caller::Caller;
use super::page::{self, Listed, Long, Page, View, Window};
use super::problem::Problem;
use portcullis_store::audit::{Filter, Record, list as records};
use portcullis_store::{Time, identities};

/// Which rows are wanted.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct AuditQuery {
    /// Of one tenant, by id or slug.
    #[schema(min_length = 1, max_length = 36, nullable = false)]
    tenant_id: Option<String>,
    /// Of one kind of deed, such as `tenant.update`.
    #[schema(min_length = 1, max_length = 64, pattern = "^[A-Za-z.]+$", nullable = false)]
    action: Option<String>,
    /// At or after this time.
    #[schema(nullable = false)]
    since: Option<Time>,
    /// At most so many items; 50 where it is absent.
    #[schema(minimum = 1, maximum = 200, nullable = false)]
    limit: Option<u16>,
    /// `nextCursor` of the page before.
    #[schema(min_length = 1, max_length = 512, nullable = false)]
    cursor: Option<String>,
    /// `full` shows `before` and `after` too, which may be long.
    #[schema(schema_with = View::parameter, required = false)]
    view: Option<View>,
}

impl Long for Record {
    const LISTED: &'static str = "ListedRecord";
    const FIELDS: &'static [&'static str] = &["before", "after"];
}

/// Reads the audit log, newest first.
pub async fn list(
    State(api): State<Api>,
    caller: Caller,
    Query(query): Query<AuditQuery>,
) -> Result<Answer<Page<Listed<Record>>>, Problem> {
    let mut filling = Window::new(query.limit, query.cursor.as_deref(), None)?.filling().large();
    let view = query.view.unwrap_or_default();
    let scope = match &query.tenant_id {
        Some(tenant) => caller.scope_in(tenant)?,
        None => caller.scope().clone(),
    };
    let mut tx = api.ledger().read(&scope).await?;
    let tenant_id = match query.tenant_id {
        // A tenant that is gone has a past all the same, under its id.
        Some(id) if uuid::Uuid::try_parse(&id).is_ok() => Some(id),
        Some(slug) => Some(identities::tenant(&mut tx, &slug).await?.id),
        None => None,
    };
    let filter = Filter { tenant_id, action: query.action, since: query.since.map(|time| time.0) };
    while let Some((after, limit)) = filling.wants() {
        let rows = records(&mut tx, &filter, after.as_deref(), limit, view.is_full()).await?;
        let items = rows.into_iter().map(|row| Listed::new(row, view)).collect();
        filling.take_large(items, |row| &row.item().cursor, |_| &page::UNLABELLED);
    }
    tx.rollback().await?;
    Ok(Answer::new(filling.page()))
}
