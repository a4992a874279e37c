use super::*;
use crate::fixtures::{ACME, BLOG, SHOP, acme, globex, minted, request};
use crate::scope::{Denied, authorize};

fn owner() -> Identity {
    Identity::known("ledger", "olga").member(acme(), Role::TenantOwner, None)
}

fn admin() -> Identity {
    Identity { roles: vec![Role::Admin], ..Identity::known("ledger", "root") }
}

fn member(role: Role) -> Membership {
    Membership { role, projects: None }
}

fn reader() -> TokenRequest {
    TokenRequest { roles: vec![Role::ReadOnly], ..request() }
}

/// An owner's request for another owner.
fn asked(request: TokenRequest) -> Result<Grant, MintError> {
    minted(&owner(), request, Some(&member(Role::TenantOwner)))
}

#[test]
fn admin_mints_any_valid_token_and_tenant_tokens_for_members() {
    let of = |role: Role| TokenRequest {
        roles: vec![role],
        tenant: role.in_tenant().then(acme),
        ttl_seconds: LIFETIME_SECONDS_MAX,
        clusters: (role == Role::Service).then(|| Clusters::One(SHOP.into())),
        ..request()
    };
    for role in Role::ALL {
        let own = role.in_tenant().then(|| member(role));
        let grant = minted(&admin(), of(role), own.as_ref()).unwrap();
        assert_eq!((grant.roles(), grant.minted_by()), (&[role][..], "ledger#root"));
    }
    assert_eq!(minted(&admin(), of(Role::ReadOnly), None), Err(MintError::NoMember));
    let more = minted(&admin(), of(Role::TenantOwner), Some(&member(Role::ProjectDev)));
    assert_eq!(more, Err(MintError::TooMuch(Role::TenantOwner)));
    // The holder of the keys needs no authorization.
    assert!(minted(&Identity::process("token"), of(Role::TenantOwner), None).is_ok());
}

#[test]
fn membership_covers_equal_and_lower_requests() {
    use Role::{ProjectDev as Dev, ReadOnly as Reader, TenantOwner as Owner};
    let limited = |ids: &[&str]| Some(ids.iter().map(|id| (*id).to_owned()).collect::<Vec<_>>());
    let covers = |role, own: Option<Vec<String>>, wanted: &[Role], named: Option<Vec<String>>| {
        Membership { role, projects: own }.covers(wanted, named.as_deref())
    };
    assert!(covers(Owner, None, &[Dev, Reader], None) && covers(Dev, None, &[Dev], limited(&[SHOP])));
    assert!(!covers(Dev, None, &[Reader, Owner], None) && !covers(Reader, None, &[Dev], None));
    assert!(covers(Dev, limited(&[SHOP, BLOG]), &[Dev], limited(&[SHOP])));
    assert!(!covers(Dev, limited(&[SHOP]), &[Dev], limited(&[SHOP, BLOG])));
    assert!(!covers(Dev, limited(&[SHOP]), &[Dev], None), "none named is all of them");
}

#[test]
fn owner_mints_up_to_its_role_in_its_tenant() {
    for role in [Role::TenantOwner, Role::ProjectDev, Role::ReadOnly] {
        let grant = asked(TokenRequest { roles: vec![role], ..request() }).unwrap();
        assert_eq!((grant.minted_by(), grant.tenant().unwrap().id.as_str()), ("ledger#olga", ACME));
    }
    for role in [Role::Admin, Role::Service] {
        assert_eq!(asked(TokenRequest { roles: vec![role], ..request() }), Err(MintError::TooMuch(role)));
        let beside = TokenRequest { roles: vec![Role::ReadOnly, role], ..request() };
        assert_eq!(asked(beside), Err(MintError::TooMuch(role)));
    }
    for tenant in [None, Some(globex()), Some(TenantRef { id: globex().id, slug: "acme".into() })] {
        assert_eq!(asked(TokenRequest { tenant, ..request() }), Err(MintError::NotYours));
    }
    // Whatever the ledger may say of the subject.
    let admin = TokenRequest { roles: vec![Role::Admin], ..request() };
    assert_eq!(minted(&owner(), admin, Some(&member(Role::Admin))), Err(MintError::TooMuch(Role::Admin)));
    let service = TokenRequest { roles: vec![Role::Service], tenant: None, ..request() };
    assert_eq!(asked(service), Err(MintError::NotYours));
}

#[test]
fn gate_token_for_all_clusters_needs_the_keys() {
    let gate = |clusters| TokenRequest { roles: vec![Role::Service], tenant: None, clusters, ..request() };
    let refused = |who: &Identity, request| minted(who, request, None).map(drop).unwrap_err();
    let one = Some(Clusters::One(SHOP.into()));
    assert_eq!(minted(&admin(), gate(one.clone()), None).unwrap().clusters(), one.as_ref());
    assert_eq!(refused(&admin(), gate(None)), Contradiction::NoCluster.into());
    assert_eq!(refused(&admin(), gate(Some(Clusters::One("eu-1".into())))), MintError::Ids);
    assert_eq!(refused(&admin(), gate(Some(Clusters::All))), MintError::AllClusters);
    let keys = Identity::process("token");
    assert!(minted(&keys, gate(Some(Clusters::All)), None).is_ok());
    assert_eq!(refused(&keys, gate(None)), Contradiction::NoCluster.into());
    let admin_of_one = TokenRequest { roles: vec![Role::Admin], ..gate(one) };
    assert_eq!(refused(&keys, admin_of_one), Contradiction::ClusterOf(Role::Admin).into());
}

