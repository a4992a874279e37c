//! What a commit is: a revision and an audit row, or nothing of it.

use portcullis_store::{Entry, Part, StoreError};

use super::world::{World, admin, change, tenant};

on_both!(
    a_commit_is_a_revision,
    what_is_dropped_leaves_nothing,
    revisions_have_the_order_of_commits,
    a_reading_transaction_changes_nothing,
    a_refused_statement_and_a_commit_are_no_success,
);

async fn a_commit_is_a_revision(world: World) {
    let mut heard = world.ledger.revision();
    assert_eq!(*heard.borrow_and_update(), 0);
    let mut tx = world.write().await;
    let id = tenant(&mut tx, "acme").await;
    assert_eq!(tx.commit().await.unwrap().revision, Some(1));
    assert_eq!(*heard.borrow_and_update(), 1);
    let document = world.whole().await;
    assert_eq!(document["tenants"]["acme"]["id"], id);
    assert_eq!(document["revision"], 1);

    let mut tx = world.write().await;
    change(&mut tx, "UPDATE tenants SET display_name = 'Acme' WHERE id = $1", &id).await;
    assert_eq!(tx.commit().await.unwrap().revision, None, "nothing of the snapshot was touched");
    assert!(!heard.has_changed().unwrap());
}

async fn what_is_dropped_leaves_nothing(world: World) {
    let mut tx = world.write().await;
    tenant(&mut tx, "acme").await;
    drop(tx);
    let mut tx = world.write().await;
    tenant(&mut tx, "acme").await;
    tx.rollback().await.unwrap();
    assert_eq!(world.count("SELECT COUNT(*) FROM tenants").await, 0);
    assert_eq!(world.count("SELECT COUNT(*) FROM audit_log").await, 0);
    assert_eq!(world.whole().await["revision"], 0);
}

async fn revisions_have_the_order_of_commits(world: World) {
    const WRITERS: usize = 60;
    let writers: Vec<_> = (0..WRITERS)
        .map(|number| {
            let ledger = world.ledger.clone();
            tokio::spawn(async move {
                let mut tx = ledger.write(&admin()).await.unwrap();
                tenant(&mut tx, &format!("w{number}")).await;
                tx.commit().await.unwrap().revision.unwrap()
            })
        })
        .collect();
    // Whoever sees revision n sees what each of the n commits made: one tenant and one audit row.
    loop {
        let mut tx = world.read().await;
        let revision = tx.ledger().await.unwrap().revision;
        for table in
            ["SELECT COUNT(*) FROM tenants", "SELECT COUNT(*) FROM audit_log", "SELECT COUNT(*) FROM changes"]
        {
            let count: i64 = sqlx::query_scalar(table).fetch_one(tx.sql()).await.unwrap();
            assert_eq!(count, i64::try_from(revision).unwrap(), "{table}");
        }
        if revision == WRITERS as u64 {
            break;
        }
    }
    let mut revisions = Vec::new();
    for writer in writers {
        revisions.push(writer.await.unwrap());
    }
    revisions.sort_unstable();
    assert_eq!(revisions, (1..=WRITERS as u64).collect::<Vec<_>>());
    assert_eq!(*world.ledger.revision().borrow(), WRITERS as u64);
}

async fn a_reading_transaction_changes_nothing(world: World) {
    let mut tx = world.read().await;
    tx.mark_changed(Part::Settings);
    assert!(matches!(tx.commit().await, Err(StoreError::ReadOnly)));
    let mut tx = world.read().await;
    tx.audit(Entry::new("tenant.create", "tenant"));
    assert!(matches!(tx.commit().await, Err(StoreError::ReadOnly)));
    assert_eq!(world.whole().await["revision"], 0);
}

async fn a_refused_statement_and_a_commit_are_no_success(world: World) {
    let mut tx = world.write().await;
    tenant(&mut tx, "acme").await;
    tx.commit().await.unwrap();
    let mut tx = world.write().await;
    let taken = sqlx::query("UPDATE plans SET name = 'gold'").execute(tx.sql()).await;
    assert!(matches!(taken.map_err(StoreError::from), Err(StoreError::Conflict { .. })));
    let done = tx.commit().await;
    // PostgreSQL gives the transaction up with the statement. SQLite takes back the statement alone.
    assert_eq!(done.is_err(), world.is_postgres());
    assert_eq!(world.count("SELECT COUNT(*) FROM plans WHERE name = 'gold'").await, 1);
}
