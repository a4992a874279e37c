//! The Secret that holds the CA and the server certificate of the gate. Every replica runs the same loop; `resourceVersion` is
//! the lock, and a replica that loses reads what the winner wrote. While the API server does not answer, the current
//! certificate stays in use. A replica that holds a valid state restores a Secret that is deleted or damaged; other replicas
//! wait for that first, and then salvage what is still valid.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Api;
use kube::api::PostParams;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::client::Cluster;
use crate::error::{ClusterError, Need};
use crate::follow::{WatchUpdate, Watcher};
use portcullis_certs::CertError;
use portcullis_certs::managed::{
    CertificateSpec, RotationRequest, SECRET_KEYS, SecretDamage, SecretData, State, Step, Trust, next_step,
};
use portcullis_certs::pair::Pair;
use portcullis_lifecycle::ready::Condition;
use portcullis_telemetry::metrics;

/// How often the Secret is read without a change.
const POLL: Duration = Duration::from_secs(30);

const RETRY: Duration = Duration::from_secs(2);

/// CA certificates that API servers must trust, PEM; `None` until known.
pub type Bundle = Option<Arc<str>>;

pub struct Certificates {
    pub cluster: Cluster,
    pub namespace: String,
    pub name: String,
    pub spec: CertificateSpec,
    /// Bad until there is a certificate.
    pub condition: Condition,
}

pub struct Channels {
    pub pairs: watch::Sender<Option<Pair>>,
    pub bundles: watch::Sender<Bundle>,
    /// What the webhook configurations trust, as the probe found it.
    pub trust: watch::Receiver<Trust>,
}

/// Permissions in one namespace; all but `create` are limited to one Secret.
pub fn needs(namespace: &str, name: &str) -> Vec<Need> {
    let need = |verb| Need::new(verb, "", "secrets").within(namespace);
    let mut needs = vec![need("create")];
    needs.extend(["get", "list", "watch", "update"].map(|verb| need(verb).of(name)));
    needs
}

impl Certificates {
    /// Runs until `stop` is cancelled.
    pub async fn run(self, channels: Channels, stop: CancellationToken) -> Result<(), Infallible> {
        let api: Api<Secret> = Api::namespaced(self.cluster.client.clone(), &self.namespace);
        let need = Need::new("watch", "", "secrets").within(&self.namespace).of(&self.name);
        let fields = format!("metadata.name={}", self.name);
        let watcher = Watcher { api: api.clone(), need, labels: String::new(), fields };
        let (changed, changes) = mpsc::channel(1);
        let update = move |update: WatchUpdate<Secret>| {
            if !matches!(update, WatchUpdate::Alive | WatchUpdate::Failed(_)) {
                // A full channel means that a pass is already due.
                let _ = changed.try_send(());
            }
        };
        tokio::select! {
            () = watcher.follow(stop, update) => {}
            () = self.work(api, channels, changes) => {}
        }
        Ok(())
    }

