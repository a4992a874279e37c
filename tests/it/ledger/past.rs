//! The past: append-only, chained, in the transaction of what it tells.

use portcullis_store::audit;
use portcullis_store::{Entry, Part, StoreError};
use serde_json::json;

use super::world::{World, change, fill, tenant};

on_both!(
    log_has_the_order_of_the_chain,
    nothing_changes_a_row,
    a_whole_chain_is_intact,
    a_changed_row_is_found,
    a_removed_row_is_found,
    a_chain_cut_short_is_found,
    a_row_of_ones_own_is_found,
    without_its_row_a_change_does_not_happen,
    many_writers_make_one_chain,
);

pub async fn deeds(world: &World, number: usize) -> String {
    let mut tx = world.write().await;
    let id = tenant(&mut tx, "acme").await;
    tx.commit().await.unwrap();
    for deed in 1..number {
        let mut tx = world.write().await;
        change(&mut tx, "UPDATE tenants SET version = version + 1 WHERE id = $1", &id).await;
        tx.audit(
            Entry::new("tenant.update", "tenant").of(&id, "acme").tenant(&id).after(json!({ "deed": deed })),
        );
        tx.commit().await.unwrap();
    }
    id
}

/// The first fault of a chain.
async fn fault(world: &World, chain: &str) -> Option<String> {
    let report = audit::verify(&mut world.read().await).await.unwrap();
    let found = report.chains.iter().find(|found| found.chain == chain).unwrap();
    assert_eq!(report.is_intact(), report.unguarded.is_empty() && found.fault.is_none());
    found.fault.clone()
}

/// Somebody who holds the database itself in hand.
async fn forge(world: &World, statement: &str) {
    let (off, on) = if world.is_postgres() {
        ("ALTER TABLE audit_log DISABLE TRIGGER USER;", "")
    } else {
        (
            "DROP TRIGGER audit_log_no_update; DROP TRIGGER audit_log_no_delete; DROP TRIGGER audit_log_no_replace;",
            "",
        )
    };
    let partition = if world.is_postgres() {
        let parts = world
            .scratch()
            .sql("SELECT inhrelid::regclass FROM pg_inherits WHERE inhparent = 'audit_log'::regclass");
        parts
            .lines()
            .map(|part| format!("ALTER TABLE {part} DISABLE TRIGGER USER"))
            .collect::<Vec<_>>()
            .join(";")
            + ";"
    } else {
        String::new()
    };
    world.raw(&format!("{off}{partition}{statement};{on}")).await.unwrap();
}

async fn nothing_changes_a_row(world: World) {
    deeds(&world, 2).await;
    let mut statements = vec![
        "UPDATE audit_log SET actor = 'me'",
        "DELETE FROM audit_log",
        "UPDATE audit_log SET hash = hash WHERE seq = 1",
    ];
    if world.is_postgres() {
        statements.push("TRUNCATE audit_log");
        statements.push("TRUNCATE audit_log_default");
        let refused =
            world.raw("SET ROLE portcullis_admin; UPDATE audit_log SET actor = 'me'").await.unwrap_err();
        assert!(refused.contains("permission denied"), "{refused}");
        let refused = world.raw("SET ROLE portcullis_owner; TRUNCATE audit_log").await.unwrap_err();
        assert!(refused.contains("append-only"), "{refused}");
        let parts = world
            .scratch()
            .sql("SELECT inhrelid::regclass FROM pg_inherits WHERE inhparent = 'audit_log'::regclass");
        assert!(parts.lines().count() >= 3, "this month, the next, and the rest: {parts}");
        for part in parts.lines() {
            let refused = world.raw(&format!("TRUNCATE {part}")).await.unwrap_err();
            assert!(refused.contains("append-only"), "{part}: {refused}");
        }
    } else {
        statements.push("INSERT OR REPLACE INTO audit_log SELECT * FROM audit_log");
        statements.push("UPDATE OR REPLACE audit_log SET seq = 1");
    }
    for statement in statements {
        let refused = world.raw(statement).await.expect_err(statement);
        assert!(refused.contains("append-only"), "{statement}: {refused}");
    }
    let report = audit::verify(&mut world.read().await).await.unwrap();
    assert!(report.is_intact(), "{report:?}");
}

