//! An API on a database of its own, and callers who say who they are.

use std::net::SocketAddr;
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use clap::Parser;
use portcullis_access::mint::{TokenRequest, grant};
use portcullis_access::token::now;
use portcullis_access::{AccessArgs, Action, Clusters, Identity, Role, TenantRef, authorize};
use portcullis_store::{Ledger, Options};
use serde_json::Value;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use ureq::Agent;

use crate::support::postgres::Scratch;
use crate::support::wait;

/// Slugs and names are counted, so that no two tests meet.
static COUNT: AtomicU32 = AtomicU32::new(0);

/// An API that runs, as a process of its own; ended when dropped.
pub struct Server {
    pub address: SocketAddr,
    pub dir: TempDir,
    /// The same ledger, opened by the test.
    pub ledger: Ledger,
    pub runtime: Runtime,
    pub scratch: Option<Scratch>,
    child: Child,
    issuers: portcullis_access::Issuers,
}

/// Somebody who calls.
#[derive(Clone)]
pub struct Caller {
    agent: Agent,
    address: SocketAddr,
    headers: Vec<(String, String)>,
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: ureq::http::HeaderMap,
    pub text: String,
}

/// The database a server is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum On {
    Sqlite,
    Postgres,
}

#[derive(Parser)]
struct Words {
    #[command(flatten)]
    access: AccessArgs,
}

/// A name that no other test has.
pub fn unique(stem: &str) -> String {
    format!("{stem}{}", COUNT.fetch_add(1, Ordering::Relaxed))
}

// === impl Server ===

impl Server {
    /// On SQLite, with limits that no test reaches by accident.
    pub fn start() -> Self {
        Self::with(On::Sqlite, &["--api-rate", "100000", "--api-burst", "100000"])
    }

    /// One whose law and world are asked by those who install; every server has them.
    pub fn judging(on: On) -> Self {
        Self::with(on, &["--api-rate", "100000", "--api-burst", "100000"])
    }

    pub fn with(on: On, flags: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let scratch = (on == On::Postgres).then(Scratch::new);
        let file = format!("sqlite://{}", dir.path().join("ledger.db").display());
        let url = scratch.as_ref().map_or(file, |scratch| scratch.url.clone());
        let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
        let (keys, ready) = (path("keys"), path("ready.json"));
        let fixed = [
            ("--role", "api"),
            ("--database", &url),
            ("--api", "127.0.0.1:0"),
            ("--admin", "127.0.0.1:0"),
            ("--token-keys", &keys),
            ("--ready-file", &ready),
            ("--drain-delay", "0s"),
            ("--api-failed-signins", "100000"),
        ];
        let mut command = crate::support::portcullis();
        command.arg("serve").args(flags);
        // What a test names replaces what stands here.
        for (flag, value) in fixed.into_iter().filter(|(flag, _)| !flags.contains(flag)) {
            command.args([flag, value]);
        }
        command.stdin(Stdio::null()).stdout(Stdio::null());
        if flags.contains(&"--log-level") {
            command.stderr(std::fs::File::create(dir.path().join("log")).unwrap());
        } else if std::env::var_os("SHOW_SERVERS").is_none() {
            command.stderr(Stdio::null());
        }
        let mut child = command.spawn().unwrap();
        let ready = wait(Duration::from_mins(1), || {
            assert_eq!(
                child.try_wait().unwrap(),
                None,
                "the server ended; SHOW_SERVERS=1 shows what it said"
            );
            std::fs::read(&ready).ok()
        });
        let ready: Value = serde_json::from_slice(&ready).unwrap();
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let ledger = runtime.block_on(Ledger::open(&url, &Options::default())).unwrap();
        let words = Words::try_parse_from(["test", "--token-keys", &keys]).unwrap();
        let (issuers, _) = words.access.open().unwrap();
        let address = ready["api"].as_str().unwrap().parse().unwrap();
        Self { address, dir, ledger, runtime, scratch, child, issuers }
    }

