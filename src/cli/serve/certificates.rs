//! The webhook's certificate: from files or from a Secret that the gates manage, and the check that API servers trust it.

use std::net::IpAddr;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio::sync::watch;

use super::listeners::Ports;
use portcullis_certs::managed::{CertificateSpec, Trust, Validity};
use portcullis_certs::pair::Pair;
use portcullis_cluster::certificates::{Bundle, Certificates, Channels};
use portcullis_cluster::client::{Cluster, ClusterArgs};
use portcullis_cluster::probe::Probe;
use portcullis_lifecycle::ready::Readiness;
use portcullis_lifecycle::tasks::Tasks;
use portcullis_server::args::Span;
use portcullis_server::tls::reload::ExternalPairs;

/// The name of both webhook configurations and of their Service, as `portcullis manifests` prints them.
const NAME: &str = "portcullis";

/// Webhook calls fail as soon as certificate and caBundle differ, so the check is frequent.
const PROBE: Duration = Duration::from_secs(15);

/// A certificate with a shorter validity would be replaced before every client has seen it.
const SHORTEST: Duration = Duration::from_secs(9);

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Certificates")]
pub struct CertificateArgs {
    /// Secret in which the gates keep a CA and a server certificate that they issue and renew themselves; created if
    /// missing
    #[arg(long, env = "PORTCULLIS_TLS_SECRET", value_name = "NAMESPACE/NAME", conflicts_with = "tls_cert")]
    tls_secret: Option<SecretName>,

    /// DNS name or IP address in that certificate; may be repeated. By default `portcullis.NAMESPACE.svc`
    #[arg(
        long = "tls-name",
        env = "PORTCULLIS_TLS_NAME",
        value_name = "NAME",
        value_delimiter = ',',
        requires = "tls_secret"
    )]
    tls_names: Vec<String>,

    // Renewed after 60 days, which leaves 30 days to react to an alert.
    /// Validity of that certificate; it is renewed after two thirds of it
    #[arg(long, env = "PORTCULLIS_TLS_CERT_VALIDITY", value_name = "TIME", default_value = "2160h")]
    tls_cert_validity: Span,

    // One year: a rotation of the CA happens regularly, so that it is known to work, and starts four months before the end.
    /// Validity of its CA; the next CA is trusted after two thirds of it, and then signs
    #[arg(long, env = "PORTCULLIS_TLS_CA_VALIDITY", value_name = "TIME", default_value = "8760h")]
    tls_ca_validity: Span,

    /// Check that the webhook configurations in the cluster trust the served certificate; always on with --tls-secret
    #[arg(long, env = "PORTCULLIS_VERIFY_CA_BUNDLE")]
    verify_ca_bundle: bool,
}

/// `NAMESPACE/NAME`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct SecretName {
    namespace: String,
    name: String,
}

pub(super) struct Plan {
    /// `None` if no flag needs the API server.
    cluster: Option<Cluster>,
    kept: Option<(SecretName, CertificateSpec)>,
    pairs: watch::Sender<Option<Pair>>,
    bundles: watch::Sender<Bundle>,
}

impl CertificateArgs {
    /// The API server may be unreachable.
    pub(super) async fn plan(self, cluster: &ClusterArgs) -> anyhow::Result<Plan> {
        let validity = Validity { server_certificate: self.tls_cert_validity.0, ca: self.tls_ca_validity.0 };
        if validity.server_certificate < SHORTEST {
            bail!(
                "--tls-cert-validity is {}; it must be at least {}",
                self.tls_cert_validity,
                Span(SHORTEST)
            );
        }
        if validity.ca < validity.server_certificate * 2 {
            bail!(
                "--tls-ca-validity is {}; it must be at least twice --tls-cert-validity, which is {}",
                self.tls_ca_validity,
                self.tls_cert_validity
            );
        }
        let kept = self.tls_secret.map(|place| {
            let mut names = self.tls_names;
            if names.is_empty() {
                names.push(format!("{NAME}.{}.svc", place.namespace));
            }
            let title = format!("{}/{}", place.namespace, place.name);
            Ok::<_, anyhow::Error>((place, CertificateSpec { title, names: names_of(names)?, validity }))
        });
        let kept = kept.transpose()?;
        let cluster = match (&kept, self.verify_ca_bundle) {
            (Some(_), _) => Some(cluster.connect().await.context("--tls-secret")?),
            (None, true) => Some(cluster.connect().await.context("--verify-ca-bundle")?),
            (None, false) => None,
        };
        Ok(Plan { cluster, kept, pairs: watch::Sender::new(None), bundles: watch::Sender::new(None) })
    }
}

