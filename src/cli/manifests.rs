//! `portcullis manifests`: what registers the gate with a cluster, printed from the table that policies are held against,
//! written to the cluster, or held against what is there.

mod cluster;

use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::ValueEnum;
use serde_json::Value;

use self::cluster::How;
use super::{Exit, output, yaml};
use portcullis_cluster::ClusterArgs;
use portcullis_policy::registration::{self, Client, Configuration, Drift, Hook, Settings};
use portcullis_policy::set::Options;
use portcullis_policy::source::Source;
use portcullis_policy::{PolicySet, Problem};
use portcullis_tenancy::snapshot::{self, Snapshot};

const EXAMPLES: &str = "\
Examples:
  portcullis manifests --ca-bundle certs/ca.pem | kubectl apply --server-side -f -
  portcullis manifests --url https://127.0.0.1:8443 --ca-bundle certs/ca.pem
  portcullis manifests --backstop --tenancy tenancy.yaml | kubectl apply --server-side -f -
  portcullis manifests --ca-bundle certs/ca.pem --apply
  portcullis manifests --check                        with the cluster
  portcullis manifests --check deploy/webhook.yaml    with a file";

/// A file of configurations is some kilobytes; a wrong path must not be read to its end.
const FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Flags of `manifests`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Directory of policies whose `match` is held against what is registered; without it the library inside the binary
    #[arg(long, env = "PORTCULLIS_POLICIES", value_name = "DIR")]
    policies: Option<PathBuf>,

    /// What the names of the webhooks end in
    #[arg(long, value_name = "DOMAIN", default_value = "portcullis.kubenova.io")]
    domain: String,

    /// The gate's Service, with a port where that is not 443
    #[arg(long, value_name = "NAMESPACE/NAME", default_value = "portcullis-system/portcullis")]
    service: String,

    /// Where kube-apiserver finds a gate that has no Service; without path
    #[arg(long, value_name = "https://HOST:PORT", conflicts_with = "service")]
    url: Option<String>,

    /// PEM certificates that vouch for the gate's; several while one follows the other. Without it no `caBundle` is
    /// printed, for something else to write
    #[arg(long, value_name = "FILE")]
    ca_bundle: Option<PathBuf>,

    /// First token of a tenant namespace's name, as in the snapshot's settings
    #[arg(long, value_name = "PREFIX", default_value = "tn")]
    prefix: String,

    /// What the name of every tenant's group ends in, and of no other group
    #[arg(long, value_name = "SUFFIX", default_value = "-devs", allow_hyphen_values = true)]
    tenant_suffix: String,

    /// Who vela-core is
    #[arg(
        long,
        value_name = "USERNAME",
        default_value = "system:serviceaccount:vela-system:kubevela-vela-core"
    )]
    vela_user: String,

    /// Instead of the webhooks, ValidatingAdmissionPolicies for the plainest of the law: what is left when somebody has
    /// removed the webhooks
    #[arg(long, requires = "tenancy", conflicts_with = "only")]
    backstop: bool,

    /// The snapshot whose settings `--backstop` is made from
    #[arg(long, value_name = "FILE", requires = "backstop")]
    tenancy: Option<PathBuf>,

    /// Only one of the two configurations
    #[arg(long, value_enum, value_name = "WHICH")]
    only: Option<Which>,

    /// How they are written
    #[arg(long, value_enum, value_name = "FORMAT", default_value = "yaml")]
    output: Format,

    /// Compare with the cluster, or with a file (`-` is standard input), instead of printing; exit code 1 and a list where
    /// they differ
    #[arg(long, value_name = "FILE", num_args = 0..=1)]
    #[expect(clippy::option_option, reason = "--check without a file is the cluster")]
    check: Option<Option<PathBuf>>,

    /// Write to the cluster instead of printing, by server-side apply as field manager `portcullis`; never over another
    /// installation's
    #[arg(long, conflicts_with = "check")]
    apply: bool,

    #[command(flatten)]
    how: How,

    #[command(flatten)]
    cluster: ClusterArgs,
}

/// What is printed, applied or compared.
enum Wanted {
    /// The webhooks.
    Webhooks(Vec<Configuration>),
    /// The backstop.
    Backstop(Vec<Value>),
}

impl Wanted {
    fn documents(&self) -> anyhow::Result<Vec<Value>> {
        match self {
            Self::Webhooks(all) => Ok(all.iter().map(serde_json::to_value).collect::<Result<_, _>>()?),
            Self::Backstop(all) => Ok(all.clone()),
        }
    }

    fn drift(&self, documents: &[Value]) -> Vec<Drift> {
        match self {
            Self::Webhooks(all) => registration::drift(all, documents),
            Self::Backstop(all) => registration::drift_of_objects(all, documents),
        }
    }
}

/// One of the configurations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Which {
    /// The one that may patch
    Mutating,
    /// The one that decides
    Validating,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Documents separated by `---`
    Yaml,
    /// One `List`
    Json,
}

