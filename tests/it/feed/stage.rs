//! A ledger on one of the databases, an API that serves it, and gates that follow, each a process of its own.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::disk::portcullis_on_a_small_disk;
use crate::support::postgres::{Own, Scratch};
use crate::support::wire::{Ask, SANDBOX};
use crate::support::{Gate, portcullis, wait};

/// How long a change may take on a loaded machine. The promise is 100 ms; what it took is printed, and measured in the bench.
pub const MOMENTS: Duration = Duration::from_secs(10);

/// Where the ledger is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum On {
    Sqlite,
    Postgres,
    /// On a server that this test alone may freeze and stop.
    OwnPostgres,
}

/// The ledger, and who may ask.
pub struct Stage {
    dir: TempDir,
    scratch: Option<Scratch>,
    pub own: Option<Own>,
    pub url: String,
    pub admin: String,
}

impl Stage {
    pub fn new(on: On) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let scratch = (on == On::Postgres).then(Scratch::new);
        let own = (on == On::OwnPostgres).then(Own::start);
        let file = format!("sqlite://{}", dir.path().join("ledger.db").display());
        let url = scratch.as_ref().map(|scratch| scratch.url.clone());
        let url = url.or_else(|| own.as_ref().map(Own::url)).unwrap_or(file);
        let mut stage = Self { dir, scratch, own, url, admin: String::new() };
        stage.admin = stage.token("root", "admin");
        stage
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn text(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    /// A token that the API believes.
    pub fn token(&self, subject: &str, role: &str) -> String {
        self.token_for(subject, role, "1h")
    }

    /// The same for this long.
    pub fn token_for(&self, subject: &str, role: &str, ttl: &str) -> String {
        let mut command = portcullis();
        command.args(["token", "new", "--subject", subject, "--role", role, "--ttl", ttl, "--keys"]);
        command.arg(self.path("keys"));
        if role == "service" {
            command.arg("--all-clusters");
        }
        let printed = command.output().unwrap();
        assert!(printed.status.success(), "{}", String::from_utf8_lossy(&printed.stderr));
        String::from_utf8(printed.stdout).unwrap().trim().to_owned()
    }

    /// A token of a gate of this cluster.
    pub fn token_in(&self, api: &Gate, cluster: &str) -> String {
        let body = json!({"subject": "gate", "roles": ["service"], "cluster": cluster});
        self.ok(api, "POST", "/api/v1/tokens", body)["token"].as_str().unwrap().to_owned()
    }

    /// Lets names of what was deleted be taken again at once.
    pub fn free_names(&self, api: &Gate) {
        self.ok(api, "PUT", "/api/v1/settings/nameReuse", json!({"value": {"hours": 0}}));
    }

    /// The ledger's API.
    pub fn api(&self) -> Gate {
        self.api_at("127.0.0.1:0", true)
    }

    /// The same with further flags.
    pub fn api_with(&self, words: &[&str], wait_ready: bool) -> Gate {
        let keys = self.text("keys");
        let own = ["--database", &self.url, "--api", "127.0.0.1:0", "--token-keys", &keys];
        serve("api", &[&own[..], words].concat(), wait_ready)
    }

    /// The same where it was before.
    pub fn api_at(&self, address: &str, wait_ready: bool) -> Gate {
        let keys = self.text("keys");
        let words = ["--database", &self.url, "--api", address, "--token-keys", &keys];
        serve("api", &words, wait_ready)
    }

    /// The ledger's API on a disk that can be made full.
    pub fn api_on_a_small_disk(&self) -> Gate {
        let keys = self.text("keys");
        let words = ["--role", "api", "--database", &self.url, "--api", "127.0.0.1:0", "--token-keys", &keys];
        let dir = tempfile::tempdir().unwrap();
        Gate::serve_as(portcullis_on_a_small_disk(), dir, &words.map(str::to_owned), true)
    }

    /// A gate that asks an API, and keeps what it hears on a disk that can be made full.
    pub fn remote_on_a_small_disk(&self, api: &str, cache: &str) -> Gate {
        std::fs::write(self.path("token"), self.token("gate", "service")).unwrap();
        let (url, token) = (format!("http://{api}"), self.text("token"));
        let words = ["--role", "gate", "--ledger", &url, "--ledger-token", &token, "--snapshot-cache", cache];
        // The decision log has a disk of its own, and a test of its own.
        let words = [&words[..], &["--decision-log", "none"]].concat();
        let words: Vec<String> = words.into_iter().map(str::to_owned).collect();
        Gate::serve_as(portcullis_on_a_small_disk(), tempfile::tempdir().unwrap(), &words, true)
    }

    /// A gate that asks the database.
    pub fn gate(&self, words: &[&str]) -> Gate {
        self.gate_when(words, true)
    }

    /// The same, ready or only listening.
    pub fn gate_when(&self, words: &[&str], wait_ready: bool) -> Gate {
        serve("gate", &[&["--database", &self.url], words].concat(), wait_ready)
    }

    /// A gate that asks an API. Its token is in the file `token`.
    pub fn remote(&self, api: &str, words: &[&str]) -> Gate {
        self.remote_when(api, words, true)
    }

    /// The same, ready or only listening.
    pub fn remote_when(&self, api: &str, words: &[&str], wait_ready: bool) -> Gate {
        if !self.path("token").exists() {
            std::fs::write(self.path("token"), self.token("gate", "service") + "\n").unwrap();
        }
        let (url, token) = (format!("http://{api}"), self.text("token"));
        serve("gate", &[&["--ledger", &url, "--ledger-token", &token], words].concat(), wait_ready)
    }

    /// Asks the API as an administrator; status and answer.
    pub fn call(&self, api: &Gate, method: &str, path: &str, body: Option<&Value>) -> (u16, Value) {
        call(&api.api, &self.admin, method, path, body)
    }

    /// The same, and it must be told to come again.
    #[track_caller]
    pub fn later(&self, api: &Gate, method: &str, path: &str, body: Option<&Value>) {
        let (status, later, problem) = ask(&api.api, &self.admin, method, path, body);
        assert_eq!((status, &problem["code"]), (503, &json!("SERVICE_UNAVAILABLE")), "{problem}");
        let seconds = later.unwrap_or_else(|| panic!("no Retry-After: {problem}")).parse::<u32>();
        assert!(seconds.is_ok_and(|seconds| seconds > 0), "{problem}");
    }

    /// The same, and it must be well.
    pub fn ok(&self, api: &Gate, method: &str, path: &str, body: Value) -> Value {
        let (status, answer) = self.call(api, method, path, Some(&body).filter(|body| !body.is_null()));
        assert!((200..300).contains(&status), "{method} {path}: {status} {answer}");
        answer
    }

    /// The tenant acme with the project shop, and in it the sandbox of [`SANDBOX`].
    pub fn furnish(&self, api: &Gate) {
        self.ok(api, "POST", "/api/v1/clusters", json!({"name": "eu-1"}));
        self.tenant(api, "eu-1", "acme");
    }

    /// A tenant with a project and a sandbox.
    pub fn tenant(&self, api: &Gate, cluster: &str, tenant: &str) {
        let tenants = format!("/api/v1/clusters/{cluster}/tenants");
        self.ok(api, "POST", &tenants, json!({"name": tenant}));
        self.ok(api, "POST", &format!("{tenants}/{tenant}/projects"), json!({"name": "shop"}));
        self.ok(api, "POST", &format!("{tenants}/{tenant}/projects/shop/sandboxes"), json!({}));
    }

    /// Suspends acme, or lets it go on.
    pub fn suspend(&self, api: &Gate, suspended: bool) {
        let verb = if suspended { "suspend" } else { "resume" };
        self.ok(api, "POST", &format!("/api/v1/clusters/eu-1/tenants/acme:{verb}"), Value::Null);
    }

    /// What the ledger has come to: its revision, how many audit rows, the version of acme.
    pub fn state(&self) -> [i64; 3] {
        [
            "SELECT revision FROM ledger",
            "SELECT COUNT(*) FROM audit_log",
            "SELECT version FROM tenants WHERE slug = 'acme'",
        ]
        .map(|statement| self.number(statement))
    }

    /// A number that a statement answers.
    pub fn number(&self, statement: &str) -> i64 {
        match (&self.scratch, &self.own) {
            (Some(scratch), _) => scratch.sql(statement).parse().unwrap(),
            (_, Some(own)) => own.sql(statement).parse().unwrap(),
            _ => tokio::runtime::Runtime::new().unwrap().block_on(async {
                use sqlx::Connection as _;
                let mut on = sqlx::SqliteConnection::connect(&self.url).await.unwrap();
                let text = sqlx::AssertSqlSafe(statement.to_owned());
                let number = sqlx::query_scalar(text).fetch_one(&mut on).await.unwrap();
                on.close().await.unwrap();
                number
            }),
        }
    }

    /// The audit log proves what it can, by the program's own word.
    #[track_caller]
    pub fn verified(&self) {
        let output = portcullis().args(["audit", "verify", "--database", &self.url]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    }

    /// Runs a statement past the ledger, as whoever holds the database in hand.
    pub fn sql(&self, statement: &str) {
        match (&self.scratch, &self.own) {
            (Some(scratch), _) => drop(scratch.sql(statement)),
            (_, Some(own)) => drop(own.sql(statement)),
            _ => tokio::runtime::Runtime::new().unwrap().block_on(async {
                use sqlx::Connection as _;
                let mut on = sqlx::SqliteConnection::connect(&self.url).await.unwrap();
                let text = sqlx::AssertSqlSafe(statement.to_owned());
                sqlx::raw_sql(text).execute(&mut on).await.unwrap();
                on.close().await.unwrap();
            }),
        }
    }
}

fn serve(role: &str, words: &[&str], wait_ready: bool) -> Gate {
    let mut all: Vec<String> = ["--role", role].map(str::to_owned).to_vec();
    all.extend(words.iter().map(|word| (*word).to_owned()));
    Gate::serve(tempfile::tempdir().unwrap(), &all, wait_ready)
}

/// Asks an API with a token; status and answer.
pub fn call(api: &str, token: &str, method: &str, path: &str, body: Option<&Value>) -> (u16, Value) {
    let (status, _, answer) = ask(api, token, method, path, body);
    (status, answer)
}

/// The same with what `Retry-After` says.
pub fn ask(
    api: &str,
    token: &str,
    method: &str,
    path: &str,
    body: Option<&Value>,
) -> (u16, Option<String>, Value) {
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .timeout_global(Some(Duration::from_mins(1)))
        .build()
        .into();
    let request = ureq::http::Request::builder()
        .method(method)
        .uri(format!("http://{api}{path}"))
        .header("Authorization", format!("Bearer {token}"));
    let response = match body {
        Some(body) => {
            agent.run(request.header("Content-Type", "application/json").body(body.to_string()).unwrap())
        }
        None => agent.run(request.body(()).unwrap()),
    };
    let mut response = response.unwrap();
    let text = response.body_mut().read_to_string().unwrap();
    let later = response.headers().get("retry-after").map(|later| later.to_str().unwrap().to_owned());
    (response.status().as_u16(), later, serde_json::from_str(&text).unwrap_or(Value::String(text)))
}

/// A write by somebody of acme in a namespace.
pub fn write_in(namespace: &str) -> Ask {
    let object = format!(
        r#"{{"kind":"ConfigMap","apiVersion":"v1","metadata":{{"name":"web","namespace":"{namespace}"}}}}"#
    );
    Ask {
        what: ["", "v1", "ConfigMap", "configmaps", ""],
        namespace: namespace.into(),
        object,
        ..Ask::default()
    }
}

/// Why a write in a namespace is denied; empty where it is not.
pub fn said(gate: &Gate, namespace: &str) -> String {
    gate.ask("validate", &write_in(namespace).body()).message().to_owned()
}

/// Waits until writes of acme's people in its sandbox are let through, or denied for this reason.
#[track_caller]
pub fn decides(gate: &Gate, what: &str, expected: &str) {
    let before = Instant::now();
    let mut last = String::new();
    let deadline = before + MOMENTS;
    loop {
        last.clone_from(&said(gate, SANDBOX));
        if if expected.is_empty() { last.is_empty() } else { last.contains(expected) } {
            eprintln!("{what}: {:?}", before.elapsed());
            return;
        }
        assert!(Instant::now() < deadline, "{what}: not `{expected}` but `{last}`");
    }
}

/// Waits until something holds.
#[track_caller]
pub fn soon(what: &str, mut holds: impl FnMut() -> bool) {
    let before = Instant::now();
    wait(MOMENTS * 3, || holds().then_some(()));
    eprintln!("{what}: {:?}", before.elapsed());
}

/// What `/readyz` says: its status, and the detail of the snapshot.
pub fn readiness(gate: &Gate) -> (u16, String) {
    let (status, page) = gate.get("/readyz");
    let page: Value = serde_json::from_str(&page).unwrap();
    let conditions = page["conditions"].as_array().unwrap();
    let tenancy = conditions.iter().find(|condition| condition["name"] == "tenancy");
    (status, tenancy.map_or("", |tenancy| tenancy["reason"].as_str().unwrap_or_default()).to_owned())
}

pub const SUSPENDED: &str = "tenant acme is suspended";
