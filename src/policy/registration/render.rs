//! The table as the two configurations that kube-apiserver reads.

use std::collections::BTreeMap;

use base64::Engine as _;
use serde::Serialize;

use super::settings::{Client, Settings};
use super::{Entry, Hook, TABLE};
use crate::manifest::Operation;

/// Name of both configurations.
pub const NAME: &str = "portcullis";

/// Mutating webhooks run one after the other inside the request's 34 s, validating ones side by side.
const SECONDS_MUTATING: u8 = 2;
const SECONDS_VALIDATING: u8 = 3;

/// A `MutatingWebhookConfiguration` or `ValidatingWebhookConfiguration` of admissionregistration.k8s.io/v1. The order of
/// fields is the order of printing.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Configuration {
    api_version: &'static str,
    kind: &'static str,
    metadata: Metadata,
    webhooks: Vec<Webhook>,
}

#[derive(Debug, Clone, Serialize)]
struct Metadata {
    name: &'static str,
    labels: BTreeMap<&'static str, &'static str>,
}

#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
struct Webhook {
    name: String,
    client_config: ClientConfig,
    rules: [Rule; 1],
    match_conditions: Vec<MatchCondition>,
    match_policy: &'static str,
    failure_policy: &'static str,
    side_effects: &'static str,
    timeout_seconds: u8,
    admission_review_versions: [&'static str; 1],
    #[serde(skip_serializing_if = "Option::is_none")]
    reinvocation_policy: Option<&'static str>,
}

#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
struct ClientConfig {
    #[serde(skip_serializing_if = "Option::is_none")]
    service: Option<Service>,
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ca_bundle: Option<String>,
}

#[derive(Debug, Clone, Serialize)]
struct Service {
    namespace: String,
    name: String,
    port: u16,
    path: &'static str,
}

#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
struct Rule {
    api_groups: [&'static str; 1],
    api_versions: [&'static str; 1],
    resources: &'static [&'static str],
    operations: Vec<&'static str>,
    scope: &'static str,
}

#[derive(Debug, Clone, Serialize)]
struct MatchCondition {
    name: &'static str,
    expression: String,
}

/// Both configurations, the mutating one first.
pub fn configurations(settings: &Settings) -> [Configuration; 2] {
    [Hook::Mutating, Hook::Validating].map(|hook| Configuration {
        api_version: "admissionregistration.k8s.io/v1",
        kind: hook.kind(),
        metadata: Metadata { name: NAME, labels: BTreeMap::from([("app.kubernetes.io/name", NAME)]) },
        webhooks: TABLE
            .iter()
            .filter(|entry| entry.hook == hook)
            .map(|entry| webhook(entry, settings))
            .collect(),
    })
}

impl Configuration {
    /// `MutatingWebhookConfiguration` or `ValidatingWebhookConfiguration`.
    pub fn kind(&self) -> &'static str {
        self.kind
    }
}

fn webhook(entry: &Entry, settings: &Settings) -> Webhook {
    let mutating = entry.hook == Hook::Mutating;
    let condition = |condition: &super::Condition| MatchCondition {
        name: condition.name(),
        expression: condition.expression(settings),
    };
    Webhook {
        name: format!("{}.{}", entry.name, settings.domain),
        client_config: client_config(entry.hook, settings),
        rules: [rule(entry)],
        match_conditions: entry.conditions.iter().map(condition).collect(),
        // An old version of a kind is converted and judged too.
        match_policy: "Equivalent",
        // A missing label is repaired or refused by the validating call; a missing verdict is not.
        failure_policy: if mutating { "Ignore" } else { "Fail" },
        side_effects: "None",
        timeout_seconds: if mutating { SECONDS_MUTATING } else { SECONDS_VALIDATING },
        admission_review_versions: ["v1"],
        reinvocation_policy: mutating.then_some("IfNeeded"),
    }
}

fn client_config(hook: Hook, settings: &Settings) -> ClientConfig {
    let path = hook.path();
    let (service, url) = match &settings.client {
        Client::Service { namespace, name, port } => {
            (Some(Service { namespace: namespace.clone(), name: name.clone(), port: *port, path }), None)
        }
        Client::Url(base) => (None, Some(format!("{base}{path}"))),
    };
    let encode = |pem: &String| base64::engine::general_purpose::STANDARD.encode(pem);
    ClientConfig { service, url, ca_bundle: settings.ca_bundle.as_ref().map(encode) }
}

fn rule(entry: &Entry) -> Rule {
    let all = entry.operations == Operation::ALL;
    let words = entry.operations.iter().map(|operation| operation.as_str());
    Rule {
        api_groups: [entry.group],
        api_versions: ["*"],
        resources: entry.resources,
        operations: if all { vec!["*"] } else { words.collect() },
        scope: entry.scope.as_str(),
    }
}
