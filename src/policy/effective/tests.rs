use std::sync::Arc;

use serde_json::json;

use super::super::Bundle;
use super::super::set::Options;
use super::*;

const STEPS: &str = r#"# METADATA
# title: Steps
# custom:
#   id: steps
#   mode: warn
#   params_schema:
#     type: object
#     properties:
#       allowed: {type: array, combine: intersect}
#       most: {type: integer, combine: min}
#       words: {type: array}
#   match:
#     - operations: [CREATE]
#       resources: [pods]
package portcullis.steps

deny contains "no" if not input.request.name in data.params.steps.allowed
"#;

fn policy_set() -> PolicySet {
    let params = "allowed: [a, b]\nmost: 5\nwords: [x]\n";
    let files = [("steps.rego", STEPS), ("params/steps/data.yaml", params)];
    let bundle =
        Bundle::from_files(files.map(|(path, text)| (path.to_owned(), text.as_bytes().to_vec()))).unwrap();
    PolicySet::compile(&bundle, Options::default(), None).unwrap()
}

fn sets(value: Json) -> Arc<[Attached]> {
    serde_json::from_value::<Vec<Attached>>(value).unwrap().into()
}

fn steps(policies: &PolicySet, sets: &Arc<[Attached]>, project: Option<&str>) -> (Json, Mode) {
    let project: Option<Arc<str>> = project.map(Arc::from);
    let own = policies.policies[0].manifest.mode;
    match policies.effective.get(policies, sets, project.as_ref()) {
        Some(found) => {
            (serde_json::to_value(&found.params).unwrap()["steps"].clone(), found.mode("steps", own))
        }
        None => (serde_json::to_value(&policies.params).unwrap()["steps"].clone(), own),
    }
}

#[test]
fn bundle_is_effective_without_sets() {
    let policies = policy_set();
    assert!(policies.effective.get(&policies, &sets(json!([])), None).is_none());
}

#[test]
fn the_platform_replaces_and_a_tenant_only_tightens() {
    let policies = policy_set();
    let rule = |origin: &str, mode: &str, params: Json| json!({"name": format!("of-{origin}"), "origin": origin, "rules": [{"policy": "steps", "mode": mode, "params": params}]});
    let platform = rule("platform", "audit", json!({"allowed": ["a", "b", "c"], "words": ["y"]}));
    let tenant = rule("tenant", "enforce", json!({"allowed": ["c", "d"], "most": 9, "words": []}));
    let (params, mode) = steps(&policies, &sets(json!([platform])), None);
    assert_eq!((params, mode), (json!({"allowed": ["a", "b", "c"], "most": 5, "words": ["y"]}), Mode::Audit));
    let (params, mode) = steps(&policies, &sets(json!([platform, tenant])), None);
    assert_eq!((params, mode), (json!({"allowed": ["c"], "most": 5, "words": ["y"]}), Mode::Enforce));
    let milder = rule("tenant", "off", json!({}));
    assert_eq!(steps(&policies, &sets(json!([milder])), None).1, Mode::Warn);
}

#[test]
fn set_for_a_project_applies_there_only() {
    let policies = policy_set();
    let sets = sets(
        json!([{"name": "s", "origin": "tenant", "projects": ["shop"], "rules": [{"policy": "steps", "params": {"allowed": ["a"]}}]}]),
    );
    assert_eq!(steps(&policies, &sets, Some("shop")).0["allowed"], json!(["a"]));
    assert_eq!(steps(&policies, &sets, Some("blog")).0["allowed"], json!(["a", "b"]));
    assert_eq!(steps(&policies, &sets, None).0["allowed"], json!(["a", "b"]));
}

#[test]
fn equal_sets_are_computed_once() {
    let policies = policy_set();
    let of = || sets(json!([{"name": "s", "origin": "tenant", "rules": []}]));
    let (one, two) =
        (policies.effective.get(&policies, &of(), None), policies.effective.get(&policies, &of(), None));
    assert!(Arc::ptr_eq(&one.unwrap(), &two.unwrap()));
}

#[test]
fn explanation_names_sources_and_values_without_effect() {
    let policies = policy_set();
    let manifest = &policies.policies[0].manifest;
    let base = json!({"allowed": ["a", "b"], "most": 5});
    let sets = sets(json!([
        {"name": "gold", "origin": "plan", "rules": [{"policy": "steps", "params": {"most": 3}}]},
        {"name": "mine", "origin": "tenant", "rules": [{"policy": "steps", "mode": "enforce", "params": {"allowed": ["b"], "words": ["z"]}}]},
    ]));
    let found = explain(manifest, Some(&base), &sets, None);
    assert_eq!(found.params["allowed"].from, ["bundle", "tenant: mine"]);
    assert_eq!(found.params["most"], Sourced { value: json!(3), from: vec!["plan: gold".into()] });
    assert_eq!(found.mode.unwrap().from, ["tenant: mine"]);
    assert_eq!(found.without_effect, ["tenant: mine: steps.words: only the platform sets it"]);
}

#[test]
fn values_that_loosen_are_refused_by_name() {
    let policies = policy_set();
    let manifest = &policies.policies[0].manifest;
    let before = explain(manifest, Some(&json!({"allowed": ["a"], "most": 5})), &[], None);
    let rule = |value: Json| serde_json::from_value::<Rule>(value).unwrap();
    let loose = rule(
        json!({"policy": "steps", "mode": "off", "params": {"allowed": ["a", "z"], "most": 6, "words": []}}),
    );
    let found = objections(manifest, &before, Mode::Warn, &loose);
    let places: Vec<&str> = found.iter().map(|(place, _)| place.as_str()).collect();
    assert_eq!(places, ["/params/allowed", "/params/most", "/params/words", "/mode"]);
    assert!(found[0].1.contains("`allowed` of `steps`: it does not tighten"), "{}", found[0].1);
    let tight = rule(json!({"policy": "steps", "mode": "enforce", "params": {"allowed": [], "most": 1}}));
    assert_eq!(objections(manifest, &before, Mode::Warn, &tight), []);
}

#[test]
fn unknown_combine_is_refused() {
    let text = STEPS.replace("combine: min", "combine: least");
    let bundle = Bundle::from_files([("steps.rego".to_owned(), text.into_bytes())]).unwrap();
    let problems = PolicySet::compile(&bundle, Options::default(), None).unwrap_err().to_string();
    assert!(problems.contains("`combine` of `most` is \"least\", not one of intersect"), "{problems}");
}

#[test]
fn invalid_value_of_the_platform_breaks_its_policy() {
    let policies = policy_set();
    let broken = |origin: &str, params: Json| {
        let set = json!([{"name": "s", "origin": origin, "rules": [{"policy": "steps", "params": params}]}]);
        let found = policies.effective.get(&policies, &sets(set), None).unwrap();
        found.broken("steps").map(str::to_owned)
    };
    let said = broken("platform", json!({"most": "five"})).unwrap();
    assert!(said.starts_with("platform: s: steps.most: "), "{said}");
    assert!(broken("plan", json!({"moot": 5})).unwrap().contains("policy `steps` has no parameter `moot`"));
    assert_eq!(broken("platform", json!({"most": 4})), None);
    // A tenant's own can only tighten, so what is no value of it tightens nothing.
    assert_eq!(broken("tenant", json!({"most": "five"})), None);
}
