use proptest::prelude::*;

use super::*;

const TENANCY: Digest = [7; 32];

fn value(text: &str) -> Value {
    Value::from_json_str(text).unwrap()
}

fn key_of(
    plan: u64,
    policies: &[usize],
    parts: &[Value],
    tenancy: &Digest,
    cluster: &Value,
) -> Option<CacheKey> {
    let parts: Vec<&Value> = parts.iter().collect();
    CacheInput { plan, policies, parts: &parts, tenancy, cluster, effective: None }.key()
}

fn key(parts: &[Value]) -> CacheKey {
    key_of(1, &[1], parts, &TENANCY, &Value::Null).unwrap()
}

fn found(text: usize) -> Vec<PolicyFindings> {
    let finding = Finding { msg: "x".repeat(text), ..Finding::default() };
    vec![PolicyFindings { policy: 0, deny: vec![finding], warn: vec![] }]
}

#[test]
fn different_inputs_have_different_keys() {
    let parts = [
        vec![],
        vec![Value::Null],
        vec![Value::Undefined],
        vec![value("false")],
        vec![value("true")],
        vec![value("0")],
        vec![value("-1")],
        vec![value("1.5")],
        vec![value("18446744073709550000")],
        // A float that is written with the same digits and is another number.
        vec![Value::from(18_446_744_073_709_550_000_f64)],
        vec![value(r#""""#)],
        vec![value(r#""null""#)],
        vec![value("[]")],
        vec![value("{}")],
        vec![Value::new_set()],
        vec![value("[1]")],
        vec![value("[[1]]")],
        vec![value("[1, 2]")],
        vec![value("[1]"), value("2")],
        vec![value("1"), value("[2]")],
        vec![value("[2]"), value("1")],
        vec![value(r#"{"a": "b"}"#)],
        vec![value(r#"{"a": {"b": null}}"#)],
        vec![value(r#"["a", "b"]"#)],
        vec![value(r#"["ab", ""]"#)],
        vec![value(r#"["", "ab"]"#)],
    ];
    let mut keys: Vec<CacheKey> = parts.iter().map(|parts| key(parts)).collect();
    for (plan, policies, tenancy, cluster) in [
        (2, &[1][..], TENANCY, Value::Null),
        (1, &[2], TENANCY, Value::Null),
        (1, &[1, 2], TENANCY, Value::Null),
        (1, &[1], [8; 32], Value::Null),
        (1, &[1], TENANCY, value("{}")),
        (1, &[1], TENANCY, value(r#"{"namespace": {"phase": "Active"}}"#)),
    ] {
        keys.push(key_of(plan, policies, &[], &tenancy, &cluster).unwrap());
    }
    for (at, one) in keys.iter().enumerate() {
        for other in &keys[at + 1..] {
            assert_ne!(one, other);
        }
    }
    assert_eq!(key(&[value(r#"{"a": 1, "b": 2}"#)]), key(&[value(r#"{"b": 2, "a": 1}"#)]));
}

#[test]
fn only_equal_inputs_hit_the_cache() {
    let cache = VerdictCache::default();
    let (one, other) = (key(&[value("1")]), key(&[value("2")]));
    cache.insert(one, found(3));
    assert_eq!(cache.get(&one).as_deref(), Some(&found(3)[..]));
    assert_eq!(cache.get(&other), None);
}

#[test]
fn long_input_has_no_key_and_uses_no_memory() {
    let text = |length| [Value::from("x".repeat(length))];
    assert!(key_of(1, &[1], &text(INPUT_MAX - 512), &TENANCY, &Value::Null).is_some());
    assert!(key_of(1, &[1], &text(INPUT_MAX + 1), &TENANCY, &Value::Null).is_none());
    let many = Value::from(vec![Value::from(1_u64); INPUT_MAX / 8]);
    assert!(key_of(1, &[1], &[many], &TENANCY, &Value::Null).is_none());
    // A digest without a bound tells long values apart to the last byte.
    let long = |last: &str| digest(&Value::from(format!("{}{last}", "x".repeat(INPUT_MAX + BUFFER_BYTES))));
    assert_ne!(long("a"), long("b"));
}

#[test]
fn cache_stays_within_its_budget() {
    let cache = VerdictCache::default();
    // One answer that is too large, and a hundred times the budget of answers that are not.
    let large = key(&[value("\"large\"")]);
    cache.insert(large, found(FINDINGS_MAX));
    assert_eq!(cache.get(&large), None);
    let hot = key(&[value("\"hot\"")]);
    cache.insert(hot, found(100));
    for n in 0..(100 * BUDGET / FINDINGS_MAX) as u64 {
        cache.insert(key(&[Value::from(n)]), found(FINDINGS_MAX - 1000));
        assert!(cache.get(&hot).is_some(), "what is asked again stays, {n}");
    }
    assert!(cache.bytes() <= BUDGET as u64, "{}", cache.bytes());
    assert!(cache.bytes() > BUDGET as u64 / 2, "{}", cache.bytes());
}

proptest! {
    /// Two values have one digest exactly where they are equal.
    #[test]
    fn a_digest_is_the_value(one in json(), other in json()) {
        let (one, other) = (Value::from(one), Value::from(other));
        prop_assert_eq!(digest(&one) == digest(&other), one == other);
        prop_assert_eq!(digest(&one), digest(&one.clone()));
    }
}

fn json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        (-2_i64..2).prop_map(Into::into),
        (-2.0_f64..2.0).prop_map(Into::into),
        "[ab]{0,2}".prop_map(Into::into),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..3).prop_map(Into::into),
            proptest::collection::btree_map("[ab]{0,1}", inner, 0..3)
                .prop_map(|entries| serde_json::Value::Object(entries.into_iter().collect())),
        ]
    })
}
