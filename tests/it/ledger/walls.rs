//! PostgreSQL's walls, tried with statements that name no tenant: what the database does when the program forgets.

use std::time::Duration;

use portcullis_store::{Ledger, Options, StoreError, Tx, new_id};
use sqlx::Connection as _;

use super::world::{Place, World, admin, block_on, fill, owner};

/// What each table of tenants answers without a condition.
async fn seen(tx: &mut Tx, table: &str) -> Vec<String> {
    let column = if table == "tenants" { "id" } else { "tenant_id" };
    let sql = format!("SELECT DISTINCT {column} FROM {table} ORDER BY 1");
    sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).fetch_all(tx.sql()).await.unwrap()
}

async fn run(tx: &mut Tx, sql: &str) -> Result<u64, StoreError> {
    let sql = sqlx::AssertSqlSafe(sql.to_owned());
    Ok(sqlx::raw_sql(sql).execute(tx.sql()).await.map_err(StoreError::from)?.rows_affected())
}

fn is_refused(result: &Result<u64, StoreError>, word: &str) -> bool {
    match result {
        Err(StoreError::Database(source)) => source.to_string().contains(word),
        _ => false,
    }
}

const WALLED: [&str; 6] = ["tenants", "tenant_clusters", "projects", "apps", "sandboxes", "namespaces"];

fn with_two(test: impl AsyncFn(World, Vec<Place>)) {
    block_on(async {
        let world = World::postgres().await;
        let places = fill(&world, 2).await;
        test(world, places).await;
    });
}

#[test]
fn a_tenant_sees_itself_alone() {
    with_two(async |world, places| {
        for place in &places {
            let mut tx = world.ledger.read(&owner(&place.tenant_id, &place.tenant)).await.unwrap();
            for table in WALLED {
                assert_eq!(seen(&mut tx, table).await, std::slice::from_ref(&place.tenant_id), "{table}");
            }
        }
        let mut tx = world.read().await;
        for table in WALLED {
            assert_eq!(seen(&mut tx, table).await.len(), 2, "{table}");
        }
    });
}

#[test]
fn a_tenant_changes_itself_alone() {
    with_two(async |world, places| {
        let other = &places[1].tenant_id;
        for table in ["projects", "sandboxes", "namespaces"] {
            let mut tx = world.ledger.write(&owner(&places[0].tenant_id, "t0")).await.unwrap();
            assert_eq!(
                run(&mut tx, &format!("UPDATE {table} SET version = 7")).await.unwrap(),
                count_own(table)
            );
            assert_eq!(
                run(&mut tx, &format!("UPDATE {table} SET version = 8 WHERE tenant_id = '{other}'"))
                    .await
                    .unwrap(),
                0
            );
            assert_eq!(
                run(&mut tx, &format!("DELETE FROM {table} WHERE tenant_id = '{other}'")).await.unwrap(),
                0
            );
        }
        let mut tx = world.ledger.write(&owner(&places[0].tenant_id, "t0")).await.unwrap();
        let forged = format!(
            "INSERT INTO projects (id, created_at, updated_at, tenant_id, slug) VALUES ('{}', 0, 0, '{other}', 'x')",
            new_id()
        );
        let done = run(&mut tx, &forged).await;
        assert!(is_refused(&done, "row-level security"), "{done:?}");
        drop(tx);
        let mut tx = world.ledger.write(&owner(&places[0].tenant_id, "t0")).await.unwrap();
        let moved = run(&mut tx, &format!("UPDATE policysets SET tenant_id = '{other}'")).await;
        assert_eq!(moved.unwrap(), 0, "there is none");
        let given = run(&mut tx, &format!("UPDATE projects SET tenant_id = '{other}'")).await;
        assert!(is_refused(&given, "row-level security"), "{given:?}");
    });
}

fn count_own(table: &str) -> u64 {
    if table == "namespaces" { 2 } else { 1 }
}

