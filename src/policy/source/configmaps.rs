//! Policies from labelled ConfigMaps of the gate's own namespace: the layer above the directory and below the ledger.
//!
//! A key is a file: `*.rego`, `params.<id>.yaml` or `sets.<name>.yaml`; any other key is refused, because skipping it would
//! surprise its author. Events on the ConfigMap, a metric and readiness report whether it is in force.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::last_good::LastGoodPolicies;
use crate::layers::Layers;
use crate::policy_cell::Reload;
use crate::{Bundle, Problem, Problems};
use portcullis_cluster::Cluster;
use portcullis_cluster::configmaps::{self, ConfigMapData, ConfigMaps};
use portcullis_cluster::events::{self, EventMessage, EventType};
use portcullis_cluster::last_contact::LastContact;
use portcullis_lifecycle::ready::Condition;
use portcullis_telemetry::metrics;

/// `kubectl apply` writes several ConfigMaps one after the other; they are compiled together.
const SETTLE: Duration = Duration::from_millis(100);

/// Events that wait for the API server; more are dropped, since the metric and the log have the same content.
const EVENTS_WAITING: usize = 256;

/// Follows the ConfigMaps that a selector names.
pub struct Follower {
    pub layers: Layers,
    pub cluster: Cluster,
    /// Label selector.
    pub selector: String,
    /// For a start without the API server.
    pub last_good: Option<LastGoodPolicies>,
    /// Whether these policies are in force.
    pub condition: Condition,
    /// Of the watch.
    pub last_contact: LastContact,
}

impl Follower {
    /// Runs until `stop` is cancelled.
    pub async fn run(self, stop: CancellationToken) -> Result<(), Infallible> {
        let Self { layers, cluster, selector, last_good, condition, last_contact } = self;
        let (listed, changed) = watch::channel(None);
        let (events, waiting) = mpsc::channel(EVENTS_WAITING);
        let publish = move |all: ConfigMaps| drop(listed.send_replace(Some(all)));
        let applier =
            Applier { layers, last_good, condition, statuses: Statuses::new(events), has_layer: false };
        tokio::join!(
            configmaps::follow(cluster.clone(), selector, last_contact, publish, stop.clone()),
            applier.run(changed, stop.clone()),
            send_events(cluster, waiting, stop),
        );
        Ok(())
    }
}

/// Compiles the listed ConfigMaps into a layer.
struct Applier {
    layers: Layers,
    last_good: Option<LastGoodPolicies>,
    condition: Condition,
    statuses: Statuses,
    /// Whether a layer was ever set, from the cluster or from disk.
    has_layer: bool,
}

impl Applier {
    async fn run(mut self, mut changed: watch::Receiver<Option<ConfigMaps>>, stop: CancellationToken) {
        self.resume().await;
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                next = changed.changed() => if next.is_err() { return stop.cancelled().await },
            }
            tokio::time::sleep(SETTLE).await;
            let all = changed.borrow_and_update().clone();
            if let Some(all) = all {
                self.apply(&all).await;
            }
        }
    }

    /// Sets the last good layer until the first list; without it the gate would decide by fewer policies.
    async fn resume(&mut self) {
        let Some(bundle) = self.last_good.as_ref().and_then(LastGoodPolicies::read) else { return };
        if let Some(Reload::Unchanged | Reload::Swapped) = self.set_layer(Ok(Some(bundle))).await {
            self.has_layer = true;
            let _ = self
                .condition
                .good_but("the last good policies from disk are in force; the ConfigMaps are not listed yet");
        }
    }

    async fn apply(&mut self, all: &ConfigMaps) {
        let read = files(all);
        let bundle = read.bundle();
        let taken = bundle.clone().ok();
        let Some(reload) = self.set_layer(bundle).await else { return };
        let refused = if let Reload::Refused(problems) = &reload { Some(problems) } else { None };
        if let (None, Some(last_good), Some(taken)) = (refused, &self.last_good, &taken) {
            match taken {
                Some(bundle) => last_good.write(bundle),
                None => last_good.remove(),
            }
        }
        self.has_layer |= refused.is_none();
        self.statuses.report(all, &read.owners, refused, &self.layers.policies().load().digest);
        let _ = match refused.map(|problems| problems.0.first().map(ToString::to_string).unwrap_or_default())
        {
            None => self.condition.good(),
            Some(first) if self.has_layer => self
                .condition
                .good_but(format!("the last good policies are in force; the newest are refused: {first}")),
            // Without this layer the gate would decide by policies that the operator did not choose.
            Some(first) => self.condition.bad(format!(
                "the policies of the ConfigMaps are refused, and there are no earlier ones: {first}"
            )),
        };
    }

    async fn set_layer(&self, bundle: Result<Option<Bundle>, Problems>) -> Option<Reload> {
        let layers = self.layers.clone();
        let done = tokio::task::spawn_blocking(move || layers.set_configmaps(bundle)).await;
        done.inspect_err(|error| tracing::error!(%error, "compiling the policies of the ConfigMaps panicked"))
            .ok()
    }
}

/// The files of all ConfigMaps.
#[derive(Debug, Default)]
struct ConfigMapFiles {
    texts: Vec<(String, Vec<u8>)>,
    /// Path in the bundle → name of the ConfigMap.
    owners: BTreeMap<String, String>,
    problems: Vec<Problem>,
}

impl ConfigMapFiles {
    fn bundle(&self) -> Result<Option<Bundle>, Problems> {
        let read = if self.texts.is_empty() {
            Ok(None)
        } else {
            Bundle::from_files(self.texts.iter().cloned()).map(Some)
        };
        let mut problems = Problems(self.problems.clone());
        match read {
            Ok(bundle) => problems.into_result(bundle),
            Err(more) => {
                problems.0.extend(more.0);
                problems.into_result(None)
            }
        }
    }
}

