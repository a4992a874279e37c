//! `portcullis scan`: what does the law say to what already exists?

pub mod cluster;
pub mod court;
pub mod deliver;
pub mod judge;
mod pipe;
mod progress;
mod read;
mod report;
pub mod source;
pub mod tally;
pub mod writer;

use std::path::PathBuf;
use std::time::Instant;

use anyhow::bail;

use self::court::{LawArgs, court};
use self::deliver::{Delivery, LedgerArgs};
use self::judge::{Court, Judged};
use self::progress::Progress;
use self::report::{Format, Head, Report};
use self::source::{Emit, Files, PassedOver, Piece, Place};
use self::tally::Tally;
use super::ledger::client::Client;
use super::{Exit, output};
use portcullis_cluster::ClusterArgs;

/// The source of what comes from a cluster.
pub const CLUSTER: &str = "cluster";

const EXAMPLES: &str = "\
Examples:
  portcullis scan manifests/                                    every object below a directory
  kubectl get deploy,po,cm -A -o json | portcullis scan -       read item by item, of any length
  portcullis scan --policies candidate --tenancy tenancy.yaml manifests/
  portcullis scan --policies candidate --against policies manifests/   what would be newly denied?
  portcullis scan --cluster --tenancy tenancy.yaml              what is in the tenants' namespaces
  portcullis scan --output sarif manifests/ > portcullis.sarif  for code scanning
  portcullis scan --output html manifests/ > report.html
  portcullis scan --ledger --deliver manifests/                 the ledger's tenants, the result to the ledger

Each object is judged as if whoever may write it created it today: a person of its tenant in a sandbox, the
platform elsewhere. What is denied to the tenant and not to a controller hangs on who wrote it, which an object
does not say: it is counted `by writer` and is no finding. --as judges all as written by one user.

Exit code 1: something is denied, with --against newly denied; 2: something could not be judged.";

/// Words of `portcullis scan`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Manifests, YAML, JSON or NDJSON; directories are searched, `-` is standard input
    #[arg(required_unless_present = "cluster", value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Leave out files and directories whose path or name is like this, and kinds of a cluster (`secrets`); may be repeated
    #[arg(long, value_name = "GLOB")]
    exclude: Vec<String>,
    /// Namespace of objects that name none
    #[arg(long, short, value_name = "NAMESPACE")]
    namespace: Option<String>,
    /// How to print
    #[arg(long, short, value_enum, default_value_t, value_name = "FORMAT")]
    output: Format,
    /// List at most so many findings, 0 for all; text lists 200 and html 5000 where this is not said. Numbers are whole
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// List also what is denied or not by who wrote it
    #[arg(long)]
    doubts: bool,
    #[command(flatten)]
    source: SourceArgs,
    #[command(flatten)]
    law: LawArgs,
    #[command(flatten)]
    ledger: LedgerArgs,
}

/// A cluster instead of files.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Cluster")]
struct SourceArgs {
    /// Judge what is in the tenants' namespaces of a cluster, of every kind about which the law says something
    #[arg(long, conflicts_with = "files")]
    cluster: bool,
    /// Objects that the API server is asked for at a time
    #[arg(long, value_name = "N", default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..=10_000), requires = "cluster")]
    page: u32,
    #[command(flatten)]
    kube: ClusterArgs,
}

/// Judges what exists, prints what was found, and hands it to the ledger if asked.
///
/// # Errors
/// A law or a world that does not load, a path that is not there, a ledger that does not answer.
pub fn run(args: Args) -> anyhow::Result<Exit> {
    if args.ledger.wanted() {
        let api = args.ledger.api();
        return super::ledger::run(&api, |client| scan(args, Some(client)));
    }
    scan(args, None)
}

