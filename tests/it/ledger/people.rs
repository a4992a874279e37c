//! Tenants, members, projects, plans and settings, as the ledger keeps them.

use portcullis_access::{Action, Identity, Role, Scope, TenantRef, authorize};
use portcullis_store::tenants::{self, New, Registries, Status, Tenant, TenantUpdate, Word};
use portcullis_store::{StoreError, Tx, members, new_id, plans, projects, revision, settings, snapshot};
use serde_json::{Value, json};

use super::world::World;

on_both!(
    a_tenants_life,
    a_slug_is_free_once_its_tenant_is_gone,
    owners_are_members,
    access_to_one_project,
    whoever_is_limited_sees_its_projects,
    settings_bound_what_is_in_force,
    a_suspended_tenants_people_change_nothing_and_delete,
);

fn scope(action: Action) -> Scope {
    authorize(&Identity::process("test"), action, Some("acme"), "request-1").unwrap()
}

fn person(action: Action, tenant: &Tenant, role: Role, own: Option<&[&str]>) -> Scope {
    let named = TenantRef { id: tenant.id.clone(), slug: tenant.name.clone() };
    let own = own.map(|ids| ids.iter().map(|id| (*id).to_owned()).collect());
    let who = Identity::known("issuer", "somebody").member(named, role, own);
    authorize(&who, action, Some(&tenant.name), "request-2").unwrap()
}

async fn cluster(world: &World) -> String {
    let mut tx = world.write().await;
    let (id, now) = (new_id(), tx.now());
    sqlx::query("INSERT INTO clusters (id, created_at, updated_at, name) VALUES ($1, $2, $2, $3)")
        .bind(&id)
        .bind(now)
        .bind("eu-1")
        .execute(tx.sql())
        .await
        .unwrap();
    tx.commit().await.unwrap();
    id
}

fn named(name: &str) -> New {
    New { name: name.to_owned(), ..New::default() }
}

async fn acme(world: &World) -> Tenant {
    cluster(world).await;
    let mut tx = world.ledger.write(&scope(Action::TenantsCreate)).await.unwrap();
    let tenant = tenants::create(&mut tx, "eu-1", named("acme")).await.unwrap();
    tx.commit().await.unwrap();
    tenant
}

/// The part of the snapshot at this pointer.
async fn seen(world: &World, pointer: &str) -> Value {
    let mut tx = world.ledger.read(&scope(Action::Snapshot)).await.unwrap();
    let whole: serde_json::Value =
        serde_json::from_slice(&snapshot::whole(&mut tx, None).await.unwrap()).unwrap();
    tx.commit().await.unwrap();
    whole.pointer(pointer).cloned().unwrap_or(Value::Null)
}

async fn revision_of(world: &World) -> u64 {
    let mut tx = world.ledger.read(&scope(Action::Snapshot)).await.unwrap();
    let now: revision::LedgerHead = tx.ledger().await.unwrap();
    tx.commit().await.unwrap();
    now.revision
}

async fn ceiling(tx: &mut Tx, entries: &[&str]) {
    let was = settings::get(tx, "registries").await.unwrap();
    settings::put(tx, was, json!({ "ceiling": entries, "platform": [] })).await.unwrap();
}

async fn a_tenants_life(world: World) {
    let tenant = acme(&world).await;
    assert_eq!((tenant.dev_group.as_str(), tenant.version), ("acme-devs", 1));
    assert_eq!(seen(&world, "/tenants/acme/groups").await, json!(["acme-devs"]));
    assert_eq!(seen(&world, "/tenants/acme/registries").await, Value::Null);

    let before = revision_of(&world).await;
    let mut tx = world.ledger.write(&scope(Action::TenantsUpdate)).await.unwrap();
    let was = tenants::change(&mut tx, "eu-1", "acme").await.unwrap();
    let called = TenantUpdate {
        display_name: Some("Robert'); DROP TABLE tenants;--".into()),
        ..TenantUpdate::default()
    };
    let tenant = tenants::update(&mut tx, was, called).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!((tenant.display_name.as_str(), tenant.version), ("Robert'); DROP TABLE tenants;--", 2));
    assert_eq!(revision_of(&world).await, before, "no gate needs to hear of a name");

    let mut tx = world.ledger.write(&scope(Action::TenantsSuspend)).await.unwrap();
    let was = tenants::change(&mut tx, "eu-1", &tenant.id).await.unwrap();
    let tenant = tenants::set_status(&mut tx, was, Status::Suspended).await.unwrap();
    let same = tenants::set_status(&mut tx, tenant.clone(), Status::Suspended).await.unwrap();
    assert_eq!(same.version, tenant.version);
    tx.commit().await.unwrap();
    assert_eq!(seen(&world, "/tenants/acme/status").await, "suspended");
    assert_eq!(revision_of(&world).await, before + 1);
}