#[test]
fn other_roles_cannot_mint() {
    for role in [Role::ProjectDev, Role::ReadOnly] {
        let who = Identity::known("ledger", "dev").member(acme(), role, None);
        let denied = authorize(&who, Action::TokensMint, Some("acme"), "r").unwrap_err();
        assert!(matches!(denied, Denied::Forbidden { .. }));
    }
    // A scope that was given for something else grants nothing.
    let scope = authorize(&admin(), Action::Me, None, "r").unwrap();
    assert_eq!(grant(&scope, request(), None), Err(MintError::NotYours));
    let scope = authorize(&owner(), Action::MembersPut, Some("acme"), "r").unwrap();
    assert_eq!(grant(&scope, reader(), Some(&member(Role::ReadOnly))), Err(MintError::NotYours));
}

#[test]
fn minted_token_is_limited_to_the_membership() {
    assert_eq!(minted(&owner(), reader(), None), Err(MintError::NoMember));
    let dev = member(Role::ProjectDev);
    assert!(minted(&owner(), reader(), Some(&dev)).is_ok());
    assert_eq!(minted(&owner(), request(), Some(&dev)), Err(MintError::TooMuch(Role::TenantOwner)));
    for strange in [Role::Service, Role::Admin] {
        let covered = minted(&owner(), reader(), Some(&member(strange))).is_ok();
        assert_eq!(covered, strange == Role::Admin);
    }
}

#[test]
fn projects_are_limited_to_the_membership() {
    let some = Membership { role: Role::ProjectDev, projects: Some(vec![SHOP.into()]) };
    let projects = |ids: Option<&[&str]>| {
        let projects = ids.map(|ids| ids.iter().map(|id| (*id).to_owned()).collect());
        let request = TokenRequest { roles: vec![Role::ProjectDev], projects, ..request() };
        minted(&owner(), request, Some(&some)).map(|_| ())
    };
    assert_eq!(projects(Some(&[SHOP])), Ok(()));
    assert_eq!(projects(Some(&[])), Ok(()));
    assert_eq!(projects(None), Err(MintError::Projects));
    assert_eq!(projects(Some(&[SHOP, BLOG])), Err(MintError::Projects));
}

#[test]
fn tokens_live_within_bounds() {
    let lives = |who: &Identity, ttl_seconds| {
        minted(who, TokenRequest { ttl_seconds, ..request() }, Some(&member(Role::TenantOwner))).map(|_| ())
    };
    let day = OWNER_TTL_SECONDS_MAX;
    let month = LIFETIME_SECONDS_MAX;
    for (who, most) in [(owner(), day), (admin(), month)] {
        for good in [60, 3600, most] {
            assert_eq!(lives(&who, good), Ok(()));
        }
        for bad in [i64::MIN, -1, 0, 59, most + 1, i64::MAX] {
            assert_eq!(lives(&who, bad), Err(MintError::Lifetime { most }), "{bad}");
        }
    }
    assert_eq!((day, month), (86_400, 2_592_000));
}

#[test]
fn wishes_that_are_none() {
    let named = |id: &str, slug: &str| Some(TenantRef { id: id.into(), slug: slug.into() });
    let id = |n: usize| format!("0190a0a0-0000-7000-8000-{n:012}");
    let dev = || TokenRequest { roles: vec![Role::ProjectDev], ..request() };
    let of = |projects| TokenRequest { projects: Some(projects), ..dev() };
    let cases = [
        (TokenRequest { roles: vec![], ..request() }, MintError::NoRole),
        (TokenRequest { subject: String::new(), ..request() }, SubjectError::Length.into()),
        (TokenRequest { subject: "a\tb".into(), ..request() }, SubjectError::Character.into()),
        (TokenRequest { tenant: None, ..request() }, Contradiction::NoTenant(Role::TenantOwner).into()),
        (TokenRequest { roles: vec![Role::Admin], ..request() }, Contradiction::Bound(Role::Admin).into()),
        (
            TokenRequest { roles: vec![Role::Admin, Role::Service], tenant: None, ..request() },
            Contradiction::NotAlone(Role::Admin).into(),
        ),
        (TokenRequest { projects: Some(vec![id(1)]), ..request() }, Contradiction::OwnerOfSome.into()),
        (of(vec!["shop".into()]), MintError::Ids),
        (of(vec![id(1), id(2), id(1)]), MintError::Ids),
        (of((0..=PROJECTS_MAX).map(id).collect()), MintError::Ids),
        (TokenRequest { tenant: named("acme", "acme"), ..request() }, MintError::Ids),
        (TokenRequest { tenant: named(ACME, ""), ..request() }, MintError::Ids),
        (TokenRequest { tenant: named(ACME, "ac-me"), ..request() }, MintError::Ids),
        (TokenRequest { tenant: named(ACME, ACME), ..request() }, MintError::Ids),
    ];
    for (request, why) in cases {
        assert_eq!(minted(&admin(), request.clone(), None), Err(why), "{request:?}");
    }
    let most = of((0..PROJECTS_MAX).map(id).collect());
    assert!(minted(&admin(), most, Some(&member(Role::ProjectDev))).is_ok());
}