fn scan(args: Args, client: Option<&Client>) -> anyhow::Result<Exit> {
    let Args { files, exclude, namespace, output, limit, doubts, source, law, ledger } = args;
    let only_directories = files.iter().all(|path| path.is_dir());
    let files = Files::new(files, &exclude)?;
    let reads = ledger.reads(law.tenancy.is_some())?;
    if source.cluster && !reads && law.tenancy.is_none() {
        bail!("--cluster: who the tenants are has to be known; give --tenancy or --ledger");
    }
    let from_ledger = client.filter(|_| reads);
    let (court, name) = court(&law, from_ledger, namespace)?;
    let started = Instant::now();
    let head = Head {
        law: &court.judge.law,
        world: court.judge.world.snapshot.revision,
        against: court.against.as_ref().map(|judge| judge.law.digest.clone()),
        started: court.moment.now.clone(),
    };
    let mut report = Report::begin(output, Box::new(output::stream()), head, limit, doubts)?;
    let mut found = Found { tally: Tally::of(&court.judge.law), delivery: ledger.delivery() };
    let progress = Progress::begin();
    let passed = run_through(
        &court,
        pipe::all(),
        |emit| {
            if source.cluster {
                return cluster::read(&source.kube, source.page, &court, &|kind| files.excludes(kind), emit);
            }
            files.read(emit)
        },
        |one| {
            found.take(&one, &court);
            if let Ok(object) = &one {
                report.object(object)?;
            }
            progress.tell(&found.tally);
            Ok(())
        },
    )?;
    progress.end();
    let Found { mut tally, delivery } = found;
    tally.passed = passed;
    if tally.total.objects + tally.unjudged_count == 0 {
        if source.cluster {
            bail!("the cluster has no namespace of a tenant; is it the one that the snapshot is about?");
        }
        // A file of comments and the empty list of an empty cluster are what kubectl takes as well.
        if only_directories {
            bail!("there is no object in what was given; a file holds Kubernetes manifests as YAML or JSON");
        }
    }
    report.end(&tally, started.elapsed())?;
    tally.assumed.iter().for_each(output::note);
    told(&tally, &name);
    if let (Some(delivery), Some(client)) = (delivery, client) {
        delivery.send(client, &court)?;
    }
    let exit = Exit::findings(tally.bites(court.against.is_some()));
    Ok(if tally.unjudged_count > 0 { Exit::Broken } else { exit })
}

/// One object or why there is none.
pub type Outcome = Result<Judged, (Place, String)>;

/// Judges all that a source gives in so many threads, and hands it on in the source's order.
///
/// # Errors
/// Those of the source and of `take`.
pub fn run_through<R: Send>(
    court: &Court,
    workers: usize,
    read: impl FnOnce(Emit<'_>) -> anyhow::Result<R> + Send,
    mut take: impl FnMut(Outcome) -> anyhow::Result<()>,
) -> anyhow::Result<R> {
    let judge = |piece: Piece| {
        let judge = |read: read::Read| {
            let (document, resource) = read?;
            court.judge(&document, resource).map_err(|why| {
                (Place { source: document.source.as_str().into(), line: document.number }, why)
            })
        };
        read::objects(piece).into_iter().map(judge).collect()
    };
    pipe::run(workers, read, judge, |batch| batch.into_iter().try_for_each(&mut take))
}

/// What comes of all objects together.
#[derive(Debug)]
pub struct Found {
    /// The numbers.
    pub tally: Tally,
    /// What the ledger is to have.
    pub delivery: Option<Delivery>,
}

impl Found {
    /// Adds what came of one object.
    pub fn take(&mut self, outcome: &Outcome, court: &Court) {
        match outcome {
            Ok(object) => {
                self.tally.add(object);
                if let Some(delivery) = &mut self.delivery {
                    delivery.add(object, &court.judge.world);
                }
            }
            Err((place, why)) => self.tally.unjudged(place, why),
        }
    }
}

/// What was passed over, and as whom all was judged, where somebody was named.
fn told(tally: &Tally, name: &str) {
    let PassedOver { other, excluded, hidden } = tally.passed;
    let parts = [
        (other, "file", "neither YAML nor JSON by name"),
        (excluded, "path", "named by --exclude"),
        (hidden, "directory", "a link or hidden"),
    ];
    for (number, thing, why) in parts.into_iter().filter(|(number, ..)| *number > 0) {
        output::note(format!("passed over {}: {why}", output::count(number, thing)));
    }
    if !name.is_empty() {
        output::note(format!("all was judged as created by `{name}`"));
    }
}
