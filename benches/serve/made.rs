//! What is generated: policies beside a copy of the library, and a large world.

use std::fmt::Write as _;
use std::path::Path;

use portcullis_policy::source::embedded_files;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::server::demo_world;

/// The library inside the binary as a directory, for more policies beside it.
pub fn library() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (path, contents) in embedded_files() {
        let path = dir.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, contents).unwrap();
    }
    dir
}

/// Writes a policy for some resources.
pub fn write_policy(dir: &Path, id: &str, resources: &str, rules: &str) {
    let package = id.replace('-', "_");
    let text = format!(
        "# METADATA\n# title: {id}\n# description: Made for a measurement.\n# custom:\n#   id: {id}\n#   severity: low\n#   mode: enforce\n#   on_error: deny\n\
         #   match:\n#     - operations: [CREATE]\n#       resources: [{resources}]\n#       namespaces: [sandbox]\npackage portcullis.{package}\n\n{rules}\n"
    );
    std::fs::create_dir_all(dir.join("made")).unwrap();
    std::fs::write(dir.join(format!("made/{package}.rego")), text).unwrap();
}

/// What a small policy looks at; none of it is so in the bench's Pod.
const SMALL: [&str; 5] = [
    "deny contains {\"field\": \"spec.hostNetwork\", \"msg\": \"is not for tenants\"} if input.request.object.spec.hostNetwork == true",
    "deny contains {\"field\": sprintf(\"spec.containers[%d]\", [i]), \"msg\": \"is privileged\"} if {\n\tsome i, c in input.request.object.spec.containers\n\tc.securityContext.privileged == true\n}",
    "deny contains {\"field\": \"metadata.labels\", \"msg\": \"lack a name\"} if not input.request.object.metadata.labels[\"app.kubernetes.io/name\"]",
    "deny contains {\"field\": image.path, \"observed\": image.raw, \"msg\": \"is not pinned\"} if {\n\tsome image in input.images\n\timage.tag == \"latest\"\n}",
    "deny contains {\"field\": sprintf(\"spec.volumes[%d]\", [i]), \"msg\": \"is a path of the node\"} if {\n\tsome i, v in input.request.object.spec.volumes\n\tv.hostPath\n}",
];

/// Adds policies of a few lines that are asked about every Pod.
pub fn add_matching(dir: &Path, count: usize) {
    for n in 0..count {
        write_policy(dir, &format!("matching-{n:04}"), "pods", SMALL[n % SMALL.len()]);
    }
}

/// Adds policies about kinds that nobody sends.
pub fn add_idle(dir: &Path, count: usize) {
    for n in 0..count {
        write_policy(
            dir,
            &format!("idle-{n:04}"),
            &format!("\"widgets{n}.example.com\""),
            SMALL[n % SMALL.len()],
        );
    }
}

/// The demo's world and so many tenants more, a project and ten namespaces each, as JSON.
pub fn large_world(tenants: usize) -> String {
    let mut world: Value = serde_saphyr::from_str(&demo_world()).unwrap();
    for n in 0..tenants {
        let mut slug = String::from("t");
        write!(slug, "{n:05}").unwrap();
        let id = |what: usize, at: usize| format!("018f2b7c-{what:04x}-7000-8000-{:012x}", n * 100 + at);
        world["tenants"][&slug] = json!({"id": id(1, 0), "status": "active", "groups": [format!("{slug}-devs")], "registries": [format!("registry.example.com/tenants/{slug}")], "plan": "baseline"});
        world["projects"][format!("{slug}/shop")] = json!({"id": id(2, 0)});
        for at in 0..5 {
            world["apps"][format!("{slug}/shop/app{at}x")] = json!({"id": id(3, at), "sourceKind": "image"});
            world["namespaces"][format!("tn-{slug}-shop-app-app{at}x")] =
                json!({"kind": "app", "tenant": slug, "project": "shop", "app": format!("app{at}x")});
            let sandbox = at + 1;
            world["namespaces"][format!("tn-{slug}-shop-sbx-{sandbox:03}")] = json!({"kind": "sandbox", "tenant": slug, "project": "shop", "sandbox": sandbox, "id": id(4, at)});
        }
    }
    serde_json::to_string(&world).unwrap()
}
