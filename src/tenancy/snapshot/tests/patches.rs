//! A change taken as a patch is what reading the whole changed document gives, a refusal too.

use std::time::Instant;

use proptest::prelude::*;

use super::large::large_tenancy;
use super::*;

fn example_document() -> Value {
    serde_saphyr::from_str(EXAMPLE).unwrap()
}

/// The document after a patch, read as a whole.
fn whole(document: &Value, patch: &Value, revision: u64) -> (Value, Result<Snapshot, SnapshotError>) {
    let mut document = document.clone();
    json_patch::merge(&mut document, patch);
    document["revision"] = revision.into();
    let snapshot = Snapshot::parse("whole.json", document.to_string().as_bytes());
    (document, snapshot)
}

/// What is wrong, by path, in any order.
fn paths(error: &SnapshotError) -> Vec<String> {
    let SnapshotError::Invalid { problems, .. } = error else { return vec![error.to_string()] };
    let mut paths: Vec<_> = problems.iter().map(ToString::to_string).collect();
    paths.sort();
    paths
}

#[test]
fn serialized_snapshot_reads_back_equal() {
    for text in [EXAMPLE.to_owned(), large_tenancy(20, 3)] {
        let snapshot = Snapshot::parse("w.yaml", text.as_bytes()).unwrap();
        let written = serde_json::to_vec(&snapshot).unwrap();
        let again = Snapshot::parse("w.json", &written).unwrap();
        assert_eq!(again, snapshot);
        assert_eq!(serde_json::to_vec(&again).unwrap(), written);
    }
}

#[test]
fn change_of_an_owner_reaches_its_namespaces() {
    let tenancy = example_tenancy();
    let patch = json!({"tenants": {"acme": {"status": "suspended"}, "globex": {"id": "018f2b7c-0000-7000-8000-0000000000ff"}}});
    let (next, changes) = tenancy.apply(&patch, 43).unwrap();
    assert_eq!(next.revision, 43);
    assert_eq!(next.namespace("tn-acme-shop-sbx-001").unwrap().status, Status::Suspended);
    assert_eq!(
        &*next.namespace("tn-globex-web-app-api").unwrap().tenant_id,
        "018f2b7c-0000-7000-8000-0000000000ff"
    );
    assert_eq!(next.tenant_by_id("018f2b7c-0000-7000-8000-0000000000ff").unwrap().0, "globex");
    assert_eq!(next.tenant_by_id("018f2b7c-0000-7000-8000-000000000002"), None);
    assert_eq!(changes.tenants.iter().map(|slug| &**slug).collect::<Vec<_>>(), ["acme", "globex"]);
    assert_eq!(
        tenancy.namespace("tn-acme-shop-sbx-001").unwrap().status,
        Status::Active,
        "the old one is as it was"
    );
}

#[test]
fn id_index_follows_every_patch() {
    let id = |end: u32| format!("018f2b7c-0000-7000-8000-0000000000{end:02x}");
    let tenancy = example_tenancy();
    let shop = json!({"kind": "sandbox", "tenant": "acme", "project": "shop", "sandbox": 1});
    for (end, expected) in [
        (0x01, Some(json!({"kind": "tenant", "tenant": "acme"}))),
        (0x11, Some(json!({"kind": "project", "tenant": "acme", "project": "shop"}))),
        (0x21, Some(json!({"kind": "app", "tenant": "acme", "project": "shop", "app": "frontend"}))),
        (0x31, Some(shop.clone())),
        (0x99, None),
    ] {
        assert_eq!(tenancy.id_document(&id(end)), expected, "{end:x}");
    }
    let sandbox =
        json!({"kind": "sandbox", "tenant": "acme", "project": "shop", "sandbox": 2, "id": id(0x31)});
    let patch = json!({"namespaces": {"tn-acme-shop-sbx-001": null, "tn-acme-shop-sbx-002": sandbox},
        "projects": {"acme/blog": {"id": id(0x99)}}});
    let (next, _) = tenancy.apply(&patch, 43).unwrap();
    assert_eq!(next.id_document(&id(0x31)).unwrap()["sandbox"], 2);
    assert_eq!(next.id_document(&id(0x99)).unwrap()["project"], "blog");
    let (last, _) = next.apply(&json!({"namespaces": {"tn-acme-shop-sbx-002": null}}), 44).unwrap();
    assert_eq!(last.id_document(&id(0x31)), None);
    assert_eq!(tenancy.id_document(&id(0x31)), Some(shop), "the old one is as it was");
}