    async fn work(self, api: Api<Secret>, channels: Channels, mut changes: mpsc::Receiver<()>) {
        let mut trust = channels.trust.clone();
        let mut reconciler = SecretReconciler::new(self, api, channels);
        loop {
            let pause = match reconciler.reconcile().await {
                Outcome::Idle(until) => pause_until(until),
                Outcome::Failed => RETRY,
            };
            tokio::select! {
                _ = changes.recv() => {}
                Ok(()) = trust.changed() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
    }
}

/// At most [`POLL`]. A time in the past means that the step waits for something else.
fn pause_until(until: Timestamp) -> Duration {
    let left = until.duration_since(Timestamp::now());
    match Duration::try_from(left) {
        Ok(left) if !left.is_zero() => left.clamp(Duration::from_millis(200), POLL),
        _ => POLL,
    }
}

/// Tells other tools that `tls.crt` and `tls.key` are a pair.
const TYPE: &str = "kubernetes.io/tls";

/// Annotation by which an operator requests an early rotation: `leaf` or `authority`. It is removed afterwards.
const ROTATE: &str = "portcullis.kubenova.io/rotate";

fn new_secret(namespace: &str, name: &str, state: &State) -> Secret {
    let labels = [("app.kubernetes.io/name", "portcullis"), ("app.kubernetes.io/managed-by", "portcullis")];
    let metadata = ObjectMeta {
        name: Some(name.to_owned()),
        namespace: Some(namespace.to_owned()),
        labels: Some(labels.map(|(key, value)| (key.to_owned(), value.to_owned())).into()),
        ..ObjectMeta::default()
    };
    with_state(Secret { metadata, type_: Some(TYPE.to_owned()), ..Secret::default() }, state)
}

/// Keys and metadata of others stay.
fn with_state(mut secret: Secret, state: &State) -> Secret {
    let data = secret.data.get_or_insert_with(BTreeMap::new);
    data.retain(|key, _| !SECRET_KEYS.contains(&key.as_str()));
    data.extend(state.secret_data().into_iter().map(|(key, value)| (key, ByteString(value))));
    secret
}

fn without_rotate(mut secret: Secret) -> Secret {
    if let Some(annotations) = &mut secret.metadata.annotations {
        annotations.remove(ROTATE);
    }
    secret
}

fn secret_data(secret: &Secret) -> SecretData {
    let data = secret.data.iter().flatten();
    data.map(|(key, value)| (key.clone(), value.0.clone())).collect()
}

fn requested_rotation(secret: &Secret) -> Result<Option<RotationRequest>, String> {
    let annotations = secret.metadata.annotations.as_ref();
    match annotations.and_then(|annotations| annotations.get(ROTATE)).map(String::as_str) {
        None => Ok(None),
        Some("leaf") => Ok(Some(RotationRequest::ServerCertificate)),
        Some("authority") => Ok(Some(RotationRequest::Ca)),
        Some(_) => Err(format!("its annotation `{ROTATE}` is neither `leaf` nor `authority`")),
    }
}

/// Passes in a row before the next change is awaited.
const PASSES_MAX: usize = 16;

/// How long a replica without a valid state waits for another replica to restore a damaged Secret.
const RESTORE_WAIT: Duration = Duration::from_secs(5);

const MANAGER: &str = "portcullis";

struct SecretReconciler {
    config: Certificates,
    api: Api<Secret>,
    channels: Channels,
    held: Option<State>,
    damaged_since: Option<Instant>,
}

enum Outcome {
    /// Nothing is due before this time.
    Idle(Timestamp),
    Failed,
}

enum PassResult {
    Changed,
    Idle(Timestamp, Option<String>),
}

#[derive(Debug, thiserror::Error)]
enum SecretError {
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    #[error("the Secret is damaged: {0}; waiting for another replica that holds a valid state to restore it")]
    Damaged(SecretDamage),
    #[error(transparent)]
    Cert(#[from] CertError),
}

impl SecretReconciler {
    fn new(config: Certificates, api: Api<Secret>, channels: Channels) -> Self {
        Self { config, api, channels, held: None, damaged_since: None }
    }

    async fn reconcile(&mut self) -> Outcome {
        for _ in 0..PASSES_MAX {
            match self.pass().await {
                Ok(PassResult::Changed) => {}
                Ok(PassResult::Idle(until, detail)) => {
                    let changed = match &detail {
                        Some(detail) => self.config.condition.good_but(detail.clone()),
                        None => self.config.condition.good(),
                    };
                    if let Some(detail) = detail.filter(|_| changed) {
                        tracing::info!(secret = %self.full_name(), "{detail}");
                    }
                    return Outcome::Idle(until);
                }
                Err(error) => {
                    self.report(&self.with_all_missing_permissions(error).await);
                    return Outcome::Failed;
                }
            }
        }
        Outcome::Failed
    }

    async fn pass(&mut self) -> Result<PassResult, SecretError> {
        let now = Timestamp::now();
        let name = &self.config.name;
        let found = self.api.get_opt(name).await.map_err(|error| self.need("get").failed(&error))?;
        let Some(found) = found else {
            let state = self.replacement_state(now, None)?;
            return self.create(state).await;
        };
        let state = match self.read(&found, now) {
            Ok(state) => state,
            Err(damage) => {
                let state = self.replacement_state(now, Some((&found, &damage)))?;
                tracing::warn!(secret = %self.full_name(), %damage, "the Secret is damaged and will be restored");
                return self.replace(with_state(found, &state), state, "the Secret was restored").await;
            }
        };
        self.damaged_since = None;
        let (rotation, detail) = match requested_rotation(&found) {
            Ok(rotation) => (rotation, None),
            Err(why) => (None, Some(why)),
        };
        let trust = self.channels.trust.borrow().clone();
        let step = next_step(&state, &self.config.spec, &trust, rotation, now);
        match step {
            Step::Idle(until) => {
                self.adopt(state)?;
                Ok(PassResult::Idle(until, detail))
            }
            Step::WaitForTrust(until) => {
                self.adopt(state)?;
                Ok(PassResult::Idle(until, Some(waiting(until, now))))
            }
            step => {
                let next = state.take(step, &self.config.spec, now)?;
                let done = with_state(found, &next);
                let done = if rotation.is_some_and(|rotation| fulfils(step, rotation)) {
                    without_rotate(done)
                } else {
                    done
                };
                self.replace(done, next, description(step)).await
            }
        }
    }

    /// An expired Secret counts as damaged if this replica holds a state that has not expired.
    fn read(&self, found: &Secret, now: Timestamp) -> Result<State, SecretDamage> {
        let state = State::read(&secret_data(found))?;
        let over = |state: &State| state.signing().not_after() <= now;
        if over(&state) && self.held.as_ref().is_some_and(|held| !over(held)) {
            return Err(SecretDamage { key: "ca.crt", why: "has expired".to_owned() });
        }
        Ok(state)
    }

    /// The state that this replica holds, or what can be salvaged, or a new one.
    fn replacement_state(
        &mut self,
        now: Timestamp,
        damaged: Option<(&Secret, &SecretDamage)>,
    ) -> Result<State, SecretError> {
        if let Some(held) = self.held.as_ref().filter(|held| held.signing().not_after() > now) {
            return Ok(held.clone());
        }
        let spec = &self.config.spec;
        let Some((found, damage)) = damaged else { return Ok(State::create(spec, now)?) };
        if self.damaged_since.get_or_insert_with(Instant::now).elapsed() < RESTORE_WAIT {
            return Err(SecretError::Damaged(damage.clone()));
        }
        match State::salvage(&secret_data(found), spec, now) {
            Ok(saved) => Ok(saved),
            Err(_) => Ok(State::create(spec, now)?),
        }
    }

    async fn create(&mut self, state: State) -> Result<PassResult, SecretError> {
        let secret = new_secret(&self.config.namespace, &self.config.name, &state);
        match self.api.create(&writer(), &secret).await {
            Ok(_) => self.wrote(state, "the Secret was created"),
            Err(error) if is_conflict(&error) => Ok(PassResult::Changed),
            Err(error) => {
                let need = Need::new("create", "", "secrets").within(&self.config.namespace);
                Err(need.failed(&error).into())
            }
        }
    }

    /// Fails on a conflict with any write since the Secret was read.
    async fn replace(&mut self, secret: Secret, state: State, what: &str) -> Result<PassResult, SecretError> {
        match self.api.replace(&self.config.name, &writer(), &secret).await {
            Ok(_) => self.wrote(state, what),
            Err(error) if is_conflict(&error) => Ok(PassResult::Changed),
            Err(error) => Err(self.need("update").failed(&error).into()),
        }
    }

    fn wrote(&mut self, state: State, what: &str) -> Result<PassResult, SecretError> {
        tracing::info!(secret = %self.full_name(), "{what}");
        self.adopt(state)?;
        Ok(PassResult::Changed)
    }

    fn adopt(&mut self, state: State) -> Result<(), CertError> {
        if self.held.as_ref() == Some(&state) {
            return Ok(());
        }
        let served =
            self.held.as_ref().is_some_and(|held| held.server_certificate() == state.server_certificate());
        if !served {
            let pair = state.pair()?;
            let _ = self.channels.pairs.send(Some(pair));
        }
        let bundle = state.bundle();
        self.channels.bundles.send_if_modified(|known| {
            let changed = known.as_deref() != Some(&bundle);
            *known = Some(bundle.into());
            changed
        });
        #[expect(clippy::cast_precision_loss, reason = "exact up to 2^53 s, and a metric is a float")]
        metrics::certificate_expiry("authority", state.signing().not_after().as_second() as f64);
        self.held = Some(state);
        Ok(())
    }

    async fn with_all_missing_permissions(&self, error: SecretError) -> SecretError {
        let SecretError::Cluster(ClusterError::Forbidden(_)) = &error else { return error };
        let needs = needs(&self.config.namespace, &self.config.name);
        match self.config.cluster.check_permissions(&needs).await {
            Err(error @ ClusterError::Forbidden(_)) => error.into(),
            // The access review can differ from the request; the first error stands.
            _ => error,
        }
    }

    fn report(&self, error: &SecretError) {
        let secret = self.full_name();
        let condition = &self.config.condition;
        let changed = if self.held.is_some() {
            condition.good_but(format!("Secret {secret}: {error}; the current certificate stays in use"))
        } else {
            condition.bad(format!("Secret {secret}: {error}"))
        };
        if changed {
            tracing::error!(%secret, error = %error, serving = self.held.is_some(), "certificates cannot be managed");
        }
    }

    fn need(&self, verb: &'static str) -> Need {
        Need::new(verb, "", "secrets").within(&self.config.namespace).of(&self.config.name)
    }

    fn full_name(&self) -> String {
        format!("{}/{}", self.config.namespace, self.config.name)
    }
}

const fn fulfils(step: Step, rotation: RotationRequest) -> bool {
    match step {
        Step::SwitchCa | Step::CreateAll => true,
        Step::RenewServerCertificate => matches!(rotation, RotationRequest::ServerCertificate),
        Step::AddCa => matches!(rotation, RotationRequest::Ca),
        Step::Idle(_) | Step::WaitForTrust(_) | Step::RemovePreviousCas => false,
    }
}

fn writer() -> PostParams {
    PostParams { field_manager: Some(MANAGER.to_owned()), ..PostParams::default() }
}

fn is_conflict(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 409)
}

fn waiting(settled: Timestamp, now: Timestamp) -> String {
    if now < settled {
        return format!("a new CA is trusted and signs from {settled} on");
    }
    "a new CA is ready to sign and waits until every webhook configuration trusts it".to_owned()
}

const fn description(step: Step) -> &'static str {
    match step {
        Step::Idle(_) | Step::WaitForTrust(_) => "unchanged",
        Step::CreateAll => "all certificates had expired; created a new CA and a new server certificate",
        Step::RenewServerCertificate => "created a new server certificate",
        Step::AddCa => "created a new CA, which is trusted and does not sign yet",
        Step::SwitchCa => "the new CA signs; its first server certificate is in use",
        Step::RemovePreviousCas => "removed a previous CA from the bundle",
    }
}
