//! Headers that would choose their own verification, and signatures by other keys.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::EncodingKey;

use super::*;
use crate::fixtures::{encode, forge};

/// A good token under another header, signed with the real key.
fn under(office: &TestIssuer, header: &Json) -> Result<Identity, TokenError> {
    office.tokens.verify(&office.signed(header, &office.claims().to_string()), NOW)
}

#[test]
fn header_does_not_choose_the_algorithm() {
    let office = TestIssuer::new();
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
fn public_key_is_no_hmac_secret() {
    let office = TestIssuer::new();
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
fn keys_in_the_header_are_ignored() {
    let office = TestIssuer::new();
    let stranger = TestIssuer::new();
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
    let office = TestIssuer::new();
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
