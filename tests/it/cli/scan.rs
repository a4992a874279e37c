//! `portcullis scan`: what exists, judged; what is printed of it, and what it costs.

mod broken; // what cannot be judged is said
mod large; // many objects
mod shared; // the cases of the laws, as objects that exist

use serde_json::Value;

use super::run::{Place, golden};

/// A law of two, so that the library's words can change.
const LATEST: &str = r#"# METADATA
# title: Images say which version they are
# description: A tag that moves is another image tomorrow.
# custom:
#   id: no-latest
#   severity: high
#   mode: enforce
#   match:
#     - operations: [CREATE, UPDATE]
#       resources: [pods, deployments.apps]
#       namespaces: [app, sandbox]
package portcullis.no_latest

deny contains {"field": image.path, "observed": image.raw, "msg": "is whatever was pushed last", "fix": "name a version"} if {
	some image in input.images
	image.tag == "latest"
}
"#;
const OWNER: &str = r#"# METADATA
# title: Somebody can be asked
# description: An object names its owner.
# custom:
#   id: owner
#   severity: low
#   mode: warn
#   match:
#     - operations: [CREATE, UPDATE]
#       resources: ["*"]
#       namespaces: [app, sandbox]
package portcullis.owner

deny contains "names no owner" if not input.request.object.metadata.annotations.owner
"#;
const WEB: &str = "\
# What runs in front.
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: tn-acme-shop-app-frontend, annotations: {owner: ann}}
spec: {template: {spec: {containers: [{name: web, image: web:latest}, {name: log, image: \"log:1\"}]}}}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: settings, namespace: tn-acme-shop-app-frontend}
";
const LIST: &str = r#"{"apiVersion": "v1", "items": [
  {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "shell", "namespace": "tn-globex-web-sbx-001", "annotations": {"owner": "bob"}},
   "spec": {"containers": [{"name": "shell", "image": "shell"}]}},
  {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1"}}
 ], "kind": "List"}"#;

/// Two files and a law.
pub fn small() -> Place {
    let place = Place::new();
    place.write("law/latest.rego", LATEST);
    place.write("law/owner.rego", OWNER);
    place.write("objects/web.yaml", WEB);
    place.write("objects/below/list.json", LIST);
    place.write("objects/README.txt", "no object\n");
    place
}

/// A document with what changes from run to run left out.
fn steady(text: &str) -> Value {
    let mut document: Value = serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"));
    walk(&mut document);
    document
}

fn walk(value: &mut Value) {
    match value {
        Value::Object(fields) => fields.iter_mut().for_each(|(key, value)| match key.as_str() {
            "started_at" | "startTimeUtc" | "duration_ms" | "policy_revision" | "version"
            | "semanticVersion" => {
                *value = format!("({key})").into();
            }
            _ => walk(value),
        }),
        Value::Array(items) => items.iter_mut().for_each(walk),
        _ => {}
    }
}

fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).unwrap()
}

#[test]
fn what_is_printed() {
    let place = small();
    let told = place.run(&["scan", "--policies", "law", "objects"], 1);
    golden("scan/text", &told);
    golden("scan/limited", &place.run(&["scan", "--policies", "law", "--limit", "1", "objects"], 1));
    let json = place.stdout(&["scan", "--policies", "law", "--output", "json", "objects"]);
    golden("scan/json", &pretty(&steady(&json)));
    let page = place.stdout(&["scan", "--policies", "law", "--output", "html", "objects"]);
    let page: String = page
        .lines()
        .filter(|line| !line.starts_with("<p class=\"faint\">policies"))
        .collect::<Vec<_>>()
        .join("\n");
    golden("scan/html", &page);
}

#[test]
fn details_stand_in_every_report_for_programs() {
    let place = small();
    let details = r#""fix": "name a version", "details": {"tag": image.tag, "places": {image.list}}"#;
    place.write("law/latest.rego", &LATEST.replace(r#""fix": "name a version""#, details));
    let expected = serde_json::json!({"places": ["containers"], "tag": "latest"});
    let read = |words: &[&str]| -> Value { serde_json::from_str(&place.stdout(words)).unwrap() };
    let scan = |format| read(&["scan", "--policies", "law", "--output", format, "objects"]);
    let (json, sarif) = (scan("json"), scan("sarif"));
    assert_eq!(
        (&json["findings"][0]["policy"], &json["findings"][0]["details"]),
        (&"no-latest".into(), &expected)
    );
    assert!(json["findings"].as_array().unwrap().iter().any(|finding| finding["details"].is_null()));
    let results = sarif["runs"][0]["results"].as_array().unwrap();
    assert!(results.iter().any(|result| result["properties"]["details"] == expected), "{sarif}");
    place.write("pod.yaml", super::POD);
    let review = read(&["review", "--policies", "law", "-o", "json", "pod.yaml"]);
    assert_eq!(review[0]["findings"][0]["details"], expected);
    let cause = &review[0]["response"]["response"]["status"]["details"]["causes"][0]["message"];
    assert!(
        cause.as_str().unwrap().ends_with(r#"; details: {"places":["containers"],"tag":"latest"}"#),
        "{cause}"
    );
    let shown = place.run(&["policy", "eval", "--policies", "law", "pod.yaml"], 1);
    assert!(
        shown.contains(
            "fix: name a version\n      details: {\"places\":[\"containers\"],\"tag\":\"latest\"}\n"
        ),
        "{shown}"
    );
    // A comparison ignores details.
    place.write("before/owner.rego", OWNER);
    place.write("before/latest.rego", LATEST);
    let compared =
        read(&["scan", "--policies", "law", "--baseline", "before", "--output", "json", "objects"]);
    assert_eq!(compared["findings"], serde_json::json!([]));
}

#[test]
fn a_line_an_object_says_the_same() {
    let place = small();
    let words = |format| ["scan", "--policies", "law", "--output", format, "objects"];
    let document: Value = serde_json::from_str(&place.stdout(&words("json"))).unwrap();
    let lines: Vec<Value> =
        place.stdout(&words("ndjson")).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let findings: Vec<&Value> = lines.iter().filter_map(|line| line.get("finding")).collect();
    assert_eq!(findings, document["findings"].as_array().unwrap().iter().collect::<Vec<_>>());
    assert_eq!(lines.last().unwrap()["summary"]["total"], document["summary"]["total"]);
}

#[test]
fn sarif_is_what_code_scanning_reads() {
    let place = small();
    place.write(
        "objects/a b&c.yaml",
        &WEB.replace("name: web,", "name: other,").replace("name: settings", "name: more"),
    );
    let words = ["scan", "--policies", "law", "--output", "sarif", "objects"];
    let text = place.stdout(&words);
    golden("scan/sarif", &pretty(&steady(&text)));
    let log: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(log["version"], "2.1.0");
    let run = &log["runs"][0];
    let rules = run["tool"]["driver"]["rules"].as_array().unwrap();
    let results = run["results"].as_array().unwrap();
    assert!(results.len() >= 3, "{text}");
    let mut prints = Vec::new();
    for result in results {
        let rule = &rules[usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap()];
        assert_eq!(rule["id"], result["ruleId"]);
        assert!(["error", "warning", "note", "none"].contains(&result["level"].as_str().unwrap()));
        assert!(!result["message"]["text"].as_str().unwrap().is_empty());
        let place = &result["locations"][0]["physicalLocation"];
        let uri = place["artifactLocation"]["uri"].as_str().unwrap();
        assert!(uri.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~/%".contains(&byte)), "{uri}");
        assert!(place["region"]["startLine"].as_u64().unwrap() >= 1);
        prints.push(result["partialFingerprints"]["portcullisFinding/v1"].clone());
    }
    let mut each = prints.clone();
    each.sort_by_key(Value::to_string);
    each.dedup();
    assert_eq!(each.len(), prints.len(), "a fingerprint that two findings have");
    // Where in its file an object stands is not what it is.
    place.write("objects/web.yaml", &format!("# one line more\n\n{WEB}"));
    let moved: Value = serde_json::from_str(&place.stdout(&words)).unwrap();
    let moved: Vec<Value> = moved["runs"][0]["results"]
        .as_array()
        .unwrap()
        .iter()
        .map(|result| result["partialFingerprints"]["portcullisFinding/v1"].clone())
        .collect();
    assert_eq!(moved, prints);
}

#[test]
fn a_page_is_no_door() {
    let place = small();
    let hostile = serde_json::json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": "</td><script>alert(1)</script><img src=x onerror='alert(2)'>\u{202e}evil\u{7}",
            "namespace": "tn-acme-shop-sbx-001",
        },
        "spec": {"containers": [{"name": "x", "image": "a/<b>\"'&:latest"}]},
    });
    place.write("objects/hostile.json", &hostile.to_string());
    place.write("objects/<svg onload=alert(3)>.yaml", "a: [");
    let page = place.stdout(&["scan", "--policies", "law", "--output", "html", "objects"]);
    assert!(
        page.contains("&lt;/td&gt;&lt;script&gt;alert(1)&lt;/script&gt;&lt;img src=x onerror=&#39;"),
        "{page}"
    );
    let below = page.split_once("<body>").unwrap().1;
    for word in ["<script", "<img", "<svg", "<b>\"", "\u{202e}", "\u{7}", "http:", "https:", "href"] {
        assert!(!below.contains(word), "{word:?} in {page}");
    }
    assert!(page.contains("default-src 'none'"));
    let text = place.run(&["scan", "--policies", "law", "objects"], 2);
    assert!(!text.contains('\u{202e}') && !text.contains('\u{7}'), "{text}");
}

#[test]
fn against_another_law() {
    let place = small();
    place.write("law-before/latest.rego", &LATEST.replace("pods, deployments.apps", "pods"));
    place.write("law-before/owner.rego", OWNER);
    place.write(
        "law-before/node.rego",
        &OWNER
            .replace("id: owner", "id: node")
            .replace("portcullis.owner", "portcullis.node")
            .replace("mode: warn", "mode: enforce")
            .replace("\"*\"", "configmaps")
            .replace("names no owner", "is a ConfigMap")
            .replace(" if not input.request.object.metadata.annotations.owner", ""),
    );
    let told = place.run(&["scan", "--policies", "law", "--baseline", "law-before", "objects"], 1);
    golden("scan/against", &told);
    let told = place.run(&["scan", "--policies", "law", "--baseline", "law", "objects"], 0);
    assert!(!told.contains('✗'), "{told}");
}

#[test]
fn who_wrote_it() {
    let place = small();
    let quota = "apiVersion: v1\nkind: ResourceQuota\nmetadata: {name: q, namespace: tn-acme-shop-sbx-001, labels: {kubenova.io/managed-by: platform}}\n";
    place.write("quota/quota.yaml", quota);
    let told = place.run(&["scan", "quota"], 0);
    assert!(told.contains("1 finding unattributed") && !told.contains("[reserved-metadata]"), "{told}");
    let told = place.run(&["scan", "--include-unattributed", "quota"], 0);
    assert!(told.contains("? [reserved-metadata]"), "{told}");
    let told = place.run(&["scan", "--as", "acme-dev", "quota"], 1);
    assert!(told.contains("✗ [reserved-metadata]"), "{told}");
    let told = place.run(&["scan", "--as", "mgr", "quota"], 0);
    assert!(!told.contains("unattributed"), "{told}");
}

#[test]
fn the_same_from_standard_input_and_in_order() {
    let place = small();
    let many: String = (0..300)
        .map(|n| format!("apiVersion: v1\nkind: Pod\nmetadata: {{name: p{n}, namespace: tn-acme-shop-sbx-001, annotations: {{owner: a}}}}\nspec: {{containers: [{{name: x, image: x}}]}}\n---\n"))
        .collect::<Vec<_>>()
        .concat();
    place.write("many.yaml", &many);
    let words = ["scan", "--policies", "law", "--output", "ndjson"];
    let file = place.stdout(&[&words[..], &["many.yaml"]].concat());
    let input = place.fed(&[&words[..], &["-"]].concat(), many.as_bytes());
    let names = |text: &str| {
        let of =
            |line: &str| serde_json::from_str::<Value>(line).unwrap()["finding"]["object"]["name"].clone();
        text.lines().map(of).filter(Value::is_string).collect::<Vec<_>>()
    };
    assert_eq!(names(&file), (0..300).map(|n| Value::from(format!("p{n}"))).collect::<Vec<_>>());
    assert_eq!(names(&file), names(&input));
}