    /// What it has logged, of a server that was given `--log-level`.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).unwrap()
    }

    /// The tables that a statement scans, by SQLite's own plan.
    pub fn plan_of_sqlite(&self, statement: &str) -> Vec<String> {
        self.runtime.block_on(async {
            use sqlx::Row as _;
            let mut connection = self.connection().await;
            let text = sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {statement}"));
            let rows = sqlx::raw_sql(text).fetch_all(&mut connection).await;
            let rows = rows.unwrap_or_else(|error| panic!("{statement}: {error}"));
            let scanned = |row: &sqlx::any::AnyRow| {
                let detail: String = row.get("detail");
                let named = detail.strip_prefix("SCAN ")?.split_whitespace().next()?.to_owned();
                Some(named_table(statement, &named))
            };
            rows.iter().filter_map(scanned).collect()
        })
    }

    /// Ends it at once, as a machine does that loses its power.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Somebody without a token.
    pub fn nobody(&self) -> Caller {
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(Duration::from_mins(1)))
            .build()
            .into();
        Caller { agent, address: self.address, headers: Vec::new() }
    }

    /// Somebody with this token.
    pub fn bearing(&self, token: &str) -> Caller {
        self.nobody().with("authorization", &format!("Bearer {token}"))
    }

    pub fn admin(&self) -> Caller {
        self.somebody("root", Role::Admin, None)
    }

    /// Somebody of this role, with a token that this server's keys have signed.
    pub fn somebody(&self, subject: &str, role: Role, tenant: Option<&TenantRef>) -> Caller {
        self.bearing(&self.token(subject, role, tenant, 3600))
    }

    pub fn token(&self, subject: &str, role: Role, tenant: Option<&TenantRef>, ttl_seconds: i64) -> String {
        self.issue(subject, role, tenant, ttl_seconds, now())
    }

    /// A developer who is limited to some projects, by their ids.
    pub fn limited(&self, subject: &str, tenant: &TenantRef, projects: &[&str]) -> Caller {
        let projects = projects.iter().map(|id| (*id).to_owned()).collect();
        self.bearing(&self.grant(subject, Role::ProjectDev, Some(tenant), Some(projects), 3600, now()))
    }

    /// A token that was issued at this time, unix seconds.
    pub fn issue(
        &self,
        subject: &str,
        role: Role,
        tenant: Option<&TenantRef>,
        ttl_seconds: i64,
        at: i64,
    ) -> String {
        self.grant(subject, role, tenant, None, ttl_seconds, at)
    }

    fn grant(
        &self,
        subject: &str,
        role: Role,
        tenant: Option<&TenantRef>,
        projects: Option<Vec<String>>,
        ttl_seconds: i64,
        at: i64,
    ) -> String {
        let scope = authorize(&Identity::process("test"), Action::TokensMint, None, "test").unwrap();
        let wish = TokenRequest {
            subject: subject.to_owned(),
            roles: vec![role],
            tenant: tenant.cloned(),
            projects,
            clusters: (role == Role::Service).then_some(Clusters::All),
            ttl_seconds,
        };
        let granted = grant(&scope, wish, None).unwrap();
        self.issuers.own().issue(&granted, at).unwrap().token
    }

    /// A token that is limited to projects, by id.
    pub fn token_for(
        &self,
        subject: &str,
        role: Role,
        tenant: Option<&TenantRef>,
        projects: Option<Vec<String>>,
    ) -> String {
        let scope = authorize(&Identity::process("test"), Action::TokensMint, None, "test").unwrap();
        let (subject, roles, tenant) = (subject.to_owned(), vec![role], tenant.cloned());
        let clusters = (role == Role::Service).then_some(Clusters::All);
        let granted = grant(
            &scope,
            TokenRequest { subject, roles, tenant, projects, clusters, ttl_seconds: 3600 },
            None,
        )
        .unwrap();
        self.issuers.own().issue(&granted, now()).unwrap().token
    }

    /// The id of a token.
    pub fn jti(&self, token: &str) -> String {
        self.issuers.own().claims(token).unwrap().jti
    }

    /// The address of the database.
    pub fn url(&self) -> String {
        let file = || format!("sqlite://{}", self.dir.path().join("ledger.db").display());
        self.scratch.as_ref().map_or_else(file, |scratch| scratch.url.clone())
    }

    /// Runs a statement as whoever owns the database; what came of it.
    pub fn sql(&self, statement: &str) {
        self.try_sql(statement).unwrap_or_else(|error| panic!("{statement}: {error}"));
    }

    /// The same, and what went wrong if something did.
    pub fn try_sql(&self, statement: &str) -> Result<(), String> {
        match &self.scratch {
            Some(scratch) => scratch.try_sql(statement).map(drop),
            None => self.runtime.block_on(async {
                let mut connection = self.connection().await;
                let statement = sqlx::AssertSqlSafe(statement.to_owned());
                let done = sqlx::raw_sql(statement).execute(&mut connection).await;
                sqlx::Connection::close(connection).await.unwrap();
                done.map(drop).map_err(|error| error.to_string())
            }),
        }
    }

    /// What a statement of one column finds, a line a row.
    pub fn ask(&self, statement: &str) -> String {
        match &self.scratch {
            Some(scratch) => scratch.sql(statement),
            None => self.runtime.block_on(async {
                use sqlx::Row as _;
                let mut connection = self.connection().await;
                let text = sqlx::AssertSqlSafe(statement.to_owned());
                let rows = sqlx::raw_sql(text).fetch_all(&mut connection).await.unwrap();
                let text = |row: &sqlx::any::AnyRow| {
                    row.try_get::<String, _>(0).unwrap_or_else(|_| row.get::<i64, _>(0).to_string())
                };
                rows.iter().map(text).collect::<Vec<_>>().join("\n")
            }),
        }
    }

    async fn connection(&self) -> sqlx::AnyConnection {
        sqlx::any::install_default_drivers();
        let url = format!("sqlite://{}", self.dir.path().join("ledger.db").display());
        <sqlx::AnyConnection as sqlx::Connection>::connect(&url).await.unwrap()
    }
}

