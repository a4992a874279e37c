//! What a well-behaved caller meets.

use std::io::Read as _;

use super::harness::*;
use portcullis_lifecycle::ready::Readiness;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

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
    assert_eq!(
        (answer.status, answer.body.as_str()),
        (500, "internal error; the request was not evaluated\n")
    );
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
         {\"name\":\"callers\",\"ready\":true,\"reason\":\"--client-ca is not set: every client that reaches the webhook port can call it\"},\
         {\"name\":\"tenancy\",\"ready\":false,\"reason\":\"no snapshot yet\"}]}\n"
    );
    assert_eq!(gate.admin("/livez").await.status, 200);
    tenancy.good();
    assert_eq!(gate.admin("/readyz").await.status, 200);
    assert_eq!(gate.admin("/metrics").await.body, "# nothing\n");
    assert_eq!(gate.admin("/version").await.body, "{\"version\":\"0\"}\n");
    assert_eq!(gate.admin("/validate").await.status, 404);
    let mut stream = TcpStream::connect(gate.admin).await.unwrap();
    let answer = ask(&mut stream, "POST /livez HTTP/1.1\r\nhost: g\r\ncontent-length: 0\r\n\r\n").await;
    assert_eq!(answer.status, 405);
}

#[tokio::test]
async fn scrape_is_gzipped_for_who_asks_and_bounded() {
    let gate = Gate::start(&[]).await;
    let ask_with = async |more: &str| {
        let mut stream = TcpStream::connect(gate.admin).await.unwrap();
        stream.write_all(format!("GET /metrics HTTP/1.1\r\nhost: g\r\n{more}\r\n").as_bytes()).await.unwrap();
        let mut said = vec![0; 4096];
        let read = tokio::time::timeout(PATIENCE, stream.read(&mut said)).await.unwrap().unwrap();
        said.truncate(read);
        said
    };
    let said = ask_with("accept-encoding: gzip\r\n").await;
    let end = said.windows(4).position(|window| window == b"\r\n\r\n").unwrap() + 4;
    let head = String::from_utf8_lossy(&said[..end]).to_lowercase();
    assert!(
        head.contains("content-encoding: gzip\r\n") && head.contains("vary: accept-encoding\r\n"),
        "{head}"
    );
    let mut page = String::new();
    flate2::read::GzDecoder::new(&said[end..]).read_to_string(&mut page).unwrap();
    assert_eq!(page, "# nothing\n");
    let plain = ask_with("").await;
    assert!(plain.ends_with(b"# nothing\n") && !String::from_utf8_lossy(&plain).contains("gzip"));
}

#[tokio::test]
async fn scrapes_beyond_four_are_refused_until_one_is_read() {
    let gate = Gate::start_with_page(&[], "# a line of the page\n".repeat(1 << 19)).await;
    let mut held = Vec::new();
    for _ in 0..4 {
        let mut stream = TcpStream::connect(gate.admin).await.unwrap();
        stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: g\r\n\r\n").await.unwrap();
        // Its head has come, and the rest is more than the sockets take.
        stream.read_exact(&mut [0; 12]).await.unwrap();
        held.push(stream);
    }
    assert_eq!(gate.admin("/metrics").await.status, 503);
    assert_eq!(gate.admin("/readyz").await.status, 200);
    drop(held.pop());
    eventually(async || gate.admin("/metrics").await.status == 200).await;
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
