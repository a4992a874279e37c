//! The catalog: items, global or of one tenant, and their immutable versions. An item of a tenant hides the global item of the
//! same slug.

use semver::Version;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;

use crate::audit::Entry;
use crate::error::StoreError;
use crate::revision::parse;
use crate::select::Select;
use crate::{Time, Tx, apps};

/// An item of the catalog.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = CatalogItem)]
pub struct Item {
    /// UUID.
    pub id: String,
    /// Slug, unique within its scope.
    #[schema(example = "wordpress")]
    pub slug: String,
    /// Display name.
    #[schema(example = "WordPress")]
    pub name: String,
    /// Description; empty if none was given.
    pub description: String,
    /// URL of an icon.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub icon: Option<String>,
    /// Category.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "cms")]
    pub category: Option<String>,
    /// Scope of the item.
    pub scope: Reach,
    /// UUID of its tenant; absent for a global item.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub tenant_id: Option<String>,
    /// Newest version by semver; the default of an install.
    #[schema(example = "1.2.0")]
    pub latest_version: String,
    /// Creation time, RFC 3339.
    pub created_at: Time,
    /// Time of the last change, RFC 3339.
    pub updated_at: Time,
    /// Value of `ETag`; grows with each change. Versions of the item are under `/versions`.
    #[serde(rename = "resourceVersion")]
    pub version: i64,
}

/// Scope of a catalog item.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = CatalogScope)]
pub enum Reach {
    /// Visible to all tenants.
    Global,
    /// Visible to one tenant.
    Tenant,
}

impl Reach {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Global => "global",
            Self::Tenant => "tenant",
        }
    }
}

/// Start of every statement that reads items.
macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT i.id, i.slug, i.name, i.description, i.icon, i.category, i.tenant_id, i.latest_version, \
             i.created_at, i.updated_at, i.version FROM catalog_items i WHERE ",
            $rest
        )
    };
}

#[derive(Debug, sqlx::FromRow)]
struct Row {
    id: String,
    slug: String,
    name: String,
    description: String,
    icon: Option<String>,
    category: Option<String>,
    tenant_id: Option<String>,
    latest_version: Option<String>,
    created_at: i64,
    updated_at: i64,
    version: i64,
}

impl Row {
    fn read(self) -> Item {
        Item {
            scope: if self.tenant_id.is_some() { Reach::Tenant } else { Reach::Global },
            // Every item has a version, because both are created in one transaction.
            latest_version: self.latest_version.unwrap_or_default(),
            id: self.id,
            slug: self.slug,
            name: self.name,
            description: self.description,
            icon: self.icon,
            category: self.category,
            tenant_id: self.tenant_id,
            created_at: Time(self.created_at),
            updated_at: Time(self.updated_at),
            version: self.version,
        }
    }
}

/// An immutable version of a catalog item.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = CatalogVersion)]
pub struct Release {
    /// UUID.
    pub id: String,
    /// Semver.
    #[schema(example = "1.2.0")]
    pub version: String,
    /// Exactly one of the six source kinds.
    #[schema(value_type = Object)]
    pub source: Value,
    /// Creation time, RFC 3339.
    pub created_at: Time,
}

#[derive(sqlx::FromRow)]
struct ReleaseRow {
    id: String,
    version: String,
    source: String,
    created_at: i64,
}

pub async fn releases(
    tx: &mut Tx,
    item: &Item,
    after: Option<&str>,
    limit: i64,
) -> Result<Vec<Release>, StoreError> {
    let rows = sqlx::query_as::<_, ReleaseRow>(
        "SELECT id, version, source, created_at FROM catalog_item_versions \
         WHERE item_id = $1 AND id > $2 ORDER BY id LIMIT $3",
    )
    .bind(item.id.clone())
    .bind(after.unwrap_or_default().to_owned())
    .bind(limit)
    .fetch_all(tx.sql())
    .await?;
    rows.into_iter().map(ReleaseRow::read).collect()
}

