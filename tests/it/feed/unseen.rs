//! A tenant's group that the conditions of the webhooks do not match, or another KubeVela: no gate takes it, and says so.

use serde_json::json;

use super::stage::{On, SUSPENDED, Stage, decides, readiness, soon};
use crate::support::{Gate, Options, root};

const GLOBEX: &str = "/api/v1/clusters/eu-1/tenants/globex";

fn a_group_without_the_suffix(on: On) {
    let stage = Stage::new(on);
    let api = stage.api();
    stage.furnish(&api);
    stage.tenant(&api, "eu-1", "globex");
    let gates = [stage.remote(&api.api, &[]), stage.gate(&[])];
    let unbound = stage.gate(&["--webhook-tenant-suffix", ""]);
    gates.iter().for_each(|gate| decides(gate, "before", ""));

    // An API without a gate knows of no registration and takes it; the gates know one.
    stage.sql("UPDATE tenants SET dev_group = 'globex-people' WHERE slug = 'globex'");
    stage.ok(&api, "PATCH", GLOBEX, json!({ "registries": [] }));
    stage.suspend(&api, true);
    let late = [stage.remote(&api.api, &[]), stage.gate(&[])];
    for gate in gates.iter().chain(&late) {
        decides(gate, "every other change is taken", SUSPENDED);
        soon("it is told", || {
            let (status, reason) = readiness(gate);
            status == 200 && reason.contains("1 tenants and 0 other entries stay at their last good state")
        });
        assert_eq!(gate.metric("portcullis_snapshot_held", &["kind=\"tenant\""]), 1);
        let told = gate.told().join("\n");
        assert!(told.contains("`globex-people` is not matched by the webhooks"), "{told}");
        assert!(told.contains("--webhook-tenant-suffix"), "{told}");
    }
    decides(&unbound, "a gate whose registration asks for no group", SUSPENDED);
    assert_eq!(unbound.metric("portcullis_snapshot_held", &["kind=\"tenant\""]), 0);
    stage.sql("UPDATE tenants SET dev_group = 'globex-devs' WHERE slug = 'globex'");
    stage.ok(&api, "PATCH", GLOBEX, json!({ "registries": null }));
    for gate in gates.iter().chain(&late) {
        soon("mended is told", || readiness(gate) == (200, String::new()));
        assert_eq!(gate.metric("portcullis_snapshot_held", &["kind=\"tenant\""]), 0);
    }
}

#[test]
fn group_without_the_suffix_holds_its_tenant_alone_on_sqlite() {
    a_group_without_the_suffix(On::Sqlite);
}

#[test]
fn group_without_the_suffix_holds_its_tenant_alone_on_postgres() {
    a_group_without_the_suffix(On::Postgres);
}

#[test]
fn api_that_knows_the_registration_refuses_the_group() {
    let stage = Stage::new(On::Sqlite);
    let api = stage.api_with(&["--webhook-tenant-suffix=-people"], true);
    stage.ok(&api, "POST", "/api/v1/clusters", json!({ "name": "eu-1" }));
    let tenant = json!({ "name": "acme" });
    let (status, problem) = stage.call(&api, "POST", "/api/v1/clusters/eu-1/tenants", Some(&tenant));
    assert_eq!(status, 422, "{problem}");
    assert!(problem.to_string().contains("acme-devs"), "{problem}");
}

#[test]
fn file_with_a_group_or_a_vela_that_is_not_registered_is_refused() {
    let world = std::fs::read_to_string(root().join("tests/cases/example-tenancy.yaml")).unwrap();
    let vela = "system:serviceaccount:vela-system:kubevela-vela-core";
    for (from, to, named) in [
        ("globex-devs", "globex-people", "`globex-people` is not matched by the webhooks"),
        (vela, "system:serviceaccount:vela-system:other", "is not matched by the webhook `cluster-writes`"),
    ] {
        assert!(world.contains(from), "{from}");
        let gate = Gate::start(&Options::default());
        std::fs::write(gate.path("tenancy.yaml"), world.replace(from, to)).unwrap();
        soon("it is refused", || {
            let (status, reason) = readiness(&gate);
            status == 200 && reason.contains("the last good snapshot is in force") && reason.contains(named)
        });
        assert_eq!(gate.metric("portcullis_snapshot_reload_total", &["result=\"error\""]), 1);
        let file = gate.path("other.yaml").display().to_string();
        std::fs::write(&file, world.replace(from, to)).unwrap();
        let fresh =
            Gate::start(&Options { extra: &["--tenancy", &file], wait_ready: false, ..Options::default() });
        soon("it does not begin with it", || {
            let (status, reason) = readiness(&fresh);
            status == 503 && reason.contains(named)
        });
    }
}
