//! Texts that are no token, and tokens that were changed.

use base64::Engine as _;
use base64::engine::general_purpose::{URL_SAFE, URL_SAFE_NO_PAD};
use proptest::prelude::*;

use super::*;
use crate::fixtures::forge;

#[test]
fn texts_that_are_no_token() {
    let office = TestIssuer::new();
    let token = office.token();
    let parts: Vec<&str> = token.split('.').collect();
    let padded = URL_SAFE.encode(URL_SAFE_NO_PAD.decode(parts[1]).unwrap());
    for text in [
        String::new(),
        ".".into(),
        "..".into(),
        "a.b.c".into(),
        format!("{token}."),
        format!(".{token}"),
        format!("{token}.{}", parts[2]),
        format!("{}.{}", parts[0], parts[1]),
        format!(" {token}"),
        format!("{token}\n"),
        format!("Bearer {token}"),
        format!("{}..{}", parts[0], parts[2]),
        format!("{}.{}==.{}", parts[0], parts[1], parts[2]),
        format!("{}.{padded}=.{}", parts[0], parts[2]),
        token.replace('.', "\0"),
        token.replace('.', "。"),
        "é".repeat(100),
    ] {
        let refused = office.tokens.verify(&text, NOW).unwrap_err();
        assert!(matches!(refused, TokenError::Malformed(_) | TokenError::Signature), "{text:?}: {refused}");
    }
    assert_eq!(office.tokens.verify(&format!("{}.{}.", parts[0], parts[1]), NOW), Err(TokenError::Signature));
}

#[test]
fn too_long_token_is_refused() {
    let office = TestIssuer::new();
    let long = "a".repeat(jws::BYTES_MAX + 1);
    assert_eq!(office.tokens.verify(&long, NOW), Err(TokenError::Malformed("it is too long")));
    let mut claims = office.claims();
    claims["mintedBy"] = json!("x".repeat(jws::BYTES_MAX));
    let token = office.signed(&office.header(), &claims.to_string());
    assert_eq!(office.tokens.verify(&token, NOW), Err(TokenError::Malformed("it is too long")));
    let deep = format!("{}{}", "[".repeat(3000), "]".repeat(3000));
    let token = office.signed(&office.header(), &deep);
    assert!(matches!(office.tokens.verify(&token, NOW), Err(TokenError::Malformed(_))));
}

/// One for all cases: a key costs more than a verification.
fn office() -> &'static TestIssuer {
    static OFFICE: std::sync::OnceLock<TestIssuer> = std::sync::OnceLock::new();
    OFFICE.get_or_init(TestIssuer::new)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn no_changed_byte_goes_unnoticed(position in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let office = office();
        let token = office.token();
        let mut bytes = token.clone().into_bytes();
        let at = position.index(bytes.len());
        prop_assume!(bytes[at] != byte);
        bytes[at] = byte;
        if let Ok(text) = String::from_utf8(bytes) {
            prop_assert!(office.tokens.verify(&text, NOW).is_err(), "{text}");
        }
    }

    #[test]
    fn no_part_added_or_taken_goes_unnoticed(
        from in any::<prop::sample::Index>(),
        length in 0_usize..8,
        new in "[A-Za-z0-9_.=-]{0,8}",
    ) {
        let office = office();
        let token = office.token();
        let from = from.index(token.len());
        let until = (from + length).min(token.len());
        let (before, after) = (token.get(..from).unwrap(), token.get(until..).unwrap());
        let text = format!("{before}{new}{after}");
        prop_assume!(text != token);
        prop_assert!(office.tokens.verify(&text, NOW).is_err(), "{text}");
    }

    #[test]
    fn no_text_is_a_panic(text in "\\PC{0,200}", header in "\\PC{0,40}", claims in "\\PC{0,80}") {
        let office = office();
        prop_assert!(office.tokens.verify(&text, NOW).is_err());
        let token = forge(&header, &claims, &office.key(), Algorithm::EdDSA);
        prop_assert!(office.tokens.verify(&token, NOW).is_err());
    }
}
