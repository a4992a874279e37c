use std::sync::Arc;

use serde_json::json;

use super::*;
use crate::fixtures::{TestIssuer, granted, request};
use crate::keys::{self, Keys};
use crate::token::Names;

const ISSUER: &str = "https://id.example.com";

/// Ourselves, and a further issuer with a file of keys.
struct Place {
    dir: tempfile::TempDir,
    own: TestIssuer,
    other: TestIssuer,
}

impl Place {
    fn new() -> Self {
        let place =
            Self { dir: tempfile::tempdir().unwrap(), own: TestIssuer::new(), other: TestIssuer::new() };
        place.publish(&place.other);
        place
    }

    fn publish(&self, office: &TestIssuer) {
        let set = office.tokens.keys().now().jwks();
        std::fs::write(self.dir.path().join("jwks.json"), set.to_string()).unwrap();
    }

    fn settings(&self, issuer: &str) -> Settings {
        let file = self.dir.path().join("jwks.json");
        format!("issuer={issuer},audience=portcullis,jwks={}", file.display()).parse().unwrap()
    }

    fn tokens(&self) -> Tokens {
        let keys = Keys::open(self.own.dir.path()).unwrap();
        Tokens::new(Arc::new(keys), Names::new("ledger", "portcullis").unwrap())
    }

    fn issuers(&self) -> Issuers {
        Issuers::new(self.tokens(), vec![self.settings(ISSUER)]).unwrap()
    }
}

fn foreign(office: &TestIssuer, issuer: &str) -> String {
    let claims = json!({"iss": issuer, "aud": "portcullis", "sub": "alice", "exp": now() + 60});
    office.signed(&office.header(), &claims.to_string())
}

#[tokio::test]
async fn each_issuer_is_believed_by_its_own_keys() {
    let place = Place::new();
    let issuers = place.issuers();
    let own = place.own.tokens.issue(&granted(request()), now()).unwrap().token;
    assert_eq!(issuers.identify(&own).await.unwrap().name(), "ledger#alice");
    let alice = issuers.identify(&foreign(&place.other, ISSUER)).await.unwrap();
    assert_eq!((alice.name().as_str(), alice.roles.len()), ("https://id.example.com#alice", 0));
    // Each with the other's keys.
    let ours_by_other = place.other.tokens.issue(&granted(request()), now()).unwrap().token;
    assert_eq!(issuers.identify(&ours_by_other).await, Err(TokenError::UnknownKey));
    assert_eq!(issuers.identify(&foreign(&place.own, ISSUER)).await, Err(TokenError::UnknownKey));
    for unknown in ["https://id.example.com/", "https://evil.example.com", "portcullis", ""] {
        let token = foreign(&place.other, unknown);
        assert_eq!(issuers.identify(&token).await, Err(TokenError::Issuer), "{unknown}");
    }
}

#[tokio::test]
async fn repeated_issuer_is_refused() {
    let place = Place::new();
    let office = place.other.header();
    let text = format!(
        r#"{{"iss":"ledger","iss":"{ISSUER}","aud":"portcullis","sub":"alice","exp":{}}}"#,
        now() + 60
    );
    let token = place.other.signed(&office, &text);
    assert!(matches!(place.issuers().identify(&token).await, Err(TokenError::Malformed(_))));
}

#[tokio::test]
async fn rotated_key_is_fetched_with_a_rate_limit() {
    let place = Place::new();
    let issuers = place.issuers();
    let new = TestIssuer::new();
    let token = foreign(&new, ISSUER);
    assert_eq!(issuers.identify(&token).await, Err(TokenError::UnknownKey));
    place.publish(&new);
    // Looked for a moment ago.
    assert_eq!(issuers.identify(&token).await, Err(TokenError::UnknownKey));
    tokio::time::sleep(issuers.further().next().unwrap().settings().jwks.apart()).await;
    assert!(issuers.identify(&token).await.is_ok());
    assert_eq!(issuers.identify(&foreign(&place.other, ISSUER)).await, Err(TokenError::UnknownKey));
}

#[tokio::test]
async fn who_goes_away_while_keys_are_read_ends_nothing() {
    let place = Place::new();
    let issuers = place.issuers();
    let new = TestIssuer::new();
    place.publish(&new);
    let token = foreign(&new, ISSUER);
    let gone = tokio::time::timeout(Duration::ZERO, issuers.identify(&token)).await;
    drop(gone);
    for _ in 0..100 {
        if issuers.identify(&token).await.is_ok() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the read ended with its caller");
}

#[tokio::test]
async fn keys_are_followed_while_the_server_runs() {
    let place = Place::new();
    let issuers = place.issuers();
    let token = place.own.tokens.issue(&granted(request()), now()).unwrap().token;
    let changed = async {
        // A broken file first: nothing ends by it, and what follows is read all the same.
        let broken = place.own.dir.path().join("broken.pem");
        std::fs::write(&broken, "half a key").unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert!(issuers.identify(&token).await.is_ok());
        std::fs::remove_file(broken).unwrap();
        keys::create(place.own.dir.path(), jiff::Timestamp::UNIX_EPOCH).unwrap();
        std::fs::remove_file(place.own.tokens.keys().now().signing(now()).unwrap().path()).unwrap();
        for _ in 0..200 {
            tokio::time::sleep(Duration::from_millis(5)).await;
            if issuers.identify(&token).await == Err(TokenError::UnknownKey) {
                return;
            }
        }
        panic!("the keys are not followed");
    };
    tokio::select! {
        () = changed => {}
        () = issuers.tend_every(Duration::from_millis(5)) => {}
    }
}

#[test]
fn two_issuers_of_one_name_are_refused() {
    let place = Place::new();
    let twice = vec![place.settings(ISSUER), place.settings(ISSUER)];
    assert!(matches!(Issuers::new(place.tokens(), twice), Err(IssuersError::Twice(name)) if name == ISSUER));
    let ours = vec![place.settings("ledger")];
    assert!(matches!(Issuers::new(place.tokens(), ours), Err(IssuersError::Twice(name)) if name == "ledger"));
    std::fs::remove_file(place.dir.path().join("jwks.json")).unwrap();
    assert!(matches!(Issuers::new(place.tokens(), vec![place.settings(ISSUER)]), Err(IssuersError::Oidc(_))));
}
