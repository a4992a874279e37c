use proptest::prelude::*;

use super::*;

mod over_time;

const START: &str = "2026-01-01T00:00:00Z";

fn spec(names: &[&str]) -> CertificateSpec {
    let validity = Validity { server_certificate: Duration::from_mins(15), ca: Duration::from_hours(1) };
    CertificateSpec {
        title: "portcullis-system/tls".to_owned(),
        names: names.iter().map(|name| (*name).to_owned()).collect(),
        validity,
    }
}

fn usual() -> CertificateSpec {
    spec(&["portcullis.portcullis-system.svc", "192.0.2.7", "2001:db8::7"])
}

fn at(minutes: i64) -> Timestamp {
    let start: Timestamp = START.parse().unwrap();
    start + jiff::SignedDuration::from_mins(minutes)
}

fn seen(state: &State) -> Trust {
    Trust::Bundles(vec![state.bundle()])
}

/// As the gate does it.
fn new_state() -> State {
    State::create(&usual(), at(0)).unwrap()
}

fn step(state: &State, minutes: i64) -> Step {
    next_step(state, &usual(), &seen(state), None, at(minutes))
}

fn taken(state: &State, step: Step, minutes: i64) -> State {
    state.take(step, &usual(), at(minutes)).unwrap()
}

#[test]
fn stored_state_reads_back_equal() {
    let first = new_state();
    let second = taken(&first, Step::AddCa, 40);
    let third = taken(&second, Step::SwitchCa, 42);
    for state in [first, second, third] {
        let read = State::read(&state.secret_data()).unwrap();
        assert!(read == state, "{}", state.bundle());
        assert!(state.secret_data().keys().all(|key| SECRET_KEYS.contains(&key.as_str())));
    }
}

#[test]
fn certificates_are_renewed_after_two_thirds() {
    let state = new_state();
    assert_eq!(step(&state, 0), Step::Idle(at(10)));
    assert_eq!(step(&state, 10), Step::RenewServerCertificate);
    let state = taken(&state, Step::RenewServerCertificate, 35);
    assert_eq!(step(&state, 40), Step::AddCa);
    let state = taken(&state, Step::AddCa, 40);
    // A tenth of the leaf's life.
    assert_eq!(step(&state, 41), Step::WaitForTrust(at(40) + jiff::SignedDuration::from_secs(90)));
    assert_eq!(step(&state, 42), Step::SwitchCa);
    let state = taken(&state, Step::SwitchCa, 42);
    assert_eq!(state.bundle().matches("BEGIN").count(), 2);
    let state = taken(&state, Step::RenewServerCertificate, 52);
    assert!(matches!(step(&state, 58), Step::Idle(_)));
    assert_eq!(step(&state, 59), Step::RemovePreviousCas);
    assert_eq!(taken(&state, Step::RemovePreviousCas, 59).bundle(), state.signing().cert_pem());
}

#[test]
fn ca_signs_only_once_every_registration_trusts_it() {
    let old = taken(&new_state(), Step::RenewServerCertificate, 38);
    let state = taken(&old, Step::AddCa, 40);
    let step = |trust: &Trust, minutes| next_step(&state, &usual(), trust, None, at(minutes));
    let half = Trust::Bundles(vec![state.bundle(), old.bundle()]);
    for trust in [&Trust::Unknown, &half, &Trust::Bundles(vec![String::new()])] {
        assert!(matches!(step(trust, 43), Step::WaitForTrust(_)), "{trust:?}");
        assert_eq!(step(trust, 48), Step::RenewServerCertificate, "{trust:?}");
        // Nobody trusts a leaf of the old one any more.
        assert_eq!(step(trust, 60), Step::SwitchCa, "{trust:?}");
    }
    assert_eq!(step(&Trust::Bundles(vec![]), 43), Step::SwitchCa);
}

#[test]
fn manually_removed_ca_stays_removed() {
    let state = taken(&taken(&new_state(), Step::AddCa, 40), Step::SwitchCa, 42);
    let mut parts = state.secret_data();
    parts.insert("ca.crt".to_owned(), state.signing().cert_pem().into());
    let state = State::read(&parts).unwrap();
    assert_eq!(state.bundle(), state.signing().cert_pem());
    // Not woken for what is not there any more: the leaf of 42 is due at 52, its authority at 80.
    assert_eq!(step(&state, 43), Step::Idle(at(52)));
    let state = taken(&state, Step::RenewServerCertificate, 62);
    assert_eq!(step(&state, 63), Step::Idle(at(72)));
}

