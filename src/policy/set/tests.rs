mod corpus;
mod details;
mod engines;
mod failures;

use super::*;
use crate::Operation;

/// A module with a METADATA block of six lines, so that `package` stands in the seventh and the body begins in the eighth.
fn meter() -> crate::Meter {
    crate::Meter::new(crate::Budget::default())
}

fn policy(id: &str, body: &str) -> String {
    let package = id.replace('-', "_");
    format!(
        "# METADATA\n# title: t\n# custom:\n#   id: {id}\n#   match:\n#     - {{operations: [CREATE], resources: [pods]}}\npackage portcullis.{package}\n{body}\n"
    )
}

const DENY: &str = "deny contains \"no\" if input.request.name == \"a\"";

fn bundle(files: &[(&str, &str)]) -> Bundle {
    Bundle::from_files(files.iter().map(|(path, text)| ((*path).to_owned(), text.as_bytes().to_vec())))
        .unwrap()
}

fn compile(files: &[(&str, &str)]) -> Result<PolicySet, Problems> {
    PolicySet::compile(&bundle(files), Options::default(), None)
}

/// These files are refused with exactly these problems, each told by how it begins; none: they are taken.
fn check(files: &[(&str, &str)], expected: &[&str]) {
    let said = compile(files).err().map(|problems| problems.to_string()).unwrap_or_default();
    let lines: Vec<&str> = said.lines().collect();
    let fits = lines.len() == expected.len()
        && lines.iter().zip(expected).all(|(line, expected)| line.starts_with(expected));
    assert!(fits, "{expected:#?}, not\n{said}");
}

fn asked(set: &PolicySet, id: &str, name: &str) -> Vec<String> {
    let input = Value::from(serde_json::json!({"request": {"name": name}}));
    let policy = set.policy(id).unwrap();
    let found = policy.findings("deny", &input, &Value::new_object(), &mut meter()).unwrap();
    found.into_iter().map(|finding| finding.msg).collect()
}

#[test]
fn complete_policy_compiles_and_has_findings() {
    let set = compile(&[("a.rego", &policy("a", DENY))]).unwrap();
    assert_eq!((asked(&set, "a", "a"), asked(&set, "a", "b")), (vec!["no".to_owned()], vec![]));
    let found = set.policy("a").unwrap();
    assert_eq!((found.rules.as_slice(), found.package.as_str()), (&["deny"][..], "data.portcullis.a"));
    assert_eq!((found.fallback(), found.patches(), set.broken.len()), (None, false, 0));
}

#[test]
fn policies_are_in_order_of_id() {
    let (b, a) = (policy("b", DENY), policy("a", DENY));
    let set = compile(&[("1.rego", &b), ("2.rego", &a)]).unwrap();
    let ids: Vec<&str> = set.policies.iter().map(|policy| policy.manifest.id.as_str()).collect();
    assert_eq!(ids, ["a", "b"]);
}

#[test]
fn ids_and_packages_are_unique() {
    let a = policy("a", DENY);
    check(
        &[("a.rego", &a), ("b.rego", &a.replace("portcullis.a", "portcullis.b"))],
        &["b.rego:1: id `a` is already taken by a.rego"],
    );
    check(
        &[("a.rego", &a), ("b.rego", &a.replace("id: a", "id: b"))],
        &["b.rego:1: package `portcullis.a` already has METADATA in a.rego"],
    );
}

#[test]
fn roots_of_data_cannot_be_packages() {
    for root in ["params", "tenancy", "cluster"] {
        let text = policy("a", DENY).replace("package portcullis.a", &format!("package {root}.a"));
        check(&[("a.rego", &text)], &[&format!("a.rego: package `{root}` is taken")]);
    }
}

#[test]
fn rule_that_is_never_evaluated_is_refused() {
    let good = policy("good", DENY);
    let never = "is never evaluated; add a `# METADATA` block";
    for rule in ["deny contains \"a\"", "warn contains \"a\"", "patch contains {}", "merge contains {}"] {
        let name = rule.split(' ').next().unwrap();
        check(
            &[("good.rego", &good), ("x.rego", &format!("package x\n\n{rule}\n"))],
            &[&format!("x.rego:3:1: rule `{name}` in a package without METADATA {never}")],
        );
    }
    let titled = "# METADATA\n# title: t\npackage x\ndeny contains \"a\"\n";
    check(
        &[("good.rego", &good), ("x.rego", titled)],
        &[&format!("x.rego:4:1: rule `deny` in a package without METADATA {never}")],
    );
    let only_custom = "# METADATA\n# title: t\n# custom:\npackage x\ndeny contains \"a\"\n";
    check(&[("good.rego", &good), ("x.rego", only_custom)], &["x.rego:5:1: rule `deny` in a package"]);
}

#[test]
fn unreadable_block_is_reported_once() {
    let text = policy("a", DENY).replace("title", "titel");
    check(&[("a.rego", &text)], &["a.rego:2:3: METADATA: unknown field `titel`"]);
}