#[test]
fn patch_for_another_snapshot_is_refused_by_path() {
    let check = |patch: Value, expected: &[&str]| {
        assert_eq!(paths(&example_tenancy().apply(&patch, 43).unwrap_err()), expected, "{patch}");
    };
    check(
        json!({"namespaces": {"tn-acme-shop-app-api": {"kind": "app", "tenant": "acme", "project": "shop", "app": "api"}}}),
        &["namespaces.tn-acme-shop-app-api.app: the app `acme/shop/api` is unknown (allowed: one of `apps`)"],
    );
    check(
        json!({"apps": {"acme/shop/frontend": null}}),
        &[
            "namespaces.tn-acme-shop-app-frontend.app: the app `acme/shop/frontend` is unknown (allowed: one of `apps`)",
        ],
    );
    check(
        json!({"tenants": {"initech": null}}),
        &[
            "namespaces.tn-initech-tps-sbx-001.tenant: the tenant `initech` is unknown (allowed: one of `tenants`)",
            "projects.initech/tps: the tenant `initech` is unknown (allowed: one of `tenants`)",
        ],
    );
    check(
        json!({"tenants": {"acme": {"statsu": "active", "plan": 5}}}),
        &[
            "tenants.acme.plan: `5` (allowed: text)",
            "tenants.acme.statsu: unknown field (allowed: `groups`, `id`, `plan`, `policySets`, `registries`, `status`)",
        ],
    );
    check(
        json!({"settings": {"registries": {"ceiling": ["docker.io/library", "docker.io/istio", "registry.example.com/platform"]}}}),
        &[
            "tenants.acme.registries[0]: `registry.example.com/tenants/acme` is outside `settings.registries.ceiling` (allowed: what is below `docker.io/library`, `docker.io/istio`, `registry.example.com/platform`)",
            "tenants.globex.registries[0]: `registry.example.com/tenants/globex` is outside `settings.registries.ceiling` (allowed: what is below `docker.io/library`, `docker.io/istio`, `registry.example.com/platform`)",
        ],
    );
    check(
        json!({"widgets": {}}),
        &[
            "widgets: unknown field (allowed: `apps`, `breakglass`, `exceptions`, `ledger`, `namespaces`, `policies`, `projects`, `revision`, `settings`, `tenants`, `version`)",
        ],
    );
    check(json!([]), &["the document: a list (allowed: a map)"]);
    check(json!({"tenants": null}), &["tenants: is missing (allowed: a map)"]);
}

/// A copy and one changed tenant cost the same in a large tenancy: nothing is read, checked or copied but what changed.
#[test]
fn cost_of_a_patch_is_independent_of_ten_thousand_namespaces() {
    let large = Snapshot::parse("large.json", large_tenancy(1000, 10).as_bytes()).unwrap();
    let patches = [
        ("registries", json!({"tenants": {"t7": {"registries": ["docker.io/library"]}}})),
        ("status", json!({"tenants": {"t7": {"status": "suspended"}}})),
        (
            "sandbox",
            json!({"namespaces": {"tn-t7-shop-sbx-001": {"kind": "sandbox", "tenant": "t7", "project": "shop", "sandbox": 1, "id": "018f2b7c-0009-7000-8000-000000000001"}}}),
        ),
        ("ceiling", json!({"settings": {"registries": {"ceiling": ["docker.io", "registry.example.com"]}}})),
    ];
    for (what, patch) in patches {
        let start = Instant::now();
        for revision in 8..28 {
            large.apply(&patch, revision).unwrap();
        }
        let took = start.elapsed() / 20;
        // A debug build on a busy machine; without sharing it was seconds.
        assert!(took.as_millis() < 500, "{what} took {took:?}");
        println!("{what}: {took:?}");
    }
}

const TENANTS: [&str; 3] = ["acme", "globex", "newco"];
const PROJECTS: [&str; 2] = ["shop", "web"];
const APPS: [&str; 2] = ["frontend", "api"];

/// An id of this small tenancy, so that now and then two things want the same.
fn id() -> impl Strategy<Value = Value> {
    (0..40_u8).prop_map(|n| json!(format!("018f2b7c-0000-7000-8000-0000000001{n:02x}")))
}

fn registries() -> impl Strategy<Value = Value> {
    proptest::sample::select(vec![
        json!(null),
        json!("inherit"),
        json!([]),
        json!(["docker.io/library"]),
        json!(["registry.example.com/tenants/x", "ghcr.io/acme"]),
        json!(["docker.io"]),
        json!(5),
    ])
}

