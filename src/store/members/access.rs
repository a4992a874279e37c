//! Who has access to one project, as a list that is replaced: of the members that are limited to projects, those that
//! name this one. Owners, and members of all projects, have it without standing here.

use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use super::row::{Member, MemberRole, Row, select};
use super::{find, remove, write};
use crate::Tx;
use crate::audit::Entry;
use crate::error::StoreError;
use crate::projects::Project;

/// One line of the list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Access {
    /// `issuer#sub`.
    pub subject: String,
    /// What it is in the project; never an owner, who owns the whole tenant.
    pub role: ProjectRole,
}

/// The roles that can be limited to a project.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum ProjectRole {
    /// Writes apps and sandboxes.
    ProjectDev,
    /// Reads.
    ReadOnly,
}

/// A line that cannot be: its index from 0, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Impossible {
    /// Which line.
    pub index: usize,
    /// Why, in a sentence.
    pub why: String,
}

/// Replaces the list of a project whose tenant is locked. Who is named for the first time becomes a member; who was
/// limited to this project alone and is not named any more is no member.
///
/// The inner error is every line that cannot be, and then nothing was changed.
pub async fn replace_access(
    tx: &mut Tx,
    project: &Project,
    wanted: &[Access],
) -> Result<Result<(), Vec<Impossible>>, StoreError> {
    let mut impossible = Vec::new();
    let mut changes = Vec::new();
    for (index, line) in wanted.iter().enumerate() {
        let member = find(tx, &project.tenant_id, &line.subject).await?;
        match placed(&project.id, line, member.as_ref()) {
            Ok(change) => changes.extend(change),
            Err(why) => impossible.push(Impossible { index, why }),
        }
    }
    if !impossible.is_empty() {
        return Ok(Err(impossible));
    }
    let before = listed(tx, project).await?;
    for member in &before {
        if !wanted.iter().any(|line| line.subject == member.subject) {
            leave(tx, &project.tenant_id, member, &project.id).await?;
        }
    }
    for (subject, role, projects) in changes {
        write(tx, &project.tenant_id, &subject, role, Some(&projects)).await?;
    }
    let after = listed(tx, project).await?;
    let entry = Entry::new("project.update.access", "project").of(&project.id, &project.name);
    tx.audit(entry.tenant(&project.tenant_id).before(lines(&before)).after(lines(&after)));
    Ok(Ok(()))
}

/// Nobody is limited to a project that is gone. Who was limited to it alone is no member any more.
pub(crate) async fn forget(tx: &mut Tx, project: &Project) -> Result<(), StoreError> {
    for member in listed(tx, project).await? {
        leave(tx, &project.tenant_id, &member, &project.id).await?;
        let after = find(tx, &project.tenant_id, &member.subject).await?;
        let action = if after.is_some() { "member.put" } else { "member.delete" };
        let entry = Entry::new(action, "member").of(&member.id, &member.subject).tenant(&project.tenant_id);
        let entry = entry.before(json!(member)).because("its project was deleted with all that is in it");
        tx.audit(match after {
            Some(after) => entry.after(json!(after)),
            None => entry,
        });
    }
    Ok(())
}

type Change = (String, MemberRole, Vec<String>);

/// What has to be written so that the line holds; nothing where it does.
fn placed(project: &str, line: &Access, member: Option<&Member>) -> Result<Option<Change>, String> {
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
            Err(format!("is `{held}` of all the tenant's projects; change the membership instead"))
        };
    };
    let elsewhere = projects.iter().any(|other| other != project);
    if member.role != role && elsewhere {
        return Err(format!("is `{held}` in other projects, and a member has one role in a tenant"));
    }
    let mut projects = projects.clone();
    if !projects.iter().any(|own| own == project) {
        projects.push(project.to_owned());
    } else if member.role == role {
        return Ok(None);
    }
    Ok(Some((line.subject.clone(), role, projects)))
}

async fn leave(tx: &mut Tx, tenant: &str, member: &Member, project: &str) -> Result<(), StoreError> {
    let mut rest = member.projects.clone().unwrap_or_default();
    rest.retain(|own| own != project);
    if rest.is_empty() {
        return remove(tx, &member.id).await;
    }
    write(tx, tenant, &member.subject, member.role, Some(&rest)).await
}

/// Members that name the project, by subject.
async fn listed(tx: &mut Tx, project: &Project) -> Result<Vec<Member>, StoreError> {
    // Ids have one length and one spelling, so one is found in a list of them as text.
    let rows = sqlx::query_as::<_, Row>(select!("project_ids LIKE '%' || $2 || '%' ORDER BY subject"))
        .bind(project.tenant_id.clone())
        .bind(project.id.clone())
        .fetch_all(tx.sql())
        .await?;
    rows.into_iter().map(Row::read).collect()
}

fn lines(members: &[Member]) -> serde_json::Value {
    let line = |member: &Member| json!({ "subject": member.subject, "role": member.role });
    json!({ "members": members.iter().map(line).collect::<Vec<_>>() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(
        member: Option<(MemberRole, Option<&[&str]>)>,
        wanted: ProjectRole,
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
        let line = Access { subject: "i#ada".to_owned(), role: wanted };
        match (placed("p", &line, member.as_ref()), expected) {
            (Ok(found), Ok(expected)) => assert_eq!(
                found.map(|(_, _, projects)| projects),
                expected.map(|ids| ids.iter().map(|id| (*id).to_owned()).collect::<Vec<_>>())
            ),
            (Err(found), Err(says)) => assert!(found.contains(says), "{found}"),
            (found, _) => panic!("{found:?}"),
        }
    }

    #[test]
    fn a_line_places_somebody_or_cannot_be() {
        use MemberRole::{ProjectDev, ReadOnly, TenantOwner};
        check(None, ProjectRole::ProjectDev, Ok(Some(&["p"])));
        check(Some((ProjectDev, Some(&["p"]))), ProjectRole::ProjectDev, Ok(None));
        check(Some((ProjectDev, Some(&["p"]))), ProjectRole::ReadOnly, Ok(Some(&["p"])));
        check(Some((ProjectDev, Some(&["q"]))), ProjectRole::ProjectDev, Ok(Some(&["q", "p"])));
        check(Some((ProjectDev, Some(&["p", "q"]))), ProjectRole::ReadOnly, Err("in other projects"));
        check(Some((ReadOnly, Some(&[]))), ProjectRole::ProjectDev, Ok(Some(&["p"])));
        check(Some((ProjectDev, None)), ProjectRole::ProjectDev, Ok(None));
        check(Some((ReadOnly, None)), ProjectRole::ProjectDev, Err("of all the tenant's projects"));
        check(Some((TenantOwner, None)), ProjectRole::ProjectDev, Err("`tenantOwner` of all"));
    }
}
