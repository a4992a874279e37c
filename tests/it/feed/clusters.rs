//! A gate's token is for one cluster, and nothing of another cluster is in any byte that is answered to it.

use serde_json::{Value, json};

use super::stage::{On, Stage, call};
use crate::support::Gate;

/// What the gates of one cluster have heard, as a gate would keep it.
struct Heard<'a> {
    stage: &'a Stage,
    api: &'a Gate,
    token: String,
    ledger: String,
    revision: u64,
    document: Value,
    /// Whether the last answer was a patch.
    patched: bool,
    bytes: String,
}

impl<'a> Heard<'a> {
    fn new(stage: &'a Stage, api: &'a Gate, cluster: &str) -> Self {
        let token = stage.token_in(api, cluster);
        let mut heard = Self {
            stage,
            api,
            token,
            ledger: "018f2b7c-0000-7000-8000-00000000000a".to_owned(),
            revision: 0,
            document: Value::Null,
            patched: false,
            bytes: String::new(),
        };
        heard.listen();
        heard
    }

    fn ask(&self, query: &str) -> (u16, Value) {
        call(&self.api.api, &self.token, "GET", &format!("/api/v1/snapshot{query}"), None)
    }

    /// Asks what is new, and applies it, until it has what the ledger has now.
    fn listen(&mut self) {
        let newest = u64::try_from(self.stage.number("SELECT revision FROM ledger")).unwrap();
        let mut patched = true;
        loop {
            self.listen_once();
            patched &= self.patched;
            if self.revision >= newest {
                break;
            }
        }
        self.patched = patched;
    }

    fn listen_once(&mut self) {
        let Self { ledger, revision, .. } = &*self;
        let (status, answer) = self.ask(&format!("?ledger={ledger}&since={revision}&wait=1"));
        assert_eq!(status, 200, "{answer}");
        self.bytes += &answer.to_string();
        self.patched = answer["patch"].is_object();
        if self.patched {
            merge(&mut self.document, &answer["patch"]);
        } else {
            self.document = answer["whole"].clone();
        }
        answer["ledger"].as_str().unwrap().clone_into(&mut self.ledger);
        self.revision = answer["revision"].as_u64().unwrap();
    }

    /// What was heard is the whole document as it is now.
    #[track_caller]
    fn agrees(&self, what: &str) {
        let (_, now) = self.ask("");
        for table in ["tenants", "projects", "apps", "namespaces", "exceptions"] {
            let empty = json!({});
            let [own, whole] =
                [&self.document, &now["whole"]].map(|d| d.get(table).unwrap_or(&empty).clone());
            assert_eq!(without_nulls(own), without_nulls(whole), "{what}: {table}");
        }
    }
}

fn merge(document: &mut Value, patch: &Value) {
    let Some(fields) = patch.as_object() else { return *document = patch.clone() };
    if !document.is_object() {
        *document = json!({});
    }
    for (key, value) in fields {
        if value.is_null() {
            document.as_object_mut().unwrap().remove(key);
        } else {
            merge(&mut document[key], value);
        }
    }
}

fn without_nulls(mut value: Value) -> Value {
    if let Some(fields) = value.as_object_mut() {
        fields.retain(|_, value| !value.is_null());
        fields.values_mut().for_each(|value| *value = without_nulls(value.take()));
    }
    value
}

/// A tenant with a project, a sandbox, an app and an exception; the ids of all of them.
fn furnish(stage: &Stage, api: &Gate, cluster: &str, tenant: &str) -> Vec<String> {
    let tenants = format!("/api/v1/clusters/{cluster}/tenants");
    let own = format!("{tenants}/{tenant}");
    let source = json!({"containerImage": {"image": "docker.io/library/nginx", "tag": "1.27"}});
    let expires = (jiff::Timestamp::now() + jiff::SignedDuration::from_hours(1)).to_string();
    let exception = json!({"policy": "registry-allowlist", "tenant": tenant, "reason": "a test of it",
        "objects": [{"namespace": format!("tn-{tenant}-shop-sbx-001")}], "expires": expires});
    let made = [
        stage.ok(api, "POST", &tenants, json!({"name": tenant, "registries": "inherit"})),
        stage.ok(api, "POST", &format!("{own}/projects"), json!({"name": "shop"})),
        stage.ok(api, "POST", &format!("{own}/projects/shop/sandboxes"), json!({})),
        stage.ok(
            api,
            "POST",
            &format!("{own}/projects/shop/apps"),
            json!({"name": "web", "spec": {"source": source}}),
        ),
        stage.ok(api, "POST", "/api/v1/exceptions", exception),
    ];
    made.iter().map(|made| made["id"].as_str().unwrap_or_else(|| panic!("{made}")).to_owned()).collect()
}