/// Prints the configurations, or compares them.
///
/// # Errors
/// A setting that cannot be registered, a file that cannot be read.
pub fn run(args: Args) -> anyhow::Result<Exit> {
    let Args {
        policies,
        domain,
        service,
        url,
        ca_bundle,
        prefix,
        tenant_suffix,
        vela_user,
        backstop: _,
        tenancy,
        only,
        output,
        check,
        apply,
        how,
        cluster,
    } = args;
    let client = url.map_or_else(|| Client::service(&service), |url| Client::url(&url))?;
    let ca_bundle = ca_bundle.as_deref().map(read_bundle).transpose()?;
    let settings = Settings { domain, prefix, tenant_suffix, vela: vela_user, client, ca_bundle };
    settings.validate()?;
    let wanted = match tenancy {
        Some(file) => Wanted::Backstop(registration::backstop(&settings, &tenancy_settings(&file)?)),
        None => {
            let problems = problems(policies.as_deref())?;
            for problem in &problems {
                output::error(&problem.to_string());
            }
            if !problems.is_empty() {
                return Ok(Exit::Findings);
            }
            Wanted::Webhooks(webhooks(&settings, only))
        }
    };
    if apply {
        let ours = settings.client.to_string();
        return cluster::ask(&cluster, async |cluster| cluster::apply(cluster, &wanted, &ours, how).await);
    }
    match check {
        None => match &wanted {
            Wanted::Webhooks(all) => print(all, output),
            Wanted::Backstop(all) => print(all, output),
        },
        Some(None) => {
            let found = cluster::ask(&cluster, async |cluster| cluster::read(cluster, &wanted).await)?;
            compare(&wanted, &found, "the cluster")
        }
        Some(Some(file)) => compare(&wanted, &read_documents(&file)?, &file.display().to_string()),
    }
}

fn webhooks(settings: &Settings, only: Option<Which>) -> Vec<Configuration> {
    let wanted = |configuration: &Configuration| match only {
        None => true,
        Some(Which::Mutating) => configuration.kind() == Hook::Mutating.kind(),
        Some(Which::Validating) => configuration.kind() == Hook::Validating.kind(),
    };
    registration::configurations(settings).into_iter().filter(wanted).collect()
}

fn read_bundle(file: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(file)
        .with_context(|| format!("cannot read `{}`, the file of --ca-bundle", file.display()))
}

/// A policy that does not compile is not asked what it waits for, so it is a problem here too.
fn problems(policies: Option<&Path>) -> anyhow::Result<Vec<Problem>> {
    let source = policies.map_or(Source::Embedded, |dir| Source::Dir(dir.to_owned()));
    let set = source.read().and_then(|bundle| PolicySet::compile(&bundle, Options::default(), None));
    match set {
        Ok(set) => Ok(registration::check(&set)),
        Err(problems) => {
            bail!("the policies do not load, and what they wait for cannot be known\n{problems}")
        }
    }
}

fn tenancy_settings(file: &Path) -> anyhow::Result<snapshot::Settings> {
    let bytes = std::fs::read(file)
        .with_context(|| format!("cannot read `{}`, the file of --tenancy", file.display()))?;
    Ok(Snapshot::parse(&file.display().to_string(), &bytes)?.settings)
}

fn print(configurations: &[impl serde::Serialize], format: Format) -> anyhow::Result<Exit> {
    match format {
        Format::Json => {
            output::print_json(
                &serde_json::json!({"apiVersion": "v1", "kind": "List", "items": configurations}),
            )?;
        }
        Format::Yaml => output::print(&serde_saphyr::to_string_multiple(configurations)?)?,
    }
    Ok(Exit::Fine)
}

fn read_documents(file: &Path) -> anyhow::Result<Vec<Value>> {
    yaml::documents(&read(file)?, &yaml::as_kubectl())
        .map_err(|error| anyhow::anyhow!("`{}` is no YAML: {}", file.display(), error.without_snippet()))
}

fn compare(wanted: &Wanted, documents: &[Value], place: &str) -> anyhow::Result<Exit> {
    let drifts = wanted.drift(documents);
    if drifts.is_empty() {
        output::print(&format!("{place} says what the table says\n"))?;
        return Ok(Exit::Fine);
    }
    for drift in &drifts {
        output::print(&format!("{drift}\n"))?;
    }
    let differences = output::count(drifts.len(), "difference");
    output::error(&format!(
        "{differences} (- is there, + is what the table says); print anew what is registered"
    ));
    Ok(Exit::Findings)
}

fn read(file: &Path) -> anyhow::Result<String> {
    let mut text = String::new();
    let read = if file.as_os_str() == "-" {
        std::io::stdin().take(FILE_BYTES_MAX).read_to_string(&mut text)
    } else {
        std::fs::File::open(file).and_then(|open| open.take(FILE_BYTES_MAX).read_to_string(&mut text))
    };
    read.with_context(|| format!("cannot read `{}`, the file of --check", file.display()))?;
    Ok(text)
}
