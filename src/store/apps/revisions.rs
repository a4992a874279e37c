//! What an app was, revision by revision.

use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::Content;
use super::row::{App, Origin, Spec, origin};
use crate::Time;
use crate::Tx;
use crate::error::StoreError;
use crate::revision::parse;
use portcullis_tenancy::source::SourceKind;

/// A revision of an app. It never changes.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = AppRevision)]
pub struct Revision {
    /// UUID.
    pub id: String,
    /// Its number, from 1.
    pub revision: i64,
    /// What the app was made of.
    #[serde(flatten)]
    pub content: Spec,
    /// The item of the catalog that it came from.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, inline)]
    pub catalog_ref: Option<Origin>,
    /// Who made it: `issuer#sub`.
    pub actor: String,
    /// When it was made, RFC 3339.
    pub created_at: Time,
}

#[derive(sqlx::FromRow)]
struct Row {
    id: String,
    revision: i64,
    spec: String,
    source: String,
    catalog_item_id: Option<String>,
    catalog_version: Option<String>,
    overrides: Option<String>,
    actor: String,
    created_at: i64,
}

/// What every statement that reads revisions begins with; `$1` is the tenant, `$2` the app.
macro_rules! select {
    ($rest:literal) => {
        select!("spec, source, overrides", $rest)
    };
    ($long:literal, $rest:literal) => {
        concat!(
            "SELECT id, revision, catalog_item_id, catalog_version, actor, created_at, ",
            $long,
            " FROM app_revisions WHERE tenant_id = $1 AND app_id = $2 AND ",
            $rest
        )
    };
}

/// Revisions of an app in their order, after one of them. With `full` false what the app was made of is not read.
pub async fn revisions(
    tx: &mut Tx,
    app: &App,
    after: Option<&str>,
    limit: i64,
    full: bool,
) -> Result<Vec<Revision>, StoreError> {
    let select = if full {
        select!("id > $3 ORDER BY id LIMIT $4")
    } else {
        select!(
            "'{\"spec\":{\"source\":null}}' AS spec, 'null' AS source, CAST(NULL AS TEXT) AS overrides",
            "id > $3 ORDER BY id LIMIT $4"
        )
    };
    let rows = sqlx::query_as::<_, Row>(select)
        .bind(app.tenant_id.clone())
        .bind(app.id.clone())
        .bind(after.unwrap_or_default().to_owned())
        .bind(limit)
        .fetch_all(tx.sql())
        .await?;
    rows.into_iter().map(Row::read).collect()
}

/// One revision of an app, if it has it.
pub async fn revision(tx: &mut Tx, app: &App, number: i64) -> Result<Option<Revision>, StoreError> {
    let row = sqlx::query_as::<_, Row>(select!("revision = $3"))
        .bind(app.tenant_id.clone())
        .bind(app.id.clone())
        .bind(number)
        .fetch_optional(tx.sql())
        .await?;
    row.map(Row::read).transpose()
}

/// Writes down what an app is made of from now on.
pub(super) async fn keep(
    tx: &mut Tx,
    tenant: &str,
    app: &str,
    number: i64,
    content: &Content,
) -> Result<(), StoreError> {
    let (now, actor) = (tx.now(), tx.scope().actor().name.clone());
    let Content { spec, origin, .. } = content;
    let rest = Spec { spec: super::row::Sourced::default(), ..spec.clone() };
    sqlx::query(
        "INSERT INTO app_revisions (id, created_at, tenant_id, app_id, revision, spec, source, catalog_item_id, \
         catalog_version, overrides, actor) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
    )
    .bind(uuid::Uuid::now_v7().to_string())
    .bind(now)
    .bind(tenant.to_owned())
    .bind(app.to_owned())
    .bind(number)
    .bind(json!(rest).to_string())
    .bind(spec.spec.source.to_string())
    .bind(origin.as_ref().map(|origin| origin.item_id.clone()))
    .bind(origin.as_ref().map(|origin| origin.version.clone()))
    .bind(origin.as_ref().map(|origin| origin.overrides.to_string()))
    .bind(actor)
    .execute(tx.sql())
    .await?;
    Ok(())
}

impl Row {
    fn read(self) -> Result<Revision, StoreError> {
        let mut content: Spec = parse("a revision's specification", &self.spec)?;
        content.spec.source = parse("a revision's source", &self.source)?;
        Ok(Revision {
            id: self.id,
            revision: self.revision,
            content,
            catalog_ref: origin(self.catalog_item_id, self.catalog_version, self.overrides)?,
            actor: self.actor,
            created_at: Time(self.created_at),
        })
    }
}

impl Revision {
    /// What it was made of, to be made of again.
    ///
    /// # Errors
    /// `Document` where what is kept is of no kind, which nothing but a hand in the database can bring about.
    pub fn content(&self) -> Result<Content, StoreError> {
        let mut members = self.content.spec.source.as_object().into_iter().flatten();
        let kind = members.find_map(|(word, _)| SourceKind::parse(word));
        let none = || parse::<Value>("a revision's source", "").err();
        match kind {
            Some(kind) => Ok(Content { kind, spec: self.content.clone(), origin: self.catalog_ref.clone() }),
            None => Err(none().unwrap_or(StoreError::NotFound("app"))),
        }
    }
}
