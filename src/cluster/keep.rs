//! The registration as it is in the cluster, watched: `caBundle` is put right where it is not what callers have to trust,
//! by server-side apply of it and the webhooks' names alone; whatever else differs is told and left as it is.

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
use super::follow::{Followed, News};
use super::registration::{self, GROUP, How};
use super::touch::Touch;
use portcullis_lifecycle::ready::Condition;
use portcullis_telemetry::metrics;

/// Who owns `caBundle`, and nothing else.
const MANAGER: &str = "portcullis-ca";

const KINDS: [&str; 2] = ["MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"];

/// Somebody who writes it back each time is met ever more slowly, from a second on to [`PAUSE_MAX`].
const PAUSE_MAX: Duration = Duration::from_mins(1);

/// Everything that callers have to trust, PEM; `None` until it is known.
pub type Bundle = Option<Arc<str>>;

/// What differs between configurations that are there and those that are wanted, a sentence each; `caBundle` is not its matter.
pub type Drift = Box<dyn Fn(&[Value]) -> Vec<String> + Send + Sync>;

/// What is kept.
pub struct Keeper {
    /// Where.
    pub cluster: Cluster,
    /// The name of both configurations.
    pub name: String,
    /// How they call this gate, as [`registration::stranger`] says it.
    pub ours: String,
    /// What they have to trust.
    pub bundle: watch::Receiver<Bundle>,
    /// What else should be in them.
    pub drift: Drift,
    /// Told how it is.
    pub condition: Condition,
    /// Of the watch.
    pub touch: Touch,
}

/// What is needed of RBAC, for these objects alone.
pub fn needs(name: &str) -> Vec<Need> {
    let verbs = ["list", "watch", "patch"];
    let kinds = KINDS.into_iter().map(registration::plural);
    kinds.flat_map(|plural| verbs.map(|verb| Need::new(verb, GROUP, plural).of(name))).collect()
}

