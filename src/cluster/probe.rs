//! Whether kube-apiserver can believe us: what is served is held against what the webhook configurations trust, by a
//! handshake with our own listener as kube-apiserver would begin it.
//!
//! What it finds is told in readiness, in a metric and in the log, and it never makes the gate unready: all replicas would
//! be unready together, calls that fail at the handshake would fail all the same, and where it is the probe that errs it
//! would have stopped what worked.

mod handshake;
mod registered;

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use self::handshake::{Verdict, shake};
use self::registered::{Client, Registered};
use super::certificates::Bundle;
use super::client::Cluster;
use super::error::{ClusterError, Need};
use portcullis_certs::managed::Trust;
use portcullis_lifecycle::ready::Condition;
use portcullis_telemetry::metrics;

/// Who has just changed something looks again after this, when others have had a moment to follow.
const SETTLE: Duration = Duration::from_millis(500);

const GROUP: &str = "admissionregistration.k8s.io";

/// The two kinds, as metrics name them, and their plurals.
const KINDS: [(&str, &str); 2] =
    [("mutating", "mutatingwebhookconfigurations"), ("validating", "validatingwebhookconfigurations")];

/// What is compared, and where to say what came of it.
pub struct Probe {
    /// Where the configurations are.
    pub cluster: Cluster,
    /// The name of both.
    pub name: String,
    /// Our own listener.
    pub listener: SocketAddr,
    /// How often.
    pub every: Duration,
    /// Told what came of it.
    pub condition: Condition,
    /// Told what is trusted.
    pub trust: watch::Sender<Trust>,
    /// Something of ours changed, hence something may be wrong now.
    pub bundles: watch::Receiver<Bundle>,
}

/// What is needed of RBAC.
pub fn needs(name: &str) -> Vec<Need> {
    KINDS.map(|(_, plural)| Need::new("get", GROUP, plural).of(name)).into()
}

impl Probe {
    /// Looks until told to stop.
    ///
    /// # Errors
    /// Never; a task that ends is a task that died.
    pub async fn run(mut self, stop: CancellationToken) -> Result<(), Infallible> {
        let _ = self.condition.good_but("not looked yet");
        tokio::select! {
            () = stop.cancelled() => Ok(()),
            never = self.work() => match never {},
        }
    }

    async fn work(&mut self) -> Infallible {
        let mut bundles = self.bundles.clone();
        loop {
            let well = self.look().await;
            // Whoever mends something wants to see it.
            let pause = if well { self.every } else { (self.every / 4).max(SETTLE) };
            tokio::select! {
                Ok(()) = bundles.changed() => tokio::time::sleep(SETTLE).await,
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// Whether all is well.
    async fn look(&self) -> bool {
        let registered = match registered::read(&self.cluster, &self.name).await {
            Ok(registered) => registered,
            Err(error) => {
                let error = self.whole(error).await;
                self.trust.send_if_modified(|trust| std::mem::take(trust) != Trust::Unknown);
                self.tell(vec![format!("cannot see what webhook configurations trust: {error}")]);
                return false;
            }
        };
        let bundles = registered.iter().flat_map(|one| &one.clients).map(|client| client.bundle.clone());
        let bundles: BTreeSet<String> = bundles.collect();
        let trust = Trust::Bundles(bundles.into_iter().collect());
        self.trust.send_if_modified(|known| {
            let news = *known != trust;
            *known = trust;
            news
        });
        if registered.iter().all(|one| one.clients.is_empty()) {
            // Before the first registration this is as it should be.
            let _ = self
                .condition
                .good_but(format!("no webhook configuration `{}` is there; nobody calls", self.name));
            return true;
        }
        let mut flaws = Vec::new();
        for one in &registered {
            flaws.extend(self.compare(one).await);
        }
        let well = flaws.is_empty();
        self.tell(flaws);
        well
    }

    /// What is wrong with one configuration.
    async fn compare(&self, registered: &Registered) -> Option<String> {
        let Registered { kind, configuration, clients } = registered;
        if clients.is_empty() {
            // What is nowhere registered has no value, and is no fault of a certificate.
            return None;
        }
        let mut seen = BTreeSet::new();
        let mut refused = None;
        for client in clients {
            let Client { webhook, host, bundle } = client;
            if !seen.insert((host, bundle)) {
                continue;
            }
            match shake(self.listener, bundle, host).await {
                Verdict::Trusted => {}
                Verdict::Untrusted(why) => {
                    refused.get_or_insert(format!(
                        "{configuration} `{}` does not trust what is served: webhook `{webhook}`, as `{host}`: {why}",
                        self.name
                    ));
                }
                Verdict::Unknown(why) => {
                    return Some(format!("cannot see what is served at {}: {why}", self.listener));
                }
            }
        }
        metrics::certificate_trusted(kind, refused.is_none());
        refused
    }

    /// Where something is forbidden, everything that is.
    async fn whole(&self, error: ClusterError) -> ClusterError {
        let ClusterError::Forbidden(_) = &error else { return error };
        match self.cluster.may(&needs(&self.name)).await {
            Err(whole @ ClusterError::Forbidden(_)) => whole,
            _ => error,
        }
    }

    fn tell(&self, flaws: Vec<String>) {
        if flaws.is_empty() {
            if self.condition.good() {
                tracing::info!(configurations = %self.name, "webhook configurations trust what is served");
            }
            return;
        }
        let said = flaws.join("; ");
        if self.condition.good_but(said.clone()) {
            tracing::error!("{said}");
        }
    }
}