/// The given version, or the newest one.
pub async fn resolve(tx: &mut Tx, item: &Item, version: Option<&str>) -> Result<Release, StoreError> {
    let version = version.unwrap_or(&item.latest_version);
    let row = sqlx::query_as::<_, ReleaseRow>(
        "SELECT id, version, source, created_at FROM catalog_item_versions WHERE item_id = $1 AND version = $2",
    )
    .bind(item.id.clone())
    .bind(version.to_owned())
    .fetch_optional(tx.sql())
    .await?;
    row.map(ReleaseRow::read).transpose()?.ok_or(StoreError::NotFound("catalog version"))
}

/// Adds a version and updates the newest one. `Conflict` where it exists.
pub async fn add(tx: &mut Tx, item: &Item, version: &str, source: &Value) -> Result<Release, StoreError> {
    // Locks the row, so that concurrent additions see each other.
    let statement =
        sqlx::query("UPDATE catalog_items SET version = version + 1 WHERE id = $1 AND version = $2");
    tx.change_one(statement.bind(item.id.clone()).bind(item.version)).await?;
    let tenant = item.tenant_id.as_deref();
    let release = insert_release(tx, &item.id, tenant, version, source).await?;
    let all: Vec<(String, i64)> = sqlx::query_as(
        "SELECT version, created_at FROM catalog_item_versions WHERE item_id = $1 ORDER BY id",
    )
    .bind(item.id.clone())
    .fetch_all(tx.sql())
    .await?;
    let latest = newest(&all, |(version, at)| (version, *at)).map(|(version, _)| version.clone());
    let now = tx.now();
    sqlx::query("UPDATE catalog_items SET latest_version = $1, updated_at = $2 WHERE id = $3")
        .bind(latest)
        .bind(now)
        .bind(item.id.clone())
        .execute(tx.sql())
        .await?;
    tx.audit(entry("catalog.version.create", item).after(json!(release)));
    Ok(release)
}

async fn insert_release(
    tx: &mut Tx,
    item: &str,
    tenant: Option<&str>,
    version: &str,
    source: &Value,
) -> Result<Release, StoreError> {
    let id = uuid::Uuid::now_v7().to_string();
    let now = tx.now();
    sqlx::query(
        "INSERT INTO catalog_item_versions (id, created_at, item_id, tenant_id, version, source) \
         VALUES ($1, $2, $3, $4, $5, $6)",
    )
    .bind(id.clone())
    .bind(now)
    .bind(item.to_owned())
    .bind(tenant.map(str::to_owned))
    .bind(version.to_owned())
    .bind(source.to_string())
    .execute(tx.sql())
    .await?;
    Ok(Release { id, version: version.to_owned(), source: source.clone(), created_at: Time(now) })
}

impl ReleaseRow {
    fn read(self) -> Result<Release, StoreError> {
        let source = parse("a catalog item's source", &self.source)?;
        Ok(Release { id: self.id, version: self.version, source, created_at: Time(self.created_at) })
    }
}

/// Absent fields do not filter.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    pub reach: Option<Reach>,
    pub tenant: Option<String>,
    pub category: Option<String>,
    pub text: Option<String>,
}

/// By id, after `after`.
pub async fn list(
    tx: &mut Tx,
    filter: &Filter,
    after: Option<&str>,
    limit: i64,
) -> Result<Vec<Item>, StoreError> {
    let (own, text) = (tx.tenant(), filter.text.as_deref().map(like_pattern));
    let visible = match filter.reach {
        None => {
            "(i.tenant_id = $? OR (i.tenant_id IS NULL AND NOT EXISTS \
             (SELECT 1 FROM catalog_items o WHERE o.tenant_id = $? AND o.slug = i.slug)))"
        }
        Some(_) => "(i.tenant_id = $? OR i.tenant_id IS NULL)",
    };
    let select = Select::new(select!("1 = 1"))
        .and("(i.tenant_id = $? OR i.tenant_id IS NULL)", own.as_deref())
        .and(visible, filter.tenant.as_deref())
        .and("i.scope = $?", filter.reach.map(Reach::as_str))
        .and("i.category = $?", filter.category.as_deref())
        .and(
            "(lower(i.slug) LIKE $? ESCAPE '!' OR lower(i.name) LIKE $? ESCAPE '!' \
             OR lower(i.description) LIKE $? ESCAPE '!')",
            text.as_deref(),
        )
        .and("i.id > $?", Some(after.unwrap_or_default()));
    let rows = select.order_by("i.id").limit(limit).query_as::<Row>().fetch_all(tx.sql()).await?;
    Ok(rows.into_iter().map(Row::read).collect())
}