async fn a_slug_is_free_once_its_tenant_is_gone(world: World) {
    let old = acme(&world).await;
    let mut tx = world.ledger.write(&scope(Action::TenantsCreate)).await.unwrap();
    let again = tenants::create(&mut tx, "eu-1", named("acme")).await;
    assert!(matches!(again, Err(StoreError::Conflict { constraint, .. }) if constraint == "tenants_slug"));
    tx.rollback().await.unwrap();

    let mut tx = world.ledger.write(&scope(Action::ProjectsCreate)).await.unwrap();
    let tenant = tenants::change(&mut tx, "eu-1", "acme").await.unwrap();
    let shop = projects::New { name: "shop".into(), ..projects::New::default() };
    projects::create(&mut tx, &tenant, &shop).await.unwrap();
    tx.commit().await.unwrap();
    assert!(seen(&world, "/projects/acme~1shop/id").await.is_string());

    let mut tx = world.ledger.write(&scope(Action::TenantsDelete)).await.unwrap();
    let was = tenants::change(&mut tx, "eu-1", "acme").await.unwrap();
    let kept = tenants::delete(&mut tx, was, false).await;
    assert_eq!(kept.unwrap_err().to_string(), "the tenant still has 1 project");
    let was = tenants::change(&mut tx, "eu-1", "acme").await.unwrap();
    tenants::delete(&mut tx, was, true).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(seen(&world, "/tenants").await, json!({}));
    assert_eq!(seen(&world, "/projects").await, json!({}));

    let mut tx = world.ledger.write(&scope(Action::TenantsCreate)).await.unwrap();
    let early = tenants::create(&mut tx, "eu-1", named("acme")).await;
    assert!(matches!(early, Err(StoreError::Conflict { constraint, .. }) if constraint == "name.reuse"));
    tx.rollback().await.unwrap();
    let mut tx = world.write().await;
    sqlx::query("UPDATE released_keys SET released_at = 0").execute(tx.sql()).await.unwrap();
    tx.commit().await.unwrap();
    let mut tx = world.ledger.write(&scope(Action::TenantsCreate)).await.unwrap();
    let new = tenants::create(&mut tx, "eu-1", named("acme")).await.unwrap();
    tx.commit().await.unwrap();
    assert_ne!(new.id, old.id);
    let mut tx = world.write().await;
    assert!(matches!(tenants::anywhere(&mut tx, &old.id).await, Err(StoreError::NotFound("tenant"))));
}

async fn owners_are_members(world: World) {
    let acme = acme(&world).await;
    let mut tx = world.ledger.write(&scope(Action::TenantsOwners)).await.unwrap();
    let was = tenants::change(&mut tx, "eu-1", "acme").await.unwrap();
    let owners = ["i#bob".to_owned(), "i#ada".to_owned()];
    let is = tenants::set_owners(&mut tx, was, &owners).await.unwrap();
    assert_eq!((is.owners.clone(), is.version), (vec!["i#ada".to_owned(), "i#bob".to_owned()], 2));
    let bob = members::put(&mut tx, &is, "i#bob", members::MemberRole::ReadOnly, None).await.unwrap();
    assert_eq!(bob.version, 2);
    let is = tenants::anywhere(&mut tx, "acme").await.unwrap();
    assert_eq!((is.owners.clone(), is.version), (vec!["i#ada".to_owned()], 3));
    let is = tenants::set_owners(&mut tx, is, &[]).await.unwrap();
    assert!(is.owners.is_empty());
    assert!(members::find(&mut tx, &acme.id, "i#ada").await.unwrap().is_none());
    assert!(members::find(&mut tx, &acme.id, "i#bob").await.unwrap().is_some());
    let of_bob = tenants::list(&mut tx, "eu-1", Some("i#bob"), None, 10).await.unwrap();
    assert!(of_bob.is_empty(), "a reader owns nothing");
    tx.commit().await.unwrap();
}

