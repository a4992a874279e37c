//! The decision log: a line a decision, that can be found again, and tells nobody a secret.

use serde_json::{Value as Json, json};

use super::lines;
use crate::support::wire::{Ask, EVIL, SANDBOX, envelope, join, pod, pod_of};
use crate::support::{Gate, Options};

const SECRET: &str = "hunter2-correct-horse";
const ENCODED: &str = "aHVudGVyMi1jb3JyZWN0LWhvcnNl";

fn gate(extra: &[&str]) -> Gate {
    Gate::start(&Options { extra, ..Options::default() })
}

#[test]
fn a_line_a_decision_that_is_found_again_by_its_id() {
    let gate = gate(&[]);
    let asks = [
        ("validate", Ask::default()),
        ("validate", Ask::pod(EVIL)),
        ("mutate", Ask::default()),
        ("validate", Ask::object("[]")),
        ("validate", Ask { dry_run: true, ..Ask::default() }),
    ];
    let answers: Vec<_> = asks.iter().map(|(endpoint, ask)| gate.ask(endpoint, &ask.body())).collect();
    let lines = lines(&gate, asks.len());
    for (((endpoint, ask), answer), line) in asks.iter().zip(&answers).zip(&lines) {
        let annotations = &answer.json()["response"]["auditAnnotations"];
        let id = line["decision_id"].as_str().unwrap();
        assert_eq!((&line["uid"], &line["endpoint"]), (&json!(ask.uid), &json!(endpoint)));
        if *endpoint == "validate" {
            assert_eq!(annotations["decision-id"], id);
        } else {
            assert!(
                annotations.get("decision-id").is_none(),
                "a second call would have another value: {annotations}"
            );
        }
        assert_eq!(
            (&annotations["verdict"], &annotations["revision"]),
            (
                &line["verdict"],
                if line["verdict"] == "error" { &annotations["revision"] } else { &line["revision"] }
            )
        );
        if answer.json()["response"]["allowed"] == false {
            assert_eq!(
                answer.message().lines().last().unwrap(),
                format!("decision {id}"),
                "once, at the end"
            );
            assert_eq!(answer.message().matches(id).count(), 1);
        }
    }
    let denied = &lines[1];
    assert_eq!(
        denied["policies"],
        json!([{"id": "registry-allowlist", "outcome": "deny", "mode": "enforce"}])
    );
    assert_eq!(
        (&denied["findings"][0]["observed"], &denied["findings"][0]["field"]),
        (&json!(EVIL), &json!("spec.containers[0].image"))
    );
    let expected = json!({"operation": "CREATE", "kind": "Pod", "resource": "pods", "namespace": SANDBOX, "namespace_kind": "sandbox", "name": "web", "user": "alice@acme.io",
        "requester_class": "tenant", "tenants": ["acme"], "verdict": "deny", "code": 403, "dry_run": false, "peer_verified": false, "findings_omitted": 0});
    for (key, value) in expected.as_object().unwrap() {
        assert_eq!(denied[key], *value, "{key}");
    }
    assert!(denied.get("object").is_none(), "objects only where they were asked for");
    assert_eq!((&lines[3]["verdict"], &lines[3]["code"]), (&json!("error"), &json!(500)));
    assert_eq!(lines[4]["dry_run"], true, "dryRun stands behind the objects in Go's order");
    let mut ids: Vec<&str> = lines.iter().map(|line| line["decision_id"].as_str().unwrap()).collect();
    assert!(ids.is_sorted(), "UUIDv7 sort as the decisions did");
    ids.dedup();
    assert_eq!(ids.len(), asks.len());
}

