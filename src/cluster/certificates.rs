//! The Secret in which the gate keeps an authority and a certificate of its own making. Every replica runs the same loop;
//! `resourceVersion` is the lock, and whoever loses takes what the winner wrote.
//!
//! ```text
//! Secret ──watch──► read ──► adopt: the leaf to the server, the bundle to who registers
//!   ▲                 │
//!   │ replace         └──► next_step(state, now, what registrations trust) ──► made here ──┐
//!   └── 409: read again ◄──────────────────────────────────────────────────────────────────┘
//! ```
//!
//! While the API server is away, what is held is served. Of a Secret that is deleted or damaged whoever holds a good
//! state makes a good one again; who holds none waits for that first, and then saves what can be saved.

mod secret;
mod turn;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use self::turn::{Keeper, Outcome};
use super::client::Cluster;
use super::error::Need;
use super::follow::{Followed, News};
use portcullis_certs::managed::{Order, Trust};
use portcullis_certs::pair::Pair;
use portcullis_lifecycle::ready::Condition;

/// How often the Secret is looked at although nobody told of a change, and what is due is looked for.
const POLL: Duration = Duration::from_secs(30);

/// After a failure.
const RETRY: Duration = Duration::from_secs(2);

/// Everything that callers have to trust, PEM; `None` until it is known.
pub type Bundle = Option<Arc<str>>;

/// Which Secret, and what is to be in it.
pub struct Certificates {
    /// Where.
    pub cluster: Cluster,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// What is made.
    pub order: Order,
    /// Told how it fares; bad until there is a certificate.
    pub condition: Condition,
}

/// The ends by which others take part.
pub struct Ends {
    /// Pairs to be served.
    pub pairs: watch::Sender<Option<Pair>>,
    /// What callers have to trust.
    pub bundles: watch::Sender<Bundle>,
    /// What callers are seen to trust.
    pub trust: watch::Receiver<Trust>,
}

/// What is needed of RBAC, in one namespace and but for the first on one Secret.
pub fn needs(namespace: &str, name: &str) -> Vec<Need> {
    let need = |verb| Need::new(verb, "", "secrets").within(namespace);
    let mut needs = vec![need("create")];
    needs.extend(["get", "list", "watch", "update"].map(|verb| need(verb).of(name)));
    needs
}

impl Certificates {
    /// Keeps the Secret, and what is served equal to it, until told to stop.
    ///
    /// # Errors
    /// Never; a task that ends is a task that died.
    pub async fn run(self, ends: Ends, stop: CancellationToken) -> Result<(), Infallible> {
        let api: Api<Secret> = Api::namespaced(self.cluster.client.clone(), &self.namespace);
        let need = Need::new("watch", "", "secrets").within(&self.namespace).of(&self.name);
        let fields = format!("metadata.name={}", self.name);
        let followed = Followed { api: api.clone(), need, labels: String::new(), fields };
        let (tell, news) = mpsc::channel(1);
        let heard = move |news: News<Secret>| {
            if !matches!(news, News::Heard | News::Lost(_)) {
                // Full means that a look is already due. What cannot be watched is looked at all the same.
                let _ = tell.try_send(());
            }
        };
        tokio::select! {
            () = followed.follow(stop, heard) => {}
            () = self.work(api, ends, news) => {}
        }
        Ok(())
    }

    async fn work(self, api: Api<Secret>, ends: Ends, mut news: mpsc::Receiver<()>) {
        let mut trust = ends.trust.clone();
        let mut keeper = Keeper::new(self, api, ends);
        loop {
            let pause = match keeper.tend().await {
                Outcome::Rest(until) => until_then(until),
                Outcome::Trouble => RETRY,
            };
            tokio::select! {
                _ = news.recv() => {}
                Ok(()) = trust.changed() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
    }
}

/// Until then, and no longer than [`POLL`]. What waits since a time in the past waits for something else than the time.
fn until_then(until: Timestamp) -> Duration {
    let left = until.duration_since(Timestamp::now());
    match Duration::try_from(left) {
        Ok(left) if !left.is_zero() => left.clamp(Duration::from_millis(200), POLL),
        _ => POLL,
    }
}
