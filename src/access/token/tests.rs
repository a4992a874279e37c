use serde_json::{Value as Json, json};

use super::*;
use crate::fixtures::{NOW, SHOP, TestIssuer, acme, granted, request};
use crate::identity::Clusters;
use crate::mint::TokenRequest;
use crate::role::Role;

mod claims; // what a token says
mod header; // how it is signed
mod rotation; // keys that come and go
mod texts; // what is no token, and what was changed by a byte

/// A good token's claims with some replaced, signed with the real key.
fn with(office: &TestIssuer, change: &Json) -> Result<Identity, TokenError> {
    let mut claims = office.claims();
    for (name, value) in change.as_object().unwrap() {
        claims[name] = value.clone();
    }
    office.tokens.verify(&office.signed(&office.header(), &claims.to_string()), NOW)
}

#[test]
fn issued_token_verifies_to_the_grant() {
    let office = TestIssuer::new();
    let dev = TokenRequest {
        subject: "bob".into(),
        roles: vec![Role::ProjectDev],
        projects: Some(vec![SHOP.into()]),
        ttl_seconds: 90,
        ..request()
    };
    let issued = office.tokens.issue(&granted(dev), NOW).unwrap();
    let who = office.tokens.verify(&issued.token, NOW).unwrap();
    let expected = Identity {
        issuer: "ledger".into(),
        subject: "bob".into(),
        roles: vec![Role::ProjectDev],
        tenant: Some(acme()),
        projects: Some(vec![SHOP.into()]),
        clusters: None,
        jti: Some(issued.claims.jti.clone()),
        expires: Some(NOW + 90),
        minted_by: Some("portcullis#test".into()),
    };
    assert_eq!((who.name(), &who), ("ledger#bob".into(), &expected));
    for clusters in [Clusters::One(SHOP.into()), Clusters::All] {
        let clusters = Some(clusters);
        let gate = TokenRequest {
            roles: vec![Role::Service],
            tenant: None,
            clusters: clusters.clone(),
            ..request()
        };
        let issued = office.tokens.issue(&granted(gate), NOW).unwrap();
        assert_eq!(office.tokens.verify(&issued.token, NOW).unwrap().clusters, clusters);
    }
    let admin = TokenRequest { roles: vec![Role::Admin], tenant: None, ..request() };
    let issued = office.tokens.issue(&granted(admin), NOW).unwrap();
    assert_eq!(office.tokens.verify(&issued.token, NOW).unwrap().roles, [Role::Admin]);
}

#[test]
fn token_ids_are_unique() {
    let office = TestIssuer::new();
    let ids: std::collections::BTreeSet<String> =
        (0..100).map(|_| office.tokens.issue(&granted(request()), NOW).unwrap().claims.jti).collect();
    assert_eq!(ids.len(), 100);
}

#[test]
fn token_is_valid_only_between_nbf_and_exp() {
    let office = TestIssuer::new();
    let token = office.token();
    let when = |now| office.tokens.verify(&token, now).map(|_| ());
    assert_eq!(when(NOW - LEEWAY_SECONDS - 1), Err(TokenError::NotYet));
    assert_eq!(when(NOW - LEEWAY_SECONDS), Ok(()));
    assert_eq!(when(NOW + 3600 + LEEWAY_SECONDS - 1), Ok(()));
    assert_eq!(when(NOW + 3600 + LEEWAY_SECONDS), Err(TokenError::Expired));
    assert_eq!(when(i64::MAX), Err(TokenError::Expired));
    assert_eq!(when(i64::MIN), Err(TokenError::NotYet));
    assert_eq!(with(&office, &json!({"nbf": NOW + 60})), Err(TokenError::NotYet));
    assert_eq!(with(&office, &json!({"iat": NOW + 60})), Err(TokenError::NotYet));
}

#[test]
fn expiry_is_reported_only_for_valid_signatures() {
    let office = TestIssuer::new();
    let mut claims = office.claims();
    claims["exp"] = json!(NOW - 1000);
    claims["iat"] = json!(NOW - 2000);
    claims["nbf"] = json!(NOW - 2000);
    let stranger = TestIssuer::new();
    let token = stranger.signed(&office.header(), &claims.to_string());
    assert_eq!(office.tokens.verify(&token, NOW), Err(TokenError::Signature));
    let token = office.signed(&office.header(), &claims.to_string());
    assert_eq!(office.tokens.verify(&token, NOW), Err(TokenError::Expired));
}

#[test]
fn largest_grant_fits_the_token_limit() {
    let office = TestIssuer::new();
    let projects = (0..100).map(|n| format!("0190a0a0-0000-7000-8000-{n:012}")).collect();
    let largest = TokenRequest {
        subject: "x".repeat(255),
        roles: vec![Role::ProjectDev],
        projects: Some(projects),
        ..request()
    };
    let issued = office.tokens.issue(&granted(largest), NOW).unwrap();
    assert!(office.tokens.verify(&issued.token, NOW).is_ok(), "{} bytes", issued.token.len());
}

#[test]
fn ambiguous_names_are_refused() {
    assert_eq!(Names::new("portcullis", "x"), Err(NamesError::Reserved));
    for wrong in ["", "a#b", "a b", "a,b", "a\n", "é", &"x".repeat(201)] {
        assert_eq!(Names::new(wrong, "x"), Err(NamesError::Grammar), "{wrong}");
        assert_eq!(Names::new("x", wrong), Err(NamesError::Grammar), "{wrong}");
    }
    assert!(Names::new("https://id.example.com/realms/a", "portcullis").is_ok());
}
