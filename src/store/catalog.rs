//! The catalog: items, global or of one tenant, and their versions, which never change. A tenant's own item shadows the
//! global one of the same slug.

mod change;
mod row;
pub mod version;
mod versions;

pub use change::{Amendment, New, amend, create, remove};
pub use row::{Item, Reach};
pub use versions::{Release, add, releases, resolve};

use self::row::Row;
use super::Tx;
use super::error::StoreError;

/// What a list of the catalog is limited to.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Items of this reach only.
    pub reach: Option<Reach>,
    /// The catalog as this tenant, by id, sees it: its own items and the global ones, without those it shadows. Without
    /// it, every item that the scope sees.
    pub tenant: Option<String>,
    /// Items of this category only.
    pub category: Option<String>,
    /// Items with this in slug, name or description.
    pub text: Option<String>,
}

/// Items in order of ids, after one of them.
pub async fn list(
    tx: &mut Tx,
    filter: &Filter,
    after: Option<&str>,
    limit: i64,
) -> Result<Vec<Item>, StoreError> {
    let own = tx.tenant();
    let rows = sqlx::query_as::<_, Row>(row::select!(
        "($1 IS NULL OR i.tenant_id = $1 OR i.tenant_id IS NULL) \
         AND ($2 IS NULL OR i.tenant_id = $2 OR (i.tenant_id IS NULL AND NOT EXISTS \
         (SELECT 1 FROM catalog_items o WHERE o.tenant_id = $2 AND o.slug = i.slug AND $3 IS NULL))) \
         AND ($3 IS NULL OR i.scope = $3) AND ($4 IS NULL OR i.category = $4) \
         AND ($5 IS NULL OR lower(i.slug) LIKE $5 ESCAPE '!' OR lower(i.name) LIKE $5 ESCAPE '!' \
         OR lower(i.description) LIKE $5 ESCAPE '!') \
         AND ($6 IS NULL OR i.id > $6) ORDER BY i.id LIMIT $7"
    ))
    .bind(own)
    .bind(filter.tenant.clone())
    .bind(filter.reach.map(Reach::as_str))
    .bind(filter.category.clone())
    .bind(filter.text.as_deref().map(anywhere))
    .bind(after.map(str::to_owned))
    .bind(limit)
    .fetch_all(tx.sql())
    .await?;
    Ok(rows.into_iter().map(Row::read).collect())
}

/// A text as a pattern of `LIKE` that means just this text.
fn anywhere(text: &str) -> String {
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

/// The same as [`get`] for whoever is about to change it: its row is locked until the commit, where the scope may.
pub async fn locked(tx: &mut Tx, item: &str, tenant: Option<&str>) -> Result<Item, StoreError> {
    let found = get(tx, item, tenant).await?;
    // Changes nothing, and locks the row on both databases; what is read after that stays so.
    sqlx::query("UPDATE catalog_items SET version = version WHERE id = $1")
        .bind(found.id.clone())
        .execute(tx.sql())
        .await?;
    get(tx, &found.id, tenant).await
}

/// An item by slug or id, as a tenant sees it: its own before the global one. Without a tenant, a slug is the global
/// item's.
pub async fn get(tx: &mut Tx, item: &str, tenant: Option<&str>) -> Result<Item, StoreError> {
    let own = tx.tenant();
    let tenant = own.clone().or_else(|| tenant.map(str::to_owned));
    let row = sqlx::query_as::<_, Row>(row::select!(
        "(i.slug = $1 OR i.id = $1) AND (i.tenant_id IS NULL OR i.tenant_id = $2 OR (i.id = $1 AND $3 IS NULL)) \
         ORDER BY (CASE WHEN i.tenant_id IS NULL THEN 1 ELSE 0 END) LIMIT 1"
    ))
    .bind(item.to_owned())
    .bind(tenant)
    .bind(own)
    .fetch_optional(tx.sql())
    .await?;
    row.map(Row::read).ok_or(StoreError::NotFound("catalog item"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_no_pattern() {
        assert_eq!(anywhere("Word"), "%word%");
        assert_eq!(anywhere("100%_!"), "%100!%!_!!%");
    }
}
