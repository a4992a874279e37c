//! A ledger on either database, and things to put into it.

use std::future::Future;

use portcullis_access::{Action, Identity, Role, Scope, TenantRef, authorize};
use portcullis_store::{Entry, Kind, Ledger, Options, Part, Tx, new_id, snapshot};
use serde_json::{Value, json};
use sqlx::Connection as _;
use tempfile::TempDir;

use crate::support::postgres::Scratch;

/// A ledger of one test's own.
pub struct World {
    pub ledger: Ledger,
    pub url: String,
    pub scratch: Option<Scratch>,
    _dir: Option<TempDir>,
}

impl World {
    pub async fn sqlite() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}", dir.path().join("ledger.db").display());
        let ledger = open(&url).await;
        Self { ledger, url, scratch: None, _dir: Some(dir) }
    }

    pub async fn postgres() -> Self {
        let scratch = Scratch::new();
        let url = scratch.url.clone();
        let ledger = open(&url).await;
        Self { ledger, url, scratch: Some(scratch), _dir: None }
    }

    pub fn is_postgres(&self) -> bool {
        self.ledger.kind() == Kind::Postgres
    }

    /// The server's side of it; on PostgreSQL only.
    pub fn scratch(&self) -> &Scratch {
        self.scratch.as_ref().unwrap()
    }

    pub async fn write(&self) -> Tx {
        self.ledger.write(&admin()).await.unwrap()
    }

    pub async fn read(&self) -> Tx {
        self.ledger.read(&admin()).await.unwrap()
    }

    /// The document as it is now.
    pub async fn whole(&self) -> Value {
        serde_json::from_slice(&snapshot::whole(&mut self.read().await, None).await.unwrap()).unwrap()
    }

    /// A number that a statement answers.
    pub async fn count(&self, sql: &'static str) -> i64 {
        sqlx::query_scalar(sql).fetch_one(self.read().await.sql()).await.unwrap()
    }

    /// Statements past the ledger, as somebody who holds the database in hand: PostgreSQL's superuser, or whoever may
    /// write SQLite's file. What the database says against it.
    pub async fn raw(&self, sql: &str) -> Result<(), String> {
        match &self.scratch {
            Some(scratch) => scratch.try_sql(sql).map(drop),
            None => {
                let mut on = sqlx::SqliteConnection::connect(&self.url).await.unwrap();
                let done = sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&mut on).await;
                done.map(drop).map_err(|error| error.to_string())
            }
        }
    }
}

async fn open(url: &str) -> Ledger {
    Ledger::open(url, &Options::default()).await.unwrap_or_else(|error| panic!("{error}: {error:?}"))
}

/// Runs a test on a world of its own.
pub fn run<M, T>(test: fn(World) -> T, make: fn() -> M)
where
    M: Future<Output = World>,
    T: Future<Output = ()>,
{
    block_on(async { test(make().await).await });
}

pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build().unwrap();
    runtime.block_on(future)
}

pub fn admin() -> Scope {
    authorize(&Identity::process("test"), Action::TenantsList, None, "request-1").unwrap()
}

/// Somebody who owns one tenant.
pub fn owner(id: &str, slug: &str) -> Scope {
    let tenant = TenantRef { id: id.to_owned(), slug: slug.to_owned() };
    let who = Identity::known("issuer", "somebody").member(tenant, Role::TenantOwner, None);
    authorize(&who, Action::ProjectsList, Some(slug), "request-2").unwrap()
}

/// Makes a tenant.
pub async fn tenant(tx: &mut Tx, slug: &str) -> String {
    let (id, now) = (new_id(), tx.now());
    sqlx::query(
        "INSERT INTO tenants (id, created_at, updated_at, slug, dev_group, registries) VALUES ($1, $2, $2, $3, $4, $5)",
    )
    .bind(&id)
    .bind(now)
    .bind(slug)
    .bind(format!("{slug}-devs"))
    .bind("\"inherit\"")
    .execute(tx.sql())
    .await
    .unwrap();
    tx.audit(Entry::new("tenant.create", "tenant").of(&id, slug).tenant(&id).after(json!({ "slug": slug })));
    tx.mark_changed(Part::Tenant(slug.to_owned()));
    id
}

/// Makes a cluster.
pub async fn cluster(tx: &mut Tx, name: &str) -> String {
    let (id, now) = (new_id(), tx.now());
    sqlx::query("INSERT INTO clusters (id, created_at, updated_at, name) VALUES ($1, $2, $2, $3)")
        .bind(&id)
        .bind(now)
        .bind(name)
        .execute(tx.sql())
        .await
        .unwrap();
    id
}

/// Puts a tenant on a cluster.
pub async fn join(tx: &mut Tx, tenant: &str, cluster: &str) {
    let now = tx.now();
    sqlx::query(
        "INSERT INTO tenant_clusters (tenant_id, cluster_id, is_primary, created_at) VALUES ($1, $2, 0, $3)",
    )
    .bind(tenant)
    .bind(cluster)
    .bind(now)
    .execute(tx.sql())
    .await
    .unwrap();
}

