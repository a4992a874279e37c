//! Tokens: who may mint what, what a token is worth, and that a revoked one is worth nothing.

use portcullis_access::token::now;
use portcullis_access::{Role, TenantRef};
use serde_json::{Value, json};

use super::harness::{Caller, On, Server};
use super::shop::Shop;

/// A server with the tenant `acme`, its owner Olga, its developer Dan, and a second tenant.
fn world(on: On) -> (Server, TenantRef) {
    let server = Server::with(on, &[]);
    let admin = server.admin();
    admin.post("/api/v1/clusters", &json!({"name": "eu"})).ok(201);
    let tenants = "/api/v1/clusters/eu/tenants";
    let acme = admin.post(tenants, &json!({"name": "acme", "owners": ["olga"]})).ok(201);
    admin.post(tenants, &json!({"name": "globex", "owners": ["gus"]})).ok(201);
    admin.put(&format!("{tenants}/acme/members/dan"), &json!({"role": "projectDev"})).ok(200);
    let acme = TenantRef { id: acme["id"].as_str().unwrap().to_owned(), slug: "acme".to_owned() };
    (server, acme)
}

#[test]
fn an_owner_mints_for_members_within_its_own_power() {
    for on in [On::Sqlite, On::Postgres] {
        let (server, acme) = world(on);
        let olga = server.somebody("olga", Role::TenantOwner, Some(&acme));
        let wish = |change: Value| {
            let mut wish =
                json!({"subject": "dan", "roles": ["projectDev"], "tenant": "acme", "ttlSeconds": 600});
            for (key, value) in change.as_object().unwrap() {
                wish[key] = value.clone();
            }
            olga.post("/api/v1/tokens", &wish)
        };
        let minted = wish(json!({})).ok(201);
        let me = server.bearing(minted["token"].as_str().unwrap()).get("/api/v1/me").ok(200);
        assert_eq!(
            (&me["subject"], &me["roles"], &me["tenantId"]),
            (&json!("ledger#dan"), &json!(["projectDev"]), &json!(acme.id))
        );
        assert!((me["exp"].as_i64().unwrap() - now() - 600).abs() < 30);
        wish(json!({"roles": ["readOnly"], "subject": "ledger#dan"})).ok(201);
        for (change, code, pointers) in [
            (json!({"roles": ["admin"]}), "FORBIDDEN", &[][..]),
            (json!({"roles": ["service"]}), "FORBIDDEN", &[]),
            (json!({"roles": ["tenantOwner"]}), "FORBIDDEN", &[]),
            (json!({"tenant": "globex"}), "TENANT_NOT_FOUND", &[]),
            (json!({"tenant": "none"}), "TENANT_NOT_FOUND", &[]),
            (json!({"subject": "stranger"}), "UNPROCESSABLE_ENTITY", &["/subject"]),
            (json!({"subject": "https://other#dan"}), "UNPROCESSABLE_ENTITY", &["/subject"]),
            (json!({"subject": "portcullis#reaper"}), "VALIDATION_ERROR", &["/subject"]),
            (json!({"ttlSeconds": 86_401}), "UNPROCESSABLE_ENTITY", &["/ttlSeconds"]),
            (json!({"ttlSeconds": 59}), "VALIDATION_ERROR", &["/ttlSeconds"]),
            (json!({"ttlSeconds": 2_592_001}), "VALIDATION_ERROR", &["/ttlSeconds"]),
            (json!({"projects": ["none"]}), "UNPROCESSABLE_ENTITY", &["/projects/0"]),
            (json!({"roles": []}), "VALIDATION_ERROR", &["/roles"]),
            (json!({"roles": ["root"]}), "VALIDATION_ERROR", &["/roles/0"]),
        ] {
            let answer = wish(change.clone());
            assert_ne!(answer.status, 201, "{change}");
            answer.refused(code, pointers);
        }
        olga.post("/api/v1/tokens", &json!({"subject": "dan", "roles": ["projectDev"]}))
            .refused("FORBIDDEN", &[]);
    }
}

