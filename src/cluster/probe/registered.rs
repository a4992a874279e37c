//! What the two webhook configurations say about whom to call and whom to trust.

use hyper::Uri;
use k8s_openapi::api::admissionregistration::v1::{
    MutatingWebhookConfiguration, ValidatingWebhookConfiguration, WebhookClientConfig,
};
use kube::Api;

use super::{GROUP, KINDS};
use crate::client::Cluster;
use crate::error::{ClusterError, Need};

/// One configuration.
pub(super) struct Registered {
    /// As metrics name it.
    pub(super) kind: &'static str,
    /// Its kind.
    pub(super) configuration: &'static str,
    /// Empty where there is none.
    pub(super) clients: Vec<Client>,
}

/// What one webhook says.
pub(super) struct Client {
    pub(super) webhook: String,
    /// By which name kube-apiserver knows us.
    pub(super) host: String,
    /// PEM; empty where it says nothing.
    pub(super) bundle: String,
}

/// Reads both.
pub(super) async fn read(cluster: &Cluster, name: &str) -> Result<[Registered; 2], ClusterError> {
    let [(mutating, mutating_plural), (validating, validating_plural)] = KINDS;
    let api: Api<MutatingWebhookConfiguration> = Api::all(cluster.client.clone());
    let failed = |plural, error: &kube::Error| Need::new("get", GROUP, plural).of(name).failed(error);
    let found = api.get_opt(name).await.map_err(|error| failed(mutating_plural, &error))?;
    let webhooks = found.and_then(|found| found.webhooks).unwrap_or_default();
    let clients = webhooks.into_iter().filter_map(|webhook| client(webhook.name, webhook.client_config));
    let configuration = "MutatingWebhookConfiguration";
    let first = Registered { kind: mutating, configuration, clients: clients.collect() };
    let api: Api<ValidatingWebhookConfiguration> = Api::all(cluster.client.clone());
    let found = api.get_opt(name).await.map_err(|error| failed(validating_plural, &error))?;
    let webhooks = found.and_then(|found| found.webhooks).unwrap_or_default();
    let clients = webhooks.into_iter().filter_map(|webhook| client(webhook.name, webhook.client_config));
    let configuration = "ValidatingWebhookConfiguration";
    Ok([first, Registered { kind: validating, configuration, clients: clients.collect() }])
}

/// Every webhook has a Service or a url; the API server sees to it.
fn client(webhook: String, config: WebhookClientConfig) -> Option<Client> {
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
