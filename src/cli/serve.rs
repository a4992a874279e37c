//! `portcullis serve`: turns the flags into listeners and background tasks, and runs them until the drain ends.

pub mod api;
pub mod breakglass;
mod certificates;
mod cluster;
mod ledger;
mod listeners;
mod policies;
mod roles;
mod scan;
mod webhook;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use serde_json::json;
use tokio::sync::watch;

use self::api::ApiArgs;
use self::breakglass::BreakglassArgs;
use self::certificates::CertificateArgs;
use self::cluster::FollowArgs;
use self::listeners::{Listeners, Ports};
use self::policies::{LedgerPolicyFollower, Origin, PolicyArgs, PolicySource};
use self::roles::{Plan, Role, Source, SourceArgs};
use super::Exit;
use portcullis_access::{AccessArgs, Issuers};
use portcullis_admission::Gate;
use portcullis_lifecycle::drain::{Conductor, Signals};
use portcullis_lifecycle::ready::Readiness;
use portcullis_lifecycle::tasks::Tasks;
use portcullis_policy::layers::Layers;
use portcullis_server::{Pages, ServerArgs};
use portcullis_store::change_buffer::ChangeBuffer;
use portcullis_store::reaper;
use portcullis_telemetry::decisions::DecisionLog;
use portcullis_telemetry::{TelemetryArgs, metrics};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// What the process serves
    #[arg(long, env = "PORTCULLIS_ROLE", value_name = "ROLE", default_value = "all")]
    pub role: Role,

    /// File that is written once the process is ready, with the addresses of its listeners as
    /// `{"webhook": "ip:port", "admin": "ip:port", "api": "ip:port"}`; removed when the process drains
    #[arg(long, env = "PORTCULLIS_READY_FILE", value_name = "FILE")]
    ready_file: Option<PathBuf>,

    #[command(flatten)]
    source: SourceArgs,

    #[command(flatten)]
    policies: PolicyArgs,

    #[command(flatten)]
    breakglass: BreakglassArgs,

    #[command(flatten)]
    cluster: FollowArgs,

    #[command(flatten)]
    server: ServerArgs,

    #[command(flatten)]
    certificates: CertificateArgs,

    #[command(flatten)]
    api: ApiArgs,

    #[command(flatten)]
    access: AccessArgs,

    #[command(flatten)]
    telemetry: TelemetryArgs,
}

/// Serves until a signal ends the process.
pub fn run(args: Args) -> anyhow::Result<Exit> {
    portcullis_telemetry::log::init(&args.telemetry.log)?;
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.enable_all().thread_name("portcullis").build()?;
    let exit = runtime.block_on(serve(args));
    // A task that ignores its cancellation must not keep the process alive.
    runtime.shutdown_timeout(Duration::from_secs(1));
    exit
}

async fn serve(args: Args) -> anyhow::Result<Exit> {
    listeners::remove_stale_ready_file(args.ready_file.as_deref())?;
    let Args {
        role,
        ready_file,
        source,
        policies,
        breakglass,
        cluster,
        server,
        certificates,
        api,
        access,
        telemetry,
    } = args;
    let plan = plan(source, role, &cluster)?;
    let handle = metrics::install();
    let readiness = Readiness::new();
    let (conductor, drain) = Conductor::new(server.drain_timing(), readiness.clone());
    let certificates = certificates.plan(&cluster.cluster).await?;
    let ports = Ports::bind(server, plan.gate, certificates.handed(), &readiness).await;
    let ports = ports.map_err(anyhow::Error::new)?;
    let log = DecisionLog::start(&telemetry.decisions).map_err(anyhow::Error::new)?;
    let mut tasks = Tasks::new();
    let (gate, layers) = policies::gate(&policies, log.clone(), &readiness, &mut tasks)?;
    breakglass::follow(breakglass, gate.snapshots(), &readiness, &mut tasks)?;
    let policy_layers = (&layers, policies.state.as_deref());
    cluster::follow(&cluster, &gate, policy_layers, certificates.bundle(), &readiness, &mut tasks).await?;
    certificates.start(&ports, &readiness, &mut tasks);
    listeners::reopen_decision_log_on_hangup(&log, &mut tasks);

    let opened = ledger::Opened::new(&plan.source)?;
    let buffer = plan.api.then(|| ChangeBuffer::new(drain.closing()));
    scan::follow(&cluster, &gate, opened.as_ref(), &mut tasks).await?;
    let api = match (&opened, &buffer) {
        (Some(opened), Some(buffer)) => {
            ledger::watch_database(&opened.ledger, buffer, !plan.gate, &readiness, &mut tasks);
            let reaped = opened.ledger.clone();
            tasks.spawn("reaper", |stop| reaper::run(reaped, stop));
            let issuers = issuers(access, &mut tasks)?;
            let (ledger, gate) = (opened.ledger.clone(), Some(Arc::clone(&gate)));
            Some(
                api::api(api, ledger, issuers, gate, Some(layers.clone()), Some(buffer.clone()), &readiness)
                    .await?,
            )
        }
        _ => None,
    };
    let ledger_policies = (policies.policy_source, layers);
    follow_source(plan, &gate, ledger_policies, opened.as_ref(), buffer, &readiness, &mut tasks)?;

    let listeners = Listeners { ports, api };
    let addresses = listeners.addresses();
    addresses.log();
    if let Some(path) = ready_file {
        let readiness = readiness.clone();
        tasks.spawn("ready file", |stop| listeners::write_ready_file(path, addresses, readiness, stop));
    }
    let pages = pages(handle, &gate);
    let work = listeners.run(gate, policies.max_inflight_per_tenant, pages, drain);
    let finished = conductor.conduct(Signals::os()?, tasks.died(), work).await.context("drain aborted")?;
    let drained = finished.output.map_err(anyhow::Error::new)?;
    tasks.stop(Duration::from_secs(1)).await;
    listeners::flush_decision_log(log, drained).await;
    match finished.died {
        Some(died) => Err(died.into()),
        None => Ok(Exit::Ok),
    }
}

