//! Who has access to a project.

use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::Api;
use crate::answer::Answer;
use crate::body::{Body, Path};
use crate::caller::Caller;
use crate::etag::IfMatch;
use crate::problem::{Code, Fault, Problem};
use crate::{subject, words};
use portcullis_store::members::{self, Access, ProjectRole};
use portcullis_store::{projects, tenants};

/// Who is limited to projects and has this one: the whole list. Owners, and members of all projects, have it without
/// standing here.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AccessList {
    /// Each subject once.
    #[schema(max_items = 200)]
    pub members: Vec<AccessOf>,
}

/// Somebody, and what it is in the project.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AccessOf {
    /// Who.
    #[schema(schema_with = words::subject)]
    pub subject: String,
    /// What.
    pub role: ProjectRole,
}

/// Replaces who has access to a project.
pub async fn access(
    State(api): State<Api>,
    caller: Caller,
    Path((cluster, tenant, project)): Path<(String, String, String)>,
    wanted: IfMatch,
    Body(body): Body<AccessList>,
) -> Result<Answer<AccessList>, Problem> {
    let lines = read(&api, &body)?;
    let mut tx = api.write(&caller).await?;
    let tenant = tenants::change(&mut tx, &cluster, &tenant).await?;
    let project = projects::get(&mut tx, &tenant.id, &project).await?;
    wanted.check(project.version)?;
    if let Err(impossible) = members::replace_access(&mut tx, &project, &lines).await? {
        let faults =
            impossible.into_iter().map(|line| Fault::new(format!("/members/{}", line.index), line.why));
        return Err(Problem::faults(Code::UnprocessableEntity, faults.collect()));
    }
    let version = projects::count_up(&mut tx, project).await?.version;
    let members = lines.into_iter().map(|line| AccessOf { subject: line.subject, role: line.role }).collect();
    caller.commit(tx, Answer::versioned(AccessList { members }, version)).await
}

fn read(api: &Api, body: &AccessList) -> Result<Vec<Access>, Problem> {
    let mut lines: Vec<Access> = Vec::with_capacity(body.members.len());
    let mut faults = Vec::new();
    for (index, member) in body.members.iter().enumerate() {
        let at = format!("/members/{index}/subject");
        match subject::read(api, &member.subject, &at) {
            Ok(subject) if lines.iter().any(|line| line.subject == subject) => {
                faults.push(Fault::new(at, "stands here twice"));
            }
            Ok(subject) => lines.push(Access { subject, role: member.role }),
            Err(fault) => faults.push(fault),
        }
    }
    if faults.is_empty() { Ok(lines) } else { Err(Problem::invalid(faults)) }
}
