//! The registration, kept from inside: the flags, what callers have to trust, and what should stand in the cluster.

use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use portcullis_admission::gate::Worlds;
use portcullis_cluster::Cluster;
use portcullis_cluster::keep::{Bundle, Drift, Keeper};
use portcullis_cluster::touch::Touch;
use portcullis_lifecycle::ready::Readiness;
use portcullis_lifecycle::tasks::Tasks;
use portcullis_lifecycle::watch::{Watch, around};
use portcullis_policy::registration::{self, Client, Settings};
use portcullis_tenancy::registered::{self, Registered};

/// What is kept, and what is known of it.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Cluster")]
pub struct RegistrationArgs {
    /// Keep `caBundle` of the webhook configurations in the cluster, and tell where the rest is not what `manifests`
    /// prints. WHERE is how they call this gate: `NAMESPACE/NAME` of its Service, or `https://HOST:PORT`
    #[arg(long, env = "PORTCULLIS_KEEP_REGISTRATION", value_name = "WHERE")]
    keep_registration: Option<String>,

    /// PEM certificates that vouch for what is served, several while one follows the other; read again when they change
    #[arg(long, env = "PORTCULLIS_REGISTRATION_CA", value_name = "FILE", requires = "keep_registration")]
    registration_ca: Option<PathBuf>,

    /// What the names of the registered webhooks end in
    #[arg(
        long,
        env = "PORTCULLIS_WEBHOOK_DOMAIN",
        value_name = "DOMAIN",
        default_value = "portcullis.kubenova.io"
    )]
    webhook_domain: String,

    /// What the name of every tenant's group ends in, as registered: a snapshot with another group is refused. Empty where
    /// what is registered asks for no group [default: -devs; for `--role api` alone: empty]
    #[arg(long, env = "PORTCULLIS_WEBHOOK_TENANT_SUFFIX", value_name = "SUFFIX", allow_hyphen_values = true)]
    webhook_tenant_suffix: Option<String>,

    /// Who vela-core is, as registered: a snapshot with another is refused. Empty where what is registered names none
    /// [default: system:serviceaccount:vela-system:kubevela-vela-core; for `--role api` alone: empty]
    #[arg(long, env = "PORTCULLIS_WEBHOOK_VELA_USER", value_name = "USERNAME")]
    webhook_vela_user: Option<String>,
}

impl RegistrationArgs {
    /// Whether anything is to be kept.
    pub(super) const fn wanted(&self) -> bool {
        self.keep_registration.is_some()
    }

    /// Holds the snapshots of this process, none of which has come yet, to what is registered. An API without a gate knows
    /// of a registration only what its flags say.
    pub(super) fn expect(&self, gate: bool) {
        let Settings { tenant_suffix, vela, .. } = self.settings();
        let known = |flag: &Option<String>, usual: String| {
            if gate { usual } else { flag.clone().unwrap_or_default() }
        };
        registered::expect(Registered {
            tenant_suffix: known(&self.webhook_tenant_suffix, tenant_suffix),
            vela: known(&self.webhook_vela_user, vela),
        });
    }

    /// What is registered, as the flags say.
    fn settings(&self) -> Settings {
        let usual = Settings::default();
        Settings {
            domain: self.webhook_domain.clone(),
            tenant_suffix: self.webhook_tenant_suffix.clone().unwrap_or(usual.tenant_suffix),
            vela: self.webhook_vela_user.clone().unwrap_or(usual.vela),
            ..Settings::default()
        }
    }

    /// Has it kept. `made` is what callers have to trust, where the certificate is of our own making.
    ///
    /// # Errors
    /// A setting that cannot be registered, or nothing says what callers have to trust.
    pub(super) fn start(
        &self,
        cluster: &Cluster,
        worlds: Worlds,
        made: Option<watch::Receiver<Bundle>>,
        readiness: &Readiness,
        tasks: &mut Tasks,
    ) -> anyhow::Result<()> {
        let Some(place) = &self.keep_registration else { return Ok(()) };
        let client = if place.contains("://") { Client::url(place) } else { Client::service(place) };
        let client = client.context("--keep-registration")?;
        let settings = Settings { client, ..self.settings() };
        settings.validate().context("--keep-registration")?;
        let bundle = match (&self.registration_ca, made) {
            (Some(file), _) => follow(file, tasks)?,
            (None, Some(made)) => made,
            (None, None) => watch::channel(None).1,
        };
        let keeper = Keeper {
            cluster: cluster.clone(),
            name: registration::NAME.to_owned(),
            ours: settings.client.to_string(),
            bundle,
            drift: drift(settings, worlds),
            condition: readiness.condition("registration", "not looked yet"),
            touch: Touch::new(readiness.condition("registration watch", "not listed yet"), "registration"),
        };
        let (condition, touch) = (keeper.condition.clone(), keeper.touch.clone());
        let _ = condition.good_but("not looked yet");
        tasks.spawn("registration", |stop| keeper.run(stop));
        tasks.spawn("first look at the registration", |stop| async move {
            touch.wait_no_longer(stop).await;
            Ok::<_, Infallible>(())
        });
        Ok(())
    }
}

/// What differs from the table, by the prefix that the snapshot says now.
fn drift(settings: Settings, worlds: Worlds) -> Drift {
    Box::new(move |found| {
        let Some(world) = worlds.load() else { return Vec::new() };
        let settings = Settings { prefix: world.snapshot.settings.prefix.to_string(), ..settings.clone() };
        let drifts = registration::drift(&registration::configurations(&settings), found);
        drifts.iter().map(ToString::to_string).collect()
    })
}

/// What stands in a file, whenever it is another. What cannot be read changes nothing.
fn follow(file: &Path, tasks: &mut Tasks) -> anyhow::Result<watch::Receiver<Bundle>> {
    let first = read(file)?;
    let (sender, bundle) = watch::channel(Some(first));
    let file = file.to_path_buf();
    tasks.spawn("registration's authority", |stop: CancellationToken| async move {
        let mut watch = Watch::new();
        loop {
            watch.follow(around(&file));
            match read(&file) {
                Ok(pem) => {
                    sender.send_if_modified(|known| {
                        let pem = Some(pem);
                        let news = *known != pem;
                        *known = pem;
                        news
                    });
                }
                Err(error) => tracing::warn!(
                    error = format!("{error:#}"),
                    "what callers have to trust stays what it was"
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

fn read(file: &Path) -> anyhow::Result<Arc<str>> {
    let named = || format!("cannot read `{}`, the file of --registration-ca", file.display());
    let pem = std::fs::read_to_string(file).with_context(named)?;
    let settings = Settings { ca_bundle: Some(pem.clone()), ..Settings::default() };
    settings.validate().with_context(|| format!("`{}` of --registration-ca", file.display()))?;
    Ok(pem.into())
}
