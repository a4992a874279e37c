use jsonwebtoken::{Algorithm, EncodingKey};
use serde_json::{Value as Json, json};

use super::*;
use crate::fixtures::{NOW, TestIssuer, encode, forge};

mod keys; // sets of keys
mod settings; // the flag

const ISSUER: &str = "https://id.example.com";

/// A provider with one key of each kind, in a file.
struct Place {
    dir: tempfile::TempDir,
    p256: EncodingKey,
    ed: TestIssuer,
    provider: Provider,
}

/// RSA of 2048 bits, for these tests only: ring generates none.
const RSA: &str = include_str!("tests/rsa.key");

fn rsa() -> EncodingKey {
    EncodingKey::from_rsa_pem(RSA.as_bytes()).unwrap()
}

fn jwk(key: &EncodingKey, algorithm: Algorithm, kid: &str) -> Json {
    crate::install_jwt_crypto();
    let jwk = jsonwebtoken::jwk::Jwk::from_encoding_key(key, algorithm).unwrap();
    let mut json = serde_json::to_value(jwk).unwrap();
    json["kid"] = kid.into();
    json["use"] = "sig".into();
    json
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let pair = rcgen::KeyPair::generate().unwrap();
        let p256 = EncodingKey::from_ec_der(pair.serialized_der());
        let flag = format!(
            "issuer={ISSUER},audience=portcullis,admin=root,gate=system:serviceaccount:portcullis:portcullis,cluster=018f2b7c-0000-7000-8000-00000000c001,jwks={}",
            dir.path().join("jwks.json").display()
        );
        let provider = Provider::new(flag.parse().unwrap());
        let place = Self { dir, p256, ed: TestIssuer::new(), provider };
        place.publish(&place.set());
        place
    }

    fn set(&self) -> Json {
        let mut ed = self.ed.tokens.keys().now().jwks()["keys"][0].clone();
        ed["kid"] = "ed".into();
        json!({"keys": [jwk(&rsa(), Algorithm::RS256, "rsa"), jwk(&self.p256, Algorithm::ES256, "p256"), ed]})
    }

    fn publish(&self, set: &Json) {
        std::fs::write(self.dir.path().join("jwks.json"), set.to_string()).unwrap();
        self.provider.read().unwrap();
    }

    fn key(&self, kid: &str) -> (EncodingKey, Algorithm) {
        match kid {
            "rsa" => (rsa(), Algorithm::RS256),
            "p256" => (self.p256.clone(), Algorithm::ES256),
            _ => (self.ed.key(), Algorithm::EdDSA),
        }
    }

    fn signed(&self, kid: &str, claims: &Json) -> String {
        let (key, algorithm) = self.key(kid);
        let header = json!({"alg": format!("{algorithm:?}"), "kid": kid, "typ": "JWT"});
        forge(&header.to_string(), &claims.to_string(), &key, algorithm)
    }

    fn verify(&self, token: &str) -> Result<Identity, TokenError> {
        self.provider.verify(Jws::read(token)?, NOW)
    }

    /// Good claims with some replaced.
    fn with(&self, change: &Json) -> Result<Identity, TokenError> {
        let mut claims = claims();
        for (name, value) in change.as_object().unwrap() {
            claims[name] = value.clone();
        }
        self.verify(&self.signed("p256", &claims))
    }
}

fn claims() -> Json {
    json!({
        "iss": ISSUER, "aud": "portcullis", "sub": "alice", "exp": NOW + 300, "iat": NOW,
        "email": "alice@example.com", "groups": ["admins"], "roles": ["admin"], "tenant": "acme",
    })
}

#[test]
fn every_kind_of_key_says_who_somebody_is_and_not_what() {
    let place = Place::new();
    for kid in ["rsa", "p256", "ed"] {
        let who = place.verify(&place.signed(kid, &claims())).unwrap();
        let expected = Identity { expires: Some(NOW + 300), ..Identity::known(ISSUER, "alice") };
        assert_eq!(who, expected, "{kid}");
        assert_eq!(who.name(), "https://id.example.com#alice");
    }
}

#[test]
fn administrators_are_those_of_the_flag() {
    let place = Place::new();
    for (subject, roles) in
        [("root", vec![Role::Admin]), ("Root", vec![]), ("root2", vec![]), ("roo", vec![])]
    {
        assert_eq!(place.with(&json!({"sub": subject})).unwrap().roles, roles, "{subject}");
    }
    assert!(place.with(&json!({"sub": "root "})).is_err());
}

