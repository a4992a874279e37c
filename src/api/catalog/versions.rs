//! Versions of an item.

use axum::extract::State;

use super::body::{ItemQuery, VersionNew};
use super::{change, path};
use crate::Api;
use crate::answer::{Answer, Created};
use crate::body::{Body, Path, Query};
use crate::caller::Caller;
use crate::page::Page;
use crate::problem::Problem;
use crate::source::check;
use crate::turn::{Turn, no_labels};
use portcullis_store::catalog::{self, Release};
use portcullis_store::tenants;
use serde::Deserialize;
use utoipa::ToSchema;

/// Which versions to list.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = CatalogVersionsQuery)]
pub struct VersionsQuery {
    /// At most so many items; 50 where it is absent.
    #[schema(minimum = 1, maximum = 200, nullable = false)]
    pub limit: Option<u16>,
    /// `nextCursor` of the page before.
    #[schema(min_length = 1, max_length = 512, nullable = false)]
    pub cursor: Option<String>,
    /// A tenant's view, by id or slug: its own item comes before the global one.
    #[schema(nullable = false, min_length = 1, max_length = 36, pattern = "^[a-z0-9-]+$")]
    pub tenant_id: Option<String>,
}

/// Lists an item's versions.
pub async fn versions(
    State(api): State<Api>,
    caller: Caller,
    Path(slug): Path<String>,
    Query(query): Query<VersionsQuery>,
) -> Result<Answer<Page<Release>>, Problem> {
    let mut filling = Turn { limit: query.limit, cursor: query.cursor }.filling()?.large();
    let (mut tx, item) = super::find(&api, &caller, &slug, query.tenant_id.as_deref()).await?;
    while let Some((after, limit)) = filling.wants() {
        let rows = catalog::releases(&mut tx, &item, after.as_deref(), limit).await?;
        filling.take_large(rows, |release| &release.id, no_labels);
    }
    Ok(Answer::new(filling.page()))
}

/// Adds a version.
pub async fn add(
    State(api): State<Api>,
    caller: Caller,
    Path(slug): Path<String>,
    Query(query): Query<ItemQuery>,
    Body(new): Body<VersionNew>,
) -> Result<Created<Release>, Problem> {
    let (mut tx, item) = change(&api, &caller, &slug, query.tenant_id.as_deref()).await?;
    let tenant = match &item.tenant_id {
        Some(tenant) => Some(tenants::anywhere(&mut tx, tenant).await?.name),
        None => None,
    };
    check::item(&api, &mut tx, tenant.as_deref(), &new.source, "/source").await?;
    let release = catalog::add(&mut tx, &item, &new.version, &new.source).await?;
    let answer = Created::fixed_at(format!("{}/versions", path(&item)), release);
    caller.commit(tx, answer).await
}
