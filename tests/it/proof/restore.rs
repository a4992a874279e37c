//! The ledger is put back, and the gates' token ends, while reviews go on.

use std::time::Instant;

use serde_json::Value;

use super::Scale;
use super::events::{MOMENTS, What, change, followed, revision, seen};
use super::load::Running;
use super::replica::Replica;
use super::stage::Stage;
use crate::support::{portcullis, wait};

/// The ledger is backed up while it is served, goes on, and is restored under its API: every replica takes what is there.
pub async fn restored(stage: &mut Stage, _: &Running, scale: &Scale) -> What {
    let (file, url) = (stage.path("ledger.backup.gz"), stage.ledger.url.clone());
    let _ = std::fs::remove_file(&file);
    command(&["backup", &file.display().to_string(), "--database", &url]);
    let lost = scale.changes.min(100);
    (0..lost).for_each(|n| change(stage, n));
    let before = followed(stage);
    let ledger = stage.ledger.ok(&stage.api, "GET", "/api/v1/snapshot", Value::Null)["ledger"].clone();
    command(&[
        "restore",
        &file.display().to_string(),
        "--replace",
        ledger.as_str().unwrap(),
        "--database",
        &url,
    ]);
    let committed = Instant::now();
    let has = |replica: &Replica| replica.metric("portcullis_snapshot_revision", &[]) > before;
    wait(MOMENTS, || stage.replicas.iter().all(has).then_some(()));
    let took = committed.elapsed().as_millis();
    let forks: f64 =
        stage.replicas.iter().map(|replica| replica.metric("portcullis_snapshot_forks_total", &[])).sum();
    assert!(forks < 0.5, "it has a new id");
    change(stage, 1);
    followed(stage);
    stage.ledger.verified();
    seen(format!(
        "written while it was served; {lost} changes after it undone; at three replicas {took} ms after the restore, which then followed again"
    ))
}

/// The token with which the gates ask the ledger ends, and is replaced.
pub async fn token_ended(stage: &mut Stage, _: &Running, _: &Scale) -> What {
    const EXPIRY: &str = "portcullis_ledger_token_expiry_timestamp_seconds";
    // {"exp":1767225600}, which was over before this test was written.
    put_token(stage, "e30.eyJleHAiOjE3NjcyMjU2MDB9.c2ln");
    let says = |replica: &Replica| (replica.metric(EXPIRY, &[]) - 1_767_225_600.0).abs() < 1.0;
    wait(MOMENTS, || stage.replicas.iter().all(says).then_some(()));
    // What waits was let in with the old one; from the next question on nothing is heard.
    let refused = |replica: &Replica| replica.told().contains("UNAUTHORIZED");
    wait(MOMENTS, || {
        change(stage, 0);
        stage.replicas.iter().all(refused).then_some(())
    });
    assert!(
        stage.replicas.iter().all(|replica| stage.balancer.is_ready(&replica.name)),
        "they go on deciding"
    );
    change(stage, 1);
    let newest = revision(stage);
    let behind =
        stage.replicas.iter().filter(|gate| gate.metric("portcullis_snapshot_revision", &[]) < newest);
    let behind = behind.count();
    put_token(stage, &stage.ledger.token("gate", "service"));
    followed(stage);
    seen(format!(
        "told by three replicas, which stayed ready; {behind} of them were behind, and followed again with a new token"
    ))
}

fn put_token(stage: &Stage, token: &str) {
    std::fs::write(stage.path("token.part"), token).unwrap();
    std::fs::rename(stage.path("token.part"), stage.path("token")).unwrap();
}

fn command(words: &[&str]) {
    let done = portcullis().args(words).output().unwrap();
    assert!(done.status.success(), "{words:?}: {}", String::from_utf8_lossy(&done.stderr));
}
