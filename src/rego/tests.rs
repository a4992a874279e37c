use super::*;

/// A builtin that panics, as only tests have one.
const PANICS: &str = "package t\ndeny contains sprintf(\"panic %d\", [count(input.name)])\n";

#[test]
fn a_panic_of_the_engine_is_an_error_each_time() {
    let module = Module { path: "t.rego".to_owned(), text: PANICS.to_owned() };
    let input = Value::from_json_str(r#"{"name": "a"}"#).unwrap();
    for choice in [Choice::Auto, Choice::Interpreter(String::new())] {
        let compiled = Compiled::new("data.t", &["deny"], &[&module], &choice).unwrap();
        for _ in 0..3 {
            let mut meter = Meter::new(Budget::default());
            let found = compiled.evaluate(0, &input, &Value::new_object(), None, &mut meter);
            assert!(
                matches!(&found, Err(EvalError::Panic(said)) if said.contains("panics in tests")),
                "{found:?}"
            );
        }
    }
}