#[test]
fn expired_ca_is_replaced_completely() {
    let state = new_state();
    assert_eq!(step(&state, 60), Step::CreateAll);
    let anew = taken(&state, Step::CreateAll, 60);
    assert!(anew.signing() != state.signing());
}

#[test]
fn requested_rotation_is_done_early() {
    let state = new_state();
    let request = |request| next_step(&state, &usual(), &seen(&state), Some(request), at(1));
    assert_eq!(request(RotationRequest::ServerCertificate), Step::RenewServerCertificate);
    assert_eq!(request(RotationRequest::Ca), Step::AddCa);
}

#[test]
fn replicas_with_different_names_converge() {
    let (one, other) = (spec(&["a.b.svc"]), spec(&["c.d.svc"]));
    let state = State::create(&one, at(0)).unwrap();
    let trust = seen(&state);
    assert_eq!(next_step(&state, &other, &trust, None, at(1)), Step::RenewServerCertificate);
    let both = state.take(Step::RenewServerCertificate, &other, at(1)).unwrap();
    for spec in [&one, &other] {
        assert!(matches!(next_step(&both, spec, &trust, None, at(2)), Step::Idle(_)));
    }
    let later = both.take(Step::RenewServerCertificate, &other, at(12)).unwrap();
    assert_eq!(later.server_certificate().names(), other.names);
}

#[test]
fn damage_is_reported_by_key_without_the_value() {
    let state = new_state();
    let other = new_state().secret_data();
    let no_pem: &[u8] = b"-----BEGIN CERTIFICATE-----\n!!!\n-----END CERTIFICATE-----\n";
    for (key, value, words) in [
        ("tls.crt", None, "`tls.crt` is missing"),
        ("tls.crt", Some(no_pem), "`tls.crt` is no PEM"),
        ("tls.crt", Some(&other["tls.crt"]), "`tls.crt` cannot be served: the key does not belong"),
        ("tls.key", Some(b"secret"), "`tls.crt` cannot be served"),
        ("tls.key", Some(&[0xff]), "`tls.key` is no text"),
        ("ca.crt", Some(b""), "`ca.crt` holds no certificate"),
        ("ca.crt", Some(&other["ca.crt"]), "`ca.key` and `ca.crt` do not go together"),
        ("ca.key", Some(&other["ca.key"]), "`ca.key` and `ca.crt` do not go together"),
        ("next-ca.key", Some(&other["ca.key"]), "`next-ca.key` belongs to no certificate of `ca.crt`"),
        ("previous-until", Some(b"soon"), "`previous-until` is no time"),
    ] {
        let mut parts = state.secret_data();
        match value {
            Some(value) => parts.insert(key.to_owned(), value.to_vec()),
            None => parts.remove(key),
        };
        let Err(damage) = State::read(&parts) else { panic!("{key}: {words}") };
        let said = damage.to_string();
        assert!(said.starts_with(words) && !said.contains("secret"), "{said}");
    }
    // All of another CA, except its bundle.
    let mut parts = other;
    for key in ["ca.crt", "ca.key"] {
        parts.insert(key.to_owned(), state.secret_data()[key].clone());
    }
    let Err(damage) = State::read(&parts) else { panic!("a stranger's leaf") };
    assert!(damage.to_string().starts_with("`tls.crt` is not signed by a CA in `ca.crt`"), "{damage}");
}

#[test]
fn damaged_secret_keeps_its_signing_ca() {
    let state = new_state();
    let mut parts = state.secret_data();
    parts.insert("tls.crt".to_owned(), b"garbage".to_vec());
    parts.remove("tls.key");
    let saved = State::salvage(&parts, &usual(), at(5)).unwrap();
    assert!(saved.signing() == state.signing() && saved.server_certificate() != state.server_certificate());
    assert!(State::read(&saved.secret_data()).unwrap() == saved);
    assert!(State::salvage(&parts, &usual(), at(61)).is_err());
    parts.insert("ca.key".to_owned(), b"garbage".to_vec());
    assert!(State::salvage(&parts, &usual(), at(5)).is_err());
}
