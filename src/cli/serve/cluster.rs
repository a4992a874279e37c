//! What a server does in its own Kubernetes cluster, each behind a flag: watch Namespaces and policy ConfigMaps, and manage
//! `caBundle` of the webhook configurations.

use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use portcullis_admission::Gate;
use portcullis_admission::snapshot::SnapshotCell;
use portcullis_cluster::ca_bundle::{self, Bundle, CaBundleController, Drift};
use portcullis_cluster::last_contact::LastContact;
use portcullis_cluster::{Cluster, ClusterArgs, ClusterError, Need, configmaps, diff, events, view};
use portcullis_lifecycle::ready::Readiness;
use portcullis_lifecycle::tasks::Tasks;
use portcullis_lifecycle::watch::{Watch, around};
use portcullis_policy::layers::Layers;
use portcullis_policy::registration::{self, Client, Settings};
use portcullis_policy::source::configmaps::Follower;
use portcullis_policy::source::last_good::LastGoodPolicies;
use portcullis_tenancy::registered::{self, Registered};

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Cluster")]
pub struct FollowArgs {
    /// Watch the Namespaces of the cluster, for policies that read `data.cluster`
    #[arg(long, env = "PORTCULLIS_WATCH_NAMESPACES")]
    watch_namespaces: bool,

    /// Watch ConfigMaps with this label, such as `portcullis.kubenova.io/policies=true`, in the gate's own namespace. Their
    /// policies replace those of --policies, and the ledger's replace theirs
    #[arg(long, env = "PORTCULLIS_POLICY_CONFIGMAPS", value_name = "SELECTOR")]
    policy_configmaps: Option<String>,

    #[command(flatten)]
    registration: RegistrationArgs,

    #[command(flatten)]
    pub(super) cluster: ClusterArgs,

    #[command(flatten)]
    pub(super) scan: super::scan::ScanArgs,
}

impl FollowArgs {
    /// Must be called before the first snapshot is read.
    pub(super) fn expect_registered(&self, gate: bool) {
        self.registration.expect(gate);
    }
}

/// Starts what the flags ask for. `policies` are the layers and the directory of the last good policies; `ca_certificates` is
/// the CA bundle of a certificate that the gates issue themselves. The API server may be unreachable at the start.
pub async fn follow(
    args: &FollowArgs,
    gate: &Gate,
    policies: (&Layers, Option<&Path>),
    ca_certificates: Option<watch::Receiver<Bundle>>,
    readiness: &Readiness,
    tasks: &mut Tasks,
) -> anyhow::Result<()> {
    let mut needs = Vec::new();
    let in_force = gate.policies.load();
    for policy in in_force.policies.iter().filter(|policy| policy.reads_cluster && !args.watch_namespaces) {
        let policy = &policy.manifest.id;
        tracing::warn!(%policy, "the policy reads data.cluster; without --watch-namespaces it answers by its on_error");
    }
    if !args.watch_namespaces && args.policy_configmaps.is_none() && !args.registration.is_enabled() {
        return Ok(());
    }
    let cluster = args.cluster.connect().await.context("cannot connect to the cluster")?;
    tracing::info!(server = %cluster.server, namespace = %cluster.namespace, "watching the cluster");
    if args.watch_namespaces {
        needs.extend(view::NEEDS);
        let (snapshots, view) = (gate.snapshots(), gate.snapshots().view());
        let contact = LastContact::new(readiness.condition("namespaces", "not listed yet"), "namespaces");
        let (cluster, seen) = (cluster.clone(), view.clone());
        tasks.spawn("namespaces", |stop| view::follow(cluster, seen, contact, stop));
        let snapshot = move || snapshots.load().map(|prepared| prepared.snapshot.clone());
        tasks.spawn("disagreement", |stop| diff::watch(snapshot, view, stop));
    }
    if let Some(selector) = &args.policy_configmaps {
        needs.extend(configmaps::needs(&cluster.namespace));
        needs.push(events::need(&cluster.namespace));
        let follower = Follower {
            layers: policies.0.clone(),
            cluster: cluster.clone(),
            selector: selector.clone(),
            last_good: policies.1.map(LastGoodPolicies::of_configmaps),
            condition: readiness.condition("configmaps", "not listed yet"),
            last_contact: LastContact::new(
                readiness.condition("configmaps watch", "not listed yet"),
                "configmaps",
            ),
        };
        tasks.spawn("configmaps", |stop| follower.run(stop));
    }
    if args.registration.is_enabled() {
        needs.extend(ca_bundle::needs(registration::NAME));
        args.registration.start(&cluster, gate.snapshots(), ca_certificates, readiness, tasks)?;
    }
    tasks.spawn("permissions", |stop| permissions(cluster, needs, stop));
    Ok(())
}

