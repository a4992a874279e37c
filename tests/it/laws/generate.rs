//! Reviews that nobody wrote down: objects of the usual kinds, with metadata that matters and parts of no shape at all.

use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Map, Value as Json, json};

use crate::support::people;

/// Keys that some law, the gate or JSON Pointer has an opinion of, and some that nobody has.
const KEYS: &[&str] = &[
    "app",
    "a/b",
    "a~b",
    "~1",
    "~0/~1",
    "",
    "ключ",
    "kubenova.io/tenant-id",
    "kubenova.io/project-id",
    "kubenova.io/app-id",
    "kubenova.io/sandbox",
    "kubenova.io/other",
    "evil.kubenova.io/x",
    "app.oam.dev/name",
    "capsule.clastix.io/tenant",
    "pod-security.kubernetes.io/enforce",
    "sidecar.istio.io/inject",
    "app.kubernetes.io/name",
    "kubectl.kubernetes.io/last-applied-configuration",
];

const VALUES: &[&str] = &[
    "",
    "x",
    "true",
    "acme",
    "018f2b7c-0000-7000-8000-000000000001",
    "018f2b7c-0000-7000-8000-000000000011",
    "018f2b7c-0000-7000-8000-000000000002",
];

const IMAGES: &[&str] = &[
    "registry.example.com/tenants/acme/web:1",
    "docker.io/library/nginx",
    "nginx",
    "evil.io/x",
    "registry.example.com/tenants/acme/../globex/x",
    "",
    "UPPER/case:1",
];

/// Names of members that laws ask for, so that generated parts stand where they look.
const MEMBERS: &[&str] = &[
    "metadata",
    "labels",
    "annotations",
    "finalizers",
    "ownerReferences",
    "deletionTimestamp",
    "name",
    "generateName",
    "namespace",
    "spec",
    "template",
    "containers",
    "initContainers",
    "ephemeralContainers",
    "volumes",
    "image",
    "env",
    "value",
    "status",
    "kind",
    "components",
    "policies",
    "workflow",
    "data",
    "x",
    "app.oam.dev/name",
];

/// Any JSON of a bounded size.
pub fn tree() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::from),
        any::<i64>().prop_map(Json::from),
        (-1e9..1e9f64).prop_map(Json::from),
        select(VALUES).prop_map(Json::from),
        select(IMAGES).prop_map(Json::from),
        ".{0,12}".prop_map(Json::from),
    ];
    leaf.prop_recursive(4, 24, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Json::from),
            prop::collection::vec((select(MEMBERS), inner), 0..5).prop_map(|members| Json::Object(
                members.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
            )),
        ]
    })
}

/// A map of labels or annotations: missing, null or some entries.
fn entries() -> impl Strategy<Value = Option<Json>> {
    let some = prop::collection::vec((select(KEYS), select(VALUES)), 0..5).prop_map(|entries| {
        Some(Json::Object(
            entries
                .into_iter()
                .map(|(key, value)| (key.to_owned(), Json::from(value)))
                .collect::<Map<_, _>>(),
        ))
    });
    prop_oneof![1 => Just(None), 1 => Just(Some(Json::Null)), 6 => some]
}

