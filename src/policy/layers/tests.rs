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
fn a_policy_with_the_same_id_is_replaced() {
    let upper = bundle(&[
        ("other.rego", policy("a", "q.a", "", "upper a")),
        ("c.rego", policy("c", "p.c", "", "upper c")),
    ]);
    let merged = merge(&base(), &upper).unwrap();
    let expected = [("a", true), ("b", false), ("c", true)].map(|(id, upper)| (id.to_owned(), upper));
    assert_eq!(ids(&merged), expected);
    assert_ne!(merged.digest, base().digest);
}

#[test]
fn a_package_is_replaced_as_a_whole() {
    let upper = bundle(&[("z.rego", policy("z", "p.a", "", "upper z"))]);
    let merged = merge(&base(), &upper).unwrap();
    assert_eq!(ids(&merged), [("b".to_owned(), false), ("z".to_owned(), true)]);
}

#[test]
fn parameters_are_replaced_by_policy_id() {
    let upper = bundle(&[("params/a/data.yaml", "name: of-upper".to_owned())]);
    let merged = merge(&base(), &upper).unwrap();
    assert_eq!(merged.params["a"]["name"], "of-upper");
    assert_eq!(merged.params["b"]["name"], "of-b");
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
        let said =
            merge(&locked_with_library(), &upper).map(drop).expect_err(&format!("{:?}", upper.modules));
        assert!(said.to_string().contains("policy `b` of b.rego is locked"), "{said}");
    }
}

#[test]
fn parameters_are_locked_with_a_policy_that_may_read_any() {
    let any = policy("b", "p.b", "#   locked: true\n", "base b")
        .replace("data.params[\"b\"].name", "data.params[input.request.namespace].name");
    let base = bundle(&[("b.rego", any)]);
    let upper = bundle(&[("params/a/data.yaml", "name: z".to_owned())]);
    assert!(merge(&base, &upper).is_err());
}

#[test]
fn modules_without_a_locked_policy_can_be_replaced() {
    let other = bundle(&[
        ("params/a/data.yaml", "name: z".to_owned()),
        ("sets/mode.yaml", "description: d\nrules: [{policy: shared, mode: 'off'}]\n".to_owned()),
    ]);
    merge(&locked_with_library(), &other).unwrap();
    let upper = bundle(&[("other.rego", "package lib.free\n\nsame(text) := \"x\"\n".to_owned())]);
    let merged = merge(&locked_with_library(), &upper).unwrap();
    assert!(merged.modules.iter().any(|module| module.path == "other.rego"));
    assert!(!merged.modules.iter().any(|module| module.path == "lib/free.rego"));
}

#[test]
fn a_layer_that_does_not_compile_changes_nothing() {
    let layers =
        Layers::new(PolicyCell::start(&base(), Options::default(), None), Ok(base()), LayerMode::Merged);
    let digest = || layers.policies().load().digest.clone();
    let first = digest();
    let upper = bundle(&[("other.rego", policy("a", "q.a", "", "upper a"))]);
    assert!(matches!(layers.set_ledger(Some(upper.clone())), Reload::Swapped));
    let second = digest();
    assert_ne!(first, second);
    let broken = bundle(&[("other.rego", "package broken\n\nx if".to_owned())]);
    assert!(matches!(layers.set_ledger(Some(broken)), Reload::Refused(_)));
    assert_eq!(digest(), second);
    assert!(matches!(layers.set_ledger(None), Reload::Swapped));
    assert_eq!(digest(), first);
}
