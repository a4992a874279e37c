//! A commit that readers of the snapshot would refuse is refused, whatever code wrote the rows.

use portcullis_store::{Part, StoreError, Tx, new_id};
use serde_json::json;

use super::world::{World, tenant};

on_both!(
    commit_that_gates_could_not_read_is_refused,
    what_does_not_read_already_can_be_mended,
    commits_of_another_process_are_caught_up,
    commit_beyond_what_gates_read_is_refused,
);

async fn policy_set(tx: &mut Tx, tenant: &str, slug: &str, attached: &str) -> Result<(), sqlx::Error> {
    let now = tx.now();
    sqlx::query(
        "INSERT INTO policysets (id, created_at, updated_at, tenant_id, name, rules, attached_to, origin) \
         VALUES ($1, $2, $2, $3, $4, '[]', $5, 'tenant')",
    )
    .bind(new_id())
    .bind(now)
    .bind(tenant)
    .bind(format!("set-{}", new_id()))
    .bind(attached)
    .execute(tx.sql())
    .await?;
    tx.mark_changed(Part::Tenant(slug.to_owned()));
    Ok(())
}

async fn commit_that_gates_could_not_read_is_refused(world: World) {
    let mut tx = world.write().await;
    let acme = tenant(&mut tx, "acme").await;
    tx.commit().await.unwrap();
    let (rows, before) = (world.count("SELECT COUNT(*) FROM audit_log").await, world.whole().await);

    let mut tx = world.write().await;
    for _ in 0..101 {
        policy_set(&mut tx, &acme, "acme", "[{}]").await.unwrap();
    }
    let error = tx.commit().await.unwrap_err();
    let StoreError::Unreadable { problems } = &error else { panic!("{error}") };
    assert_eq!(problems, &["tenants.acme.policySets: 101 policy sets (allowed: 100 at most)"]);
    assert_eq!(world.whole().await, before, "nothing of it is kept");
    assert_eq!(world.count("SELECT COUNT(*) FROM audit_log").await, rows);
    assert_eq!(world.count("SELECT COUNT(*) FROM policysets").await, 0);

    let mut tx = world.write().await;
    policy_set(&mut tx, &acme, "acme", "[{}]").await.unwrap();
    tx.commit().await.unwrap();
}

/// Rows that were written before, or past the ledger.
async fn what_does_not_read_already_can_be_mended(world: World) {
    let mut tx = world.write().await;
    let acme = tenant(&mut tx, "acme").await;
    policy_set(&mut tx, &acme, "acme", "[{}]").await.unwrap();
    tenant(&mut tx, "globex").await;
    tx.commit().await.unwrap();
    world.raw("UPDATE policysets SET name = 'No Label'").await.unwrap();
    let other =
        portcullis_store::Ledger::open(&world.url, &portcullis_store::Options::default()).await.unwrap();

    // Another tenant goes on, the one with the row too, and what mends it is taken.
    for (slug, statement) in [
        ("globex", "UPDATE tenants SET status = 'suspended' WHERE slug = $1"),
        ("acme", "UPDATE tenants SET status = 'suspended' WHERE slug = $1"),
        ("acme", "UPDATE policysets SET name = $1"),
    ] {
        let mut tx = other.write(&super::world::admin()).await.unwrap();
        sqlx::query(statement).bind(slug).execute(tx.sql()).await.unwrap();
        tx.mark_changed(Part::Tenant(slug.to_owned()));
        tx.commit().await.unwrap();
    }
    let document = world.whole().await;
    assert_eq!(document["tenants"]["acme"]["policySets"][0]["name"], json!("acme"));
    portcullis_tenancy::Snapshot::of("x", document).unwrap();
}

async fn commits_of_another_process_are_caught_up(world: World) {
    let other =
        portcullis_store::Ledger::open(&world.url, &portcullis_store::Options::default()).await.unwrap();
    let mut tx = world.write().await;
    let acme = tenant(&mut tx, "acme").await;
    tx.commit().await.unwrap();
    let mut tx = other.write(&super::world::admin()).await.unwrap();
    tenant(&mut tx, "globex").await;
    tx.commit().await.unwrap();
    // The project is known to be of a tenant that this process has not made.
    let mut tx = world.write().await;
    let globex: String =
        sqlx::query_scalar("SELECT id FROM tenants WHERE slug = 'globex'").fetch_one(tx.sql()).await.unwrap();
    let cluster = super::world::cluster(&mut tx, "eu-1").await;
    super::world::join(&mut tx, &globex, &cluster).await;
    super::world::project(&mut tx, (&globex, "globex"), "web", &cluster).await;
    tx.commit().await.unwrap();
    let mut tx = other.write(&super::world::admin()).await.unwrap();
    policy_set(&mut tx, &acme, "acme", r#"[{"project": "a"}, {"project": "a"}]"#).await.unwrap();
    tx.commit().await.unwrap();
    portcullis_tenancy::Snapshot::of("x", world.whole().await).unwrap();
}

/// 240 tenants with nearly all the rules that one may have are 59.6 MiB; two more would be over 60.
async fn commit_beyond_what_gates_read_is_refused(world: World) {
    let (numbers, zeros) = if world.is_postgres() {
        ("SELECT n FROM generate_series(1, 240) AS s (n)", "repeat('0', 259000)")
    } else {
        (
            "WITH RECURSIVE s (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < 240) SELECT n FROM s",
            "hex(zeroblob(129500))",
        )
    };
    let id = "'018f2b7c-' || (1000 + n) || '-7000-8000-000000000000'";
    let rules = format!(r#"'[{{"policy":"x","params":{{"y":"' || {zeros} || '"}}}}]'"#);
    world
        .raw(&format!(
            "INSERT INTO tenants (id, created_at, updated_at, slug, dev_group) SELECT {id}, 1, 1, 't' || n, 't' || n || '-devs' \
             FROM ({numbers}) AS numbers; \
             INSERT INTO policysets (id, created_at, updated_at, tenant_id, name, rules, attached_to) \
             SELECT {id}, 1, 1, {id}, 'large', {rules}, '[{{}}]' FROM ({numbers}) AS numbers"
        ))
        .await
        .unwrap();
    let mut refused = None;
    for slug in ["acme", "globex", "initech"] {
        let mut tx = world.write().await;
        let id = tenant(&mut tx, slug).await;
        policy_set(&mut tx, &id, slug, "[{}]").await.unwrap();
        let statement = format!("UPDATE policysets SET rules = {rules} WHERE tenant_id = $1");
        sqlx::query(sqlx::AssertSqlSafe(statement)).bind(id).execute(tx.sql()).await.unwrap();
        if let Err(error) = tx.commit().await {
            refused = Some(error);
            break;
        }
    }
    let Some(StoreError::Unreadable { problems }) = &refused else { panic!("{refused:?}") };
    assert!(problems[0].contains("at most 62914560 can be committed"), "{problems:?}");

    // What makes it shorter is taken.
    let mut tx = world.write().await;
    sqlx::query("DELETE FROM policysets WHERE name = 'large'").execute(tx.sql()).await.unwrap();
    for n in 1..=240 {
        tx.mark_changed(Part::Tenant(format!("t{n}")));
    }
    tx.commit().await.unwrap();
}
