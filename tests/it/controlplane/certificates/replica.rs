//! A gate that keeps its own certificate, and what it serves.

use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore};
use serde_json::Value;

use super::PATIENCE;
use crate::controlplane::plane::free_port;
use crate::support::{ended, portcullis, root, wait};

pub struct Replica {
    /// `127.0.0.1:PORT` of the webhook.
    pub listen: String,
    admin: String,
    dir: PathBuf,
    child: Child,
}

impl Replica {
    /// Starts one and waits for nothing.
    pub fn start(kubeconfig: &Path, secret: &str, flags: &[&str]) -> Self {
        let dir = tempfile::Builder::new().prefix("portcullis-replica").tempdir().unwrap().keep();
        let world = std::fs::read_to_string(root().join("tests/cases/example-tenancy.yaml")).unwrap();
        std::fs::write(dir.join("tenancy.yaml"), world).unwrap();
        let [listen, admin] = [(); 2].map(|()| format!("127.0.0.1:{}", free_port()));
        let mut command = portcullis();
        command.args([
            "serve",
            "--role",
            "gate",
            "--listen",
            &listen,
            "--admin",
            &admin,
            "--drain-delay",
            "0s",
        ]);
        command.args(["--tls-secret", secret, "--tls-name", "127.0.0.1"]).args(flags);
        command.arg("--kubeconfig").arg(kubeconfig).arg("--tenancy").arg(dir.join("tenancy.yaml"));
        command.arg("--decision-log").arg(dir.join("decisions.jsonl"));
        command.env("HOME", &dir).env("NO_COLOR", "1").env_remove("XDG_DATA_HOME");
        let log = std::fs::File::create(dir.join("gate.log")).unwrap();
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap();
        ended::with_us(&[child.id()], &dir);
        Self { listen, admin, dir, child }
    }

    /// Waits until it is ready.
    pub fn ready(&self) {
        wait(PATIENCE, || (self.readyz()?["ready"] == true).then_some(()));
    }

    /// What readiness says, once it says something.
    pub fn readyz(&self) -> Option<Value> {
        let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
        let mut answer = agent.get(format!("http://{}/readyz", self.admin)).call().ok()?;
        serde_json::from_str(&answer.body_mut().read_to_string().ok()?).ok()
    }

    /// The reason of a condition, where it has one.
    pub fn reason(&self, condition: &str) -> String {
        let report = self.readyz().unwrap_or_default();
        let all = report["conditions"].as_array().cloned().unwrap_or_default();
        let of = all.into_iter().find(|one| one["name"] == condition).unwrap_or_default();
        of["reason"].as_str().unwrap_or_default().to_owned()
    }

    /// Waits until a condition's reason has these words.
    pub fn says(&self, condition: &str, words: &str) {
        wait(PATIENCE, || self.reason(condition).contains(words).then_some(()));
    }

    pub fn page(&self, path: &str) -> String {
        let mut answer = ureq::get(format!("http://{}{path}", self.admin)).call().unwrap();
        answer.body_mut().read_to_string().unwrap()
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.dir.join("gate.log")).unwrap_or_default()
    }

    /// The leaf that is served, to a caller who trusts this bundle.
    pub fn serves(&self, bundle: &str) -> Result<CertificateDer<'static>, String> {
        served(&self.listen, bundle)
    }

    /// Kills it; nothing is drained.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One certificate.
pub fn der(pem: &str) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()
}

/// A handshake of a caller who trusts this bundle.
pub fn served(listen: &str, bundle: &str) -> Result<CertificateDer<'static>, String> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(bundle.as_bytes()) {
        roots.add(certificate.map_err(|error| error.to_string())?).map_err(|error| error.to_string())?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("127.0.0.1").map_err(|error| error.to_string())?;
    let mut connection = ClientConnection::new(Arc::new(config), name).map_err(|error| error.to_string())?;
    let mut stream = TcpStream::connect(listen).map_err(|error| error.to_string())?;
    stream.set_read_timeout(Some(Duration::from_secs(20))).map_err(|error| error.to_string())?;
    while connection.is_handshaking() {
        connection.complete_io(&mut stream).map_err(|error| error.to_string())?;
    }
    let shown = connection.peer_certificates().and_then(<[_]>::first).ok_or("no certificate")?;
    Ok(shown.clone().into_owned())
}
