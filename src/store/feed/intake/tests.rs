use std::sync::Mutex;
use std::time::Duration;

use serde_json::json;

use super::*;
use portcullis_lifecycle::ready::Readiness;

fn snapshot(ledger: u8, revision: u64, status: &str) -> Snapshot {
    let id = |n: u8| format!("018f2b7c-0000-7000-8000-0000000000{n:02x}");
    let document = json!({"ledger": id(ledger), "revision": revision, "tenants": {"acme": {"id": id(99), "status": status}}});
    Snapshot::of("test", document).unwrap()
}

/// An intake, and what it let in: revisions, and whether as a change.
type Seen = Arc<Mutex<Vec<(u64, bool)>>>;

fn intake() -> (Intake, Seen) {
    let readiness = Readiness::new();
    let health = Health::new(readiness.condition("tenancy", "?"), Duration::from_mins(1));
    let seen = Arc::new(Mutex::new(Vec::new()));
    let told = Arc::clone(&seen);
    let enter: Enter = Box::new(move |snapshot, changes| {
        told.lock().unwrap().push((snapshot.revision, changes.is_some()));
    });
    (Intake::new(enter, health), seen)
}

#[test]
fn a_ledger_does_not_go_back_but_another_one_may_begin_anywhere() {
    let (mut intake, seen) = intake();
    assert_eq!(intake.whole(snapshot(1, 9, "active"), Held::default()).unwrap(), Offer::New);
    assert!(matches!(
        intake.whole(snapshot(1, 8, "active"), Held::default()),
        Err(Refused::Older { current: 9, offered: 8 })
    ));
    assert_eq!(intake.whole(snapshot(1, 9, "active"), Held::default()).unwrap(), Offer::Same);
    assert_eq!(intake.whole(snapshot(1, 9, "suspended"), Held::default()).unwrap(), Offer::Different);
    assert_eq!(intake.whole(snapshot(2, 3, "active"), Held::default()).unwrap(), Offer::New);
    assert_eq!(*seen.lock().unwrap(), [(9, false), (9, false), (3, false)]);
    assert_eq!(intake.position().unwrap().revision, 3);
}

#[test]
fn a_change_is_taken_where_it_follows_and_holds() {
    let (mut intake, seen) = intake();
    let patch = json!({"tenants": {"acme": {"status": "suspended"}}});
    assert!(matches!(intake.change(1, 2, None, &patch), Err(Refused::Gap { since: 1 })));
    intake.whole(snapshot(1, 1, "active"), Held::default()).unwrap();
    assert!(matches!(intake.change(2, 3, None, &patch), Err(Refused::Gap { since: 2 })));
    let wrong = json!({"projects": {"nobody/shop": {"id": "018f2b7c-0000-7000-8000-000000000098"}}});
    assert!(matches!(intake.change(1, 2, None, &wrong), Err(Refused::Invalid(_))));
    intake.change(1, 4, None, &patch).unwrap();
    assert_eq!(*seen.lock().unwrap(), [(1, false), (4, true)]);
    assert_eq!(intake.latest().borrow().as_ref().unwrap().revision, 4);
}

#[test]
fn another_history_of_the_same_revision_is_taken_and_told() {
    let with = |digest: Option<&str>, status| {
        let mut snapshot = snapshot(1, 9, status);
        snapshot.digest = digest.map(Into::into);
        snapshot
    };
    let (mut intake, seen) = intake();
    let mut offer = |digest, status| intake.whole(with(digest, status), Held::default()).unwrap();
    assert_eq!(offer(None, "active"), Offer::New);
    assert_eq!(offer(Some("a"), "active"), Offer::Same, "only now its digest is known");
    assert_eq!(offer(Some("b"), "active"), Offer::Fork, "even where the documents are the same");
    assert_eq!(offer(Some("b"), "suspended"), Offer::Different);
    assert_eq!(seen.lock().unwrap().len(), 3);
    assert_eq!(intake.position().unwrap().digest, Some("b"));
    let patch = json!({"tenants": {"acme": {"status": "active"}}});
    intake.change(9, 10, Some("c".into()), &patch).unwrap();
    assert_eq!(intake.position().unwrap().digest, Some("c"));
    assert_eq!(intake.latest().borrow().as_ref().unwrap().digest.as_deref(), Some("c"));
}