async fn access_to_one_project(world: World) {
    acme(&world).await;
    let mut tx = world.ledger.write(&scope(Action::ProjectsAccess)).await.unwrap();
    let tenant = tenants::change(&mut tx, "eu-1", "acme").await.unwrap();
    let make = |name: &str| projects::New { name: name.to_owned(), ..projects::New::default() };
    let shop = projects::create(&mut tx, &tenant, &make("shop")).await.unwrap();
    let web = projects::create(&mut tx, &tenant, &make("web")).await.unwrap();
    let line = |subject: &str, role| members::Access { subject: subject.to_owned(), role };
    let dev = members::ProjectRole::ProjectDev;
    let lines = [line("i#ada", dev), line("i#bob", dev)];
    members::replace_access(&mut tx, &shop, &lines).await.unwrap().unwrap();
    members::replace_access(&mut tx, &web, &lines[..1]).await.unwrap().unwrap();
    let ada = members::find(&mut tx, &tenant.id, "i#ada").await.unwrap().unwrap();
    assert_eq!(ada.projects, Some(vec![shop.id.clone(), web.id.clone()]));
    let lesser = [line("i#ada", members::ProjectRole::ReadOnly)];
    let refused = members::replace_access(&mut tx, &shop, &lesser).await.unwrap().unwrap_err();
    assert_eq!((refused.len(), refused[0].index), (1, 0));
    assert!(members::find(&mut tx, &tenant.id, "i#bob").await.unwrap().is_some(), "nothing was changed");
    members::replace_access(&mut tx, &shop, &[]).await.unwrap().unwrap();
    let ada = members::find(&mut tx, &tenant.id, "i#ada").await.unwrap().unwrap();
    assert_eq!(ada.projects, Some(vec![web.id.clone()]));
    assert!(members::find(&mut tx, &tenant.id, "i#bob").await.unwrap().is_none());
    projects::remove(&mut tx, &tenant, web, false).await.unwrap();
    assert!(members::find(&mut tx, &tenant.id, "i#ada").await.unwrap().is_none());
    tx.commit().await.unwrap();
}

async fn whoever_is_limited_sees_its_projects(world: World) {
    let tenant = acme(&world).await;
    let mut tx = world.ledger.write(&scope(Action::ProjectsCreate)).await.unwrap();
    let mut ids = Vec::new();
    for name in ["shop", "web", "lab"] {
        let new = projects::New { name: name.to_owned(), ..projects::New::default() };
        ids.push(projects::create(&mut tx, &tenant, &new).await.unwrap().id);
    }
    tx.commit().await.unwrap();
    for (own, expected) in [
        (None, vec!["shop", "web", "lab"]),
        (Some(vec![ids[0].as_str(), ids[2].as_str()]), vec!["shop", "lab"]),
        (Some(vec![]), vec![]),
    ] {
        let scope = person(Action::ProjectsList, &tenant, Role::ProjectDev, own.as_deref());
        let mut tx = world.ledger.read(&scope).await.unwrap();
        let found = projects::list(&mut tx, &tenant.id, None, 10).await.unwrap();
        assert_eq!(found.iter().map(|project| project.name.as_str()).collect::<Vec<_>>(), expected);
        let web = projects::get(&mut tx, &tenant.id, "web").await;
        assert_eq!(web.is_ok(), expected.contains(&"web"));
        tx.commit().await.unwrap();
    }
}

