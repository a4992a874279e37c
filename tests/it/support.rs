//! A gate as a process of its own, and a client that trusts it.

pub mod beside; // a body as serde_json reads it, beside the gate
pub mod disk; // a disk that is full
pub mod ended; // what must not outlive the run
pub mod postgres; // a server of this run's own
pub mod strict; // serde_json, and no key twice
pub mod wire; // reviews as Go writes them, and a connection that sends what it is told to

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, mpsc};
use std::time::{Duration, Instant};

use portcullis_certs::develop::{CertificateAuthority, Use};
use tempfile::TempDir;
use ureq::Agent;
use ureq::tls::{Certificate, RootCerts, TlsConfig};

/// The root of the repository.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The program under test: the one that was built with the tests, or another that is named.
pub fn portcullis() -> Command {
    let named = std::env::var_os("PORTCULLIS_UNDER_TEST");
    let mut command = Command::new(named.unwrap_or_else(|| env!("CARGO_BIN_EXE_portcullis").into()));
    command.env_remove("PORTCULLIS_POLICIES").env_remove("PORTCULLIS_TENANCY");
    command
}

/// A running gate; ended when dropped.
pub struct Gate {
    child: Child,
    /// Its directory: `tenancy.yaml`, certificates, and `decisions.jsonl`.
    pub dir: TempDir,
    /// `ip:port` of the webhook.
    pub webhook: String,
    /// `ip:port` of the probes.
    pub admin: String,
    /// `ip:port` of the ledger's API; empty where there is none.
    pub api: String,
    /// Who issued its certificate.
    pub authority: CertificateAuthority,
    agent: Agent,
    log: Mutex<(mpsc::Receiver<String>, Vec<String>)>,
}

/// What a gate is started with.
pub struct Options<'a> {
    pub policies: Option<&'a Path>,
    pub extra: &'a [&'a str],
    pub wait_ready: bool,
}

impl Default for Options<'_> {
    fn default() -> Self {
        Self { policies: None, extra: &[], wait_ready: true }
    }
}

impl Gate {
    pub fn start(options: &Options<'_>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::copy(root().join("tests/cases/example-tenancy.yaml"), dir.path().join("tenancy.yaml"))
            .unwrap();
        let tenancy = dir.path().join("tenancy.yaml").display().to_string();
        let mut words: Vec<&str> = vec!["--role", "gate"];
        if !options.extra.contains(&"--tenancy") {
            words.extend(["--tenancy", &tenancy]);
        }
        let policies = options.policies.map(|dir| dir.display().to_string());
        if let Some(policies) = &policies {
            words.extend(["--policies", policies]);
        }
        words.extend(options.extra);
        let words: Vec<String> = words.into_iter().map(str::to_owned).collect();
        Self::serve(dir, &words, options.wait_ready)
    }

    /// `serve` with these words, in a directory of its own: whatever its role, and ready or only listening.
    pub fn serve(dir: TempDir, words: &[String], wait_ready: bool) -> Self {
        Self::serve_as(portcullis(), dir, words, wait_ready)
    }

    /// The same, begun by this command.
    pub fn serve_as(mut command: Command, dir: TempDir, words: &[String], wait_ready: bool) -> Self {
        let path = |name: &str| dir.path().join(name);
        let authority = CertificateAuthority::new("test").unwrap();
        authority
            .issue(&["127.0.0.1".into(), "localhost".into()], Use::Server)
            .unwrap()
            .write(&path("tls.pem"), &path("key.pem"))
            .unwrap();
        command.args(["serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--drain-delay", "0s"]);
        command.arg("--tls-cert").arg(path("tls.pem")).arg("--tls-key").arg(path("key.pem"));
        command.arg("--ready-file").arg(path("ready.json"));
        if !words.iter().any(|word| word == "--decision-log") {
            command.arg("--decision-log").arg(path("decisions.jsonl"));
        }
        command.args(words).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        // What a process keeps by default it keeps in the user's folder: never in that of whoever runs the tests.
        command.env("HOME", dir.path()).env_remove("XDG_DATA_HOME");
        let mut child = command.spawn().unwrap();
        let log = Mutex::new((lines(child.stderr.take().unwrap()), Vec::new()));
        let certificate = Certificate::from_pem(authority.cert_pem().as_bytes()).unwrap();
        let tls = TlsConfig::builder().root_certs(RootCerts::new_with_certs(&[certificate])).build();
        let agent: Agent = Agent::config_builder()
            .tls_config(tls)
            .http_status_as_error(false)
            .timeout_global(Some(Duration::from_mins(1)))
            .build()
            .into();
        let (webhook, admin, api) = (String::new(), String::new(), String::new());
        let mut gate = Self { child, dir, webhook, admin, api, authority, agent, log };
        gate.find(wait_ready);
        gate
    }

    fn find(&mut self, wait_ready: bool) {
        let file = self.dir.path().join("ready.json");
        wait(Duration::from_mins(1), || {
            if let Some(status) = self.child.try_wait().unwrap() {
                panic!("the gate ended with {status}: {:?}", self.told());
            }
            if wait_ready {
                let ready: serde_json::Value =
                    serde_json::from_str(&std::fs::read_to_string(&file).ok()?).ok()?;
                let address = |name: &str| ready[name].as_str().unwrap_or_default().to_owned();
                (self.webhook, self.admin, self.api) = (address("webhook"), address("admin"), address("api"));
                return Some(());
            }
            let plain =
                self.told().into_iter().find(|line| line.contains("listening") && line.contains("admin="))?;
            let field = |name: &str| {
                plain
                    .split_whitespace()
                    .find_map(|word| word.strip_prefix(name))
                    .unwrap_or_default()
                    .to_owned()
            };
            (self.webhook, self.admin, self.api) = (field("webhook="), field("admin="), field("api="));
            Some(())
        });
    }

