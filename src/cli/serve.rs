//! `portcullis serve`: the composition root. Flags become rooms, rooms become tasks; nowhere else do all of them meet.

pub mod api;
pub mod webhook;

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use clap::ValueEnum;
use serde_json::json;

use super::Exit;
use crate::admission::{Gate, World};
use crate::lifecycle::drain::{Conductor, Signals};
use crate::lifecycle::ready::Readiness;
use crate::lifecycle::tasks::Tasks;
use crate::policy::layers::Layers;
use crate::policy::set::Options;
use crate::policy::source::kept::Kept;
use crate::policy::source::{Source, dir};
use crate::policy::{Budget, Live, registration};
use crate::server::units::Span;
use crate::server::{Pages, ServerArgs};
use crate::store::feed::file;
use crate::telemetry::decisions::DecisionLog;
use crate::telemetry::{self, TelemetryArgs, metrics};

/// What the process is to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Role {
    /// The gate: reviews in, verdicts out
    Gate,
}

/// Flags of `serve`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What the process is to be
    #[arg(long, env = "PORTCULLIS_ROLE", value_name = "ROLE", default_value = "gate")]
    pub role: Role,

    /// Where to write `{"webhook": "ip:port", "admin": "ip:port"}` once the gate is ready; removed when it drains
    #[arg(long, env = "PORTCULLIS_READY_FILE", value_name = "FILE")]
    ready_file: Option<PathBuf>,

    #[command(flatten)]
    law: LawArgs,

    #[command(flatten)]
    server: ServerArgs,

    #[command(flatten)]
    telemetry: TelemetryArgs,
}

/// The law, the world, and what an evaluation may spend.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Law")]
pub struct LawArgs {
    /// Directory of policies, followed while serving; without it the library inside the binary is the law
    #[arg(long, env = "PORTCULLIS_POLICIES", value_name = "DIR")]
    policies: Option<PathBuf>,

    /// Directory where the last good law is kept, for a start with a broken one
    #[arg(long, env = "PORTCULLIS_STATE", value_name = "DIR")]
    state: Option<PathBuf>,

    /// Snapshot of the tenants, YAML or JSON, followed while serving
    #[arg(long, env = "PORTCULLIS_TENANCY", value_name = "FILE")]
    tenancy: PathBuf,

    /// Wall clock that one policy may spend on one review; a policy may set less in its METADATA
    #[arg(long, env = "PORTCULLIS_POLICY_BUDGET", value_name = "TIME", default_value = "50ms")]
    policy_budget: Span,

    /// Instructions that one policy may spend on one review
    #[arg(long, env = "PORTCULLIS_POLICY_INSTRUCTIONS", value_name = "N", default_value = "10000000")]
    policy_instructions: usize,

    /// Hand every policy the whole input, whatever it reads; slower, and never another verdict
    #[arg(long, env = "PORTCULLIS_FULL_INPUT")]
    full_input: bool,

    /// The most reviews of one tenant judged at once; one more is answered 503 in its AdmissionReview
    #[arg(long, env = "PORTCULLIS_MAX_INFLIGHT_PER_TENANT", value_name = "N", default_value = "256")]
    max_inflight_per_tenant: usize,
}

/// Runs it to its end.
///
/// # Errors
/// A flag, a file or a port that is no good, before anything is announced; or a task that died.
pub fn run(args: Args) -> anyhow::Result<Exit> {
    telemetry::log::init(&args.telemetry.log)?;
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().thread_name("portcullis").build()?;
    let done = runtime.block_on(serve(args));
    // Whatever still blocks is a task that ignores its stop; the process ends all the same.
    runtime.shutdown_timeout(Duration::from_secs(1));
    done
}