/// A pattern of `LIKE` that contains exactly this text.
fn like_pattern(text: &str) -> String {
    let mut pattern = String::from("%");
    for c in text.to_lowercase().chars() {
        if matches!(c, '!' | '%' | '_') {
            pattern.push('!');
        }
        pattern.push(c);
    }
    pattern.push('%');
    pattern
}

/// As [`get`], and locks the row until the commit.
pub async fn get_and_lock(tx: &mut Tx, item: &str, tenant: Option<&str>) -> Result<Item, StoreError> {
    let found = get(tx, item, tenant).await?;
    // Changes nothing, but locks the row on both databases, so that later reads stay valid.
    sqlx::query("UPDATE catalog_items SET version = version WHERE id = $1")
        .bind(found.id.clone())
        .execute(tx.sql())
        .await?;
    get(tx, &found.id, tenant).await
}

/// By slug or id, as a tenant sees it: its own item before the global one.
pub async fn get(tx: &mut Tx, item: &str, tenant: Option<&str>) -> Result<Item, StoreError> {
    let own = tx.tenant();
    let tenant = own.as_deref().or(tenant);
    let own_item = match tenant {
        Some(tenant) => by_slug(tx, Some(tenant), item).await?,
        None => None,
    };
    let found = match own_item {
        Some(found) => Some(found),
        None => by_slug(tx, None, item).await?,
    };
    // By id administrators find any item, regardless of the tenant.
    let visible = "(i.tenant_id = $? OR i.tenant_id IS NULL)";
    let by_id = Select::new(select!("1 = 1")).and("i.id = $?", Some(item)).and(visible, own.as_deref());
    let row = match found {
        Some(found) => Some(found),
        None => by_id.query_as::<Row>().fetch_optional(tx.sql()).await?,
    };
    row.map(Row::read).ok_or(StoreError::NotFound("catalog item"))
}

async fn by_slug(tx: &mut Tx, tenant: Option<&str>, slug: &str) -> Result<Option<Row>, StoreError> {
    let select = match tenant {
        Some(_) => Select::new(select!("1 = 1")).and("i.tenant_id = $?", tenant),
        None => Select::new(select!("i.tenant_id IS NULL")),
    };
    Ok(select.and("i.slug = $?", Some(slug)).query_as::<Row>().fetch_optional(tx.sql()).await?)
}

/// Validated by the caller.
#[derive(Debug, Clone, PartialEq)]
pub struct New {
    pub slug: String,
    pub tenant: Option<String>,
    pub details: ItemDetails,
    pub version: String,
    pub source: Value,
}

#[derive(Debug, Clone, PartialEq, Default)]
pub struct ItemDetails {
    pub name: String,
    pub description: String,
    pub icon: Option<String>,
    pub category: Option<String>,
}

/// `Conflict` where the slug is taken in its scope.
pub async fn create(tx: &mut Tx, new: New) -> Result<Item, StoreError> {
    let id = uuid::Uuid::now_v7().to_string();
    let now = tx.now();
    let New { slug, tenant, details, version, source } = new;
    sqlx::query(
        "INSERT INTO catalog_items (id, created_at, updated_at, slug, name, description, icon, category, scope, \
         tenant_id, latest_version) VALUES ($1, $2, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
    )
    .bind(id.clone())
    .bind(now)
    .bind(slug)
    .bind(details.name)
    .bind(details.description)
    .bind(details.icon)
    .bind(details.category)
    .bind(if tenant.is_some() { "tenant" } else { "global" })
    .bind(tenant.clone())
    .bind(version.clone())
    .execute(tx.sql())
    .await?;
    insert_release(tx, &id, tenant.as_deref(), &version, &source).await?;
    let item = get(tx, &id, tenant.as_deref()).await?;
    tx.audit(entry("catalog.create", &item).after(json!({ "item": item, "source": source })));
    Ok(item)
}

