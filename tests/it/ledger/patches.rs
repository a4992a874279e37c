//! Patches, one by one, all at once, by many writers: always the document.

use std::time::Duration;

use portcullis_store::revision::{Follows, compose, follows};
use portcullis_store::{Entry, Part, Tx, audit, new_id, snapshot};
use portcullis_tenancy::Snapshot;
use serde_json::{Value, json};

use super::world::{Place, World, admin, app, change, cluster, fill, join, namespace, sandbox};

on_both!(
    patches_in_order_are_the_whole,
    a_cluster_has_its_own_part,
    many_parts_are_as_good_as_few,
    patches_of_many_writers_are_the_whole,
    old_changes_are_pruned,
    a_renewed_ledger_is_another_history,
    changes_are_a_chain_that_no_other_history_has,
);

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
    tx.mark_changed(Part::Namespace(name.clone()));
    change(
        &mut tx,
        "UPDATE tenants SET registries = NULL, status = 'suspended' WHERE id = $1",
        &place.tenant_id,
    )
    .await;
    tx.mark_changed(Part::Tenant("t0".into()));
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
    tx.mark_changed(Part::Tenant("t1".into()));
    tx.commit().await.unwrap();
    document = follow(&world, document, &mut seen).await;
    assert_eq!(document["tenants"]["t1"]["registries"], json!(["docker.io/library", "ghcr.io/acme"]));
    assert_eq!(document["tenants"]["t1"]["policySets"][1]["projects"], json!(["shop"]));

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
    tx.mark_changed(Part::App("t0".into(), "shop".into(), "api".into()));
    tx.mark_changed(Part::Namespace("tn-t0-shop-app-api".into()));
    tx.mark_changed(Part::Namespace(name.clone()));
    tx.commit().await.unwrap();
    document = follow(&world, document, &mut seen).await;
    assert!(document["namespaces"].get(&name).is_none());

    let mut tx = world.read().await;
    let all = tx.changes_since(0).await.unwrap().unwrap();
    let mut at_once = first;
    json_patch::merge(&mut at_once, &compose(&all).unwrap());
    assert_eq!(at_once, document, "all changes composed");
    assert!(tx.changes_since(seen + 1).await.unwrap().is_none(), "a revision that is not reached");
}

/// Lays the newest changes over the document, one by one; it must then be the whole, and one that a gate takes.
async fn follow(world: &World, mut document: Value, seen: &mut u64) -> Value {
    let mut tx = world.read().await;
    let changes = tx.changes_since(*seen).await.unwrap().unwrap();
    assert!(!changes.is_empty());
    for change in changes {
        json_patch::merge(&mut document, &serde_json::from_str(&change.patch).unwrap());
        *seen = change.revision;
    }
    let whole: serde_json::Value =
        serde_json::from_slice(&snapshot::whole(&mut tx, None).await.unwrap()).unwrap();
    assert_eq!(document, whole);
    let bytes = serde_json::to_vec(&whole).unwrap();
    let snapshot = Snapshot::parse("whole.json", &bytes).unwrap_or_else(|error| panic!("{error}\n{whole:#}"));
    assert_eq!(snapshot.revision, *seen);
    whole
}

async fn setting(tx: &mut Tx, key: &'static str, value: &str) {
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
    tx.mark_changed(Part::Settings);
}

async fn policy_set(tx: &mut Tx, tenant: &str) {
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
    let place = Place { cluster_id: two.clone(), ..places[1].clone() };
    let far = app(&mut tx, &place, "far").await;
    namespace(&mut tx, &place, "app-far", Some(&far), None).await;
    tx.commit().await.unwrap();
    let mut tx = world.read().await;
    let part: serde_json::Value =
        serde_json::from_slice(&snapshot::whole(&mut tx, Some("two")).await.unwrap()).unwrap();
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
        tx.mark_changed(Part::App(place.tenant.clone(), "shop".into(), "web".into()));
        tx.mark_changed(Part::Namespace(format!("tn-{}-shop-app-web", place.tenant)));
    }
    tx.commit().await.unwrap();
    document = follow(&world, document, &mut 1).await;
    assert_eq!(document["apps"].as_object().unwrap().len(), 10);
}

