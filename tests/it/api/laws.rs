//! Policy sets and laws, from the API to a gate in another process: what tightens holds there, what is broken never gets
//! there, what was can be again.

use serde_json::{Value, json};

use crate::feed::stage::{On, SUSPENDED, Stage, call, decides, said};
use crate::support::{Gate, portcullis, wait};

const SETS: &str = "/api/v1/clusters/eu-1/tenants/acme/policysets";
const REVISIONS: &str = "/api/v1/policies/revisions";
const DENIED: &str = "is a name that nobody uses";
/// Of the ConfigMap that the gates are asked about: its name is `web`.
const NAME: &str = "web";

/// A law of the test: names that ConfigMaps in sandboxes may not have, beside the library.
fn law(mode: &str, names: &[&str]) -> Value {
    let policy = format!(
        "# METADATA\n# title: Some names are not used\n# description: A law of the test.\n# custom:\n#   id: no-web\n\
         #   severity: low\n#   mode: {mode}\n#   on_error: deny\n#   params_schema:\n#     type: object\n\
         #     properties:\n#       names: {{type: array, items: {{type: string}}, combine: union}}\n#   match:\n\
         #     - operations: [CREATE]\n#       resources: [configmaps]\n#       namespaces: [sandbox]\n\
         package portcullis.no_web\n\ndeny contains finding if {{\n\tinput.request.object.metadata.name in names\n\
         \tfinding := {{\"field\": \"metadata.name\", \"msg\": \"{DENIED}\"}}\n}}\n\ndefault names := []\n\n\
         names := data.params[\"no-web\"].names\n"
    );
    let params = json!({ "names": names }).to_string();
    json!({ "custom/no_web.rego": policy, "params/no-web/data.yaml": params })
}

fn upload(stage: &Stage, api: &Gate, files: &Value) -> i64 {
    let made = stage.ok(api, "POST", REVISIONS, json!({ "files": files, "note": "of the test" }));
    assert_eq!(made["sha256"].as_str().unwrap().len(), 64);
    made["revision"].as_i64().unwrap()
}

/// A token of somebody of acme.
fn token(stage: &Stage, api: &Gate, role: &str) -> String {
    let acme = stage.ok(api, "GET", "/api/v1/clusters/eu-1/tenants/acme", Value::Null);
    let mut command = portcullis();
    command.args(["token", "new", "--subject", "olga", "--role", role, "--tenant", "acme"]);
    command.args(["--tenant-id", acme["id"].as_str().unwrap(), "--keys", &stage.text("keys")]);
    String::from_utf8(command.output().unwrap().stdout).unwrap().trim().to_owned()
}

fn pointers(problem: &Value) -> Vec<&str> {
    problem["errors"].as_array().unwrap().iter().map(|fault| fault["pointer"].as_str().unwrap()).collect()
}

