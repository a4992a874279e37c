//! A controller that corrects `caBundle` of the webhook configurations. It applies only that field and the names of the
//! webhooks; other differences are reported and left as they are.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine as _;
use kube::api::DynamicObject;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::client::Cluster;
use super::error::{ClusterError, Need};
use super::follow::{WatchUpdate, Watcher};
use super::last_contact::LastContact;
use super::registration::{self, ApplyOptions, GROUP};
use portcullis_lifecycle::ready::Condition;
use portcullis_telemetry::metrics;

/// Field manager that owns `caBundle` and nothing else.
const MANAGER: &str = "portcullis-ca";

const KINDS: [&str; 2] = ["MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"];

/// Longest delay between writes when another writer keeps changing the field back.
const PAUSE_MAX: Duration = Duration::from_mins(1);

/// CA certificates that API servers must trust, PEM; `None` until known.
pub type Bundle = Option<Arc<str>>;

/// Differences from the expected configurations other than `caBundle`, a sentence each.
pub type Drift = Box<dyn Fn(&[Value]) -> Vec<String> + Send + Sync>;

pub struct CaBundleController {
    pub cluster: Cluster,
    /// Name of both configurations.
    pub name: String,
    /// Target of this gate in the form of [`registration::foreign_target`].
    pub ours: String,
    pub bundle: watch::Receiver<Bundle>,
    pub drift: Drift,
    pub condition: Condition,
    pub last_contact: LastContact,
}

/// Permissions, limited to these objects.
pub fn needs(name: &str) -> Vec<Need> {
    let verbs = ["list", "watch", "patch"];
    let kinds = KINDS.into_iter().map(registration::plural);
    kinds.flat_map(|plural| verbs.map(|verb| Need::new(verb, GROUP, plural).of(name))).collect()
}

