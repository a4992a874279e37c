use super::*;

#[test]
fn parameters_that_their_schema_does_not_allow_refuse_the_bundle() {
    let a = policy("a", DENY)
        .replace("# custom:\n", "# custom:\n#   params_schema: {properties: {steps: {type: array}}}\n");
    let params = |text: &'static str| [("a.rego", a.as_str()), ("params/a/data.yaml", text)];
    check(
        &params("other: 1\nsteps: deploy\n"),
        &["params/a/data.yaml:2:1: `/steps` is \"deploy\" (allowed: type array)"],
    );
    assert!(compile(&params("steps: []\n")).is_ok());
    // Said once by a test of the library, and not again by each start.
    let known = Bundle { fits: true, ..bundle(&params("steps: deploy\n")) };
    assert!(PolicySet::compile(&known, Options::default(), None).is_ok());
}

/// A builtin that panics, as only tests have one.
const PANICS: &str = "deny contains sprintf(\"panic %d\", [count(input.request.name)])";

#[test]
fn a_policy_on_which_the_engine_panics_fails_each_time_and_alone() {
    for interpreter in [false, true] {
        let options = Options { interpreter, ..Options::default() };
        let (a, b) = (policy("a", DENY), policy("b", PANICS));
        let set = PolicySet::compile(&bundle(&[("a.rego", &a), ("b.rego", &b)]), options, None).unwrap();
        for _ in 0..3 {
            let input = Value::from_json_str(r#"{"request": {"name": "a"}}"#).unwrap();
            let ask = |id: &str| {
                set.policy(id).unwrap().findings("deny", &input, &Value::new_object(), &mut meter())
            };
            let error = ask("b").unwrap_err();
            assert!(matches!(&error, EvalError::Panic(said) if said.contains("panics in tests")), "{error}");
            assert_eq!(error.reason(), "panic");
            assert_eq!(ask("a").unwrap().len(), 1);
        }
    }
}
