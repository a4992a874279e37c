//! etcd, kube-apiserver and kube-controller-manager as processes on loopback, and kubectl as anybody.

use std::io::{Seek as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use portcullis_certs::develop::{CertificateAuthority, Use};
use serde_json::json;

use crate::support::{ended, people, root, wait};

/// A control plane of its own, ended when dropped or with this process.
pub struct Plane {
    /// Certificates, logs, the data of etcd, and whatever a test puts there.
    pub dir: PathBuf,
    bin: PathBuf,
    /// `https://127.0.0.1:PORT` of kube-apiserver.
    pub server: String,
    programs: Vec<Child>,
    ports: (u16, u16),
}

/// Where kube-apiserver stands among the programs.
const SERVER: usize = 1;

/// What came of a command.
pub struct Done {
    pub ok: bool,
    pub out: String,
    pub err: String,
}

impl From<Output> for Done {
    fn from(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Self { ok: output.status.success(), out: text(output.stdout), err: text(output.stderr) }
    }
}

impl Plane {
    /// Starts one and waits until it answers; builds its programs first, where they are missing.
    pub fn start() -> Self {
        let bin = programs("plane");
        let dir = tempfile::Builder::new().prefix("portcullis-plane").tempdir().unwrap().keep();
        let (client, peer, secure) = (free_port(), free_port(), free_port());
        let server = format!("https://127.0.0.1:{secure}");
        let mut plane = Self { dir, bin, server, programs: Vec::new(), ports: (client, secure) };
        plane.write_files();
        plane.spawn("etcd", &etcd(client, peer));
        wait(Duration::from_mins(1), || listens(client));
        plane.serve();
        plane.spawn("kube-controller-manager", KUBE_CONTROLLER_MANAGER);
        plane
    }

    /// Starts kube-apiserver, and waits until it is ready.
    fn serve(&mut self) {
        let (client, secure) = self.ports;
        self.spawn("kube-apiserver", &kube_apiserver(client, secure));
        wait(Duration::from_mins(2), || {
            let ended = self.programs.iter_mut().any(|program| program.try_wait().unwrap().is_some());
            assert!(!ended, "{}", self.log("kube-apiserver"));
            let ready = self.kubectl("root", &["get", "--raw", "/readyz"]);
            (ready.out == "ok").then_some(())
        });
    }

    /// Ends kube-apiserver, does something, and starts it again where it was.
    pub fn without_server(&mut self, what: impl FnOnce()) {
        let mut server = self.programs.remove(SERVER);
        server.kill().unwrap();
        server.wait().unwrap();
        what();
        self.serve();
        let server = self.programs.pop().unwrap();
        self.programs.insert(SERVER, server);
    }

    /// Stops kube-apiserver where it stands, does something, and lets it go on.
    pub fn with_server_frozen(&self, what: impl FnOnce()) {
        let signal = |word: &str| {
            let pid = self.programs[SERVER].id().to_string();
            assert!(Command::new("kill").args(["-s", word, &pid]).status().unwrap().success());
        };
        signal("STOP");
        what();
        signal("CONT");
    }

    /// `kubectl` as a person of the cases.
    pub fn kubectl(&self, who: &str, words: &[&str]) -> Done {
        let mut command = Command::new(self.bin.join("kubectl"));
        command.args(["--context", who]).args(words).stdin(Stdio::null());
        self.at_home(&mut command).output().unwrap().into()
    }

    /// A line of shell in which `kubectl` is this person.
    pub fn shell(&self, who: &str, line: &str, input: Option<&str>) -> Done {
        let path = format!("{}:{}", self.dir.join("bin").display(), std::env::var("PATH").unwrap());
        let mut command = Command::new("sh");
        command.args(["-euc", line]).env("WHO", who).env("PATH", path);
        for (short, name) in super::stage::SHORT {
            command.env(short, name);
        }
        let mut stdin = tempfile::tempfile().unwrap();
        stdin.write_all(input.unwrap_or_default().as_bytes()).unwrap();
        stdin.rewind().unwrap();
        command.stdin(stdin);
        self.at_home(&mut command).output().unwrap().into()
    }

    /// A kubeconfig with a token of this service account, as its Pod would have; the account is made where it is missing.
    pub fn kubeconfig_of(&self, namespace: &str, account: &str) -> PathBuf {
        let _made_or_there = self.kubectl("root", &["-n", namespace, "create", "serviceaccount", account]);
        let token = self.kubectl("root", &["-n", namespace, "create", "token", account, "--duration=6h"]);
        assert!(token.ok, "{}", token.err);
        let text = self.kubeconfig([account.to_owned()].iter(), account);
        let mut kubeconfig: serde_json::Value = serde_json::from_str(&text).unwrap();
        kubeconfig["users"][0]["user"]["token"] = token.out.trim_end().into();
        let file = self.dir.join(format!("{account}.kubeconfig"));
        std::fs::write(&file, kubeconfig.to_string()).unwrap();
        file
    }

    /// The last of what a program told.
    pub fn log(&self, program: &str) -> String {
        let text = std::fs::read_to_string(self.dir.join(format!("{program}.log"))).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }

    fn at_home<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command.env("HOME", &self.dir).env("KUBECONFIG", self.dir.join("kubeconfig")).current_dir(&self.dir)
    }

    fn spawn(&mut self, program: &str, words: &[impl AsRef<std::ffi::OsStr>]) {
        let log = std::fs::File::create(self.dir.join(format!("{program}.log"))).unwrap();
        let mut command = Command::new(self.bin.join(program));
        command.args(words).stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        let child = self.at_home(&mut command).spawn().unwrap();
        ended::with_us(&[child.id()], &self.dir);
        self.programs.push(child);
    }

    /// Certificates, the key of service accounts, tokens, kubeconfigs, the audit policy, and kubectl as `$WHO`.
    fn write_files(&self) {
        let path = |name: &str| self.dir.join(name);
        let write = |name: &str, text: &str| std::fs::write(path(name), text).unwrap();
        let authority = CertificateAuthority::new("control plane").unwrap();
        write("ca.pem", authority.cert_pem());
        for (name, cert, key) in
            [("127.0.0.1", "tls.pem", "tls-key.pem"), ("accounts", "accounts.pem", "accounts-key.pem")]
        {
            let issued = authority.issue(&[name.into()], Use::Server).unwrap();
            issued.write(&path(cert), &path(key)).unwrap();
        }
        let people = people();
        let tokens = people.iter().filter(|(name, _)| *name != "anonymous").map(|(name, person)| {
            format!("{name},{},{name},\"{}\"\n", person.username, person.groups.join(","))
        });
        write("tokens.csv", &tokens.collect::<String>());
        write("kubeconfig", &self.kubeconfig(people.keys(), "root"));
        write("controllers.kubeconfig", &self.kubeconfig(["kcm/shared".to_owned()].iter(), "kcm/shared"));
        let rule = json!({"level": "Metadata", "omitStages": ["RequestReceived"]});
        let audit = json!({"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "rules": [rule]});
        write("audit.yaml", &audit.to_string());
        std::fs::create_dir(path("bin")).unwrap();
        let kubectl = self.bin.join("kubectl");
        write("bin/kubectl", &format!("#!/bin/sh\nexec {} --context \"$WHO\" \"$@\"\n", kubectl.display()));
        std::fs::set_permissions(path("bin/kubectl"), std::fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn kubeconfig<'a>(&self, people: impl Iterator<Item = &'a String>, who: &str) -> String {
        // A context for each, because `--user` means something else to `kubectl create clusterrolebinding`.
        let (users, contexts): (Vec<_>, Vec<_>) = people
            .map(|name| {
                let context = json!({"name": name, "context": {"cluster": "plane", "user": name}});
                (json!({"name": name, "user": {"token": name}}), context)
            })
            .unzip();
        json!({
            "apiVersion": "v1", "kind": "Config", "current-context": who,
            "clusters": [{"name": "plane", "cluster": {"server": self.server, "certificate-authority": "ca.pem"}}],
            "contexts": contexts, "users": users,
        })
        .to_string()
    }
}

impl Drop for Plane {
    fn drop(&mut self) {
        for program in self.programs.iter_mut().rev() {
            let _ = program.kill();
            let _ = program.wait();
        }
    }
}

/// The folder of the programs, as `tests/controlplane/build` says.
pub fn programs(which: &str) -> PathBuf {
    let script = root().join("tests/controlplane/build");
    let done =
        Command::new(&script).arg(which).stdin(Stdio::null()).stderr(Stdio::inherit()).output().unwrap();
    assert!(done.status.success(), "{} ended with {}", script.display(), done.status);
    PathBuf::from(String::from_utf8(done.stdout).unwrap().trim_end())
}

fn etcd(client: u16, peer: u16) -> Vec<String> {
    let (client, peer) = (format!("http://127.0.0.1:{client}"), format!("http://127.0.0.1:{peer}"));
    [
        "--data-dir=etcd".to_owned(),
        "--unsafe-no-fsync".to_owned(),
        "--log-level=warn".to_owned(),
        format!("--listen-client-urls={client}"),
        format!("--advertise-client-urls={client}"),
        format!("--listen-peer-urls={peer}"),
        format!("--initial-advertise-peer-urls={peer}"),
        format!("--initial-cluster=default={peer}"),
    ]
    .to_vec()
}

fn kube_apiserver(etcd: u16, secure: u16) -> Vec<String> {
    let ports = [format!("--etcd-servers=http://127.0.0.1:{etcd}"), format!("--secure-port={secure}")];
    let rest = [
        "--bind-address=127.0.0.1",
        // Nobody may need an address of this machine but loopback.
        "--advertise-address=192.0.2.1",
        "--endpoint-reconciler-type=none",
        "--tls-cert-file=tls.pem",
        "--tls-private-key-file=tls-key.pem",
        "--service-account-issuer=https://kubernetes.default.svc",
        "--service-account-key-file=accounts.pem",
        "--service-account-signing-key-file=accounts-key.pem",
        "--service-cluster-ip-range=10.0.0.0/24",
        "--token-auth-file=tokens.csv",
        "--authorization-mode=RBAC",
        "--allow-privileged=true",
        "--audit-policy-file=audit.yaml",
        "--audit-log-path=audit.jsonl",
    ];
    ports.into_iter().chain(rest.map(str::to_owned)).collect()
}

/// Each controller under its own account, as clusters have it, and in a hurry.
const KUBE_CONTROLLER_MANAGER: &[&str] = &[
    "--kubeconfig=controllers.kubeconfig",
    "--use-service-account-credentials",
    "--service-account-private-key-file=accounts-key.pem",
    "--root-ca-file=ca.pem",
    "--leader-elect=false",
    "--controllers=*,-nodeipam",
    "--secure-port=0",
    "--kube-api-qps=200",
    "--kube-api-burst=400",
    "--horizontal-pod-autoscaler-sync-period=2s",
    // The node has no kubelet that reports, and must stay one that DaemonSets run on.
    "--node-startup-grace-period=24h",
    "--node-monitor-grace-period=24h",
];

/// Below the range from which the kernel gives ports to connections, so that none is lost between here and its use.
pub fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let start = u16::try_from(std::process::id() % 600).unwrap() * 20;
    let candidates =
        std::iter::repeat_with(|| 20_000 + start.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % 12_000);
    candidates
        .take(12_000)
        .find(|port| std::net::TcpListener::bind(("127.0.0.1", *port)).is_ok())
        .expect("a free port")
}

fn listens(port: u16) -> Option<()> {
    std::net::TcpStream::connect(("127.0.0.1", port)).ok().map(|_| ())
}

/// What a file of JSON lines holds so far; a line that is still being written is left for the next time.
pub fn json_lines(file: &Path) -> Vec<serde_json::Value> {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}
