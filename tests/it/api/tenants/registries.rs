//! What a tenant may pull from: granted inside the ceiling, narrowed inside the grant.

use serde_json::{Value, json};

use crate::api::harness::On;
use crate::api::house::{CLUSTER, Case, House, bounds};

const BAD: &str = "VALIDATION_ERROR";
const OUTSIDE: &str = "REGISTRY_NOT_ALLOWED";

#[test]
#[expect(clippy::too_many_lines, reason = "a table of entries")]
fn entries_have_a_grammar_and_a_place() {
    let house = House::build();
    house.tenant("acme");
    let send = |body: &Value| house.admin.patch(&format!("{CLUSTER}/tenants/acme"), body);
    let cases: Vec<Case<'_>> = vec![
        ("/registries", json!("inherit"), 200, "", &[]),
        ("/registries", json!("everything"), 400, BAD, &["/registries"]),
        ("/registries", json!(7), 400, BAD, &["/registries"]),
        ("/registries", json!([7]), 400, BAD, &["/registries/0"]),
        ("/registries", json!([""]), 400, BAD, &["/registries/0"]),
        ("/registries", json!(["ghcr.io", "ghcr.io"]), 400, BAD, &["/registries"]),
        (
            "/registries",
            json!(["ghcr.io", "https://ghcr.io", "nginx", "*"]),
            400,
            BAD,
            &["/registries/1", "/registries/2", "/registries/3"],
        ),
        ("/registries", json!(["ghcr.io/a:1"]), 400, BAD, &["/registries/0"]),
        ("/registries", json!(["ghcr.io/\u{0}"]), 400, BAD, &["/registries/0"]),
        ("/registries", json!([format!("ghcr.io/{}", "a".repeat(1024))]), 400, BAD, &["/registries/0"]),
        (
            "/registries",
            (0..101).map(|n| json!(format!("ghcr.io/a{n}"))).collect(),
            400,
            BAD,
            &["/registries"],
        ),
        (
            "/registries",
            json!(["quay.io", "ghcr.io", "ghcr.iox", "docker.io", "docker.io/librarything"]),
            422,
            OUTSIDE,
            &["/registries/0", "/registries/2", "/registries/3", "/registries/4"],
        ),
        ("/registries", json!([]), 200, "", &[]),
        ("/registries", json!(null), 200, "", &[]),
        ("/narrowedRegistries", json!(["ghcr.io"]), 422, OUTSIDE, &["/narrowedRegistries"]),
        ("/registries", json!(["ghcr.io/acme", "docker.io/library"]), 200, "", &[]),
        ("/narrowedRegistries", json!(["ghcr.io/acme/web"]), 200, "", &[]),
        (
            "/narrowedRegistries",
            json!(["ghcr.io", "ghcr.io/acme2", "ghcr.io/acme"]),
            422,
            OUTSIDE,
            &["/narrowedRegistries/0", "/narrowedRegistries/1"],
        ),
        ("/narrowedRegistries", json!("inherit"), 400, BAD, &["/narrowedRegistries"]),
        ("/narrowedRegistries", json!(["Ghcr.io"]), 400, BAD, &["/narrowedRegistries/0"]),
        ("/narrowedRegistries", json!(null), 200, "", &[]),
        (
            "",
            json!({ "registries": ["quay.io"], "narrowedRegistries": ["docker.io"] }),
            422,
            OUTSIDE,
            &["/narrowedRegistries/0", "/registries/0"],
        ),
        (
            "",
            json!({ "registries": "inherit", "narrowedRegistries": ["docker.io/library/nginx"] }),
            200,
            "",
            &[],
        ),
    ];
    bounds(send, &json!({}), &cases);
    let create = |body: &Value| house.admin.post(&format!("{CLUSTER}/tenants"), body);
    let cases: Vec<Case<'_>> = vec![
        ("/registries", json!(["quay.io"]), 422, OUTSIDE, &["/registries/0"]),
        ("/registries", json!(["Quay.io"]), 400, BAD, &["/registries/0"]),
        ("/registries", json!("inherit"), 201, "", &[]),
    ];
    bounds(create, &json!({ "name": "globex" }), &cases);
}

#[test]
fn owners_narrow_and_gates_see_what_results() {
    for on in [On::Sqlite, On::Postgres] {
        let house = House::on(on);
        let acme = house.tenant("acme");
        let owner = house.owner(&acme);
        let at = format!("{CLUSTER}/tenants/acme");
        assert_eq!(house.seen("/tenants/acme/registries"), Value::Null);
        house.admin.patch(&at, &json!({ "registries": ["ghcr.io/acme", "docker.io/library"] })).ok(200);
        let is = owner.patch(&at, &json!({ "narrowedRegistries": ["ghcr.io/acme/web"] })).ok(200);
        assert_eq!(is["effectiveRegistries"], json!(["ghcr.io/acme/web"]));
        assert_eq!(house.seen("/tenants/acme/registries"), json!(["ghcr.io/acme/web"]));
        // The grant shrinks beside the narrowing: nothing is left, and nothing was widened.
        house.admin.patch(&at, &json!({ "registries": ["docker.io/library"] })).ok(200);
        assert_eq!(house.seen("/tenants/acme/registries"), json!([]));
        house.ceiling(&["ghcr.io"]);
        owner.patch(&at, &json!({ "narrowedRegistries": null })).ok(200);
        assert_eq!(house.seen("/tenants/acme/registries"), json!([]));
        let is = house.admin.patch(&at, &json!({ "registries": null })).ok(200);
        assert_eq!((&is["registries"], &is["narrowedRegistries"]), (&Value::Null, &Value::Null));
        assert_eq!(house.seen("/tenants/acme/registries"), Value::Null);
        let (actor, before, after) = house.told("tenant.update");
        assert_eq!((actor.as_str(), &before["registries"]), ("ledger#root", &json!(["docker.io/library"])));
        assert_eq!(after["registries"], Value::Null);
    }
}
