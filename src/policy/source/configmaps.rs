//! Law out of labelled ConfigMaps of the gate's own namespace: a layer over the directory and under the ledger.
//!
//! A key is a file. `*.rego` is a module, `params.<id>.yaml` the parameters of a policy, `sets.<name>.yaml` a policy set; any
//! other key is refused rather than passed over, because its author believes that it is law. Nothing is ever written into
//! a ConfigMap: whether it is in force is said by Events on it, one for each replica, by a metric and by readiness.

mod status;

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use self::status::Statuses;
use super::kept::Kept;
use crate::layers::Layers;
use crate::live::Reload;
use crate::{Bundle, Problem, Problems};
use portcullis_cluster::Cluster;
use portcullis_cluster::configmaps::{self, All};
use portcullis_cluster::touch::Touch;
use portcullis_lifecycle::ready::Condition;

/// Whoever applies several ConfigMaps writes one after the other; what is taken together is judged together.
const SETTLE: Duration = Duration::from_millis(100);

/// Events that wait for the API server; more are dropped, for the metric and the log have them too.
const EVENTS_WAITING: usize = 256;

/// Follows the ConfigMaps that a selector names.
pub struct Follower {
    /// What the layer is one of.
    pub layers: Layers,
    /// Whose ConfigMaps.
    pub cluster: Cluster,
    /// Which of them.
    pub selector: String,
    /// Where the last good ones are kept, for a start without the API server.
    pub kept: Option<Kept>,
    /// Of the law that they make.
    pub condition: Condition,
    /// Of the watch.
    pub touch: Touch,
}

impl Follower {
    /// Runs until told to stop.
    ///
    /// # Errors
    /// Never; a task that ends is a task that died.
    pub async fn run(self, stop: CancellationToken) -> Result<(), Infallible> {
        let Self { layers, cluster, selector, kept, condition, touch } = self;
        let (news, changed) = watch::channel(None);
        let (events, waiting) = mpsc::channel(EVENTS_WAITING);
        let tell = move |all: All| drop(news.send_replace(Some(all)));
        let taker = Taker { layers, kept, condition, statuses: Statuses::new(events), known: false };
        tokio::join!(
            configmaps::follow(cluster.clone(), selector, touch, tell, stop.clone()),
            taker.run(changed, stop.clone()),
            status::send(cluster, waiting, stop),
        );
        Ok(())
    }
}

/// Takes what is followed into the law.
struct Taker {
    layers: Layers,
    kept: Option<Kept>,
    condition: Condition,
    statuses: Statuses,
    /// Whether the layer was ever known, from the cluster or from disk.
    known: bool,
}

impl Taker {
    async fn run(mut self, mut changed: watch::Receiver<Option<All>>, stop: CancellationToken) {
        self.resume().await;
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                next = changed.changed() => if next.is_err() { return stop.cancelled().await },
            }
            tokio::time::sleep(SETTLE).await;
            let all = changed.borrow_and_update().clone();
            if let Some(all) = all {
                self.take(&all).await;
            }
        }
    }

    /// What was kept is the law until the first list: less would be another law.
    async fn resume(&mut self) {
        let Some(bundle) = self.kept.as_ref().and_then(Kept::read) else { return };
        if let Some(Reload::Unchanged | Reload::Swapped) = self.put(Ok(Some(bundle))).await {
            self.known = true;
            let _ = self.condition.good_but("by the ConfigMaps as they were kept; not listed yet");
        }
    }

    async fn take(&mut self, all: &All) {
        let read = files(all);
        let bundle = read.bundle();
        let taken = bundle.clone().ok();
        let Some(reload) = self.put(bundle).await else { return };
        let refused = if let Reload::Refused(problems) = &reload { Some(problems) } else { None };
        if let (None, Some(kept), Some(taken)) = (refused, &self.kept, &taken) {
            match taken {
                Some(bundle) => kept.write(bundle),
                None => kept.remove(),
            }
        }
        self.known |= refused.is_none();
        self.statuses.tell(all, &read.owners, refused, &self.layers.live().load().digest);
        let _ = match refused.map(|problems| problems.0.first().map(ToString::to_string).unwrap_or_default())
        {
            None => self.condition.good(),
            Some(first) if self.known => self
                .condition
                .good_but(format!("the last good law is in force; the newest is refused: {first}")),
            // Without the layer the gate would decide by a law that nobody wrote.
            Some(first) => self
                .condition
                .bad(format!("the law of the ConfigMaps is refused, and none was before it: {first}")),
        };
    }

    async fn put(&self, bundle: Result<Option<Bundle>, Problems>) -> Option<Reload> {
        let layers = self.layers.clone();
        let done = tokio::task::spawn_blocking(move || layers.between(bundle)).await;
        done.inspect_err(|error| tracing::error!(%error, "a law of ConfigMaps could not be compiled")).ok()
    }
}

/// The files of all ConfigMaps, and whose each is.
#[derive(Debug, Default)]
struct Files {
    texts: Vec<(String, Vec<u8>)>,
    /// Path in the bundle → name of the ConfigMap.
    owners: BTreeMap<String, String>,
    problems: Vec<Problem>,
}

impl Files {
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

fn files(all: &All) -> Files {
    let mut found = Files::default();
    for map in all.values() {
        let keys = map.data.keys().chain(&map.binary);
        for key in keys {
            let own = format!("configmaps/{}/{key}", map.name);
            let Some(path) = path(&own, key).filter(|_| map.data.contains_key(key)) else {
                let message = "is no law: a key is *.rego, params.<id>.yaml or sets.<name>.yaml, and text";
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

/// The path in the bundle; `None` for what is no law.
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

#[cfg(test)]
mod tests;
