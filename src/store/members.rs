//! Members of tenants. A subject has one role in a tenant and may be limited to projects, except owners. The column `owners`
//! of a tenant is a copy that [`update_owner_list`] writes in the same transaction, so that a page of tenants is one statement.

use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use crate::audit::Entry;
use crate::projects::Project;
use crate::tenants::row::{Tenant, WITH_TENANT};
use crate::{StoreError, Time, Tx, document, new_id};
use portcullis_access::Role;

/// A member of a tenant.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Member {
    /// UUID.
    pub id: String,
    /// Subject: `issuer#sub`.
    #[schema(example = "https://id.example.com#ada")]
    pub subject: String,
    /// Role in the tenant.
    pub role: MemberRole,
    /// UUIDs of the projects to which the member is limited; null for all projects.
    #[schema(required = true)]
    pub projects: Option<Vec<String>>,
    /// Creation time, RFC 3339.
    pub created_at: Time,
    /// Time of the last change, RFC 3339.
    pub updated_at: Time,
    /// Value of `ETag`; grows with each change.
    pub version: i64,
}

/// Roles within a tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum MemberRole {
    /// Owns the tenant.
    TenantOwner,
    /// Writes apps and sandboxes.
    ProjectDev,
    /// Reads.
    ReadOnly,
}

impl MemberRole {
    pub const fn as_str(self) -> &'static str {
        self.role().as_str()
    }

    pub const fn role(self) -> Role {
        match self {
            Self::TenantOwner => Role::TenantOwner,
            Self::ProjectDev => Role::ProjectDev,
            Self::ReadOnly => Role::ReadOnly,
        }
    }
}

/// Start of every statement that reads members; `$1` is the tenant.
macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT id, subject, role, project_ids, created_at, updated_at, version FROM memberships \
             WHERE tenant_id = $1 AND ",
            $rest
        )
    };
}

#[derive(Debug, sqlx::FromRow)]
struct Row {
    id: String,
    subject: String,
    role: String,
    project_ids: Option<String>,
    created_at: i64,
    updated_at: i64,
    version: i64,
}

impl Row {
    fn read(self) -> Result<Member, StoreError> {
        Ok(Member {
            // An unknown role counts as the least privileged one.
            role: match self.role.as_str() {
                "tenantOwner" => MemberRole::TenantOwner,
                "projectDev" => MemberRole::ProjectDev,
                _ => MemberRole::ReadOnly,
            },
            projects: self.project_ids.map(|ids| document("a member's projects", &ids)).transpose()?,
            id: self.id,
            subject: self.subject,
            created_at: Time(self.created_at),
            updated_at: Time(self.updated_at),
            version: self.version,
        })
    }
}

pub async fn list(
    tx: &mut Tx,
    tenant: &str,
    after: Option<&str>,
    limit: i64,
) -> Result<Vec<Member>, StoreError> {
    let rows = sqlx::query_as::<_, Row>(select!("id > $2 ORDER BY id LIMIT $3"))
        .bind(tenant.to_owned())
        .bind(after.unwrap_or_default().to_owned())
        .bind(limit)
        .fetch_all(tx.sql())
        .await?;
    rows.into_iter().map(Row::read).collect()
}

/// By subject, `issuer#sub`.
pub async fn find(tx: &mut Tx, tenant: &str, subject: &str) -> Result<Option<Member>, StoreError> {
    let row = sqlx::query_as::<_, Row>(select!("subject = $2"))
        .bind(tenant.to_owned())
        .bind(subject.to_owned())
        .fetch_optional(tx.sql())
        .await?;
    row.map(Row::read).transpose()
}

/// Creates or replaces the membership; the tenant must be locked. `projects` are ids, `None` for all.
pub async fn put(
    tx: &mut Tx,
    tenant: &Tenant,
    subject: &str,
    role: MemberRole,
    projects: Option<&[String]>,
) -> Result<Member, StoreError> {
    let was = find(tx, &tenant.id, subject).await?;
    write(tx, &tenant.id, subject, role, projects).await?;
    update_owner_list(tx, &tenant.id).await?;
    let is = find(tx, &tenant.id, subject).await?.ok_or(StoreError::NotFound("member"))?;
    let entry = Entry { before: was.map(|was| json!(was)), ..Entry::new("member.put", "member") };
    tx.audit(entry.of(&is.id, subject).tenant(&tenant.id).after(json!(is)));
    Ok(is)
}

pub async fn delete(tx: &mut Tx, tenant: &Tenant, was: Member) -> Result<(), StoreError> {
    remove(tx, &was.id).await?;
    update_owner_list(tx, &tenant.id).await?;
    let entry = Entry::new("member.delete", "member").of(&was.id, &was.subject).tenant(&tenant.id);
    tx.audit(entry.before(json!(was)));
    Ok(())
}

