//! A ledger on either database, and things to put into it.

use std::future::Future;

use portcullis::access::{Action, Identity, Role, Scope, TenantRef, authorize};
use portcullis::store::audit::Entry;
use portcullis::store::{Ledger, Options, Part, Tx, new_id};
use serde_json::json;
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
        let ledger = Ledger::open(&url, &Options::default()).await.unwrap();
        Self { ledger, url, scratch: None, _dir: Some(dir) }
    }

    pub async fn postgres() -> Self {
        let scratch = Scratch::new();
        let url = scratch.url.clone();
        let ledger =
            Ledger::open(&url, &Options::default()).await.unwrap_or_else(|error| panic!("{error:?}"));
        Self { ledger, url, scratch: Some(scratch), _dir: None }
    }

    pub async fn write(&self) -> Tx {
        self.ledger.write(&admin()).await.unwrap()
    }
}

/// Runs a test on a world of its own.
pub fn run<M, T>(test: fn(World) -> T, make: fn() -> M)
where
    M: Future<Output = World>,
    T: Future<Output = ()>,
{
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build().unwrap();
    runtime.block_on(async { test(make().await).await });
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
    let id = new_id();
    let now = tx.now();
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
    tx.touch(Part::Tenant(slug.to_owned()));
    id
}
