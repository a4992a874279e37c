//! Compares the certificate that the gate serves with the `caBundle` of the webhook configurations, by a TLS handshake with the
//! gate's own listener. The result is in readiness, a metric and the log, and never makes the gate unready: all replicas would
//! be unready together, and an error of the probe would stop a gate that works.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use hyper::Uri;
use jiff::Timestamp;
use k8s_openapi::api::admissionregistration::v1::{
    MutatingWebhookConfiguration, ValidatingWebhookConfiguration, WebhookClientConfig,
};
use kube::Api;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_util::sync::CancellationToken;

use crate::certificates::Bundle;
use crate::client::Cluster;
use crate::error::{ClusterError, Need};
use portcullis_certs::managed::{Trust, roots};
use portcullis_lifecycle::ready::Condition;
use portcullis_telemetry::metrics;

/// Delay after a change, so that other components can follow.
const SETTLE: Duration = Duration::from_millis(500);

const GROUP: &str = "admissionregistration.k8s.io";

/// Label of the metric, and plural.
const KINDS: [(&str, &str); 2] =
    [("mutating", "mutatingwebhookconfigurations"), ("validating", "validatingwebhookconfigurations")];

pub struct Probe {
    pub cluster: Cluster,
    /// Name of both configurations.
    pub name: String,
    pub listener: SocketAddr,
    pub every: Duration,
    pub condition: Condition,
    pub trust: watch::Sender<Trust>,
    /// A change triggers a check.
    pub bundles: watch::Receiver<Bundle>,
}

pub fn needs(name: &str) -> Vec<Need> {
    KINDS.map(|(_, plural)| Need::new("get", GROUP, plural).of(name)).into()
}

impl Probe {
    /// Runs until `stop` is cancelled.
    pub async fn run(mut self, stop: CancellationToken) -> Result<(), Infallible> {
        let _ = self.condition.good_but("not checked yet");
        tokio::select! {
            () = stop.cancelled() => Ok(()),
            never = self.work() => match never {},
        }
    }

