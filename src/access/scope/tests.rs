use super::*;
use crate::fixtures::{ACME, BLOG, SHOP, acme};
use crate::identity::{Clusters, TenantRef};
use crate::matrix::RULES;

mod attacks; // identities and wishes put together at random

fn of(role: Role) -> Identity {
    let who = Identity::known("ledger", "unknown");
    let clusters = (role == Role::Service).then(|| Clusters::One("c".into()));
    if role.in_tenant() {
        who.member(acme(), role, None)
    } else {
        Identity { roles: vec![role], clusters, ..who }
    }
}

fn refused(who: &Identity, action: Action, tenant: Option<&str>) -> Denied {
    authorize(who, action, tenant, "r").unwrap_err()
}

#[test]
fn every_route_with_every_role_at_home_and_abroad() {
    for rule in RULES {
        for role in Role::ALL {
            let home = authorize(&of(role), rule.action, rule.names_tenant().then_some("acme"), "r");
            let may = rule.may(role) != May::No;
            match home {
                Ok(scope) => {
                    assert!(may, "{role} may not {}", rule.action);
                    assert_eq!(scope.tenant(), role.in_tenant().then_some(ACME));
                }
                // A gate has no tenant, so to it every tenant is another's.
                Err(Denied::Hidden) => assert!(!may && role == Role::Service && rule.names_tenant()),
                Err(Denied::Forbidden { action, needs }) => {
                    assert!(!may && action == rule.action && !needs.contains(&role), "{role} {action}");
                }
            }
            for other in ["globex", "0190a0a0-0000-7000-8000-000000000002", "", "ACME", "acme ", "acm"] {
                let abroad = authorize(&of(role), rule.action, Some(other), "r");
                match role {
                    Role::Admin => assert!(abroad.is_ok()),
                    _ => assert_eq!(abroad.unwrap_err(), Denied::Hidden, "{role} {} {other}", rule.action),
                }
            }
        }
    }
}

#[test]
fn tenant_is_named_by_id_or_slug_and_scoped_by_id() {
    for name in [ACME, "acme"] {
        let scope = authorize(&of(Role::ReadOnly), Action::TenantsGet, Some(name), "r").unwrap();
        assert_eq!(scope.tenant(), Some(ACME));
        let power = Power::Tenant { id: ACME.into(), role: Role::ReadOnly, projects: None };
        assert_eq!(scope.power(), &power);
    }
}

#[test]
fn whose_it_is_comes_before_what_one_may() {
    let reader = of(Role::ReadOnly);
    assert_eq!(refused(&reader, Action::TenantsDelete, Some("globex")), Denied::Hidden);
    let needs = vec![Role::Admin];
    let action = Action::TenantsDelete;
    assert_eq!(refused(&reader, action, Some("acme")), Denied::Forbidden { action, needs });
}

#[test]
fn missing_tenant_does_not_widen_the_scope() {
    for rule in RULES.iter().filter(|rule| rule.names_tenant()) {
        for role in [Role::TenantOwner, Role::ProjectDev, Role::ReadOnly, Role::Service] {
            assert_eq!(refused(&of(role), rule.action, None), Denied::Hidden, "{role} {}", rule.action);
        }
    }
}

#[test]
fn contradicting_identity_is_denied() {
    let known = || Identity::known("ledger", "alice");
    let in_acme = |roles: &[Role]| Identity { roles: roles.to_vec(), tenant: Some(acme()), ..known() };
    let empty = |id: &str, slug: &str| TenantRef { id: id.into(), slug: slug.into() };
    let cluster = || Some(Clusters::One("c".into()));
    let strange = [
        known(),
        Identity { roles: vec![Role::Service], ..known() },
        Identity { clusters: cluster(), ..known() },
        Identity { roles: vec![Role::Admin], clusters: cluster(), ..known() },
        Identity { clusters: cluster(), ..in_acme(&[Role::ReadOnly]) },
        Identity { clusters: cluster(), ..in_acme(&[Role::Service]) },
        Identity { roles: vec![Role::Service, Role::Admin], clusters: cluster(), ..known() },
        in_acme(&[]),
        in_acme(&[Role::Admin]),
        in_acme(&[Role::Admin, Role::TenantOwner]),
        in_acme(&[Role::Service]),
        Identity { tenant: None, ..in_acme(&[Role::Admin, Role::TenantOwner]) },
        Identity { tenant: None, ..in_acme(&[Role::Admin, Role::Admin]) },
        Identity { tenant: None, ..in_acme(&[Role::Admin, Role::Service]) },
        Identity { tenant: None, ..in_acme(&[Role::TenantOwner]) },
        Identity { projects: Some(vec![SHOP.into()]), tenant: None, ..in_acme(&[Role::Admin]) },
        Identity { projects: Some(vec![SHOP.into()]), ..in_acme(&[Role::TenantOwner]) },
        Identity { projects: Some(vec![]), ..in_acme(&[Role::ProjectDev, Role::TenantOwner]) },
        Identity { projects: Some(vec![String::new()]), ..in_acme(&[Role::ProjectDev]) },
        Identity { tenant: Some(empty("", "acme")), ..in_acme(&[Role::TenantOwner]) },
        Identity { tenant: Some(empty(ACME, "")), ..in_acme(&[Role::TenantOwner]) },
        Identity { tenant: Some(empty("", "")), ..in_acme(&[Role::TenantOwner]) },
    ];
    for who in strange {
        for rule in RULES {
            for tenant in [None, Some("acme"), Some(ACME), Some("")] {
                assert!(authorize(&who, rule.action, tenant, "r").is_err(), "{who:?} {}", rule.action);
            }
        }
    }
}