#[test]
fn what_the_platform_decides_is_not_the_tenants() {
    with_two(async |world, places| {
        let scope = owner(&places[0].tenant_id, "t0");
        for field in [
            "registries = '[]'",
            "status = 'suspended'",
            "plan_id = NULL, dev_group = 'system:masters'",
            "quotas = '{\"pods\":\"9\"}'",
        ] {
            let mut tx = world.ledger.write(&scope).await.unwrap();
            let done = run(&mut tx, &format!("UPDATE tenants SET {field}")).await;
            assert!(is_refused(&done, "the platform decides"), "{field}: {done:?}");
        }
        let mut tx = world.ledger.write(&scope).await.unwrap();
        let own = "UPDATE tenants SET display_name = 'x', labels = '{}', registries = registries, version = version + 1";
        assert_eq!(run(&mut tx, own).await.unwrap(), 1);
        for (sql, word) in [
            ("DELETE FROM tenants", "permission denied"),
            ("UPDATE clusters SET name = 'x'", "permission denied"),
            ("SELECT kubeconfig_enc FROM clusters", "permission denied"),
            ("UPDATE settings SET value = '[]'", "permission denied"),
            ("SELECT patch FROM changes", "permission denied"),
            ("UPDATE plans SET quotas = '{}'", "permission denied"),
            ("SELECT document FROM breakglass", "permission denied"),
        ] {
            let mut tx = world.ledger.write(&scope).await.unwrap();
            let done = run(&mut tx, sql).await;
            assert!(is_refused(&done, word), "{sql}: {done:?}");
        }
        let mut tx = world.ledger.write(&scope).await.unwrap();
        let granted = format!(
            "INSERT INTO exceptions (id, created_at, updated_at, tenant_id, policy, reason, state, requested_by, \
             approved_by, expires_at) VALUES ('{}', 0, 0, '{}', 'p', 'r', 'active', 'me', 'me', 0)",
            new_id(),
            places[0].tenant_id
        );
        let done = run(&mut tx, &granted).await;
        assert!(is_refused(&done, "row-level security"), "{done:?}");
    });
}

#[test]
fn the_catalog_is_shared_to_read_and_own_to_write() {
    with_two(async |world, places| {
        let mut tx = world.write().await;
        for (slug, scope, tenant) in [
            ("nginx", "global", None),
            ("nginx", "tenant", Some(&places[0].tenant_id)),
            ("redis", "tenant", Some(&places[1].tenant_id)),
        ] {
            sqlx::query(
                "INSERT INTO catalog_items (id, created_at, updated_at, slug, name, scope, tenant_id) \
                 VALUES ($1, 0, 0, $2, $2, $3, $4)",
            )
            .bind(new_id())
            .bind(slug)
            .bind(scope)
            .bind(tenant)
            .execute(tx.sql())
            .await
            .unwrap();
        }
        tx.commit().await.unwrap();
        let mut tx = world.ledger.write(&owner(&places[0].tenant_id, "t0")).await.unwrap();
        let slugs: Vec<(String, String)> =
            sqlx::query_as("SELECT slug, scope FROM catalog_items ORDER BY scope")
                .fetch_all(tx.sql())
                .await
                .unwrap();
        assert_eq!(slugs, [("nginx".into(), "global".into()), ("nginx".into(), "tenant".into())]);
        assert_eq!(run(&mut tx, "UPDATE catalog_items SET name = 'mine'").await.unwrap(), 1);
        assert_eq!(run(&mut tx, "DELETE FROM catalog_items WHERE scope = 'global'").await.unwrap(), 0);
        let second = format!(
            "INSERT INTO catalog_items (id, created_at, updated_at, slug, name, scope) VALUES ('{}', 0, 0, 'y', 'y', 'global')",
            new_id()
        );
        assert!(is_refused(&run(&mut tx, &second).await, "row-level security"));
    });
}

#[test]
fn without_a_tenant_there_is_nothing() {
    with_two(async |world, _| {
        let mut on = sqlx::PgConnection::connect(&world.url).await.unwrap();
        for setting in
            ["RESET app.tenant_id", "SET app.tenant_id = ''", "SET app.tenant_id = 'x'' OR true --'"]
        {
            sqlx::raw_sql(setting).execute(&mut on).await.unwrap();
            for table in WALLED {
                let sql = format!("BEGIN; SET LOCAL ROLE portcullis_app; SELECT count(*) FROM {table}");
                let rows = sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).fetch_all(&mut on).await.unwrap();
                let count: i64 = sqlx::Row::get(rows.last().unwrap(), 0);
                assert_eq!(count, 0, "{setting}: {table}");
                sqlx::raw_sql("ROLLBACK").execute(&mut on).await.unwrap();
            }
        }
        // The owner of the tables sees no more.
        let rows = sqlx::raw_sql("BEGIN; SET LOCAL ROLE portcullis_owner; SELECT count(*) FROM projects")
            .fetch_all(&mut on)
            .await
            .unwrap();
        assert_eq!(sqlx::Row::get::<i64, _>(rows.last().unwrap(), 0), 0);
    });
}