    async fn work(&mut self) -> Infallible {
        let mut bundles = self.bundles.clone();
        loop {
            let trusted = self.check().await;
            // An operator who repairs something sees the result sooner.
            let pause = if trusted { self.every } else { (self.every / 4).max(SETTLE) };
            tokio::select! {
                Ok(()) = bundles.changed() => tokio::time::sleep(SETTLE).await,
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    async fn check(&self) -> bool {
        let configurations = match read_configurations(&self.cluster, &self.name).await {
            Ok(configurations) => configurations,
            Err(error) => {
                let error = self.with_all_missing_permissions(error).await;
                self.trust.send_if_modified(|trust| std::mem::take(trust) != Trust::Unknown);
                self.report(vec![format!("cannot read the caBundle of the webhook configurations: {error}")]);
                return false;
            }
        };
        let bundles = configurations.iter().flat_map(|one| &one.clients).map(|client| client.bundle.clone());
        let bundles: BTreeSet<String> = bundles.collect();
        let trust = Trust::Bundles(bundles.into_iter().collect());
        self.trust.send_if_modified(|known| {
            let changed = *known != trust;
            *known = trust;
            changed
        });
        if configurations.iter().all(|one| one.clients.is_empty()) {
            // Expected before the webhook configurations are applied.
            let _ = self.condition.good_but(format!(
                "webhook configuration `{}` does not exist, so the API server sends no reviews",
                self.name
            ));
            return true;
        }
        let mut problems = Vec::new();
        for one in &configurations {
            problems.extend(self.compare(one).await);
        }
        let trusted = problems.is_empty();
        self.report(problems);
        trusted
    }

    async fn compare(&self, configuration: &WebhookConfiguration) -> Option<String> {
        let WebhookConfiguration { label, kind, clients } = configuration;
        if clients.is_empty() {
            // Without a configuration the metric has no value.
            return None;
        }
        let mut seen = BTreeSet::new();
        let mut problem = None;
        for client in clients {
            let Client { webhook, host, bundle } = client;
            if !seen.insert((host, bundle)) {
                continue;
            }
            match handshake(self.listener, bundle, host).await {
                Handshake::Trusted => {}
                Handshake::Untrusted(why) => {
                    problem.get_or_insert(format!(
                        "{kind} `{}` does not trust the served certificate: webhook `{webhook}`, as `{host}`: {why}",
                        self.name
                    ));
                }
                Handshake::Unknown(why) => {
                    return Some(format!("cannot read the certificate served at {}: {why}", self.listener));
                }
            }
        }
        metrics::certificate_trusted(label, problem.is_none());
        problem
    }

    async fn with_all_missing_permissions(&self, error: ClusterError) -> ClusterError {
        let ClusterError::Forbidden(_) = &error else { return error };
        match self.cluster.check_permissions(&needs(&self.name)).await {
            Err(all @ ClusterError::Forbidden(_)) => all,
            _ => error,
        }
    }

    fn report(&self, problems: Vec<String>) {
        if problems.is_empty() {
            if self.condition.good() {
                tracing::info!(configurations = %self.name, "webhook configurations trust the served certificate");
            }
            return;
        }
        let message = problems.join("; ");
        if self.condition.good_but(message.clone()) {
            tracing::error!("{message}");
        }
    }
}

struct WebhookConfiguration {
    /// Label of the metric.
    label: &'static str,
    kind: &'static str,
    /// Empty where the configuration does not exist.
    clients: Vec<Client>,
}

struct Client {
    webhook: String,
    /// The name that kube-apiserver verifies.
    host: String,
    /// PEM; empty where caBundle is absent.
    bundle: String,
}

async fn read_configurations(
    cluster: &Cluster,
    name: &str,
) -> Result<[WebhookConfiguration; 2], ClusterError> {
    let [(mutating, mutating_plural), (validating, validating_plural)] = KINDS;
    let api: Api<MutatingWebhookConfiguration> = Api::all(cluster.client.clone());
    let failed = |plural, error: &kube::Error| Need::new("get", GROUP, plural).of(name).failed(error);
    let found = api.get_opt(name).await.map_err(|error| failed(mutating_plural, &error))?;
    let webhooks = found.and_then(|found| found.webhooks).unwrap_or_default();
    let clients =
        webhooks.into_iter().filter_map(|webhook| webhook_client(webhook.name, webhook.client_config));
    let kind = "MutatingWebhookConfiguration";
    let first = WebhookConfiguration { label: mutating, kind, clients: clients.collect() };
    let api: Api<ValidatingWebhookConfiguration> = Api::all(cluster.client.clone());
    let found = api.get_opt(name).await.map_err(|error| failed(validating_plural, &error))?;
    let webhooks = found.and_then(|found| found.webhooks).unwrap_or_default();
    let clients =
        webhooks.into_iter().filter_map(|webhook| webhook_client(webhook.name, webhook.client_config));
    let kind = "ValidatingWebhookConfiguration";
    Ok([first, WebhookConfiguration { label: validating, kind, clients: clients.collect() }])
}

/// The API server ensures that a webhook has a Service or a URL.
fn webhook_client(webhook: String, config: WebhookClientConfig) -> Option<Client> {
    let bundle = config.ca_bundle.map(|bytes| bytes.0).unwrap_or_default();
    let bundle = String::from_utf8_lossy(&bundle).into_owned();
    let host = match (config.service, config.url) {
        (Some(service), _) => format!("{}.{}.svc", service.name, service.namespace),
        (None, Some(url)) => host(&url)?,
        (None, None) => return None,
    };
    Some(Client { webhook, host, bundle })
}

fn host(url: &str) -> Option<String> {
    let uri: Uri = url.parse().ok()?;
    Some(uri.host()?.trim_matches(['[', ']']).to_owned())
}

const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(3);

enum Handshake {
    Trusted,
    Untrusted(String),
    /// No handshake took place.
    Unknown(String),
}

async fn handshake(listener: SocketAddr, bundle: &str, host: &str) -> Handshake {
    if bundle.trim().is_empty() {
        let why = "caBundle is empty, so kube-apiserver uses the CA certificates of its machine";
        return Handshake::Untrusted(why.to_owned());
    }
    let config = match tls_config(bundle) {
        Ok(config) => config,
        Err(why) => return Handshake::Untrusted(format!("caBundle is invalid: {why}")),
    };
    let Ok(name) = ServerName::try_from(host.to_owned()) else {
        return Handshake::Untrusted("the name is neither a DNS name nor an IP address".to_owned());
    };
    let result = timeout(HANDSHAKE_TIMEOUT, async {
        let stream = TcpStream::connect(loopback(listener)).await?;
        let mut stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await?;
        // A listener that requires client certificates fails here, after the certificate was verified.
        let _ = stream.shutdown().await;
        Ok::<(), std::io::Error>(())
    });
    match result.await {
        Ok(Ok(())) => Handshake::Trusted,
        Ok(Err(error)) => match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            Some(rustls::Error::InvalidCertificate(why)) => Handshake::Untrusted(why.to_string()),
            _ => Handshake::Unknown(error.to_string()),
        },
        Err(_) => Handshake::Unknown(format!("no TLS handshake within {HANDSHAKE_TIMEOUT:?}")),
    }
}

fn tls_config(bundle: &str) -> Result<ClientConfig, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots(bundle, Timestamp::now())?)
        .with_no_client_auth();
    // As kube-apiserver does.
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

/// A listener on all addresses is reached on loopback.
fn loopback(listener: SocketAddr) -> SocketAddr {
    let ip = match listener.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, listener.port())
}
