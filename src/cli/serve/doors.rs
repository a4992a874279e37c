//! The ports of this process, and what is served on them until the drain is over.

use std::net::SocketAddr;
use std::sync::Arc;

use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::api::BoundApi;
use super::webhook;
use portcullis_admission::Gate;
use portcullis_lifecycle::drain::Drain;
use portcullis_lifecycle::ready::Readiness;
use portcullis_server::tls::keeper::Handed;
use portcullis_server::{Bound, Drained, Pages, Probes, ServerArgs, ServerError};

/// Ports that are taken.
pub(super) struct Doors {
    pub(super) ports: Ports,
    pub(super) api: Option<BoundApi>,
}

/// The ports that every process has, with the webhook's or without.
pub(super) enum Ports {
    Webhook(Box<Bound>),
    Probes(Probes),
}

/// Where what is served, as the ready file says it.
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
        handed: Option<Handed>,
        readiness: &Readiness,
    ) -> Result<Self, ServerError> {
        if webhook {
            return Ok(Self::Webhook(Box::new(server.bind(readiness, handed).await?)));
        }
        Ok(Self::Probes(server.bind_probes(readiness).await?))
    }
}

impl Doors {
    pub(super) fn addresses(&self) -> Addresses {
        let api = self.api.as_ref().map(BoundApi::address);
        match &self.ports {
            Ports::Webhook(bound) => {
                Addresses { webhook: Some(bound.webhook_address()), admin: bound.admin_address(), api }
            }
            Ports::Probes(probes) => Addresses { webhook: None, admin: probes.address(), api },
        }
    }

    /// Serves until the drain is over, which all listeners share. Probes are answered to the last.
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
    pub(super) fn tell(&self) {
        let Self { webhook, admin, api } = self;
        tracing::info!(webhook = webhook.map(display), %admin, api = api.map(display), "bound");
    }
}
