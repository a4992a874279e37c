//! Apps and their revisions. An app has one namespace from the moment it exists, and a revision for each content it ever
//! had; neither is changed afterwards.
//!
//! Whoever changes an app has locked its tenant ([`super::tenants::change`]), so nothing here meets another writer.

mod change;
mod revisions;
mod row;

pub use change::{create, remove, revise};
pub use revisions::{Revision, revision, revisions};
pub use row::{App, Origin, Sourced, Spec};

use self::row::Row;
use super::error::StoreError;
use super::projects::Project;
use super::{Tx, is_id};
use portcullis_tenancy::source::SourceKind;

/// What an app is made of: what a revision keeps.
#[derive(Debug, Clone, PartialEq)]
pub struct Content {
    /// Of which kind the source is.
    pub kind: SourceKind,
    /// The source, components, traits and policies.
    pub spec: Spec,
    /// The item of the catalog that it came from, if it did.
    pub origin: Option<Origin>,
}

/// Apps of a project in order of ids, after one of them. With `full` false what they are made of is not read.
pub async fn list(
    tx: &mut Tx,
    project: &Project,
    after: Option<&str>,
    limit: i64,
    full: bool,
) -> Result<Vec<App>, StoreError> {
    let select = if full {
        row::select!("a.id > $3 ORDER BY a.id LIMIT $4")
    } else {
        row::select_head!("a.id > $3 ORDER BY a.id LIMIT $4")
    };
    let rows = sqlx::query_as::<_, Row>(select)
        .bind(project.tenant_id.clone())
        .bind(project.id.clone())
        .bind(after.unwrap_or_default().to_owned())
        .bind(limit)
        .fetch_all(tx.sql())
        .await?;
    rows.into_iter().map(Row::read).collect()
}

/// An app of a project by id or slug.
pub async fn get(tx: &mut Tx, project: &Project, app: &str) -> Result<App, StoreError> {
    find(tx, project, app).await?.ok_or(StoreError::NotFound("app"))
}

/// The same, where it is no error that there is none.
pub async fn find(tx: &mut Tx, project: &Project, app: &str) -> Result<Option<App>, StoreError> {
    let select = if is_id(app) { row::select!("a.id = $3") } else { row::select!("a.slug = $3") };
    let row = sqlx::query_as::<_, Row>(select)
        .bind(project.tenant_id.clone())
        .bind(project.id.clone())
        .bind(app.to_owned())
        .fetch_optional(tx.sql())
        .await?;
    row.map(Row::read).transpose()
}

/// How many apps a tenant has.
pub async fn count(tx: &mut Tx, tenant: &str) -> Result<i64, StoreError> {
    let count = sqlx::query_scalar("SELECT COUNT(*) FROM apps WHERE tenant_id = $1");
    Ok(count.bind(tenant.to_owned()).fetch_one(tx.sql()).await?)
}

/// How many apps came from an item of the catalog, as far as the scope sees.
pub async fn count_of_item(tx: &mut Tx, item: &str) -> Result<i64, StoreError> {
    let own = tx.tenant();
    let count = sqlx::query_scalar(
        "SELECT COUNT(*) FROM apps WHERE catalog_item_id = $1 AND ($2 IS NULL OR tenant_id = $2)",
    );
    Ok(count.bind(item.to_owned()).bind(own).fetch_one(tx.sql()).await?)
}
