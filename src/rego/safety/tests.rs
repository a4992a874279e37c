use crate::analysis::analyse;
use crate::module::Module;

/// What is said of a body, as `line:column: sentence`; each expectation is how a sentence begins.
fn check(body: &str, expected: &[&str]) {
    let module = Module { path: "p.rego".to_owned(), text: format!("package portcullis.p\n{body}\n") };
    let found = analyse(&module).unwrap_or_else(|problem| panic!("{body}: {problem}")).unbound;
    let said: Vec<String> =
        found.iter().map(|flaw| format!("{}:{}: {}", flaw.place.0, flaw.place.1, flaw.message)).collect();
    let fits = said.len() == expected.len()
        && said.iter().zip(expected).all(|(said, expected)| said.starts_with(expected));
    assert!(fits, "{body}: {said:#?}");
}

#[test]
fn a_variable_stands_at_its_place_once() {
    check("x contains y", &["2:12: `y` never has a value"]);
    check("x := y if {\n\tinput.now == z\n}", &["2:6: `y` never has a value", "3:18: `z` never has a value"]);
    check("x contains msg if { msg := sprintf(\"%v\", [name]) }", &["2:43: `name` never has a value"]);
}

#[test]
fn what_could_have_been_meant_is_named() {
    let said = |body: &str| {
        let module = Module { path: "p.rego".to_owned(), text: format!("package portcullis.p\n{body}\n") };
        analyse(&module).unwrap().unbound.into_iter().map(|flaw| flaw.message).collect::<String>()
    };
    assert!(said("x contains mesage if { message := \"a\" }").ends_with(": did you mean `message`?"));
    assert!(said("x if alowed\nallowed if input.now").ends_with(": did you mean `allowed`?"));
    assert!(said("x if inptu.request").ends_with(": did you mean `input`?"));
    assert!(!said("x if unheard").contains("did you mean"));
}
