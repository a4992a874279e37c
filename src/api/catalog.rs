//! The catalog: what can be installed, for everybody or for one tenant.

mod body;
mod versions;

pub use body::{CatalogNew, CatalogPut, CatalogQuery, DeleteQuery, ItemQuery, VersionNew};
pub use versions::{VersionsQuery, add, versions};

use axum::extract::State;

use super::Api;
use super::answer::{Answer, Created, Done};
use super::body::{Body, Path, Query};
use super::caller::Caller;
use super::etag::IfMatch;
use super::page::Page;
use super::problem::{Code, Problem};
use super::source::check;
use super::turn::no_labels;
use portcullis_access::Scope;
use portcullis_store::catalog::{self, Item, New, Reach};
use portcullis_store::{Tx, tenants};

/// Lists the catalog as the caller's tenant sees it, or the tenant that the query names.
pub async fn list(
    State(api): State<Api>,
    caller: Caller,
    Query(query): Query<CatalogQuery>,
) -> Result<Answer<Page<Item>>, Problem> {
    let mut filling = query.turn().filling()?;
    let scope = within(&caller, query.tenant_id.as_deref())?;
    let mut tx = api.ledger().read(&scope).await?;
    let tenant = seen_by(&mut tx, query.tenant_id.as_deref()).await?;
    let filter = query.filter(tenant);
    while let Some((after, limit)) = filling.wants() {
        let rows = catalog::list(&mut tx, &filter, after.as_deref(), limit).await?;
        filling.take(rows, |item| &item.id, no_labels);
    }
    Ok(Answer::new(filling.page()))
}

/// Publishes an item with its first version.
pub async fn create(
    State(api): State<Api>,
    caller: Caller,
    Body(new): Body<CatalogNew>,
) -> Result<Created<Item>, Problem> {
    let (reach, named) = (new.scope, new.tenant_id.clone());
    let own = caller.scope().tenant().map(str::to_owned);
    let named = match (reach, named.or(own)) {
        (Reach::Tenant, Some(tenant)) => Some(tenant),
        (Reach::Tenant, None) => {
            return Err(Problem::meaning(
                Code::UnprocessableEntity,
                "/tenantId",
                "is needed with this scope",
            ));
        }
        (Reach::Global, _) if new.tenant_id.is_some() => {
            let detail = "has no place in an item that is everybody's";
            return Err(Problem::meaning(Code::UnprocessableEntity, "/tenantId", detail));
        }
        (Reach::Global, _) => None,
    };
    if reach == Reach::Global && caller.scope().tenant().is_some() {
        return Err(not_own());
    }
    let scope = within(&caller, named.as_deref())?;
    let mut tx = api.ledger().write(&scope).await?;
    let tenant = match &named {
        Some(tenant) => Some(tenants::change_anywhere(&mut tx, tenant).await?),
        None => None,
    };
    check::item(&api, &mut tx, tenant.as_ref().map(|tenant| &*tenant.name), &new.source, "/source").await?;
    let (slug, version, source, about) = new.parts();
    let tenant = tenant.map(|tenant| tenant.id);
    let item = catalog::create(&mut tx, New { slug, tenant, about, version, source }).await?;
    let answer = Created::at(path(&item), item.clone(), item.version);
    caller.commit(tx, answer).await
}

/// Shows an item; a tenant's own before the global one.
pub async fn get(
    State(api): State<Api>,
    caller: Caller,
    Path(slug): Path<String>,
    Query(query): Query<ItemQuery>,
) -> Result<Answer<Item>, Problem> {
    let (_, item) = find(&api, &caller, &slug, query.tenant_id.as_deref()).await?;
    let version = item.version;
    Ok(Answer::versioned(item, version))
}

/// Replaces what is said of an item.
pub async fn replace(
    State(api): State<Api>,
    caller: Caller,
    Path(slug): Path<String>,
    Query(query): Query<ItemQuery>,
    wanted: IfMatch,
    Body(put): Body<CatalogPut>,
) -> Result<Answer<Item>, Problem> {
    let (mut tx, was) = change(&api, &caller, &slug, query.tenant_id.as_deref()).await?;
    wanted.check(was.version)?;
    let item = catalog::amend(&mut tx, &was, put.about()).await?;
    let version = item.version;
    caller.commit(tx, Answer::versioned(item, version)).await
}

/// Takes an item from the catalog.
pub async fn delete(
    State(api): State<Api>,
    caller: Caller,
    Path(slug): Path<String>,
    Query(query): Query<DeleteQuery>,
    wanted: IfMatch,
) -> Result<Done, Problem> {
    let force = query.force.unwrap_or_default();
    if force && caller.scope().tenant().is_some() {
        return Err(Problem::new(Code::Forbidden, "`force` is an administrator's"));
    }
    let (mut tx, was) = change(&api, &caller, &slug, query.tenant_id.as_deref()).await?;
    wanted.check(was.version)?;
    catalog::remove(&mut tx, &was, force).await?;
    caller.commit(tx, Done).await
}

/// An item as a tenant sees it, and the transaction that has read it.
async fn find(api: &Api, caller: &Caller, slug: &str, tenant: Option<&str>) -> Result<(Tx, Item), Problem> {
    let scope = within(caller, tenant)?;
    let mut tx = api.ledger().read(&scope).await?;
    let tenant = seen_by(&mut tx, tenant).await?;
    let item = catalog::get(&mut tx, slug, tenant.as_deref()).await?;
    Ok((tx, item))
}

/// An item that the caller may change, and the transaction to change it in. Its tenant is locked.
async fn change(api: &Api, caller: &Caller, slug: &str, tenant: Option<&str>) -> Result<(Tx, Item), Problem> {
    let scope = within(caller, tenant)?;
    let mut tx = api.ledger().write(&scope).await?;
    let tenant = seen_by(&mut tx, tenant).await?;
    let item = catalog::get(&mut tx, slug, tenant.as_deref()).await?;
    match &item.tenant_id {
        Some(tenant) => drop(tenants::change_anywhere(&mut tx, tenant).await?),
        None if scope.tenant().is_some() => return Err(not_own()),
        None => {}
    }
    let item = catalog::locked(&mut tx, &item.id, tenant.as_deref()).await?;
    Ok((tx, item))
}

/// The caller's scope, in the tenant that is named where one is.
fn within(caller: &Caller, tenant: Option<&str>) -> Result<Scope, Problem> {
    tenant.map_or_else(|| Ok(caller.scope().clone()), |tenant| caller.scope_in(tenant))
}

/// Id of the tenant whose view of the catalog is asked for.
async fn seen_by(tx: &mut Tx, named: Option<&str>) -> Result<Option<String>, Problem> {
    match named {
        Some(tenant) => Ok(Some(tenants::anywhere(tx, tenant).await?.id)),
        None => Ok(tx.tenant()),
    }
}

fn not_own() -> Problem {
    Problem::new(Code::Forbidden, "items of everybody's are an administrator's to publish and change")
}

fn path(item: &Item) -> String {
    format!("/api/v1/catalog/{}", item.id)
}
