pub(crate) mod large;
mod last_good;
mod owners;
mod patches;
mod refusals;
mod settings;
mod syntax;
mod unknown_keys;

use super::*;
use serde_json::{Value, json};

const EXAMPLE: &str = include_str!("../../../tests/cases/example-tenancy.yaml");

/// The tenancy that the scenarios speak of.
pub(crate) fn example_tenancy() -> Snapshot {
    Snapshot::parse("example-tenancy.yaml", EXAMPLE.as_bytes()).unwrap()
}

#[test]
fn example_tenancy_loads() {
    let tenancy = example_tenancy();
    assert_eq!((&*tenancy.ledger, tenancy.revision), ("018f2b7c-0000-7000-8000-00000000000a", 42));
    let sizes = (tenancy.tenants.len(), tenancy.projects.len(), tenancy.apps.len(), tenancy.namespaces.len());
    assert_eq!(sizes, (4, 4, 2, 6));
    let expected = Namespace {
        tenant: "acme".into(),
        tenant_id: "018f2b7c-0000-7000-8000-000000000001".into(),
        status: Status::Active,
        project: "shop".into(),
        project_id: "018f2b7c-0000-7000-8000-000000000011".into(),
        unit: Unit::Sandbox {
            number: 1,
            id: "018f2b7c-0000-7000-8000-000000000031".into(),
            expires_at: None,
        },
    };
    assert_eq!(tenancy.namespace("tn-acme-shop-sbx-001"), Some(&expected));
    assert_eq!(tenancy.namespace("tn-hooli-search-sbx-001").unwrap().status, Status::Suspended);
    assert_eq!(tenancy.tenant_by_id("018f2b7c-0000-7000-8000-000000000002").unwrap().0, "globex");
    assert!(tenancy.tenant_by_id("018f2b7c-0000-7000-8000-000000000011").is_none());
    assert_eq!(tenancy.tenants_of_group("acme-devs"), ["acme".into()]);
    assert!(tenancy.tenants_of_group("").is_empty());
    assert_eq!(tenancy.tenants.get("initech").unwrap().registries, None);
    assert_eq!(tenancy.tenants.get("hooli").unwrap().registries, Some(Registries::Inherit));
}

#[test]
fn kind_depends_on_the_exact_name() {
    let tenancy = example_tenancy();
    for (name, kind) in [
        ("", Kind::Cluster),
        ("tn-acme-shop-app-frontend", Kind::App),
        ("tn-acme-shop-sbx-001", Kind::Sandbox),
        ("tn-acme-shop-sbx-002", Kind::Unregistered),
        ("tn-acme-shop-app-frontend2", Kind::Unregistered),
        ("tn-", Kind::Unregistered),
        ("tn", Kind::Platform),
        ("tnx-acme", Kind::Platform),
        ("TN-ACME-SHOP-SBX-001", Kind::Platform),
        ("kube-system", Kind::Platform),
    ] {
        assert_eq!(tenancy.kind(name), kind, "{name}");
    }
}

#[test]
fn documents_are_what_policies_see() {
    let tenancy = example_tenancy();
    let source: Value = serde_saphyr::from_str(EXAMPLE).unwrap();
    let mut settings = source["settings"].clone();
    for identity in settings["identities"].as_array_mut().unwrap() {
        identity.as_object_mut().unwrap().entry("createsNamespaces").or_insert(json!(false));
    }
    assert_eq!(tenancy.settings_document(), settings);
    assert_eq!(
        tenancy.tenant_document("acme").unwrap(),
        json!({
            "id": "018f2b7c-0000-7000-8000-000000000001",
            "status": "active",
            "groups": ["acme-devs"],
            "registries": ["registry.example.com/tenants/acme", "docker.io/library"],
            "plan": "baseline",
            "projects": { "shop": { "id": "018f2b7c-0000-7000-8000-000000000011" } },
            "apps": { "shop/frontend": { "id": "018f2b7c-0000-7000-8000-000000000021", "sourceKind": "catalog" } },
        })
    );
    assert_eq!(tenancy.tenant_document("hooli").unwrap()["registries"], "inherit");
    assert_eq!(tenancy.tenant_document("initech").unwrap().get("registries"), None);
    assert_eq!(tenancy.tenant_document("nobody"), None);
}

#[test]
fn json_and_yaml_are_equal() {
    let value: Value = serde_saphyr::from_str(EXAMPLE).unwrap();
    let text = serde_json::to_vec_pretty(&value).unwrap();
    for name in ["tenancy.json", "example-tenancy.yaml", "snapshot"] {
        assert_eq!(Snapshot::parse(name, &text).unwrap(), example_tenancy(), "{name}");
    }
    assert_eq!(
        Snapshot::parse("w.yaml", format!("\u{feff}{EXAMPLE}").as_bytes()).unwrap(),
        example_tenancy()
    );
    let flow = "{ledger: 018f2b7c-0000-7000-8000-00000000000a, revision: 0, tenants: {}}";
    assert!(Snapshot::parse("w.yaml", flow.as_bytes()).is_ok());
    assert!(Snapshot::parse("w.json", flow.as_bytes()).is_err());
}

#[test]
fn absent_settings_have_defaults() {
    let text = r#"{"ledger": "018f2b7c-0000-7000-8000-00000000000a", "revision": 0, "tenants": {}}"#;
    let settings = Snapshot::parse("least.json", text.as_bytes()).unwrap().settings_document();
    let expected = json!({
        "prefix": "tn",
        "labelPrefix": "kubenova.io",
        "registries": { "ceiling": [], "platform": [] },
        "identities": [],
        "connect": { "exec": true, "attach": true, "portforward": false, "proxy": false },
        "workloadWrites": ["leases.coordination.k8s.io", "events", "events.events.k8s.io"],
    });
    assert_eq!(settings, expected);
}

#[test]
fn every_field_of_the_schema_is_described() {
    fn walk(path: &str, schema: &Value) {
        for (name, field) in schema["properties"].as_object().into_iter().flatten() {
            assert!(field.get("description").is_some(), "{path}.{name} has no description");
            assert_ne!(field.get("default"), Some(&Value::Null), "{path}.{name} refuses null");
        }
        if schema["type"] == "object" && schema.get("properties").is_some() {
            assert_eq!(schema["additionalProperties"], false, "{path} must refuse unknown fields");
        }
        for (name, definition) in schema["$defs"].as_object().into_iter().flatten() {
            walk(name, definition);
        }
    }
    let schema = schema();
    walk("snapshot", &schema);
    assert_eq!(schema["required"], json!(["ledger", "revision", "tenants"]));
}