#[test]
fn each_key_is_for_one_algorithm() {
    let place = Place::new();
    for (kid, alg) in [
        ("rsa", "RS512"),
        ("rsa", "PS256"),
        ("rsa", "HS256"),
        ("rsa", "none"),
        ("rsa", "ES256"),
        ("rsa", "EdDSA"),
        ("p256", "RS256"),
        ("p256", "ES384"),
        ("ed", "ES256"),
        ("ed", "RS256"),
    ] {
        let (key, algorithm) = place.key(kid);
        let header = json!({"alg": alg, "kid": kid}).to_string();
        let token = forge(&header, &claims().to_string(), &key, algorithm);
        assert_eq!(place.verify(&token), Err(TokenError::Algorithm), "{kid} {alg}");
    }
}

#[test]
fn key_verifies_only_its_own_algorithm() {
    let place = Place::new();
    for (named, by) in [("rsa", "p256"), ("p256", "ed"), ("ed", "rsa")] {
        let (key, algorithm) = place.key(by);
        let (_, claimed) = place.key(named);
        let header = json!({"alg": format!("{claimed:?}"), "kid": named}).to_string();
        let token = forge(&header, &claims().to_string(), &key, algorithm);
        assert_eq!(place.verify(&token), Err(TokenError::Signature), "{named} by {by}");
    }
    let public = place.set()["keys"][0]["n"].as_str().unwrap().to_owned();
    let secret = EncodingKey::from_secret(public.as_bytes());
    for alg in ["HS256", "RS256"] {
        let header = json!({"alg": alg, "kid": "rsa"}).to_string();
        let token = forge(&header, &claims().to_string(), &secret, Algorithm::HS256);
        assert!(matches!(place.verify(&token), Err(TokenError::Algorithm | TokenError::Signature)));
    }
}

#[test]
fn claims_that_are_not_for_us() {
    let place = Place::new();
    for (change, why) in [
        (json!({"iss": "https://id.example.com/"}), TokenError::Issuer),
        (json!({"iss": "ledger"}), TokenError::Issuer),
        (json!({"aud": "other"}), TokenError::Audience),
        (json!({"aud": []}), TokenError::Audience),
        (json!({"aud": ["other", "Portcullis"]}), TokenError::Audience),
        (json!({"exp": NOW - 11}), TokenError::Expired),
        (json!({"exp": 0}), TokenError::Expired),
        (json!({"nbf": NOW + 60}), TokenError::NotYet),
        (json!({"iat": NOW + 60}), TokenError::NotYet),
    ] {
        assert_eq!(place.with(&change), Err(why), "{change}");
    }
    for change in [
        json!({"exp": null}),
        json!({"exp": "soon"}),
        json!({"exp": -1}),
        json!({"exp": 1e300}),
        json!({"exp": u64::MAX}),
        json!({"nbf": {}}),
        json!({"sub": null}),
        json!({"sub": ""}),
        json!({"sub": "alice\u{200b}"}),
        json!({"aud": null}),
        json!({"aud": {"portcullis": true}}),
    ] {
        assert!(matches!(place.with(&change), Err(TokenError::Malformed(_))), "{change}");
    }
    for absent in ["iss", "aud", "sub", "exp"] {
        let mut less = claims();
        less.as_object_mut().unwrap().remove(absent);
        assert!(
            matches!(place.verify(&place.signed("ed", &less)), Err(TokenError::Malformed(_))),
            "{absent}"
        );
    }
    for good in [json!({"aud": ["x", "portcullis"]}), json!({"exp": 1_780_000_300.75}), json!({"nbf": 0})] {
        assert!(place.with(&good).is_ok(), "{good}");
    }
}

#[test]
fn repeated_claim_is_refused() {
    let place = Place::new();
    let (key, algorithm) = place.key("ed");
    let header = json!({"alg": "EdDSA", "kid": "ed"}).to_string();
    for twice in [r#"{"sub":"root","#, r#"{"aud":"other","#, r#"{"exp":1,"#, r#"{"iss":"ledger","#] {
        let text = claims().to_string().replacen('{', twice, 1);
        let token = forge(&header, &text, &key, algorithm);
        assert!(matches!(place.verify(&token), Err(TokenError::Malformed(_))), "{twice}");
    }
}

