use super::*;
use crate::develop::{CertificateAuthority, Use};

/// Writes two texts as a pair and judges them.
fn check(cert: &str, key: &str) -> Result<Pair, CertError> {
    check_at(cert, key, jiff::Timestamp::now())
}

fn check_at(cert: &str, key: &str, now: jiff::Timestamp) -> Result<Pair, CertError> {
    let dir = tempfile::tempdir().unwrap();
    let files = PairFiles {
        cert: dir.path().join("tls.crt"),
        key: dir.path().join("tls.key"),
        flags: Flags::WEBHOOK,
    };
    std::fs::write(&files.cert, cert).unwrap();
    std::fs::write(&files.key, key).unwrap();
    files.check(&files.read().unwrap(), now)
}

fn sentence(result: Result<Pair, CertError>) -> String {
    result.unwrap_err().to_string()
}

#[test]
fn valid_pair_has_its_expiry() {
    let authority = CertificateAuthority::new("test").unwrap();
    let leaf = authority.issue(&["localhost".into()], Use::Server).unwrap();
    let pair = check(leaf.cert_pem(), leaf.key_pem()).unwrap();
    let days = (pair.not_after - jiff::Timestamp::now().as_second()) / 86_400;
    assert!((390..=397).contains(&days), "{days}");
}

#[test]
fn error_names_flag_and_file() {
    let authority = CertificateAuthority::new("test").unwrap();
    let leaf = authority.issue(&["localhost".into()], Use::Server).unwrap();
    let other = authority.issue(&["localhost".into()], Use::Server).unwrap();
    let broken = "-----BEGIN CERTIFICATE-----\n!!!\n-----END CERTIFICATE-----\n";
    let not_x509 = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    for (cert, key, words) in [
        ("", leaf.key_pem(), ["tls.crt", "--tls-cert", "holds no certificate"]),
        ("hello", leaf.key_pem(), ["tls.crt", "--tls-cert", "holds no certificate"]),
        (broken, leaf.key_pem(), ["tls.crt", "--tls-cert", "is not PEM"]),
        (not_x509, leaf.key_pem(), ["tls.crt", "--tls-cert", "cannot be used"]),
        (leaf.cert_pem(), "", ["tls.key", "--tls-key", "holds no private key"]),
        (leaf.cert_pem(), leaf.cert_pem(), ["tls.key", "--tls-key", "holds no private key"]),
        (leaf.cert_pem(), other.key_pem(), ["tls.key", "--tls-key", "does not belong"]),
    ] {
        let sentence = sentence(check(cert, key));
        assert!(words.iter().all(|word| sentence.contains(word)), "{sentence}");
    }
    let later = jiff::Timestamp::now() + std::time::Duration::from_hours(9600);
    let sentence = sentence(check_at(leaf.cert_pem(), leaf.key_pem(), later));
    assert!(sentence.contains("tls.crt` of --tls-cert expired at 2"), "{sentence}");
}

#[test]
fn missing_file_is_reported() {
    let files = PairFiles {
        cert: "/nonexistent/tls.crt".into(),
        key: "/nonexistent/tls.key".into(),
        flags: Flags::WEBHOOK,
    };
    let sentence = files.read().err().unwrap().to_string();
    assert_eq!(sentence, "cannot read `/nonexistent/tls.crt`, the file of --tls-cert");
}
