//! What a commit is: a revision, a patch, an audit row, or nothing of it.

use std::time::{Duration, Instant};

use portcullis::store::revision::{compose, renew, since};
use portcullis::store::{Entry, Part, StoreError, audit, new_id, snapshot};
use portcullis::tenancy::Snapshot;
use serde_json::{Value, json};
use sqlx::Connection as _;

use super::world::{World, admin, app, change, cluster, fill, join, namespace, owner, sandbox, tenant};

on_both!(
    a_commit_is_a_revision,
    what_is_dropped_leaves_nothing,
    patches_in_order_are_the_whole,
    a_cluster_has_its_own_part,
    many_parts_are_as_good_as_few,
    revisions_have_the_order_of_commits,
    a_reading_transaction_changes_nothing,
    a_refused_statement_and_a_commit_are_no_success,
    an_app_has_exactly_one_namespace,
    a_row_in_another_tenant_is_impossible,
    what_is_taken_is_a_conflict_in_words,
    old_changes_are_pruned,
    a_renewed_ledger_is_another_history,
);

async fn a_commit_is_a_revision(world: World) {
    let mut heard = world.ledger.revision();
    assert_eq!(*heard.borrow_and_update(), 0);
    let mut tx = world.write().await;
    let id = tenant(&mut tx, "acme").await;
    assert_eq!(tx.commit().await.unwrap().revision, Some(1));
    assert_eq!(*heard.borrow_and_update(), 1);
    let document = world.whole().await;
    assert_eq!(document["tenants"]["acme"]["id"], id);
    assert_eq!(document["revision"], 1);

    let mut tx = world.write().await;
    change(&mut tx, "UPDATE tenants SET display_name = 'Acme' WHERE id = $1", &id).await;
    assert_eq!(tx.commit().await.unwrap().revision, None, "nothing of the snapshot was touched");
    assert!(!heard.has_changed().unwrap());
}

async fn what_is_dropped_leaves_nothing(world: World) {
    let mut tx = world.write().await;
    tenant(&mut tx, "acme").await;
    drop(tx);
    let mut tx = world.write().await;
    tenant(&mut tx, "acme").await;
    tx.rollback().await.unwrap();
    assert_eq!(world.count("SELECT COUNT(*) FROM tenants").await, 0);
    assert_eq!(world.count("SELECT COUNT(*) FROM audit_log").await, 0);
    assert_eq!(world.whole().await["revision"], 0);
}

