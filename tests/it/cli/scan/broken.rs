//! What cannot be judged is named, and spoils nothing beside it.

use super::{Value, WEB, golden, small};

#[test]
fn each_at_its_line() {
    let place = small();
    place.write(
        "objects/a/yaml.yaml",
        &format!("{WEB}---\na: [\n---\napiVersion: v1\nkind: Pod\nkind: Node\n"),
    );
    place.write("objects/a/cut.json", "{\"apiVersion\": \"v1\",\n \"kind\": \"Nod");
    place.write("objects/a/lines.ndjson", "{\"apiVersion\": \"v1\", \"kind\": \"Node\", \"metadata\": {\"name\": \"n2\"}}\n{\"kind\"\n{\"apiVersion\": \"v1\", \"kind\": \"Node\", \"metadata\": {\"name\": \"n3\"}}\n");
    place.write("objects/b/values.yaml", "# a chart's\n\nreplicas: 1\n");
    place.write("objects/b/exec.yaml", "apiVersion: v1\nkind: PodExecOptions\ncommand: [sh]\n");
    place.write("objects/b/review.json", "{\"apiVersion\": \"admission.k8s.io/v1\", \"kind\": \"AdmissionReview\", \"request\": {\"uid\": \"1\"}}");
    place.write("objects/b/widget.yaml", "apiVersion: example.com/v1\nkind: Widget\nmetadata: {name: w, namespace: tn-acme-shop-sbx-001, annotations: {owner: x}}\n");
    std::fs::write(place.path("objects/b/bytes.yaml"), b"apiVersion: v1\nkind: \xff\n").unwrap();
    golden("scan/broken", &place.run(&["scan", "--policies", "law", "objects"], 2));
    let json: Value =
        serde_json::from_str(&place.stdout(&["scan", "--policies", "law", "--output", "json", "objects"]))
            .unwrap();
    assert_eq!(json["summary"]["unjudged"], json["unjudged"].as_array().unwrap().len());
    let sarif: Value =
        serde_json::from_str(&place.stdout(&["scan", "--policies", "law", "--output", "sarif", "objects"]))
            .unwrap();
    let told = &sarif["runs"][0]["invocations"][0];
    assert_eq!(told["executionSuccessful"], false);
    assert_eq!(
        told["toolExecutionNotifications"].as_array().unwrap().len(),
        json["unjudged"].as_array().unwrap().len()
    );
}

#[test]
fn what_is_passed_over_is_counted() {
    let place = small();
    place.write("objects/.git/config.yaml", "a: [");
    place.write("objects/charts/values.yaml", "a: [");
    std::os::unix::fs::symlink(place.path("objects"), place.path("objects/again")).unwrap();
    let told = place.run(&["scan", "--policies", "law", "--exclude", "charts", "objects"], 1);
    assert!(told.contains("skipped 1 path: named by --exclude"), "{told}");
    assert!(told.contains("skipped 2 directories: a link or hidden"), "{told}");
    assert!(told.contains("skipped 1 file: neither YAML nor JSON by name"), "{told}");
}

#[test]
fn nothing_at_all_is_no_answer() {
    let place = small();
    place.write("empty/x.yaml", "# nothing\n");
    let told = place.run(&["scan", "--policies", "law", "empty"], 2);
    assert!(told.contains("the directories contain no objects"), "{told}");
    let told = place.run(&["scan", "--policies", "law", "absent"], 2);
    assert!(told.contains("`absent`"), "{told}");
    let told = place.run(&["scan", "--exclude", "[", "objects"], 2);
    assert!(told.contains("--exclude `[`"), "{told}");
    let told = place.run(&["scan", "--ledger", "--tenancy", "x.yaml", "objects"], 2);
    assert!(told.contains("give one of them"), "{told}");
}
