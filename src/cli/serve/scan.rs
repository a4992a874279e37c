//! `serve --scan-every`: audits existing resources on a schedule, by one replica at a time and in one thread.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use tokio_util::sync::CancellationToken;

use super::cluster::FollowArgs;
use super::ledger::Opened;
use crate::cli::evaluator::{Evaluator, Moment};
use crate::cli::scan::assumed_users::AssumedUsers;
use crate::cli::scan::context::ScanContext;
use crate::cli::scan::context::patient;
use crate::cli::scan::tally::Tally;
use crate::cli::scan::upload::LedgerUpload;
use crate::cli::scan::{ScanResult, cluster, run_through};
use portcullis_access::{Action, Identity, authorize};
use portcullis_admission::Gate;
use portcullis_cluster::{Cluster, ClusterArgs, lease};
use portcullis_lifecycle::tasks::Tasks;
use portcullis_server::args::Span;
use portcullis_store::{Ledger, Time, scans};
use portcullis_telemetry::metrics;

/// The Lease that elects the replica for a scan.
const LEASE: &str = "portcullis-scan";
/// Bounds of the interval between two checks whether a scan is due.
const LOOK_MIN: Duration = Duration::from_secs(1);
const LOOK_MAX: Duration = Duration::from_mins(1);
/// Objects per page of a list request.
const PAGE: u32 = 500;
/// One thread, because the gate must answer reviews.
const WORKERS: usize = 1;

#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Cluster")]
pub struct ScanArgs {
    /// Interval between scans of the tenants' namespaces, by one replica at a time; counts go to the metrics, findings to
    /// the ledger if this process has its database
    #[arg(long, env = "PORTCULLIS_SCAN_EVERY", value_name = "TIME")]
    scan_every: Option<Span>,
}

struct Schedule {
    cluster: Cluster,
    kube: ClusterArgs,
    every: Duration,
    gate: Arc<Gate>,
    ledger: Option<Ledger>,
    holder: String,
}

pub async fn follow(
    args: &FollowArgs,
    gate: &Arc<Gate>,
    opened: Option<&Opened>,
    tasks: &mut Tasks,
) -> anyhow::Result<()> {
    let Some(Span(every)) = args.scan.scan_every else { return Ok(()) };
    if every < LOOK_MIN {
        bail!("--scan-every must be at least 1s");
    }
    let cluster = args.cluster.connect().await.context("--scan-every")?;
    let host = std::env::var("HOSTNAME").unwrap_or_else(|_| "portcullis".to_owned());
    let schedule = Schedule {
        cluster,
        kube: args.cluster.clone(),
        every,
        gate: Arc::clone(gate),
        ledger: opened.map(|opened| opened.ledger.clone()),
        holder: format!("{host}-{}", uuid::Uuid::new_v4()),
    };
    tasks.spawn("scan", |stop| schedule.run(stop));
    Ok(())
}

impl Schedule {
    async fn run(self, stop: CancellationToken) -> Result<(), Infallible> {
        let look = (self.every / 10).clamp(LOOK_MIN, LOOK_MAX);
        let mut looks = tokio::time::interval(look);
        looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                _ = looks.tick() => {}
            }
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                done = self.turn(&stop) => if let Err(error) = done {
                    metrics::scan_failed();
                    tracing::error!(error = format!("{error:#}"), "the scan failed");
                },
            }
        }
    }

    async fn turn(&self, stop: &CancellationToken) -> anyhow::Result<()> {
        let Some(tenancy) = self.gate.snapshots().load() else { return Ok(()) };
        if !lease::acquire(&self.cluster, LEASE, &self.holder, self.every).await? {
            return Ok(());
        }
        let context = ScanContext {
            assumed_users: AssumedUsers::new(&tenancy, None),
            evaluator: Evaluator { budget: patient(), ..Evaluator::new(self.gate.policies.load(), tenancy) },
            baseline: None,
            moment: Moment::present(),
            namespace: None,
        };
        let (kube, stop, started) = (self.kube.clone(), stop.clone(), Instant::now());
        let scan = tokio::task::spawn_blocking(move || scan(&kube, context, &stop));
        let (result, context) = scan.await.context("the scan panicked")??;
        Self::report(&result.tally, started.elapsed());
        match (&self.ledger, result.upload) {
            (Some(ledger), Some(upload)) => store_findings(ledger, &upload, &context).await,
            _ => Ok(()),
        }
    }

    fn report(tally: &Tally, took: Duration) {
        let total = &tally.total;
        tracing::info!(
            objects = total.objects,
            denied = total.deny + total.error,
            unjudged = tally.unjudged_count,
            seconds = took.as_secs_f64(),
            "the scan is complete"
        );
        for one in tally.unjudged.iter().take(20) {
            tracing::warn!(reason = one.reason, "not evaluated by the scan");
        }
        let findings = tally.policies.iter().map(|(id, counts)| {
            let id = if id.is_empty() { "portcullis" } else { id };
            (id.to_owned(), counts.deny + counts.error)
        });
        metrics::scan_completed(metrics::Scan {
            findings: findings.collect(),
            objects: total.objects,
            unjudged: tally.unjudged_count,
            took,
            ended: std::time::Duration::try_from(jiff::Timestamp::now().as_duration())
                .map_or(0.0, |since| since.as_secs_f64()),
        });
    }
}

fn scan(
    kube: &ClusterArgs,
    context: ScanContext,
    stop: &CancellationToken,
) -> anyhow::Result<(ScanResult, ScanContext)> {
    let mut result =
        ScanResult { tally: Tally::of(&context.evaluator.policies), upload: Some(LedgerUpload::default()) };
    let read = |emit: crate::cli::scan::source::Emit<'_>| {
        cluster::read(kube, PAGE, &context, &|_| false, &mut |piece| {
            anyhow::ensure!(!stop.is_cancelled(), "the scan was cancelled");
            emit(piece)
        })
    };
    run_through(&context, WORKERS, read, |one| {
        result.take(&one, &context);
        Ok(())
    })?;
    Ok((result, context))
}

async fn store_findings(ledger: &Ledger, upload: &LedgerUpload, context: &ScanContext) -> anyhow::Result<()> {
    let who = Identity::process("scanner");
    let scope = authorize(&who, Action::ScansCreate, None, "scanner")?;
    let started: jiff::Timestamp = context.moment.now.parse()?;
    let findings = serde_json::from_value::<Vec<scans::ScanFinding>>(upload.findings().into())?;
    let mut tx = ledger.write(&scope).await?;
    scans::add(&mut tx, Time(started.as_millisecond()), &context.evaluator.policies.digest, &findings)
        .await?;
    tx.commit().await?;
    Ok(())
}
