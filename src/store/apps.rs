//! Apps and their immutable revisions. An app has one namespace for its whole life. Changes require that the tenant is locked
//! ([`crate::tenants::change`]), so there are no concurrent writers.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;

use crate::audit::Entry;
use crate::error::StoreError;
use crate::namespaces::{self, Owner};
use crate::projects::Project;
use crate::revision::parse;
use crate::tenants::row::Tenant;
use crate::{Part, Time, Tx, is_id, released};
use portcullis_tenancy::source::SourceKind;

/// An app.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct App {
    /// UUID; unchanged by upgrades.
    pub id: String,
    /// Slug; part of the name of its namespace.
    #[schema(example = "frontend")]
    pub name: String,
    /// Description; empty if none was given.
    pub description: String,
    /// UUID of its tenant.
    pub tenant_id: String,
    /// UUID of its project.
    pub project_id: String,
    /// UUID of its cluster.
    pub cluster_id: String,
    /// Its namespace.
    #[schema(example = "tn-acme-shop-app-frontend")]
    pub namespace: String,
    /// Kind of its source, one of six.
    #[schema(example = "containerImage")]
    pub source_kind: String,
    /// Its content.
    #[serde(flatten)]
    pub content: Spec,
    /// Catalog item from which it was installed; absent otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, inline)]
    pub catalog_ref: Option<Origin>,
    /// Its newest revision.
    pub revision: i64,
    /// `committed`: stored, to be applied by a writer; `pending` and `failed` are set by a writer.
    #[schema(example = "committed")]
    pub state: String,
    /// Creation time, RFC 3339.
    pub created_at: Time,
    /// Time of the last change, RFC 3339.
    pub updated_at: Time,
    /// Value of `ETag`; grows with each change.
    pub version: i64,
}

/// Content of an app.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Spec {
    /// `{source}`: its source.
    pub spec: Sourced,
    /// KubeVela components in addition to the source.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false, value_type = Vec<Object>)]
    pub components: Vec<Value>,
    /// Traits.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false, value_type = Vec<Object>)]
    pub traits: Vec<Value>,
    /// Policies of the application.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false, value_type = Vec<Object>)]
    pub policies: Vec<Value>,
}

/// Source of an app.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, ToSchema)]
pub struct Sourced {
    /// Exactly one of the six source kinds.
    #[schema(value_type = Object)]
    pub source: Value,
}

/// Catalog item from which an app was installed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Origin {
    /// UUID of the item.
    pub item_id: String,
    /// Its version.
    #[schema(example = "1.2.0")]
    pub version: String,
    /// Merge patch over the source of the item (RFC 7386).
    #[schema(value_type = Object)]
    pub overrides: Value,
}

/// Start of every statement that reads apps; `$1` is the tenant, `$2` the project.
macro_rules! select {
    ($rest:literal) => {
        select!("a.spec, a.catalog_overrides", $rest)
    };
    ($long:literal, $rest:literal) => {
        concat!(
            "SELECT a.id, a.slug, a.description, a.tenant_id, a.project_id, a.cluster_id, a.source_kind, \
             a.catalog_item_id, a.catalog_version, a.current_revision, a.state, a.created_at, \
             a.updated_at, a.version, n.name AS namespace, ",
            $long,
            " FROM apps a JOIN namespaces n ON n.app_id = a.id WHERE a.tenant_id = $1 AND a.project_id = $2 AND ",
            $rest
        )
    };
}

/// Without the content.
macro_rules! select_head {
    ($rest:literal) => {
        select!("'{\"spec\":{\"source\":null}}' AS spec, CAST(NULL AS TEXT) AS catalog_overrides", $rest)
    };
}

#[derive(Debug, sqlx::FromRow)]
struct Row {
    id: String,
    slug: String,
    description: String,
    tenant_id: String,
    project_id: String,
    cluster_id: String,
    spec: String,
    source_kind: String,
    catalog_item_id: Option<String>,
    catalog_version: Option<String>,
    catalog_overrides: Option<String>,
    current_revision: i64,
    state: String,
    created_at: i64,
    updated_at: i64,
    version: i64,
    namespace: String,
}

impl Row {
    fn read(self) -> Result<App, StoreError> {
        Ok(App {
            content: parse("an app's specification", &self.spec)?,
            catalog_ref: origin(self.catalog_item_id, self.catalog_version, self.catalog_overrides)?,
            id: self.id,
            name: self.slug,
            description: self.description,
            tenant_id: self.tenant_id,
            project_id: self.project_id,
            cluster_id: self.cluster_id,
            namespace: self.namespace,
            source_kind: self.source_kind,
            revision: self.current_revision,
            state: self.state,
            created_at: Time(self.created_at),
            updated_at: Time(self.updated_at),
            version: self.version,
        })
    }
}

/// `None` where the catalog item was deleted.
fn origin(
    item: Option<String>,
    version: Option<String>,
    overrides: Option<String>,
) -> Result<Option<Origin>, StoreError> {
    let (Some(item_id), Some(version)) = (item, version) else { return Ok(None) };
    let overrides = overrides.map(|text| parse("an app's overrides", &text)).transpose()?;
    Ok(Some(Origin {
        item_id,
        version,
        overrides: overrides.unwrap_or_else(|| Value::Object(serde_json::Map::new())),
    }))
}

/// An immutable revision of an app.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = AppRevision)]
pub struct Revision {
    /// UUID.
    pub id: String,
    /// Number, from 1.
    pub revision: i64,
    /// Content of the app.
    #[serde(flatten)]
    pub content: Spec,
    /// Catalog item from which it was installed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, inline)]
    pub catalog_ref: Option<Origin>,
    /// Creator: `issuer#sub`.
    pub actor: String,
    /// Creation time, RFC 3339.
    pub created_at: Time,
}