/// Slug, scope and versions stay.
pub async fn update(tx: &mut Tx, was: &Item, details: ItemDetails) -> Result<Item, StoreError> {
    let now = tx.now();
    let statement = sqlx::query(
        "UPDATE catalog_items SET name = $1, description = $2, icon = $3, category = $4, updated_at = $5, \
         version = version + 1 WHERE id = $6 AND version = $7",
    )
    .bind(details.name)
    .bind(details.description)
    .bind(details.icon)
    .bind(details.category)
    .bind(now)
    .bind(was.id.clone())
    .bind(was.version);
    tx.change_one(statement).await?;
    let is = get(tx, &was.id, was.tenant_id.as_deref()).await?;
    tx.audit(entry("catalog.update", &is).before(json!(was)).after(json!(is)));
    Ok(is)
}

/// Installed apps stay. `Dependents` where apps refer to the item, unless `force`.
pub async fn remove(tx: &mut Tx, was: &Item, force: bool) -> Result<(), StoreError> {
    let apps = apps::count_of_item(tx, &was.id).await?;
    if apps > 0 && !force {
        let children = if apps == 1 { "1 app".to_owned() } else { format!("{apps} apps") };
        return Err(StoreError::Dependents { what: "catalog item", children });
    }
    let versions: Vec<String> =
        sqlx::query_scalar("SELECT version FROM catalog_item_versions WHERE item_id = $1 ORDER BY id")
            .bind(was.id.clone())
            .fetch_all(tx.sql())
            .await?;
    let statement = sqlx::query("DELETE FROM catalog_items WHERE id = $1 AND version = $2");
    tx.change_one(statement.bind(was.id.clone()).bind(was.version)).await?;
    // The database deletes the versions; their content stays in the audit log.
    tx.audit(entry("catalog.delete", was).before(json!({ "item": was, "versions": versions })));
    Ok(())
}

fn entry(action: &'static str, item: &Item) -> Entry {
    let entry = Entry::new(action, "catalogItem").of(&item.id, &item.slug);
    match &item.tenant_id {
        Some(tenant) => entry.tenant(tenant),
        None => entry,
    }
}

/// The newest by semver precedence; with equal precedence the one created last. Invalid versions are ignored.
fn newest<'a, T>(
    versions: impl IntoIterator<Item = &'a T>,
    text: impl Fn(&'a T) -> (&'a str, i64),
) -> Option<&'a T> {
    let parsed = versions.into_iter().filter_map(|item| Some((Version::parse(text(item).0).ok()?, item)));
    let newest = parsed
        .max_by(|(a, one), (b, other)| a.cmp_precedence(b).then_with(|| text(one).1.cmp(&text(other).1)));
    newest.map(|(_, item)| item)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn like_pattern_escapes_wildcards() {
        assert_eq!(like_pattern("Word"), "%word%");
        assert_eq!(like_pattern("100%_!"), "%100!%!_!!%");
    }

    #[track_caller]
    fn check(versions: &[(&'static str, i64)], expected: Option<&str>) {
        let found = newest(versions, |(version, at)| (version, *at));
        assert_eq!(found.map(|(version, _)| *version), expected, "{versions:?}");
    }

    #[test]
    fn newest_version_is_by_precedence_then_by_time() {
        check(&[], None);
        check(&[("1.2.0", 1), ("1.10.0", 2), ("1.9.0", 3)], Some("1.10.0"));
        check(&[("2.0.0-rc.1", 2), ("1.0.0", 1)], Some("2.0.0-rc.1"));
        check(&[("2.0.0-rc.1", 2), ("2.0.0", 1)], Some("2.0.0"));
        check(&[("1.0.0+z", 1), ("1.0.0+a", 2)], Some("1.0.0+a"));
        check(&[("1.0.0+a", 2), ("1.0.0+z", 1)], Some("1.0.0+a"));
        check(&[("1.0.0+z", 1), ("1.0.0+a", 1)], Some("1.0.0+a"));
        check(&[("nonsense", 9), ("0.0.1", 1)], Some("0.0.1"));
    }
}
