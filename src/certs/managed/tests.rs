use proptest::prelude::*;

use super::*;

mod over_time;

const START: &str = "2026-01-01T00:00:00Z";

fn order(names: &[&str]) -> Order {
    let lives = Lives { leaf: Duration::from_mins(15), authority: Duration::from_hours(1) };
    Order {
        title: "portcullis-system/tls".to_owned(),
        names: names.iter().map(|name| (*name).to_owned()).collect(),
        lives,
    }
}

fn usual() -> Order {
    order(&["portcullis.portcullis-system.svc", "192.0.2.7", "2001:db8::7"])
}

fn at(minutes: i64) -> Timestamp {
    let start: Timestamp = START.parse().unwrap();
    start + jiff::SignedDuration::from_mins(minutes)
}

fn seen(state: &State) -> Trust {
    Trust::Bundles(vec![state.bundle()])
}

/// As the gate does it.
fn made() -> State {
    State::make(&usual(), at(0)).unwrap()
}

fn step(state: &State, minutes: i64) -> Step {
    next_step(state, &usual(), &seen(state), None, at(minutes))
}

fn taken(state: &State, step: Step, minutes: i64) -> State {
    state.take(step, &usual(), at(minutes)).unwrap()
}

#[test]
fn what_is_kept_is_read_back() {
    let first = made();
    let second = taken(&first, Step::AddAuthority, 40);
    let third = taken(&second, Step::Switch, 42);
    for state in [first, second, third] {
        let read = State::read(&state.parts()).unwrap();
        assert!(read == state, "{}", state.bundle());
        assert!(state.parts().keys().all(|key| KEYS.contains(&key.as_str())));
    }
}

#[test]
fn everything_is_renewed_at_two_thirds_of_its_life() {
    let state = made();
    assert_eq!(step(&state, 0), Step::Rest(at(10)));
    assert_eq!(step(&state, 10), Step::RenewLeaf);
    let state = taken(&state, Step::RenewLeaf, 35);
    assert_eq!(step(&state, 40), Step::AddAuthority);
    let state = taken(&state, Step::AddAuthority, 40);
    // A tenth of the leaf's life.
    assert_eq!(step(&state, 41), Step::Wait(at(40) + jiff::SignedDuration::from_secs(90)));
    assert_eq!(step(&state, 42), Step::Switch);
    let state = taken(&state, Step::Switch, 42);
    assert_eq!(state.bundle().matches("BEGIN").count(), 2);
    let state = taken(&state, Step::RenewLeaf, 52);
    assert!(matches!(step(&state, 58), Step::Rest(_)));
    assert_eq!(step(&state, 59), Step::Forget);
    assert_eq!(taken(&state, Step::Forget, 59).bundle(), state.signing().cert_pem());
}

#[test]
fn an_authority_signs_only_when_every_registration_trusts_it() {
    let old = taken(&made(), Step::RenewLeaf, 38);
    let state = taken(&old, Step::AddAuthority, 40);
    let step = |trust: &Trust, minutes| next_step(&state, &usual(), trust, None, at(minutes));
    let half = Trust::Bundles(vec![state.bundle(), old.bundle()]);
    for trust in [&Trust::Unknown, &half, &Trust::Bundles(vec![String::new()])] {
        assert!(matches!(step(trust, 43), Step::Wait(_)), "{trust:?}");
        assert_eq!(step(trust, 48), Step::RenewLeaf, "{trust:?}");
        // Nobody trusts a leaf of the old one any more.
        assert_eq!(step(trust, 60), Step::Switch, "{trust:?}");
    }
    assert_eq!(step(&Trust::Bundles(vec![]), 43), Step::Switch);
}

#[test]
fn an_authority_that_is_taken_out_by_hand_is_gone() {
    let state = taken(&taken(&made(), Step::AddAuthority, 40), Step::Switch, 42);
    let mut parts = state.parts();
    parts.insert("ca.crt".to_owned(), state.signing().cert_pem().into());
    let state = State::read(&parts).unwrap();
    assert_eq!(state.bundle(), state.signing().cert_pem());
    // Not woken for what is not there any more: the leaf of 42 is due at 52, its authority at 80.
    assert_eq!(step(&state, 43), Step::Rest(at(52)));
    let state = taken(&state, Step::RenewLeaf, 62);
    assert_eq!(step(&state, 63), Step::Rest(at(72)));
}

#[test]
fn after_a_long_sleep_all_is_made_anew() {
    let state = made();
    assert_eq!(step(&state, 60), Step::MakeAll);
    let anew = taken(&state, Step::MakeAll, 60);
    assert!(anew.signing() != state.signing());
}

#[test]
fn a_wish_is_done_before_it_is_due() {
    let state = made();
    let wish = |wish| next_step(&state, &usual(), &seen(&state), Some(wish), at(1));
    assert_eq!(wish(Wish::Leaf), Step::RenewLeaf);
    assert_eq!(wish(Wish::Authority), Step::AddAuthority);
}

#[test]
fn replicas_of_two_minds_about_the_names_come_to_one() {
    let (one, other) = (order(&["a.b.svc"]), order(&["c.d.svc"]));
    let state = State::make(&one, at(0)).unwrap();
    let trust = seen(&state);
    assert_eq!(next_step(&state, &other, &trust, None, at(1)), Step::RenewLeaf);
    let both = state.take(Step::RenewLeaf, &other, at(1)).unwrap();
    for order in [&one, &other] {
        assert!(matches!(next_step(&both, order, &trust, None, at(2)), Step::Rest(_)));
    }
    let later = both.take(Step::RenewLeaf, &other, at(12)).unwrap();
    assert_eq!(later.leaf().names(), other.names);
}

#[test]
fn every_damage_names_the_key_and_never_its_value() {
    let state = made();
    let other = made().parts();
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
        let mut parts = state.parts();
        match value {
            Some(value) => parts.insert(key.to_owned(), value.to_vec()),
            None => parts.remove(key),
        };
        let Err(damage) = State::read(&parts) else { panic!("{key}: {words}") };
        let said = damage.to_string();
        assert!(said.starts_with(words) && !said.contains("secret"), "{said}");
    }
    // All of another authority, but for what vouches for it.
    let mut parts = other;
    for key in ["ca.crt", "ca.key"] {
        parts.insert(key.to_owned(), state.parts()[key].clone());
    }
    let Err(damage) = State::read(&parts) else { panic!("a stranger's leaf") };
    assert!(damage.to_string().starts_with("`tls.crt` is not vouched for by `ca.crt`"), "{damage}");
}

#[test]
fn of_damaged_parts_the_authority_is_saved() {
    let state = made();
    let mut parts = state.parts();
    parts.insert("tls.crt".to_owned(), b"garbage".to_vec());
    parts.remove("tls.key");
    let saved = State::salvage(&parts, &usual(), at(5)).unwrap();
    assert!(saved.signing() == state.signing() && saved.leaf() != state.leaf());
    assert!(State::read(&saved.parts()).unwrap() == saved);
    assert!(State::salvage(&parts, &usual(), at(61)).is_err());
    parts.insert("ca.key".to_owned(), b"garbage".to_vec());
    assert!(State::salvage(&parts, &usual(), at(5)).is_err());
}
