//! `portcullis scan`: audits existing resources against current or candidate policies.

pub mod assumed_users;
pub mod cluster;
pub mod context;
mod pipeline;
mod report;
pub mod source;
pub mod tally;
pub mod upload;

use std::path::PathBuf;
use std::time::Instant;

use anyhow::bail;

use self::context::{PolicyArgs, ScanContext, ScannedObject, scan_context};
use self::pipeline::Progress;
use self::report::{Format, Head, Report};
use self::source::{Emit, Files, Location, PassedOver, Piece};
use self::tally::Tally;
use self::upload::{LedgerArgs, LedgerUpload};
use super::ledger::client::Client;
use super::{Exit, output};
use portcullis_cluster::ClusterArgs;

/// Source of the objects of a cluster.
pub const CLUSTER: &str = "cluster";

const EXAMPLES: &str = "\
Examples:
  portcullis scan manifests/                                    every object in a directory
  kubectl get deploy,po,cm -A -o json | portcullis scan -       a list of any length
  portcullis scan --policies candidate --tenancy tenancy.yaml manifests/
  portcullis scan --policies candidate --baseline policies manifests/   what would be newly denied?
  portcullis scan --cluster --tenancy tenancy.yaml              the tenants' namespaces
  portcullis scan --output sarif manifests/ > portcullis.sarif  for code scanning
  portcullis scan --output html manifests/ > report.html
  portcullis scan --ledger --upload manifests/                 the ledger's tenants, findings to the ledger

Each object is evaluated as if it was created today by a user who may write it: a user of its tenant in a sandbox, the
platform elsewhere. A denial of the tenant that does not hold for a controller depends on the author, whom the object
does not name: it is counted as `unattributed` and is no finding. --as evaluates every object as created by one user.

Exit code 1: an object is denied, with --baseline newly denied; 2: an object could not be evaluated.";

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Manifests, YAML, JSON or NDJSON; directories are searched, `-` is standard input
    #[arg(required_unless_present = "cluster", value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Exclude files and directories whose path or name matches, and kinds of a cluster (`secrets`); may be repeated
    #[arg(long, value_name = "GLOB")]
    exclude: Vec<String>,
    /// Namespace of objects without one
    #[arg(long, short, value_name = "NAMESPACE")]
    namespace: Option<String>,
    /// Output format
    #[arg(long, short, value_enum, default_value_t, value_name = "FORMAT")]
    output: Format,
    /// Maximum number of listed findings, 0 for all; by default 200 for text and 5000 for html. The totals always count all
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// List unattributed findings too: a tenant may not write the object, a controller may, and the object does not name
    /// its author
    #[arg(long)]
    include_unattributed: bool,
    #[command(flatten)]
    source: SourceArgs,
    #[command(flatten)]
    policies: PolicyArgs,
    #[command(flatten)]
    ledger: LedgerArgs,
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Cluster")]
struct SourceArgs {
    /// Audit the tenants' namespaces of a cluster, for every kind that a policy matches
    #[arg(long, conflicts_with = "files")]
    cluster: bool,
    /// Objects per page of a list request
    #[arg(long, value_name = "N", default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..=10_000), requires = "cluster")]
    page: u32,
    #[command(flatten)]
    kube: ClusterArgs,
}

pub fn run(args: Args) -> anyhow::Result<Exit> {
    if args.ledger.wanted() {
        let api = args.ledger.api();
        return super::ledger::run(&api, |client| scan(args, Some(client)));
    }
    scan(args, None)
}

