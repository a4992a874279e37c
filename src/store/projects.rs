//! Projects of a tenant. Making one makes no namespace; its apps and sandboxes have those.

mod remove;
mod row;

pub use remove::remove;
pub use row::Project;

use std::collections::BTreeMap;

use serde_json::json;

use self::row::Row;
use super::audit::Entry;
use super::error::StoreError;
use super::tenants::Tenant;
use super::{Part, Tx, is_id, new_id, released};
use portcullis_access::Power;

/// What a project is made of; every field was checked against its grammar.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct New {
    /// Slug.
    pub name: String,
    /// Name for people; empty for none.
    pub display_name: String,
    /// Labels.
    pub labels: BTreeMap<String, String>,
}

/// A change of some fields; what is absent stays.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Amendment {
    /// Name for people; empty takes it away.
    pub display_name: Option<String>,
    /// All labels, as they shall be.
    pub labels: Option<BTreeMap<String, String>>,
}

/// Projects of a tenant that the scope reaches, in order of ids, after one of them.
pub async fn list(
    tx: &mut Tx,
    tenant: &str,
    after: Option<&str>,
    limit: i64,
) -> Result<Vec<Project>, StoreError> {
    // Ids have one length and one spelling, so one is found in a list of them as text.
    let own = match tx.scope().power() {
        Power::Tenant { projects: Some(own), .. } => Some(own.join(",")),
        _ => None,
    };
    let rows = sqlx::query_as::<_, Row>(row::select!(
        "id > $2 AND ($3 IS NULL OR $3 LIKE '%' || id || '%') ORDER BY id LIMIT $4"
    ))
    .bind(tenant.to_owned())
    .bind(after.unwrap_or_default().to_owned())
    .bind(own)
    .bind(limit)
    .fetch_all(tx.sql())
    .await?;
    rows.into_iter().map(Row::read).collect()
}

/// A project of a tenant by id or slug. One that the scope does not reach is not there.
pub async fn get(tx: &mut Tx, tenant: &str, project: &str) -> Result<Project, StoreError> {
    let select = if is_id(project) { row::select!("id = $2") } else { row::select!("slug = $2") };
    let row = sqlx::query_as::<_, Row>(select)
        .bind(tenant.to_owned())
        .bind(project.to_owned())
        .fetch_optional(tx.sql())
        .await?;
    let project = row.map(Row::read).transpose()?;
    project.filter(|project| tx.scope().may_project(&project.id)).ok_or(StoreError::NotFound("project"))
}

/// Every project of a tenant that is locked.
pub(super) async fn all(tx: &mut Tx, tenant: &str) -> Result<Vec<Project>, StoreError> {
    let rows = sqlx::query_as::<_, Row>(row::select!("1 = 1 ORDER BY id"))
        .bind(tenant.to_owned())
        .fetch_all(tx.sql())
        .await?;
    rows.into_iter().map(Row::read).collect()
}

/// Makes a project in a tenant that is locked.
///
/// # Errors
/// `Conflict` where the tenant has one of this slug.
pub async fn create(tx: &mut Tx, tenant: &Tenant, new: &New) -> Result<Project, StoreError> {
    released::check_free(tx, &Part::Project(tenant.name.clone(), new.name.clone())).await?;
    let id = new_id();
    let now = tx.now();
    sqlx::query(
        "INSERT INTO projects (id, created_at, updated_at, tenant_id, slug, display_name, labels) \
         VALUES ($1, $2, $2, $3, $4, $5, $6)",
    )
    .bind(id.clone())
    .bind(now)
    .bind(tenant.id.clone())
    .bind(new.name.clone())
    .bind(new.display_name.clone())
    .bind(json!(new.labels).to_string())
    .execute(tx.sql())
    .await?;
    let project = get(tx, &tenant.id, &id).await?;
    tx.audit(entry("project.create", &project).after(json!(project)));
    tx.touch(Part::Project(tenant.name.clone(), project.name.clone()));
    Ok(project)
}

/// Amends a project of a tenant that is locked. Nothing of this is in the snapshot.
pub async fn amend(tx: &mut Tx, was: Project, amendment: Amendment) -> Result<Project, StoreError> {
    let now = tx.now();
    let statement = sqlx::query(
        "UPDATE projects SET display_name = $1, labels = $2, updated_at = $3, version = version + 1 \
         WHERE tenant_id = $4 AND id = $5 AND version = $6",
    )
    .bind(amendment.display_name.unwrap_or_else(|| was.display_name.clone()))
    .bind(json!(amendment.labels.as_ref().unwrap_or(&was.labels)).to_string())
    .bind(now)
    .bind(was.tenant_id.clone())
    .bind(was.id.clone())
    .bind(was.version);
    tx.change_one(statement).await?;
    let is = get(tx, &was.tenant_id, &was.id).await?;
    tx.audit(entry("project.update", &is).before(json!(was)).after(json!(is)));
    Ok(is)
}

/// Another version of a project, for what is kept beside it changed: who has access.
pub async fn count_up(tx: &mut Tx, was: Project) -> Result<Project, StoreError> {
    let now = tx.now();
    let statement = sqlx::query(
        "UPDATE projects SET updated_at = $1, version = version + 1 \
         WHERE tenant_id = $2 AND id = $3 AND version = $4",
    )
    .bind(now)
    .bind(was.tenant_id.clone())
    .bind(was.id.clone())
    .bind(was.version);
    tx.change_one(statement).await?;
    get(tx, &was.tenant_id, &was.id).await
}

fn entry(action: &'static str, project: &Project) -> Entry {
    Entry::new(action, "project").of(&project.id, &project.name).tenant(&project.tenant_id)
}