#[test]
fn logout_token_is_refused() {
    let place = Place::new();
    let (key, algorithm) = place.key("ed");
    for (typ, good) in [
        (json!("logout+jwt"), false),
        (json!("secevent+jwt"), false),
        (json!("dpop+jwt"), false),
        (json!("jwt"), true),
        (json!("at+JWT"), true),
        (json!(null), true),
    ] {
        let header = json!({"alg": "EdDSA", "kid": "ed", "typ": typ}).to_string();
        let token = forge(&header, &claims().to_string(), &key, algorithm);
        assert_eq!(place.verify(&token).is_ok(), good, "{typ}");
    }
}

#[test]
fn withdrawn_key_is_dropped_and_invalid_set_changes_nothing() {
    let place = Place::new();
    let token = place.signed("p256", &claims());
    let mut set = place.set();
    set["keys"].as_array_mut().unwrap().remove(1);
    place.publish(&set);
    assert_eq!(place.verify(&token), Err(TokenError::UnknownKey));
    place.publish(&place.set());
    for broken in ["", "{", "[]", "{\"keys\":[]}", "{\"keys\":{}}", "<html>"] {
        std::fs::write(place.dir.path().join("jwks.json"), broken).unwrap();
        let error = place.provider.read().unwrap_err();
        assert!(error.to_string().contains(ISSUER), "{error}");
        assert!(place.verify(&token).is_ok());
    }
    std::fs::write(place.dir.path().join("jwks.json"), " ".repeat(300_000)).unwrap();
    assert!(matches!(place.provider.read(), Err(OidcError::File { .. })));
}

#[test]
fn before_its_keys_are_read_nobody_is_believed() {
    let place = Place::new();
    let token = place.signed("ed", &claims());
    let unread = Provider::new(place.provider.settings().clone());
    assert_eq!(unread.verify(Jws::read(&token).unwrap(), NOW), Err(TokenError::NoKeys));
    assert!(unread.is_due() && !place.provider.is_due());
}

#[test]
fn keys_that_could_not_be_read_again_for_a_day_vouch_for_nothing() {
    let place = Place::new();
    let token = place.signed("ed", &claims());
    let after =
        |age| place.provider.verify_at(Jws::read(&token).unwrap(), NOW, Instant::now() + age).map(|_| ());
    assert_eq!(after(Duration::from_hours(23)), Ok(()));
    assert_eq!(after(STALE), Err(TokenError::NoKeys));
}

#[test]
fn token_without_signature_or_key_id_is_refused() {
    let place = Place::new();
    let unsigned = format!("{}.{}.", encode(r#"{"alg":"RS256","kid":"rsa"}"#), encode(claims().to_string()));
    assert_eq!(place.verify(&unsigned), Err(TokenError::Signature));
    let (key, algorithm) = place.key("ed");
    let token = forge(r#"{"alg":"EdDSA"}"#, &claims().to_string(), &key, algorithm);
    assert_eq!(place.verify(&token), Err(TokenError::UnknownKey));
}

/// As the API server signs it for a projected volume: `aud` is a list, there is no `typ`, and what it says of the Pod is
/// passed over.
#[test]
fn only_listed_service_accounts_are_gates() {
    let place = Place::new();
    let token = |subject: &str, audience: Json| {
        let claims = json!({
            "iss": ISSUER, "aud": audience, "sub": subject, "iat": NOW - 10, "nbf": NOW - 10, "exp": NOW + 3600, "jti": "8c3",
            "kubernetes.io": {"namespace": "portcullis", "pod": {"name": "gate-0", "uid": "1"}, "warnafter": NOW + 3000},
        });
        let (key, algorithm) = place.key("rsa");
        place.verify(&forge(r#"{"alg":"RS256","kid":"rsa"}"#, &claims.to_string(), &key, algorithm))
    };
    let gate = "system:serviceaccount:portcullis:portcullis";
    let known = token(gate, json!(["portcullis"])).unwrap();
    assert_eq!(known.roles, [Role::Service]);
    assert_eq!(known.clusters.unwrap().as_str(), "018f2b7c-0000-7000-8000-00000000c001");
    for other in
        ["system:serviceaccount:portcullis:default", "system:serviceaccount:tenant:portcullis", "portcullis"]
    {
        let known = token(other, json!(["portcullis"])).unwrap();
        assert_eq!((known.roles, known.clusters), (vec![], None), "{other}");
    }
    // The token that every Pod has for the API server itself.
    assert!(token(gate, json!(["https://kubernetes.default.svc.cluster.local"])).is_err());
}