fn scan(args: Args, client: Option<&Client>) -> anyhow::Result<Exit> {
    let Args { files, exclude, namespace, output, limit, include_unattributed, source, policies, ledger } =
        args;
    let only_directories = files.iter().all(|path| path.is_dir());
    let files = Files::new(files, &exclude)?;
    let reads = ledger.reads(policies.tenancy.is_some())?;
    if source.cluster && !reads && policies.tenancy.is_none() {
        bail!("--cluster needs a source of tenants: give --tenancy or --ledger");
    }
    let from_ledger = client.filter(|_| reads);
    let (context, assumed_user) = scan_context(&policies, from_ledger, namespace)?;
    let started = Instant::now();
    let head = Head {
        policies: &context.evaluator.policies,
        tenancy: context.evaluator.tenancy.snapshot.revision,
        baseline: context.baseline.as_ref().map(|evaluator| evaluator.policies.digest.clone()),
        started: context.moment.now.clone(),
    };
    let mut report = Report::begin(output, Box::new(output::stream()), head, limit, include_unattributed)?;
    let mut result = ScanResult { tally: Tally::of(&context.evaluator.policies), upload: ledger.upload() };
    let progress = Progress::begin();
    let passed = run_through(
        &context,
        pipeline::all(),
        |emit| {
            if source.cluster {
                return cluster::read(
                    &source.kube,
                    source.page,
                    &context,
                    &|kind| files.excludes(kind),
                    emit,
                );
            }
            files.read(emit)
        },
        |one| {
            result.take(&one, &context);
            if let Ok(object) = &one {
                report.object(object)?;
            }
            progress.tell(&result.tally);
            Ok(())
        },
    )?;
    progress.end();
    let ScanResult { mut tally, upload } = result;
    tally.passed = passed;
    if tally.total.objects + tally.unjudged_count == 0 {
        if source.cluster {
            bail!(
                "the cluster has no namespace of a tenant; check that the snapshot belongs to this cluster"
            );
        }
        // kubectl accepts a file of comments and an empty list too.
        if only_directories {
            bail!("the directories contain no objects; expected Kubernetes manifests as YAML or JSON");
        }
    }
    report.end(&tally, started.elapsed())?;
    tally.assumed.iter().for_each(output::note);
    print_skipped(&tally, &assumed_user);
    if let (Some(upload), Some(client)) = (upload, client) {
        upload.send(client, &context)?;
    }
    let exit = Exit::findings(tally.bites(context.baseline.is_some()));
    Ok(if tally.unjudged_count > 0 { Exit::Broken } else { exit })
}

/// An evaluated object, or the place and the reason of a failure.
pub type Outcome = Result<ScannedObject, (Location, String)>;

/// Evaluates the objects of a source in `workers` threads; `take` receives the results in the order of the source.
pub fn run_through<R: Send>(
    context: &ScanContext,
    workers: usize,
    read: impl FnOnce(Emit<'_>) -> anyhow::Result<R> + Send,
    mut take: impl FnMut(Outcome) -> anyhow::Result<()>,
) -> anyhow::Result<R> {
    let evaluator = |piece: Piece| {
        let evaluator = |read: source::ReadObject| {
            let (document, resource) = read?;
            context.evaluate(&document, resource).map_err(|why| {
                (Location { source: document.source.as_str().into(), line: document.number }, why)
            })
        };
        source::objects(piece).into_iter().map(evaluator).collect()
    };
    pipeline::run(workers, read, evaluator, |batch| batch.into_iter().try_for_each(&mut take))
}

#[derive(Debug)]
pub struct ScanResult {
    pub tally: Tally,
    /// `None` unless the findings are uploaded.
    pub upload: Option<LedgerUpload>,
}

impl ScanResult {
    pub fn take(&mut self, outcome: &Outcome, context: &ScanContext) {
        match outcome {
            Ok(object) => {
                self.tally.add(object);
                if let Some(upload) = &mut self.upload {
                    upload.add(object, &context.evaluator.tenancy);
                }
            }
            Err((place, why)) => self.tally.unjudged(place, why),
        }
    }
}

fn print_skipped(tally: &Tally, assumed_user: &str) {
    let PassedOver { other, excluded, hidden } = tally.passed;
    let parts = [
        (other, "file", "neither YAML nor JSON by name"),
        (excluded, "path", "named by --exclude"),
        (hidden, "directory", "a link or hidden"),
    ];
    for (number, thing, why) in parts.into_iter().filter(|(number, ..)| *number > 0) {
        output::note(format!("skipped {}: {why}", output::count(number, thing)));
    }
    if !assumed_user.is_empty() {
        output::note(format!("every object was evaluated as created by `{assumed_user}`"));
    }
}
