//! Claims that contradict each other, are absent, doubled, or none of ours; all signed with the real key.

use super::*;
use crate::fixtures::ACME;
use crate::identity::Contradiction;

#[test]
fn invalid_times_are_refused() {
    let office = TestIssuer::new();
    let month = LIFETIME_SECONDS_MAX;
    for change in [
        json!({"exp": NOW}),
        json!({"exp": NOW - 1}),
        json!({"exp": NOW + month + 1}),
        json!({"exp": i64::MAX}),
        json!({"iat": i64::MIN, "exp": i64::MAX}),
        json!({"nbf": NOW + 3600}),
        json!({"exp": 1e12}),
        json!({"exp": 1_780_003_600.5}),
        json!({"exp": "1780003600"}),
        json!({"exp": null}),
        json!({"exp": u64::MAX}),
        json!({"nbf": -1.0}),
    ] {
        assert!(matches!(with(&office, &change), Err(TokenError::Malformed(_))), "{change}");
    }
    assert!(with(&office, &json!({"exp": NOW + month})).is_ok());
}

#[test]
fn for_us_and_by_us() {
    let office = TestIssuer::new();
    for iss in ["ledger2", "Ledger", "portcullis", "", "ledger "] {
        assert_eq!(with(&office, &json!({"iss": iss})), Err(TokenError::Issuer), "{iss}");
    }
    for aud in ["other", "", "Portcullis"] {
        assert_eq!(with(&office, &json!({"aud": aud})), Err(TokenError::Audience), "{aud}");
    }
    for change in [json!({"aud": ["portcullis"]}), json!({"iss": ["ledger"]}), json!({"aud": null})] {
        assert!(matches!(with(&office, &change), Err(TokenError::Malformed(_))), "{change}");
    }
}

#[test]
fn every_claim_is_there_once_and_none_that_we_do_not_know() {
    let office = TestIssuer::new();
    let claims = office.claims();
    for name in ["iss", "aud", "sub", "roles", "iat", "nbf", "exp", "jti"] {
        let mut less = claims.clone();
        less.as_object_mut().unwrap().remove(name);
        let refused = office.tokens.verify(&office.signed(&office.header(), &less.to_string()), NOW);
        assert!(matches!(refused, Err(TokenError::Malformed(_))), "without {name}");
        let twice = claims.to_string().replacen('{', &format!("{{\"{name}\":{},", claims[name]), 1);
        let refused = office.tokens.verify(&office.signed(&office.header(), &twice), NOW);
        assert!(matches!(refused, Err(TokenError::Malformed(_))), "{name} twice");
    }
    for (name, value) in
        [("role", json!("admin")), ("scope", json!("*")), ("Roles", json!(["admin"])), ("", json!(1))]
    {
        assert!(matches!(with(&office, &json!({name: value})), Err(TokenError::Malformed(_))), "{name}");
    }
    for raw in ["", "null", "[]", "\"x\"", "{}", "{", "\u{feff}{}"] {
        let refused = office.tokens.verify(&office.signed(&office.header(), raw), NOW);
        assert!(matches!(refused, Err(TokenError::Malformed(_))), "{raw:?}");
    }
}

#[test]
fn contradicting_claims_are_refused() {
    let office = TestIssuer::new();
    let malformed = [
        json!({"roles": []}),
        json!({"roles": ["root"]}),
        json!({"roles": ["tenantOwner", "root"]}),
        json!({"roles": "admin"}),
        json!({"roles": null}),
        json!({"roles": {"admin": true}}),
        json!({"tenant": "acme"}),
        json!({"tenant": ACME.to_uppercase()}),
        json!({"tenant": ACME.replace('-', "")}),
        json!({"tenant": null}),
        json!({"tenantSlug": null}),
        json!({"tenantSlug": ""}),
        json!({"tenantSlug": "Acme"}),
        json!({"tenantSlug": ACME}),
        json!({"tenantSlug": "acme/../globex"}),
        json!({"roles": ["projectDev"], "projects": null}),
        json!({"mintedBy": null}),
        json!({"cluster": null}),
        json!({"cluster": ""}),
        json!({"cluster": "eu-1"}),
        json!({"cluster": "**"}),
        json!({"jti": "1"}),
        json!({"jti": ""}),
        json!({"roles": ["projectDev"], "projects": ["shop"]}),
        json!({"sub": ""}),
        json!({"sub": "a b"}),
        json!({"sub": "x".repeat(256)}),
    ];
    for change in malformed {
        assert!(matches!(with(&office, &change), Err(TokenError::Malformed(_))), "{change}");
    }
    let contradictions = [
        (json!({"roles": ["admin"]}), Contradiction::Bound(Role::Admin)),
        (json!({"roles": ["service"]}), Contradiction::Bound(Role::Service)),
        (json!({"roles": ["admin", "tenantOwner"]}), Contradiction::NotAlone(Role::Admin)),
        (json!({"cluster": "*"}), Contradiction::ClusterOf(Role::TenantOwner)),
        (json!({"projects": []}), Contradiction::OwnerOfSome),
    ];
    for (change, why) in contradictions {
        assert_eq!(with(&office, &change), Err(TokenError::Contradiction(why)), "{change}");
    }
    let mut nowhere = office.claims();
    for name in ["tenant", "tenantSlug"] {
        nowhere.as_object_mut().unwrap().remove(name);
    }
    let refused = office.tokens.verify(&office.signed(&office.header(), &nowhere.to_string()), NOW);
    assert_eq!(refused, Err(TokenError::Contradiction(Contradiction::NoTenant(Role::TenantOwner))));
}