/// Logs every missing permission once, in one line; later each watch logs its own.
async fn permissions(cluster: Cluster, needs: Vec<Need>, stop: CancellationToken) -> Result<(), Infallible> {
    tokio::select! {
        () = stop.cancelled() => return Ok(()),
        answer = cluster.check_permissions(&needs) => match answer {
            Err(error @ ClusterError::Forbidden(_)) => tracing::error!(%error, "permissions are missing"),
            Err(error) => tracing::warn!(%error, "the permissions could not be checked"),
            Ok(()) => {}
        },
    }
    stop.cancelled().await;
    Ok(())
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Cluster")]
pub struct RegistrationArgs {
    /// Write `caBundle` of the webhook configurations in the cluster, and report where the rest differs from what
    /// `manifests` prints. WHERE is how they call this gate: `NAMESPACE/NAME` of its Service, or `https://HOST:PORT`
    #[arg(long, env = "PORTCULLIS_MANAGE_CA_BUNDLE", value_name = "WHERE")]
    manage_ca_bundle: Option<String>,

    /// PEM file with the CA certificates that signed the served certificate, several during a rotation; reloaded when it changes
    #[arg(long, env = "PORTCULLIS_CA_BUNDLE", value_name = "FILE", requires = "manage_ca_bundle")]
    ca_bundle: Option<PathBuf>,

    /// DNS suffix of the names of the registered webhooks
    #[arg(
        long,
        env = "PORTCULLIS_WEBHOOK_DOMAIN",
        value_name = "DOMAIN",
        default_value = "portcullis.kubenova.io"
    )]
    webhook_domain: String,

    /// Suffix of every tenant's group, as in the registered match conditions: a snapshot with another group is rejected.
    /// Empty if the match conditions name no group [default: -devs; for `--role api` alone: empty]
    #[arg(long, env = "PORTCULLIS_WEBHOOK_TENANT_SUFFIX", value_name = "SUFFIX", allow_hyphen_values = true)]
    webhook_tenant_suffix: Option<String>,

    /// Username of vela-core, as in the registered match conditions: a snapshot with another is rejected. Empty if they name none
    /// [default: system:serviceaccount:vela-system:kubevela-vela-core; for `--role api` alone: empty]
    #[arg(long, env = "PORTCULLIS_WEBHOOK_VELA_USER", value_name = "USERNAME")]
    webhook_vela_user: Option<String>,
}

impl RegistrationArgs {
    const fn is_enabled(&self) -> bool {
        self.manage_ca_bundle.is_some()
    }

    /// Makes every later snapshot check itself against the registered match conditions. A process with only the API knows
    /// these from its flags alone, so it has no defaults.
    fn expect(&self, gate: bool) {
        let Settings { tenant_suffix, vela, .. } = self.settings();
        let or_default = |flag: &Option<String>, usual: String| {
            if gate { usual } else { flag.clone().unwrap_or_default() }
        };
        registered::expect(Registered {
            tenant_suffix: or_default(&self.webhook_tenant_suffix, tenant_suffix),
            vela: or_default(&self.webhook_vela_user, vela),
        });
    }