    /// What it has told so far, without colours.
    pub fn told(&self) -> Vec<String> {
        let mut log = self.log.lock().unwrap();
        let new: Vec<String> = log.0.try_iter().map(|line| strip_ansi(&line)).collect();
        log.1.extend(new);
        log.1.clone()
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Posts a body; status and answer.
    pub fn post(&self, path: &str, body: &[u8]) -> (u16, Vec<u8>) {
        self.post_as(path, "application/json", body)
    }

    pub fn post_as(&self, path: &str, content_type: &str, body: &[u8]) -> (u16, Vec<u8>) {
        let url = format!("https://{}{path}", self.webhook);
        let mut response = self.agent.post(&url).content_type(content_type).send(body).unwrap();
        (response.status().as_u16(), response.body_mut().with_config().limit(64 << 20).read_to_vec().unwrap())
    }

    /// A page of the admin port; status and text.
    pub fn get(&self, path: &str) -> (u16, String) {
        let mut response = self.agent.get(format!("http://{}{path}", self.admin)).call().unwrap();
        (response.status().as_u16(), response.body_mut().read_to_string().unwrap())
    }

    /// Sends a signal and waits for the end.
    pub fn end(mut self, signal: i32) -> std::process::ExitStatus {
        self.signal(signal);
        wait(Duration::from_mins(1), || self.child.try_wait().unwrap())
    }

    pub fn signal(&self, signal: i32) {
        let number = signal.to_string();
        let done = Command::new("kill").args(["-s", &number, &self.pid().to_string()]).status().unwrap();
        assert!(done.success(), "kill -s {number}");
    }

    pub fn alive(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn lines(stream: impl std::io::Read + Send + 'static) -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            let _ = sender.send(line);
        }
    });
    receiver
}

fn strip_ansi(line: &str) -> String {
    let mut plain = String::new();
    let mut escape = false;
    for c in line.chars() {
        match (escape, c) {
            (false, '\u{1b}') => escape = true,
            (true, 'm') => escape = false,
            (false, c) => plain.push(c),
            _ => {}
        }
    }
    plain
}

/// Waits until something is there; fails when it does not come.
#[track_caller]
pub fn wait<T>(patience: Duration, mut what: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + patience;
    let (_sender, never) = mpsc::channel::<()>();
    loop {
        if let Some(found) = what() {
            return found;
        }
        assert!(Instant::now() < deadline, "did not come within {patience:?}");
        let _ = never.recv_timeout(Duration::from_millis(2));
    }
}

/// The cast of the cases.
pub fn people() -> portcullis_admission::cases::TestUsers {
    serde_saphyr::from_str(&std::fs::read_to_string(root().join("tests/cases/test-users.yaml")).unwrap())
        .unwrap()
}

/// Every case of a directory, and of all below it.
pub fn cases(dir: &Path) -> Vec<portcullis_admission::cases::Case> {
    let mut files = Vec::new();
    let mut open = vec![dir.to_path_buf()];
    while let Some(dir) = open.pop() {
        for entry in std::fs::read_dir(&dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|extension| extension == "yaml") {
                files.push(path);
            }
        }
    }
    files.sort();
    let mut cases = Vec::new();
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        if text.lines().any(|line| line.starts_with("cases:")) {
            let name = file.strip_prefix(root()).unwrap().display().to_string();
            cases.extend(
                portcullis_admission::cases::parse(&name, &text, &people())
                    .unwrap_or_else(|errors| panic!("{errors:#?}")),
            );
        }
    }
    cases
}

/// The embedded law, the world of the cases.
pub fn law() -> portcullis_policy::PolicySet {
    let bundle = portcullis_policy::source::read_embedded().unwrap();
    portcullis_policy::PolicySet::compile(&bundle, portcullis_policy::set::Options::default(), None)
        .unwrap_or_else(|problems| panic!("{problems}"))
}

pub fn world() -> portcullis_admission::PreparedSnapshot {
    let text = std::fs::read(root().join("tests/cases/example-tenancy.yaml")).unwrap();
    let snapshot = portcullis_tenancy::snapshot::Snapshot::parse("example-tenancy.yaml", &text).unwrap();
    portcullis_admission::PreparedSnapshot::new(std::sync::Arc::new(snapshot))
}

/// A verdict as the API server would get it, by the library.
pub fn answer(
    law: &portcullis_policy::PolicySet,
    world: &portcullis_admission::PreparedSnapshot,
    endpoint: portcullis_admission::Endpoint,
    body: &[u8],
) -> Vec<u8> {
    use portcullis_admission::{context::ReviewContext, decide, projection::projection, response, review};
    let review =
        review::decode(body.to_vec().into(), endpoint, &|header| projection(law, world, header)).unwrap();
    let context = ReviewContext::gather(world, &review, "0".into(), "2026-01-01T00:00:00Z".into());
    let verdict = match context {
        Ok(context) => decide(law, &context, &review, portcullis_policy::Budget::default()),
        Err(error) => portcullis_admission::Verdict::failed(&review, "0".into(), "shape", error.to_string()),
    };
    response::encode(&verdict)
}