async fn a_whole_chain_is_intact(world: World) {
    let id = deeds(&world, 5).await;
    let mut tx = world.write().await;
    tx.audit(Entry::new("settings.update", "setting").because("the reason"));
    tx.commit().await.unwrap();
    let report = audit::verify(&mut world.read().await).await.unwrap();
    assert!(report.is_intact(), "{report:?}");
    let rows: Vec<_> =
        report.chains.iter().map(|chain| (chain.chain.as_str(), chain.rows, chain.seq)).collect();
    assert_eq!(rows, [(id.as_str(), 5, 5), ("system", 1, 1)]);
}

async fn a_changed_row_is_found(world: World) {
    let id = deeds(&world, 5).await;
    forge(&world, "UPDATE audit_log SET after = '{\"deed\": 9}' WHERE seq = 3").await;
    assert_eq!(fault(&world, &id).await.unwrap(), "row 3 was changed after it was written");
    let report = audit::verify(&mut world.read().await).await.unwrap();
    assert!(!report.unguarded.is_empty(), "and the triggers are off");
}

async fn a_removed_row_is_found(world: World) {
    let id = deeds(&world, 5).await;
    forge(&world, "DELETE FROM audit_log WHERE seq = 2").await;
    assert_eq!(fault(&world, &id).await.unwrap(), "row 2 is missing");
    forge_again(&world, "DELETE FROM audit_log WHERE seq = 1").await;
    assert_eq!(fault(&world, &id).await.unwrap(), "row 1 is missing");
}

async fn forge_again(world: &World, statement: &str) {
    world.raw(statement).await.unwrap();
}

async fn a_chain_cut_short_is_found(world: World) {
    let id = deeds(&world, 5).await;
    forge(&world, "DELETE FROM audit_log WHERE seq > 3").await;
    assert_eq!(fault(&world, &id).await.unwrap(), "rows 4 to 5 are missing at the end");
    forge_again(&world, "DELETE FROM audit_log").await;
    assert_eq!(fault(&world, &id).await.unwrap(), "rows 1 to 5 are missing at the end");
}

async fn a_row_of_ones_own_is_found(world: World) {
    let id = deeds(&world, 2).await;
    let copy = "INSERT INTO audit_log SELECT chain, seq + 1, at, request_id, actor, minted_by, actor_roles, tenant_id, action, \
                resource_type, resource_id, resource_name, result, attempts, first_at, before, after, reason, hash, hash \
                FROM audit_log WHERE seq = 2";
    world.raw(copy).await.unwrap();
    assert_eq!(fault(&world, &id).await.unwrap(), "row 3 was changed after it was written");
}

async fn without_its_row_a_change_does_not_happen(world: World) {
    deeds(&world, 1).await;
    // A row that cannot be inserted: its place is taken.
    let id = world.whole().await["tenants"]["acme"]["id"].as_str().unwrap().to_owned();
    world.raw("UPDATE audit_heads SET seq = 0").await.unwrap();
    if world.is_postgres() {
        world
            .raw("CREATE UNIQUE INDEX audit_log_default_seq ON audit_log_default (chain, seq)")
            .await
            .unwrap();
        let part = world.scratch().sql("SELECT tableoid::regclass FROM audit_log LIMIT 1");
        world.raw(&format!("CREATE UNIQUE INDEX taken ON {part} (chain, seq)")).await.unwrap();
    }
    let mut tx = world.write().await;
    change(&mut tx, "UPDATE tenants SET display_name = 'changed' WHERE id = $1", &id).await;
    tx.audit(Entry::new("tenant.update", "tenant").of(&id, "acme").tenant(&id));
    tx.mark_changed(Part::Tenant("acme".into()));
    let failed = tx.commit().await;
    assert!(failed.is_err());
    assert_eq!(world.count("SELECT COUNT(*) FROM tenants WHERE display_name = 'changed'").await, 0);
    assert_eq!(world.whole().await["revision"], 1);
}