async fn settings_bound_what_is_in_force(world: World) {
    acme(&world).await;
    let mut tx = world.ledger.write(&scope(Action::SettingsReplace)).await.unwrap();
    let fresh = settings::document(&settings::all(&mut tx).await.unwrap());
    ceiling(&mut tx, &["ghcr.io", "docker.io/library"]).await;
    let was = tenants::anywhere(&mut tx, "acme").await.unwrap();
    let list = |entries: &[&str]| entries.iter().map(|entry| (*entry).to_owned()).collect::<Vec<_>>();
    let granted = TenantUpdate {
        registries: Some(Some(Registries::List(list(&["ghcr.io/acme", "docker.io/library"])))),
        narrowed_registries: Some(Some(list(&["ghcr.io/acme/web"]))),
        ..TenantUpdate::default()
    };
    let is = tenants::update(&mut tx, was, granted).await.unwrap();
    assert_eq!(is.effective_registries, Some(Registries::List(list(&["ghcr.io/acme/web"]))));
    tx.commit().await.unwrap();
    assert_eq!(seen(&world, "/tenants/acme/registries").await, json!(["ghcr.io/acme/web"]));

    // The ceiling falls: nothing is rewritten, and what is in force falls with it.
    let mut tx = world.ledger.write(&scope(Action::SettingsReplace)).await.unwrap();
    ceiling(&mut tx, &["docker.io/library"]).await;
    tx.commit().await.unwrap();
    assert_eq!(seen(&world, "/tenants/acme/registries").await, json!([]));

    let mut tx = world.ledger.write(&scope(Action::TenantsUpdate)).await.unwrap();
    let was = tenants::anywhere(&mut tx, "acme").await.unwrap();
    let none = TenantUpdate { registries: Some(None), ..TenantUpdate::default() };
    let is = tenants::update(&mut tx, was, none).await.unwrap();
    assert_eq!((is.registries, is.narrowed_registries, is.effective_registries), (None, None, None));
    let was = tenants::anywhere(&mut tx, "acme").await.unwrap();
    let all =
        TenantUpdate { registries: Some(Some(Registries::Word(Word::Inherit))), ..TenantUpdate::default() };
    tenants::update(&mut tx, was, all).await.unwrap();
    assert!(matches!(plans::get(&mut tx, "nonsense").await, Err(StoreError::NotFound("plan"))));
    tx.commit().await.unwrap();

    let history: i64 = {
        let mut tx = world.write().await;
        sqlx::query_scalar("SELECT COUNT(*) FROM settings_history").fetch_one(tx.sql()).await.unwrap()
    };
    assert_eq!(history, 2);
    // What a key is where nobody has set it, the API and the snapshot say alike.
    let mut untouched = seen(&world, "/settings").await.as_object().unwrap().clone();
    let mut fresh = fresh;
    untouched.retain(|key, value| key != "registries" && !value.is_null());
    fresh.retain(|key, _| untouched.contains_key(key));
    assert_eq!(Value::Object(fresh), Value::Object(untouched));
}

async fn a_suspended_tenants_people_change_nothing_and_delete(world: World) {
    let tenant = acme(&world).await;
    let mut tx = world.ledger.write(&scope(Action::TenantsSuspend)).await.unwrap();
    let was = tenants::change(&mut tx, "eu-1", "acme").await.unwrap();
    tenants::set_status(&mut tx, was, Status::Suspended).await.unwrap();
    tx.commit().await.unwrap();
    let owner = |action| person(action, &tenant, Role::TenantOwner, None);
    let mut tx = world.ledger.write(&owner(Action::ProjectsCreate)).await.unwrap();
    let refused = tenants::change(&mut tx, "eu-1", "acme").await;
    assert!(
        matches!(refused, Err(StoreError::Conflict { constraint, .. }) if constraint == tenants::SUSPENDED)
    );
    assert!(tenants::get(&mut tx, "eu-1", "acme").await.is_ok());
    tx.rollback().await.unwrap();
    let mut tx = world.ledger.write(&owner(Action::ProjectsDelete)).await.unwrap();
    assert!(tenants::change(&mut tx, "eu-1", "acme").await.is_ok());
    tx.rollback().await.unwrap();
    let mut tx = world.ledger.write(&scope(Action::ProjectsCreate)).await.unwrap();
    assert!(tenants::change(&mut tx, "eu-1", "acme").await.is_ok());
}