fn metadata() -> impl Strategy<Value = Json> {
    let finalizers = prop_oneof![3 => Just(None), 1 => prop::collection::vec(select(KEYS), 0..3).prop_map(|keys| Some(json!(keys)))];
    let owners = prop_oneof![4 => Just(None), 1 => Just(Some(json!([{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web", "uid": "u", "controller": true}])))];
    (entries(), entries(), finalizers, owners, any::<bool>()).prop_map(
        |(labels, annotations, finalizers, owners, leaving)| {
            let mut metadata = json!({"name": "web", "namespace": "tn-acme-shop-sbx-001"});
            let parts = [
                ("labels", labels),
                ("annotations", annotations),
                ("finalizers", finalizers),
                ("ownerReferences", owners),
            ];
            for (key, value) in parts.into_iter().filter_map(|(key, value)| Some((key, value?))) {
                metadata[key] = value;
            }
            if leaving {
                metadata["deletionTimestamp"] = json!("2026-11-21T02:13:00Z");
            }
            metadata
        },
    )
}

fn pod_spec() -> impl Strategy<Value = Json> {
    let container = (select(IMAGES), 0..3usize).prop_map(
        |(image, n)| json!({"name": format!("c{n}"), "image": image, "env": [{"name": "A", "value": "b"}]}),
    );
    (prop::collection::vec(container.clone(), 0..3), prop::collection::vec(container, 0..2))
        .prop_map(|(containers, first)| json!({"containers": containers, "initContainers": first}))
}

/// What a request is about: kind, group, resource.
const KINDS: &[(&str, &str, &str, &str)] = &[
    ("Pod", "v1", "", "pods"),
    ("Deployment", "apps/v1", "apps", "deployments"),
    ("ConfigMap", "v1", "", "configmaps"),
    ("Application", "core.oam.dev/v1beta1", "core.oam.dev", "applications"),
];

fn object() -> impl Strategy<Value = (usize, Json)> {
    (0..KINDS.len(), metadata(), metadata(), pod_spec()).prop_map(|(which, metadata, inner, pod)| {
        let (kind, version, ..) = KINDS[which];
        let spec = match kind {
            "Pod" => pod,
            "Deployment" => json!({"replicas": 1, "template": {"metadata": inner, "spec": pod}}),
            "Application" => json!({"components": [{"name": "web", "type": "webservice", "properties": {"image": "nginx", "labels": inner["labels"]}}]}),
            _ => json!({}),
        };
        (which, json!({"apiVersion": version, "kind": kind, "metadata": metadata, "spec": spec, "data": {"a": "b"}}))
    })
}

/// Puts `part` somewhere into a value: the place is chosen by `seed`.
fn graft(value: &mut Json, part: &Json, mut seed: u64) {
    let choose = seed % 7;
    seed /= 7;
    match value {
        Json::Object(members) if !members.is_empty() && choose > 0 => {
            let at = usize::try_from(seed).unwrap_or(0) % members.len();
            graft(members.values_mut().nth(at).unwrap(), part, seed / 3);
        }
        Json::Array(items) if !items.is_empty() && choose > 0 => {
            let at = usize::try_from(seed).unwrap_or(0) % items.len();
            graft(&mut items[at], part, seed / 3);
        }
        other => *other = part.clone(),
    }
}

/// A whole review of a generated object. Half of them have a part of no shape somewhere.
pub fn review() -> impl Strategy<Value = Json> {
    let people: Vec<_> = people().into_iter().collect();
    let usual = ["acme-dev", "acme-sa", "vela", "mgr", "root"];
    let usual: Vec<_> = people.iter().filter(|(name, _)| usual.contains(&name.as_str())).cloned().collect();
    let who = prop_oneof![2 => select(usual), 1 => select(people)];
    let place = select(
        &[
            "tn-acme-shop-sbx-001",
            "tn-acme-shop-app-frontend",
            "tn-acme-shop-app-unknown",
            "tn-hooli-search-sbx-001",
            "default",
        ][..],
    );
    let broken = prop_oneof![1 => Just(None), 1 => (tree(), any::<u64>()).prop_map(Some)];
    (who, place, object(), metadata(), broken, 0..4u8).prop_map(|((_, person), namespace, (which, mut object), before, broken, operation)| {
        let (kind, version, group, resource) = KINDS[which];
        object["metadata"]["namespace"] = namespace.into();
        let mut old = object.clone();
        old["metadata"] = before;
        if let Some((part, seed)) = &broken {
            graft(&mut object, part, *seed);
            if seed % 2 == 0 {
                graft(&mut old, part, seed.rotate_left(17));
            }
        }
        let operation = ["CREATE", "UPDATE", "UPDATE", "DELETE"][usize::from(operation)];
        let (object, old) = match operation {
            "CREATE" => (object, Json::Null),
            "DELETE" => (Json::Null, old),
            _ => (object, old),
        };
        let version = version.rsplit('/').next().unwrap();
        json!({"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "request": {
            "uid": "generated", "kind": {"group": group, "version": version, "kind": kind}, "resource": {"group": group, "version": version, "resource": resource},
            "name": "web", "namespace": namespace, "operation": operation, "userInfo": {"username": person.username, "groups": person.groups},
            "object": object, "oldObject": old, "dryRun": false, "options": {"kind": "CreateOptions", "apiVersion": "meta.k8s.io/v1"},
        }})
    })
}
