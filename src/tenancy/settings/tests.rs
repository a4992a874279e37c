use super::*;

fn said(objections: &[SettingError]) -> Vec<String> {
    objections.iter().map(|o| format!("{} {}", o.pointer, o.detail)).collect()
}

#[track_caller]
fn expect(objections: &[SettingError], expected: &[(&str, &str)]) {
    assert_eq!(objections.len(), expected.len(), "{:?}", said(objections));
    for (objection, (pointer, says)) in objections.iter().zip(expected) {
        assert_eq!(objection.pointer, *pointer, "{:?}", said(objections));
        assert!(objection.detail.contains(says), "{:?}", said(objections));
    }
}

#[test]
fn every_key_has_a_default_and_a_schema() {
    let defaults = defaults();
    for key in KEYS {
        let schema = schema_of(key).unwrap_or_else(|| panic!("{key} has no schema"));
        let validator = jsonschema::validator_for(&schema).unwrap();
        assert!(validator.is_valid(&defaults[key]), "the default of {key} does not fit");
        assert!(!validator.is_valid(&json!(7)), "{key} takes a number");
    }
    assert_eq!(defaults.len(), KEYS.len());
    assert_eq!(schema_of("nonsense"), None);
    let registries = jsonschema::validator_for(&schema_of("registries").unwrap()).unwrap();
    assert!(!registries.is_valid(&json!({ "ceilings": [] })));
}

#[test]
fn grammar_names_every_place() {
    expect(&grammar("prefix", &json!("Tn")), &[("", "no namespace prefix")]);
    expect(&grammar("labelPrefix", &json!("a..b")), &[("", "not a DNS subdomain")]);
    let registries = json!({ "ceiling": ["docker.io", "https://x.io"], "platform": ["nginx:latest", "*"] });
    expect(
        &grammar("registries", &registries),
        &[("/ceiling/1", "a scheme"), ("/platform/0", "a tag"), ("/platform/1", "a wildcard")],
    );
    expect(&grammar("workloadWrites", &json!(["pods", "Pods!"])), &[("/1", "resource pattern")]);
    let identities = json!([{ "name": "No", "class": "admin", "group": "a\u{0}", "writes": ["x y"] }]);
    expect(
        &grammar("identities", &identities),
        &[("/0/name", "not one DNS label"), ("/0/group", "1 to 256"), ("/0/writes/0", "resource pattern")],
    );
    expect(&grammar("connect", &json!({})), &[]);
}

#[test]
fn meaning_is_the_snapshots() {
    let settings = |text: Value| text.as_object().unwrap().clone();
    let acme = TenantGroups {
        slug: "acme".to_owned(),
        id: "018f2b7c-0000-7000-8000-000000000001".to_owned(),
        groups: vec!["acme-devs".to_owned()],
    };
    let outside =
        settings(json!({ "registries": { "ceiling": ["ghcr.io"], "platform": ["ghcr.io/x", "docker.io"] } }));
    expect(
        &meaning("registries", &outside, &[]),
        &[("/platform/1", "outside `settings.registries.ceiling`")],
    );
    let everybody = settings(
        json!({ "identities": [{ "name": "a", "class": "admin", "group": "system:authenticated" }] }),
    );
    expect(&meaning("identities", &everybody, &[]), &[("/0/group", "administrator of every member")]);
    let theirs = settings(json!({ "identities": [{ "name": "a", "class": "admin", "group": "acme-devs" }] }));
    expect(&meaning("identities", &theirs, &[]), &[]);
    expect(&meaning("identities", &theirs, &[acme]), &[("", "tenants.acme.groups[0]")]);
    expect(&meaning("prefix", &settings(json!({ "prefix": "tn" })), &[]), &[]);
}