fn a_tenant_tightens(on: On) {
    let stage = Stage::new(on);
    let api = stage.api();
    stage.furnish(&api);
    let gate = stage.remote(&api.api, &["--cluster", "eu-1"]);
    upload(&stage, &api, &law("warn", &["www"]));
    let owner = token(&stage, &api, "tenantOwner");
    let ask = |method: &str, path: &str, body: Value| {
        call(&api.api, &owner, method, path, Some(&body).filter(|body| !body.is_null()))
    };
    // The API's own law follows its ledger, like a gate's.
    wait(std::time::Duration::from_secs(20), || {
        (ask("GET", "/api/v1/policies/no-web", Value::Null).0 == 200).then_some(())
    });
    decides(&gate, "a law that only warns", "");

    let set = |rules: Value| json!({ "name": "strict", "rules": rules });
    let strict = set(json!([{ "policy": "no-web", "mode": "enforce", "params": { "names": [NAME] } }]));
    let (status, made) = ask("POST", SETS, strict.clone());
    assert_eq!((status, &made["origin"]), (201, &json!("tenant")), "{made}");
    decides(&gate, "the tenant has tightened it", DENIED);
    let (_, shown) = ask("GET", "/api/v1/policies/no-web?tenant=acme", Value::Null);
    let effective = &shown["effective"];
    assert_eq!(effective["mode"], json!({ "value": "enforce", "from": ["tenant: strict"] }), "{shown}");
    assert_eq!(effective["params"]["names"]["value"], json!(["www", NAME]), "{shown}");

    for (rule, at) in [
        (json!({ "policy": "suspended-tenant", "mode": "warn" }), "/rules/0/mode"),
        (json!({ "policy": "registry-allowlist", "mode": "off" }), "/rules/0/mode"),
        (
            json!({ "policy": "vela-workflow-steps", "params": { "allowed": ["deploy", "anything"] } }),
            "/rules/0/params/allowed",
        ),
        (
            json!({ "policy": "vela-workflow-steps", "params": { "allowed": "deploy" } }),
            "/rules/0/params/allowed",
        ),
        (json!({ "policy": "no-web", "params": { "colours": ["red"] } }), "/rules/0/params/colours"),
        (json!({ "policy": "no-such-law", "mode": "enforce" }), "/rules/0/policy"),
    ] {
        let loose = json!({ "name": "loose", "rules": [rule] });
        let (status, problem) = ask("POST", SETS, loose.clone());
        assert_eq!((status, &problem["code"]), (422, &json!("POLICY_INVALID")), "{loose}: {problem}");
        assert!(pointers(&problem).contains(&at), "{loose}: {problem}");
        let (status, problem) = ask("PUT", &format!("{SETS}/strict"), set(loose["rules"].clone()));
        assert_eq!((status, &problem["code"]), (422, &json!("POLICY_INVALID")), "{loose}: {problem}");
    }
    assert!(
        said(&gate, crate::support::wire::SANDBOX).contains(DENIED),
        "what was refused has changed nothing"
    );

    let (status, _) = ask("DELETE", &format!("{SETS}/strict"), Value::Null);
    assert_eq!(status, 204);
    decides(&gate, "as it was", "");
    // What an administrator attaches replaces, and is not the tenant's to take away.
    stage.ok(&api, "POST", SETS, strict);
    decides(&gate, "the platform's set", DENIED);
    let (status, problem) = ask("DELETE", &format!("{SETS}/strict"), Value::Null);
    assert_eq!((status, &problem["code"]), (403, &json!("FORBIDDEN")));
    let (status, problem) = ask("GET", &format!("{SETS}/none"), Value::Null);
    assert_eq!((status, &problem["code"]), (404, &json!("POLICY_NOT_FOUND")));
}

#[test]
fn a_tenant_tightens_and_the_gate_follows_on_sqlite() {
    a_tenant_tightens(On::Sqlite);
}

#[test]
fn a_tenant_tightens_and_the_gate_follows_on_postgres() {
    a_tenant_tightens(On::Postgres);
}

#[test]
fn a_law_that_is_uploaded_holds_at_gates_elsewhere() {
    let stage = Stage::new(On::Sqlite);
    let api = stage.api();
    stage.furnish(&api);
    let gates = [stage.gate(&[]), stage.remote(&api.api, &[])];
    let all = |what: &str, expected: &str| gates.iter().for_each(|gate| decides(gate, what, expected));
    all("the library alone", "");
    let first = upload(&stage, &api, &law("enforce", &[NAME]));
    all("a law", DENIED);
    let second = upload(&stage, &api, &law("enforce", &["www"]));
    all("another", "");
    let third = stage.ok(&api, "POST", &format!("{REVISIONS}/{first}:rollback"), Value::Null);
    all("the first again", DENIED);
    assert_eq!(third["revision"], second + 1);

    let (_, list) = stage.call(&api, "GET", &format!("{REVISIONS}?limit=2"), None);
    let listed: Vec<_> =
        list["items"].as_array().unwrap().iter().map(|item| item["revision"].as_i64().unwrap()).collect();
    assert_eq!(listed, [second + 1, second], "the newest first");
    let rest = format!("{REVISIONS}?cursor={}", list["nextCursor"].as_str().unwrap());
    let (_, rest) = stage.call(&api, "GET", &rest, None);
    assert_eq!(rest["items"][0]["revision"], first, "{rest}");
    let (_, shown) = stage.call(&api, "GET", &format!("{REVISIONS}/{first}"), None);
    assert_eq!(shown["files"], law("enforce", &[NAME]));
    assert_eq!(shown["sha256"], third["sha256"], "the same text, the same law");
    let (_, diff) = stage.call(&api, "GET", &format!("{REVISIONS}/{first}/diff/{second}"), None);
    assert_eq!((&diff["added"], &diff["removed"]), (&json!([]), &json!([])), "{diff}");
    let changed = diff["changed"]["params/no-web/data.yaml"].as_str().unwrap();
    assert!(
        changed.contains("-{\"names\":[\"web\"]}") && changed.contains("+{\"names\":[\"www\"]}"),
        "{changed}"
    );
    for path in ["/99", "/0", "/x", "/1/diff/99"] {
        let (status, problem) = stage.call(&api, "GET", &format!("{REVISIONS}{path}"), None);
        assert_eq!((status, &problem["code"]), (404, &json!("POLICY_NOT_FOUND")), "{path}");
    }
    let (_, audit) = stage.call(&api, "GET", "/api/v1/audit?action=policy.rollback", None);
    assert_eq!(audit["items"].as_array().unwrap().len(), 1);
    // Nothing of our own: the library is left.
    upload(&stage, &api, &json!({}));
    all("nothing over the library", "");
}

