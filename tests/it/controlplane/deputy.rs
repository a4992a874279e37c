//! KubeVela and Capsule as processes beside a control plane, each under the name that its service account has in a
//! cluster, and with what their own charts would install.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use super::plane::{Plane, programs};
use crate::manifests::tools::tool;
use crate::support::ended;

/// What is installed of a chart.
const KINDS: &[&str] = &[
    "CustomResourceDefinition",
    "ComponentDefinition",
    "TraitDefinition",
    "PolicyDefinition",
    "WorkflowStepDefinition",
    "MutatingWebhookConfiguration",
    "CapsuleConfiguration",
];

/// A controller that writes on others' behalf; ended when dropped.
pub struct Deputy {
    child: Child,
    log: PathBuf,
}

impl Deputy {
    /// Starts a program as this service account, `(namespace, name)`.
    pub fn start(
        plane: &Plane,
        program: &str,
        account: (&str, &str),
        words: &[String],
        env: &[(&str, &str)],
    ) -> Self {
        let log = plane.dir.join(format!("{program}.log"));
        let told = std::fs::File::create(&log).unwrap();
        let mut command = Command::new(programs("deputies").join(program));
        command
            .args(words)
            .envs(env.iter().copied())
            .env("KUBECONFIG", plane.kubeconfig_of(account.0, account.1));
        command.env("HOME", &plane.dir).current_dir(&plane.dir).stdin(Stdio::null());
        let child = command.stdout(told.try_clone().unwrap()).stderr(told).spawn().unwrap();
        ended::with_us(&[child.id()], &plane.dir);
        Self { child, log }
    }

    /// Whether it is still there.
    pub fn runs(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// All that it told.
    pub fn told(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Deputy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What the chart of a program would install; `more` are words for helm, of which those with an `=` are values.
pub fn rendered(program: &str, release: &str, namespace: &str, more: &[&str]) -> Vec<Value> {
    let helm = tool("helm", "helm.sh/helm/v3/cmd/helm").expect("helm");
    let chart = programs("deputies").join(format!("{program}-chart"));
    let mut command = Command::new(helm);
    command.args(["template", release]).arg(chart).args(["--namespace", namespace]);
    for word in more {
        command.args(word.contains('=').then_some("--set")).arg(word);
    }
    let done = command.env("HOME", Path::new("/nonexistent")).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    // Only what is wanted is read: one of Vela's ConfigMaps is no YAML but to Go.
    let text = String::from_utf8(done.stdout).unwrap();
    let kind =
        |part: &&str| part.lines().any(|line| KINDS.iter().any(|kind| line == format!("kind: {kind}")));
    text.split("\n---").filter(kind).map(|part| serde_saphyr::from_str(part).unwrap()).collect()
}

/// Those of these kinds, as kubectl reads them.
pub fn list(documents: &[Value], kinds: &[&str]) -> String {
    let wanted = |document: &&Value| kinds.iter().any(|kind| document["kind"] == *kind);
    let items: Vec<&Value> = documents.iter().filter(wanted).collect();
    assert!(!items.is_empty(), "{kinds:?}");
    serde_json::json!({"apiVersion": "v1", "kind": "List", "items": items}).to_string()
}
