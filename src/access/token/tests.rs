use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE, URL_SAFE_NO_PAD};
use jsonwebtoken::EncodingKey;
use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::*;
use crate::access::fixtures::{ACME, NOW, Office, SHOP, acme, at, encode, forge, granted, wish};
use crate::access::identity::Contradiction;
use crate::access::keys::make;
use crate::access::mint::Wish;
use crate::access::role::Role;

mod rotation;

/// A good token's claims with some replaced, signed with the real key.
fn with(office: &Office, change: &Json) -> Result<Identity, TokenError> {
    let mut claims = office.claims();
    for (name, value) in change.as_object().unwrap() {
        claims[name] = value.clone();
    }
    office.tokens.verify(&office.signed(&office.header(), &claims.to_string()), NOW)
}

/// A good token under another header, signed with the real key.
fn under(office: &Office, header: &Json) -> Result<Identity, TokenError> {
    office.tokens.verify(&office.signed(header, &office.claims().to_string()), NOW)
}

#[test]
fn what_was_granted_comes_back() {
    let office = Office::new();
    let dev = Wish {
        subject: "bob".into(),
        roles: vec![Role::ProjectDev],
        projects: Some(vec![SHOP.into()]),
        ttl_seconds: 90,
        ..wish()
    };
    let issued = office.tokens.issue(&granted(dev), NOW).unwrap();
    let who = office.tokens.verify(&issued.token, NOW).unwrap();
    let expected = Identity {
        issuer: "ledger".into(),
        subject: "bob".into(),
        roles: vec![Role::ProjectDev],
        tenant: Some(acme()),
        projects: Some(vec![SHOP.into()]),
        jti: Some(issued.claims.jti.clone()),
        expires: Some(NOW + 90),
        minted_by: Some("portcullis#test".into()),
    };
    assert_eq!((who.name(), &who), ("ledger#bob".into(), &expected));
    let admin = Wish { roles: vec![Role::Admin], tenant: None, ..wish() };
    let issued = office.tokens.issue(&granted(admin), NOW).unwrap();
    assert_eq!(office.tokens.verify(&issued.token, NOW).unwrap().roles, [Role::Admin]);
}

#[test]
fn no_two_tokens_have_one_id() {
    let office = Office::new();
    let ids: std::collections::BTreeSet<String> =
        (0..100).map(|_| office.tokens.issue(&granted(wish()), NOW).unwrap().claims.jti).collect();
    assert_eq!(ids.len(), 100);
}