pub(super) async fn remove_all(tx: &mut Tx, tenant: &str) -> Result<(), StoreError> {
    for member in list(tx, tenant, None, i64::MAX).await? {
        remove(tx, &member.id).await?;
        let entry = Entry::new("member.delete", "member").of(&member.id, &member.subject).tenant(tenant);
        tx.audit(entry.before(json!(member)).because(WITH_TENANT));
    }
    Ok(())
}

pub(super) async fn add_owner(tx: &mut Tx, tenant: &str, subject: &str) -> Result<(), StoreError> {
    write(tx, tenant, subject, MemberRole::TenantOwner, None).await
}

/// Counts as a change of the tenant if the list differs.
pub(super) async fn update_owner_list(tx: &mut Tx, tenant: &str) -> Result<(), StoreError> {
    let mut owners: Vec<String> =
        sqlx::query_scalar("SELECT subject FROM memberships WHERE tenant_id = $1 AND role = 'tenantOwner'")
            .bind(tenant.to_owned())
            .fetch_all(tx.sql())
            .await?;
    // Sorted here, because the collation of the databases differs.
    owners.sort();
    let now = tx.now();
    sqlx::query(
        "UPDATE tenants SET owners = $1, updated_at = $2, version = version + 1 WHERE id = $3 AND owners <> $1",
    )
    .bind(json!(owners).to_string())
    .bind(now)
    .bind(tenant.to_owned())
    .execute(tx.sql())
    .await?;
    Ok(())
}

async fn write(
    tx: &mut Tx,
    tenant: &str,
    subject: &str,
    role: MemberRole,
    projects: Option<&[String]>,
) -> Result<(), StoreError> {
    let now = tx.now();
    sqlx::query(
        "INSERT INTO memberships (id, created_at, updated_at, tenant_id, subject, role, project_ids) \
         VALUES ($1, $2, $2, $3, $4, $5, $6) ON CONFLICT (tenant_id, subject) DO UPDATE SET \
         role = excluded.role, project_ids = excluded.project_ids, updated_at = excluded.updated_at, \
         version = memberships.version + 1",
    )
    .bind(new_id())
    .bind(now)
    .bind(tenant.to_owned())
    .bind(subject.to_owned())
    .bind(role.as_str())
    .bind(projects.map(|projects| json!(projects).to_string()))
    .execute(tx.sql())
    .await?;
    Ok(())
}

pub(super) async fn remove(tx: &mut Tx, id: &str) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM memberships WHERE id = $1").bind(id.to_owned()).execute(tx.sql()).await?;
    Ok(())
}

/// One line of the access list of a project. Owners and members of all projects have access without a line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Access {
    pub subject: String,
    pub role: ProjectRole,
}

/// Roles that can be limited to a project.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum ProjectRole {
    /// Writes apps and sandboxes.
    ProjectDev,
    /// Reads.
    ReadOnly,
}

/// A line that cannot be applied: its index from 0, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidAccess {
    pub index: usize,
    pub why: String,
}

/// Replaces the access list of a project whose tenant is locked. New subjects become members; members that were limited to
/// this project only lose their membership. The inner error lists all invalid lines, and then nothing changes.
pub async fn replace_access(
    tx: &mut Tx,
    project: &Project,
    requested: &[Access],
) -> Result<Result<(), Vec<InvalidAccess>>, StoreError> {
    let mut invalid = Vec::new();
    let mut changes = Vec::new();
    for (index, line) in requested.iter().enumerate() {
        let member = find(tx, &project.tenant_id, &line.subject).await?;
        match access_change(&project.id, line, member.as_ref()) {
            Ok(change) => changes.extend(change),
            Err(why) => invalid.push(InvalidAccess { index, why }),
        }
    }
    if !invalid.is_empty() {
        return Ok(Err(invalid));
    }
    let before = limited_members(tx, project).await?;
    for member in &before {
        if !requested.iter().any(|line| line.subject == member.subject) {
            remove_from_project(tx, &project.tenant_id, member, &project.id).await?;
        }
    }
    for (subject, role, projects) in changes {
        write(tx, &project.tenant_id, &subject, role, Some(&projects)).await?;
    }
    let after = limited_members(tx, project).await?;
    let entry = Entry::new("project.update.access", "project").of(&project.id, &project.name);
    tx.audit(entry.tenant(&project.tenant_id).before(audit_document(&before)).after(audit_document(&after)));
    Ok(Ok(()))
}

/// Removes a deleted project from memberships, and memberships that were limited to it only.
pub(super) async fn remove_project(tx: &mut Tx, project: &Project) -> Result<(), StoreError> {
    for member in limited_members(tx, project).await? {
        remove_from_project(tx, &project.tenant_id, &member, &project.id).await?;
        let after = find(tx, &project.tenant_id, &member.subject).await?;
        let action = if after.is_some() { "member.put" } else { "member.delete" };
        let entry = Entry::new(action, "member").of(&member.id, &member.subject).tenant(&project.tenant_id);
        let entry = entry.before(json!(member)).because("its project was deleted");
        tx.audit(match after {
            Some(after) => entry.after(json!(after)),
            None => entry,
        });
    }
    Ok(())
}