/// A patch of one entry, whole or in part or its removal; sometimes wrong in shape or in meaning.
fn edit() -> impl Strategy<Value = Value> {
    let tenant = proptest::sample::select(TENANTS.to_vec());
    let project = proptest::sample::select(PROJECTS.to_vec());
    let app = proptest::sample::select(APPS.to_vec());
    let status = proptest::sample::select(vec!["active", "suspended", "deleting", "gone"]);
    let groups = proptest::collection::vec(
        proptest::sample::select(vec!["acme-devs", "ops", "a/b", "system:masters"]),
        0..2,
    );
    let place = (tenant, project, app, 1..4_u16);
    prop_oneof![
        4 => (place.clone(), id(), status.clone(), groups, registries()).prop_map(|((t, ..), id, status, groups, registries)| json!({"tenants": {t: {"id": id, "status": status, "groups": groups, "registries": registries}}})),
        3 => (place.clone(), status).prop_map(|((t, ..), status)| json!({"tenants": {t: {"status": status}}})),
        2 => (place.clone(), registries()).prop_map(|((t, ..), registries)| json!({"tenants": {t: {"registries": registries}}})),
        3 => (place.clone(), id()).prop_map(|((t, p, ..), id)| json!({"projects": {format!("{t}/{p}"): {"id": id}}})),
        4 => (place.clone(), id()).prop_map(|((t, p, a, _), id)| json!({"apps": {format!("{t}/{p}/{a}"): {"id": id}}, "namespaces": {format!("tn-{t}-{p}-app-{a}"): {"kind": "app", "tenant": t, "projects": [p], "app": a}}})),
        1 => (place.clone(), any::<bool>()).prop_map(|((t, p, ..), whole)| json!({"tenants": {t: {"policySets": [{"name": "own", "origin": "tenant", "project": p, "rules": [{"policy": "x", "mode": "warn", "params": {"a": [1, null]}}]}, {"name": if whole { "all" } else { "No" }, "origin": "plan", "rules": []}]}}})),
        1 => place.clone().prop_map(|(t, p, a, _)| json!({"apps": {format!("{t}/{p}/{a}"): {"sourceKind": "git"}}})),
        4 => (place.clone(), id(), any::<bool>()).prop_map(|((t, p, _, n), id, ends)| json!({"namespaces": {format!("tn-{t}-{p}-sbx-{n:03}"): {"kind": "sandbox", "tenant": t, "project": p, "sandbox": n, "id": id, "expiresAt": if ends { json!("2027-01-01T00:00:00Z") } else { Value::Null }}}})),
        2 => place.clone().prop_map(|(t, p, a, n)| json!({"apps": {format!("{t}/{p}/{a}"): null}, "namespaces": {format!("tn-{t}-{p}-app-{a}"): null, format!("tn-{t}-{p}-sbx-{n:03}"): null}})),
        1 => place.clone().prop_map(|(t, p, ..)| json!({"projects": {format!("{t}/{p}"): null}})),
        1 => place.clone().prop_map(|(t, ..)| json!({"tenants": {t: null}})),
        1 => place.prop_map(|(t, ..)| {
            let mut all = json!({"tenants": {t: null}, "projects": {}, "apps": {}, "namespaces": {}});
            for p in PROJECTS {
                all["projects"][format!("{t}/{p}")] = Value::Null;
                for a in APPS {
                    all["apps"][format!("{t}/{p}/{a}")] = Value::Null;
                    all["namespaces"][format!("tn-{t}-{p}-app-{a}")] = Value::Null;
                }
                for n in 1..4 {
                    all["namespaces"][format!("tn-{t}-{p}-sbx-{n:03}")] = Value::Null;
                }
            }
            all
        }),
        1 => proptest::sample::select(vec![
            json!({"settings": {"connect": {"portforward": true}}}),
            json!({"settings": {"registries": {"ceiling": ["docker.io", "ghcr.io", "registry.example.com", "registry.example.com:5000"]}}}),
            json!({"settings": {"registries": {"ceiling": ["docker.io/istio", "registry.example.com/platform"]}}}),
            json!({"settings": {"prefix": "kn"}}),
            json!({"settings": {"prefix": null, "labelPrefix": null, "workloadWrites": null}}),
            json!({"settings": {"identities": [{"name": "ops", "class": "admin", "group": "ops"}]}}),
            json!({"settings": null}),
            json!({"ledger": "018f2b7c-0000-7000-8000-0000000000aa"}),
            json!({"projects": null}),
            json!({"version": 1}),
        ]),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    /// Any number of edits in one patch, and patch after patch: the same snapshot, or refused for the same reasons.
    #[test]
    fn patches_are_the_whole_document(patches in proptest::collection::vec(proptest::collection::vec(edit(), 1..4), 1..12)) {
        let mut document = example_document();
        let mut snapshot = example_tenancy();
        for (edits, revision) in patches.into_iter().zip(43..) {
            let mut patch = json!({});
            for edit in edits {
                compose(&mut patch, edit);
            }
            let (changed, expected) = whole(&document, &patch, revision);
            match (snapshot.apply(&patch, revision), expected) {
                (Ok((next, changes)), Ok(expected)) => {
                    prop_assert_eq!(&next, &expected, "{}", patch);
                    for (slug, _) in expected.tenants.iter().filter(|(slug, _)| !changes.everything && !changes.tenants.contains(*slug)) {
                        prop_assert_eq!(next.tenant_document(slug), snapshot.tenant_document(slug), "{} is untouched by {}", slug, patch);
                    }
                    (document, snapshot) = (changed, next);
                }
                (Err(ours), Err(theirs)) => prop_assert_eq!(paths(&ours).is_empty(), paths(&theirs).is_empty()),
                (ours, theirs) => prop_assert!(false, "{}: {:?} is not {:?}", patch, ours.map(|_| ()), theirs.map(|_| ())),
            }
        }
    }
}

/// Both edits in one patch; the later wins where they meet.
fn compose(patch: &mut Value, edit: Value) {
    match (patch, edit) {
        (Value::Object(patch), Value::Object(edit)) => {
            for (key, value) in edit {
                compose(patch.entry(key).or_insert_with(|| json!({})), value);
            }
        }
        (patch, edit) => *patch = edit,
    }
}