fn hears_of_its_own_cluster_alone(on: On) {
    let stage = Stage::new(on);
    let api = stage.api();
    for cluster in ["eu-1", "us-1"] {
        stage.ok(&api, "POST", "/api/v1/clusters", json!({"name": cluster}));
    }
    let ceiling = |list: Value| json!({"value": {"ceiling": list}});
    let all = ceiling(json!(["docker.io/library", "quay.io"]));
    stage.ok(&api, "PUT", "/api/v1/settings/registries", all);
    furnish(&stage, &api, "eu-1", "acme");
    let mut secrets = furnish(&stage, &api, "us-1", "globex");
    let mut eu = Heard::new(&stage, &api, "eu-1");
    let mut us = Heard::new(&stage, &api, "us-1");
    assert!(eu.document["tenants"]["acme"].is_object() && us.document["tenants"]["globex"].is_object());

    // Another cluster is refused in the same words, be there one or not; so is what is not asked for by name.
    let [us_1, nowhere] = ["us-1", "nowhere"].map(|name| eu.ask(&format!("?cluster={name}")));
    assert_eq!((us_1.0, nowhere.0), (403, 403), "{us_1:?} {nowhere:?}");
    assert_eq!(us_1.1["detail"], nowhere.1["detail"]);
    assert_eq!(eu.ask("?cluster=eu-1").0, 200);

    let far = eu.document.clone();
    let (before, ledger) = (eu.revision, eu.ledger.clone());
    let globex = "/api/v1/clusters/us-1/tenants/globex";
    let acme = "/api/v1/clusters/eu-1/tenants/acme";
    let shop = format!("{globex}/projects/shop");
    let exception = format!("/api/v1/exceptions/{}", secrets[4]);
    let steps: &[(&str, String, Value)] = &[
        ("POST", format!("{globex}:suspend"), Value::Null),
        ("POST", format!("{globex}:resume"), Value::Null),
        ("PUT", "/api/v1/settings/registries".to_owned(), ceiling(json!(["docker.io/library"]))),
        ("DELETE", exception, Value::Null),
        ("DELETE", format!("{shop}/sandboxes/sbx-001"), Value::Null),
        ("DELETE", format!("{shop}/apps/web"), Value::Null),
        ("POST", format!("{acme}/projects"), json!({"name": "blog"})),
        ("DELETE", format!("{acme}/projects/shop/sandboxes/sbx-001"), Value::Null),
        ("DELETE", shop, Value::Null),
        ("DELETE", format!("{globex}?cascade=true"), Value::Null),
    ];
    for (method, path, body) in steps {
        stage.ok(&api, method, path, body.clone());
        eu.listen();
        us.listen();
        assert!(eu.patched && us.patched, "{on:?} {method} {path}");
        eu.agrees(path);
        us.agrees(path);
    }
    assert_eq!(us.document["tenants"], json!({}), "{on:?}");
    assert!(eu.document["namespaces"].get("tn-acme-shop-sbx-001").is_none());

    // A cascade, and a slug that moves to the other cluster: whoever had it hears once that it is gone.
    secrets.extend(furnish(&stage, &api, "us-1", "initech"));
    stage.ok(&api, "DELETE", "/api/v1/clusters/us-1/tenants/initech?cascade=true", Value::Null);
    stage.ok(&api, "DELETE", &format!("{acme}?cascade=true"), Value::Null);
    eu.listen();
    assert!(eu.patched, "{on:?}");
    eu.agrees("acme is deleted");
    assert_eq!(eu.document["tenants"], json!({}), "{on:?}");
    stage.free_names(&api);
    let heard = eu.bytes.len();
    secrets.extend(furnish(&stage, &api, "us-1", "acme"));
    stage.ok(&api, "POST", "/api/v1/clusters/us-1/tenants/acme:suspend", Value::Null);
    eu.listen();
    assert!(!eu.bytes[heard..].contains("acme"), "{on:?} {}", &eu.bytes[heard..]);
    eu.agrees("acme is elsewhere");

    // All of it at once, for a gate that was away.
    let mut late = Heard { document: far, revision: before, ledger, bytes: String::new(), ..eu };
    late.listen();
    late.agrees("a gate that was away");
    assert_eq!(late.document["tenants"], json!({}), "{on:?}");
    for bytes in [&late.bytes, &late.ask("").1.to_string()] {
        for secret in secrets.iter().map(String::as_str).chain(["globex", "initech", "us-1"]) {
            assert!(!bytes.contains(secret), "{on:?} {secret} in {bytes}");
        }
    }
}