type MembershipChange = (String, MemberRole, Vec<String>);

/// The change that makes the line true, or `None`.
fn access_change(
    project: &str,
    line: &Access,
    member: Option<&Member>,
) -> Result<Option<MembershipChange>, String> {
    let role = match line.role {
        ProjectRole::ProjectDev => MemberRole::ProjectDev,
        ProjectRole::ReadOnly => MemberRole::ReadOnly,
    };
    let Some(member) = member else {
        return Ok(Some((line.subject.clone(), role, vec![project.to_owned()])));
    };
    let held = member.role.as_str();
    let Some(projects) = &member.projects else {
        return if member.role == role {
            Ok(None)
        } else {
            Err(format!("is `{held}` in all projects of the tenant; change the membership instead"))
        };
    };
    let elsewhere = projects.iter().any(|other| other != project);
    if member.role != role && elsewhere {
        return Err(format!("is `{held}` in other projects, but a member has only one role in a tenant"));
    }
    let mut projects = projects.clone();
    if !projects.iter().any(|own| own == project) {
        projects.push(project.to_owned());
    } else if member.role == role {
        return Ok(None);
    }
    Ok(Some((line.subject.clone(), role, projects)))
}

async fn remove_from_project(
    tx: &mut Tx,
    tenant: &str,
    member: &Member,
    project: &str,
) -> Result<(), StoreError> {
    let mut rest = member.projects.clone().unwrap_or_default();
    rest.retain(|own| own != project);
    if rest.is_empty() {
        return remove(tx, &member.id).await;
    }
    write(tx, tenant, &member.subject, member.role, Some(&rest)).await
}

/// Members that are limited to projects and name this one, by subject.
async fn limited_members(tx: &mut Tx, project: &Project) -> Result<Vec<Member>, StoreError> {
    // Ids have a fixed length and form, so a substring match finds one in a list.
    let rows = sqlx::query_as::<_, Row>(select!("project_ids LIKE '%' || $2 || '%' ORDER BY subject"))
        .bind(project.tenant_id.clone())
        .bind(project.id.clone())
        .fetch_all(tx.sql())
        .await?;
    rows.into_iter().map(Row::read).collect()
}

fn audit_document(members: &[Member]) -> serde_json::Value {
    let line = |member: &Member| json!({ "subject": member.subject, "role": member.role });
    json!({ "members": members.iter().map(line).collect::<Vec<_>>() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(
        member: Option<(MemberRole, Option<&[&str]>)>,
        requested: ProjectRole,
        expected: Result<Option<&[&str]>, &str>,
    ) {
        let member = member.map(|(role, projects)| Member {
            id: "m".to_owned(),
            subject: "i#ada".to_owned(),
            role,
            projects: projects.map(|ids| ids.iter().map(|id| (*id).to_owned()).collect()),
            created_at: crate::Time(0),
            updated_at: crate::Time(0),
            version: 1,
        });
        let line = Access { subject: "i#ada".to_owned(), role: requested };
        match (access_change("p", &line, member.as_ref()), expected) {
            (Ok(found), Ok(expected)) => assert_eq!(
                found.map(|(_, _, projects)| projects),
                expected.map(|ids| ids.iter().map(|id| (*id).to_owned()).collect::<Vec<_>>())
            ),
            (Err(found), Err(text)) => assert!(found.contains(text), "{found}"),
            (found, _) => panic!("{found:?}"),
        }
    }

    #[test]
    fn access_line_changes_a_membership_or_is_invalid() {
        use MemberRole::{ProjectDev, ReadOnly, TenantOwner};
        check(None, ProjectRole::ProjectDev, Ok(Some(&["p"])));
        check(Some((ProjectDev, Some(&["p"]))), ProjectRole::ProjectDev, Ok(None));
        check(Some((ProjectDev, Some(&["p"]))), ProjectRole::ReadOnly, Ok(Some(&["p"])));
        check(Some((ProjectDev, Some(&["q"]))), ProjectRole::ProjectDev, Ok(Some(&["q", "p"])));
        check(Some((ProjectDev, Some(&["p", "q"]))), ProjectRole::ReadOnly, Err("in other projects"));
        check(Some((ReadOnly, Some(&[]))), ProjectRole::ProjectDev, Ok(Some(&["p"])));
        check(Some((ProjectDev, None)), ProjectRole::ProjectDev, Ok(None));
        check(Some((ReadOnly, None)), ProjectRole::ProjectDev, Err("in all projects of the tenant"));
        check(Some((TenantOwner, None)), ProjectRole::ProjectDev, Err("`tenantOwner` in all"));
    }
}
