use super::*;
use crate::PolicySet;
use crate::set::Options;

fn policy(id: &str, package: &str, more: &str, says: &str) -> String {
    format!(
        "# METADATA\n# title: T\n# custom:\n#   id: {id}\n{more}#   match:\n#     - operations: [CREATE]\n#       resources: [pods]\npackage {package}\n\ndeny contains \"{says}\" if input.request.name == data.params[\"{id}\"].name\n"
    )
}

fn bundle(files: &[(&str, String)]) -> Bundle {
    Bundle::from_files(files.iter().map(|(path, text)| ((*path).to_owned(), text.clone().into_bytes())))
        .unwrap()
}

fn base() -> Bundle {
    bundle(&[
        ("a.rego", policy("a", "p.a", "", "base a")),
        ("b.rego", policy("b", "p.b", "#   locked: true\n", "base b")),
        ("params/a/data.yaml", "name: x".to_owned()),
        ("params/b/data.yaml", "name: of-b".to_owned()),
    ])
}

fn ids(bundle: &Bundle) -> Vec<(String, bool)> {
    let set = PolicySet::compile(bundle, Options::default(), None).unwrap();
    let from = |id: &str| {
        bundle.modules.iter().any(|m| m.text.contains(&format!("id: {id}\n")) && m.text.contains("upper"))
    };
    set.policies.iter().map(|policy| (policy.manifest.id.clone(), from(&policy.manifest.id))).collect()
}

#[test]
fn the_same_id_replaces_and_the_rest_stays() {
    let upper = bundle(&[
        ("other.rego", policy("a", "q.a", "", "upper a")),
        ("c.rego", policy("c", "p.c", "", "upper c")),
    ]);
    let law = over(&base(), &upper).unwrap();
    let expected = [("a", true), ("b", false), ("c", true)].map(|(id, upper)| (id.to_owned(), upper));
    assert_eq!(ids(&law), expected);
    assert_ne!(law.digest, base().digest);
}

#[test]
fn the_same_package_replaces_whole() {
    let upper = bundle(&[("z.rego", policy("z", "p.a", "", "upper z"))]);
    let law = over(&base(), &upper).unwrap();
    assert_eq!(ids(&law), [("b".to_owned(), false), ("z".to_owned(), true)]);
}

#[test]
fn parameters_replace_by_policy() {
    let upper = bundle(&[("params/a/data.yaml", "name: of-upper".to_owned())]);
    let law = over(&base(), &upper).unwrap();
    assert_eq!(law.params["a"]["name"], "of-upper");
    assert_eq!(law.params["b"]["name"], "of-b");
}

fn locked_with_library() -> Bundle {
    let text = policy("b", "p.b", "#   locked: true\n", "base b")
        .replace("package p.b\n", "package p.b\n\nimport data.lib.words\n")
        .replace("input.request.name ==", "words.first(input.request.name) ==");
    bundle(&[
        ("b.rego", text),
        (
            "lib/words.rego",
            "package lib.words\n\nimport data.lib.more\n\nfirst(text) := more.same(text)\n".to_owned(),
        ),
        (
            "lib/more.rego",
            "package lib.more\n\nsame(text) := text if not text in data.params.shared.blocked\n".to_owned(),
        ),
        ("params/shared/data.yaml", "blocked: [x]".to_owned()),
        ("lib/free.rego", "package lib.free\n\nsame(text) := text\n".to_owned()),
    ])
}

#[test]
fn locked_policy_cannot_be_replaced() {
    let set = "description: d\nrules: [{policy: b, mode: 'off'}]\n".to_owned();
    let shared = "description: d\nrules: [{policy: shared, params: {blocked: []}}]\n".to_owned();
    for upper in [
        bundle(&[("other.rego", policy("b", "q.b", "", "upper"))]),
        bundle(&[("other.rego", policy("z", "p.b", "", "upper"))]),
        bundle(&[("other.rego", policy("z", "p[\"b\"]", "", "upper"))]),
        bundle(&[("other.rego", policy("z", "q.z", "", "upper").replace("package q.z", "package\tp.b"))]),
        bundle(&[("other.rego", "package p.b # as it was\n\nextra := 1\n".to_owned())]),
        bundle(&[("b.rego", policy("z", "q.z", "", "upper"))]),
        bundle(&[("b.rego", "package q.z\n\nextra := 1\n".to_owned())]),
        bundle(&[("params/b/data.yaml", "name: z".to_owned())]),
        bundle(&[("params/b/data.yml", "modes: [{mode: 'off'}]".to_owned())]),
        bundle(&[("sets/soft.yaml", set)]),
        bundle(&[("params/shared/data.yaml", "blocked: []".to_owned())]),
        bundle(&[("sets/shared.yaml", shared)]),
        bundle(&[("other.rego", "package lib.words\n\nfirst(text) := \"x\"\n".to_owned())]),
        bundle(&[("other.rego", "package lib[\"more\"]\n\nsame(text) := \"x\"\n".to_owned())]),
        bundle(&[("lib/more.rego", "package lib.other\n\nsame(text) := \"x\"\n".to_owned())]),
    ] {
        let said = over(&locked_with_library(), &upper).map(drop).expect_err(&format!("{:?}", upper.modules));
        assert!(said.to_string().contains("policy `b` of b.rego is locked"), "{said}");
    }
}

#[test]
fn parameters_are_locked_with_a_policy_that_may_read_any() {
    let any = policy("b", "p.b", "#   locked: true\n", "base b")
        .replace("data.params[\"b\"].name", "data.params[input.request.namespace].name");
    let base = bundle(&[("b.rego", any)]);
    let upper = bundle(&[("params/a/data.yaml", "name: z".to_owned())]);
    assert!(over(&base, &upper).is_err());
}

#[test]
fn what_no_locked_policy_refers_to_is_free() {
    let other = bundle(&[
        ("params/a/data.yaml", "name: z".to_owned()),
        ("sets/mode.yaml", "description: d\nrules: [{policy: shared, mode: 'off'}]\n".to_owned()),
    ]);
    over(&locked_with_library(), &other).unwrap();
    let upper = bundle(&[("other.rego", "package lib.free\n\nsame(text) := \"x\"\n".to_owned())]);
    let law = over(&locked_with_library(), &upper).unwrap();
    assert!(law.modules.iter().any(|module| module.path == "other.rego"));
    assert!(!law.modules.iter().any(|module| module.path == "lib/free.rego"));
}

#[test]
fn either_layer_changes_the_law_and_a_bad_one_changes_nothing() {
    let layers = Layers::new(Live::start(&base(), Options::default(), None), Ok(base()), Manner::Layered);
    let digest = || layers.live().load().digest.clone();
    let first = digest();
    let upper = bundle(&[("other.rego", policy("a", "q.a", "", "upper a"))]);
    assert!(matches!(layers.upper(Some(upper.clone())), Reload::Swapped));
    let second = digest();
    assert_ne!(first, second);
    let broken = bundle(&[("other.rego", "package broken\n\nx if".to_owned())]);
    assert!(matches!(layers.upper(Some(broken)), Reload::Refused(_)));
    assert_eq!(digest(), second);
    assert!(matches!(layers.upper(None), Reload::Swapped));
    assert_eq!(digest(), first);
}
