//! An OpenID provider over HTTPS: its keys are fetched, cached, fetched again for an unknown one, and not too often.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use portcullis_access::keys::{self, Keys};
use portcullis_access::token::{Names, Tokens, now};
use portcullis_access::{Issuers, TokenError};
use portcullis_certs::develop::{CertificateAuthority, Use};
use serde_json::json;

const ISSUER: &str = "https://id.example.com";

/// A provider on loopback. What it answers can be changed while it serves.
struct Provider {
    dir: tempfile::TempDir,
    port: u16,
    answer: Arc<Mutex<String>>,
    asked: Arc<AtomicUsize>,
}

impl Provider {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let authority = CertificateAuthority::new("provider of the test").unwrap();
        authority.write(&dir.path().join("ca.pem"), &dir.path().join("ca-key.pem")).unwrap();
        let leaf = authority.issue(&["localhost".to_owned()], Use::Server).unwrap().pair().unwrap();
        let resolver = rustls::sign::SingleCertAndKey::from(leaf.key);
        let config =
            rustls::ServerConfig::builder_with_provider(rustls::crypto::ring::default_provider().into())
                .with_safe_default_protocol_versions()
                .unwrap()
                .with_no_client_auth()
                .with_cert_resolver(Arc::new(resolver));
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (answer, asked) = (Arc::new(Mutex::new(String::new())), Arc::new(AtomicUsize::new(0)));
        let (said, counted) = (Arc::clone(&answer), Arc::clone(&asked));
        // Ends with the process.
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let session = rustls::ServerConnection::new(Arc::new(config.clone())).unwrap();
                let mut tls = rustls::StreamOwned::new(session, stream);
                if tls.read(&mut [0; 4096]).is_ok() {
                    counted.fetch_add(1, Ordering::SeqCst);
                    let _ = tls.write_all(said.lock().unwrap().as_bytes());
                    tls.conn.send_close_notify();
                    let _ = tls.flush();
                }
            }
        });
        Self { dir, port, answer, asked }
    }

    fn says(&self, status: &str, more: &str, body: &str) {
        let length = body.len();
        *self.answer.lock().unwrap() =
            format!("HTTP/1.1 {status}\r\n{more}content-length: {length}\r\nconnection: close\r\n\r\n{body}");
    }

    fn publishes(&self, keys: &Keys) {
        self.says("200 OK", "", &keys.now().jwks().to_string());
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    /// A server of ours that believes it.
    fn believed(&self, ca: bool) -> Issuers {
        let own = self.dir.path().join("own");
        let (keys, _) = Keys::open_or_create(&own).unwrap();
        let tokens = Tokens::new(Arc::new(keys), Names::new("ledger", "portcullis").unwrap());
        let port = self.port;
        let ca = if ca { format!(",ca={}", self.dir.path().join("ca.pem").display()) } else { String::new() };
        let flag = format!("issuer={ISSUER},audience=portcullis,jwks=https://localhost:{port}/keys{ca}");
        Issuers::new(tokens, vec![flag.parse().unwrap()]).unwrap()
    }
}

/// A key of the provider, and a token signed with it.
fn signer(dir: &Path) -> (Keys, String) {
    let path = keys::create(dir, jiff::Timestamp::UNIX_EPOCH).unwrap();
    let pem = std::fs::read(path).unwrap();
    let keys = Keys::open(dir).unwrap();
    let kid = keys.now().iter().next().unwrap().kid().to_owned();
    let header = Header { kid: Some(kid), ..Header::new(Algorithm::EdDSA) };
    let claims = json!({"iss": ISSUER, "aud": "portcullis", "sub": "alice", "exp": now() + 600});
    portcullis_access::install_jwt_crypto();
    let token = jsonwebtoken::encode(&header, &claims, &EncodingKey::from_ed_pem(&pem).unwrap()).unwrap();
    (keys, token)
}

#[tokio::test]
async fn its_keys_are_fetched_once_and_for_an_unknown_one_not_too_often() {
    let provider = Provider::new();
    let (first, token) = signer(&provider.dir.path().join("first"));
    let (second, rotated) = signer(&provider.dir.path().join("second"));
    let issuers = provider.believed(true);
    provider.publishes(&first);
    let many: Vec<_> = (0..20).map(|_| issuers.identify(&token)).collect();
    for who in many {
        assert_eq!(who.await.unwrap().name(), "https://id.example.com#alice");
    }
    assert_eq!(provider.asked(), 1);
    // Its key has been fetched less than a minute ago: nobody has us knock again.
    provider.publishes(&second);
    for _ in 0..20 {
        assert_eq!(issuers.identify(&rotated).await, Err(TokenError::UnknownKey));
    }
    assert_eq!(provider.asked(), 1);
    // As the server does by itself, later.
    let further = issuers.further().next().unwrap();
    assert!(further.refresh(Duration::ZERO).await.unwrap());
    assert!(issuers.identify(&rotated).await.is_ok());
    assert_eq!(issuers.identify(&token).await, Err(TokenError::UnknownKey));
}

#[tokio::test]
async fn a_hundred_at_once_ask_once() {
    let provider = Provider::new();
    let (keys, token) = signer(&provider.dir.path().join("keys"));
    provider.publishes(&keys);
    let issuers = Arc::new(provider.believed(true));
    let mut asked = tokio::task::JoinSet::new();
    for _ in 0..100 {
        let (issuers, token) = (Arc::clone(&issuers), token.clone());
        asked.spawn(async move { issuers.identify(&token).await.is_ok() });
    }
    assert!(asked.join_all().await.into_iter().all(|good| good));
    assert_eq!(provider.asked(), 1);
}

#[tokio::test]
async fn what_it_answers_is_not_taken_on_trust() {
    let provider = Provider::new();
    let (keys, token) = signer(&provider.dir.path().join("keys"));
    let set = keys.now().jwks().to_string();
    let issuers = provider.believed(true);
    let further = issuers.further().next().unwrap();
    let elsewhere = format!("location: https://localhost:{}/other\r\n", provider.port);
    let long = format!("{}{set}", " ".repeat(300 * 1024));
    for (status, more, body) in [
        ("500 Internal Server Error", "", &*set),
        ("404 Not Found", "", &set),
        ("302 Found", &elsewhere, &set),
        ("200 OK", "", "<html>"),
        ("200 OK", "", ""),
        ("200 OK", "", &long),
    ] {
        provider.says(status, more, body);
        let before = provider.asked();
        assert!(further.refresh(Duration::ZERO).await.is_err(), "{status} {more}");
        assert_eq!(provider.asked(), before + 1, "{status}: no second try, and nowhere else");
        assert_eq!(issuers.identify(&token).await, Err(TokenError::NoKeys));
    }
    provider.publishes(&keys);
    assert!(further.refresh(Duration::ZERO).await.unwrap());
    assert!(issuers.identify(&token).await.is_ok());
    // What was good stays, when it is not any more.
    provider.says("503 Service Unavailable", "", "");
    assert!(further.refresh(Duration::ZERO).await.is_err());
    assert!(issuers.identify(&token).await.is_ok());
}

#[tokio::test]
async fn whoever_the_authorities_do_not_know_is_not_asked() {
    let provider = Provider::new();
    let (keys, token) = signer(&provider.dir.path().join("keys"));
    provider.publishes(&keys);
    let issuers = provider.believed(false);
    assert_eq!(issuers.identify(&token).await, Err(TokenError::NoKeys));
    assert_eq!(provider.asked(), 0);
}