async fn serve(args: Args) -> anyhow::Result<Exit> {
    let Args { role: Role::Gate, ready_file, law, server, telemetry } = args;
    let handle = metrics::install();
    let readiness = Readiness::new();
    let timing = server.drain_timing();
    let bound = server.bind(&readiness).await.map_err(chain)?;
    let log = DecisionLog::start(&telemetry.decisions).map_err(chain)?;
    let mut tasks = Tasks::new();
    let gate = Arc::new(gate(&law, log.clone(), &readiness, &mut tasks)?);
    follow_log(&log, &mut tasks);

    let addresses = (bound.webhook_address(), bound.admin_address());
    tracing::info!(webhook = %addresses.0, admin = %addresses.1, "bound");
    if let Some(path) = ready_file {
        tasks.spawn("ready file", |stop| announce(path, addresses, readiness.clone(), stop));
    }
    let (law_of, started) = (gate.law.clone(), jiff::Timestamp::now());
    let pages = Pages {
        metrics: Arc::new(move || handle.render()),
        version: Arc::new(move || json!({"policies": law_of.load().digest, "started": started.to_string()})),
    };
    let (conductor, drain) = Conductor::new(timing, readiness);
    let service = webhook::service(gate, bound.body_limits(), law.max_inflight_per_tenant);
    let work = bound.run(service, pages, drain);
    let finished = conductor.conduct(Signals::os()?, tasks.died(), work).await;
    let finished = finished.context("drain aborted")?;
    let drained = finished.output.map_err(chain)?;
    tasks.stop(Duration::from_secs(1)).await;
    let written =
        tokio::task::spawn_blocking(move || log.close(Duration::from_secs(2))).await.unwrap_or(false);
    if !written {
        tracing::warn!("the last lines of the decision log could not be written in time");
    }
    if drained.cut > 0 {
        tracing::warn!(connections = drained.cut, "connections were cut at the end of the grace period");
    }
    match finished.died {
        Some(died) => Err(died.into()),
        None => Ok(Exit::Fine),
    }
}

/// Puts law and world in force, and has both followed.
fn gate(args: &LawArgs, log: DecisionLog, readiness: &Readiness, tasks: &mut Tasks) -> anyhow::Result<Gate> {
    let law_ready = readiness.condition("policies", "not compiled yet");
    let tenancy_ready = readiness.condition("tenancy", "no snapshot loaded yet");
    let source = args.policies.clone().map_or(Source::Embedded, Source::Dir);
    // A directory that cannot be read at all is a wrong flag; a policy in it that is wrong answers by its on_error.
    let options = Options { interpreter: false, full_input: args.full_input };
    let base = source.read();
    let live = Live::resume(base.clone(), options, args.state.as_deref().map(Kept::new))
        .map_err(|problems| anyhow::anyhow!("--policies: {problems}"))?;
    let set = live.load();
    for problem in registration::check(&set) {
        tracing::warn!(%problem, "a policy waits for requests that are never sent");
    }
    match live.caveat() {
        Some(caveat) => law_ready.good_but(caveat),
        None => law_ready.good(),
    };
    let budget =
        Budget { time: args.policy_budget.0, instructions: args.policy_instructions, ..Budget::default() };
    let layers = Layers::new(live.clone(), base);
    let gate = Gate::new(live, log, budget);
    if let Source::Dir(root) = source {
        tasks.spawn("policies", |stop| dir::follow(root, layers, law_ready, stop));
    }
    follow_tenancy(&args.tenancy, &gate, tenancy_ready, tasks);
    Ok(gate)
}

fn follow_tenancy(
    path: &Path,
    gate: &Gate,
    condition: crate::lifecycle::ready::Condition,
    tasks: &mut Tasks,
) {
    let worlds = gate.worlds();
    let enter = move |snapshot| worlds.enter(World::new(Arc::new(snapshot)));
    let first = file::read(path)
        .inspect_err(|error| tracing::error!(%error, "no snapshot yet; the gate is not ready"))
        .ok();
    let path = path.to_path_buf();
    tasks.spawn("tenancy", |stop| file::follow(path, first, enter, condition, stop));
}

/// SIGHUP opens the decision log again, as log rotation expects.
fn follow_log(log: &DecisionLog, tasks: &mut Tasks) {
    let log = log.clone();
    tasks.spawn("decision log", |stop| async move {
        let mut hangup = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::hangup())?;
        loop {
            tokio::select! {
                () = stop.cancelled() => return Ok::<(), std::io::Error>(()),
                _ = hangup.recv() => log.reopen(),
            }
        }
    });
}

/// Writes the ready file when the gate is ready, and removes it at the end.
async fn announce(
    path: PathBuf,
    addresses: (SocketAddr, SocketAddr),
    readiness: Readiness,
    stop: tokio_util::sync::CancellationToken,
) -> Result<(), std::io::Error> {
    tokio::select! {
        () = stop.cancelled() => return Ok(()),
        () = readiness.wait() => {}
    }
    let text = json!({"webhook": addresses.0.to_string(), "admin": addresses.1.to_string()}).to_string();
    // Written aside and renamed: whoever waits for the file reads all of it.
    let aside = path.with_extension("part");
    let mut file = std::fs::File::create(&aside)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&aside, &path)?;
    tracing::info!(file = %path.display(), "ready");
    stop.cancelled().await;
    let _ = std::fs::remove_file(&path);
    Ok(())
}

/// An error with its sources, outermost first.
fn chain<E: std::error::Error + Send + Sync + 'static>(error: E) -> anyhow::Error {
    anyhow::Error::new(error)
}
