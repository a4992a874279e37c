use serde::Deserialize;
use serde_json::json;

use super::*;

#[derive(Debug, Deserialize, ToSchema, PartialEq)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Thing {
    #[schema(min_length = 1, max_length = 5, pattern = "^[a-z]+$")]
    name: String,
    #[schema(minimum = 1, maximum = 9)]
    size: Option<u32>,
    part: Option<Part>,
    #[serde(default)]
    #[schema(max_items = 2)]
    tags: Vec<String>,
    flag: Option<bool>,
}

#[derive(Debug, Deserialize, ToSchema, PartialEq)]
#[serde(deny_unknown_fields)]
struct Part {
    #[schema(format = "uuid")]
    id: String,
}

fn schemas() -> Schemas {
    let named = NamedSchema::of::<Thing>();
    Schemas(HashMap::from([(named.name.clone(), Schema::compile(&named).unwrap())]))
}

fn faults(value: Value) -> Vec<(String, String)> {
    let problem = schemas().read::<Thing>(value).unwrap_err();
    problem.errors().iter().map(|fault| (fault.pointer.clone(), fault.detail.clone())).collect()
}

#[test]
fn all_faults_are_reported_without_values() {
    let found = faults(json!({
        "name": "SECRET-VALUE", "size": 10, "part": {"id": "SECRET", "more": 1}, "tags": ["a", "b", "c"], "x/y": 1
    }));
    let expected = [
        ("/x~1y", "is unknown"),
        ("/name", "is longer than 5 characters"),
        ("/name", "does not match `^[a-z]+$`"),
        ("/part/more", "is unknown"),
        ("/part/id", "is not a valid uuid"),
        ("/size", "is greater than 9"),
        ("/tags", "has more than 2 items"),
    ];
    let (mut found, mut expected): (Vec<_>, Vec<_>) =
        (found, expected.map(|(a, b)| (a.to_owned(), b.to_owned())).to_vec());
    found.sort();
    expected.sort();
    assert_eq!(found, expected);
}

#[test]
fn missing_fields_and_wrong_types_are_reported() {
    let own = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
        pairs.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect()
    };
    assert_eq!(faults(json!({})), own(&[("/name", "is missing")]));
    assert_eq!(faults(json!({"name": ""})).len(), 2);
    assert_eq!(faults(json!({"name": 5})), own(&[("/name", "must be of type string")]));
    assert_eq!(faults(json!([])), own(&[("", "must be of type object")]));
    assert_eq!(faults(json!({"name": "a\u{0}"})).first().unwrap().1, "contains a NUL character");
    assert_eq!(faults(json!({"name": "a", "size": 2.5})).len(), 1);
}

#[test]
fn valid_value_is_deserialized() {
    let thing: Thing = schemas().read(json!({"name": "abc", "size": null, "part": null})).unwrap();
    assert_eq!(thing, Thing { name: "abc".into(), size: None, part: None, tags: vec![], flag: None });
}

#[test]
fn a_query_is_read_by_the_types_of_its_parameters() {
    let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
    let query =
        |pairs: &[(&str, &str)]| schemas().query::<Thing>(pairs.iter().map(|(a, b)| pair(a, b)).collect());
    let thing = query(&[("name", "abc"), ("size", "7"), ("flag", "true")]).unwrap();
    assert_eq!((thing.size, thing.flag), (Some(7), Some(true)));
    for (pairs, pointer) in [
        (&[("name", "abc"), ("size", "07")][..], "?size"),
        (&[("name", "abc"), ("size", "+7")], "?size"),
        (&[("name", "abc"), ("size", "10")], "?size"),
        (&[("name", "abc"), ("flag", "1")], "?flag"),
        (&[("name", "abc"), ("name", "abd")], "?name"),
        (&[("name", "abc"), ("other", "")], "?other"),
        (&[], "?name"),
    ] {
        let problem = query(pairs).unwrap_err();
        assert_eq!(problem.errors().first().unwrap().pointer, pointer, "{pairs:?}");
    }
}

#[test]
fn many_faults_are_counted() {
    let many: serde_json::Map<String, Value> = (0..1_000).map(|n| (format!("x{n}"), Value::Null)).collect();
    let found = faults(Value::Object(many));
    assert_eq!(found.len(), FAULTS_MAX + 1);
    assert_eq!(found.last().unwrap().1, "and 937 more");
}
