use super::*;

fn modes(yaml: &str) -> Result<Modes, Problem> {
    let params: Json = serde_saphyr::from_str(yaml).unwrap();
    Modes::parse("params/p/data.yaml", Some(&params))
}

/// The mode for a tenant and a kind under these overrides, where the policy itself says `enforce`.
fn check(yaml: &str, asked: &[(Option<&str>, Kind, Mode)]) {
    let modes = modes(yaml).unwrap();
    for (tenant, kind, expected) in asked {
        assert_eq!(modes.mode(Mode::Enforce, *tenant, *kind), *expected, "{yaml}: {tenant:?} {kind:?}");
    }
}

fn refused(yaml: &str, says: &str) {
    let said = modes(yaml).expect_err(yaml).to_string();
    assert!(said.starts_with("params/p/data.yaml: modes") && said.contains(says), "{said}");
}

#[test]
fn default_mode_is_the_policys_own() {
    check("{}", &[(None, Kind::App, Mode::Enforce)]);
    check("modes: []", &[(Some("acme"), Kind::Sandbox, Mode::Enforce)]);
    check("steps: [deploy]", &[(None, Kind::Cluster, Mode::Enforce)]);
    assert!(Modes::parse("p", None).unwrap().is_empty());
    assert!(!modes("modes: [{mode: warn}]").unwrap().is_empty());
}

#[test]
fn the_most_specific_override_wins_whatever_the_order() {
    let entries = [
        "{mode: audit}",
        "{mode: warn, namespaceKind: sandbox}",
        "{mode: enforce, tenant: acme}",
        "{mode: off, tenant: acme, namespaceKind: sandbox}",
    ];
    for turn in 0..entries.len() {
        let mut turned = entries;
        turned.rotate_left(turn);
        check(
            &format!("modes: [{}]", turned.join(", ")),
            &[
                (Some("acme"), Kind::Sandbox, Mode::Off),
                (Some("acme"), Kind::App, Mode::Enforce),
                (Some("globex"), Kind::Sandbox, Mode::Warn),
                (Some("globex"), Kind::App, Mode::Audit),
                (None, Kind::Sandbox, Mode::Warn),
                (None, Kind::Cluster, Mode::Audit),
            ],
        );
    }
}

#[test]
fn override_of_a_tenant_does_not_affect_others() {
    check(
        "modes: [{mode: warn, tenant: acme}]",
        &[
            (Some("acme"), Kind::App, Mode::Warn),
            (Some("acme2"), Kind::App, Mode::Enforce),
            (Some("ACME"), Kind::App, Mode::Enforce),
            (None, Kind::App, Mode::Enforce),
        ],
    );
}

#[test]
fn off_is_read_also_as_a_boolean() {
    for word in ["off", "\"off\"", "false"] {
        check(&format!("modes: [{{mode: {word}}}]"), &[(None, Kind::App, Mode::Off)]);
    }
    refused("modes: [{mode: true}]", "mode is true, not a word");
}

#[test]
fn duplicate_overrides_are_refused() {
    refused("modes: [{mode: warn}, {mode: warn}]", "modes[1] repeats the tenant");
    refused(
        "modes: [{mode: warn, tenant: a}, {mode: off}, {mode: audit, tenant: a}]",
        "modes[2] repeats the tenant",
    );
    refused(
        "modes: [{mode: warn, tenant: a, namespaceKind: app}, {mode: off, tenant: a, namespaceKind: app}]",
        "modes[1] repeats the tenant",
    );
}

#[test]
fn unknown_words_and_keys_are_refused() {
    refused("modes: [{mode: Warn}]", "modes[0].mode `Warn` is not one of off, audit, warn, enforce");
    refused("modes: [{mode: warn}, {mode: dryrun, tenant: a}]", "modes[1].mode `dryrun`");
    refused(
        "modes: [{mode: warn, namespaceKind: apps}]",
        "modes[0].namespaceKind `apps` is not one of app, sandbox",
    );
    refused("modes: [{mode: warn, tenants: a}]", "unknown field `tenants`");
    refused("modes: [{tenant: a}]", "missing field `mode`");
    refused("modes: {acme: warn}", "modes: ");
    refused("modes: warn", "an entry is `{mode: warn, tenant: acme, namespaceKind: sandbox}`");
}

#[test]
fn lists_in_parameters_are_bounded() {
    let list = |length: usize| serde_json::json!({"a": {"b": vec!["x"; length]}});
    assert_eq!(long_list(&list(LIST_MAX)), None);
    let said = long_list(&list(11_000)).unwrap().to_string();
    assert_eq!(
        said,
        "`a.b` has 11000 entries; a list has at most 1000; use a map, whose keys are looked up without iterating"
    );
    let map: serde_json::Map<String, Json> = (0..11_000).map(|n| (n.to_string(), Json::Bool(true))).collect();
    assert_eq!(long_list(&Json::Object(map)), None);
}

#[test]
fn long_list_in_a_bundle_is_located() {
    let text = format!("a: 1\nlist: [{}]\n", vec!["x"; 11_000].join(","));
    let files = [("params/p/data.yaml".to_owned(), text.into_bytes())];
    let said = crate::Bundle::from_files(files).unwrap_err().to_string();
    assert!(
        said.contains("params/p/data.yaml:2:1: `list` has 11000 entries; a list has at most 1000"),
        "{said}"
    );
}