impl Keeper {
    /// Keeps it until told to stop.
    ///
    /// # Errors
    /// Never; a task that ends is a task that died.
    pub async fn run(self, stop: CancellationToken) -> Result<(), Infallible> {
        let (news, seen) = watch::channel([None, None]);
        let follow = |at: usize, kind: &'static str| {
            let (news, touch, stop) = (news.clone(), self.touch.clone(), stop.clone());
            let need = Need::new("watch", GROUP, registration::plural(kind)).of(&self.name);
            let api = registration::api(&self.cluster, kind);
            let fields = format!("metadata.name={}", self.name);
            let tell = move |told: News<DynamicObject>| {
                touch.hear(&told);
                let now = match told {
                    News::All(all) => all.first().map(|object| registration::document(kind, object)),
                    News::Is(object) => Some(registration::document(kind, &object)),
                    News::Gone(_) => None,
                    News::Heard | News::Lost(_) => return,
                };
                news.send_modify(|seen| {
                    if let Some(place) = seen.get_mut(at) {
                        *place = Some(now);
                    }
                });
            };
            Followed { api, need, labels: String::new(), fields }.follow(stop, tell)
        };
        let [mutating, validating] = KINDS;
        let (first, second) = (follow(0, mutating), follow(1, validating));
        tokio::join!(first, second, self.keep(seen, &stop));
        Ok(())
    }

    /// `seen` holds for each kind what is there, once it was listed.
    async fn keep(&self, mut seen: watch::Receiver<[Option<Option<Value>>; 2]>, stop: &CancellationToken) {
        let (mut bundle, mut calm) = (self.bundle.clone(), Calm::default());
        loop {
            let known = seen.borrow_and_update().clone();
            let wanted = bundle.borrow_and_update().clone();
            let again = match known {
                [Some(mutating), Some(validating)] => {
                    self.settle(&[mutating, validating], wanted.as_deref(), &mut calm).await
                }
                _ => None,
            };
            let pause = async {
                match again {
                    Some(pause) => tokio::time::sleep(pause).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = pause => {}
                changed = seen.changed() => if changed.is_err() { return stop.cancelled().await },
                Ok(()) = bundle.changed() => {}
            }
        }
    }

    /// Looks at both, writes what is ours to write, and tells the rest. When to look again though nothing changes.
    async fn settle(
        &self,
        found: &[Option<Value>; 2],
        wanted: Option<&str>,
        calm: &mut Calm,
    ) -> Option<Duration> {
        let there: Vec<Value> = found.iter().flatten().cloned().collect();
        if let Some(other) = there.iter().find_map(|one| registration::stranger(one, &self.ours)) {
            metrics::registration_drift(1);
            self.tell(vec![format!(
                "the webhook configurations `{}` call {other} and not {}: another installation has this cluster, \
                 and nothing of it is touched",
                self.name, self.ours
            )]);
            return None;
        }
        let mut flaws = (self.drift)(&there);
        metrics::registration_drift(flaws.len());
        let wrong: Vec<&Value> =
            there.iter().filter(|one| wanted.is_some_and(|pem| !trusts(one, pem))).collect();
        let mut again = None;
        if let (Some(pem), false) = (wanted, wrong.is_empty()) {
            again = calm.pause();
            if again.is_none() {
                for one in wrong {
                    if let Err(error) = self.mend(one, pem).await {
                        again = Some(calm.failed());
                        flaws.push(error.to_string());
                    }
                }
                calm.wrote();
            } else {
                flaws.push("somebody else writes caBundle too, again and again".to_owned());
            }
        }
        self.tell(flaws);
        again
    }

    async fn mend(&self, one: &Value, pem: &str) -> Result<(), ClusterError> {
        let bundle = base64::engine::general_purpose::STANDARD.encode(pem);
        let entries: Vec<Value> = registration::webhooks(one)
            .map(|webhook| json!({"name": webhook.get("name"), "clientConfig": {"caBundle": bundle}}))
            .collect();
        // With its uid, so that one that has just been deleted is not made anew out of nothing but this.
        let document = json!({
            "apiVersion": one.get("apiVersion"), "kind": one.get("kind"), "webhooks": entries,
            "metadata": {"name": self.name, "uid": one.pointer("/metadata/uid")},
        });
        registration::apply(&self.cluster, &document, How { manager: MANAGER, force: true, dry_run: false })
            .await?;
        metrics::registration_mended();
        let configuration = one.get("kind").and_then(Value::as_str).unwrap_or_default();
        tracing::warn!(configuration, "caBundle was not what callers have to trust, and was put right");
        Ok(())
    }

    fn tell(&self, flaws: Vec<String>) {
        if flaws.is_empty() {
            let _ = self.condition.good();
            return;
        }
        let said = flaws.join("; ").replace('\n', " ");
        if self.condition.good_but(format!("not as it should be: {said}")) {
            tracing::error!(places = flaws.len(), "the registration is not as it should be: {said}");
        }
    }
}

/// Whether every webhook trusts exactly this.
fn trusts(configuration: &Value, pem: &str) -> bool {
    let bundle = base64::engine::general_purpose::STANDARD.encode(pem);
    registration::webhooks(configuration)
        .all(|webhook| webhook.pointer("/clientConfig/caBundle").is_some_and(|found| *found == bundle))
}

/// How often was written of late.
#[derive(Default)]
struct Calm {
    last: Option<Instant>,
    streak: u32,
}

impl Calm {
    /// How long to wait before the next write; `None` where it may be now.
    fn pause(&self) -> Option<Duration> {
        let since = self.last?.elapsed();
        let pause = Duration::from_millis(250).saturating_mul(1 << self.streak.min(8)).min(PAUSE_MAX);
        pause.checked_sub(since).filter(|left| !left.is_zero() && self.streak > 1)
    }

    fn wrote(&mut self) {
        let calm = self.last.is_none_or(|last| last.elapsed() > PAUSE_MAX * 2);
        self.streak = if calm { 1 } else { self.streak + 1 };
        self.last = Some(Instant::now());
    }

    fn failed(&self) -> Duration {
        Duration::from_secs(1).saturating_mul(1 << self.streak.min(5))
    }
}