#[test]
fn rule_names_of_other_tools_get_a_suggestion() {
    for (name, meant) in [
        ("violation", "deny"),
        ("denied", "deny"),
        ("warning", "warn"),
        ("patches", "patch"),
        ("mutate", "merge"),
    ] {
        let text = policy("a", &format!("{DENY}\n{name} contains \"a\""));
        check(
            &[("a.rego", &text)],
            &[&format!(
                "a.rego:9:1: rule `{name}` is never evaluated; the rules of a policy are deny, warn, patch, merge: did you mean `{meant}`?"
            )],
        );
    }
    let library = "package lib\nviolation contains \"a\"\n";
    check(&[("a.rego", &policy("a", DENY)), ("lib.rego", library)], &[]);
}

#[test]
fn the_rules_of_a_policy_are_sets() {
    for (rule, line) in [
        ("deny := {\"a\"}", 8),
        ("deny := true if input.now", 8),
        ("default deny := false", 8),
        ("deny(a) := a", 8),
        ("deny[\"a\"] := 1", 8),
    ] {
        check(
            &[("a.rego", &policy("a", rule))],
            &[&format!("a.rego:{line}:1: `deny` must be a set; write `deny contains finding if …`")],
        );
    }
}

#[test]
fn policy_without_rules_is_refused() {
    check(
        &[("a.rego", &policy("a", "x := 1"))],
        &["a.rego:1: policy `a` defines none of deny, warn, patch, merge"],
    );
    check(&[("a.rego", "package a\nx := 1\n")], &["policies: the bundle has no policy"]);
    check(&[], &["policies: the bundle has no policy"]);
}

#[test]
fn undefined_paths_of_the_input_are_refused() {
    for (path, wrong) in [
        ("input.requst.name", "input.requst"),
        ("input.request.obj.kind", "input.request.obj"),
        ("input.request.userinfo", "input.request.userinfo"),
        ("input.tenancy.namespaces", "input.tenancy.namespaces"),
        ("input.tenancy.namespace.tenantID", "input.tenancy.namespace.tenantID"),
        ("input.tenancy.requester.groups", "input.tenancy.requester.groups"),
        ("input.workload.template", "input.workload.template"),
        ("input[\"requst\"]", "input.requst"),
    ] {
        let text = policy("a", &format!("deny contains \"a\" if {path} == \"b\""));
        check(&[("a.rego", &text)], &[&format!("a.rego:8:22: `{wrong}` is always undefined; below `")]);
    }
    for path in [
        "input.request.object.anything",
        "input[x].a",
        "input.tenancy[x]",
        "input.images[0].raw",
        "input.request.options.a",
    ] {
        check(
            &[(
                "a.rego",
                &policy("a", &format!("deny contains x if {{ some x in [\"a\"]; {path} == \"b\" }}")),
            )],
            &[],
        );
    }
}

#[test]
fn undefined_paths_of_data_are_refused() {
    let lib = "package portcullis.lib.names\nprefix := \"tn\"\nshort(a) := a\n";
    let with = |path: &str| policy("a", &format!("deny contains \"a\" if {path} == \"b\""));
    for good in [
        "data.portcullis.lib.names.prefix",
        "data.portcullis.lib.names.short(1)",
        "data.params.a.b",
        "data.cluster.namespace.labels.x",
        "data.tenancy.tenants.acme.id",
        "data.portcullis.lib.names",
    ] {
        check(&[("a.rego", &with(good)), ("lib.rego", lib)], &[]);
    }
    check(
        &[("a.rego", &with("data.portcullis.lib.names.prefx")), ("lib.rego", lib)],
        &["a.rego:8:22: `data.portcullis.lib.names.prefx` is defined by no module of this bundle"],
    );
    check(
        &[("a.rego", &with("data.settings.prefix")), ("lib.rego", lib)],
        &["a.rego:8:22: `data.settings.prefix` is defined by no"],
    );
    check(
        &[("a.rego", &with("data.tenancy.tenant.id"))],
        &["a.rego:8:22: `data.tenancy.tenant` is always undefined"],
    );
    check(
        &[("a.rego", &with("data.cluster.namespaces"))],
        &[
            "a.rego:8:22: `data.cluster.namespaces` is always undefined; below `data.cluster` there is: namespace",
        ],
    );
    check(
        &[("a.rego", &with("data.cluster.namespace.name"))],
        &["a.rego:8:22: `data.cluster.namespace.name` is always undefined"],
    );
}