#[test]
fn several_roles_are_the_strongest_of_them() {
    let roles = vec![Role::ReadOnly, Role::ProjectDev, Role::ReadOnly];
    let who = Identity { roles: roles.clone(), ..of(Role::ReadOnly) };
    let scope = authorize(&who, Action::AppsCreate, Some("acme"), "r").unwrap();
    assert!(matches!(scope.power(), Power::Tenant { role: Role::ProjectDev, .. }));
    assert_eq!(scope.actor().roles, roles);
}

#[test]
fn projects_limit_and_an_empty_list_is_none() {
    let reaches = |projects: Option<&[&str]>, project: &str| {
        let projects = projects.map(|ids| ids.iter().map(|id| (*id).to_owned()).collect());
        let who = Identity::known("ledger", "dev").member(acme(), Role::ProjectDev, projects);
        authorize(&who, Action::AppsCreate, Some("acme"), "r").unwrap().may_project(project)
    };
    assert!(reaches(None, SHOP));
    assert!(reaches(Some(&[BLOG, SHOP]), SHOP));
    assert!(!reaches(Some(&[BLOG]), SHOP));
    assert!(!reaches(Some(&[]), SHOP));
    assert!(!reaches(Some(&[SHOP]), "") && !reaches(Some(&[SHOP]), SHOP.trim_end_matches('a')));
    let gate = authorize(&of(Role::Service), Action::Snapshot, None, "r").unwrap();
    assert!(!gate.may_project(SHOP));
}

#[test]
fn caller_grants_only_its_own_rights() {
    let gives = |role, action| {
        let tenant = role != Role::Service;
        let scope = authorize(&of(role), action, tenant.then_some("acme"), "r").unwrap();
        Role::ALL.into_iter().filter(|other| scope.may_grant(*other)).collect::<Vec<_>>()
    };
    assert_eq!(gives(Role::Admin, Action::MembersPut), Role::ALL);
    assert_eq!(
        gives(Role::TenantOwner, Action::MembersPut),
        [Role::TenantOwner, Role::ProjectDev, Role::ReadOnly]
    );
    assert_eq!(gives(Role::ReadOnly, Action::MembersList), [Role::ReadOnly]);
    assert_eq!(gives(Role::Service, Action::Snapshot), []);
}

#[test]
fn server_work_has_its_own_actor() {
    let scope = authorize(&Identity::process("reaper"), Action::SandboxesDelete, None, "tick").unwrap();
    let actor = Actor { name: "portcullis#reaper".into(), roles: vec![Role::Admin], minted_by: None };
    assert_eq!((scope.actor(), scope.power(), scope.tenant()), (&actor, &Power::Admin, None));
    assert_eq!((scope.action(), scope.request_id()), (Action::SandboxesDelete, "tick"));
}

#[test]
fn conditions_travel_with_the_scope() {
    let limit = |role, action| authorize(&of(role), action, Some("acme"), "r").unwrap().limit();
    assert_eq!(limit(Role::TenantOwner, Action::TenantsUpdate), Some(Limit::NotRegistries));
    assert_eq!(limit(Role::Admin, Action::TenantsUpdate), None);
    assert_eq!(limit(Role::ProjectDev, Action::SandboxesDelete), Some(Limit::OwnProjects));
}

#[test]
fn denial_names_the_sufficient_roles() {
    let told = |action| refused(&of(Role::ReadOnly), action, Some("acme")).to_string();
    assert_eq!(told(Action::TenantsCreate), "`tenant.create` needs the role `admin`");
    assert_eq!(
        told(Action::AppsCreate),
        "`app.create` needs one of the roles `admin`, `tenantOwner` and `projectDev`"
    );
}
