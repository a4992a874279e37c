//! What has expired is deleted once, whoever looks, and recorded as the reaper's work.

use portcullis_access::{Action, Identity, Scope, authorize};
use portcullis_store::{Ledger, Options, StoreError, Tx, projects, reaper, sandboxes, tenants};

use super::world::World;

on_both!(what_has_expired_is_deleted_once);

fn scope(action: Action) -> Scope {
    authorize(&Identity::process("test"), action, Some("acme"), "request-1").unwrap()
}

/// Sandboxes of acme's shop, one for each time at which it expires, counted from now in milliseconds.
async fn furnished(world: &World, times: &[Option<i64>]) {
    let mut tx = world.write().await;
    sqlx::query("INSERT INTO clusters (id, created_at, updated_at, name) VALUES ($1, $2, $2, $3)")
        .bind(portcullis_store::new_id())
        .bind(tx.now())
        .bind("eu-1")
        .execute(tx.sql())
        .await
        .unwrap();
    tx.commit().await.unwrap();
    let named = tenants::New { name: "acme".to_owned(), ..tenants::New::default() };
    let mut tx = world.ledger.write(&scope(Action::TenantsCreate)).await.unwrap();
    let tenant = tenants::create(&mut tx, "eu-1", named).await.unwrap();
    tx.commit().await.unwrap();
    let named = projects::New { name: "shop".to_owned(), ..projects::New::default() };
    let mut tx = world.ledger.write(&scope(Action::ProjectsCreate)).await.unwrap();
    let project = projects::create(&mut tx, &tenant, &named).await.unwrap();
    for time in times {
        let expires_at = time.map(|time| tx.now() + time);
        sandboxes::create(&mut tx, (&tenant, &project), "", expires_at).await.unwrap();
    }
    tx.commit().await.unwrap();
}

async fn left(tx: &mut Tx) -> Result<Vec<i64>, StoreError> {
    Ok(sqlx::query_scalar("SELECT ordinal FROM sandboxes ORDER BY ordinal").fetch_all(tx.sql()).await?)
}

async fn what_has_expired_is_deleted_once(world: World) {
    furnished(&world, &[Some(-1), None, Some(-3_600_000), Some(3_600_000), Some(-5)]).await;
    let before = world.whole().await;
    // Three processes look at once.
    let others = [
        Ledger::open(&world.url, &Options::default()).await.unwrap(),
        Ledger::open(&world.url, &Options::default()).await.unwrap(),
    ];
    let (a, b, c) = tokio::join!(
        reaper::delete_expired_sandboxes(&world.ledger),
        reaper::delete_expired_sandboxes(&others[0]),
        reaper::delete_expired_sandboxes(&others[1])
    );
    assert_eq!(a.unwrap() + b.unwrap() + c.unwrap(), 3);
    assert_eq!(left(&mut world.read().await).await.unwrap(), [2, 4]);
    assert_eq!(reaper::delete_expired_sandboxes(&world.ledger).await.unwrap(), 0);
    let told = "SELECT COUNT(*) FROM audit_log WHERE action = 'sandbox.delete' AND actor = 'portcullis#reaper' AND result = 'ok'";
    assert_eq!(world.count(told).await, 3);
    let after = world.whole().await;
    assert_eq!(after["revision"].as_u64(), before["revision"].as_u64().map(|revision| revision + 3));
    let names: Vec<_> = after["namespaces"].as_object().unwrap().keys().collect();
    assert_eq!(names, ["tn-acme-shop-sbx-002", "tn-acme-shop-sbx-004"]);
    for other in others {
        other.close().await;
    }
}
