//! A gate's token is worth nothing without a client certificate, where the API knows the authorities of those.

use std::path::Path;

use portcullis_access::Role;
use portcullis_certs::develop::{CertificateAuthority, Issued, Use};
use ureq::tls::{Certificate, ClientCert, PrivateKey, RootCerts, TlsConfig};

use super::harness::{On, Server};
use crate::feed::stage::{readiness, soon};
use crate::support::Gate;

fn written(authority: &CertificateAuthority, dir: &Path, name: &str) -> Issued {
    let issued = authority.issue(&[name.to_owned()], Use::Client).unwrap();
    issued.write(&dir.join(format!("{name}.pem")), &dir.join(format!("{name}-key.pem"))).unwrap();
    issued
}

/// The status of an answer, or that there is none.
fn ask(
    server: &Server,
    authority: &CertificateAuthority,
    shown: Option<&Issued>,
    path: &str,
    token: &str,
) -> Option<u16> {
    let roots = [Certificate::from_pem(authority.cert_pem().as_bytes()).unwrap()];
    let mut tls = TlsConfig::builder().root_certs(RootCerts::new_with_certs(&roots));
    if let Some(issued) = shown {
        let own = [Certificate::from_pem(issued.cert_pem().as_bytes()).unwrap()];
        let key = PrivateKey::from_pem(issued.key_pem().as_bytes()).unwrap();
        tls = tls.client_cert(Some(ClientCert::new_with_certs(&own, key)));
    }
    let config = ureq::Agent::config_builder().http_status_as_error(false).tls_config(tls.build());
    let agent: ureq::Agent = config.build().into();
    let request = agent.get(format!("https://{}{path}", server.address));
    request
        .header("authorization", format!("Bearer {token}"))
        .call()
        .ok()
        .map(|answer| answer.status().as_u16())
}

#[test]
fn gate_shows_a_certificate_beside_its_token() {
    for on in [On::Sqlite, On::Postgres] {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name).display().to_string();
        let [authority, gates, stranger] =
            ["api", "gates", "gates"].map(|name| CertificateAuthority::new(name).unwrap());
        std::fs::write(path("ca.pem"), authority.cert_pem()).unwrap();
        std::fs::write(path("gates.pem"), gates.cert_pem()).unwrap();
        let leaf = authority.issue(&["127.0.0.1".to_owned()], Use::Server).unwrap();
        leaf.write(Path::new(&path("tls.pem")), Path::new(&path("tls-key.pem"))).unwrap();
        let (known, forged) =
            (written(&gates, dir.path(), "known"), written(&stranger, dir.path(), "forged"));
        let flags = [
            ("--api-tls-cert", path("tls.pem")),
            ("--api-tls-key", path("tls-key.pem")),
            ("--api-client-ca", path("gates.pem")),
        ];
        let flags: Vec<&str> = flags.iter().flat_map(|(flag, value)| [*flag, value.as_str()]).collect();
        let server = Server::with(on, &flags);
        let gate = server.token("gate", Role::Service, None, 3600);
        let admin = server.token("root", Role::Admin, None, 3600);
        let snapshot = "/api/v1/snapshot";
        for (shown, token, expected) in [
            (None, &gate, Some(403)),
            (Some(&known), &gate, Some(200)),
            // The handshake fails, whoever it is.
            (Some(&forged), &gate, None),
            (Some(&forged), &admin, None),
            // People have no certificates.
            (None, &admin, Some(200)),
            (Some(&known), &admin, Some(200)),
        ] {
            assert_eq!(ask(&server, &authority, shown, snapshot, token), expected, "{on:?}");
        }
        assert_eq!(ask(&server, &authority, None, "/api/v1/policies/revisions/1", &gate), Some(403));

        // A certificate that the serving authority has issued is none of a gate's.
        let other = written(&authority, dir.path(), "other");
        assert_eq!(ask(&server, &authority, Some(&other), snapshot, &gate), None, "{on:?}");

        // A gate as it is started.
        std::fs::write(path("token"), &gate).unwrap();
        let start = |certificate: Option<&str>, wait_ready: bool| {
            let mut words = vec!["--role".to_owned(), "gate".to_owned()];
            words.extend(["--ledger".to_owned(), format!("https://{}", server.address)]);
            words.extend([
                "--ledger-token".to_owned(),
                path("token"),
                "--ledger-ca".to_owned(),
                path("ca.pem"),
            ]);
            if let Some(name) = certificate {
                words.extend(["--ledger-cert".to_owned(), path(&format!("{name}.pem"))]);
                words.extend(["--ledger-key".to_owned(), path(&format!("{name}-key.pem"))]);
            }
            Gate::serve(tempfile::tempdir().unwrap(), &words, wait_ready)
        };
        drop(start(Some("known"), true));
        let bare = start(None, false);
        soon("a gate without a certificate is told why", || {
            let (status, why) = readiness(&bare);
            status == 503 && why.contains("FORBIDDEN")
        });
    }
}

#[test]
fn authorities_of_gates_need_tls() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("ca.pem");
    std::fs::write(&file, CertificateAuthority::new("gates").unwrap().cert_pem()).unwrap();
    let mut command = crate::support::portcullis();
    command.args(["serve", "--role", "api", "--api-client-ca"]).arg(&file);
    let output = command.output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && said.contains("--api-tls-cert"), "{said}");
}
