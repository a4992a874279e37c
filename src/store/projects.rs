//! Projects of a tenant. A project has no namespace of its own; its apps and sandboxes have.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;

use crate::audit::Entry;
use crate::tenants::row::Tenant;
use crate::{Part, StoreError, Time, Tx, document, is_id, members, new_id, released};
use portcullis_access::Power;

/// A project.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Project {
    /// UUID.
    pub id: String,
    /// Slug; part of the names of namespaces.
    #[schema(example = "shop")]
    pub name: String,
    /// UUID of its tenant.
    pub tenant_id: String,
    /// Display name; empty if none was given.
    pub display_name: String,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Creation time, RFC 3339.
    pub created_at: Time,
    /// Time of the last change, RFC 3339.
    pub updated_at: Time,
    /// Value of `ETag`; grows with each change.
    pub version: i64,
}

/// Start of every statement that reads projects; `$1` is the tenant.
macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT id, slug, tenant_id, display_name, labels, created_at, updated_at, version FROM projects \
             WHERE tenant_id = $1 AND ",
            $rest
        )
    };
}

#[derive(Debug, sqlx::FromRow)]
struct Row {
    id: String,
    slug: String,
    tenant_id: String,
    display_name: String,
    labels: String,
    created_at: i64,
    updated_at: i64,
    version: i64,
}

impl Row {
    fn read(self) -> Result<Project, StoreError> {
        Ok(Project {
            labels: document("a project's labels", &self.labels)?,
            id: self.id,
            name: self.slug,
            tenant_id: self.tenant_id,
            display_name: self.display_name,
            created_at: Time(self.created_at),
            updated_at: Time(self.updated_at),
            version: self.version,
        })
    }
}

/// Validated by the caller.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct New {
    pub name: String,
    pub display_name: String,
    pub labels: BTreeMap<String, String>,
}

/// Absent fields stay.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ProjectUpdate {
    pub display_name: Option<String>,
    pub labels: Option<BTreeMap<String, String>>,
}

/// Projects that the scope can see, by id, after `after`.
pub async fn list(
    tx: &mut Tx,
    tenant: &str,
    after: Option<&str>,
    limit: i64,
) -> Result<Vec<Project>, StoreError> {
    // Ids have a fixed length and form, so a substring match finds one in a list.
    let own = match tx.scope().power() {
        Power::Tenant { projects: Some(own), .. } => Some(own.join(",")),
        _ => None,
    };
    let rows = sqlx::query_as::<_, Row>(select!(
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

/// By id or slug; not found if the scope does not include it.
pub async fn get(tx: &mut Tx, tenant: &str, project: &str) -> Result<Project, StoreError> {
    let select = if is_id(project) { select!("id = $2") } else { select!("slug = $2") };
    let row = sqlx::query_as::<_, Row>(select)
        .bind(tenant.to_owned())
        .bind(project.to_owned())
        .fetch_optional(tx.sql())
        .await?;
    let project = row.map(Row::read).transpose()?;
    project.filter(|project| tx.scope().may_project(&project.id)).ok_or(StoreError::NotFound("project"))
}

/// The tenant must be locked.
pub(super) async fn all(tx: &mut Tx, tenant: &str) -> Result<Vec<Project>, StoreError> {
    let rows = sqlx::query_as::<_, Row>(select!("1 = 1 ORDER BY id"))
        .bind(tenant.to_owned())
        .fetch_all(tx.sql())
        .await?;
    rows.into_iter().map(Row::read).collect()
}

/// The tenant must be locked. `Conflict` where the slug is taken.
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
    tx.mark_changed(Part::Project(tenant.name.clone(), project.name.clone()));
    Ok(project)
}

/// None of these fields are in the snapshot.
pub async fn update(tx: &mut Tx, was: Project, update: ProjectUpdate) -> Result<Project, StoreError> {
    let now = tx.now();
    let statement = sqlx::query(
        "UPDATE projects SET display_name = $1, labels = $2, updated_at = $3, version = version + 1 \
         WHERE tenant_id = $4 AND id = $5 AND version = $6",
    )
    .bind(update.display_name.unwrap_or_else(|| was.display_name.clone()))
    .bind(json!(update.labels.as_ref().unwrap_or(&was.labels)).to_string())
    .bind(now)
    .bind(was.tenant_id.clone())
    .bind(was.id.clone())
    .bind(was.version);
    tx.change_one(statement).await?;
    let is = get(tx, &was.tenant_id, &was.id).await?;
    tx.audit(entry("project.update", &is).before(json!(was)).after(json!(is)));
    Ok(is)
}

/// For a change of access, which is stored in other tables.
pub async fn increment_version(tx: &mut Tx, was: Project) -> Result<Project, StoreError> {
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

/// `Dependents` where it has apps or sandboxes, unless `cascade`.
pub async fn remove(tx: &mut Tx, tenant: &Tenant, project: Project, cascade: bool) -> Result<(), StoreError> {
    let apps =
        ids_and_names(tx, "SELECT id, slug FROM apps WHERE tenant_id = $1 AND project_id = $2", &project)
            .await?;
    let sandboxes = "SELECT s.id, n.name FROM sandboxes s JOIN namespaces n ON n.sandbox_id = s.id \
                     WHERE s.tenant_id = $1 AND s.project_id = $2";
    let sandboxes = ids_and_names(tx, sandboxes, &project).await?;
    let children: Vec<String> =
        [counted(apps.len(), "app", "apps"), counted(sandboxes.len(), "sandbox", "sandboxes")]
            .into_iter()
            .flatten()
            .collect();
    if !cascade && !children.is_empty() {
        return Err(StoreError::Dependents { what: "project", children: children.join(", ") });
    }
    let spaces = "SELECT id, name FROM namespaces WHERE tenant_id = $1 AND project_id = $2";
    for (_, name) in ids_and_names(tx, spaces, &project).await? {
        tx.release(&tenant.id, &tenant.cluster_id, Part::Namespace(name));
    }
    for (kind, action, children) in [("app", "app.delete", apps), ("sandbox", "sandbox.delete", sandboxes)] {
        for (id, name) in children {
            let entry = Entry::new(action, kind).of(&id, &name).tenant(&tenant.id);
            tx.audit(entry.because("its project was deleted"));
            if kind == "app" {
                let part = Part::App(tenant.name.clone(), project.name.clone(), name);
                tx.release(&tenant.id, &tenant.cluster_id, part);
            }
        }
    }
    members::remove_project(tx, &project).await?;
    // The database deletes namespaces with their owners.
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

async fn ids_and_names(
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
