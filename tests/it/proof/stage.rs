//! Three replicas behind a balancer, the ledger on a PostgreSQL of their own, its API, and a real kube-apiserver.

use std::path::PathBuf;
use std::sync::{Arc, RwLock};

use portcullis_admission::cases::Case;
use portcullis_certs::develop::{CertificateAuthority, Use};
use serde_json::json;
use tempfile::TempDir;

use super::balancer::Balancer;
use super::caller::{self, Caller, Outcome, Trust};
use super::load::Load;
use super::replica::{Kit, Replica};
use super::world;
use crate::controlplane::plane::Plane;
use crate::feed::stage::{On, Stage as Ledger};
use crate::support::{Gate, people, portcullis, root, wait};

pub struct Stage {
    pub ledger: Ledger,
    pub api: Gate,
    pub plane: Plane,
    pub balancer: Balancer,
    pub kit: Kit,
    pub replicas: Vec<Replica>,
    pub trust: Trust,
    pub cases: Arc<Vec<Case>>,
    /// Who vouches for what is served.
    pub authority: CertificateAuthority,
    /// How many replicas there ever were: each has a name of its own.
    pub made: usize,
    dir: TempDir,
}

impl Stage {
    pub async fn set() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let ledger = Ledger::new(On::OwnPostgres);
        let api = ledger.api();
        world::make(&ledger, &api);
        let cases = Arc::new(world::told_in_its_ids(&ledger, &api));
        copy(&root().join("policies"), &dir.path().join("policies"));
        let authority = CertificateAuthority::new("proof").unwrap();
        issue(&authority, dir.path());
        let kit = kit(&ledger, &api, dir.path());
        let trust: Trust = Arc::new(RwLock::new(caller::trust(&[authority.cert_pem()])));
        let balancer = Balancer::start().await;
        let plane = Plane::start();
        let replicas = Vec::new();
        let mut stage =
            Self { ledger, api, plane, balancer, kit, replicas, trust, cases, authority, made: 0, dir };
        for _ in 0..3 {
            let replica = stage.another(&[]);
            replica.enter(&stage.balancer);
            stage.replicas.push(replica);
        }
        stage.furnish_cluster();
        stage.register(stage.authority.cert_pem());
        stage.every_case_is_right().await;
        stage
    }

    /// One replica more, ready and not yet in the balancer.
    pub fn another(&mut self, words: &[&str]) -> Replica {
        self.made += 1;
        Replica::start(&self.kit, &format!("gate-{}", self.made), words)
    }

    /// What all replicas share: policies, certificate and key.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// As many connections as an API server that is busy has, at so many reviews a second.
    pub fn load(&self, rate: f64) -> Load {
        let (balancer, trust) = (self.balancer.clone(), Arc::clone(&self.trust));
        Load { balancer, trust, cases: Arc::clone(&self.cases), callers: 16, rate }
    }

    /// Serves a certificate of this authority from now on.
    pub fn issue(&self, authority: &CertificateAuthority) {
        issue(authority, self.dir.path());
    }

    /// Registers the balancer's address with the API server.
    pub fn register(&self, bundle: &str) {
        std::fs::write(self.path("bundle.pem"), bundle).unwrap();
        let url = format!("https://localhost:{}", self.balancer.address.port());
        let done = portcullis()
            .args(["manifests", "--url", &url, "--ca-bundle"])
            .arg(self.path("bundle.pem"))
            .output();
        let done = done.unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        let manifests = String::from_utf8(done.stdout).unwrap();
        let apply = "kubectl apply --server-side --force-conflicts -f -";
        let done = self.plane.shell("root", apply, Some(&manifests));
        assert!(done.ok, "{}", done.err);
    }

    /// The namespaces that the calls through the API server need, and leave for everybody by RBAC.
    fn furnish_cluster(&self) {
        let api = "rbac.authorization.k8s.io";
        let subjects: Vec<_> = people()
            .values()
            .map(|person| json!({"apiGroup": api, "kind": "User", "name": person.username}))
            .collect();
        let mut items = vec![json!({
            "apiVersion": format!("{api}/v1"), "kind": "ClusterRoleBinding", "metadata": {"name": "the-cast"},
            "roleRef": {"apiGroup": api, "kind": "ClusterRole", "name": "cluster-admin"}, "subjects": subjects,
        })];
        items.extend(
            ["tn-acme-shop-sbx-001", "tn-acme-shop-app-frontend"]
                .map(|name| json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})),
        );
        let list = json!({"apiVersion": "v1", "kind": "List", "items": items}).to_string();
        wait(std::time::Duration::from_mins(1), || {
            let done = self.plane.shell("root", "kubectl apply -f -", Some(&list));
            done.ok.then_some(())
        });
    }

    /// Once, before anything happens: the load knows what is right.
    async fn every_case_is_right(&self) {
        let mut caller = Caller::new(self.balancer.address, Arc::clone(&self.trust));
        let mut wrong = Vec::new();
        for case in self.cases.iter() {
            match caller.ask(case).await {
                Outcome::Right => {}
                other => wrong.push(format!("{}: {other:?}", case.id)),
            }
        }
        assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), self.cases.len(), wrong.join("\n"));
    }
}

fn kit(ledger: &Ledger, api: &Gate, dir: &std::path::Path) -> Kit {
    let path = |name: &str| dir.join(name).display().to_string();
    std::fs::write(dir.join("token"), ledger.token("gate", "service")).unwrap();
    let words = [
        ("--ledger", format!("http://{}", api.api)),
        ("--ledger-token", path("token")),
        ("--policies", path("policies")),
        ("--tls-cert", path("tls.pem")),
        ("--tls-key", path("tls-key.pem")),
        ("--drain-delay", "2s".to_owned()),
        // A cold policy on a machine that compiles at the same time is no runaway.
        ("--policy-budget", "2s".to_owned()),
    ];
    Kit {
        program: portcullis().get_program().into(),
        dir: dir.to_owned(),
        words: words.into_iter().flat_map(|(flag, value)| [flag.to_owned(), value]).collect(),
    }
}

/// Writes aside and renames, as whoever replaces a certificate must.
fn issue(authority: &CertificateAuthority, dir: &std::path::Path) {
    let leaf = authority.issue(&["localhost".into(), "127.0.0.1".into()], Use::Server).unwrap();
    leaf.write(&dir.join("tls.pem.part"), &dir.join("tls-key.pem.part")).unwrap();
    for name in ["tls-key.pem", "tls.pem"] {
        std::fs::rename(dir.join(format!("{name}.part")), dir.join(name)).unwrap();
    }
}

fn copy(from: &std::path::Path, to: &std::path::Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target)
        } else {
            drop(std::fs::copy(entry.path(), target))
        }
    }
}
