//! What the tables themselves do not let happen.

use portcullis_store::{StoreError, new_id};

use super::world::{Place, World, app, change, fill};

on_both!(
    an_app_has_exactly_one_namespace,
    a_row_in_another_tenant_is_impossible,
    what_is_taken_is_a_conflict_in_words,
);

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
    let mixed = Place { tenant_id: places[1].tenant_id.clone(), ..places[0].clone() };
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
    assert_eq!(detail, "the tenant already has a project of this name");
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
