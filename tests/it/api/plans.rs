//! Plans, to read.

use portcullis_access::Role;
use serde_json::json;

use super::house::House;

#[test]
fn plans_are_read_by_everybody_of_a_tenant() {
    let house = House::build();
    let acme = house.tenant("acme");
    house.server.sql("DELETE FROM plans");
    for (id, name) in
        [("0198c5f2-7a4e-7c31-b1f5-4a3a7c1d2e9f", "small"), ("0198c5f2-7a4e-7c31-b1f5-4a3a7c1d2ea0", "large")]
    {
        house.server.sql(&format!(
            "INSERT INTO plans (id, created_at, updated_at, name, quotas) VALUES ('{id}', 0, 0, '{name}', '{{\"pods\":\"10\"}}')"
        ));
    }
    for caller in
        [house.admin.clone(), house.owner(&acme), house.server.somebody("r", Role::ReadOnly, Some(&acme))]
    {
        let page = caller.get("/api/v1/plans?limit=1").ok(200);
        assert_eq!(page["items"][0]["name"], "small");
        let cursor = page["nextCursor"].as_str().unwrap();
        let rest = caller.get(&format!("/api/v1/plans?cursor={cursor}")).ok(200);
        assert_eq!((&rest["items"][0]["name"], rest.get("nextCursor")), (&json!("large"), None));
        for reference in ["small", "0198c5f2-7a4e-7c31-b1f5-4a3a7c1d2e9f"] {
            let plan = caller.get(&format!("/api/v1/plans/{reference}")).ok(200);
            assert_eq!(plan["quotas"], json!({ "pods": "10" }));
        }
        caller.get("/api/v1/plans/none").refused("NOT_FOUND", &[]);
        caller.get("/api/v1/plans?labelSelector=a").refused("VALIDATION_ERROR", &["?labelSelector"]);
    }
    let gate = house.server.somebody("gate", Role::Service, None);
    gate.get("/api/v1/plans").refused("FORBIDDEN", &[]);
}

/// What a plan says of policies holds for whoever is on it, and nobody of the tenant can loosen it.
#[test]
fn the_policy_sets_of_a_plan_hold_for_who_is_on_it() {
    let house = House::build();
    let acme = house.tenant("acme");
    house.server.sql("UPDATE plans SET policysets = '[\"strict-workflow\"]' WHERE name = 'gold'");
    let owner = house.owner(&acme);
    let allowed = || {
        let shown = owner.get("/api/v1/policies/vela-workflow-steps?tenant=acme").ok(200);
        let found = &shown["effective"]["params"]["allowed"];
        (found["value"].clone(), found["from"].to_string().contains("plan"))
    };
    let (before, by_plan) = allowed();
    assert!(before.as_array().unwrap().len() > 2 && !by_plan, "{before}");
    let plan = |name: &str| house.admin.put("/api/v1/tenants/acme/plan", &json!({ "name": name })).ok(200);
    plan("gold");
    assert_eq!(allowed(), (json!(["deploy", "suspend"]), true));
    let rule =
        json!({ "policy": "vela-workflow-steps", "params": { "allowed": ["deploy", "notification"] } });
    let set = json!({ "name": "loose", "rules": [rule] });
    let sets = "/api/v1/clusters/eu-1/tenants/acme/policysets";
    owner.post(sets, &set).refused("POLICY_INVALID", &["/rules/0/params/allowed"]);
    assert_eq!(house.told("tenant.update.plan").0, "ledger#root");
    plan("baseline");
    assert_eq!(allowed(), (before, false));
}
