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
use super::select::Select;

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
    let (own, text) = (tx.tenant(), filter.text.as_deref().map(anywhere));
    let seen = match filter.reach {
        None => {
            "(i.tenant_id = $? OR (i.tenant_id IS NULL AND NOT EXISTS \
             (SELECT 1 FROM catalog_items o WHERE o.tenant_id = $? AND o.slug = i.slug)))"
        }
        Some(_) => "(i.tenant_id = $? OR i.tenant_id IS NULL)",
    };
    let select = Select::new(row::select!("1 = 1"))
        .and("(i.tenant_id = $? OR i.tenant_id IS NULL)", own.as_deref())
        .and(seen, filter.tenant.as_deref())
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
    let tenant = own.as_deref().or(tenant);
    let own_item = match tenant {
        Some(tenant) => by_slug(tx, Some(tenant), item).await?,
        None => None,
    };
    let found = match own_item {
        Some(found) => Some(found),
        None => by_slug(tx, None, item).await?,
    };
    // By its id administrators reach any, whatever tenant they name.
    let seen = "(i.tenant_id = $? OR i.tenant_id IS NULL)";
    let by_id = Select::new(row::select!("1 = 1")).and("i.id = $?", Some(item)).and(seen, own.as_deref());
    let row = match found {
        Some(found) => Some(found),
        None => by_id.query_as::<Row>().fetch_optional(tx.sql()).await?,
    };
    row.map(Row::read).ok_or(StoreError::NotFound("catalog item"))
}

/// The item of this slug of a tenant, or the global one.
async fn by_slug(tx: &mut Tx, tenant: Option<&str>, slug: &str) -> Result<Option<Row>, StoreError> {
    let select = match tenant {
        Some(_) => Select::new(row::select!("1 = 1")).and("i.tenant_id = $?", tenant),
        None => Select::new(row::select!("i.tenant_id IS NULL")),
    };
    Ok(select.and("i.slug = $?", Some(slug)).query_as::<Row>().fetch_optional(tx.sql()).await?)
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