#[test]
fn broken_file_refuses_a_reload_but_not_a_start() {
    let good = policy("good", DENY);
    let broken = policy("broken", "deny contains").replace("title: t", "title: t\n# description: d");
    let files = [("good.rego", good.as_str()), ("broken.rego", broken.as_str()), ("unread.rego", "package")];
    assert!(compile(&files).is_err());
    let set = PolicySet::compile_partial(&bundle(&files), Options::default(), None);
    assert_eq!(asked(&set, "good", "a"), ["no"]);
    let ids: Vec<&str> = set.broken.iter().map(|broken| broken.id.as_str()).collect();
    assert_eq!((set.policies.len(), ids.as_slice()), (1, &["broken", "unread.rego"][..]));
    let asked = |resource, kind| {
        set.plan(&Query {
            operation: Operation::Create,
            group: "",
            resource,
            subresource: "",
            kind,
            layout: None,
        })
        .broken
        .clone()
    };
    // What names itself answers for its match; what cannot be read answers for everything of tenants.
    assert_eq!(asked("pods", Kind::App), [0, 1]);
    assert_eq!(asked("secrets", Kind::Sandbox), [1]);
    assert_eq!(asked("pods", Kind::Platform), [0]);
    assert_eq!(asked("secrets", Kind::Platform), [0; 0]);
}

#[test]
fn broken_library_breaks_only_policies_that_refer_to_it() {
    let uses = policy("uses", "import data.lib\ndeny contains \"a\" if lib.x");
    let (good, lib) = (policy("good", DENY), "package lib\nx if time.now_ns() == 1\n");
    let files = [("good.rego", good.as_str()), ("lib.rego", lib), ("uses.rego", uses.as_str())];
    let set = PolicySet::compile_partial(&bundle(&files), Options::default(), None);
    let ids: Vec<&str> = set.broken.iter().map(|broken| broken.id.as_str()).collect();
    assert_eq!((set.policies.len(), ids), (1, vec!["uses"]));
    assert!(set.broken[0].problems.to_string().starts_with("lib.rego:2:6: builtin `time.now_ns`"));
}

#[test]
fn reload_reuses_unchanged_programs() {
    let (a, b) = (policy("a", DENY), policy("b", "import data.lib\ndeny contains lib.word"));
    let old =
        compile(&[("a.rego", &a), ("b.rego", &b), ("lib.rego", "package lib\nword := \"old\"\n")]).unwrap();
    let files =
        [("a.rego", a.as_str()), ("b.rego", b.as_str()), ("lib.rego", "package lib\nword := \"new\"\n")];
    let new = PolicySet::compile(&bundle(&files), Options::default(), Some(&old)).unwrap();
    let same = |id: &str| Arc::ptr_eq(&old.policy(id).unwrap().compiled, &new.policy(id).unwrap().compiled);
    assert_eq!((same("a"), same("b")), (true, false));
    assert_eq!((asked(&new, "a", "a"), asked(&new, "a", "b")), (vec!["no".to_owned()], vec![]));
    assert_eq!(
        (asked(&old, "b", "a"), asked(&new, "b", "a")),
        (vec!["old".to_owned()], vec!["new".to_owned()])
    );
    assert_ne!(old.digest, new.digest);
}

#[test]
fn reload_updates_metadata_and_parameters_of_reused_programs() {
    let a = policy("a", DENY);
    let old = compile(&[("a.rego", &a)]).unwrap();
    let files = [("a.rego", a.as_str()), ("params/a/data.yaml", "modes: [{mode: warn}]\nword: x\n")];
    let new = PolicySet::compile(&bundle(&files), Options::default(), Some(&old)).unwrap();
    assert!(Arc::ptr_eq(&old.policies[0].compiled, &new.policies[0].compiled));
    assert_eq!(old.policies[0].mode(None, Kind::App), Mode::Enforce);
    assert_eq!(new.policies[0].mode(None, Kind::App), Mode::Warn);
    let other = Options { interpreter: true, ..Options::default() };
    let slow = PolicySet::compile(&bundle(&files), other, Some(&new)).unwrap();
    assert_eq!(slow.policies[0].fallback(), Some("asked for"));
}

#[test]
fn unreadable_parameters_are_reported_with_their_file() {
    let a = policy("a", DENY);
    check(
        &[("a.rego", &a), ("params/a/data.yaml", "modes: [{mode: strict}]\n")],
        &["params/a/data.yaml: modes"],
    );
}

/// As long as an expression may be, on the stack of a thread.
#[test]
fn the_longest_expressions_compile() {
    for chain in ["1 + ", "{1} | ", "x.a[0] & "] {
        let count = if chain.len() > 6 { 60 } else { 250 };
        let body = format!(
            "x := {{\"a\": [{{1}}]}}\ny := {}{{2}}\ndeny contains \"no\" if y == 3",
            chain.repeat(count)
        );
        let body = body.replace("1 + {2}", "1 + 2");
        check(&[("a.rego", &policy("a", &body))], &[]);
    }
}

/// What other authors write at the top of a module.
#[test]
fn imports_of_keywords_change_nothing() {
    let imports =
        "import rego.v1\nimport future.keywords # é\nimport future.keywords.in\nimport future.keywords.every";
    check(&[("a.rego", &policy("a", &format!("{imports}\n{DENY}")))], &[]);
    check(&[("a.rego", &policy("a", &format!("{imports}\ndeny contains nothing")))], &["a.rego:12:15: "]);
}