/// Slugs of a tenant and a project, and the ids of both and of the cluster.
#[derive(Clone)]
pub struct Place {
    pub tenant: String,
    pub project: String,
    pub tenant_id: String,
    pub project_id: String,
    pub cluster_id: String,
}

/// Makes a project of a tenant that is on the cluster.
pub async fn project(tx: &mut Tx, tenant: (&str, &str), slug: &str, cluster_id: &str) -> Place {
    let (project_id, now) = (new_id(), tx.now());
    sqlx::query(
        "INSERT INTO projects (id, created_at, updated_at, tenant_id, slug) VALUES ($1, $2, $2, $3, $4)",
    )
    .bind(&project_id)
    .bind(now)
    .bind(tenant.0)
    .bind(slug)
    .execute(tx.sql())
    .await
    .unwrap();
    tx.mark_changed(Part::Project(tenant.1.to_owned(), slug.to_owned()));
    Place {
        tenant: tenant.1.to_owned(),
        project: slug.to_owned(),
        tenant_id: tenant.0.to_owned(),
        project_id,
        cluster_id: cluster_id.to_owned(),
    }
}

/// Makes an app, without its namespace.
pub async fn app(tx: &mut Tx, place: &Place, slug: &str) -> String {
    let (id, now) = (new_id(), tx.now());
    sqlx::query(
        "INSERT INTO apps (id, created_at, updated_at, tenant_id, project_id, cluster_id, slug, spec, source_kind) \
         VALUES ($1, $2, $2, $3, $4, $5, $6, '{}', 'containerImage')",
    )
    .bind(&id)
    .bind(now)
    .bind(&place.tenant_id)
    .bind(&place.project_id)
    .bind(&place.cluster_id)
    .bind(slug)
    .execute(tx.sql())
    .await
    .unwrap();
    tx.mark_changed(Part::App(place.tenant.clone(), place.project.clone(), slug.to_owned()));
    id
}

/// Makes a sandbox, without its namespace.
pub async fn sandbox(tx: &mut Tx, place: &Place, ordinal: i64, expires_at: Option<i64>) -> String {
    let (id, now) = (new_id(), tx.now());
    sqlx::query(
        "INSERT INTO sandboxes (id, created_at, updated_at, tenant_id, project_id, cluster_id, ordinal, expires_at) \
         VALUES ($1, $2, $2, $3, $4, $5, $6, $7)",
    )
    .bind(&id)
    .bind(now)
    .bind(&place.tenant_id)
    .bind(&place.project_id)
    .bind(&place.cluster_id)
    .bind(ordinal)
    .bind(expires_at)
    .execute(tx.sql())
    .await
    .unwrap();
    id
}

/// Makes the namespace of an app or of a sandbox.
pub async fn namespace(
    tx: &mut Tx,
    place: &Place,
    end: &str,
    app: Option<&str>,
    sandbox: Option<&str>,
) -> String {
    let name = format!("tn-{}-{}-{end}", place.tenant, place.project);
    let now = tx.now();
    sqlx::query(
        "INSERT INTO namespaces (id, created_at, updated_at, tenant_id, project_id, cluster_id, name, kind, app_id, \
         sandbox_id) VALUES ($1, $2, $2, $3, $4, $5, $6, $7, $8, $9)",
    )
    .bind(new_id())
    .bind(now)
    .bind(&place.tenant_id)
    .bind(&place.project_id)
    .bind(&place.cluster_id)
    .bind(&name)
    .bind(if app.is_some() { "app" } else { "sandbox" })
    .bind(app)
    .bind(sandbox)
    .execute(tx.sql())
    .await
    .unwrap();
    tx.mark_changed(Part::Namespace(name.clone()));
    name
}

/// Changes something with one parameter.
pub async fn change(tx: &mut Tx, sql: &'static str, parameter: &str) -> u64 {
    sqlx::query(sql).bind(parameter).execute(tx.sql()).await.unwrap().rows_affected()
}

/// A world of some size: tenants `t0`…, each with a project `shop`, an app `web` and a sandbox, all on cluster `one`.
pub async fn fill(world: &World, tenants: usize) -> Vec<Place> {
    let mut tx = world.write().await;
    let cluster = cluster(&mut tx, "one").await;
    let mut places = Vec::new();
    for number in 0..tenants {
        let slug = format!("t{number}");
        let id = tenant(&mut tx, &slug).await;
        join(&mut tx, &id, &cluster).await;
        let place = project(&mut tx, (&id, &slug), "shop", &cluster).await;
        let web = app(&mut tx, &place, "web").await;
        namespace(&mut tx, &place, "app-web", Some(&web), None).await;
        let sandbox = sandbox(&mut tx, &place, 1, None).await;
        namespace(&mut tx, &place, "sbx-001", None, Some(&sandbox)).await;
        places.push(place);
    }
    tx.commit().await.unwrap();
    places
}
