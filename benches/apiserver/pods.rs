//! A tenant who creates Pods with `dryRun=All` over kept-alive connections, each from a thread of its own.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;
use ureq::Agent;
use ureq::tls::{Certificate, RootCerts, TlsConfig};

use super::lane::NAMESPACE;
use crate::plane::Plane;

/// Sixteen connections to one API server.
pub struct Clients {
    agents: Vec<Agent>,
    url: String,
}

/// No two Pods have a name or a label in common: to the law, the Pods of a ReplicaSet would be one question.
static NEXT: AtomicUsize = AtomicUsize::new(0);

impl Clients {
    pub fn new(plane: &Plane) -> Self {
        let authority = std::fs::read(plane.dir.join("ca.pem")).unwrap();
        let roots = RootCerts::new_with_certs(&[Certificate::from_pem(&authority).unwrap()]);
        let tls = TlsConfig::builder().root_certs(roots).build();
        let agent = || -> Agent {
            let config = Agent::config_builder().tls_config(tls.clone()).http_status_as_error(false);
            // As long as it takes to register something else.
            config.max_idle_age(Duration::from_mins(10)).build().into()
        };
        let url = format!("{}/api/v1/namespaces/{NAMESPACE}/pods?dryRun=All", plane.server);
        Self { agents: std::iter::repeat_with(agent).take(16).collect(), url }
    }

    /// Creates some Pods over some of the connections, and tells how many a second.
    pub fn create(&mut self, connections: usize, pods: usize) -> f64 {
        let each = pods.div_ceil(connections);
        let started = Instant::now();
        std::thread::scope(|scope| {
            for agent in self.agents.iter().take(connections) {
                scope.spawn(|| (0..each).for_each(|_| self.one(agent)));
            }
        });
        (each * connections) as f64 / started.elapsed().as_secs_f64()
    }

    fn one(&self, agent: &Agent) {
        let request = agent.post(&self.url).header("authorization", "Bearer acme-dev");
        let pod = pod(NEXT.fetch_add(1, Ordering::Relaxed)).to_string();
        let mut answer = request.header("content-type", "application/json").send(&pod).unwrap();
        let told = answer.body_mut().read_to_string().unwrap();
        assert_eq!(answer.status(), 201, "{told}");
    }
}

fn pod(number: usize) -> serde_json::Value {
    let container = |name: &str| {
        json!({
            "name": name, "image": format!("registry.example.com/tenants/acme/{name}:1.4.2"), "imagePullPolicy": "Always",
            "ports": [{"name": "http", "containerPort": 8080}],
            "env": [{"name": "LOG", "value": "info"}, {"name": "NUMBER", "value": number.to_string()}],
            "resources": {"requests": {"cpu": "10m", "memory": "64Mi"}, "limits": {"memory": "128Mi"}},
            "readinessProbe": {"httpGet": {"path": "/ready", "port": "http"}, "periodSeconds": 10},
            "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
        })
    };
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": format!("web-{number}"),
            "labels": {"app": "web", "release": format!("r{number}")},
            "annotations": {"prometheus.io/scrape": "true", "prometheus.io/port": "8080"},
        },
        "spec": {
            "containers": [container("web"), container("sidecar")],
            "volumes": [{"name": "work", "emptyDir": {}}],
            "securityContext": {"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}},
        },
    })
}
