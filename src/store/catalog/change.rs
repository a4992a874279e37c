//! Publishing items, and taking them back.

use serde_json::{Value, json};

use super::row::Item;
use super::versions;
use crate::audit::Entry;
use crate::error::StoreError;
use crate::{Tx, apps};

/// What an item is made of; every field was checked.
#[derive(Debug, Clone, PartialEq)]
pub struct New {
    /// Slug.
    pub slug: String,
    /// UUID of its tenant; none for everybody's.
    pub tenant: Option<String>,
    /// What is said of it.
    pub about: Amendment,
    /// Its first version.
    pub version: String,
    /// The source of that.
    pub source: Value,
}

/// What is said of an item.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Amendment {
    /// Name for people.
    pub name: String,
    /// What it is.
    pub description: String,
    /// Address of a picture.
    pub icon: Option<String>,
    /// Where it belongs among others.
    pub category: Option<String>,
}

/// Publishes an item with its first version.
///
/// # Errors
/// `Conflict` where there is one of this slug in its scope.
pub async fn create(tx: &mut Tx, new: New) -> Result<Item, StoreError> {
    let id = uuid::Uuid::now_v7().to_string();
    let now = tx.now();
    let New { slug, tenant, about, version, source } = new;
    sqlx::query(
        "INSERT INTO catalog_items (id, created_at, updated_at, slug, name, description, icon, category, scope, \
         tenant_id, latest_version) VALUES ($1, $2, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
    )
    .bind(id.clone())
    .bind(now)
    .bind(slug)
    .bind(about.name)
    .bind(about.description)
    .bind(about.icon)
    .bind(about.category)
    .bind(if tenant.is_some() { "tenant" } else { "global" })
    .bind(tenant.clone())
    .bind(version.clone())
    .execute(tx.sql())
    .await?;
    versions::keep(tx, &id, tenant.as_deref(), &version, &source).await?;
    let item = super::get(tx, &id, tenant.as_deref()).await?;
    tx.audit(entry("catalog.create", &item).after(json!({ "item": item, "source": source })));
    Ok(item)
}

/// Replaces what is said of an item. Slug, scope and versions stay.
pub async fn amend(tx: &mut Tx, was: &Item, about: Amendment) -> Result<Item, StoreError> {
    let now = tx.now();
    let statement = sqlx::query(
        "UPDATE catalog_items SET name = $1, description = $2, icon = $3, category = $4, updated_at = $5, \
         version = version + 1 WHERE id = $6 AND version = $7",
    )
    .bind(about.name)
    .bind(about.description)
    .bind(about.icon)
    .bind(about.category)
    .bind(now)
    .bind(was.id.clone())
    .bind(was.version);
    tx.change_one(statement).await?;
    let is = super::get(tx, &was.id, was.tenant_id.as_deref()).await?;
    tx.audit(entry("catalog.update", &is).before(json!(was)).after(json!(is)));
    Ok(is)
}

/// Takes an item and its versions from the catalog. Apps that came from it stay as they are.
///
/// # Errors
/// `Dependents` where apps refer to it, unless it is forced.
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
    // Its versions go with it; what they held stays in the entries by which they were added.
    tx.audit(entry("catalog.delete", was).before(json!({ "item": was, "versions": versions })));
    Ok(())
}

pub(super) fn entry(action: &'static str, item: &Item) -> Entry {
    let entry = Entry::new(action, "catalogItem").of(&item.id, &item.slug);
    match &item.tenant_id {
        Some(tenant) => entry.tenant(tenant),
        None => entry,
    }
}