#[test]
fn an_id_that_is_none_opens_nothing() {
    with_two(async |world, _| {
        for id in ["'; RESET ROLE; --", "x'", "%"] {
            let refused = world.ledger.read(&owner(id, "t0")).await.map(drop);
            assert!(matches!(refused, Err(StoreError::NotFound("tenant"))), "{id}: {refused:?}");
        }
    });
}

#[test]
fn a_pool_of_two_under_a_thousand_tenants_leaks_nothing() {
    block_on(async {
        let world = World::postgres().await;
        let mut tx = world.write().await;
        let rows = 1_000;
        run(
            &mut tx,
            &format!(
                "INSERT INTO tenants (id, created_at, updated_at, slug, dev_group) \
                 SELECT gen_random_uuid()::text, 0, 0, 't' || n, 'g' FROM generate_series(1, {rows}) n; \
                 INSERT INTO projects (id, created_at, updated_at, tenant_id, slug) \
                 SELECT gen_random_uuid()::text, 0, 0, id, 'shop' FROM tenants"
            ),
        )
        .await
        .unwrap();
        tx.commit().await.unwrap();
        let mut tx = world.read().await;
        let tenants: Vec<(String, String)> =
            sqlx::query_as("SELECT id, slug FROM tenants").fetch_all(tx.sql()).await.unwrap();
        drop(tx);
        let options = Options { connections: 2, wait_timeout: Duration::from_mins(1), ..Options::default() };
        let ledger = Ledger::open(&world.url, &options).await.unwrap();
        let tasks: Vec<_> = tenants
            .into_iter()
            .enumerate()
            .map(|(number, (id, slug))| {
                let ledger = ledger.clone();
                tokio::spawn(async move {
                    for round in 0..3 {
                        let scope = owner(&id, &slug);
                        let begun = ledger.write(&scope);
                        // Some callers go away in the middle of whatever they are in.
                        let patience =
                            if (number + round) % 5 == 0 { Duration::from_millis(3) } else { Duration::MAX };
                        let Ok(tx) = tokio::time::timeout(patience, begun).await else { continue };
                        let mut tx = tx.unwrap();
                        assert_eq!(seen(&mut tx, "projects").await, std::slice::from_ref(&id));
                        assert_eq!(
                            run(&mut tx, "UPDATE projects SET version = version + 1").await.unwrap(),
                            1
                        );
                        match number % 3 {
                            0 => drop(tx.commit().await.unwrap()),
                            1 => drop(tx),
                            _ => {
                                run(&mut tx, "SELECT 1 / 0").await.unwrap_err();
                            }
                        }
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        // What the pool kept carries nobody's role and nobody's tenant.
        let mut tx = ledger.read(&admin()).await.unwrap();
        assert_eq!(seen(&mut tx, "projects").await.len(), rows);
    });
}

#[test]
fn every_table_of_tenants_is_walled() {
    block_on(async {
        let world = World::postgres().await;
        let open = world.scratch().sql(
            "SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
             WHERE n.nspname = 'public' AND c.relkind IN ('r', 'p') AND (c.relname IN ('tenants', 'clusters', 'audit_heads') \
             OR EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'tenant_id' AND NOT a.attisdropped)) \
             AND NOT (c.relrowsecurity AND c.relforcerowsecurity)",
        );
        assert_eq!(open, "", "tables without forced row-level security");
        let owned = world.scratch().sql(
            "SELECT c.relname || ' ' || pg_get_userbyid(c.relowner) FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace \
             AND c.relkind IN ('r', 'p') AND pg_get_userbyid(c.relowner) <> 'portcullis_owner'",
        );
        assert_eq!(owned, "", "tables of another owner");
        let above = world.scratch().sql(
            "SELECT rolname FROM pg_roles WHERE rolname LIKE 'portcullis%' AND (rolsuper OR rolbypassrls OR rolcanlogin)",
        );
        assert_eq!(above, "", "roles above the walls");
        let walled = world.scratch().sql("SELECT count(DISTINCT tablename) FROM pg_policies");
        assert!(walled.parse::<u32>().unwrap() > 15, "{walled}: the questions above found tables");
    });
}
