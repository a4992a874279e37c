//! Reading the audit log: administrators all of it, owners what is their tenant's.

use axum::extract::State;
use serde::Deserialize;
use utoipa::ToSchema;

use super::Api;
use super::answer::Answer;
use super::caller::Caller;
use super::extract::Query;
use super::page::{Listed, LongFields, Page, View, Window, no_labels};
use super::problem::Problem;
use portcullis_store::audit::{Filter, Record, list as records};
use portcullis_store::{Time, identities};

/// Filter of the audit log.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct AuditQuery {
    /// Only records of this tenant, by id or slug.
    #[schema(min_length = 1, max_length = 36, nullable = false)]
    tenant_id: Option<String>,
    /// Only records of this action, such as `tenant.update`.
    #[schema(min_length = 1, max_length = 64, pattern = "^[A-Za-z.]+$", nullable = false)]
    action: Option<String>,
    /// Only records at or after this time.
    #[schema(nullable = false)]
    since: Option<Time>,
    /// Maximum number of items; 50 by default.
    #[schema(minimum = 1, maximum = 200, nullable = false)]
    limit: Option<u16>,
    /// `nextCursor` of the previous page.
    #[schema(min_length = 1, max_length = 512, nullable = false)]
    cursor: Option<String>,
    /// `full` includes `before` and `after`, which may be long.
    #[schema(schema_with = View::parameter, required = false)]
    view: Option<View>,
}

impl LongFields for Record {
    const LISTED: &'static str = "ListedRecord";
    const FIELDS: &'static [&'static str] = &["before", "after"];
}

pub async fn list(
    State(api): State<Api>,
    caller: Caller,
    Query(query): Query<AuditQuery>,
) -> Result<Answer<Page<Listed<Record>>>, Problem> {
    let mut builder = Window::new(query.limit, query.cursor.as_deref(), None)?.builder().large();
    let view = query.view.unwrap_or_default();
    let scope = match &query.tenant_id {
        Some(tenant) => caller.scope_in(tenant)?,
        None => caller.scope().clone(),
    };
    let mut tx = api.ledger().read(&scope).await?;
    let tenant_id = match query.tenant_id {
        // The records of a deleted tenant remain readable by its id.
        Some(id) if uuid::Uuid::try_parse(&id).is_ok() => Some(id),
        Some(slug) => Some(identities::tenant(&mut tx, &slug).await?.id),
        None => None,
    };
    let filter = Filter { tenant_id, action: query.action, since: query.since.map(|time| time.0) };
    while let Some((after, limit)) = builder.next_query() {
        let rows = records(&mut tx, &filter, after.as_deref(), limit, view.is_full()).await?;
        let items = rows.into_iter().map(|row| Listed::new(row, view)).collect();
        builder.add_large(items, |row| &row.item().cursor, no_labels);
    }
    tx.rollback().await?;
    Ok(Answer::new(builder.build()))
}
