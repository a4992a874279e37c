use std::sync::{Arc, LazyLock};

use super::*;
use portcullis_policy::set::Options;
use portcullis_policy::source::embedded;
use portcullis_tenancy::Snapshot;

static LAW: LazyLock<PolicySet> =
    LazyLock::new(|| PolicySet::compile(&embedded::read().unwrap(), Options::default(), None).unwrap());

static WORLD: LazyLock<World> = LazyLock::new(|| {
    let text = include_str!("../../../../tests/cases/world.yaml");
    World::new(Arc::new(Snapshot::parse("world.yaml", text.as_bytes()).unwrap()))
});

/// What is said of each image, in an app's namespace.
fn said(namespace: &str, images: &[&str]) -> Vec<(String, String)> {
    let found =
        |(at, image): (usize, &&str)| Found { pointer: format!("/{at}"), reference: (*image).to_owned() };
    let images: Vec<Found> = images.iter().enumerate().map(found).collect();
    let faults = judge(&LAW, &WORLD, namespace, &images).unwrap();
    faults.into_iter().map(|fault| (fault.pointer, fault.detail)).collect()
}

#[test]
fn every_image_that_the_cluster_would_refuse_and_no_other() {
    let said = said(
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
    let pointers: Vec<&str> = said.iter().map(|(pointer, _)| pointer.as_str()).collect();
    for refused in ["/1", "/3", "/5", "/6", "/7"] {
        assert!(pointers.contains(&refused), "{refused} of {said:?}");
    }
    for admitted in ["/2", "/4"] {
        assert!(!pointers.contains(&admitted), "{admitted} of {said:?}");
    }
    let (_, evil) = said.iter().find(|(pointer, _)| pointer == "/1").unwrap();
    assert!(evil.contains("registry-allowlist") && evil.contains("docker.io/library"), "{evil}");
    assert!(!evil.contains("globex") && !evil.contains("spec.containers"), "{evil}");
}

#[test]
fn a_tenant_without_a_policy_may_run_nothing() {
    let mut world = include_str!("../../../../tests/cases/world.yaml").to_owned();
    world.push_str("  tn-initech-tps-app-x: {kind: app, tenant: initech, project: tps, app: x}\n");
    let world =
        world.replace("apps:\n", "apps:\n  initech/tps/x: {id: 018f2b7c-0000-7000-8000-000000000099}\n");
    let world = World::new(Arc::new(Snapshot::parse("world.yaml", world.as_bytes()).unwrap()));
    let image = Found { pointer: "/image".to_owned(), reference: "docker.io/istio/proxyv2:1".to_owned() };
    let faults = judge(&LAW, &world, "tn-initech-tps-app-x", &[image]).unwrap();
    assert_eq!(faults.len(), 1);
    assert!(faults[0].detail.contains("no registry policy for tenant"), "{faults:?}");
}

#[test]
fn what_cannot_be_judged_is_not_admitted() {
    let image = Found { pointer: "/image".to_owned(), reference: "docker.io/library/x:1".to_owned() };
    let broken = "# METADATA\n# title: x\n# custom:\n#   id: registry-allowlist\n#   severity: high\n#   mode: enforce\n#   match:\n#     - operations: [CREATE]\n#       resources: [pods]\n#       namespaces: [app]\npackage portcullis.x\n\ndeny contains \"x\" if split(input.images, \",\")\n";
    let bundle =
        portcullis_policy::Bundle::from_files([("x.rego".to_owned(), broken.as_bytes().to_vec())]).unwrap();
    let law = PolicySet::compile(&bundle, Options::default(), None).unwrap();
    assert!(judge(&law, &WORLD, "tn-acme-shop-app-frontend", &[image]).is_err());
}

#[test]
fn more_images_than_anybody_names_are_refused_unread() {
    let many = vec!["evil.io/x"; IMAGES_MAX + 1];
    let said = said("tn-acme-shop-app-frontend", &many);
    assert_eq!(said.len(), 1);
    assert!(said[0].1.contains("201 images"), "{said:?}");
}
