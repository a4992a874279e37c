//! A list, then a watch from its version. Every line of a watch, bookmarks included, proves that the API server is
//! reachable, so a caller knows how old its data is.

use std::fmt::Debug;
use std::time::{Duration, Instant};

use backon::{BackoffBuilder as _, ExponentialBuilder};
use futures_util::TryStreamExt as _;
use kube::Api;
use kube::api::{ListParams, WatchEvent, WatchParams};
use kube::core::Resource;
use serde::de::DeserializeOwned;
use tokio_util::sync::CancellationToken;

use super::client::WATCH_SECONDS;
use super::error::{ClusterError, Need};

const PAGE: u32 = 500;

/// A watch that ends sooner is not restarted at once: a proxy probably cut it off.
const SHORT: Duration = Duration::from_secs(1);

const DELAY_MIN: Duration = Duration::from_millis(200);
const DELAY_MAX: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub enum WatchUpdate<K> {
    /// All objects; objects that are missing from it were deleted.
    Listed(Vec<K>),
    Applied(K),
    /// The last state of the object.
    Deleted(K),
    /// The API server answered and nothing changed.
    Alive,
    /// The watch failed; the known objects stay valid.
    Failed(ClusterError),
}

#[derive(Debug, Clone)]
pub struct Watcher<K> {
    pub api: Api<K>,
    /// The permission of the list and of the watch; the verb is replaced.
    pub need: Need,
    /// Label selector; empty for all.
    pub labels: String,
    /// Field selector; empty for all.
    pub fields: String,
}

enum WatchEnd {
    /// The API server no longer has the version (410 Gone).
    Expired,
    /// Timed out or cut off; the watch continues at its version.
    Closed,
    Failed(ClusterError),
}

impl<K: Clone + Debug + DeserializeOwned + Resource> Watcher<K> {
    /// Runs until `stop` is cancelled.
    pub async fn follow(self, stop: CancellationToken, mut update: impl FnMut(WatchUpdate<K>) + Send) {
        tokio::select! {
            () = stop.cancelled() => {}
            () = self.run(&mut update) => {}
        }
    }

    async fn run(&self, update: &mut (impl FnMut(WatchUpdate<K>) + Send)) {
        let (mut version, mut delays) = (None, delays());
        loop {
            let begun = Instant::now();
            let ended = match version.as_mut() {
                Some(at) => self.watch(at, update).await,
                None => match self.list().await {
                    Ok((objects, listed_at)) => {
                        update(WatchUpdate::Listed(objects));
                        version = Some(listed_at);
                        continue;
                    }
                    Err(error) => WatchEnd::Failed(error),
                },
            };
            let lasted = begun.elapsed() >= SHORT;
            if lasted {
                delays = self::delays();
            }
            match ended {
                WatchEnd::Closed if lasted => continue,
                WatchEnd::Closed => {}
                WatchEnd::Expired => {
                    tracing::debug!(need = %self.need, "the watch version has expired; listing again");
                    version = None;
                }
                WatchEnd::Failed(error) => update(WatchUpdate::Failed(error)),
            }
            tokio::time::sleep(delays.next().unwrap_or(DELAY_MAX)).await;
        }
    }

    async fn list(&self) -> Result<(Vec<K>, String), ClusterError> {
        let failed = |error: &kube::Error| Need { verb: "list", ..self.need.clone() }.failed(error);
        let mut params = ListParams::default().labels(&self.labels).fields(&self.fields).limit(PAGE);
        let mut objects = Vec::new();
        loop {
            let page = self.api.list(&params).await.map_err(|error| failed(&error))?;
            objects.extend(page.items);
            match page.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => params.continue_token = Some(token),
                None => return Ok((objects, page.metadata.resource_version.unwrap_or_default())),
            }
        }
    }

    /// Watches from `version` and advances it.
    async fn watch(
        &self,
        version: &mut String,
        update: &mut (impl FnMut(WatchUpdate<K>) + Send),
    ) -> WatchEnd {
        let failed = |error: &kube::Error| match error {
            kube::Error::Api(status) if status.code == 410 => WatchEnd::Expired,
            other => WatchEnd::Failed(Need { verb: "watch", ..self.need.clone() }.failed(other)),
        };
        let params = WatchParams::default().labels(&self.labels).fields(&self.fields).timeout(WATCH_SECONDS);
        let lines = match self.api.watch(&params, version).await {
            Ok(lines) => lines,
            Err(error) => return failed(&error),
        };
        let mut lines = std::pin::pin!(lines);
        update(WatchUpdate::Alive);
        loop {
            let (at, event) = match lines.try_next().await {
                Ok(None) => return WatchEnd::Closed,
                Ok(Some(WatchEvent::Added(object) | WatchEvent::Modified(object))) => {
                    (object.meta().resource_version.clone(), WatchUpdate::Applied(object))
                }
                Ok(Some(WatchEvent::Deleted(object))) => {
                    (object.meta().resource_version.clone(), WatchUpdate::Deleted(object))
                }
                Ok(Some(WatchEvent::Bookmark(mark))) => {
                    (Some(mark.metadata.resource_version), WatchUpdate::Alive)
                }
                Ok(Some(WatchEvent::Error(status))) => return failed(&kube::Error::Api(status)),
                Err(error) => return failed(&error),
            };
            if let Some(at) = at {
                *version = at;
            }
            update(event);
        }
    }
}

/// Exponential backoff with jitter, so that replicas do not retry at the same time.
fn delays() -> impl Iterator<Item = Duration> {
    let builder = ExponentialBuilder::default().with_min_delay(DELAY_MIN).with_max_delay(DELAY_MAX);
    builder.with_jitter().without_max_times().build()
}
