//! Where the webhook's certificate comes from: files, a Secret that the gate keeps itself, or, on loopback, nowhere. And
//! whether those who call believe it.

use std::net::IpAddr;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio::sync::watch;

use super::doors::Ports;
use portcullis_certs::managed::{Lives, Order, Trust};
use portcullis_certs::pair::Pair;
use portcullis_cluster::certificates::{Bundle, Certificates, Ends};
use portcullis_cluster::client::{Cluster, ClusterArgs};
use portcullis_cluster::probe::Probe;
use portcullis_lifecycle::ready::Readiness;
use portcullis_lifecycle::tasks::Tasks;
use portcullis_server::tls::keeper::Handed;
use portcullis_server::units::Span;

/// What `portcullis manifests` calls both configurations, and the Service that they name.
const NAME: &str = "portcullis";

/// How often what is served is compared with what is trusted. Calls fail from the moment at which they differ, and nobody
/// mends it faster than this.
const PROBE: Duration = Duration::from_secs(15);

/// A leaf that is renewed three times within less is one that nobody could follow.
const SHORTEST: Duration = Duration::from_secs(9);

/// Certificates of our own making, and what others make of them.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Certificates")]
pub struct CertificateArgs {
    /// Secret in which the gates keep an authority and a certificate of their own making, renewed by themselves; made where
    /// it is missing
    #[arg(long, env = "PORTCULLIS_TLS_SECRET", value_name = "NAMESPACE/NAME", conflicts_with = "tls_cert")]
    tls_secret: Option<Place>,

    /// A DNS name or an address in that certificate; may be repeated. Without it `portcullis.NAMESPACE.svc`
    #[arg(
        long = "tls-name",
        env = "PORTCULLIS_TLS_NAME",
        value_name = "NAME",
        value_delimiter = ',',
        requires = "tls_secret"
    )]
    tls_names: Vec<String>,

    // Renewed after 60 days; for the 30 that are left somebody may be alerted, and the API server be away.
    /// How long that certificate lives; it is renewed at two thirds of it
    #[arg(long, env = "PORTCULLIS_TLS_LEAF_LIFE", value_name = "TIME", default_value = "2160h")]
    tls_leaf_life: Span,

    // A year: long enough that nobody is bothered, short enough that the change of authority is something that happens,
    // rather than something that was never tried before the day on which it must work. Begun four months before its end.
    /// How long its authority lives; the next one is trusted at two thirds of it, and then signs
    #[arg(long, env = "PORTCULLIS_TLS_AUTHORITY_LIFE", value_name = "TIME", default_value = "8760h")]
    tls_authority_life: Span,

    /// Compare what is served with what the webhook configurations in the cluster trust; always done with --tls-secret
    #[arg(long, env = "PORTCULLIS_PROBE_REGISTRATION")]
    probe_registration: bool,
}

/// `NAMESPACE/NAME`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    namespace: String,
    name: String,
}

/// What is to be done about certificates, before the port is taken.
pub(super) struct Plan {
    /// Absent where it is not needed.
    cluster: Option<Cluster>,
    kept: Option<(Place, Order)>,
    pairs: watch::Sender<Option<Pair>>,
    bundles: watch::Sender<Bundle>,
}

// === impl CertificateArgs ===

impl CertificateArgs {
    /// What these flags come to. The API server need not be there yet.
    ///
    /// # Errors
    /// A name that is none, lives that do not go together, or nothing says where the API server is.
    pub(super) async fn plan(self, cluster: &ClusterArgs) -> anyhow::Result<Plan> {
        let lives = Lives { leaf: self.tls_leaf_life.0, authority: self.tls_authority_life.0 };
        if lives.leaf < SHORTEST {
            bail!("--tls-leaf-life is {}; it has to be {} at least", self.tls_leaf_life, Span(SHORTEST));
        }
        if lives.authority < lives.leaf * 2 {
            bail!(
                "--tls-authority-life is {}; it has to be twice --tls-leaf-life at least, which is {}",
                self.tls_authority_life,
                self.tls_leaf_life
            );
        }
        let kept = self.tls_secret.map(|place| {
            let mut names = self.tls_names;
            if names.is_empty() {
                names.push(format!("{NAME}.{}.svc", place.namespace));
            }
            let title = format!("{}/{}", place.namespace, place.name);
            Ok::<_, anyhow::Error>((place, Order { title, names: names_of(names)?, lives }))
        });
        let kept = kept.transpose()?;
        let cluster = match (&kept, self.probe_registration) {
            (Some(_), _) => Some(cluster.connect().await.context("--tls-secret")?),
            (None, true) => Some(cluster.connect().await.context("--probe-registration")?),
            (None, false) => None,
        };
        Ok(Plan { cluster, kept, pairs: watch::Sender::new(None), bundles: watch::Sender::new(None) })
    }
}

/// Of a Service both of its names; kube-apiserver uses the short one, others may use the long one.
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

// === impl Plan ===

impl Plan {
    /// What is served, where it is of our own making.
    pub(super) fn handed(&self) -> Option<Handed> {
        self.kept.as_ref().map(|_| self.pairs.subscribe())
    }

    /// What callers have to trust, where we are who makes it.
    pub(super) fn bundle(&self) -> Option<watch::Receiver<Bundle>> {
        self.kept.as_ref().map(|_| self.bundles.subscribe())
    }

    /// Has the Secret kept, and what is served compared with what is trusted.
    pub(super) fn start(self, ports: &Ports, readiness: &Readiness, tasks: &mut Tasks) {
        let Self { cluster, kept, pairs, bundles } = self;
        let (Some(cluster), Ports::Webhook(bound)) = (cluster, ports) else { return };
        let (seen, trust) = watch::channel(Trust::Unknown);
        // While a change of authority waits for being seen, so that it need not wait for the clock as well.
        let settle = kept.as_ref().map_or(PROBE, |(_, order)| order.lives.settle());
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
        if let Some((Place { namespace, name }, order)) = kept {
            let condition = readiness.condition("certificates", "the Secret is not read yet");
            let certificates = Certificates { cluster, namespace, name, order, condition };
            let ends = Ends { pairs, bundles, trust };
            tasks.spawn("certificates", |stop| certificates.run(ends, stop));
        }
    }
}

// === impl Place ===

impl FromStr for Place {
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
    fn names_are_those_by_which_somebody_calls() {
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
        assert!("portcullis-system/portcullis-tls".parse::<Place>().is_ok());
        for wrong in ["portcullis-tls", "/portcullis-tls", "a/b/c", "A/b", ""] {
            assert!(wrong.parse::<Place>().is_err(), "{wrong}");
        }
    }
}