async fn many_writers_make_one_chain(world: World) {
    let places = fill(&world, 3).await;
    let tasks: Vec<_> = (0..60)
        .map(|number| {
            let (ledger, places) = (world.ledger.clone(), places.clone());
            tokio::spawn(async move {
                // Several chains in each transaction, in no particular order.
                let mut tx = ledger.write(&super::world::admin()).await.unwrap();
                for step in 0..3 {
                    let place = &places[(number + step * 2) % 3];
                    tx.audit(Entry::new("tenant.update", "tenant").tenant(&place.tenant_id));
                }
                tx.audit(Entry::new("settings.update", "setting"));
                tx.commit().await.map_err(|error: StoreError| panic!("{error}: {error:?}")).unwrap();
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let report = audit::verify(&mut world.read().await).await.unwrap();
    assert!(report.is_intact(), "{report:?}");
    assert_eq!(report.chains.iter().map(|chain| chain.rows).sum::<u64>(), 60 * 4 + 3);
}

#[test]
fn months_have_partitions_that_can_be_detached() {
    super::world::block_on(async {
        let world = World::postgres().await;
        let id = deeds(&world, 4).await;
        world.ledger.create_audit_partitions().await.unwrap();
        world.ledger.create_audit_partitions().await.unwrap();
        let part = world.scratch().sql("SELECT DISTINCT tableoid::regclass FROM audit_log");
        assert!(part.starts_with("audit_log_2"), "rows are in their month: {part}");
        let unwalled = world.scratch().sql(
            "SELECT relname FROM pg_class WHERE relname LIKE 'audit_log_2%' AND relkind = 'r' AND NOT relforcerowsecurity",
        );
        assert_eq!(unwalled, "");
        // As docs/ledger.md says.
        let detach = format!(
            "BEGIN; SET LOCAL ROLE portcullis_admin; \
             INSERT INTO audit_anchors (chain, seq, hash, at, note) SELECT DISTINCT ON (chain) chain, seq, hash, 0, 'detached' \
             FROM audit_log ORDER BY chain, seq DESC; SET LOCAL ROLE portcullis_owner; \
             ALTER TABLE audit_log DETACH PARTITION {part}; COMMIT"
        );
        world.raw(&detach).await.unwrap();
        let report = audit::verify(&mut world.read().await).await.unwrap();
        assert!(report.is_intact(), "{report:?}");
        assert_eq!(
            report.chains.iter().map(|chain| (chain.rows, chain.anchored_at)).collect::<Vec<_>>(),
            [(0, 4)]
        );
        let mut tx = world.write().await;
        tx.audit(Entry::new("tenant.update", "tenant").tenant(&id));
        tx.commit().await.unwrap();
        assert_eq!(fault(&world, &id).await, None, "the chain goes on");
        world.raw("DELETE FROM audit_anchors").await.unwrap();
        assert_eq!(fault(&world, &id).await.unwrap(), "row 1 is missing", "what is not recorded is missed");
    });
}

/// One that began first and committed last is the newest of its chain, and the log says so.
async fn log_has_the_order_of_the_chain(world: World) {
    let mut tx = world.write().await;
    let acme = tenant(&mut tx, "acme").await;
    tx.commit().await.unwrap();
    world.raw("UPDATE audit_heads SET at = at + 3600000").await.unwrap();
    for name in ["one", "two"] {
        let mut tx = world.write().await;
        tx.audit(portcullis_store::Entry::new("tenant.update", "tenant").of(&acme, name).tenant(&acme));
        tx.commit().await.unwrap();
    }
    let mut tx = world.read().await;
    let rows = audit::list(&mut tx, &audit::Filter::default(), None, 100, true).await.unwrap();
    let of_acme: Vec<i64> = rows.iter().filter(|row| row.chain == acme).map(|row| row.seq).collect();
    assert_eq!(of_acme, [3, 2, 1]);
    tx.rollback().await.unwrap();
    let at = |seq: i64| {
        let row = rows.iter().find(|row| row.chain == acme && row.seq == seq).unwrap();
        row.at.parse::<jiff::Timestamp>().unwrap().as_millisecond()
    };
    assert!(at(2) >= at(1) + 3_600_000, "no row is before the one that its chain has before it");
    if world.is_postgres() {
        let mut first = world.write().await;
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        let mut second = world.write().await;
        for (tx, name) in [(&mut second, "second"), (&mut first, "first")] {
            tx.audit(portcullis_store::Entry::new("cluster.update", "cluster").of(name, name));
        }
        second.commit().await.unwrap();
        first.commit().await.unwrap();
        let mut tx = world.read().await;
        let rows = audit::list(&mut tx, &audit::Filter::default(), None, 100, true).await.unwrap();
        let system: Vec<_> = rows.iter().filter(|row| row.chain == "system").collect();
        assert_eq!((system[0].resource_name.as_deref(), system[0].seq), (Some("first"), 2));
        tx.rollback().await.unwrap();
    }
}
