//! A sandbox whose time is over can only be read, until it is deleted.

use serde_json::json;

use super::stage::{On, Stage, decides, said, soon};
use crate::support::wire::SANDBOX;

#[test]
fn a_sandbox_expires_and_is_deleted() {
    let stage = Stage::new(On::Sqlite);
    let api = stage.api();
    let gate = stage.remote(&api.api, &[]);
    stage.furnish(&api);
    decides(&gate, "before", "");
    // Nobody tells the gate when the time has come: it is in what it knows.
    let soon_ms = jiff::Timestamp::now().as_millisecond() + 2_000;
    stage.sql(&format!(
        "UPDATE sandboxes SET expires_at = {soon_ms}; UPDATE ledger SET revision = revision + 1; DELETE FROM changes"
    ));
    decides(&gate, "its time is over", "has expired and is being removed");
    let projects = "/api/v1/clusters/eu-1/tenants/acme/projects/shop/sandboxes";
    soon("it is deleted", || stage.call(&api, "GET", projects, None).1["items"] == json!([]));
    soon("and gone", || said(&gate, SANDBOX).contains("not registered"));
    let (_, audit) = stage.call(&api, "GET", "/api/v1/audit?action=sandbox.delete", None);
    assert_eq!(audit["items"][0]["actor"], "portcullis#reaper", "{audit}");
    // A new one may have its number, and its own time.
    stage.ok(&api, "POST", projects, json!({"ttlSeconds": 3600}));
    decides(&gate, "a new one", "");
}
