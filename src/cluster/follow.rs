//! A list, and a watch from where it ended: what is there, and every change of it, for as long as somebody listens.
//!
//! Each line of a watch is a sign of life, the bookmarks of a quiet cluster too, so that whoever listens can say how old
//! what he knows is.

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

/// Objects of one answer to a list.
const PAGE: u32 = 500;

/// A watch that ends sooner is not begun again at once: something between us and the API server does not like it.
const SHORT: Duration = Duration::from_secs(1);

const PAUSE_MIN: Duration = Duration::from_millis(200);
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// What a follower is told.
#[derive(Debug)]
pub enum News<K> {
    /// All there is; what is not among it is gone.
    All(Vec<K>),
    /// An object is new or another.
    Is(K),
    /// An object is gone; its last state.
    Gone(K),
    /// The API server is there, and nothing changed.
    Heard,
    /// It cannot be followed at the moment; what is known stays as it is.
    Lost(ClusterError),
}

/// What is followed.
#[derive(Debug, Clone)]
pub struct Followed<K> {
    /// Where it is asked for.
    pub api: Api<K>,
    /// The same in the words of RBAC; the verb is of no matter.
    pub need: Need,
    /// Label selector; empty for all.
    pub labels: String,
    /// Field selector; empty for all.
    pub fields: String,
}

/// Why a watch ended.
enum Ended {
    /// The API server no longer knows the place from where it was to go on (410).
    Forgotten,
    /// As agreed, or cut off; it goes on where it was.
    Again,
    Failed(ClusterError),
}

impl<K: Clone + Debug + DeserializeOwned + Resource> Followed<K> {
    /// Follows until told to stop.
    pub async fn follow(self, stop: CancellationToken, mut tell: impl FnMut(News<K>) + Send) {
        tokio::select! {
            () = stop.cancelled() => {}
            () = self.run(&mut tell) => {}
        }
    }

    async fn run(&self, tell: &mut (impl FnMut(News<K>) + Send)) {
        let (mut at, mut pauses) = (None, pauses());
        loop {
            let begun = Instant::now();
            let ended = match at.as_mut() {
                Some(version) => self.watch(version, tell).await,
                None => match self.list().await {
                    Ok((objects, version)) => {
                        tell(News::All(objects));
                        at = Some(version);
                        continue;
                    }
                    Err(error) => Ended::Failed(error),
                },
            };
            let stood = begun.elapsed() >= SHORT;
            if stood {
                pauses = self::pauses();
            }
            match ended {
                Ended::Again if stood => continue,
                Ended::Again => {}
                Ended::Forgotten => {
                    tracing::debug!(need = %self.need, "the watch is too far behind; listed anew");
                    at = None;
                }
                Ended::Failed(error) => tell(News::Lost(error)),
            }
            tokio::time::sleep(pauses.next().unwrap_or(PAUSE_MAX)).await;
        }
    }

    /// Everything, and the version at which it was so.
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

    /// Watches on from a version, which moves with what is heard.
    async fn watch(&self, version: &mut String, tell: &mut (impl FnMut(News<K>) + Send)) -> Ended {
        let failed = |error: &kube::Error| match error {
            kube::Error::Api(status) if status.code == 410 => Ended::Forgotten,
            other => Ended::Failed(Need { verb: "watch", ..self.need.clone() }.failed(other)),
        };
        let params = WatchParams::default().labels(&self.labels).fields(&self.fields).timeout(WATCH_SECONDS);
        let lines = match self.api.watch(&params, version).await {
            Ok(lines) => lines,
            Err(error) => return failed(&error),
        };
        let mut lines = std::pin::pin!(lines);
        tell(News::Heard);
        loop {
            let (at, news) = match lines.try_next().await {
                Ok(None) => return Ended::Again,
                Ok(Some(WatchEvent::Added(object) | WatchEvent::Modified(object))) => {
                    (object.meta().resource_version.clone(), News::Is(object))
                }
                Ok(Some(WatchEvent::Deleted(object))) => {
                    (object.meta().resource_version.clone(), News::Gone(object))
                }
                Ok(Some(WatchEvent::Bookmark(mark))) => (Some(mark.metadata.resource_version), News::Heard),
                Ok(Some(WatchEvent::Error(status))) => return failed(&kube::Error::Api(status)),
                Err(error) => return failed(&error),
            };
            if let Some(at) = at {
                *version = at;
            }
            tell(news);
        }
    }
}

/// How long to wait after a failure, and after the next; never all replicas at once.
fn pauses() -> impl Iterator<Item = Duration> {
    let builder = ExponentialBuilder::default().with_min_delay(PAUSE_MIN).with_max_delay(PAUSE_MAX);
    builder.with_jitter().without_max_times().build()
}