/// What one renders may be what another changes: the ceiling bounds every tenant's list.
async fn patches_of_many_writers_are_the_whole(world: World) {
    let mut document = world.whole().await;
    let places = fill(&world, 2).await;
    let tasks: Vec<_> = (0..24)
        .map(|number| {
            let (ledger, places) = (world.ledger.clone(), places.clone());
            tokio::spawn(async move {
                let mut tx = ledger.write(&admin()).await.unwrap();
                let list = json!([format!("ghcr.io/n{number}"), "docker.io"]);
                if number % 3 == 0 {
                    let ceiling =
                        json!({ "ceiling": [format!("docker.io/n{number}"), "ghcr.io"] }).to_string();
                    upsert(&mut tx, &ceiling).await;
                } else {
                    let place = &places[number % 2];
                    sqlx::query("UPDATE tenants SET registries = $1 WHERE id = $2")
                        .bind(list.to_string())
                        .bind(&place.tenant_id)
                        .execute(tx.sql())
                        .await
                        .unwrap();
                    tx.mark_changed(Part::Tenant(place.tenant.clone()));
                }
                tx.audit(Entry::new("settings.update", "setting"));
                // Everybody has changed something before anybody commits.
                tokio::time::sleep(Duration::from_millis(20)).await;
                tx.commit().await.unwrap();
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    document = follow(&world, document, &mut 0).await;
    assert_eq!(document["revision"], 25);
}

async fn upsert(tx: &mut Tx, ceiling: &str) {
    sqlx::query(
        "INSERT INTO settings (id, created_at, updated_at, scope, key, value) VALUES ($1, 0, 0, 'global', 'registries', $2) \
         ON CONFLICT (key) WHERE tenant_id IS NULL DO UPDATE SET value = excluded.value",
    )
    .bind(new_id())
    .bind(ceiling)
    .execute(tx.sql())
    .await
    .unwrap();
    tx.mark_changed(Part::Settings);
}

async fn old_changes_are_pruned(world: World) {
    world.raw("UPDATE ledger SET revision = 5000; INSERT INTO changes (revision, patch, parts, at) VALUES (1, '{}', '[]', 0), (2900, '{}', '[]', 0), (4999, '{}', '[]', 0), (5000, '{}', '[]', 0)").await.unwrap();
    let mut tx = world.write().await;
    tx.mark_changed(Part::Policies);
    assert_eq!(tx.commit().await.unwrap().revision, Some(5001));
    assert_eq!(world.count("SELECT MIN(revision) FROM changes").await, 4999);
    let mut tx = world.read().await;
    assert_eq!(tx.changes_since(4999).await.unwrap().unwrap().len(), 2);
    assert!(tx.changes_since(4000).await.unwrap().is_none(), "some of them are gone");
}

async fn a_renewed_ledger_is_another_history(world: World) {
    fill(&world, 1).await;
    let was = world.whole().await;
    let mut tx = world.write().await;
    let id = tx.renew_ledger().await.unwrap();
    assert_eq!(tx.commit().await.unwrap().revision, Some(2));
    let is = world.whole().await;
    assert_eq!(is["ledger"], id);
    assert_ne!(is["ledger"], was["ledger"]);
    assert_eq!(is["tenants"], was["tenants"]);
    let mut tx = world.read().await;
    assert!(tx.changes_since(0).await.unwrap().is_none(), "the changes of the other history are gone");
    let rows = audit::list(&mut tx, &audit::Filter::default(), None, 1, true).await.unwrap();
    assert_eq!(rows[0].action, "ledger.renew");
}

/// From any revision the changes lead to the newest; from the same number of another history they do not.
async fn changes_are_a_chain_that_no_other_history_has(world: World) {
    let places = fill(&world, 1).await;
    let mut seen = Vec::new();
    for status in ["suspended", "active", "suspended", "active"] {
        let mut tx = world.write().await;
        change(&mut tx, "UPDATE tenants SET status = $1", status).await;
        tx.mark_changed(Part::Tenant(places[0].tenant.clone()));
        tx.commit().await.unwrap();
        seen.push(world.read().await.ledger().await.unwrap());
    }
    let mut tx = world.read().await;
    let now = tx.ledger().await.unwrap();
    assert!(seen.windows(2).all(|pair| pair[0].digest != pair[1].digest));
    for at in &seen {
        let changes = tx.changes_since(at.revision).await.unwrap().unwrap();
        assert_eq!(follows(Some(&at.digest), &changes, &now), Follows::Yes);
        assert_eq!(follows(None, &changes, &now), Follows::Unknown);
        if at.revision < now.revision {
            assert_eq!(follows(Some("another"), &changes, &now), Follows::Fork);
            let mut altered = changes.clone();
            altered[0].patch = "{}".into();
            assert_eq!(follows(Some(&at.digest), &altered, &now), Follows::Fork, "a patch that was altered");
            altered[0].digest = "".into();
            assert_eq!(follows(Some(&at.digest), &altered, &now), Follows::Unknown);
        }
    }
}
