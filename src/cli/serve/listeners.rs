//! The listeners of this process, the ready file that names their addresses, and the decision log's last lines.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::api::BoundApi;
use super::webhook;
use portcullis_admission::Gate;
use portcullis_lifecycle::drain::Drain;
use portcullis_lifecycle::ready::Readiness;
use portcullis_lifecycle::tasks::Tasks;
use portcullis_server::tls::reload::ExternalPairs;
use portcullis_server::{Bound, Drained, Pages, Probes, ServerArgs, ServerError};
use portcullis_telemetry::decisions::DecisionLog;

pub(super) struct Listeners {
    pub(super) ports: Ports,
    pub(super) api: Option<BoundApi>,
}

/// The admin port, and the webhook's unless the process serves the API only.
pub(super) enum Ports {
    Webhook(Box<Bound>),
    Probes(Probes),
}

/// The content of the ready file.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Addresses {
    #[serde(skip_serializing_if = "Option::is_none")]
    webhook: Option<SocketAddr>,
    admin: SocketAddr,
    #[serde(skip_serializing_if = "Option::is_none")]
    api: Option<SocketAddr>,
}

impl Ports {
    pub(super) async fn bind(
        server: ServerArgs,
        webhook: bool,
        handed: Option<ExternalPairs>,
        readiness: &Readiness,
    ) -> Result<Self, ServerError> {
        if webhook {
            return Ok(Self::Webhook(Box::new(server.bind(readiness, handed).await?)));
        }
        Ok(Self::Probes(server.bind_probes(readiness).await?))
    }
}

impl Listeners {
    pub(super) fn addresses(&self) -> Addresses {
        let api = self.api.as_ref().map(BoundApi::address);
        match &self.ports {
            Ports::Webhook(bound) => {
                Addresses { webhook: Some(bound.webhook_address()), admin: bound.admin_address(), api }
            }
            Ports::Probes(probes) => Addresses { webhook: None, admin: probes.address(), api },
        }
    }

    /// Serves until the drain ends; the probes answer until then.
    pub(super) async fn run(
        self,
        gate: Arc<Gate>,
        per_tenant: usize,
        pages: Pages,
        drain: Drain,
    ) -> Result<Drained, ServerError> {
        let api = run_api(self.api, drain.clone());
        match self.ports {
            Ports::Webhook(bound) => {
                let service = webhook::service(gate, per_tenant).map_err(ServerError::Threads)?;
                let reviews = bound.run(service, webhook::owner, pages, drain);
                let (reviews, api) = tokio::try_join!(reviews, api)?;
                Ok(Drained { cut: reviews.cut + api.cut })
            }
            Ports::Probes(probes) => {
                let stop = CancellationToken::new();
                let over = stop.clone();
                let api = async move {
                    let drained = api.await;
                    over.cancel();
                    drained
                };
                let (drained, Ok(())) = tokio::join!(api, probes.run(pages, stop));
                drained
            }
        }
    }
}

async fn run_api(api: Option<BoundApi>, drain: Drain) -> Result<Drained, ServerError> {
    match api {
        Some(api) => api.run(drain).await,
        None => {
            drain.stopping().cancelled().await;
            Ok(Drained { cut: 0 })
        }
    }
}

impl Addresses {
    pub(super) fn log(&self) {
        let Self { webhook, admin, api } = self;
        tracing::info!(webhook = webhook.map(display), %admin, api = api.map(display), "listening");
    }
}

/// Reopens the decision log on SIGHUP, as log rotation expects.
pub(super) fn reopen_decision_log_on_hangup(log: &DecisionLog, tasks: &mut Tasks) {
    let log = log.clone();
    tasks.spawn("decision log", |stop| async move {
        let mut hangup = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::hangup())?;
        loop {
            tokio::select! {
                () = stop.cancelled() => return Ok::<(), std::io::Error>(()),
                _ = hangup.recv() => log.reopen(),
            }
        }
    });
}

/// Removes the ready file that a killed process left behind.
pub(super) fn remove_stale_ready_file(ready_file: Option<&Path>) -> anyhow::Result<()> {
    let Some(path) = ready_file else { return Ok(()) };
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("ready file {}", path.display()))
        }
        _ => Ok(()),
    }
}

/// Writes the ready file when the process is ready, and removes it when the process stops.
pub(super) async fn write_ready_file(
    path: PathBuf,
    addresses: Addresses,
    readiness: Readiness,
    stop: CancellationToken,
) -> Result<(), std::io::Error> {
    tokio::select! {
        () = stop.cancelled() => return Ok(()),
        () = readiness.wait() => {}
    }
    // Renamed into place, so that a reader never sees a part of the file.
    let temporary = path.with_extension("part");
    let mut file = std::fs::File::create(&temporary)?;
    file.write_all(&serde_json::to_vec(&addresses)?)?;
    file.sync_all()?;
    std::fs::rename(&temporary, &path)?;
    tracing::info!(file = %path.display(), "ready");
    stop.cancelled().await;
    let _ = std::fs::remove_file(&path);
    Ok(())
}

pub(super) async fn flush_decision_log(log: DecisionLog, drained: Drained) {
    let written =
        tokio::task::spawn_blocking(move || log.close(Duration::from_secs(2))).await.unwrap_or(false);
    if !written {
        tracing::warn!("the decision log was not flushed within 2s; its last lines are lost");
    }
    if drained.cut > 0 {
        tracing::warn!(connections = drained.cut, "connections were closed at the end of the grace period");
    }
}