#[derive(sqlx::FromRow)]
struct RevisionRow {
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

/// Start of every statement that reads revisions; `$1` is the tenant, `$2` the app.
macro_rules! select_revision {
    ($rest:literal) => {
        select_revision!("spec, source, overrides", $rest)
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

/// By id, after `after`. With `full` false the content is not read.
pub async fn revisions(
    tx: &mut Tx,
    app: &App,
    after: Option<&str>,
    limit: i64,
    full: bool,
) -> Result<Vec<Revision>, StoreError> {
    let select = if full {
        select_revision!("id > $3 ORDER BY id LIMIT $4")
    } else {
        select_revision!(
            "'{\"spec\":{\"source\":null}}' AS spec, 'null' AS source, CAST(NULL AS TEXT) AS overrides",
            "id > $3 ORDER BY id LIMIT $4"
        )
    };
    let rows = sqlx::query_as::<_, RevisionRow>(select)
        .bind(app.tenant_id.clone())
        .bind(app.id.clone())
        .bind(after.unwrap_or_default().to_owned())
        .bind(limit)
        .fetch_all(tx.sql())
        .await?;
    rows.into_iter().map(RevisionRow::read).collect()
}

pub async fn revision(tx: &mut Tx, app: &App, number: i64) -> Result<Option<Revision>, StoreError> {
    let row = sqlx::query_as::<_, RevisionRow>(select_revision!("revision = $3"))
        .bind(app.tenant_id.clone())
        .bind(app.id.clone())
        .bind(number)
        .fetch_optional(tx.sql())
        .await?;
    row.map(RevisionRow::read).transpose()
}

async fn insert_revision(
    tx: &mut Tx,
    tenant: &str,
    app: &str,
    number: i64,
    content: &Content,
) -> Result<(), StoreError> {
    let (now, actor) = (tx.now(), tx.scope().actor().name.clone());
    let Content { spec, origin, .. } = content;
    let rest = Spec { spec: Sourced::default(), ..spec.clone() };
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

impl RevisionRow {
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
    /// The content, to create a new revision from it. `Document` where the stored source has no known kind.
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

/// What a revision stores.
#[derive(Debug, Clone, PartialEq)]
pub struct Content {
    pub kind: SourceKind,
    pub spec: Spec,
    pub origin: Option<Origin>,
}

/// By id, after `after`. With `full` false the content is not read.
pub async fn list(
    tx: &mut Tx,
    project: &Project,
    after: Option<&str>,
    limit: i64,
    full: bool,
) -> Result<Vec<App>, StoreError> {
    let select = if full {
        select!("a.id > $3 ORDER BY a.id LIMIT $4")
    } else {
        select_head!("a.id > $3 ORDER BY a.id LIMIT $4")
    };
    let rows = sqlx::query_as::<_, Row>(select)
        .bind(project.tenant_id.clone())
        .bind(project.id.clone())
        .bind(after.unwrap_or_default().to_owned())
        .bind(limit)
        .fetch_all(tx.sql())
        .await?;
    rows.into_iter().map(Row::read).collect()
}

/// By id or slug.
pub async fn get(tx: &mut Tx, project: &Project, app: &str) -> Result<App, StoreError> {
    find(tx, project, app).await?.ok_or(StoreError::NotFound("app"))
}

pub async fn find(tx: &mut Tx, project: &Project, app: &str) -> Result<Option<App>, StoreError> {
    let select = if is_id(app) { select!("a.id = $3") } else { select!("a.slug = $3") };
    let row = sqlx::query_as::<_, Row>(select)
        .bind(project.tenant_id.clone())
        .bind(project.id.clone())
        .bind(app.to_owned())
        .fetch_optional(tx.sql())
        .await?;
    row.map(Row::read).transpose()
}

pub async fn count(tx: &mut Tx, tenant: &str) -> Result<i64, StoreError> {
    let count = sqlx::query_scalar("SELECT COUNT(*) FROM apps WHERE tenant_id = $1");
    Ok(count.bind(tenant.to_owned()).fetch_one(tx.sql()).await?)
}

/// Apps that were installed from a catalog item and that the scope can see.
pub(crate) async fn count_of_item(tx: &mut Tx, item: &str) -> Result<i64, StoreError> {
    let own = tx.tenant();
    let count = sqlx::query_scalar(
        "SELECT COUNT(*) FROM apps WHERE catalog_item_id = $1 AND ($2 IS NULL OR tenant_id = $2)",
    );
    Ok(count.bind(item.to_owned()).bind(own).fetch_one(tx.sql()).await?)
}

/// Creates the app with its namespace and first revision. `Conflict` where the slug is taken, or `name.length` where the name
/// of the namespace is too long.
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
    insert_revision(tx, &tenant.id, id, 1, content).await?;
    let app = get(tx, project, id).await?;
    tx.audit(entry(action, &app).after(json!(app)));
    tx.mark_changed(Part::App(tenant.name.clone(), project.name.clone(), app.name.clone()));
    Ok(app)
}

/// Id and namespace stay.
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
    insert_revision(tx, &was.tenant_id, &was.id, next, content).await?;
    let is = get(tx, project, &was.id).await?;
    tx.audit(entry(action, &is).before(json!(was)).after(json!(is)));
    // Only the source kind of the content is in the snapshot.
    if is.source_kind != was.source_kind {
        tx.mark_changed(Part::App(tenant.name.clone(), project.name.clone(), is.name.clone()));
    }
    Ok(is)
}

/// The database deletes its revisions and namespace.
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