impl CaBundleController {
    /// Runs until `stop` is cancelled.
    pub async fn run(self, stop: CancellationToken) -> Result<(), Infallible> {
        let (sender, configurations) = watch::channel([None, None]);
        let follow = |at: usize, kind: &'static str| {
            let (sender, contact, stop) = (sender.clone(), self.last_contact.clone(), stop.clone());
            let need = Need::new("watch", GROUP, registration::plural(kind)).of(&self.name);
            let api = registration::api(&self.cluster, kind);
            let fields = format!("metadata.name={}", self.name);
            let update = move |update: WatchUpdate<DynamicObject>| {
                contact.observe(&update);
                let now = match update {
                    WatchUpdate::Listed(all) => {
                        all.first().map(|object| registration::document(kind, object))
                    }
                    WatchUpdate::Applied(object) => Some(registration::document(kind, &object)),
                    WatchUpdate::Deleted(_) => None,
                    WatchUpdate::Alive | WatchUpdate::Failed(_) => return,
                };
                sender.send_modify(|configurations| {
                    if let Some(slot) = configurations.get_mut(at) {
                        *slot = Some(now);
                    }
                });
            };
            Watcher { api, need, labels: String::new(), fields }.follow(stop, update)
        };
        let [mutating, validating] = KINDS;
        let (first, second) = (follow(0, mutating), follow(1, validating));
        tokio::join!(first, second, self.reconcile_loop(configurations, &stop));
        Ok(())
    }

    /// `configurations` holds each kind once it was listed; the inner `None` means that it does not exist.
    async fn reconcile_loop(
        &self,
        mut configurations: watch::Receiver<[Option<Option<Value>>; 2]>,
        stop: &CancellationToken,
    ) {
        let (mut bundle, mut backoff) = (self.bundle.clone(), WriteBackoff::default());
        loop {
            let known = configurations.borrow_and_update().clone();
            let expected = bundle.borrow_and_update().clone();
            let retry = match known {
                [Some(mutating), Some(validating)] => {
                    self.reconcile(&[mutating, validating], expected.as_deref(), &mut backoff).await
                }
                _ => None,
            };
            let pause = async {
                match retry {
                    Some(pause) => tokio::time::sleep(pause).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = pause => {}
                changed = configurations.changed() => if changed.is_err() { return stop.cancelled().await },
                Ok(()) = bundle.changed() => {}
            }
        }
    }

    /// Corrects and reports; returns when to run again although nothing changes.
    async fn reconcile(
        &self,
        found: &[Option<Value>; 2],
        expected: Option<&str>,
        backoff: &mut WriteBackoff,
    ) -> Option<Duration> {
        let present: Vec<Value> = found.iter().flatten().cloned().collect();
        if let Some(other) = present.iter().find_map(|one| registration::foreign_target(one, &self.ours)) {
            metrics::webhook_config_drift(1);
            self.report(vec![format!(
                "the webhook configurations `{}` call {other}, not {}: they belong to another installation and are not \
                 changed",
                self.name, self.ours
            )]);
            return None;
        }
        let mut problems = (self.drift)(&present);
        metrics::webhook_config_drift(problems.len());
        let wrong: Vec<&Value> =
            present.iter().filter(|one| expected.is_some_and(|pem| !trusts(one, pem))).collect();
        let mut retry = None;
        if let (Some(pem), false) = (expected, wrong.is_empty()) {
            retry = backoff.pause();
            if retry.is_none() {
                for one in wrong {
                    if let Err(error) = self.repair(one, pem).await {
                        retry = Some(backoff.failed());
                        problems.push(error.to_string());
                    }
                }
                backoff.wrote();
            } else {
                problems.push("another writer keeps changing caBundle".to_owned());
            }
        }
        self.report(problems);
        retry
    }

    async fn repair(&self, one: &Value, pem: &str) -> Result<(), ClusterError> {
        let bundle = base64::engine::general_purpose::STANDARD.encode(pem);
        let entries: Vec<Value> = registration::webhooks(one)
            .map(|webhook| json!({"name": webhook.get("name"), "clientConfig": {"caBundle": bundle}}))
            .collect();
        // The uid prevents a configuration that was just deleted from being created with this field alone.
        let document = json!({
            "apiVersion": one.get("apiVersion"), "kind": one.get("kind"), "webhooks": entries,
            "metadata": {"name": self.name, "uid": one.pointer("/metadata/uid")},
        });
        registration::apply(
            &self.cluster,
            &document,
            ApplyOptions { manager: MANAGER, force: true, dry_run: false },
        )
        .await?;
        metrics::ca_bundle_repaired();
        let configuration = one.get("kind").and_then(Value::as_str).unwrap_or_default();
        tracing::warn!(configuration, "caBundle did not hold the expected certificates and was corrected");
        Ok(())
    }

    fn report(&self, problems: Vec<String>) {
        if problems.is_empty() {
            let _ = self.condition.good();
            return;
        }
        let message = problems.join("; ").replace('\n', " ");
        if self.condition.good_but(format!("differs from the expected state: {message}")) {
            tracing::error!(
                count = problems.len(),
                "webhook configurations differ from the expected state: {message}"
            );
        }
    }
}

fn trusts(configuration: &Value, pem: &str) -> bool {
    let bundle = base64::engine::general_purpose::STANDARD.encode(pem);
    registration::webhooks(configuration)
        .all(|webhook| webhook.pointer("/clientConfig/caBundle").is_some_and(|found| *found == bundle))
}

#[derive(Default)]
struct WriteBackoff {
    last: Option<Instant>,
    streak: u32,
}

impl WriteBackoff {
    /// How long to wait before the next write; `None` if it may happen now.
    fn pause(&self) -> Option<Duration> {
        let since = self.last?.elapsed();
        let pause = Duration::from_millis(250).saturating_mul(1 << self.streak.min(8)).min(PAUSE_MAX);
        pause.checked_sub(since).filter(|left| !left.is_zero() && self.streak > 1)
    }

    fn wrote(&mut self) {
        let quiet = self.last.is_none_or(|last| last.elapsed() > PAUSE_MAX * 2);
        self.streak = if quiet { 1 } else { self.streak + 1 };
        self.last = Some(Instant::now());
    }

    fn failed(&self) -> Duration {
        Duration::from_secs(1).saturating_mul(1 << self.streak.min(5))
    }
}