/// A plan names a table by its alias.
fn named_table(statement: &str, named: &str) -> String {
    let words: Vec<&str> = statement.split(|c: char| c.is_whitespace() || c == ',' || c == ')').collect();
    let alias = words.windows(3).find(|words| words[2] == named && ["FROM", "JOIN"].contains(&words[0]));
    let renamed = words.windows(4).find(|words| words[3] == named && words[2] == "AS");
    alias.or(renamed).map_or(named, |words| words[1]).to_owned()
}

impl On {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sqlite => "SQLite",
            Self::Postgres => "PostgreSQL",
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

// === impl Caller ===

impl Caller {
    /// The same with another header.
    #[must_use]
    pub fn with(&self, name: &str, value: &str) -> Self {
        let mut headers = self.headers.clone();
        headers.push((name.to_owned(), value.to_owned()));
        Self { headers, ..self.clone() }
    }

    pub fn get(&self, path: &str) -> Answer {
        self.send("GET", path, None)
    }

    pub fn post(&self, path: &str, body: &Value) -> Answer {
        self.json("POST", path, body)
    }

    pub fn put(&self, path: &str, body: &Value) -> Answer {
        self.json("PUT", path, body)
    }

    pub fn patch(&self, path: &str, body: &Value) -> Answer {
        self.json("PATCH", path, body)
    }

    pub fn delete(&self, path: &str) -> Answer {
        self.send("DELETE", path, None)
    }

    pub fn json(&self, method: &str, path: &str, body: &Value) -> Answer {
        self.with("content-type", "application/json").send(method, path, Some(body.to_string().as_bytes()))
    }

    /// Bytes as they stand, with the headers of this caller and no others.
    pub fn send(&self, method: &str, path: &str, body: Option<&[u8]>) -> Answer {
        let mut request =
            ureq::http::Request::builder().method(method).uri(format!("http://{}{path}", self.address));
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        let mut response = match body {
            Some(body) => self.agent.run(request.body(body).unwrap()).unwrap(),
            None => self.agent.run(request.body(()).unwrap()).unwrap(),
        };
        let text = response.body_mut().with_config().limit(16 << 20).read_to_string().unwrap();
        Answer { status: response.status().as_u16(), headers: response.headers().clone(), text }
    }
}

// === impl Answer ===

impl Answer {
    /// The body, of an answer that must have this status.
    #[track_caller]
    pub fn ok(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.text);
        if self.text.is_empty() { Value::Null } else { self.body() }
    }

    #[track_caller]
    pub fn body(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// The code of a problem that is as problems must be; and the pointers of its faults.
    #[track_caller]
    pub fn problem(&self) -> (u16, String, Vec<String>) {
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{}", self.text);
        let body = self.body();
        let text = |name: &str| body[name].as_str().unwrap_or_else(|| panic!("no {name}: {body}")).to_owned();
        let code = text("code");
        assert_eq!(body["status"], self.status);
        assert_eq!(text("type"), format!("/docs#{code}"));
        assert_eq!(Some(text("requestId").as_str()), self.header("x-request-id"));
        assert!(!text("title").is_empty() && !text("detail").is_empty());
        let known = portcullis_api::problem::Code::parse(&code).unwrap_or_else(|| panic!("unknown {code}"));
        assert_eq!((known.status().as_u16(), known.title()), (self.status, text("title").as_str()));
        assert_eq!(self.header("retry-after").is_some(), matches!(self.status, 429 | 503), "{body}");
        let faults = body["errors"].as_array().cloned().unwrap_or_default();
        let pointers = faults.iter().map(|fault| fault["pointer"].as_str().unwrap().to_owned());
        (self.status, code, pointers.collect())
    }

    /// Refused with this code, at these pointers.
    #[track_caller]
    pub fn refused(&self, code: &str, pointers: &[&str]) {
        let (_, found, mut at) = self.problem();
        at.sort();
        assert_eq!(
            (found.as_str(), at.iter().map(String::as_str).collect::<Vec<_>>()),
            (code, pointers.to_vec()),
            "{}",
            self.text
        );
    }
}