#[expect(clippy::too_many_lines, reason = "a list of deeds")]
async fn patches_in_order_are_the_whole(world: World) {
    let mut document = world.whole().await;
    let first = document.clone();
    let mut seen = 0;
    let places = fill(&world, 2).await;
    let place = &places[0];
    document = follow(&world, document, &mut seen).await;

    let mut tx = world.write().await;
    let api = app(&mut tx, place, "api").await;
    namespace(&mut tx, place, "app-api", Some(&api), None).await;
    let short = sandbox(&mut tx, place, 2, Some(1_900_000_000_123)).await;
    let name = namespace(&mut tx, place, "sbx-002", None, Some(&short)).await;
    tx.commit().await.unwrap();
    document = follow(&world, document, &mut seen).await;
    assert_eq!(document["apps"]["t0/shop/api"]["sourceKind"], "container-image");
    assert_eq!(document["namespaces"][&name]["expiresAt"], "2030-03-17T17:46:40.123Z");

    let mut tx = world.write().await;
    change(&mut tx, "UPDATE sandboxes SET expires_at = NULL WHERE id = $1", &short).await;
    tx.touch(Part::Namespace(name.clone()));
    change(
        &mut tx,
        "UPDATE tenants SET registries = NULL, status = 'suspended' WHERE id = $1",
        &place.tenant_id,
    )
    .await;
    tx.touch(Part::Tenant("t0".into()));
    tx.commit().await.unwrap();
    document = follow(&world, document, &mut seen).await;
    assert!(document["tenants"]["t0"].get("registries").is_none());
    assert!(document["namespaces"][&name].get("expiresAt").is_none());

    let mut tx = world.write().await;
    let ceiling = json!({"ceiling": ["docker.io/library", "ghcr.io"]}).to_string();
    setting(&mut tx, "registries", &ceiling).await;
    tx.commit().await.unwrap();
    document = follow(&world, document, &mut seen).await;
    assert_eq!(
        document["settings"]["registries"],
        json!({"ceiling": ["docker.io/library", "ghcr.io"], "platform": []})
    );

    let mut tx = world.write().await;
    let list = r#"["docker.io", "ghcr.io/acme"]"#;
    change(&mut tx, "UPDATE tenants SET registries = $1 WHERE slug = 't1'", list).await;
    policy_set(&mut tx, &places[1].tenant_id).await;
    tx.touch(Part::Tenant("t1".into()));
    tx.commit().await.unwrap();
    document = follow(&world, document, &mut seen).await;
    assert_eq!(document["tenants"]["t1"]["registries"], json!(["docker.io/library", "ghcr.io/acme"]));
    assert_eq!(document["tenants"]["t1"]["policySets"][1]["project"], "shop");

    let mut tx = world.write().await;
    setting(&mut tx, "registries", &json!({"ceiling": ["ghcr.io"]}).to_string()).await;
    tx.commit().await.unwrap();
    document = follow(&world, document, &mut seen).await;
    assert_eq!(
        document["tenants"]["t1"]["registries"],
        json!(["ghcr.io/acme"]),
        "the ceiling bounds everybody"
    );

    let mut tx = world.write().await;
    change(&mut tx, "DELETE FROM apps WHERE id = $1", &api).await;
    change(&mut tx, "DELETE FROM sandboxes WHERE id = $1", &short).await;
    tx.touch(Part::App("t0".into(), "shop".into(), "api".into()));
    tx.touch(Part::Namespace("tn-t0-shop-app-api".into()));
    tx.touch(Part::Namespace(name.clone()));
    tx.commit().await.unwrap();
    document = follow(&world, document, &mut seen).await;
    assert!(document["namespaces"].get(&name).is_none());

    let mut tx = world.read().await;
    let all = since(&mut tx, 0).await.unwrap().unwrap();
    let mut at_once = first;
    json_patch::merge(&mut at_once, &compose(all));
    assert_eq!(at_once, document, "all changes composed");
    assert!(since(&mut tx, seen + 1).await.unwrap().is_none(), "a revision that is not reached");
}

/// Lays the newest changes over the document, one by one; it must then be the whole, and one that a gate takes.
async fn follow(world: &World, mut document: Value, seen: &mut u64) -> Value {
    let mut tx = world.read().await;
    let changes = since(&mut tx, *seen).await.unwrap().unwrap();
    assert!(!changes.is_empty());
    for change in changes {
        json_patch::merge(&mut document, &change.patch);
        *seen = change.revision;
    }
    let whole = snapshot::whole(&mut tx, None).await.unwrap();
    assert_eq!(document, whole);
    let bytes = serde_json::to_vec(&whole).unwrap();
    let snapshot = Snapshot::parse("whole.json", &bytes).unwrap_or_else(|error| panic!("{error}\n{whole:#}"));
    assert_eq!(snapshot.revision, *seen);
    whole
}

async fn setting(tx: &mut portcullis::store::Tx, key: &'static str, value: &str) {
    let now = tx.now();
    sqlx::query("DELETE FROM settings WHERE key = $1").bind(key).execute(tx.sql()).await.unwrap();
    sqlx::query("INSERT INTO settings (id, created_at, updated_at, scope, key, value) VALUES ($1, $2, $2, 'global', $3, $4)")
        .bind(new_id())
        .bind(now)
        .bind(key)
        .bind(value)
        .execute(tx.sql())
        .await
        .unwrap();
    tx.touch(Part::Settings);
}

