//! Whether each ConfigMap is in force, and what is said of it.

use std::collections::BTreeMap;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::Problems;
use portcullis_cluster::Cluster;
use portcullis_cluster::configmaps::{All, Labelled};
use portcullis_cluster::events::{self, Said, Weight};
use portcullis_telemetry::metrics;

/// Problems of one ConfigMap that an Event spells out.
const PROBLEMS_MAX: usize = 3;

/// What is to be sent.
pub(super) type Waiting = (Labelled, Said);

/// What was last said of each, so that only what is new is said.
pub(super) struct Statuses {
    events: mpsc::Sender<Waiting>,
    last: BTreeMap<String, (String, Said)>,
}

impl Statuses {
    pub(super) fn new(events: mpsc::Sender<Waiting>) -> Self {
        Self { events, last: BTreeMap::new() }
    }

    /// Tells how each fares; `owners` says whose a file of a problem is.
    pub(super) fn tell(
        &mut self,
        all: &All,
        owners: &BTreeMap<String, String>,
        refused: Option<&Problems>,
        revision: &str,
    ) {
        let mut now = BTreeMap::new();
        let (mut good, mut bad) = (0, 0);
        for map in all.values() {
            let said = self.status(map, owners, refused, revision);
            *(if said.weight == Weight::Normal { &mut good } else { &mut bad }) += 1;
            let news = self.last.get(&map.name).is_none_or(|(version, last)| {
                let louder = said.weight == Weight::Warning && said.message != last.message;
                *version != map.version || last.weight != said.weight || louder
            });
            if news && self.events.try_send((map.clone(), said.clone())).is_err() {
                tracing::warn!(configmap = %map.name, message = %said.message, "an Event was dropped: too many wait");
            }
            now.insert(map.name.clone(), (map.version.clone(), said));
        }
        self.last = now;
        metrics::policy_configmaps("in_force", good);
        metrics::policy_configmaps("refused", bad);
    }

    fn status(
        &self,
        map: &Labelled,
        owners: &BTreeMap<String, String>,
        refused: Option<&Problems>,
        revision: &str,
    ) -> Said {
        let in_force = |message: String| Said { weight: Weight::Normal, reason: "PolicyInForce", message };
        let Some(problems) = refused else {
            return in_force(format!("in force as part of law {}", revision.get(..8).unwrap_or(revision)));
        };
        let own = problems.0.iter().filter(|problem| owners.get(&problem.file) == Some(&map.name));
        let own: Vec<String> = own.take(PROBLEMS_MAX).map(ToString::to_string).collect();
        if !own.is_empty() {
            let message = format!("refused, the last good law stays: {}", own.join("; "));
            return Said { weight: Weight::Warning, reason: "PolicyRefused", message };
        }
        match self.last.get(&map.name) {
            // As it is, it is in force: what is refused is somebody else's.
            Some((version, last)) if *version == map.version && last.weight == Weight::Normal => last.clone(),
            _ => {
                let first = problems.0.first().map(ToString::to_string).unwrap_or_default();
                let message = format!("not in force: the whole law is refused for another's sake: {first}");
                Said { weight: Weight::Warning, reason: "PolicyWaits", message }
            }
        }
    }
}

/// Sends what waits until told to stop. An API server that does not take it loses an Event and nothing else.
pub(super) async fn send(cluster: Cluster, mut waiting: mpsc::Receiver<Waiting>, stop: CancellationToken) {
    let mut told = String::new();
    loop {
        let next = tokio::select! {
            () = stop.cancelled() => return,
            next = waiting.recv() => next,
        };
        let Some((map, said)) = next else { return stop.cancelled().await };
        let done = tokio::select! {
            () = stop.cancelled() => return,
            done = events::tell(&cluster, &map, &said) => done,
        };
        if let Err(error) = done.map_err(|error| error.to_string()) {
            if error != told {
                tracing::warn!(configmap = %map.name, %error, "an Event could not be written");
            }
            told = error;
        }
    }
}
