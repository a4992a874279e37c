use std::sync::{Arc, LazyLock};

use super::*;
use portcullis_policy::set::Options;
use portcullis_policy::source::read_embedded;
use portcullis_tenancy::Snapshot;

static POLICIES: LazyLock<PolicySet> =
    LazyLock::new(|| PolicySet::compile(&read_embedded().unwrap(), Options::default(), None).unwrap());

static SNAPSHOT: LazyLock<PreparedSnapshot> = LazyLock::new(|| {
    let text = include_str!("../../../../tests/cases/example-tenancy.yaml");
    PreparedSnapshot::new(Arc::new(Snapshot::parse("example-tenancy.yaml", text.as_bytes()).unwrap()))
});

/// What is faults_of of each image, in an app's namespace.
fn faults_of(namespace: &str, images: &[&str]) -> Vec<(String, String)> {
    let found = |(at, image): (usize, &&str)| ImageReference {
        pointer: format!("/{at}"),
        reference: (*image).to_owned(),
    };
    let images: Vec<ImageReference> = images.iter().enumerate().map(found).collect();
    let faults = evaluate_images(&POLICIES, &SNAPSHOT, namespace, &images).unwrap();
    faults.into_iter().map(|fault| (fault.pointer, fault.detail)).collect()
}

#[test]
fn exactly_the_images_that_the_cluster_denies_are_rejected() {
    let found = faults_of(
        "tn-acme-shop-app-frontend",
        &[
            "registry.example.com/tenants/acme/web:1",
            "evil.io/x:1",
            "nginx",
            "registry.example.com/tenants/acme-evil/web:1",
            "docker.io/istio/proxyv2:1",
            "Docker.io/library/nginx:1",
            "my_registry.io/app:1",
            "registry.example.com:5000/x",
            "",
        ],
    );
    let pointers: Vec<&str> = found.iter().map(|(pointer, _)| pointer.as_str()).collect();
    for refused in ["/1", "/3", "/5", "/6", "/7"] {
        assert!(pointers.contains(&refused), "{refused} of {found:?}");
    }
    for admitted in ["/2", "/4"] {
        assert!(!pointers.contains(&admitted), "{admitted} of {found:?}");
    }
    let (_, evil) = found.iter().find(|(pointer, _)| pointer == "/1").unwrap();
    assert!(evil.contains("registry-allowlist") && evil.contains("docker.io/library"), "{evil}");
    assert!(!evil.contains("globex") && !evil.contains("spec.containers"), "{evil}");
}

#[test]
fn tenant_without_registries_may_run_no_image() {
    let mut world = include_str!("../../../../tests/cases/example-tenancy.yaml").to_owned();
    world.push_str("  tn-initech-tps-app-x: {kind: app, tenant: initech, project: tps, app: x}\n");
    let world =
        world.replace("apps:\n", "apps:\n  initech/tps/x: {id: 018f2b7c-0000-7000-8000-000000000099}\n");
    let world =
        PreparedSnapshot::new(Arc::new(Snapshot::parse("example-tenancy.yaml", world.as_bytes()).unwrap()));
    let image =
        ImageReference { pointer: "/image".to_owned(), reference: "docker.io/istio/proxyv2:1".to_owned() };
    let faults = evaluate_images(&POLICIES, &world, "tn-initech-tps-app-x", &[image]).unwrap();
    assert_eq!(faults.len(), 1);
    assert!(faults[0].detail.contains("no registry policy for tenant"), "{faults:?}");
}

#[test]
fn policy_error_rejects_the_images() {
    let image =
        ImageReference { pointer: "/image".to_owned(), reference: "docker.io/library/x:1".to_owned() };
    let broken = "# METADATA\n# title: x\n# custom:\n#   id: registry-allowlist\n#   severity: high\n#   mode: enforce\n#   match:\n#     - operations: [CREATE]\n#       resources: [pods]\n#       namespaces: [app]\npackage portcullis.x\n\ndeny contains \"x\" if split(input.images, \",\")\n";
    let bundle =
        portcullis_policy::Bundle::from_files([("x.rego".to_owned(), broken.as_bytes().to_vec())]).unwrap();
    let policies = PolicySet::compile(&bundle, Options::default(), None).unwrap();
    assert!(evaluate_images(&policies, &SNAPSHOT, "tn-acme-shop-app-frontend", &[image]).is_err());
}

#[test]
fn too_many_images_are_rejected_without_evaluation() {
    let many = vec!["evil.io/x"; IMAGES_MAX + 1];
    let found = faults_of("tn-acme-shop-app-frontend", &many);
    assert_eq!(found.len(), 1);
    assert!(found[0].1.contains("201 images"), "{found:?}");
}
