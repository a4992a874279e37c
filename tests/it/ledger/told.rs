//! What the log tells: without credentials, counted, page by page.

use portcullis_store::Entry;
use portcullis_store::audit::{self, Denial, Filter, Outcome, REDACTED};
use serde_json::json;

use super::past::deeds;
use super::world::{World, fill, owner};

on_both!(credentials_are_not_written_down, denied_attempts_are_counted, a_list_goes_on_where_it_stopped,);

async fn credentials_are_not_written_down(world: World) {
    let mut tx = world.write().await;
    let source = json!({"helmOci": {"password": "hunter2", "credentialsSecretRef": {"name": "pull"}}});
    tx.audit(Entry::new("app.create", "app").before(source.clone()).after(source));
    tx.commit().await.unwrap();
    assert_eq!(
        world
            .count("SELECT COUNT(*) FROM audit_log WHERE before LIKE '%hunter2%' OR after LIKE '%hunter2%'")
            .await,
        0
    );
    let rows = audit::list(&mut world.read().await, &Filter::default(), None, 10, true).await.unwrap();
    let after = rows[0].after.as_ref().unwrap();
    assert_eq!(after["helmOci"]["password"], REDACTED);
    assert_eq!(after["helmOci"]["credentialsSecretRef"]["name"], "pull");
}

async fn denied_attempts_are_counted(world: World) {
    let places = fill(&world, 2).await;
    let denial = |actor: &str| Denial {
        actor: actor.to_owned(),
        tenant_id: Some(places[0].tenant_id.clone()),
        action: "tenant.delete",
        resource_type: "tenant",
        reason: "forbidden",
    };
    for number in 0..1_000 {
        world.ledger.denied(denial("issuer#mallory"), &format!("request-{number}"));
    }
    tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    for number in 0..5_000 {
        world.ledger.denied(denial(&format!("issuer#{number}")), "request");
    }
    assert_eq!(world.ledger.write_denied().await.unwrap(), 16);
    let filter = Filter { action: Some("tenant.delete".into()), ..Filter::default() };
    let rows = audit::list(&mut world.read().await, &filter, None, 200, true).await.unwrap();
    assert_eq!(rows.len(), 16, "no more at a time, whatever the number of those who fail");
    let most = rows.iter().find(|row| row.actor == "issuer#mallory").unwrap();
    assert_eq!((most.attempts, most.result.as_str(), most.chain.as_str()), (1_000, "denied", "system"));
    assert!(most.first_at.as_ref().unwrap() <= &most.at);
    let mut written = 16;
    while written > 0 {
        written = world.ledger.write_denied().await.unwrap();
    }
    let attempts: i64 =
        world.count("SELECT CAST(SUM(attempts) AS BIGINT) FROM audit_log WHERE result = 'denied'").await;
    assert_eq!(attempts, 6_000, "counted together, and none lost");
    assert!(world.count("SELECT COUNT(*) FROM audit_log WHERE result = 'denied'").await <= 257);
    let report = audit::verify(&mut world.read().await).await.unwrap();
    assert!(report.is_intact(), "{report:?}");
    // The caller's own tenant reads of it; the other does not.
    for (place, sees) in places.iter().zip([true, false]) {
        let mut tx = world.ledger.read(&owner(&place.tenant_id, &place.tenant)).await.unwrap();
        let rows = audit::list(&mut tx, &filter, None, 200, true).await.unwrap();
        assert_eq!(!rows.is_empty(), sees);
    }
}

async fn a_list_goes_on_where_it_stopped(world: World) {
    let id = deeds(&world, 7).await;
    let mut tx = world.write().await;
    for _ in 0..5 {
        tx.audit(Entry { outcome: Outcome::Error, ..Entry::new("settings.update", "setting") });
    }
    tx.commit().await.unwrap();
    let mut tx = world.read().await;
    let (mut after, mut all) = (None::<String>, Vec::new());
    loop {
        let rows = audit::list(&mut tx, &Filter::default(), after.as_deref(), 5, true).await.unwrap();
        after = rows.last().map(|row| row.cursor.clone());
        if rows.is_empty() {
            break;
        }
        all.extend(rows);
    }
    assert_eq!(all.len(), 12);
    assert!(all.is_sorted_by(|one, next| one.at >= next.at));
    let mut places: Vec<_> = all.iter().map(|row| (row.chain.clone(), row.seq)).collect();
    places.sort();
    places.dedup();
    assert_eq!(places.len(), 12, "none twice");
    let filter = Filter { tenant_id: Some(id.clone()), action: Some("tenant.update".into()), since: None };
    assert_eq!(audit::list(&mut tx, &filter, None, 50, true).await.unwrap().len(), 6);
    let later = Filter { since: Some(i64::MAX), ..Filter::default() };
    assert!(audit::list(&mut tx, &later, None, 50, true).await.unwrap().is_empty());
    let mut tx = world.ledger.read(&owner(&id, "acme")).await.unwrap();
    let own = audit::list(&mut tx, &Filter::default(), None, 50, true).await.unwrap();
    assert_eq!(own.len(), 7, "what belongs to no tenant is not the tenant's to read");
}
