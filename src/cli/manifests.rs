//! `portcullis manifests`: prints the webhook configurations, applies them to the cluster, or compares them with what is there.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::ValueEnum;
use serde_json::Value;

use super::{Exit, output, yaml};
use portcullis_cluster::{Cluster, ClusterArgs, Need, registration as cluster_registration};
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

/// The files are a few kilobytes; the limit stops a read of a wrong path.
const FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Directory of policies whose `match` is checked against the webhook rules; by default the embedded library
    #[arg(long, env = "PORTCULLIS_POLICIES", value_name = "DIR")]
    policies: Option<PathBuf>,

    /// DNS suffix of the names of the webhooks
    #[arg(long, value_name = "DOMAIN", default_value = "portcullis.kubenova.io")]
    domain: String,

    /// Service of the gate, with a port unless it is 443
    #[arg(long, value_name = "NAMESPACE/NAME", default_value = "portcullis-system/portcullis")]
    service: String,

    /// URL of a gate that has no Service, without a path
    #[arg(long, value_name = "https://HOST:PORT", conflicts_with = "service")]
    url: Option<String>,

    /// PEM file with the CA certificates of the gate, several during a rotation. Without it `caBundle` is not printed, so
    /// that another tool can write it
    #[arg(long, value_name = "FILE")]
    ca_bundle: Option<PathBuf>,

    /// Prefix of tenant namespaces, as in the snapshot's settings
    #[arg(long, value_name = "PREFIX", default_value = "tn")]
    prefix: String,

    /// Suffix of every tenant's group, and of no other group
    #[arg(long, value_name = "SUFFIX", default_value = "-devs", allow_hyphen_values = true)]
    tenant_suffix: String,

    /// Username of vela-core
    #[arg(
        long,
        value_name = "USERNAME",
        default_value = "system:serviceaccount:vela-system:kubevela-vela-core"
    )]
    vela_user: String,

    /// Print ValidatingAdmissionPolicies with the basic rules, which still hold if someone removes the webhooks, instead of
    /// the webhook configurations
    #[arg(long, requires = "tenancy", conflicts_with = "only")]
    backstop: bool,

    /// Snapshot whose settings `--backstop` uses
    #[arg(long, value_name = "FILE", requires = "backstop")]
    tenancy: Option<PathBuf>,

    /// Print only one of the two configurations
    #[arg(long, value_enum, value_name = "WHICH")]
    only: Option<Which>,

    /// Output format
    #[arg(long, value_enum, value_name = "FORMAT", default_value = "yaml")]
    output: Format,

    /// Compare with the cluster, or with a file (`-` is standard input), instead of printing; exit code 1 and a list if
    /// they differ
    #[arg(long, value_name = "FILE", num_args = 0..=1)]
    #[expect(clippy::option_option, reason = "--check without a file is the cluster")]
    check: Option<Option<PathBuf>>,

    /// Apply to the cluster instead of printing, by server-side apply as field manager `portcullis`; never replaces another
    /// installation
    #[arg(long, conflicts_with = "check")]
    apply: bool,

    #[command(flatten)]
    server_side: ApplyArgs,

    #[command(flatten)]
    cluster: ClusterArgs,
}

