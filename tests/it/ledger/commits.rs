//! What a commit is.

use portcullis::store::snapshot;

use super::on_both;
use super::world::{World, admin, tenant};

on_both!(a_commit_is_a_revision);

async fn a_commit_is_a_revision(world: World) {
    let mut heard = world.ledger.revision();
    assert_eq!(*heard.borrow_and_update(), 0);
    let mut tx = world.write().await;
    let id = tenant(&mut tx, "acme").await;
    assert_eq!(tx.commit().await.unwrap().revision, Some(1));
    assert_eq!(*heard.borrow_and_update(), 1);
    let mut tx = world.ledger.read(&admin()).await.unwrap();
    let document = snapshot::whole(&mut tx, None).await.unwrap();
    assert_eq!(document["tenants"]["acme"]["id"], id);
    assert_eq!(document["revision"], 1);
}
