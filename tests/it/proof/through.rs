//! Writes through the API server all the while, as people: what the gate answers reaches them.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::json;
use ureq::Agent;
use ureq::tls::{Certificate, RootCerts, TlsConfig};

use crate::controlplane::plane::Plane;

/// Between two writes.
const PACE: Duration = Duration::from_millis(50);

/// What came of the writes.
#[derive(Debug, Clone, Default)]
pub struct Writes {
    pub sent: usize,
    pub wrong: Vec<String>,
    /// The API server got no answer from the gate.
    pub unanswered: Vec<String>,
    /// The API server itself gave no answer.
    pub away: usize,
}

pub struct Writing {
    writes: Arc<Mutex<Writes>>,
    over: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

/// Who writes a ConfigMap where, and the status and a part of the sentence that must come back.
const KNOWN: &[(&str, &str, u16, &str)] = &[
    ("acme-dev", "tn-acme-shop-sbx-001", 201, ""),
    ("acme-dev", "tn-acme-shop-app-frontend", 403, "app-namespace-read-only"),
    ("globex-dev", "tn-acme-shop-sbx-001", 403, "denied the request"),
    ("root", "tn-acme-shop-sbx-001", 201, ""),
];

impl Writing {
    pub fn begin(plane: &Plane) -> Self {
        let ca = std::fs::read(plane.dir.join("ca.pem")).unwrap();
        let roots = RootCerts::new_with_certs(&[Certificate::from_pem(&ca).unwrap()]);
        let agent: Agent = Agent::config_builder()
            .tls_config(TlsConfig::builder().root_certs(roots).build())
            .http_status_as_error(false)
            .timeout_global(Some(Duration::from_secs(30)))
            .build()
            .into();
        let (writes, over) = (Arc::new(Mutex::new(Writes::default())), Arc::new(AtomicBool::new(false)));
        let (server, told, ended) = (plane.server.clone(), Arc::clone(&writes), Arc::clone(&over));
        let thread = std::thread::spawn(move || {
            let (_sender, never) = mpsc::channel::<()>();
            for known in KNOWN.iter().cycle() {
                if ended.load(Ordering::Relaxed) {
                    return;
                }
                let done = write(&agent, &server, known);
                told.lock().unwrap().note(known, done);
                let _ = never.recv_timeout(PACE);
            }
        });
        Self { writes, over, thread }
    }

    pub fn end(self) -> Writes {
        self.over.store(true, Ordering::Relaxed);
        self.thread.join().unwrap();
        std::mem::take(&mut *self.writes.lock().unwrap())
    }
}

fn write(
    agent: &Agent,
    server: &str,
    (who, namespace, ..): &(&str, &str, u16, &str),
) -> Result<(u16, String), ureq::Error> {
    let url = format!("{server}/api/v1/namespaces/{namespace}/configmaps?dryRun=All");
    let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"generateName": "proof-"}});
    let request = agent.post(&url).header("Authorization", format!("Bearer {who}"));
    let mut response = request.content_type("application/json").send(object.to_string())?;
    Ok((response.status().as_u16(), response.body_mut().read_to_string()?))
}

impl Writes {
    fn note(
        &mut self,
        (who, namespace, status, part): &(&str, &str, u16, &str),
        done: Result<(u16, String), ureq::Error>,
    ) {
        self.sent += 1;
        match done {
            Ok((found, said)) if found == *status && said.contains(part) => {}
            Ok((_, said)) if said.contains("failed calling webhook") => self.unanswered.push(said),
            // A server that starts knows nobody and nobody's rights yet, and says so itself.
            Ok((401 | 403 | 429 | 500 | 503, said)) if !said.contains("admission webhook") => self.away += 1,
            Ok((found, said)) => self.wrong.push(format!("{who} in {namespace}: {found} {said}")),
            Err(_) => self.away += 1,
        }
    }
}
