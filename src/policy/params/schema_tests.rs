use super::*;
use crate::metadata;

const SCHEMA: &str = "{type: object, additionalProperties: false, required: [steps], properties: {steps: {type: array, items: {enum: [deploy, suspend]}, minItems: 1}, strict: {type: boolean}, name: {type: string, pattern: '^[a-z]+$'}, days: {type: integer, maximum: 30}}}";

/// What is wrong with these parameters under this schema, each with its place.
fn problems(schema: &str, params: Option<&str>) -> Vec<String> {
    let text = format!(
        "# METADATA\n# title: t\n# custom:\n#   id: p\n#   match: [{{operations: [CREATE], resources: [pods]}}]\n#   params_schema: {schema}\npackage p\n"
    );
    let block = metadata::find(&text).unwrap();
    let manifest = metadata::parse("p.rego", &block).unwrap().unwrap();
    let file = params.map(|text| Module { path: "params/p/data.yaml".to_owned(), text: text.to_owned() });
    let value = params.map(|text| serde_saphyr::from_str::<Json>(text).unwrap());
    match check_schema(&manifest, file.as_ref(), value.as_ref()) {
        Ok(problems) => problems.iter().map(ToString::to_string).collect(),
        Err(problem) => vec![problem.to_string()],
    }
}

#[test]
fn parameters_that_fit_are_no_problem() {
    assert_eq!(problems(SCHEMA, Some("steps: [deploy]")), [""; 0]);
    assert_eq!(
        problems(SCHEMA, Some("steps: [deploy]\nmodes: [{mode: warn}]")),
        [""; 0],
        "modes are the gate's own"
    );
    assert_eq!(problems("{type: object}", None), [""; 0]);
    assert_eq!(
        problems("{properties: {a: {$ref: '#/$defs/a'}}, $defs: {a: {type: string}}}", Some("a: x")),
        [""; 0]
    );
}

#[test]
fn schema_violations_are_located_with_allowed_values() {
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
            "params/p/data.yaml:2:1: `` has unknown keys `stpes` (allowed: days, name, steps, strict)",
        ),
        ("strict: true\n", "params/p/data.yaml:1:1: `` \"steps\" is a required property"),
    ] {
        assert_eq!(
            problems(SCHEMA, Some(params)),
            [format!("{expected}, by params_schema of `p`")],
            "{params}"
        );
    }
    let both = problems(SCHEMA, Some("steps: 1\ndays: x\n"));
    assert_eq!(both.len(), 2, "{both:?}");
    let behind = problems("{properties: {a: {$ref: '#/$defs/a'}}, $defs: {a: {type: string}}}", Some("a: 1"));
    assert_eq!(behind, ["params/p/data.yaml:1:1: `/a` is 1 (allowed: type string), by params_schema of `p`"]);
}

#[test]
fn missing_parameters_are_reported_at_the_schema() {
    assert_eq!(
        problems(SCHEMA, None),
        ["p.rego:6:20: parameters are missing (params/p/data.yaml): `` \"steps\" is a required property"]
    );
}

#[test]
fn invalid_schemas_are_located() {
    for (schema, part) in [
        ("[]", "it is [], not a map"),
        ("nothing", "it is \"nothing\", not a map"),
        ("{type: objekt}", "/type: "),
        ("{properties: {a: {minimum: x}}}", "/properties/a/minimum: "),
        ("{pattern: '('}", "/pattern"),
        ("{$ref: 'https://example.com/a.json'}", ""),
        ("{$ref: '#/$defs/none'}", ""),
    ] {
        let found = problems(schema, Some("a: 1"));
        let [one] = &found[..] else { panic!("{schema}: {found:?}") };
        assert!(
            one.starts_with("p.rego:6:20: params_schema is not a JSON Schema: ") && one.contains(part),
            "{one}"
        );
    }
}
