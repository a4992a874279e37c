//! The gate as a process on one address, so that it can go and come back under one registration.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::plane::{free_port, json_lines};
use crate::support::{ended, portcullis, root, wait};

pub struct Gate {
    /// Certificates, the snapshot, the decision log.
    pub dir: PathBuf,
    listen: String,
    child: Child,
}

impl Gate {
    /// A gate with the world of the cases and certificates of `portcullis certs`.
    pub fn start() -> Self {
        let dir = tempfile::Builder::new().prefix("portcullis-gate").tempdir().unwrap().keep();
        let world = std::fs::read_to_string(root().join("tests/cases/example-tenancy.yaml")).unwrap();
        std::fs::write(dir.join("tenancy.yaml"), super::stage::enlarged(&world)).unwrap();
        let made = portcullis().args(["certs", "--ip", "127.0.0.1", "--dir"]).arg(dir.join("certs")).output();
        assert!(made.unwrap().status.success());
        let listen = format!("127.0.0.1:{}", free_port());
        let child = serve(&dir, &listen);
        Self { dir, listen, child }
    }

    /// What registers it, as `portcullis manifests` prints it.
    pub fn manifests(&self) -> String {
        let (url, ca) = (format!("https://{}", self.listen), self.dir.join("certs/ca.pem"));
        let done = portcullis().args(["manifests", "--url", &url, "--ca-bundle"]).arg(ca).output().unwrap();
        assert!(done.status.success());
        String::from_utf8(done.stdout).unwrap()
    }

    /// Kills it; nothing is drained.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts it again where it was.
    pub fn restart(&mut self) {
        self.child = serve(&self.dir, &self.listen);
    }

    /// Starts it with a law of its own, which is the library but for these parameters of one policy.
    pub fn restart_with(&mut self, policy: &str, params: &str) {
        let law = self.dir.join("policies");
        let copied = Command::new("cp").arg("-R").arg(root().join("policies")).arg(&law).status();
        assert!(copied.unwrap().success());
        std::fs::write(law.join("params").join(policy).join("data.yaml"), params).unwrap();
        self.kill();
        self.restart();
    }

    /// Its decisions so far.
    pub fn decisions(&self) -> Vec<serde_json::Value> {
        json_lines(&self.dir.join("decisions.jsonl"))
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn serve(dir: &Path, listen: &str) -> Child {
    let path = |name: &str| dir.join(name);
    let log = std::fs::File::create(path("gate.log")).unwrap();
    let _ = std::fs::remove_file(path("ready.json"));
    let mut command = portcullis();
    command.args(["serve", "--role", "gate", "--listen", listen, "--admin", "127.0.0.1:0"]);
    command.arg("--tenancy").arg(path("tenancy.yaml")).arg("--ready-file").arg(path("ready.json"));
    command.arg("--tls-cert").arg(path("certs/tls.pem")).arg("--tls-key").arg(path("certs/tls-key.pem"));
    command.arg("--decision-log").arg(path("decisions.jsonl"));
    if path("policies").exists() {
        command.arg("--policies").arg(path("policies"));
    }
    command
        .env("HOME", dir)
        .env_remove("XDG_DATA_HOME")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log);
    let mut child = command.spawn().unwrap();
    ended::with_us(&[child.id()], dir);
    wait(Duration::from_mins(1), || {
        let told = || std::fs::read_to_string(path("gate.log")).unwrap();
        assert!(child.try_wait().unwrap().is_none(), "{}", told());
        path("ready.json").exists().then_some(())
    });
    child
}
