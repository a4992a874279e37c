//! A locked file, a full one, a connection that is killed: nothing half done, and no hanging.

use std::time::{Duration, Instant};

use portcullis_store::{Ledger, Options, StoreError};
use sqlx::Connection as _;

use super::world::{World, admin, block_on, owner, tenant};

#[test]
fn a_locked_file_is_said_and_not_waited_for() {
    block_on(async {
        let world = World::sqlite().await;
        let options = Options { wait_timeout: Duration::from_millis(300), ..Options::default() };
        let ledger = Ledger::open(&world.url, &options).await.unwrap();
        let mut other = sqlx::SqliteConnection::connect(&world.url).await.unwrap();
        sqlx::raw_sql("BEGIN IMMEDIATE").execute(&mut other).await.unwrap();
        let begun = Instant::now();
        let refused = ledger.write(&admin()).await.map(drop);
        assert!(matches!(refused, Err(StoreError::Unavailable { .. })), "{refused:?}");
        assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
        let mut tx = ledger.read(&admin()).await.unwrap();
        tx.ledger().await.expect("readers do not wait");
        sqlx::raw_sql("ROLLBACK").execute(&mut other).await.unwrap();
        ledger.write(&admin()).await.expect("once it is free");
    });
}

/// SQLite's own word for a full disk (`SQLITE_FULL`), as it says it when its file may have no more pages.
#[test]
fn a_full_file_is_said_and_takes_more_later() {
    block_on(async {
        let world = World::sqlite().await;
        let options = Options { connections: 1, ..Options::default() };
        let ledger = Ledger::open(&world.url, &options).await.unwrap();
        let mut tx = ledger.write(&admin()).await.unwrap();
        let pages: i64 = sqlx::query_scalar("PRAGMA page_count").fetch_one(tx.sql()).await.unwrap();
        let bound = format!("PRAGMA max_page_count = {pages}");
        sqlx::raw_sql(sqlx::AssertSqlSafe(bound)).execute(tx.sql()).await.unwrap();
        tx.rollback().await.unwrap();
        let mut tx = ledger.write(&admin()).await.unwrap();
        tenant(&mut tx, "acme").await;
        let long = "x".repeat(64 * 1024);
        let grown = sqlx::query("UPDATE tenants SET annotations = $1").bind(long).execute(tx.sql()).await;
        let refused = grown.map(drop).map_err(StoreError::from);
        assert!(matches!(&refused, Err(error) if error.is_transient()), "{refused:?}");
        drop(tx);
        assert_eq!(world.count("SELECT COUNT(*) FROM tenants").await, 0);
        let mut tx = ledger.write(&admin()).await.unwrap();
        sqlx::raw_sql("PRAGMA max_page_count = 1000000").execute(tx.sql()).await.unwrap();
        tenant(&mut tx, "acme").await;
        tx.commit().await.unwrap();
        assert_eq!(world.whole().await["revision"], 1);
    });
}

#[test]
fn a_connection_that_is_killed_leaves_nothing_half_done() {
    block_on(async {
        let world = World::postgres().await;
        let kill = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()";
        let mut tx = world.write().await;
        tenant(&mut tx, "acme").await;
        world.scratch().sql(kill);
        let lost = tx.commit().await;
        assert!(matches!(&lost, Err(error) if error.is_transient()), "{lost:?}");
        // The dead connections of the pool are nobody's trouble but the pool's.
        assert_eq!(world.whole().await["revision"], 0);
        assert_eq!(world.count("SELECT COUNT(*) FROM tenants").await, 0);
        let mut tx = world.write().await;
        let id = tenant(&mut tx, "acme").await;
        tx.commit().await.unwrap();
        for _ in 0..20 {
            world.scratch().sql(kill);
            world.ledger.read(&owner(&id, "acme")).await.expect("idle connections that died are replaced");
        }
    });
}
