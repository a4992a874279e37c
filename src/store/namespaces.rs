//! Namespaces: names are composed once, stored and never parsed. Each belongs to one app or sandbox and is deleted with it.

use super::error::StoreError;
use super::projects::Project;
use super::tenants::row::Tenant;
use super::{Part, Tx, document, released};
use portcullis_tenancy::name::{self, NameError};

/// By id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner<'a> {
    App(&'a str),
    Sandbox(&'a str),
}

/// Name of the namespace. `Conflict` (`name.length`) above 63 characters; names are never truncated.
pub async fn of_app(tx: &mut Tx, tenant: &str, project: &str, app: &str) -> Result<String, StoreError> {
    valid_name(name::app(&prefix(tx).await?, tenant, project, app))
}

pub(crate) async fn of_sandbox(
    tx: &mut Tx,
    tenant: &str,
    project: &str,
    ordinal: u16,
) -> Result<String, StoreError> {
    valid_name(name::sandbox(&prefix(tx).await?, tenant, project, ordinal))
}

async fn prefix(tx: &mut Tx) -> Result<String, StoreError> {
    let stored: Option<String> =
        sqlx::query_scalar("SELECT value FROM settings WHERE tenant_id IS NULL AND key = 'prefix'")
            .fetch_optional(tx.sql())
            .await?;
    stored.map_or_else(|| Ok(name::PREFIX.to_owned()), |text| document("the setting `prefix`", &text))
}

fn valid_name(name: Result<String, NameError>) -> Result<String, StoreError> {
    name.map_err(|error| match error {
        NameError::TooLong { .. } => StoreError::conflict("name.length", error.to_string()),
        // Slugs and prefix are validated when they are written.
        _ => StoreError::conflict("name", error.to_string()),
    })
}

/// `Conflict` where the name is taken or the owner already has a namespace.
pub(super) async fn allocate(
    tx: &mut Tx,
    tenant: &Tenant,
    project: &Project,
    name: &str,
    owner: Owner<'_>,
) -> Result<(), StoreError> {
    released::check_free(tx, &Part::Namespace(name.to_owned())).await?;
    let (kind, app, sandbox) = match owner {
        Owner::App(id) => ("app", Some(id.to_owned()), None),
        Owner::Sandbox(id) => ("sandbox", None, Some(id.to_owned())),
    };
    let now = tx.now();
    sqlx::query(
        "INSERT INTO namespaces (id, created_at, updated_at, tenant_id, project_id, cluster_id, name, kind, app_id, \
         sandbox_id) VALUES ($1, $2, $2, $3, $4, $5, $6, $7, $8, $9)",
    )
    .bind(uuid::Uuid::now_v7().to_string())
    .bind(now)
    .bind(tenant.id.clone())
    .bind(project.id.clone())
    .bind(tenant.cluster_id.clone())
    .bind(name.to_owned())
    .bind(kind)
    .bind(app)
    .bind(sandbox)
    .execute(tx.sql())
    .await?;
    tx.mark_changed(Part::Namespace(name.to_owned()));
    Ok(())
}

/// Names in the projects that the scope can see.
pub async fn visible_names(tx: &mut Tx, tenant: &str) -> Result<Vec<String>, StoreError> {
    let all: Vec<(String, String)> =
        sqlx::query_as("SELECT name, project_id FROM namespaces WHERE tenant_id = $1")
            .bind(tenant.to_owned())
            .fetch_all(tx.sql())
            .await?;
    let scope = tx.scope();
    Ok(all.into_iter().filter(|(_, project)| scope.may_project(project)).map(|(name, _)| name).collect())
}

/// Whether it is an app namespace in a project that the scope can see.
pub async fn is_app_of(tx: &mut Tx, tenant: &str, name: &str) -> Result<bool, StoreError> {
    let projects: Vec<String> = sqlx::query_scalar(
        "SELECT project_id FROM namespaces WHERE tenant_id = $1 AND name = $2 AND kind = 'app'",
    )
    .bind(tenant.to_owned())
    .bind(name.to_owned())
    .fetch_all(tx.sql())
    .await?;
    Ok(projects.iter().any(|project| tx.scope().may_project(project)))
}

pub async fn is_sandbox_of(tx: &mut Tx, tenant: &str, name: &str) -> Result<bool, StoreError> {
    let count: i64 = sqlx::query_scalar(
        "SELECT COUNT(*) FROM namespaces WHERE tenant_id = $1 AND name = $2 AND kind = 'sandbox'",
    )
    .bind(tenant.to_owned())
    .bind(name.to_owned())
    .fetch_one(tx.sql())
    .await?;
    Ok(count > 0)
}
