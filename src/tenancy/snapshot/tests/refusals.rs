//! Documents with something wrong in them, and the sentence about it.

use super::*;

/// World with one thing changed by a JSON pointer (`null` removes), then the problems as text.
pub(super) fn problems(edits: &[(&str, Value)]) -> Vec<String> {
    let mut tenancy: Value = serde_saphyr::from_str(EXAMPLE).unwrap();
    for (pointer, value) in edits {
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        let key = key.replace("~1", "/");
        match tenancy.pointer_mut(parent).unwrap() {
            Value::Array(items) if key == "-" => items.push(value.clone()),
            Value::Array(items) => items[key.parse::<usize>().unwrap()] = value.clone(),
            Value::Object(fields) if value.is_null() => drop(fields.remove(&key)),
            Value::Object(fields) => drop(fields.insert(key, value.clone())),
            other => panic!("{pointer} is in {other}"),
        }
    }
    match Snapshot::parse("tenancy.json", tenancy.to_string().as_bytes()) {
        Ok(_) => Vec::new(),
        Err(SnapshotError::Invalid { problems, .. }) => problems.iter().map(ToString::to_string).collect(),
        Err(other) => vec![other.to_string()],
    }
}

#[track_caller]
pub(super) fn check(pointer: &str, value: Value, expected: &str) {
    assert_eq!(problems(&[(pointer, value)]), [expected], "{pointer}");
}

#[test]
fn tenants() {
    check("/tenants/acme/id", json!("42"), "tenants.acme.id: `42` (allowed: a UUID in lower case)");
    check(
        "/tenants/acme/id",
        json!("018f2b7c-0000-7000-8000-000000000002"),
        "tenants.globex.id: `018f2b7c-0000-7000-8000-000000000002` is already the id of `tenants.acme` (allowed: a unique id)",
    );
    check(
        "/tenants/acme/status",
        json!("Active"),
        "tenants.acme.status: `Active` (allowed: `active`, `suspended`, `deleting`)",
    );
    check(
        "/tenants/acme/plan",
        json!("Gold!"),
        "tenants.acme.plan: `Gold!` (allowed: one DNS label: lower-case letters, digits and inner hyphens, at most 63)",
    );
    check(
        "/tenants/acme/registries/1",
        json!("quay.io/acme"),
        "tenants.acme.registries[1]: `quay.io/acme` is outside `settings.registries.ceiling` (allowed: what is below `registry.example.com`, `registry.example.com:5000`, `docker.io/library`, `docker.io/acme`, `docker.io/istio`, `ghcr.io/acme`)",
    );
    check(
        "/tenants/acme/registries/1",
        json!("docker.io"),
        "tenants.acme.registries[1]: `docker.io` is outside `settings.registries.ceiling` (allowed: what is below `registry.example.com`, `registry.example.com:5000`, `docker.io/library`, `docker.io/acme`, `docker.io/istio`, `ghcr.io/acme`)",
    );
    check(
        "/tenants/acme/registries/0",
        json!("registry.example.com/"),
        "tenants.acme.registries[0]: registry entry `registry.example.com/` holds a trailing slash; write `registry.example.com`",
    );
    check(
        "/tenants/acme/registries",
        json!("all"),
        "tenants.acme.registries: `all` (allowed: a list of entries, or `inherit`)",
    );
    check(
        "/tenants/acme/groups/0",
        json!(""),
        "tenants.acme.groups[0]: `` (allowed: 1 to 256 characters, no control characters, no space at either end)",
    );
    check(
        "/tenants/acme/groups/-",
        json!("acme-devs"),
        "tenants.acme.groups[1]: `acme-devs` occurs twice (allowed: once)",
    );
    for group in ["system:authenticated", "system:masters", "kubeadm:cluster-admins"] {
        let expected = format!(
            "tenants.acme.groups[0]: `{group}` is not a group of a single tenant (allowed: no group of Kubernetes itself, none of class admin)"
        );
        check("/tenants/acme/groups/0", json!(group), &expected);
    }
    assert!(
        problems(&[("/tenants/globex/groups/-", json!("acme-devs"))]).is_empty(),
        "two tenants may share a group"
    );
    assert!(problems(&[("/tenants/acme/registries", json!([]))]).is_empty());
}

#[test]
fn syntactic_and_semantic_problems_are_reported_together() {
    let said = problems(&[
        ("/version", json!(2)),
        ("/tenants/acme/regsitries", json!([])),
        ("/tenants/acme/groups/0", json!(5)),
        ("/tenants/globex/registries", json!(true)),
        ("/namespaces/tn-acme-shop-sbx-001/sandbox", json!("one")),
        ("/projects/globex~1web/id", Value::Null),
        ("/tenants/hooli/status", json!("paused")),
    ]);
    let expected = [
        "tenants.acme.groups[0]: `5` (allowed: text)",
        "tenants.acme.regsitries: unknown field (allowed: `groups`, `id`, `plan`, `policySets`, `registries`, `status`)",
        "tenants.globex.registries: `true` (allowed: a list or text)",
        "projects.globex/web.id: is missing (allowed: text)",
        "namespaces.tn-acme-shop-sbx-001.sandbox: the text `one` (allowed: a whole number from 1 to 999)",
        "version: `2` (allowed: 1)",
        "tenants.hooli.status: `paused` (allowed: `active`, `suspended`, `deleting`)",
    ];
    let sorted = |mut lines: Vec<String>| {
        lines.sort();
        lines
    };
    assert_eq!(sorted(said), sorted(expected.map(str::to_owned).to_vec()));
}

/// `registries:` with nothing after it may have been meant as `[]`, as `inherit`, or as no policy.
#[test]
fn null_is_not_a_value() {
    let text = EXAMPLE.replace("registries: inherit", "registries:");
    let said = Snapshot::parse("w.yaml", text.as_bytes()).unwrap_err().to_string();
    assert!(said.ends_with("tenants.hooli.registries: nothing (null) (allowed: a list or text)"), "{said}");
}

#[test]
fn problem_outside_the_maps_is_reported_alone() {
    assert_eq!(problems(&[("/tenants", Value::Null)]), ["tenants: is missing (allowed: a map)"]);
    assert_eq!(
        problems(&[("/revision", json!(-1))]),
        ["revision: `-1` (allowed: a whole number, not negative)"]
    );
    assert_eq!(
        problems(&[("/settings/connect/exec", json!("yes"))]),
        ["settings.connect.exec: the text `yes` (allowed: true or false)"]
    );
    let said = problems(&[("/reserved", json!({}))]);
    assert!(
        said[0].starts_with(
            "reserved: unknown field (allowed: `apps`, `breakglass`, `exceptions`, `ledger`, `namespaces`, `policies`,"
        ),
        "{said:?}"
    );
}

#[test]
fn problems_are_bounded_and_counted() {
    let edits: Vec<_> =
        (0..30).map(|n| (format!("/tenants/T{n}"), json!({"id": "x", "status": "x"}))).collect();
    let edits: Vec<_> = edits.iter().map(|(pointer, value)| (pointer.as_str(), value.clone())).collect();
    assert_eq!(problems(&edits).len(), 20);
    let text = EXAMPLE.replace("status: active", "status: on-hold").replace("plan:", "plan: Big #");
    let said = Snapshot::parse("w.yaml", text.as_bytes()).unwrap_err().to_string();
    assert!(said.starts_with("`w.yaml` has 7 problems:\n  tenants."), "{said}");
}