#[test]
fn an_admin_mints_for_any_member_and_nobody_else_mints() {
    let (server, acme) = world(On::Sqlite);
    let admin = server.admin();
    let gate = admin
        .post("/api/v1/tokens", &json!({"subject": "gate-1", "roles": ["service"], "cluster": "eu"}))
        .ok(201);
    let gate = server.bearing(gate["token"].as_str().unwrap());
    gate.get("/api/v1/me").refused("FORBIDDEN", &[]);
    for (cluster, pointer) in [(Value::Null, "/cluster"), (json!("nowhere"), "/cluster")] {
        let mut wish = json!({"subject": "gate-2", "roles": ["service"]});
        if !cluster.is_null() {
            wish["cluster"] = cluster;
        }
        admin.post("/api/v1/tokens", &wish).refused("UNPROCESSABLE_ENTITY", &[pointer]);
    }
    admin
        .post("/api/v1/tokens", &json!({"subject": "x", "roles": ["admin"], "cluster": "eu"}))
        .refused("UNPROCESSABLE_ENTITY", &["/cluster"]);
    admin
        .post("/api/v1/tokens", &json!({"subject": "x", "roles": ["admin", "readOnly"]}))
        .refused("UNPROCESSABLE_ENTITY", &["/roles"]);
    admin
        .post("/api/v1/tokens", &json!({"subject": "x", "roles": ["readOnly"]}))
        .refused("UNPROCESSABLE_ENTITY", &["/roles"]);
    admin
        .post("/api/v1/tokens", &json!({"subject": "x", "roles": ["readOnly"], "tenant": "none"}))
        .refused("TENANT_NOT_FOUND", &[]);
    let wish = |subject: &str, role: &str| json!({"subject": subject, "roles": [role], "tenant": "acme"});
    admin.post("/api/v1/tokens", &wish("dan", "readOnly")).ok(201);
    admin.post("/api/v1/tokens", &wish("dan", "tenantOwner")).refused("FORBIDDEN", &[]);
    admin.post("/api/v1/tokens", &wish("gus", "readOnly")).refused("UNPROCESSABLE_ENTITY", &["/subject"]);
    for role in [Role::ProjectDev, Role::ReadOnly] {
        let caller = server.somebody("dan", role, Some(&acme));
        let wish = json!({"subject": "dan", "roles": ["readOnly"], "tenant": "acme"});
        caller.post("/api/v1/tokens", &wish).refused("FORBIDDEN", &[]);
    }
}

#[test]
fn a_minted_token_says_who_minted_it_and_so_does_the_log() {
    let (server, acme) = world(On::Sqlite);
    let olga = server.somebody("olga", Role::TenantOwner, Some(&acme));
    let minted = olga
        .post("/api/v1/tokens", &json!({"subject": "dan", "roles": ["projectDev"], "tenant": "acme"}))
        .ok(201);
    let token = minted["token"].as_str().unwrap();
    let log = olga.get("/api/v1/audit?action=token.mint&view=full").ok(200);
    let row = &log["items"][0];
    assert_eq!(
        (&row["actor"], &row["resourceId"], &row["result"]),
        (&json!("ledger#olga"), &minted["jti"], &json!("ok"))
    );
    assert_eq!(
        (&row["after"]["subject"], &row["after"]["mintedBy"]),
        (&json!("ledger#dan"), &json!("ledger#olga"))
    );
    assert!(!log.to_string().contains(token), "never the token itself");
    let dan = server.bearing(token);
    let project = json!({"name": "shop"});
    dan.post("/api/v1/clusters/eu/tenants/acme/projects", &project).refused("FORBIDDEN", &[]);
}

#[test]
fn an_answer_with_a_token_in_it_is_never_kept() {
    let (server, _) = world(On::Sqlite);
    let once = server.admin().with("idempotency-key", "mint-1");
    let mint =
        || once.post("/api/v1/tokens", &json!({"subject": "gate-1", "roles": ["service"], "cluster": "eu"}));
    let (first, second) = (mint(), mint());
    assert_ne!(first.ok(201)["jti"], second.ok(201)["jti"]);
    assert_eq!(second.header("idempotency-replayed"), None);
}

#[test]
fn a_token_cannot_be_minted_by_a_dry_run() {
    let (server, _) = world(On::Sqlite);
    let answer =
        server.admin().post("/api/v1/tokens?dryRun=true", &json!({"subject": "x", "roles": ["admin"]}));
    answer.refused("VALIDATION_ERROR", &["?dryRun"]);
}

#[test]
fn a_revoked_token_is_worth_nothing() {
    for on in [On::Sqlite, On::Postgres] {
        let (server, acme) = world(on);
        let olga = server.somebody("olga", Role::TenantOwner, Some(&acme));
        let mint = |subject: &str, role: &str| {
            let minted = server
                .admin()
                .post("/api/v1/tokens", &json!({"subject": subject, "roles": [role], "tenant": "acme"}));
            let minted = minted.ok(201);
            let text = |name: &str| minted[name].as_str().unwrap().to_owned();
            (text("token"), format!("/api/v1/tokens/{}", text("jti")))
        };
        let revoked = |token: &str| server.bearing(token).get("/api/v1/me").refused("TOKEN_REVOKED", &[]);

        // By the owner, one of its tenant's; by its bearer, its own and what was minted for it.
        let (dans, path) = mint("dan", "projectDev");
        server.bearing(&dans).get("/api/v1/me").ok(200);
        olga.delete(&path).ok(204);
        revoked(&dans);
        let (dans, path) = mint("dan", "projectDev");
        let (another, other_path) = mint("dan", "readOnly");
        let dan = server.bearing(&dans);
        dan.delete(&other_path).ok(204);
        revoked(&another);
        dan.delete(&path).ok(204);
        revoked(&dans);

        // Not another's, and not what nobody knows.
        let gus = "/api/v1/clusters/eu/tenants/acme/members/gus";
        server.admin().put(gus, &json!({"role": "readOnly"})).ok(200);
        let (gus, path) = mint("gus", "readOnly");
        let (dans, _) = mint("dan", "projectDev");
        server.bearing(&dans).delete(&path).refused("NOT_FOUND", &[]);
        let unknown = "/api/v1/tokens/0198c5f2-7a4e-7c31-b1f5-4a3a7c1d2e9f";
        olga.delete(unknown).refused("NOT_FOUND", &[]);
        olga.delete("/api/v1/tokens/nonsense").refused("NOT_FOUND", &[]);
        server.bearing(&gus).get("/api/v1/me").ok(200);
        server.admin().delete(unknown).ok(204);
    }
}