#[test]
fn findings_beyond_twenty_are_counted() {
    let gate = gate(&[]);
    let containers: Vec<String> =
        (0..50).map(|index| format!(r#"{{"name":"c{index}","image":"evil{index}.io/x:1"}}"#)).collect();
    gate.ask("validate", &Ask::object(pod_of(&containers.join(","))).body());
    let line = &lines(&gate, 1)[0];
    assert_eq!((line["findings"].as_array().unwrap().len(), &line["findings_omitted"]), (20, &json!(30)));
}

fn secret(operation: &'static str) -> Ask {
    let object = |value: &str| {
        json!({"apiVersion": "v1", "kind": "Secret", "type": "Opaque", "data": {"password": value}, "stringData": {"plain": SECRET},
            "metadata": {"name": "web", "namespace": SANDBOX, "annotations": {"kubectl.kubernetes.io/last-applied-configuration": format!("{{\"data\":{{\"password\":\"{value}\"}},\"stringData\":{{\"plain\":\"{SECRET}\"}}}}")}}})
        .to_string()
    };
    let old = if operation == "CREATE" { "null".into() } else { object(ENCODED) };
    let new = if operation == "DELETE" { "null".into() } else { object(ENCODED) };
    Ask {
        what: ["", "v1", "Secret", "secrets", ""],
        operation,
        object: new,
        old_object: old,
        ..Ask::default()
    }
}

#[test]
fn secrets_are_masked_in_object_and_old_object() {
    let gate = gate(&["--decision-log-objects"]);
    for operation in ["CREATE", "UPDATE", "DELETE"] {
        gate.ask("validate", &secret(operation).body());
    }
    let env =
        r#"{"name":"app","image":"evil.io/x:1","env":[{"name":"PASSWORD","value":"hunter2-correct-horse"}]}"#;
    gate.ask(
        "validate",
        &Ask { operation: "UPDATE", object: pod_of(env), old_object: pod_of(env), ..Ask::default() }.body(),
    );
    let token = r#"{"kind":"TokenRequest","apiVersion":"authentication.k8s.io/v1","metadata":{},"spec":{},"status":{"token":"hunter2-correct-horse"}}"#;
    gate.ask(
        "validate",
        &Ask {
            what: ["", "v1", "ServiceAccount", "serviceaccounts", "token"],
            object: token.into(),
            ..Ask::default()
        }
        .body(),
    );
    let lines = lines(&gate, 5);
    for line in &lines {
        let text = line.to_string();
        assert!(!text.contains(SECRET) && !text.contains(ENCODED), "{text}");
        assert!(line.get("object").is_some() || line.get("old_object").is_some(), "{text}");
    }
    let [create, update, delete, pod, _] = lines.as_slice() else { unreachable!() };
    assert_eq!(create["object"]["data"]["password"]["length"], ENCODED.len());
    assert_eq!(
        update["object"]["data"]["password"], update["old_object"]["data"]["password"],
        "two lines can still be compared"
    );
    assert_eq!((delete.get("object"), &delete["old_object"]["kind"]), (None, &json!("Secret")));
    let variable = &pod["object"]["spec"]["containers"][0]["env"][0];
    assert_eq!((&variable["name"], &variable["value"]["length"]), (&json!("PASSWORD"), &json!(SECRET.len())));
    assert_eq!(pod["object"]["spec"]["containers"][0]["image"], "evil.io/x:1", "the rest is there");
}

/// A law that quotes what it observed in a Secret's or a container's values.
#[test]
fn what_a_finding_observed_is_masked_too() {
    let quoting = "deny contains {\"msg\": sprintf(\"is %v\", [value]), \"field\": \"spec.containers[0].env[0].value\", \"observed\": value} if value := input.request.object.spec.containers[0].env[0].value";
    let text = crate::broken_laws::policy("quoting", "", quoting)
        .replace("resources: [configmaps]", "resources: [pods]");
    let dir = crate::broken_laws::directory(&[("quoting.rego", &text)]);
    let gate = Gate::start(&Options { policies: Some(dir.path()), ..Options::default() });
    let env =
        r#"{"name":"app","image":"evil.io/x:1","env":[{"name":"PASSWORD","value":"hunter2-correct-horse"}]}"#;
    assert_eq!(gate.ask("validate", &Ask::object(pod_of(env)).body()).denied_by(), ["quoting"]);
    let text = lines(&gate, 1)[0].to_string();
    assert!(!text.contains(SECRET), "{text}");
}

/// Details go to the API server and to the log, which masks them as it masks `observed`.
#[test]
fn details_of_a_finding_are_told_and_masked() {
    let gate = |custom: &str, resource: &str, details: &str, field: &str| {
        let rules = format!(
            "deny contains {{\"msg\": \"is refused\", \"field\": \"{field}\", \"details\": {details}}}"
        );
        let text = crate::broken_laws::policy("telling", custom, &rules)
            .replace("[configmaps]", &format!("[{resource}]"));
        let dir = crate::broken_laws::directory(&[("telling.rego", &text)]);
        Gate::start(&Options { policies: Some(dir.path()), ..Options::default() })
    };
    let told = |gate: &Gate, ask: &Ask| {
        let answer = gate.ask("validate", &ask.body());
        assert_eq!(answer.denied_by(), ["telling"], "{}", answer.json());
        assert!(answer.message().lines().next().unwrap().ends_with("is refused"), "{}", answer.message());
        let causes = &answer.json()["response"]["status"]["details"]["causes"];
        assert_eq!(causes.as_array().unwrap().len(), 1);
        let message = causes[0]["message"].as_str().unwrap();
        let (_, details) = message.split_once("is refused; details: ").unwrap();
        (serde_json::from_str::<Json>(details).unwrap(), lines(gate, 1)[0]["findings"][0]["details"].clone())
    };
    let env =
        r#"{"name":"app","image":"evil.io/x:1","env":[{"name":"PASSWORD","value":"hunter2-correct-horse"}]}"#;
    let pod = Ask::object(pod_of(env));
    let plain = json!({"images": ["evil.io/x:1"], "name": "web"});
    let rego = r#"{"name": input.request.name, "images": {image.raw | some image in input.images}}"#;
    assert_eq!(told(&gate("", "pods", rego, ""), &pod), (plain.clone(), plain));
    let value = json!({"value": SECRET});
    let masked = portcullis_telemetry::mask::digest(value.to_string().as_bytes());
    let rego = r#"{"value": input.request.object.spec.containers[0].env[0].value}"#;
    assert_eq!(told(&gate("", "pods", rego, "spec.containers[0].env[0].value"), &pod), (value, masked));
    let long = json!("left out: more than 1024 bytes of JSON");
    let huge = Ask::object(pod_of(&format!(
        r#"{{"name":"app","image":"evil.io/x:1","args":["{}"]}}"#,
        "x".repeat(1 << 20)
    )));
    assert_eq!(told(&gate("", "pods", "input.request.object.spec", ""), &huge), (long.clone(), long));
    // A policy that reads Secrets in the clear gives no value away, whatever field it names.
    let rego = r#"{"password": input.request.object.data.password}"#;
    for custom in ["", "reads_secrets: true"] {
        let (answered, logged) = told(&gate(custom, "secrets", rego, "metadata.name"), &secret("CREATE"));
        for details in [answered, logged] {
            assert!(details.is_object() && !details.to_string().contains(ENCODED), "{details}");
        }
    }
}

#[test]
fn sampling_leaves_out_plain_allows_and_nothing_else() {
    let gate = gate(&["--decision-log-sample", "0"]);
    let unknown = Ask::default().with("\"operation\":\"CREATE\"", "\"operation\":\"PATCH\"");
    let notice = Ask {
        user: r#"{"username":"kubernetes-admin","groups":["system:masters","system:authenticated"]}"#,
        namespace: crate::support::wire::APP.into(),
        ..Ask::configmap(crate::support::wire::APP, "")
    };
    for _ in 0..20 {
        assert_eq!(gate.ask("validate", &Ask::default().body()).json()["response"]["allowed"], true);
    }
    assert_eq!(gate.ask("validate", &Ask::pod(EVIL).body()).json()["response"]["allowed"], false);
    assert_eq!(gate.ask("validate", &unknown).json()["response"]["allowed"], false);
    assert_eq!(gate.ask("validate", &Ask::object("[]").body()).json()["response"]["allowed"], false);
    assert!(!gate.ask("validate", &notice.body()).warnings().is_empty());
    let unlabelled = pod(crate::support::wire::GOOD)
        .replace("\"app\":\"web\",\"kubenova.io/tenant-id\":\"018f2b7c-0000-7000-8000-000000000001\",", "");
    assert!(!gate.ask("mutate", &Ask::object(unlabelled).body()).patch().is_empty());
    let said: Vec<String> = lines(&gate, 5)
        .iter()
        .map(|line| format!("{} {}", line["verdict"].as_str().unwrap(), line["operation"].as_str().unwrap()))
        .collect();
    assert_eq!(said, ["deny CREATE", "deny other", "error CREATE", "allow CREATE", "allow CREATE"]);
}

/// Names of a request are cut and the line stays whole, whatever stands in them.
#[test]
fn a_line_is_bounded_whatever_the_request_holds() {
    let gate = gate(&[]);
    let groups: Vec<String> = (0..500).map(|n| format!("\"group-{n}-{}\"", "g".repeat(500))).collect();
    let user = format!(r#"{{"username":"{}","groups":[{}]}}"#, "u".repeat(5000), groups.join(","));
    let fields: Vec<(&str, String)> = Ask { name: "n".repeat(5000), ..Ask::default() }
        .fields()
        .into_iter()
        .map(|(key, value)| (key, if key == "userInfo" { user.clone() } else { value }))
        .collect();
    gate.ask("validate", envelope(&join(&fields)).as_bytes());
    let line: &Json = &lines(&gate, 1)[0];
    assert!(line.to_string().len() < 40 * 1024);
    assert_eq!(line["groups"].as_array().unwrap().len(), 33);
    assert!(line["user"].as_str().unwrap().ends_with('…'));
}
