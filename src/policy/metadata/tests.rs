use super::*;

const BLOCK: &str = r#"# METADATA
# title: One line
# description: More of it.
# custom:
#   id: some-policy
#   severity: high
#   mode: warn
#   on_error: allow
#   budget_us: 500
#   match:
#     - operations: [CREATE, UPDATE]
#       resources: [pods, "*/scale"]
#       namespaces: [app, sandbox]
package p
"#;

fn read(text: &str) -> Result<Option<Manifest>, Problems> {
    parse("p.rego", &find(text).expect(text))
}

/// The block with one text replaced is refused with exactly these problems, each told by how it begins.
fn check(from: &str, to: &str, expected: &[&str]) {
    assert!(BLOCK.contains(from), "{from}");
    let text = BLOCK.replacen(from, to, 1);
    let said = match read(&text) {
        Ok(_) => panic!("{to} is taken"),
        Err(problems) => problems.to_string(),
    };
    let lines: Vec<&str> = said.lines().collect();
    let as_expected = lines.len() == expected.len()
        && lines.iter().zip(expected).all(|(line, expected)| line.starts_with(expected));
    assert!(as_expected, "{to}:\n{said}");
}

#[test]
fn block_is_read_into_a_manifest() {
    let manifest = read(BLOCK).unwrap().unwrap();
    assert_eq!((manifest.id.as_str(), manifest.title.as_str()), ("some-policy", "One line"));
    assert_eq!(manifest.description, "More of it.");
    let words = (manifest.severity, manifest.mode, manifest.on_error);
    assert_eq!(words, (Severity::High, Mode::Warn, OnError::Allow));
    assert_eq!(manifest.budget, Some(Duration::from_micros(500)));
    assert_eq!(manifest.location, ("p.rego".to_owned(), 1));
    let [entry] = &manifest.matches[..] else { panic!("{:?}", manifest.matches) };
    assert_eq!(entry.operations, [Operation::Create, Operation::Update]);
    assert_eq!(entry.namespaces, [Kind::App, Kind::Sandbox]);
    let resources: Vec<String> = entry.resources.iter().map(ToString::to_string).collect();
    assert_eq!(resources, ["pods", "*/scale"]);
}

#[test]
fn defaults_are_strict() {
    let text = "# METADATA\n# title: t\n# custom:\n#   id: a\n#   match:\n#     - operations: [CONNECT]\n#       resources: ['*']\npackage p\n";
    let manifest = read(text).unwrap().unwrap();
    let words = (manifest.severity, manifest.mode, manifest.on_error);
    assert_eq!(words, (Severity::Medium, Mode::Enforce, OnError::Deny));
    assert_eq!((manifest.budget, manifest.reads_secrets, manifest.locked), (None, false, false));
    assert_eq!(manifest.matches[0].namespaces, Kind::ALL);
}

#[test]
fn unknown_keys_are_refused_with_location() {
    check("# title:", "# titel:", &["p.rego:2:3: METADATA: unknown field `titel`"]);
    check("#   severity:", "#   severty:", &["p.rego:6:5: METADATA: unknown field `severty`"]);
    check("#       namespaces:", "#       namespace:", &["p.rego:13:9: METADATA: unknown field `namespace`"]);
    check("# custom:", "# custom: 3\n# custm:", &["p.rego:4:11: METADATA: "]);
}

#[test]
fn misspelled_values_are_refused_with_location() {
    check(
        "UPDATE]",
        "PATCH]",
        &["p.rego:11:30: operations `PATCH` is not one of CREATE, UPDATE, DELETE, CONNECT"],
    );
    check(
        "[CREATE, UPDATE]",
        "[create, Update]",
        &[
            "p.rego:11:22: operations `create` is not one of",
            "p.rego:11:30: operations `Update` is not one of",
        ],
    );
    check("mode: warn", "mode: Warn", &["p.rego:7:11: mode `Warn` is not one of off, audit, warn, enforce"]);
    check(
        "severity: high",
        "severity: hihg",
        &["p.rego:6:15: severity `hihg` is not one of low, medium, high, critical"],
    );
    check(
        "on_error: allow",
        "on_error: ignore",
        &["p.rego:8:15: on_error `ignore` is not one of deny, allow"],
    );
    check(
        "sandbox]",
        "sandboxes]",
        &["p.rego:13:27: namespaces `sandboxes` is not one of app, sandbox, unregistered, platform, cluster"],
    );
}

