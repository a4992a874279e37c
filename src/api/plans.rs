//! Plans, to read.

use axum::extract::State;

use super::Api;
use super::answer::Answer;
use super::body::{Path, Query};
use super::caller::Caller;
use super::page::{self, Page, PageQuery};
use super::problem::Problem;
use portcullis_store::plans::{self, Plan};

/// Lists plans.
pub async fn list(
    State(api): State<Api>,
    caller: Caller,
    Query(query): Query<PageQuery>,
) -> Result<Answer<Page<Plan>>, Problem> {
    let mut filling = query.window()?.filling();
    let mut tx = api.read(&caller).await?;
    while let Some((after, limit)) = filling.wants() {
        let rows = plans::list(&mut tx, after.as_deref(), limit).await?;
        filling.take(rows, |plan| &plan.id, |_| &page::UNLABELLED);
    }
    Ok(Answer::new(filling.page()))
}

/// Shows a plan.
pub async fn get(
    State(api): State<Api>,
    caller: Caller,
    Path(plan): Path<String>,
) -> Result<Answer<Plan>, Problem> {
    let mut tx = api.read(&caller).await?;
    let plan = plans::get(&mut tx, &plan).await?;
    let version = plan.version;
    Ok(Answer::versioned(plan, version))
}
