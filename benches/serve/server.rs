//! A server under test: a process of its own, what it has used, and how to reach it.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use portcullis_certs::develop::{CertificateAuthority, Use};
use tempfile::TempDir;

use super::nothing;

/// Processor time by thread. Threads come and go, so only differences are worth anything.
pub struct Cpu(BTreeMap<OsString, f64>);

impl Cpu {
    /// What was used since an earlier look, in microseconds.
    pub fn since(&self, before: &Self) -> f64 {
        self.0.iter().map(|(thread, used)| used - before.0.get(thread).unwrap_or(&0.0)).sum()
    }
}

/// Of one thread: by the scheduler's own account where the kernel tells it, else in steps of 10,000.
fn runtime(task: &Path) -> Option<f64> {
    if let Ok(sched) = std::fs::read_to_string(task.join("sched")) {
        let line = sched.lines().find(|line| line.starts_with("se.sum_exec_runtime"))?;
        return Some(line.rsplit_once(':')?.1.trim().parse::<f64>().ok()? * 1000.0);
    }
    let stat = std::fs::read_to_string(task.join("stat")).ok()?;
    // The name stands in brackets and may hold anything; user and system time are the 14th and 15th field.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = |at: usize| fields.get(at)?.parse::<f64>().ok();
    Some((ticks(11)? + ticks(12)?) * 10_000.0)
}

/// Ended when dropped.
pub struct Server {
    child: Child,
    dir: TempDir,
    authority: String,
    /// `ip:port` of the webhook; empty where there is none.
    pub address: String,
    /// `ip:port` of the ledger's API; empty where there is none.
    pub api: String,
    /// From the start of the process until it was ready.
    pub ready_after: Duration,
}

/// The repository.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The world of the demo and of the cases.
pub fn demo_world() -> String {
    std::fs::read_to_string(root().join("tests/cases/example-tenancy.yaml")).unwrap()
}

impl Server {
    /// The handler that does nothing.
    pub async fn nothing() -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.arg(nothing::ARGUMENT);
        Self::start(command, |command, dir| {
            command.arg(dir);
        })
        .await
    }

    /// The gate with a world, and flags in which `{dir}` stands for its directory.
    pub async fn gate(world: &str, flags: &[&str]) -> Self {
        Self::gate_of(env!("CARGO_BIN_EXE_portcullis").as_ref(), world, flags).await
    }

    /// The same of another build.
    pub async fn gate_of(binary: &Path, world: &str, flags: &[&str]) -> Self {
        let mut command = Command::new(binary);
        command
            .env_remove("PORTCULLIS_POLICIES")
            .env_remove("PORTCULLIS_TENANCY")
            .env_remove("RUST_BACKTRACE");
        command.args(["serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--drain-delay", "0s"]);
        Self::start(command, |command, dir| {
            std::fs::write(dir.join("tenancy"), world).unwrap();
            command.arg("--tenancy").arg(dir.join("tenancy")).arg("--ready-file").arg(dir.join("ready.json"));
            command.arg("--tls-cert").arg(dir.join("tls.pem")).arg("--tls-key").arg(dir.join("key.pem"));
            let log = ["--decision-log", "none"];
            let log = if flags.contains(&"--decision-log") { &log[..0] } else { &log[..] };
            command
                .args(log)
                .args(flags.iter().map(|flag| flag.replace("{dir}", &dir.display().to_string())));
        })
        .await
    }

    /// `serve` with these words, whatever its role; of the build that `PORTCULLIS_BENCH_BEFORE` names, if it names one.
    pub async fn of_role(words: &[&str]) -> Self {
        let before = std::env::var_os("PORTCULLIS_BENCH_BEFORE");
        let mut command = Command::new(before.unwrap_or_else(|| env!("CARGO_BIN_EXE_portcullis").into()));
        command.env_remove("RUST_BACKTRACE");
        command.args(["serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--drain-delay", "0s"]);
        command.args(["--decision-log", "none"]).args(words);
        Self::start(command, |command, dir| {
            command.arg("--ready-file").arg(dir.join("ready.json"));
            command.arg("--tls-cert").arg(dir.join("tls.pem")).arg("--tls-key").arg(dir.join("key.pem"));
            // What is kept by default is kept in the user's folder: not in that of whoever measures.
            command.env("HOME", dir).env_remove("XDG_DATA_HOME");
        })
        .await
    }

    async fn start(mut command: Command, prepare: impl FnOnce(&mut Command, &Path)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let authority = CertificateAuthority::new("bench").unwrap();
        let issued = authority.issue(&["localhost".into(), "127.0.0.1".into()], Use::Server).unwrap();
        issued.write(&dir.path().join("tls.pem"), &dir.path().join("key.pem")).unwrap();
        prepare(&mut command, dir.path());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let started = Instant::now();
        let mut child = command.spawn().unwrap();
        let ready = dir.path().join("ready.json");
        let text = loop {
            if let Ok(text) = std::fs::read_to_string(&ready) {
                break text;
            }
            assert!(child.try_wait().unwrap().is_none(), "the server ended before it was ready: {command:?}");
            assert!(
                started.elapsed() < Duration::from_mins(2),
                "the server does not become ready: {command:?}"
            );
            tokio::time::sleep(Duration::from_micros(500)).await;
        };
        let ready_after = started.elapsed();
        let ready: serde_json::Value = serde_json::from_str(&text).unwrap();
        let address = |name: &str| ready[name].as_str().unwrap_or_default().to_owned();
        let (address, api) = (address("webhook"), address("api"));
        Self { child, dir, authority: authority.cert_pem().to_owned(), address, api, ready_after }
    }

    /// A file in its directory.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The authority that its certificate is from, as PEM.
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// Processor time of each of its threads so far, in microseconds.
    pub fn cpu(&self) -> Cpu {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.child.id())).unwrap();
        let of = |path: PathBuf| Some((path.file_name()?.to_owned(), runtime(&path)?));
        Cpu(tasks.filter_map(|task| of(task.ok()?.path())).collect())
    }

    /// Resident memory, in MiB.
    pub fn resident(&self) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<f64>().unwrap() / 1024.0
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
