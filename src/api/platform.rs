//! What administrators set for the whole platform: settings and plans.

use axum::extract::State;
use serde::Deserialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::answer::Answer;
use super::caller::Caller;
use super::etag::IfMatch;
use super::extract::{Body, Path, Query};
use super::page::{Page, PageQuery, no_labels};
use super::problem::{Code, Fault, Problem};
use super::{Api, schema};
use portcullis_store::plans::{self, Plan};
use portcullis_store::settings::{self, Setting};
use portcullis_store::{StoreError, Tx};
use portcullis_tenancy::settings::{SettingError, grammar, meaning, schema_of};

/// A value for a setting.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SettingPut {
    /// As the snapshot has it under `settings`; `registries` for example is `{"ceiling": […], "platform": […]}`.
    #[schema(value_type = Value, required = true, example = json!({ "ceiling": ["registry.example.com"], "platform": [] }))]
    pub value: Value,
}

/// What namespaces are made of: where there are any, these stay.
const BUILT_ON: [&str; 2] = ["prefix", "labelPrefix"];

pub(crate) async fn list_settings(
    State(api): State<Api>,
    caller: Caller,
) -> Result<Answer<Page<Setting>>, Problem> {
    let mut tx = api.read(&caller).await?;
    let items = settings::all(&mut tx).await?;
    Ok(Answer::new(Page { items, next_cursor: None }))
}

pub(crate) async fn get_setting(
    State(api): State<Api>,
    caller: Caller,
    Path(key): Path<String>,
) -> Result<Answer<Setting>, Problem> {
    let mut tx = api.read(&caller).await?;
    Ok(versioned(settings::get(&mut tx, &key).await?))
}

pub(crate) async fn replace_setting(
    State(api): State<Api>,
    caller: Caller,
    Path(key): Path<String>,
    if_match: IfMatch,
    Body(SettingPut { value }): Body<SettingPut>,
) -> Result<Answer<Setting>, Problem> {
    let shape = schema_of(&key).ok_or(StoreError::NotFound("setting"))?;
    let mut faults = schema::faults_of(&shape, &value, "/value")?;
    if faults.is_empty() {
        faults = placed(grammar(&key, &value));
    }
    super::tenants::refuse(faults)?;
    let mut tx = api.write(&caller).await?;
    settings::lock_tenants(&mut tx).await?;
    let was = settings::get(&mut tx, &key).await?;
    if_match.check(was.version)?;
    possible(&mut tx, &was, &value).await?;
    let setting = settings::put(&mut tx, was, value).await?;
    caller.commit(tx, versioned(setting)).await
}

/// Whether the settings as a whole can be so.
async fn possible(tx: &mut Tx, was: &Setting, value: &Value) -> Result<(), Problem> {
    let key = was.key.as_str();
    if BUILT_ON.contains(&key) && *value != was.value && settings::any_namespace(tx).await? {
        let detail = format!("the setting `{key}` cannot change while namespaces exist");
        return Err(Problem::new(Code::Conflict, detail));
    }
    let mut document = settings::document(&settings::all(tx).await?);
    document.insert(key.to_owned(), value.clone());
    let objections = meaning(key, &document, &settings::affected_tenants(tx).await?);
    if objections.is_empty() {
        return Ok(());
    }
    Err(Problem::faults(Code::UnprocessableEntity, placed(objections)))
}

fn placed(objections: Vec<SettingError>) -> Vec<Fault> {
    let fault =
        |objection: SettingError| Fault::new(format!("/value{}", objection.pointer), objection.detail);
    objections.into_iter().map(fault).collect()
}

fn versioned(setting: Setting) -> Answer<Setting> {
    let version = setting.version;
    Answer::versioned(setting, version)
}

pub(crate) async fn list_plans(
    State(api): State<Api>,
    caller: Caller,
    Query(query): Query<PageQuery>,
) -> Result<Answer<Page<Plan>>, Problem> {
    let mut builder = query.window()?.builder();
    let mut tx = api.read(&caller).await?;
    while let Some((after, limit)) = builder.next_query() {
        let rows = plans::list(&mut tx, after.as_deref(), limit).await?;
        builder.add(rows, |plan| &plan.id, no_labels);
    }
    Ok(Answer::new(builder.build()))
}

pub(crate) async fn get_plan(
    State(api): State<Api>,
    caller: Caller,
    Path(plan): Path<String>,
) -> Result<Answer<Plan>, Problem> {
    let mut tx = api.read(&caller).await?;
    let plan = plans::get(&mut tx, &plan).await?;
    let version = plan.version;
    Ok(Answer::versioned(plan, version))
}
