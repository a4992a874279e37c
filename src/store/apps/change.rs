//! Making, changing and removing apps.

use serde_json::json;

use super::row::App;
use super::{Content, get, revisions};
use crate::audit::Entry;
use crate::error::StoreError;
use crate::namespaces::{self, Owner};
use crate::projects::Project;
use crate::tenants::Tenant;
use crate::{Part, Tx, released};

/// Makes an app with its namespace and its first revision.
///
/// # Errors
/// `Conflict` where the project has one of this slug, or `name.length` where its namespace cannot be named.
pub async fn create(
    tx: &mut Tx,
    (tenant, project): (&Tenant, &Project),
    (id, name): (&str, &str),
    description: &str,
    content: &Content,
    action: &'static str,
) -> Result<App, StoreError> {
    released::check_free(tx, &Part::App(tenant.name.clone(), project.name.clone(), name.to_owned())).await?;
    let namespace = namespaces::of_app(tx, &tenant.name, &project.name, name).await?;
    let now = tx.now();
    let Content { kind, spec, origin } = content;
    sqlx::query(
        "INSERT INTO apps (id, created_at, updated_at, tenant_id, project_id, cluster_id, slug, description, spec, \
         source_kind, catalog_item_id, catalog_version, catalog_overrides) \
         VALUES ($1, $2, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
    )
    .bind(id.to_owned())
    .bind(now)
    .bind(tenant.id.clone())
    .bind(project.id.clone())
    .bind(tenant.cluster_id.clone())
    .bind(name.to_owned())
    .bind(description.to_owned())
    .bind(json!(spec).to_string())
    .bind(kind.as_str())
    .bind(origin.as_ref().map(|origin| origin.item_id.clone()))
    .bind(origin.as_ref().map(|origin| origin.version.clone()))
    .bind(origin.as_ref().map(|origin| origin.overrides.to_string()))
    .execute(tx.sql())
    .await?;
    namespaces::allocate(tx, tenant, project, &namespace, Owner::App(id)).await?;
    revisions::keep(tx, &tenant.id, id, 1, content).await?;
    let app = get(tx, project, id).await?;
    tx.audit(entry(action, &app).after(json!(app)));
    tx.touch(Part::App(tenant.name.clone(), project.name.clone(), app.name.clone()));
    Ok(app)
}

/// Gives an app another content, as its next revision. Id and namespace stay.
pub async fn revise(
    tx: &mut Tx,
    (tenant, project): (&Tenant, &Project),
    was: &App,
    description: Option<&str>,
    content: &Content,
    action: &'static str,
) -> Result<App, StoreError> {
    let now = tx.now();
    let next = was.revision + 1;
    let Content { kind, spec, origin } = content;
    let statement = sqlx::query(
        "UPDATE apps SET updated_at = $1, version = version + 1, description = $2, spec = $3, source_kind = $4, \
         catalog_item_id = $5, catalog_version = $6, catalog_overrides = $7, current_revision = $8 \
         WHERE tenant_id = $9 AND id = $10 AND version = $11",
    )
    .bind(now)
    .bind(description.unwrap_or(&was.description).to_owned())
    .bind(json!(spec).to_string())
    .bind(kind.as_str())
    .bind(origin.as_ref().map(|origin| origin.item_id.clone()))
    .bind(origin.as_ref().map(|origin| origin.version.clone()))
    .bind(origin.as_ref().map(|origin| origin.overrides.to_string()))
    .bind(next)
    .bind(was.tenant_id.clone())
    .bind(was.id.clone())
    .bind(was.version);
    tx.change_one(statement).await?;
    revisions::keep(tx, &was.tenant_id, &was.id, next, content).await?;
    let is = get(tx, project, &was.id).await?;
    tx.audit(entry(action, &is).before(json!(was)).after(json!(is)));
    // Of an app's content the snapshot has its kind alone.
    if is.source_kind != was.source_kind {
        tx.touch(Part::App(tenant.name.clone(), project.name.clone(), is.name.clone()));
    }
    Ok(is)
}

/// Removes an app; its revisions and its namespace's row go with it.
pub async fn remove(
    tx: &mut Tx,
    (tenant, project): (&Tenant, &Project),
    was: &App,
) -> Result<(), StoreError> {
    let statement = sqlx::query("DELETE FROM apps WHERE tenant_id = $1 AND id = $2 AND version = $3");
    tx.change_one(statement.bind(was.tenant_id.clone()).bind(was.id.clone()).bind(was.version)).await?;
    tx.audit(entry("app.delete", was).before(json!(was)));
    let app = Part::App(tenant.name.clone(), project.name.clone(), was.name.clone());
    tx.release(&tenant.id, &tenant.cluster_id, app);
    tx.release(&tenant.id, &tenant.cluster_id, Part::Namespace(was.namespace.clone()));
    Ok(())
}

fn entry(action: &'static str, app: &App) -> Entry {
    Entry::new(action, "app").of(&app.id, &app.name).tenant(&app.tenant_id)
}
