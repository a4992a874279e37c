//! What exists, judged on a schedule: by one replica at a time, in one thread, and never on the path of a review.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use tokio_util::sync::CancellationToken;

use super::cluster::FollowArgs;
use super::ledger::Opened;
use crate::cli::law::{Judge, Moment};
use crate::cli::scan::court::patient;
use crate::cli::scan::deliver::Delivery;
use crate::cli::scan::judge::Court;
use crate::cli::scan::tally::Tally;
use crate::cli::scan::writer::Writers;
use crate::cli::scan::{Found, cluster, run_through};
use portcullis_access::{Action, Identity, authorize};
use portcullis_admission::Gate;
use portcullis_cluster::{Cluster, ClusterArgs, turn};
use portcullis_lifecycle::tasks::Tasks;
use portcullis_server::units::Span;
use portcullis_store::{Ledger, Time, scans};
use portcullis_telemetry::metrics;

/// The Lease by which replicas take turns.
const LEASE: &str = "portcullis-scan";
/// Between two looks whether it is time.
const LOOK_MIN: Duration = Duration::from_secs(1);
const LOOK_MAX: Duration = Duration::from_mins(1);
/// Objects that the API server is asked for at a time.
const PAGE: u32 = 500;
/// The gate has other things to do.
const WORKERS: usize = 1;

/// When what exists is judged.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Cluster")]
pub struct ScanArgs {
    /// Judge what exists in the tenants' namespaces so often, one replica at a time; counts as metrics, findings to the
    /// ledger where this process has its database
    #[arg(long, env = "PORTCULLIS_SCAN_EVERY", value_name = "TIME")]
    scan_every: Option<Span>,
}

/// What is judged, by what, and where the result goes.
struct Schedule {
    cluster: Cluster,
    kube: ClusterArgs,
    every: Duration,
    gate: Arc<Gate>,
    ledger: Option<Ledger>,
    holder: String,
}

/// Begins the schedule, if there is to be one; the ledger takes the findings, where this process has its database.
///
/// # Errors
/// Nothing says where the cluster is, or an interval that is none.
pub async fn follow(
    args: &FollowArgs,
    gate: &Arc<Gate>,
    opened: Option<&Opened>,
    tasks: &mut Tasks,
) -> anyhow::Result<()> {
    let Some(Span(every)) = args.scan.scan_every else { return Ok(()) };
    if every < LOOK_MIN {
        bail!("--scan-every is at least a second");
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
    /// Scans whenever it is time and nobody else does, until told to stop.
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
                    tracing::error!(error = format!("{error:#}"), "what exists could not be scanned");
                },
            }
        }
    }

    async fn turn(&self, stop: &CancellationToken) -> anyhow::Result<()> {
        let Some(world) = self.gate.worlds().load() else { return Ok(()) };
        if !turn::take(&self.cluster, LEASE, &self.holder, self.every).await? {
            return Ok(());
        }
        let court = Court {
            writers: Writers::new(&world, None),
            judge: Judge { budget: patient(), ..Judge::new(self.gate.law.load(), world) },
            against: None,
            moment: Moment::present(),
            namespace: None,
        };
        let (kube, stop, started) = (self.kube.clone(), stop.clone(), Instant::now());
        let scan = tokio::task::spawn_blocking(move || scan(&kube, court, &stop));
        let (found, court) = scan.await.context("the scan ended in a panic")??;
        Self::told(&found.tally, started.elapsed());
        match (&self.ledger, found.delivery) {
            (Some(ledger), Some(delivery)) => deliver(ledger, &delivery, &court).await,
            _ => Ok(()),
        }
    }

    fn told(tally: &Tally, took: Duration) {
        let total = &tally.total;
        tracing::info!(
            objects = total.objects,
            denied = total.deny + total.error,
            unjudged = tally.unjudged_count,
            seconds = took.as_secs_f64(),
            "what exists was scanned"
        );
        for one in tally.unjudged.iter().take(20) {
            tracing::warn!(reason = one.reason, "not judged by the scan");
        }
        let findings = tally.policies.iter().map(|(id, counts)| {
            let id = if id.is_empty() { "portcullis" } else { id };
            (id.to_owned(), counts.deny + counts.error)
        });
        metrics::scanned(metrics::Scan {
            findings: findings.collect(),
            objects: total.objects,
            unjudged: tally.unjudged_count,
            took,
            ended: std::time::Duration::try_from(jiff::Timestamp::now().as_duration())
                .map_or(0.0, |since| since.as_secs_f64()),
        });
    }
}

fn scan(kube: &ClusterArgs, court: Court, stop: &CancellationToken) -> anyhow::Result<(Found, Court)> {
    let mut found = Found { tally: Tally::of(&court.judge.law), delivery: Some(Delivery::default()) };
    let read = |emit: crate::cli::scan::source::Emit<'_>| {
        cluster::read(kube, PAGE, &court, &|_| false, &mut |piece| {
            anyhow::ensure!(!stop.is_cancelled(), "told to stop");
            emit(piece)
        })
    };
    run_through(&court, WORKERS, read, |one| {
        found.take(&one, &court);
        Ok(())
    })?;
    Ok((found, court))
}

async fn deliver(ledger: &Ledger, delivery: &Delivery, court: &Court) -> anyhow::Result<()> {
    let who = Identity::process("scanner");
    let scope = authorize(&who, Action::ScansCreate, None, "scanner")?;
    let started: jiff::Timestamp = court.moment.now.parse()?;
    let findings = serde_json::from_value::<Vec<scans::ScanFinding>>(delivery.findings().into())?;
    let mut tx = ledger.write(&scope).await?;
    scans::add(&mut tx, Time(started.as_millisecond()), &court.judge.law.digest, &findings).await?;
    tx.commit().await?;
    Ok(())
}
