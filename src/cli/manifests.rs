//! `portcullis manifests`: what registers the gate with a cluster, printed from the table that policies are held against.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::ValueEnum;

use super::{Exit, output};
use crate::policy::registration::{self, Client, Configuration, Hook, Settings};
use crate::policy::set::Options;
use crate::policy::source::Source;
use crate::policy::{PolicySet, Problem};
use crate::tenancy::snapshot::{self, Snapshot};

const EXAMPLES: &str = "\
Examples:
  portcullis manifests --ca-bundle certs/ca.pem | kubectl apply --server-side -f -
  portcullis manifests --url https://127.0.0.1:8443 --ca-bundle certs/ca.pem
  portcullis manifests --backstop --tenancy tenancy.yaml | kubectl apply --server-side -f -
  portcullis manifests --check deploy/webhook.yaml
  kubectl get mutatingwebhookconfigurations,validatingwebhookconfigurations portcullis -o yaml |
    portcullis manifests --check -";

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
    #[arg(long, requires = "tenancy", conflicts_with_all = ["only", "check"])]
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

    /// Compare with a file (`-` is standard input) instead of printing; exit code 1 and a list where they differ
    #[arg(long, value_name = "FILE", num_args = 0..=1)]
    #[expect(clippy::option_option, reason = "--check without a file is answered with what to do instead")]
    check: Option<Option<PathBuf>>,

    /// Answered with what to do instead.
    #[arg(long, hide = true)]
    apply: bool,
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
    } = args;
    if apply {
        bail!("`--apply` is not there; use `portcullis manifests … | kubectl apply --server-side -f -`");
    }
    let client = url.map_or_else(|| Client::service(&service), |url| Client::url(&url))?;
    let ca_bundle = ca_bundle.as_deref().map(read_bundle).transpose()?;
    let settings = Settings { domain, prefix, tenant_suffix, vela: vela_user, client, ca_bundle };
    settings.validate()?;
    if let Some(file) = tenancy {
        return print(&registration::backstop(&settings, &tenancy_settings(&file)?), output);
    }
    let problems = problems(policies.as_deref())?;
    for problem in &problems {
        output::error(&problem.to_string());
    }
    if !problems.is_empty() {
        return Ok(Exit::Findings);
    }
    let wanted = |configuration: &Configuration| match only {
        None => true,
        Some(Which::Mutating) => configuration.kind() == Hook::Mutating.kind(),
        Some(Which::Validating) => configuration.kind() == Hook::Validating.kind(),
    };
    let configurations: Vec<Configuration> =
        registration::configurations(&settings).into_iter().filter(wanted).collect();
    match check {
        None => print(&configurations, output),
        Some(None) => bail!(
            "`--check` needs a file; to compare with a cluster, pipe `kubectl get mutatingwebhookconfigurations,\
             validatingwebhookconfigurations portcullis -o yaml` into `portcullis manifests --check -`"
        ),
        Some(Some(file)) => compare(&configurations, &file),
    }
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

fn compare(configurations: &[Configuration], file: &Path) -> anyhow::Result<Exit> {
    let text = read(file)?;
    let documents: Vec<serde_json::Value> = serde_saphyr::from_multiple(&text)
        .map_err(|error| anyhow::anyhow!("`{}` is no YAML: {}", file.display(), error.without_snippet()))?;
    let drifts = registration::drift(configurations, &documents);
    if drifts.is_empty() {
        output::print(&format!("{} says what the table says\n", file.display()))?;
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