/// Refused with the words of `policy check` and `policy test`, and what is in force stays.
#[test]
fn a_broken_law_is_refused_in_the_words_of_policy_check() {
    let stage = Stage::new(On::Sqlite);
    let api = stage.api();
    stage.furnish(&api);
    let gate = stage.gate(&[]);
    upload(&stage, &api, &law("enforce", &[NAME]));
    decides(&gate, "a good law", DENIED);
    let good = law("enforce", &[NAME]);
    let policy = good["custom/no_web.rego"].as_str().unwrap();
    let test = "package portcullis.no_web_test\n\nimport data.portcullis.no_web\n\ntest_never if {\n\tcount(no_web.deny) == 1 with input as {}\n}\n";
    let broken: [(&str, String); 5] = [
        ("custom/no_web.rego", policy.replace("deny contains", "deny contians")),
        ("custom/no_web.rego", policy.replace("metadata.name in names", "metadata.name in nobody")),
        ("custom/no_web.rego", policy.replace("deny contains", "violation contains")),
        ("custom/no_web.rego", policy.replace("severity: low", "severity: mild")),
        ("custom/no_web_test.rego", test.to_owned()),
    ];
    for (path, text) in broken {
        let mut files = good.clone();
        files[path] = text.clone().into();
        let (status, problem) = stage.call(&api, "POST", REVISIONS, Some(&json!({ "files": files })));
        assert_eq!((status, &problem["code"]), (422, &json!("POLICY_INVALID")), "{text}: {problem}");
        let at = format!("/files/{}", path.replace('/', "~1"));
        assert!(pointers(&problem).contains(&&*at), "{at}: {problem}");
        if path.ends_with("_test.rego") {
            continue;
        }
        let dir = tempfile::tempdir().unwrap();
        for (path, text) in files.as_object().unwrap() {
            let path = dir.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text.as_str().unwrap()).unwrap();
        }
        let checked = portcullis().args(["policy", "check"]).arg(dir.path()).output().unwrap();
        let said =
            String::from_utf8_lossy(&checked.stdout).into_owned() + &String::from_utf8_lossy(&checked.stderr);
        let detail = problem["errors"][0]["detail"].as_str().unwrap();
        let sentence = detail.rsplit(": ").next().unwrap();
        assert!(said.contains(sentence), "`{sentence}` is not in {said}");
    }
    let (_, list) = stage.call(&api, "GET", REVISIONS, None);
    assert_eq!(list["items"].as_array().unwrap().len(), 1, "nothing was kept of them");
    decides(&gate, "the good law", DENIED);
}

/// Which of two laws holds is each gate's flag: the ledger's over its own, its own, or the ledger's alone.
#[test]
fn each_gate_says_whose_law_it_keeps() {
    let stage = Stage::new(On::Sqlite);
    let api = stage.api();
    stage.furnish(&api);
    let [merged, local, ledger] =
        ["merged", "local", "ledger"].map(|source| stage.remote(&api.api, &["--policy-source", source]));
    upload(&stage, &api, &law("enforce", &[NAME]));
    decides(&merged, "merged: the ledger's law too", DENIED);
    decides(&ledger, "ledger: the ledger's law", DENIED);
    decides(&local, "local: not the ledger's", "");
    stage.suspend(&api, true);
    decides(&merged, "merged: and its own", SUSPENDED);
    decides(&local, "local: its own", SUSPENDED);
    upload(&stage, &api, &law("enforce", &["www"]));
    decides(&ledger, "ledger: nothing but the ledger's, which does not know of suspension", "");
    decides(&merged, "merged: its own is still there", SUSPENDED);
}