enum Wanted {
    Webhooks(Vec<Configuration>),
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

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Which {
    /// The mutating webhook
    Mutating,
    /// The validating webhook
    Validating,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// YAML documents separated by `---`
    Yaml,
    /// One JSON `List`
    Json,
}

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
        server_side,
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
        return with_cluster(&cluster, async |cluster| {
            apply_to_cluster(cluster, &wanted, &ours, server_side).await
        });
    }
    match check {
        None => match &wanted {
            Wanted::Webhooks(all) => print(all, output),
            Wanted::Backstop(all) => print(all, output),
        },
        Some(None) => {
            let found = with_cluster(&cluster, async |cluster| read_from_cluster(cluster, &wanted).await)?;
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

/// The matches of a policy that does not compile are unknown, so it is a problem here too.
fn problems(policies: Option<&Path>) -> anyhow::Result<Vec<Problem>> {
    let source = policies.map_or(Source::Embedded, |dir| Source::Dir(dir.to_owned()));
    let set = source.read().and_then(|bundle| PolicySet::compile(&bundle, Options::default(), None));
    match set {
        Ok(set) => Ok(registration::check(&set)),
        Err(problems) => {
            bail!("the policies do not compile, so their matches are unknown\n{problems}")
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
    Ok(Exit::Ok)
}

fn read_documents(file: &Path) -> anyhow::Result<Vec<Value>> {
    yaml::documents(&read(file)?, &yaml::as_kubectl())
        .map_err(|error| anyhow::anyhow!("`{}` is no YAML: {}", file.display(), error.without_snippet()))
}

fn compare(wanted: &Wanted, documents: &[Value], place: &str) -> anyhow::Result<Exit> {
    let drifts = wanted.drift(documents);
    if drifts.is_empty() {
        output::print(&format!("{place} matches the expected configurations\n"))?;
        return Ok(Exit::Ok);
    }
    for drift in &drifts {
        output::print(&format!("{drift}\n"))?;
    }
    let differences = output::count(drifts.len(), "difference");
    output::error(&format!(
        "{differences} (- found, + expected); apply the output of `portcullis manifests`"
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

#[derive(Debug, Clone, Copy, clap::Args)]
pub struct ApplyArgs {
    /// Let the API server validate --apply without storing anything
    #[arg(long, requires = "apply")]
    dry_run: bool,

    /// Take over fields that another field manager has set
    #[arg(long, requires = "apply")]
    force_conflicts: bool,
}

fn with_cluster<T>(
    args: &ClusterArgs,
    what: impl AsyncFnOnce(Cluster) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async { what(args.connect().await?).await })
}

/// Checks ownership and permissions of every document before it writes the first one.
async fn apply_to_cluster(
    cluster: Cluster,
    wanted: &Wanted,
    ours: &str,
    how: ApplyArgs,
) -> anyhow::Result<Exit> {
    let documents = wanted.documents()?;
    let mut known = Vec::new();
    for document in &documents {
        let (kind, name) = named(document);
        let found = cluster_registration::read(&cluster, kind, name).await?;
        if let Some(other) =
            found.as_ref().and_then(|found| cluster_registration::foreign_target(found, ours))
        {
            bail!(
                "{kind} `{name}` calls {other}, not {ours}: it belongs to another installation, so nothing was written. Pass its \
                 --service or --url, or delete the configuration first"
            );
        }
        known.push(found);
    }
    let needs = documents.iter().zip(&known).flat_map(|(document, found)| {
        let (kind, name) = named(document);
        let need = |verb| Need::new(verb, cluster_registration::GROUP, cluster_registration::plural(kind));
        [Some(need("patch").of(name)), found.is_none().then(|| need("create"))]
    });
    let needs: Vec<Need> = needs.flatten().collect();
    cluster.check_permissions(&needs).await?;
    let ApplyArgs { dry_run, force_conflicts: force } = how;
    let how = cluster_registration::ApplyOptions { manager: cluster_registration::MANAGER, force, dry_run };
    for (document, found) in documents.iter().zip(known) {
        let (kind, name) = named(document);
        let written = match cluster_registration::apply(&cluster, document, how).await {
            Ok(written) => written,
            Err(error) if !force && error.to_string().contains("answers 409") => {
                bail!("{error}; --force-conflicts takes these fields over")
            }
            Err(error) => return Err(error.into()),
        };
        let version = |object: &Value| object.pointer("/metadata/resourceVersion").cloned();
        let word = match &found {
            None => "created",
            Some(found) if version(found) == version(&written) => "unchanged",
            Some(_) => "updated",
        };
        let dry = if dry_run { " (dry run)" } else { "" };
        output::print(&format!("{kind}/{name} {word}{dry}\n"))?;
    }
    Ok(Exit::Ok)
}

/// The current versions of the documents in the cluster.
async fn read_from_cluster(cluster: Cluster, wanted: &Wanted) -> anyhow::Result<Vec<Value>> {
    let mut found = Vec::new();
    for document in wanted.documents()? {
        let (kind, name) = named(&document);
        found.extend(cluster_registration::read(&cluster, kind, name).await?);
    }
    Ok(found)
}

fn named(document: &Value) -> (&str, &str) {
    let text = |pointer| document.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    (text("/kind"), text("/metadata/name"))
}
