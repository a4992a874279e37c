//! What a well-behaved caller meets.

use super::harness::*;
use portcullis::lifecycle::ready::Readiness;
use tokio::net::TcpListener;

const PEER: &str = "GET /peer HTTP/1.1\r\nhost: g\r\n\r\n";

#[tokio::test]
async fn one_connection_carries_many_requests_over_tls_1_2_and_1_3() {
    let gate = Gate::start(&[]).await;
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let mut config = gate.client(None);
        let with_version = rustls::ClientConfig::builder_with_provider(config.crypto_provider().clone())
            .with_protocol_versions(&[version])
            .unwrap();
        let mut roots = rustls::RootCertStore::empty();
        let pem = gate.authority.cert_pem().as_bytes();
        roots.add(rustls::pki_types::pem::PemObject::from_pem_slice(pem).unwrap()).unwrap();
        config = with_version.with_root_certificates(roots).with_no_client_auth();
        let mut stream = gate.connect_from("127.0.0.1", config).await;
        for _ in 0..3 {
            let answer = ask(&mut stream, PEER).await;
            assert_eq!((answer.status, answer.body.as_str()), (200, "127.0.0.1 false"));
            assert!(!answer.head.contains("connection: close"), "{}", answer.head);
        }
        let echo = ask(&mut stream, "POST /echo HTTP/1.1\r\nhost: g\r\ncontent-length: 5\r\n\r\nhello").await;
        assert_eq!(echo.body, "5");
    }
}

#[tokio::test]
async fn a_handler_that_panics_answers_500_on_a_connection_that_goes_on() {
    let gate = Gate::start(&[]).await;
    let mut stream = gate.connect().await;
    let answer = ask(&mut stream, "GET /panic HTTP/1.1\r\nhost: g\r\n\r\n").await;
    assert_eq!((answer.status, answer.body.as_str()), (500, "internal error; nothing was judged\n"));
    assert_eq!(ask(&mut stream, PEER).await.status, 200);
}

#[tokio::test]
async fn probes_tell_life_from_readiness() {
    let gate = Gate::start(&[]).await;
    assert_eq!(gate.admin("/livez").await.status, 200);
    assert_eq!(gate.admin("/readyz").await.status, 200);
    let tenancy = gate.readiness.condition("tenancy", "no snapshot yet");
    let answer = gate.admin("/readyz").await;
    assert_eq!(answer.status, 503);
    assert_eq!(
        answer.body,
        "{\"ready\":false,\"conditions\":[{\"name\":\"certificate\",\"ready\":true},\
         {\"name\":\"tenancy\",\"ready\":false,\"reason\":\"no snapshot yet\"}]}\n"
    );
    assert_eq!(gate.admin("/livez").await.status, 200);
    tenancy.good();
    assert_eq!(gate.admin("/readyz").await.status, 200);
    assert_eq!(gate.admin("/metrics").await.body, "# nothing\n");
    assert_eq!(gate.admin("/version").await.body, "{\"version\":\"0\"}\n");
    assert_eq!(gate.admin("/validate").await.status, 404);
    let mut stream = tokio::net::TcpStream::connect(gate.admin).await.unwrap();
    let answer = ask(&mut stream, "POST /livez HTTP/1.1\r\nhost: g\r\ncontent-length: 0\r\n\r\n").await;
    assert_eq!(answer.status, 405);
}

#[tokio::test]
async fn a_development_certificate_is_for_loopback_alone() {
    let readiness = Readiness::new();
    let bound = args(&[]).bind(&readiness, None).await.unwrap();
    assert!(bound.development_ca().unwrap().starts_with("-----BEGIN CERTIFICATE-----"));
    let mut open = args(&[]);
    open.listen = "0.0.0.0:0".parse().unwrap();
    let sentence = open.bind(&readiness, None).await.err().unwrap().to_string();
    assert!(sentence.contains("--tls-cert") && sentence.contains("`0.0.0.0:0` of --listen"), "{sentence}");
}

#[tokio::test]
async fn what_is_wrong_is_said_before_a_port_is_taken() {
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut busy = args(&[]);
    busy.admin = taken.local_addr().unwrap();
    let sentence = busy.bind(&Readiness::new(), None).await.err().unwrap().to_string();
    assert_eq!(sentence, format!("cannot listen on `{}` of --admin", taken.local_addr().unwrap()));

    let missing = args(&["--tls-cert", "/nonexistent/tls.crt", "--tls-key", "/nonexistent/tls.key"]);
    let sentence = missing.bind(&Readiness::new(), None).await.err().unwrap().to_string();
    assert_eq!(sentence, "cannot read `/nonexistent/tls.crt`, the file of --tls-cert");

    let mut no_roots = args(&[]);
    no_roots.client_ca = Some("/dev/null".into());
    let sentence = no_roots.bind(&Readiness::new(), None).await.err().unwrap().to_string();
    assert_eq!(sentence, "`/dev/null`, the file of --client-ca, holds no certificate in PEM");
}
