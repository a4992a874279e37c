//! An entry that gates cannot read, as rows from before or a hand in the database may leave it: its tenant stays where it
//! was, every other change is taken, and it is told.

use serde_json::json;

use super::stage::{On, SUSPENDED, Stage, decides, readiness, soon};

fn an_entry_does_not_read(on: On) {
    let stage = Stage::new(on);
    let api = stage.api();
    stage.furnish(&api);
    stage.tenant(&api, "eu-1", "globex");
    let gates = [stage.remote(&api.api, &[]), stage.gate(&[])];
    gates.iter().for_each(|gate| decides(gate, "before", ""));

    let sets = "/api/v1/clusters/eu-1/tenants/globex/policysets";
    stage.ok(&api, "POST", sets, json!({ "name": "x", "rules": [] }));
    stage.sql("UPDATE policysets SET name = 'No Label'");
    stage.ok(&api, "PATCH", "/api/v1/clusters/eu-1/tenants/globex", json!({ "registries": [] }));
    stage.suspend(&api, true);
    let late = [stage.remote(&api.api, &[]), stage.gate(&[])];
    for gate in gates.iter().chain(&late) {
        decides(gate, "another tenant's entry does not stop a suspension", SUSPENDED);
        soon("it is told", || {
            let (status, reason) = readiness(gate);
            status == 200 && reason.contains("1 tenants and 0 other entries stay at their last good state")
        });
        assert_eq!(gate.metric("portcullis_snapshot_held", &["kind=\"tenant\""]), 1);
    }
    stage.suspend(&api, false);
    gates.iter().chain(&late).for_each(|gate| decides(gate, "and the next change", ""));

    stage.sql("UPDATE policysets SET name = 'x'");
    stage.ok(&api, "PATCH", "/api/v1/clusters/eu-1/tenants/globex", json!({ "registries": null }));
    for gate in gates.iter().chain(&late) {
        soon("mended is told", || readiness(gate) == (200, String::new()));
        assert_eq!(gate.metric("portcullis_snapshot_held", &["kind=\"tenant\""]), 0);
    }
}

#[test]
fn entry_that_does_not_read_holds_its_tenant_alone_on_sqlite() {
    an_entry_does_not_read(On::Sqlite);
}

#[test]
fn entry_that_does_not_read_holds_its_tenant_alone_on_postgres() {
    an_entry_does_not_read(On::Postgres);
}
