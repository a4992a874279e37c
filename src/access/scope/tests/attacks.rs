//! What holds for every identity, however it was put together.

use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::*;
use crate::fixtures::{ACME, BLOG, GLOBEX, SHOP};
use crate::matrix::Rule;
use crate::mint::{Membership, TokenRequest};
use crate::{fixtures, mint};

fn roles() -> impl Strategy<Value = Vec<Role>> {
    prop::collection::vec(select(&Role::ALL), 0..4)
}

fn tenants() -> impl Strategy<Value = Option<TenantRef>> {
    let named = |id: &str, slug: &str| TenantRef { id: id.into(), slug: slug.into() };
    let known = vec![named(ACME, "acme"), named(GLOBEX, "globex"), named(ACME, "globex"), named("", "acme")];
    prop::option::of(select(known))
}

fn projects() -> impl Strategy<Value = Option<Vec<String>>> {
    prop::option::of(prop::collection::vec(select(vec![SHOP.to_owned(), BLOG.to_owned()]), 0..3))
}

fn clusters() -> impl Strategy<Value = Option<Clusters>> {
    select(vec![None, Some(Clusters::All), Some(Clusters::One(SHOP.to_owned()))])
}

fn identities() -> impl Strategy<Value = Identity> {
    (roles(), tenants(), projects(), clusters()).prop_map(|(roles, tenant, projects, clusters)| Identity {
        roles,
        tenant,
        projects,
        clusters,
        ..Identity::known("ledger", "mallory")
    })
}

fn asked() -> impl Strategy<Value = Option<&'static str>> {
    select(vec![None, Some(ACME), Some("acme"), Some(GLOBEX), Some("globex"), Some("")])
}

fn rules() -> impl Strategy<Value = &'static Rule> {
    any::<Index>().prop_map(|index| RULES[index.index(RULES.len())])
}

/// All that an identity can do: each action with the tenant it reaches by it, and whether in these projects.
fn reach(who: &Identity) -> Vec<(Action, Option<String>, [bool; 2])> {
    let mut found = Vec::new();
    for rule in RULES {
        for tenant in [None, Some(ACME), Some("acme"), Some(GLOBEX), Some("globex")] {
            if let Ok(scope) = authorize(who, rule.action, tenant, "r") {
                let inside = [SHOP, BLOG].map(|project| scope.may_project(project));
                found.push((rule.action, scope.tenant().map(str::to_owned), inside));
            }
        }
    }
    found
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn power_is_never_more_than_what_is_written(who in identities(), rule in rules(), asked in asked()) {
        let Ok(scope) = authorize(&who, rule.action, asked, "r") else { return Ok(()) };
        match scope.power() {
            Power::Admin => {
                prop_assert_eq!(&who.roles, &[Role::Admin]);
                prop_assert!(who.tenant.is_none() && who.projects.is_none());
            }
            Power::Feed { clusters } => {
                prop_assert_eq!(Some(clusters), who.clusters.as_ref());
                prop_assert_eq!(&who.roles, &[Role::Service]);
                prop_assert!(who.tenant.is_none() && asked.is_none());
                prop_assert!(rule.is_open() || ["snapshot.get", "policy.revision"].contains(&rule.action.as_str()));
            }
            Power::Tenant { id, role, projects } => {
                let own = who.tenant.clone().unwrap();
                prop_assert_eq!(id, &own.id);
                prop_assert!(who.roles.contains(role) && who.roles.iter().all(|held| role.covers(*held)));
                prop_assert_eq!(projects, &who.projects);
                prop_assert!(asked.is_none_or(|asked| asked == own.id || asked == own.slug));
                prop_assert!(asked.is_some() || !rule.names_tenant());
            }
        }
    }

    #[test]
    fn nobody_mints_what_it_could_not_do_itself(
        minter in identities(),
        roles in roles(),
        tenant in tenants(),
        projects in projects(),
        clusters in clusters(),
        member in prop::option::of((select(&Role::ALL), self::projects())),
    ) {
        let Ok(scope) = authorize(&minter, Action::TokensMint, None, "r") else { return Ok(()) };
        let request = TokenRequest { roles: roles.clone(), tenant, projects, clusters, ..fixtures::request() };
        let member = member.map(|(role, projects)| Membership { role, projects });
        let Ok(grant) = mint::grant(&scope, request, member.as_ref()) else { return Ok(()) };
        let minted = Identity {
            roles,
            tenant: grant.tenant().cloned(),
            projects: grant.projects().map(<[String]>::to_vec),
            clusters: grant.clusters().cloned(),
            ..Identity::known("ledger", "puppet")
        };
        if *scope.power() == Power::Admin {
            return Ok(());
        }
        let (own, member) = (reach(&minter), member.unwrap());
        for (action, tenant, inside) in reach(&minted) {
            let covered = own.iter().any(|(has, of, within)| {
                *has == action && *of == tenant && inside.iter().zip(within).all(|(new, old)| *old || !*new)
            });
            prop_assert!(covered, "{} in {:?}", action, tenant);
            let beyond = [SHOP, BLOG].iter().zip(inside).any(|(project, inside)| {
                inside && member.projects.as_ref().is_some_and(|own| !own.iter().any(|id| id == project))
            });
            prop_assert!(!beyond, "{} beyond the membership", action);
        }
    }
}