#[test]
fn gate_hears_of_its_own_cluster_alone_on_sqlite() {
    hears_of_its_own_cluster_alone(On::Sqlite);
}

#[test]
fn gate_hears_of_its_own_cluster_alone_on_postgres() {
    hears_of_its_own_cluster_alone(On::Postgres);
}

/// What the ledger has forgotten of is not guessed: the gate takes the whole document.
#[test]
fn unknown_deletion_is_answered_by_the_whole_document() {
    for on in [On::Sqlite, On::Postgres] {
        let stage = Stage::new(on);
        let api = stage.api();
        stage.furnish(&api);
        let mut eu = Heard::new(&stage, &api, "eu-1");
        stage.ok(&api, "DELETE", "/api/v1/clusters/eu-1/tenants/acme?cascade=true", Value::Null);
        stage.sql("DELETE FROM released_keys");
        eu.listen();
        assert!(!eu.patched, "{on:?}");
        eu.agrees("what nobody remembers");
    }
}

/// A token ends with its cluster, also where another gets the name.
#[test]
fn token_ends_with_its_cluster() {
    for on in [On::Sqlite, On::Postgres] {
        let stage = Stage::new(on);
        let api = stage.api();
        stage.ok(&api, "POST", "/api/v1/clusters", json!({"name": "us-1"}));
        let us = Heard::new(&stage, &api, "us-1");
        stage.ok(&api, "DELETE", "/api/v1/clusters/us-1", Value::Null);
        stage.ok(&api, "POST", "/api/v1/clusters", json!({"name": "us-1"}));
        super::stage::soon("the token is worth nothing", || us.ask("").0 == 401);
        let (_, problem) = us.ask("?cluster=us-1");
        assert_eq!(problem["code"], json!("TOKEN_REVOKED"), "{problem}");
    }
}

/// A poll that waits is answered by what its token is worth then.
fn revoked_token_hears_nothing_more(on: On) {
    let stage = Stage::new(on);
    let api = stage.api();
    stage.furnish(&api);
    let wish = json!({"subject": "gate-1", "roles": ["service"], "cluster": "eu-1"});
    let minted = stage.ok(&api, "POST", "/api/v1/tokens", wish);
    let token = minted["token"].as_str().unwrap().to_owned();
    let (status, whole) = call(&api.api, &token, "GET", "/api/v1/snapshot", None);
    assert_eq!(status, 200, "{whole}");
    let at = format!(
        "/api/v1/snapshot?ledger={}&since={}&wait=20",
        whole["ledger"].as_str().unwrap(),
        whole["revision"]
    );
    let (status, answer) = std::thread::scope(|scope| {
        let poll = scope.spawn(|| call(&api.api, &token, "GET", &at, None));
        // The poll is on its way; one that comes after the revocation is refused as well.
        let (_open, never) = std::sync::mpsc::channel::<()>();
        never.recv_timeout(std::time::Duration::from_millis(500)).unwrap_err();
        let jti = minted["jti"].as_str().unwrap();
        stage.ok(&api, "DELETE", &format!("/api/v1/tokens/{jti}"), Value::Null);
        stage.suspend(&api, true);
        poll.join().unwrap()
    });
    assert_eq!((status, &answer["code"]), (401, &json!("TOKEN_REVOKED")), "{on:?} {answer}");
}

#[test]
fn revoked_token_hears_nothing_more_on_sqlite() {
    revoked_token_hears_nothing_more(On::Sqlite);
}

#[test]
fn revoked_token_hears_nothing_more_on_postgres() {
    revoked_token_hears_nothing_more(On::Postgres);
}