/// A Service has two names: kube-apiserver uses the short one, other clients may use the long one.
fn names_of(given: Vec<String>) -> anyhow::Result<Vec<String>> {
    let mut names = Vec::new();
    for name in given {
        if let Ok(address) = name.parse::<IpAddr>() {
            names.push(address.to_string());
            continue;
        }
        let name = name.to_ascii_lowercase();
        let label = |label: &str| {
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
            (1..=63).contains(&label.len()) && label.bytes().all(plain)
        };
        if name.len() > 253 || !name.split('.').all(label) {
            bail!("`{name}` of --tls-name is neither a DNS name nor an address");
        }
        if name.rsplit('.').next() == Some("svc") {
            names.extend([name.clone(), format!("{name}.cluster.local")]);
        } else {
            names.push(name);
        }
    }
    names.dedup();
    Ok(names)
}

impl Plan {
    pub(super) fn handed(&self) -> Option<ExternalPairs> {
        self.kept.as_ref().map(|_| self.pairs.subscribe())
    }

    pub(super) fn bundle(&self) -> Option<watch::Receiver<Bundle>> {
        self.kept.as_ref().map(|_| self.bundles.subscribe())
    }

    /// Starts the management of the Secret and the check of the CA bundle.
    pub(super) fn start(self, ports: &Ports, readiness: &Readiness, tasks: &mut Tasks) {
        let Self { cluster, kept, pairs, bundles } = self;
        let (Some(cluster), Ports::Webhook(bound)) = (cluster, ports) else { return };
        let (seen, trust) = watch::channel(Trust::Unknown);
        // During a CA rotation the check is as frequent as the rotation waits for it.
        let settle = kept.as_ref().map_or(PROBE, |(_, order)| order.validity.settle());
        let probe = Probe {
            cluster: cluster.clone(),
            name: NAME.to_owned(),
            listener: bound.webhook_address(),
            every: (settle / 2).clamp(Duration::from_millis(500), PROBE),
            condition: readiness.condition("trust", "not looked yet"),
            trust: seen,
            bundles: bundles.subscribe(),
        };
        tasks.spawn("probe of the registration", |stop| probe.run(stop));
        if let Some((SecretName { namespace, name }, order)) = kept {
            let condition = readiness.condition("certificates", "the Secret is not read yet");
            let certificates = Certificates { cluster, namespace, name, spec: order, condition };
            let channels = Channels { pairs, bundles, trust };
            tasks.spawn("certificates", |stop| certificates.run(channels, stop));
        }
    }
}

impl FromStr for SecretName {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let part = |part: &str| {
            let plain =
                |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-.".contains(&byte);
            (1..=253).contains(&part.len()) && part.bytes().all(plain)
        };
        let (namespace, name) = text.split_once('/').context("write NAMESPACE/NAME")?;
        if !part(namespace) || !part(name) {
            bail!("write NAMESPACE/NAME, both in lower case");
        }
        Ok(Self { namespace: namespace.to_owned(), name: name.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_that_clients_use() {
        let names = |given: &[&str]| names_of(given.iter().map(|name| (*name).to_owned()).collect());
        assert_eq!(
            names(&["Gate.Home.svc", "gate.example.com", "192.0.2.7", "2001:DB8:0::7"]).unwrap(),
            ["gate.home.svc", "gate.home.svc.cluster.local", "gate.example.com", "192.0.2.7", "2001:db8::7"]
        );
        for wrong in ["bad_name", "", "a..b", "*.example.com", "https://gate"] {
            assert!(names(&[wrong]).unwrap_err().to_string().contains("--tls-name"), "{wrong}");
        }
    }

    #[test]
    fn a_place_is_a_namespace_and_a_name() {
        assert!("portcullis-system/portcullis-tls".parse::<SecretName>().is_ok());
        for wrong in ["portcullis-tls", "/portcullis-tls", "a/b/c", "A/b", ""] {
            assert!(wrong.parse::<SecretName>().is_err(), "{wrong}");
        }
    }
}