async fn policy_set(tx: &mut portcullis::store::Tx, tenant: &str) {
    let now = tx.now();
    sqlx::query(
        "INSERT INTO policysets (id, created_at, updated_at, tenant_id, name, origin, mode, rules, attached_to) \
         VALUES ($1, $2, $2, $3, 'strict', 'tenant', 'warn', $4, $5)",
    )
    .bind(new_id())
    .bind(now)
    .bind(tenant)
    .bind(r#"[{"policy": "some-policy"}, {"policy": "other-policy", "mode": "enforce", "params": {"max": 3}}]"#)
    .bind(r#"[{}, {"project": "shop"}]"#)
    .execute(tx.sql())
    .await
    .unwrap();
}

async fn a_cluster_has_its_own_part(world: World) {
    let places = fill(&world, 2).await;
    let mut tx = world.write().await;
    let two = cluster(&mut tx, "two").await;
    join(&mut tx, &places[1].tenant_id, &two).await;
    let place = super::world::Place { cluster_id: two.clone(), ..places[1].clone() };
    let far = app(&mut tx, &place, "far").await;
    namespace(&mut tx, &place, "app-far", Some(&far), None).await;
    tx.commit().await.unwrap();
    let mut tx = world.read().await;
    let part = snapshot::whole(&mut tx, Some("two")).await.unwrap();
    let keys = |name: &str| part[name].as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(keys("tenants"), ["t1"]);
    assert_eq!(keys("projects"), ["t1/shop"]);
    assert_eq!(keys("apps"), ["t1/shop/far"]);
    assert_eq!(keys("namespaces"), ["tn-t1-shop-app-far"]);
    let parts = [Part::Namespace("tn-t1-shop-app-far".into()), Part::Namespace("tn-t1-shop-app-web".into())];
    let patch = snapshot::patch(&mut tx, &parts.into(), Some("two")).await.unwrap();
    assert!(patch["namespaces"]["tn-t1-shop-app-far"].is_object());
    assert!(patch["namespaces"]["tn-t1-shop-app-web"].is_null());
}

async fn many_parts_are_as_good_as_few(world: World) {
    let mut document = world.whole().await;
    let places = fill(&world, 40).await;
    document = follow(&world, document, &mut 0).await;
    let mut tx = world.write().await;
    for place in &places[..30] {
        change(&mut tx, "DELETE FROM apps WHERE project_id = $1", &place.project_id).await;
        tx.touch(Part::App(place.tenant.clone(), "shop".into(), "web".into()));
        tx.touch(Part::Namespace(format!("tn-{}-shop-app-web", place.tenant)));
    }
    tx.commit().await.unwrap();
    document = follow(&world, document, &mut 1).await;
    assert_eq!(document["apps"].as_object().unwrap().len(), 10);
}

async fn revisions_have_the_order_of_commits(world: World) {
    const WRITERS: usize = 60;
    let writers: Vec<_> = (0..WRITERS)
        .map(|number| {
            let ledger = world.ledger.clone();
            tokio::spawn(async move {
                let mut tx = ledger.write(&admin()).await.unwrap();
                tenant(&mut tx, &format!("w{number}")).await;
                tx.commit().await.unwrap().revision.unwrap()
            })
        })
        .collect();
    // Whoever sees revision n sees what each of the n commits made: one tenant and one audit row.
    loop {
        let mut tx = world.read().await;
        let revision = tx.ledger().await.unwrap().revision;
        for table in
            ["SELECT COUNT(*) FROM tenants", "SELECT COUNT(*) FROM audit_log", "SELECT COUNT(*) FROM changes"]
        {
            let count: i64 = sqlx::query_scalar(table).fetch_one(tx.sql()).await.unwrap();
            assert_eq!(count, i64::try_from(revision).unwrap(), "{table}");
        }
        if revision == WRITERS as u64 {
            break;
        }
    }
    let mut revisions = Vec::new();
    for writer in writers {
        revisions.push(writer.await.unwrap());
    }
    revisions.sort_unstable();
    assert_eq!(revisions, (1..=WRITERS as u64).collect::<Vec<_>>());
    assert_eq!(*world.ledger.revision().borrow(), WRITERS as u64);
}

async fn a_reading_transaction_changes_nothing(world: World) {
    let mut tx = world.read().await;
    tx.touch(Part::Settings);
    assert!(matches!(tx.commit().await, Err(StoreError::ReadOnly)));
    let mut tx = world.read().await;
    tx.audit(Entry::new("tenant.create", "tenant"));
    assert!(matches!(tx.commit().await, Err(StoreError::ReadOnly)));
    assert_eq!(world.whole().await["revision"], 0);
}

async fn a_refused_statement_and_a_commit_are_no_success(world: World) {
    let mut tx = world.write().await;
    tenant(&mut tx, "acme").await;
    tx.commit().await.unwrap();
    let mut tx = world.write().await;
    let taken = sqlx::query("UPDATE plans SET name = 'gold'").execute(tx.sql()).await;
    assert!(matches!(taken.map_err(StoreError::from), Err(StoreError::Conflict { .. })));
    let done = tx.commit().await;
    // PostgreSQL gives the transaction up with the statement. SQLite takes back the statement alone.
    assert_eq!(done.is_err(), world.is_postgres());
    assert_eq!(world.count("SELECT COUNT(*) FROM plans WHERE name = 'gold'").await, 1);
}

async fn an_app_has_exactly_one_namespace(world: World) {
    let places = fill(&world, 1).await;
    let mut tx = world.write().await;
    app(&mut tx, &places[0], "lonely").await;
    assert!(tx.commit().await.is_err(), "an app without a namespace");
    let mut tx = world.write().await;
    change(&mut tx, "DELETE FROM namespaces WHERE name = $1", "tn-t0-shop-app-web").await;
    assert!(tx.commit().await.is_err(), "its namespace taken away");
    let mut tx = world.write().await;
    let second = sqlx::query(
        "INSERT INTO namespaces (id, created_at, updated_at, tenant_id, project_id, cluster_id, name, kind, app_id) \
         SELECT $1, 0, 0, tenant_id, project_id, cluster_id, 'another', 'app', app_id FROM namespaces WHERE kind = 'app'",
    )
    .bind(new_id())
    .execute(tx.sql())
    .await
    .map_err(StoreError::from);
    assert!(
        matches!(&second, Err(StoreError::Conflict { constraint, .. }) if constraint == "namespaces_app"),
        "{second:?}"
    );
    drop(tx);
    assert_eq!(world.count("SELECT COUNT(*) FROM namespaces").await, 2);
    assert_eq!(world.count("SELECT COUNT(*) FROM apps").await, 1);
}

async fn a_row_in_another_tenant_is_impossible(world: World) {
    let places = fill(&world, 2).await;
    let mixed = super::world::Place { tenant_id: places[1].tenant_id.clone(), ..places[0].clone() };
    for table in ["apps", "sandboxes", "namespaces"] {
        let mut tx = world.write().await;
        let sql = format!("UPDATE {table} SET tenant_id = $1 WHERE project_id = $2");
        let moved = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(&mixed.tenant_id)
            .bind(&mixed.project_id)
            .execute(tx.sql())
            .await
            .map_err(StoreError::from);
        assert!(matches!(moved, Err(StoreError::Reference { .. })), "{table}: {moved:?}");
    }
}

async fn what_is_taken_is_a_conflict_in_words(world: World) {
    let places = fill(&world, 1).await;
    let mut tx = world.write().await;
    let taken = sqlx::query(
        "INSERT INTO projects (id, created_at, updated_at, tenant_id, slug) VALUES ($1, 0, 0, $2, 'shop')",
    )
    .bind(new_id())
    .bind(&places[0].tenant_id)
    .execute(tx.sql())
    .await
    .map_err(StoreError::from);
    let Err(StoreError::Conflict { constraint, detail }) = taken else { panic!("{taken:?}") };
    assert_eq!(constraint, "projects_slug");
    assert_eq!(detail, "the tenant has a project of this name already");
    drop(tx);
    let mut tx = world.write().await;
    let odd = sqlx::query("INSERT INTO projects (id, created_at, updated_at, tenant_id, slug) VALUES ($1, 0, 0, $2, 'an-app-x')")
        .bind(new_id())
        .bind(&places[0].tenant_id)
        .execute(tx.sql())
        .await
        .map_err(StoreError::from);
    assert!(
        matches!(&odd, Err(StoreError::Refused { constraint, .. }) if constraint == "projects_slug_grammar"),
        "{odd:?}"
    );
}

async fn old_changes_are_pruned(world: World) {
    world.raw("UPDATE ledger SET revision = 5000; INSERT INTO changes VALUES (1, '{}', '[]', 0), (2900, '{}', '[]', 0), (4999, '{}', '[]', 0), (5000, '{}', '[]', 0)").await.unwrap();
    let mut tx = world.write().await;
    tx.touch(Part::Bundle);
    assert_eq!(tx.commit().await.unwrap().revision, Some(5001));
    assert_eq!(world.count("SELECT MIN(revision) FROM changes").await, 4999);
    let mut tx = world.read().await;
    assert_eq!(since(&mut tx, 4999).await.unwrap().unwrap().len(), 2);
    assert!(since(&mut tx, 4000).await.unwrap().is_none(), "some of them are gone");
}

async fn a_renewed_ledger_is_another_history(world: World) {
    fill(&world, 1).await;
    let was = world.whole().await;
    let mut tx = world.write().await;
    let id = renew(&mut tx).await.unwrap();
    assert_eq!(tx.commit().await.unwrap().revision, Some(2));
    let is = world.whole().await;
    assert_eq!(is["ledger"], id);
    assert_ne!(is["ledger"], was["ledger"]);
    assert_eq!(is["tenants"], was["tenants"]);
    let mut tx = world.read().await;
    assert!(since(&mut tx, 0).await.unwrap().is_none(), "the changes of the other history are gone");
    let rows = audit::list(&mut tx, &audit::Filter::default(), None, 1).await.unwrap();
    assert_eq!(rows[0].action, "ledger.renew");
}

#[test]
fn a_locked_file_is_said_and_not_waited_for() {
    super::world::block_on(async {
        let world = World::sqlite().await;
        let options = portcullis::store::Options {
            patience: Duration::from_millis(300),
            ..portcullis::store::Options::default()
        };
        let ledger = portcullis::store::Ledger::open(&world.url, &options).await.unwrap();
        let mut other = sqlx::SqliteConnection::connect(&world.url).await.unwrap();
        sqlx::raw_sql("BEGIN IMMEDIATE").execute(&mut other).await.unwrap();
        let begun = Instant::now();
        let refused = ledger.write(&admin()).await.map(drop);
        assert!(matches!(refused, Err(StoreError::Unavailable { .. })), "{refused:?}");
        assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
        let mut tx = ledger.read(&admin()).await.unwrap();
        tx.ledger().await.expect("readers do not wait");
        sqlx::raw_sql("ROLLBACK").execute(&mut other).await.unwrap();
        ledger.write(&admin()).await.expect("once it is free");
    });
}

#[test]
fn a_connection_that_is_killed_leaves_nothing_half_done() {
    super::world::block_on(async {
        let world = World::postgres().await;
        let kill = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()";
        let mut tx = world.write().await;
        tenant(&mut tx, "acme").await;
        world.scratch().sql(kill);
        let lost = tx.commit().await;
        assert!(matches!(&lost, Err(error) if error.is_passing()), "{lost:?}");
        // The dead connections of the pool are nobody's trouble but the pool's.
        assert_eq!(world.whole().await["revision"], 0);
        assert_eq!(world.count("SELECT COUNT(*) FROM tenants").await, 0);
        let mut tx = world.write().await;
        let id = tenant(&mut tx, "acme").await;
        tx.commit().await.unwrap();
        for _ in 0..20 {
            world.scratch().sql(kill);
            world.ledger.read(&owner(&id, "acme")).await.expect("idle connections that died are replaced");
        }
    });
}
