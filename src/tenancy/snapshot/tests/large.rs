//! A tenancy of any size, for what must be fast and lean with 1,000 tenants and 10,000 namespaces.

use std::fmt::Write as _;
use std::time::Instant;

use super::*;

/// A JSON document of `tenants` tenants with one project and `apps` apps each, every app with its namespace.
pub(crate) fn large_tenancy(tenants: u32, apps: u32) -> String {
    let id = |section: u32, number: u32| format!("018f2b7c-{section:04x}-7000-8000-{number:012x}");
    let [mut tenant_map, mut project_map, mut app_map, mut namespace_map] = [const { String::new() }; 4];
    for t in 0..tenants {
        let registries = format!(r#"["registry.example.com/tenants/t{t}", "docker.io/library"]"#);
        let (tenant_id, project_id) = (id(1, t), id(2, t));
        let _ = write!(
            tenant_map,
            r#","t{t}":{{"id":"{tenant_id}","status":"active","groups":["t{t}-devs"],"registries":{registries},"plan":"gold"}}"#
        );
        let _ = write!(project_map, r#","t{t}/shop":{{"id":"{project_id}"}}"#);
        for a in 0..apps {
            let app_id = id(3, t * apps + a);
            let _ = write!(app_map, r#","t{t}/shop/service-{a}":{{"id":"{app_id}","sourceKind":"image"}}"#);
            let _ = write!(
                namespace_map,
                r#","tn-t{t}-shop-app-service-{a}":{{"kind":"app","tenant":"t{t}","project":"shop","app":"service-{a}"}}"#
            );
        }
    }
    let map = |text: &str| format!("{{{}}}", text.trim_start_matches(','));
    format!(
        r#"{{"ledger":"{}","revision":7,"settings":{{"registries":{{"ceiling":["registry.example.com","docker.io/library"]}}}},"tenants":{},"projects":{},"apps":{},"namespaces":{}}}"#,
        id(0, 1),
        map(&tenant_map),
        map(&project_map),
        map(&app_map),
        map(&namespace_map),
    )
}

#[test]
fn generated_tenancy_loads() {
    let text = large_tenancy(20, 10);
    let snapshot = Snapshot::parse("large.json", text.as_bytes()).unwrap();
    assert_eq!((snapshot.tenants.len(), snapshot.namespaces.len()), (20, 200));
    assert_eq!(snapshot.kind("tn-t19-shop-app-service-9"), Kind::App);
    let t1 = snapshot.tenant_document("t1").unwrap();
    assert_eq!(t1["apps"].as_object().unwrap().len(), 10, "t1's and none of t10 to t19");
    assert_eq!(t1["projects"]["shop"]["id"], json!(snapshot.projects.get("t1/shop").unwrap().id));
    assert_eq!(snapshot, Snapshot::parse("large.yaml", text.as_bytes()).unwrap());
}

/// The target is 300 ms in a release build; the bound leaves room for a debug build on a busy machine.
#[test]
fn ten_thousand_namespaces_load_in_time() {
    let text = large_tenancy(1000, 10);
    let start = Instant::now();
    let snapshot = Snapshot::parse("large.json", text.as_bytes()).unwrap();
    let took = start.elapsed();
    assert_eq!(snapshot.namespaces.len(), 10_000);
    assert!(took.as_secs() < 5, "took {took:?}");
    println!("{} bytes of JSON in {took:?}", text.len());
}
