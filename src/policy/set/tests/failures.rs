use super::*;

#[test]
fn parameters_that_violate_their_schema_refuse_the_bundle() {
    let a = policy("a", DENY)
        .replace("# custom:\n", "# custom:\n#   params_schema: {properties: {steps: {type: array}}}\n");
    let params = |text: &'static str| [("a.rego", a.as_str()), ("params/a/data.yaml", text)];
    check(
        &params("other: 1\nsteps: deploy\n"),
        &["params/a/data.yaml:2:1: `/steps` is \"deploy\" (allowed: type array)"],
    );
    assert!(compile(&params("steps: []\n")).is_ok());
    // Said once by a test of the library, and not again by each start.
    let known = Bundle { params_checked: true, ..bundle(&params("steps: deploy\n")) };
    assert!(PolicySet::compile(&known, Options::default(), None).is_ok());
}

/// Messages go into denials and the log, and an argument may be a whole object.
#[test]
fn builtin_errors_name_the_type_and_not_the_value() {
    use portcullis_rego::builtins;
    let values =
        [r#"{"hidden": ["hidden"]}"#, r#"[["hidden"], {"a": "hidden"}]"#, r#"[{"hidden": 1}, null]"#];
    let (mut failed, mut asked) = (0, 0);
    for (name, _) in builtins::allowed() {
        let Some(arity) = builtins::arity(name).filter(|arity| (1..=4).contains(arity)) else { continue };
        let args = vec!["input.request.object.spec"; arity].join(", ");
        let rego = policy("a", &format!("deny contains \"x\" if {{ x := {name}({args}); x == \"y\" }}"));
        for interpreter in [false, true] {
            let options = Options { interpreter, ..Options::default() };
            let Ok(set) = PolicySet::compile(&bundle(&[("a.rego", &rego)]), options, None) else { continue };
            for value in values {
                let input = format!(r#"{{"request": {{"object": {{"spec": {value}}}}}}}"#);
                let input = Value::from_json_str(&input).unwrap();
                let policy = set.policy("a").unwrap();
                let said = policy.findings("deny", &input, &Value::new_object(), &mut meter());
                asked += 1;
                if let Err(error) = said {
                    failed += 1;
                    assert!(!error.to_string().contains("hidden"), "{name} on {value}: {error}");
                }
            }
        }
    }
    assert!(failed > 200 && asked > 400, "{failed} of {asked} failed");
}

#[test]
fn fields_of_an_always_null_object_are_refused() {
    let policy_for = |operations: &str, body: &str| policy("a", body).replace("[CREATE]", operations);
    let old = "deny contains \"x\" if input.request.oldObject.metadata.labels.a == \"b\"";
    let new = "deny contains \"x\" if input.request.object.metadata.labels.a == \"b\"";
    let said = "a.rego:8:22: `input.request.";
    for (operations, body, wrong) in [
        ("[CREATE]", old, Some("oldObject` is null on CREATE")),
        ("[CREATE, UPDATE]", old, None),
        ("[DELETE]", old, None),
        ("[DELETE]", new, Some("object` is null on DELETE")),
        ("[DELETE, UPDATE]", new, None),
        ("[CREATE]", "deny contains \"x\" if input.request.oldObject == null", None),
    ] {
        let expected = wrong.map(|wrong| format!("{said}{wrong}"));
        check(
            &[("a.rego", &policy_for(operations, body))],
            &expected.iter().map(String::as_str).collect::<Vec<_>>(),
        );
    }
}

#[test]
fn non_idempotent_patches_are_reported() {
    use portcullis_rego::analysis;
    let add = "{\"op\": \"add\", \"path\": \"/spec/containers/-\", \"value\": {}}";
    for (rule, found) in [
        (format!("patch contains {add}"), 1),
        (format!("patch contains p if {{ input.request.name == \"a\"; p := {add} }}"), 1),
        (format!("patch contains {add} if not input.request.object.spec.containers[1]"), 0),
        (format!("patch contains {add} if not held\nheld if input.request.name == \"a\""), 0),
        ("patch contains {\"op\": \"add\", \"path\": \"/spec/a\", \"value\": {}}".to_owned(), 0),
        (format!("deny contains {add}"), 0),
    ] {
        let module = portcullis_rego::Module { path: "a.rego".to_owned(), text: policy("a", &rule) };
        let analysis = analysis::analyse(&module).unwrap();
        assert_eq!(analysis.appends.len(), found, "{rule}: {:?}", analysis.appends);
    }
}
