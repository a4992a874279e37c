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

/// Applied revisions, and whether as a change.
type AppliedRevisions = Arc<Mutex<Vec<(u64, bool)>>>;

fn applier() -> (SnapshotApplier, AppliedRevisions) {
    let readiness = Readiness::new();
    let health = Health::new(readiness.condition("tenancy", "?"), Duration::from_mins(1));
    let applied = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&applied);
    let on_snapshot: OnSnapshot = Box::new(move |snapshot, changes| {
        log.lock().unwrap().push((snapshot.revision, changes.is_some()));
    });
    (SnapshotApplier::new(on_snapshot, health), applied)
}

#[test]
fn older_revision_is_rejected_unless_the_ledger_differs() {
    let (mut applier, applied) = applier();
    assert_eq!(applier.whole(snapshot(1, 9, "active"), Fallbacks::default()).unwrap(), Comparison::New);
    assert!(matches!(
        applier.whole(snapshot(1, 8, "active"), Fallbacks::default()),
        Err(ApplyError::Older { current: 9, offered: 8 })
    ));
    assert_eq!(applier.whole(snapshot(1, 9, "active"), Fallbacks::default()).unwrap(), Comparison::Same);
    assert_eq!(
        applier.whole(snapshot(1, 9, "suspended"), Fallbacks::default()).unwrap(),
        Comparison::Different
    );
    assert_eq!(applier.whole(snapshot(2, 3, "active"), Fallbacks::default()).unwrap(), Comparison::New);
    assert_eq!(*applied.lock().unwrap(), [(9, false), (9, false), (3, false)]);
    assert_eq!(applier.position().unwrap().revision, 3);
}

#[test]
fn change_is_applied_if_it_follows_and_is_valid() {
    let (mut applier, applied) = applier();
    let patch = json!({"tenants": {"acme": {"status": "suspended"}}});
    assert!(matches!(applier.change(1, 2, None, &patch), Err(ApplyError::Gap { since: 1 })));
    applier.whole(snapshot(1, 1, "active"), Fallbacks::default()).unwrap();
    assert!(matches!(applier.change(2, 3, None, &patch), Err(ApplyError::Gap { since: 2 })));
    let wrong = json!({"projects": {"missing/shop": {"id": "018f2b7c-0000-7000-8000-000000000098"}}});
    assert!(matches!(applier.change(1, 2, None, &wrong), Err(ApplyError::Invalid(_))));
    applier.change(1, 4, None, &patch).unwrap();
    assert_eq!(*applied.lock().unwrap(), [(1, false), (4, true)]);
    assert_eq!(applier.latest().borrow().as_ref().unwrap().revision, 4);
}

#[test]
fn other_history_of_the_same_revision_is_applied() {
    let with = |digest: Option<&str>, status| {
        let mut snapshot = snapshot(1, 9, status);
        snapshot.digest = digest.map(Into::into);
        snapshot
    };
    let (mut applier, applied) = applier();
    let mut compare = |digest, status| applier.whole(with(digest, status), Fallbacks::default()).unwrap();
    assert_eq!(compare(None, "active"), Comparison::New);
    assert_eq!(compare(Some("a"), "active"), Comparison::Same, "its digest was unknown before");
    assert_eq!(compare(Some("b"), "active"), Comparison::Fork, "although the documents are equal");
    assert_eq!(compare(Some("b"), "suspended"), Comparison::Different);
    assert_eq!(applied.lock().unwrap().len(), 3);
    assert_eq!(applier.position().unwrap().digest, Some("b"));
    let patch = json!({"tenants": {"acme": {"status": "active"}}});
    applier.change(9, 10, Some("c".into()), &patch).unwrap();
    assert_eq!(applier.position().unwrap().digest, Some("c"));
    assert_eq!(applier.latest().borrow().as_ref().unwrap().digest.as_deref(), Some("c"));
}