#[test]
fn empty_lists_in_match_are_refused() {
    check(
        "match:\n#     - operations: [CREATE, UPDATE]\n#       resources: [pods, \"*/scale\"]\n#       namespaces: [app, sandbox]",
        "match: []",
        &["p.rego:10:12: match is empty"],
    );
    check("[CREATE, UPDATE]", "[]", &["p.rego:11:21: operations is empty; allowed: CREATE"]);
    check("[pods, \"*/scale\"]", "[]", &["p.rego:12:20: resources is empty"]);
    check("[app, sandbox]", "[]", &["p.rego:13:21: namespaces is empty; allowed: app"]);
    check("\"*/scale\"", "\"pods/*/x\"", &["p.rego:12:27: resource pattern `pods/*/x` has the subresource"]);
    check(
        "[pods,",
        "[deployments.v1.apps,",
        &["p.rego:12:21: resource pattern `deployments.v1.apps` has the group"],
    );
}

#[test]
fn ids_titles_and_budgets_have_bounds() {
    for id in ["Some", "1a", "a_b", "a--b", "a-", "-a", "a.b", "ä", &"a".repeat(64)] {
        check("some-policy", id, &[&format!("p.rego:5:9: id `{id}`: must start with a lower-case letter")]);
    }
    check("# title: One line\n", "", &["p.rego:4:9: title is missing"]);
    check("budget_us: 500", "budget_us: 0", &["p.rego:9:16: budget_us 0 must be 1 to 500000"]);
    check("budget_us: 500", "budget_us: 500001", &["p.rego:9:16: budget_us 500001 must be 1 to"]);
    check("budget_us: 500", "budget_us: -1", &["p.rego:9:16: METADATA: "]);
    check("budget_us: 500", "budget_us: soon", &["p.rego:9:16: METADATA: "]);
    for budget in ["1", "500000"] {
        assert!(read(&BLOCK.replace("500", budget)).is_ok(), "{budget}");
    }
}

#[test]
fn the_scope_is_the_package() {
    check("# custom:", "# scope: rule\n# custom:", &["p.rego:4:10: `scope: rule` before `package`"]);
    assert!(read(&BLOCK.replace("# custom:", "# scope: package\n# custom:")).is_ok());
}

#[test]
fn all_problems_are_reported_in_order_of_line() {
    check(
        "id: some-policy\n#   severity: high\n#   mode: warn",
        "id: A\n#   severity: x\n#   mode: y",
        &["p.rego:5:9: id", "p.rego:6:15: severity", "p.rego:7:11: mode"],
    );
}

#[test]
fn keys_of_opa_are_ignored() {
    let more = "# authors: [A <a@x.io>]\n# organizations: [x]\n# related_resources: [{ref: 'https://x.io'}]\n# entrypoint: true\n# schemas: [{input: schema.input}]\n# custom:\n#   params_schema: {type: object}";
    assert!(read(&BLOCK.replace("# custom:", more)).unwrap().is_some());
}

#[test]
fn block_without_custom_is_no_policy() {
    assert!(read("# METADATA\n# title: names of namespaces\npackage p\n").unwrap().is_none());
}

#[test]
fn lines_count_from_the_file() {
    let text = format!("# Copyright\n\n{}", BLOCK.replace("mode: warn", "mode: x"));
    assert_eq!(find(&text).unwrap().line, 3);
    assert!(read(&text).unwrap_err().to_string().starts_with("p.rego:9:11: mode `x`"));
}

#[test]
fn only_the_block_before_package_is_read() {
    for text in [
        "package p\n# METADATA\n# title: of a rule\ndeny contains 1 if true\n",
        "# METADATA\n# title: t\n\npackage p\n",
        "# METADATA\n# title: t\nimport rego.v1\npackage p\n",
        "# Metadata\n# title: t\npackage p\n",
        "# only a comment\npackage p\n",
        "",
    ] {
        assert_eq!(find(text), None, "{text}");
    }
    for text in [
        "# METADATA\r\n# title: t\r\npackage p\r\n",
        "#METADATA\n# title: t\npackage p",
        "\n  # METADATA\n  # title: t\n  package p",
    ] {
        assert_eq!(find(text).expect(text).yaml, "title: t\n", "{text}");
    }
}
