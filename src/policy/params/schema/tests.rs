use super::*;
use crate::metadata;

const SCHEMA: &str = "{type: object, additionalProperties: false, required: [steps], properties: {steps: {type: array, items: {enum: [deploy, suspend]}, minItems: 1}, strict: {type: boolean}, name: {type: string, pattern: '^[a-z]+$'}, days: {type: integer, maximum: 30}}}";

/// What is wrong with these parameters under this schema, each with its place.
fn said(schema: &str, params: Option<&str>) -> Vec<String> {
    let text = format!(
        "# METADATA\n# title: t\n# custom:\n#   id: p\n#   match: [{{operations: [CREATE], resources: [pods]}}]\n#   params_schema: {schema}\npackage p\n"
    );
    let block = metadata::find(&text).unwrap();
    let manifest = metadata::parse("p.rego", &block).unwrap().unwrap();
    let file = params.map(|text| Module { path: "params/p/data.yaml".to_owned(), text: text.to_owned() });
    let value = params.map(|text| serde_saphyr::from_str::<Json>(text).unwrap());
    match check(&manifest, file.as_ref(), value.as_ref()) {
        Ok(problems) => problems.iter().map(ToString::to_string).collect(),
        Err(problem) => vec![problem.to_string()],
    }
}

#[test]
fn what_the_schema_allows_is_no_problem() {
    assert_eq!(said(SCHEMA, Some("steps: [deploy]")), [""; 0]);
    assert_eq!(
        said(SCHEMA, Some("steps: [deploy]\nmodes: [{mode: warn}]")),
        [""; 0],
        "modes are the gate's own"
    );
    assert_eq!(said("{type: object}", None), [""; 0]);
    assert_eq!(
        said("{properties: {a: {$ref: '#/$defs/a'}}, $defs: {a: {type: string}}}", Some("a: x")),
        [""; 0]
    );
}

#[test]
fn what_it_does_not_allow_is_said_at_its_place_with_what_it_does() {
    for (params, expected) in [
        (
            "steps:\n  - deploy\n  - build\n",
            "params/p/data.yaml:3:5: `/steps/1` is \"build\" (allowed: enum [\"deploy\",\"suspend\"])",
        ),
        (
            "steps: [deploy]\nstrict: maybe\n",
            "params/p/data.yaml:2:1: `/strict` is \"maybe\" (allowed: type boolean)",
        ),
        ("steps: []\n", "params/p/data.yaml:1:1: `/steps` is [] (allowed: minItems 1)"),
        (
            "steps: [deploy]\nname: A1\n",
            "params/p/data.yaml:2:1: `/name` is \"A1\" (allowed: pattern ^[a-z]+$)",
        ),
        ("steps: [deploy]\n\ndays: 31\n", "params/p/data.yaml:3:1: `/days` is 31 (allowed: maximum 30)"),
        (
            "steps: [deploy]\nstpes: [deploy]\n",
            "params/p/data.yaml:2:1: `` has `stpes`, which nobody reads (allowed: days, name, steps, strict)",
        ),
        ("strict: true\n", "params/p/data.yaml:1:1: `` \"steps\" is a required property"),
    ] {
        assert_eq!(
            said(SCHEMA, Some(params)),
            [format!("{expected}, says params_schema of `p`")],
            "{params}"
        );
    }
    let both = said(SCHEMA, Some("steps: 1\ndays: x\n"));
    assert_eq!(both.len(), 2, "{both:?}");
    let behind = said("{properties: {a: {$ref: '#/$defs/a'}}, $defs: {a: {type: string}}}", Some("a: 1"));
    assert_eq!(
        behind,
        ["params/p/data.yaml:1:1: `/a` is 1 (allowed: type string), says params_schema of `p`"]
    );
}

#[test]
fn what_is_required_and_not_given_is_said_where_it_is_required() {
    assert_eq!(
        said(SCHEMA, None),
        ["p.rego:6:20: parameters are not given (params/p/data.yaml): `` \"steps\" is a required property"]
    );
}

#[test]
fn a_schema_that_is_none_is_said_at_its_place() {
    for (schema, part) in [
        ("[]", "it is [], not a map"),
        ("nothing", "it is \"nothing\", not a map"),
        ("{type: objekt}", "/type: "),
        ("{properties: {a: {minimum: x}}}", "/properties/a/minimum: "),
        ("{pattern: '('}", "/pattern"),
        ("{$ref: 'https://example.com/a.json'}", ""),
        ("{$ref: '#/$defs/none'}", ""),
    ] {
        let found = said(schema, Some("a: 1"));
        let [one] = &found[..] else { panic!("{schema}: {found:?}") };
        assert!(
            one.starts_with("p.rego:6:20: params_schema is no JSON Schema: ") && one.contains(part),
            "{one}"
        );
    }
}
