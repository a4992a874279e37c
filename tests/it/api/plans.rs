//! Plans, to read.

use portcullis::access::Role;
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