#[test]
fn a_token_has_a_beginning_and_an_end() {
    let office = Office::new();
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
fn only_the_holder_of_the_key_hears_that_a_token_has_expired() {
    let office = Office::new();
    let mut claims = office.claims();
    claims["exp"] = json!(NOW - 1000);
    claims["iat"] = json!(NOW - 2000);
    claims["nbf"] = json!(NOW - 2000);
    let stranger = Office::new();
    let token = stranger.signed(&office.header(), &claims.to_string());
    assert_eq!(office.tokens.verify(&token, NOW), Err(TokenError::Signature));
    let token = office.signed(&office.header(), &claims.to_string());
    assert_eq!(office.tokens.verify(&token, NOW), Err(TokenError::Expired));
}

#[test]
fn a_time_that_is_none_is_no_time() {
    let office = Office::new();
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
fn the_algorithm_is_ours_to_choose() {
    let office = Office::new();
    let kid = office.kid();
    let claims = office.claims().to_string();
    for alg in ["none", "None", "NONE", "", "eddsa", "EDDSA", "Ed25519", "HS256", "HS512", "PS256", "ES384"] {
        let header = json!({"typ": "JWT", "alg": alg, "kid": kid});
        assert_eq!(under(&office, &header), Err(TokenError::Algorithm), "{alg}");
        let unsigned = format!("{}.{}.", encode(header.to_string()), encode(&claims));
        assert_eq!(office.tokens.verify(&unsigned, NOW), Err(TokenError::Algorithm), "{alg} unsigned");
    }
    for alg in ["RS256", "ES256"] {
        let header = json!({"typ": "JWT", "alg": alg, "kid": kid});
        assert_eq!(under(&office, &header), Err(TokenError::Algorithm), "{alg}");
    }
    let absent = json!({"typ": "JWT", "kid": kid});
    assert!(matches!(under(&office, &absent), Err(TokenError::Malformed(_))));
}

#[test]
fn the_public_key_is_no_secret_to_sign_with() {
    let office = Office::new();
    let set = office.tokens.keys().now();
    let jwks = set.jwks();
    let x = jwks["keys"][0]["x"].as_str().unwrap();
    let raw = URL_SAFE_NO_PAD.decode(x).unwrap();
    let spki = [&hex::decode("302a300506032b6570032100").unwrap(), &raw[..]].concat();
    let pem = format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", STANDARD.encode(&spki));
    let secrets: [&[u8]; 6] =
        [&raw, x.as_bytes(), &spki, pem.as_bytes(), pem.trim_end().as_bytes(), jwks.to_string().as_bytes()]
            .map(|secret| Box::leak(secret.to_vec().into_boxed_slice()) as &[u8]);
    for (secret, alg) in secrets.into_iter().flat_map(|s| [(s, Algorithm::HS256), (s, Algorithm::HS512)]) {
        for claimed in [format!("{alg:?}"), "EdDSA".into()] {
            let header = json!({"typ": "JWT", "alg": claimed, "kid": office.kid()}).to_string();
            let token = forge(&header, &office.claims().to_string(), &EncodingKey::from_secret(secret), alg);
            let refused = office.tokens.verify(&token, NOW).unwrap_err();
            assert!(matches!(refused, TokenError::Algorithm | TokenError::Signature), "{refused}");
        }
    }
}

#[test]
fn a_header_names_one_of_our_keys_and_brings_none_of_its_own() {
    let office = Office::new();
    let stranger = Office::new();
    for kid in [
        stranger.kid(),
        String::new(),
        "../key".into(),
        office.kid().to_lowercase(),
        format!("{} ", office.kid()),
    ] {
        let header = json!({"typ": "JWT", "alg": "EdDSA", "kid": kid});
        assert_eq!(under(&office, &header), Err(TokenError::UnknownKey), "{kid}");
    }
    assert_eq!(under(&office, &json!({"typ": "JWT", "alg": "EdDSA"})), Err(TokenError::UnknownKey));
    let jwk = stranger.tokens.keys().now().jwks()["keys"][0].clone();
    let brought = json!({
        "typ": "JWT", "alg": "EdDSA", "kid": office.kid(), "jwk": jwk,
        "jku": "https://evil.example/jwks", "x5u": "https://evil.example/x5u", "x5c": ["AAAA"],
    });
    let token = stranger.signed(&brought, &office.claims().to_string());
    assert_eq!(office.tokens.verify(&token, NOW), Err(TokenError::Signature));
    let (header, key) = (office.header(), stranger.key());
    let stolen = forge(&header.to_string(), &office.claims().to_string(), &key, Algorithm::EdDSA);
    assert_eq!(office.tokens.verify(&stolen, NOW), Err(TokenError::Signature));
}

#[test]
fn headers_that_are_none_of_ours() {
    let office = Office::new();
    let kid = office.kid();
    for header in [
        json!({"alg": "EdDSA", "kid": kid}),
        json!({"typ": "at+jwt", "alg": "EdDSA", "kid": kid}),
        json!({"typ": "JWT", "alg": "EdDSA", "kid": kid, "crit": ["b64"], "b64": false}),
        json!({"typ": "JWT", "alg": "EdDSA", "kid": kid, "crit": []}),
        json!({"typ": "JWT", "alg": ["EdDSA"], "kid": kid}),
        json!({"typ": "JWT", "alg": "EdDSA", "kid": 7}),
        json!([]),
        json!("EdDSA"),
        json!(null),
    ] {
        assert!(matches!(under(&office, &header), Err(TokenError::Malformed(_))), "{header}");
    }
    for header in [
        format!(r#"{{"typ":"JWT","alg":"none","alg":"EdDSA","kid":"{kid}"}}"#),
        format!(r#"{{"typ":"JWT","alg":"EdDSA","kid":"other","kid":"{kid}"}}"#),
        format!(r#"{{"typ":"JWT","alg":"EdDSA","kid":"{kid}"}}{{}}"#),
        format!(r#"{{"typ":"JWT","alg":"EdDSA","kid":"{kid}""#),
    ] {
        let token = forge(&header, &office.claims().to_string(), &office.key(), Algorithm::EdDSA);
        assert!(matches!(office.tokens.verify(&token, NOW), Err(TokenError::Malformed(_))), "{header}");
    }
}

#[test]
fn for_us_and_by_us() {
    let office = Office::new();
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
    let office = Office::new();
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
fn what_a_token_grants_goes_together() {
    let office = Office::new();
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
        (json!({"tenant": null, "tenantSlug": null}), Contradiction::NoTenant(Role::TenantOwner)),
        (json!({"projects": []}), Contradiction::OwnerOfSome),
        (json!({"tenantSlug": ""}), Contradiction::Empty),
    ];
    for (change, why) in contradictions {
        assert_eq!(with(&office, &change), Err(TokenError::Contradiction(why)), "{change}");
    }
}

#[test]
fn texts_that_are_no_token() {
    let office = Office::new();
    let token = office.token();
    let parts: Vec<&str> = token.split('.').collect();
    let padded = URL_SAFE.encode(URL_SAFE_NO_PAD.decode(parts[1]).unwrap());
    for text in [
        String::new(),
        ".".into(),
        "..".into(),
        "a.b.c".into(),
        format!("{token}."),
        format!(".{token}"),
        format!("{token}.{}", parts[2]),
        format!("{}.{}", parts[0], parts[1]),
        format!(" {token}"),
        format!("{token}\n"),
        format!("Bearer {token}"),
        format!("{}..{}", parts[0], parts[2]),
        format!("{}.{}==.{}", parts[0], parts[1], parts[2]),
        format!("{}.{padded}=.{}", parts[0], parts[2]),
        token.replace('.', "\0"),
        token.replace('.', "。"),
        "é".repeat(100),
    ] {
        let refused = office.tokens.verify(&text, NOW).unwrap_err();
        assert!(matches!(refused, TokenError::Malformed(_) | TokenError::Signature), "{text:?}: {refused}");
    }
    assert_eq!(office.tokens.verify(&format!("{}.{}.", parts[0], parts[1]), NOW), Err(TokenError::Signature));
}

#[test]
fn what_is_too_long_is_not_read() {
    let office = Office::new();
    let long = "a".repeat(jws::BYTES_MAX + 1);
    assert_eq!(office.tokens.verify(&long, NOW), Err(TokenError::Malformed("it is too long")));
    let mut claims = office.claims();
    claims["mintedBy"] = json!("x".repeat(jws::BYTES_MAX));
    let token = office.signed(&office.header(), &claims.to_string());
    assert_eq!(office.tokens.verify(&token, NOW), Err(TokenError::Malformed("it is too long")));
    let deep = format!("{}{}", "[".repeat(3000), "]".repeat(3000));
    let token = office.signed(&office.header(), &deep);
    assert!(matches!(office.tokens.verify(&token, NOW), Err(TokenError::Malformed(_))));
}

#[test]
fn the_largest_token_that_is_granted_fits() {
    let office = Office::new();
    let projects = (0..100).map(|n| format!("0190a0a0-0000-7000-8000-{n:012}")).collect();
    let largest =
        Wish { subject: "x".repeat(255), roles: vec![Role::ProjectDev], projects: Some(projects), ..wish() };
    let issued = office.tokens.issue(&granted(largest), NOW).unwrap();
    assert!(office.tokens.verify(&issued.token, NOW).is_ok(), "{} bytes", issued.token.len());
}

#[test]
fn names_that_could_be_mistaken_are_none() {
    assert_eq!(Names::new("portcullis", "x"), Err(NamesError::Reserved));
    for wrong in ["", "a#b", "a b", "a,b", "a\n", "é", &"x".repeat(201)] {
        assert_eq!(Names::new(wrong, "x"), Err(NamesError::Grammar), "{wrong}");
        assert_eq!(Names::new("x", wrong), Err(NamesError::Grammar), "{wrong}");
    }
    assert!(Names::new("https://id.example.com/realms/a", "portcullis").is_ok());
}

/// One for all cases: a key costs more than a verification.
fn office() -> &'static Office {
    static OFFICE: std::sync::OnceLock<Office> = std::sync::OnceLock::new();
    OFFICE.get_or_init(Office::new)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn no_changed_byte_goes_unnoticed(position in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let office = office();
        let token = office.token();
        let mut bytes = token.clone().into_bytes();
        let at = position.index(bytes.len());
        prop_assume!(bytes[at] != byte);
        bytes[at] = byte;
        if let Ok(text) = String::from_utf8(bytes) {
            prop_assert!(office.tokens.verify(&text, NOW).is_err(), "{text}");
        }
    }

    #[test]
    fn no_part_added_or_taken_goes_unnoticed(
        from in any::<prop::sample::Index>(),
        length in 0_usize..8,
        new in "[A-Za-z0-9_.=-]{0,8}",
    ) {
        let office = office();
        let token = office.token();
        let from = from.index(token.len());
        let until = (from + length).min(token.len());
        let text = format!("{}{new}{}", &token[..from], &token[until..]);
        prop_assume!(text != token);
        prop_assert!(office.tokens.verify(&text, NOW).is_err(), "{text}");
    }

    #[test]
    fn no_text_is_a_panic(text in "\\PC{0,200}", header in "\\PC{0,40}", claims in "\\PC{0,80}") {
        let office = office();
        prop_assert!(office.tokens.verify(&text, NOW).is_err());
        let token = forge(&header, &claims, &office.key(), Algorithm::EdDSA);
        prop_assert!(office.tokens.verify(&token, NOW).is_err());
    }
}
