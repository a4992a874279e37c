//! Deleting a project, and with `cascade` its apps and sandboxes.

use serde_json::json;

use super::{Project, entry};
use crate::audit::Entry;
use crate::error::StoreError;
use crate::tenants::Tenant;
use crate::{Part, Tx, members};

/// Deletes a project of a tenant that is locked.
///
/// # Errors
/// `Dependents` where it has apps or sandboxes, unless they are to go with it.
pub async fn remove(tx: &mut Tx, tenant: &Tenant, project: Project, cascade: bool) -> Result<(), StoreError> {
    let apps =
        named(tx, "SELECT id, slug FROM apps WHERE tenant_id = $1 AND project_id = $2", &project).await?;
    let sandboxes = "SELECT s.id, n.name FROM sandboxes s JOIN namespaces n ON n.sandbox_id = s.id \
                     WHERE s.tenant_id = $1 AND s.project_id = $2";
    let sandboxes = named(tx, sandboxes, &project).await?;
    let children: Vec<String> =
        [counted(apps.len(), "app", "apps"), counted(sandboxes.len(), "sandbox", "sandboxes")]
            .into_iter()
            .flatten()
            .collect();
    if !cascade && !children.is_empty() {
        return Err(StoreError::Dependents { what: "project", children: children.join(", ") });
    }
    let spaces = "SELECT id, name FROM namespaces WHERE tenant_id = $1 AND project_id = $2";
    for (_, name) in named(tx, spaces, &project).await? {
        tx.release(&tenant.id, &tenant.cluster_id, Part::Namespace(name));
    }
    for (kind, action, children) in [("app", "app.delete", apps), ("sandbox", "sandbox.delete", sandboxes)] {
        for (id, name) in children {
            let entry = Entry::new(action, kind).of(&id, &name).tenant(&tenant.id);
            tx.audit(entry.because("its project was deleted with all that is in it"));
            if kind == "app" {
                let part = Part::App(tenant.name.clone(), project.name.clone(), name);
                tx.release(&tenant.id, &tenant.cluster_id, part);
            }
        }
    }
    members::forget(tx, &project).await?;
    // Namespaces go with their owners.
    for statement in [
        "DELETE FROM apps WHERE tenant_id = $1 AND project_id = $2",
        "DELETE FROM sandboxes WHERE tenant_id = $1 AND project_id = $2",
    ] {
        sqlx::query(statement).bind(tenant.id.clone()).bind(project.id.clone()).execute(tx.sql()).await?;
    }
    let statement = sqlx::query("DELETE FROM projects WHERE tenant_id = $1 AND id = $2 AND version = $3");
    tx.change_one(statement.bind(tenant.id.clone()).bind(project.id.clone()).bind(project.version)).await?;
    tx.audit(entry("project.delete", &project).before(json!(project)));
    tx.release(&tenant.id, &tenant.cluster_id, Part::Project(tenant.name.clone(), project.name));
    Ok(())
}

async fn named(
    tx: &mut Tx,
    statement: &'static str,
    project: &Project,
) -> Result<Vec<(String, String)>, StoreError> {
    let rows = sqlx::query_as(statement)
        .bind(project.tenant_id.clone())
        .bind(project.id.clone())
        .fetch_all(tx.sql())
        .await?;
    Ok(rows)
}

fn counted(count: usize, one: &str, many: &str) -> Option<String> {
    match count {
        0 => None,
        1 => Some(format!("1 {one}")),
        count => Some(format!("{count} {many}")),
    }
}