fn plan(source: SourceArgs, role: Role, cluster: &FollowArgs) -> anyhow::Result<Plan> {
    let plan = source.plan(role)?;
    if role == Role::All && !plan.api {
        tracing::info!(
            "--tenancy or --ledger names another source, so this process serves the webhook only and no API"
        );
    }
    cluster.expect_registered(plan.gate);
    Ok(plan)
}

fn pages(handle: metrics::Handle, gate: &Gate) -> Pages {
    let (policies, started) = (gate.policies.clone(), jiff::Timestamp::now());
    Pages {
        metrics: Arc::new(move || handle.render()),
        version: Arc::new(
            move || json!({"policies": policies.load().digest, "started": started.to_string()}),
        ),
    }
}

/// Keeps the gate's snapshot and the ledger's policies current, and feeds the API's change buffer where there is one.
fn follow_source(
    plan: Plan,
    gate: &Gate,
    policies: (PolicySource, Layers),
    opened: Option<&ledger::Opened>,
    buffer: Option<ChangeBuffer>,
    readiness: &Readiness,
    tasks: &mut Tasks,
) -> anyhow::Result<()> {
    // Without a webhook only dry runs of the API need the snapshot, so it must not hold up the readiness of the process.
    let separate = Readiness::new();
    let readiness = if plan.gate { readiness } else { &separate };
    let condition = readiness.condition("tenancy", "no snapshot loaded yet");
    let (names, named) = watch::channel(None);
    let enter = policies::snapshot_callback(gate.snapshots(), names);
    let (cache, (policy_source, layers)) = (plan.follow.cache.clone(), policies);
    let origin = match (plan.source, opened) {
        (Source::File(path), _) => {
            policies::follow_file(&path, gate, condition, tasks);
            return Ok(());
        }
        (Source::Remote(remote), _) => {
            let applier = ledger::applier(&plan.follow, enter, condition, tasks);
            ledger::follow_remote(remote.clone(), &plan.follow, applier, readiness, tasks);
            Origin::Remote(remote)
        }
        (Source::Database { .. }, Some(opened)) => {
            let applier = ledger::applier(&plan.follow, enter, condition, tasks);
            ledger::follow(opened, &plan.follow, applier, buffer, tasks)?;
            Origin::Database(opened.ledger.clone())
        }
        (Source::Database { .. }, None) => bail!("the ledger was not opened"),
    };
    if policy_source != PolicySource::Local {
        let condition = readiness.condition("ledger_policies", "not known yet");
        let follower = LedgerPolicyFollower { layers, origin, cache, named };
        tasks.spawn("ledger policies", |stop| follower.run(condition, stop));
    }
    Ok(())
}

/// The trusted token issuers; their keys are refreshed in the background.
fn issuers(access: AccessArgs, tasks: &mut Tasks) -> anyhow::Result<Arc<Issuers>> {
    let (issuers, created) = access.open()?;
    if let Some(file) = created {
        tracing::info!(file = %file.display(), "created the first key that signs tokens");
    }
    let issuers = Arc::new(issuers);
    let refreshed = Arc::clone(&issuers);
    tasks.spawn("issuers", |stop| async move {
        tokio::select! {
            () = stop.cancelled() => {}
            () = refreshed.tend() => {}
        }
        Ok::<_, std::convert::Infallible>(())
    });
    Ok(issuers)
}