fn files(all: &ConfigMaps) -> ConfigMapFiles {
    let mut found = ConfigMapFiles::default();
    for map in all.values() {
        let keys = map.data.keys().chain(&map.binary);
        for key in keys {
            let own = format!("configmaps/{}/{key}", map.name);
            let Some(path) = path(&own, key).filter(|_| map.data.contains_key(key)) else {
                let message = "is not a policy file: a key must be *.rego, params.<id>.yaml or sets.<name>.yaml, and its value text";
                found.owners.insert(own.clone(), map.name.clone());
                found.problems.push(Problem::of(&own, message));
                continue;
            };
            if let Some(other) = found.owners.insert(path.clone(), map.name.clone()) {
                found.owners.insert(own.clone(), map.name.clone());
                found.problems.push(Problem::of(&own, format!("is already given by ConfigMap {other}")));
            }
            let text = map.data.get(key).cloned().unwrap_or_default();
            found.texts.push((path, text.into_bytes()));
        }
    }
    found
}

/// The path in the bundle; `None` for a key that is not a policy file.
fn path(own: &str, key: &str) -> Option<String> {
    let middle = |start: &str, end: &str| {
        key.strip_prefix(start)?.strip_suffix(end).filter(|name| !name.is_empty()).map(str::to_owned)
    };
    if middle("", ".rego").is_some_and(|name| !name.starts_with('.')) {
        return Some(own.to_owned());
    }
    let data = ["yaml", "yml", "json"]
        .into_iter()
        .find_map(|form| Some(format!("params/{}/data.{form}", middle("params.", &format!(".{form}"))?)));
    data.or_else(|| Some(format!("sets/{}.yaml", middle("sets.", ".yaml")?)))
}

/// Problems of one ConfigMap that an Event lists.
const PROBLEMS_MAX: usize = 3;

type PendingEvent = (ConfigMapData, EventMessage);

/// The last Event of each ConfigMap, so that a repeat is not sent.
struct Statuses {
    events: mpsc::Sender<PendingEvent>,
    /// By name: resourceVersion and Event.
    last: BTreeMap<String, (String, EventMessage)>,
}

impl Statuses {
    fn new(events: mpsc::Sender<PendingEvent>) -> Self {
        Self { events, last: BTreeMap::new() }
    }

    /// Queues an Event for each ConfigMap whose status changed. `owners`: file → ConfigMap.
    fn report(
        &mut self,
        all: &ConfigMaps,
        owners: &BTreeMap<String, String>,
        refused: Option<&Problems>,
        revision: &str,
    ) {
        let mut now = BTreeMap::new();
        let (mut good, mut bad) = (0, 0);
        for map in all.values() {
            let event = self.status(map, owners, refused, revision);
            *(if event.event_type == EventType::Normal { &mut good } else { &mut bad }) += 1;
            let changed = self.last.get(&map.name).is_none_or(|(version, last)| {
                let new_problem = event.event_type == EventType::Warning && event.message != last.message;
                *version != map.version || last.event_type != event.event_type || new_problem
            });
            if changed && self.events.try_send((map.clone(), event.clone())).is_err() {
                tracing::warn!(configmap = %map.name, message = %event.message, "an Event was dropped: too many wait");
            }
            now.insert(map.name.clone(), (map.version.clone(), event));
        }
        self.last = now;
        metrics::policy_configmaps("in_force", good);
        metrics::policy_configmaps("refused", bad);
    }

    fn status(
        &self,
        map: &ConfigMapData,
        owners: &BTreeMap<String, String>,
        refused: Option<&Problems>,
        revision: &str,
    ) -> EventMessage {
        let in_force = |message: String| EventMessage {
            event_type: EventType::Normal,
            reason: "PolicyInForce",
            message,
        };
        let Some(problems) = refused else {
            return in_force(format!(
                "in force as part of policies {}",
                revision.get(..8).unwrap_or(revision)
            ));
        };
        let own = problems.0.iter().filter(|problem| owners.get(&problem.file) == Some(&map.name));
        let own: Vec<String> = own.take(PROBLEMS_MAX).map(ToString::to_string).collect();
        if !own.is_empty() {
            let message = format!("refused, the last good policies stay in force: {}", own.join("; "));
            return EventMessage { event_type: EventType::Warning, reason: "PolicyRefused", message };
        }
        match self.last.get(&map.name) {
            // This version is in force already; the problem is in another ConfigMap.
            Some((version, last)) if *version == map.version && last.event_type == EventType::Normal => {
                last.clone()
            }
            _ => {
                let first = problems.0.first().map(ToString::to_string).unwrap_or_default();
                let message =
                    format!("not in force: all policies are refused because of a problem elsewhere: {first}");
                EventMessage { event_type: EventType::Warning, reason: "PolicyWaits", message }
            }
        }
    }
}

/// Sends queued Events until `stop` is cancelled. An Event that cannot be written is dropped.
async fn send_events(cluster: Cluster, mut waiting: mpsc::Receiver<PendingEvent>, stop: CancellationToken) {
    let mut last_error = String::new();
    loop {
        let next = tokio::select! {
            () = stop.cancelled() => return,
            next = waiting.recv() => next,
        };
        let Some((map, event)) = next else { return stop.cancelled().await };
        let done = tokio::select! {
            () = stop.cancelled() => return,
            done = events::publish(&cluster, &map, &event) => done,
        };
        if let Err(error) = done.map_err(|error| error.to_string()) {
            if error != last_error {
                tracing::warn!(configmap = %map.name, %error, "an Event could not be written");
            }
            last_error = error;
        }
    }
}

#[cfg(test)]
mod tests;