    fn settings(&self) -> Settings {
        let usual = Settings::default();
        Settings {
            domain: self.webhook_domain.clone(),
            tenant_suffix: self.webhook_tenant_suffix.clone().unwrap_or(usual.tenant_suffix),
            vela: self.webhook_vela_user.clone().unwrap_or(usual.vela),
            ..Settings::default()
        }
    }

    fn start(
        &self,
        cluster: &Cluster,
        snapshots: SnapshotCell,
        ca_certificates: Option<watch::Receiver<Bundle>>,
        readiness: &Readiness,
        tasks: &mut Tasks,
    ) -> anyhow::Result<()> {
        let Some(target) = &self.manage_ca_bundle else { return Ok(()) };
        let client = if target.contains("://") { Client::url(target) } else { Client::service(target) };
        let client = client.context("--manage-ca-bundle")?;
        let settings = Settings { client, ..self.settings() };
        settings.validate().context("--manage-ca-bundle")?;
        let bundle = match (&self.ca_bundle, ca_certificates) {
            (Some(file), _) => follow_ca_bundle(file, tasks)?,
            (None, Some(issued)) => issued,
            (None, None) => watch::channel(None).1,
        };
        let controller = CaBundleController {
            cluster: cluster.clone(),
            name: registration::NAME.to_owned(),
            ours: settings.client.to_string(),
            bundle,
            drift: drift(settings, snapshots),
            condition: readiness.condition("registration", "not looked yet"),
            last_contact: LastContact::new(
                readiness.condition("registration watch", "not listed yet"),
                "registration",
            ),
        };
        let (condition, contact) = (controller.condition.clone(), controller.last_contact.clone());
        let _ = condition.good_but("not looked yet");
        tasks.spawn("registration", |stop| controller.run(stop));
        tasks.spawn("first check of the webhook configurations", |stop| async move {
            contact.limit_first_wait(stop).await;
            Ok::<_, Infallible>(())
        });
        Ok(())
    }
}

/// The prefix comes from the current snapshot, because a setting may change it.
fn drift(settings: Settings, snapshots: SnapshotCell) -> Drift {
    Box::new(move |found| {
        let Some(prepared) = snapshots.load() else { return Vec::new() };
        let settings = Settings { prefix: prepared.snapshot.settings.prefix.to_string(), ..settings.clone() };
        let drifts = registration::drift(&registration::configurations(&settings), found);
        drifts.iter().map(ToString::to_string).collect()
    })
}

/// Publishes the file's content whenever it changes; an unreadable file keeps the previous content.
fn follow_ca_bundle(file: &Path, tasks: &mut Tasks) -> anyhow::Result<watch::Receiver<Bundle>> {
    let first = read_ca_bundle(file)?;
    let (sender, bundle) = watch::channel(Some(first));
    let file = file.to_path_buf();
    tasks.spawn("CA bundle", |stop: CancellationToken| async move {
        let mut watch = Watch::new();
        loop {
            watch.follow(around(&file));
            match read_ca_bundle(&file) {
                Ok(pem) => {
                    sender.send_if_modified(|known| {
                        let pem = Some(pem);
                        let changed = *known != pem;
                        *known = pem;
                        changed
                    });
                }
                Err(error) => tracing::warn!(
                    error = format!("{error:#}"),
                    "the file of --ca-bundle cannot be read; the previous content stays in use"
                ),
            }
            tokio::select! {
                () = stop.cancelled() => return Ok::<_, Infallible>(()),
                () = watch.changed() => {}
            }
        }
    });
    Ok(bundle)
}

fn read_ca_bundle(file: &Path) -> anyhow::Result<Arc<str>> {
    let named = || format!("cannot read `{}`, the file of --ca-bundle", file.display());
    let pem = std::fs::read_to_string(file).with_context(named)?;
    let settings = Settings { ca_bundle: Some(pem.clone()), ..Settings::default() };
    settings.validate().with_context(|| format!("`{}` of --ca-bundle", file.display()))?;
    Ok(pem.into())
}
