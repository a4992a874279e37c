//! The catalog: items that can be installed, global or of one tenant, and their versions.

mod body;

use axum::extract::State;

use self::body::{CatalogNew, CatalogPut, CatalogQuery, DeleteQuery, ItemQuery, VersionNew, VersionsQuery};
use super::answer::{Answer, Created, NoContent};
use super::caller::Caller;
use super::etag::IfMatch;
use super::extract::{Body, Path, Query};
use super::page::{Page, PageQuery, no_labels};
use super::problem::{Code, Problem};
use super::{Api, source};
use portcullis_access::Scope;
use portcullis_store::catalog::{self, Item, New, Reach, Release};
use portcullis_store::{Tx, tenants};

pub async fn list(
    State(api): State<Api>,
    caller: Caller,
    Query(query): Query<CatalogQuery>,
) -> Result<Answer<Page<Item>>, Problem> {
    let mut builder = query.page().builder()?;
    let scope = within(&caller, query.tenant_id.as_deref())?;
    let mut tx = api.ledger().read(&scope).await?;
    let tenant = seen_by(&mut tx, query.tenant_id.as_deref()).await?;
    let filter = query.filter(tenant);
    while let Some((after, limit)) = builder.next_query() {
        let rows = catalog::list(&mut tx, &filter, after.as_deref(), limit).await?;
        builder.add(rows, |item| &item.id, no_labels);
    }
    Ok(Answer::new(builder.build()))
}

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
                "is required with the scope `tenant`",
            ));
        }
        (Reach::Global, _) if new.tenant_id.is_some() => {
            let detail = "is not allowed with the scope `global`";
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
    source::item(&api, &mut tx, tenant.as_ref().map(|tenant| &*tenant.name), &new.source, "/source").await?;
    let (slug, version, source, details) = new.parts();
    let tenant = tenant.map(|tenant| tenant.id);
    let item = catalog::create(&mut tx, New { slug, tenant, details, version, source }).await?;
    let answer = Created::at(path(&item), item.clone(), item.version);
    caller.commit(tx, answer).await
}

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

pub async fn replace(
    State(api): State<Api>,
    caller: Caller,
    Path(slug): Path<String>,
    Query(query): Query<ItemQuery>,
    if_match: IfMatch,
    Body(put): Body<CatalogPut>,
) -> Result<Answer<Item>, Problem> {
    let (mut tx, was) = change(&api, &caller, &slug, query.tenant_id.as_deref()).await?;
    if_match.check(was.version)?;
    let item = catalog::update(&mut tx, &was, put.details()).await?;
    let version = item.version;
    caller.commit(tx, Answer::versioned(item, version)).await
}

pub async fn delete(
    State(api): State<Api>,
    caller: Caller,
    Path(slug): Path<String>,
    Query(query): Query<DeleteQuery>,
    if_match: IfMatch,
) -> Result<NoContent, Problem> {
    let force = query.force.unwrap_or_default();
    if force && caller.scope().tenant().is_some() {
        return Err(Problem::new(Code::Forbidden, "only administrators may use `force`"));
    }
    let (mut tx, was) = change(&api, &caller, &slug, query.tenant_id.as_deref()).await?;
    if_match.check(was.version)?;
    catalog::remove(&mut tx, &was, force).await?;
    caller.commit(tx, NoContent).await
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
    let item = catalog::get_and_lock(&mut tx, &item.id, tenant.as_deref()).await?;
    Ok((tx, item))
}

/// The caller's scope, in the tenant that is named where one is.
fn within(caller: &Caller, tenant: Option<&str>) -> Result<Scope, Problem> {
    tenant.map_or_else(|| Ok(caller.scope().clone()), |tenant| caller.scope_in(tenant))
}

async fn seen_by(tx: &mut Tx, named: Option<&str>) -> Result<Option<String>, Problem> {
    match named {
        Some(tenant) => Ok(Some(tenants::anywhere(tx, tenant).await?.id)),
        None => Ok(tx.tenant()),
    }
}

fn not_own() -> Problem {
    Problem::new(Code::Forbidden, "only administrators may publish and change global items")
}

fn path(item: &Item) -> String {
    format!("/api/v1/catalog/{}", item.id)
}

pub async fn versions(
    State(api): State<Api>,
    caller: Caller,
    Path(slug): Path<String>,
    Query(query): Query<VersionsQuery>,
) -> Result<Answer<Page<Release>>, Problem> {
    let mut builder = PageQuery { limit: query.limit, cursor: query.cursor }.builder()?.large();
    let (mut tx, item) = find(&api, &caller, &slug, query.tenant_id.as_deref()).await?;
    while let Some((after, limit)) = builder.next_query() {
        let rows = catalog::releases(&mut tx, &item, after.as_deref(), limit).await?;
        builder.add_large(rows, |release| &release.id, no_labels);
    }
    Ok(Answer::new(builder.build()))
}

pub async fn add(
    State(api): State<Api>,
    caller: Caller,
    Path(slug): Path<String>,
    Query(query): Query<ItemQuery>,
    Body(new): Body<VersionNew>,
) -> Result<Created<Release>, Problem> {
    let (mut tx, item) = change(&api, &caller, &slug, query.tenant_id.as_deref()).await?;
    let tenant = match &item.tenant_id {
        Some(tenant) => Some(tenants::anywhere(&mut tx, tenant).await?.name),
        None => None,
    };
    source::item(&api, &mut tx, tenant.as_deref(), &new.source, "/source").await?;
    let release = catalog::add(&mut tx, &item, &new.version, &new.source).await?;
    let answer = Created::fixed_at(format!("{}/versions", path(&item)), release);
    caller.commit(tx, answer).await
}