#[test]
fn what_is_no_token_is_refused() {
    let (server, acme) = world(On::Sqlite);
    let good = server.token("olga", Role::TenantOwner, Some(&acme), 3600);
    let parts: Vec<_> = good.split('.').collect();
    let unsigned = format!("{}.{}.", "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0", parts[1]);
    let changed = format!("{}.{}A.{}", parts[0], parts[1], parts[2]);
    let twice = format!("{good}, {good}");
    for (header, code) in [
        ("Bearer nonsense".to_owned(), "UNAUTHORIZED"),
        ("Bearer".to_owned(), "UNAUTHORIZED"),
        ("Bearer ".to_owned(), "UNAUTHORIZED"),
        (good.clone(), "UNAUTHORIZED"),
        (format!("Basic {good}"), "UNAUTHORIZED"),
        (format!("Bearer {unsigned}"), "UNAUTHORIZED"),
        (format!("Bearer {changed}"), "UNAUTHORIZED"),
        (format!("Bearer {twice}"), "UNAUTHORIZED"),
        (format!("Bearer {}", server.issue("x", Role::Admin, None, 60, now() - 600)), "TOKEN_EXPIRED"),
        (format!("Bearer {}", server.issue("x", Role::Admin, None, 60, now() + 600)), "UNAUTHORIZED"),
    ] {
        server.nobody().with("authorization", &header).get("/api/v1/me").refused(code, &[]);
    }
    let both =
        server.nobody().with("authorization", &format!("Bearer {good}")).with("authorization", "Bearer x");
    both.get("/api/v1/me").refused("UNAUTHORIZED", &[]);
    server.nobody().with("authorization", &format!("bearer {good}")).get("/api/v1/me").ok(200);
}

#[test]
fn what_is_minted_is_listed_until_it_ends() {
    for on in [On::Sqlite, On::Postgres] {
        let shop = Shop::open(on);
        let members = "/api/v1/clusters/eu-1/tenants/acme/members";
        shop.admin.put(&format!("{members}/ada"), &json!({ "role": "projectDev" })).ok(200);
        let mint = |caller: &Caller| {
            let body =
                json!({ "subject": "ada", "roles": ["readOnly"], "tenant": "acme", "projects": ["shop"] });
            caller.post("/api/v1/tokens", &body).ok(201)["jti"].as_str().unwrap().to_owned()
        };
        let (first, second) = (mint(&shop.admin), mint(&shop.owner));
        shop.admin
            .post("/api/v1/tokens", &json!({ "subject": "gate", "roles": ["service"], "cluster": "eu-1" }))
            .ok(201);
        let list =
            |caller: &Caller| caller.get("/api/v1/tokens").ok(200)["items"].as_array().unwrap().clone();
        assert_eq!(list(&shop.admin).len(), 3);
        let own = list(&shop.owner);
        assert_eq!(own.len(), 2, "{on:?} {own:?}");
        let of_first = own.iter().find(|row| row["jti"] == first.as_str()).unwrap();
        assert_eq!(of_first["subject"], "ledger#ada");
        assert_eq!(
            (&of_first["roles"], &of_first["mintedBy"]),
            (&json!(["readOnly"]), &json!("ledger#root"))
        );
        assert_eq!((&of_first["projects"], &of_first["revoked"]), (&json!([shop.project]), &json!(false)));
        assert!(list(&shop.stranger).is_empty());
        assert!(list(&shop.reader).is_empty());
        shop.stranger.delete(&format!("/api/v1/tokens/{second}")).refused("NOT_FOUND", &[]);
        shop.reader
            .delete(&format!("/api/v1/tokens/{}", portcullis_store::new_id()))
            .refused("NOT_FOUND", &[]);
        shop.owner.delete(&format!("/api/v1/tokens/{second}")).ok(204);
        let revoked = list(&shop.owner);
        assert!(
            revoked.iter().any(|row| row["jti"] == second.as_str() && row["revoked"] == true),
            "{revoked:?}"
        );
        shop.admin.post("/api/v1/clusters/eu-1/tenants/acme%3Asuspend", &json!({})).ok(200);
        let body = json!({ "subject": "ada", "roles": ["readOnly"], "tenant": "acme" });
        shop.owner.post("/api/v1/tokens", &body).refused("TENANT_SUSPENDED", &[]);
        shop.admin.post("/api/v1/tokens", &body).ok(201);
        shop.server.sql("UPDATE minted_tokens SET exp = 1");
        assert!(list(&shop.admin).is_empty());
    }
}
