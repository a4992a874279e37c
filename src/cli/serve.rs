//! `portcullis serve`: the composition root. Flags become rooms, rooms become tasks; nowhere else do all of them meet.
//!
//! [`roles`] says from the flags what is to run; [`gate`] makes the law, [`ledger`] brings the world, [`webhook`] and
//! [`api`] are the two doors.

pub mod api;
pub mod breakglass;
pub mod certificates;
mod chores;
pub mod cluster;
pub mod gate;
pub mod law;
pub mod ledger;
pub mod registration;
pub mod roles;
mod scan;
pub mod webhook;

mod doors;
mod told;

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
use self::doors::{Doors, Ports};
use self::gate::{LawArgs, Which};
use self::law::Origin;
use self::roles::{Plan, Role, Source, SourceArgs};
use super::Exit;
use portcullis_access::{AccessArgs, Issuers};
use portcullis_admission::Gate;
use portcullis_lifecycle::drain::{Conductor, Signals};
use portcullis_lifecycle::ready::Readiness;
use portcullis_lifecycle::tasks::Tasks;
use portcullis_policy::layers::Layers;
use portcullis_server::{Pages, ServerArgs};
use portcullis_store::mirror::Mirror;
use portcullis_store::reaper;
use portcullis_telemetry::decisions::DecisionLog;
use portcullis_telemetry::{TelemetryArgs, metrics};

/// Flags of `serve`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What the process is to be
    #[arg(long, env = "PORTCULLIS_ROLE", value_name = "ROLE", default_value = "all")]
    pub role: Role,

    /// Where to write `{"webhook": "ip:port", "admin": "ip:port", "api": "ip:port"}`, of what is served, once the process
    /// is ready; removed when it drains
    #[arg(long, env = "PORTCULLIS_READY_FILE", value_name = "FILE")]
    ready_file: Option<PathBuf>,

    #[command(flatten)]
    source: SourceArgs,

    #[command(flatten)]
    law: LawArgs,

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

/// Runs it to its end.
///
/// # Errors
/// A flag, a file or a port that is no good, before anything is announced; or a task that died.
pub fn run(args: Args) -> anyhow::Result<Exit> {
    portcullis_telemetry::log::init(&args.telemetry.log)?;
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.enable_all().thread_name("portcullis").build()?;
    let done = runtime.block_on(serve(args));
    // Whatever still blocks is a task that ignores its stop; the process ends all the same.
    runtime.shutdown_timeout(Duration::from_secs(1));
    done
}

async fn serve(args: Args) -> anyhow::Result<Exit> {
    told::forget(args.ready_file.as_deref())?;
    let Args {
        role,
        ready_file,
        source,
        law,
        breakglass,
        cluster,
        server,
        certificates,
        api,
        access,
        telemetry,
    } = args;
    let plan = planned(source, role, &cluster)?;
    let handle = metrics::install();
    let readiness = Readiness::new();
    let (conductor, drain) = Conductor::new(server.drain_timing(), readiness.clone());
    let certificates = certificates.plan(&cluster.cluster).await?;
    let ports = Ports::bind(server, plan.gate, certificates.handed(), &readiness).await;
    let ports = ports.map_err(anyhow::Error::new)?;
    let log = DecisionLog::start(&telemetry.decisions).map_err(anyhow::Error::new)?;
    let mut tasks = Tasks::new();
    let (gate, layers) = gate::gate(&law, log.clone(), &readiness, &mut tasks)?;
    breakglass::follow(breakglass, gate.worlds(), &readiness, &mut tasks)?;
    let law_of = (&layers, law.state.as_deref());
    cluster::follow(&cluster, &gate, law_of, certificates.bundle(), &readiness, &mut tasks).await?;
    certificates.start(&ports, &readiness, &mut tasks);
    told::follow_log(&log, &mut tasks);

    let opened = ledger::Opened::new(&plan.source)?;
    let mirror = plan.api.then(|| Mirror::new(drain.closing()));
    scan::follow(&cluster, &gate, opened.as_ref(), &mut tasks).await?;
    let door = match (&opened, &mirror) {
        (Some(opened), Some(mirror)) => {
            ledger::watch_database(&opened.ledger, mirror, !plan.gate, &readiness, &mut tasks);
            let reaped = opened.ledger.clone();
            tasks.spawn("reaper", |stop| reaper::run(reaped, stop));
            let issuers = issuers(access, &mut tasks)?;
            let (ledger, gate) = (opened.ledger.clone(), Some(Arc::clone(&gate)));
            Some(
                api::api(api, ledger, issuers, gate, Some(layers.clone()), Some(mirror.clone()), &readiness)
                    .await?,
            )
        }
        _ => None,
    };
    follow(plan, &gate, (law.law, layers), opened.as_ref(), mirror, &readiness, &mut tasks)?;

    let doors = Doors { ports, api: door };
    let addresses = doors.addresses();
    addresses.tell();
    if let Some(path) = ready_file {
        let readiness = readiness.clone();
        tasks.spawn("ready file", |stop| told::announce(path, addresses, readiness, stop));
    }
    let pages = pages(handle, &gate);
    let work = doors.run(gate, law.max_inflight_per_tenant, pages, drain);
    let finished = conductor.conduct(Signals::os()?, tasks.died(), work).await.context("drain aborted")?;
    let drained = finished.output.map_err(anyhow::Error::new)?;
    tasks.stop(Duration::from_secs(1)).await;
    told::close(log, drained).await;
    match finished.died {
        Some(died) => Err(died.into()),
        None => Ok(Exit::Fine),
    }
}

/// What this process is, before it reads a snapshot.
fn planned(source: SourceArgs, role: Role, cluster: &FollowArgs) -> anyhow::Result<Plan> {
    let plan = source.plan(role)?;
    if role == Role::All && !plan.api {
        tracing::info!("the ledger is elsewhere, so this is the gate alone; its API is not served");
    }
    cluster.expect_registered(plan.gate);
    Ok(plan)
}

/// What the port of the probes tells beside them.
fn pages(handle: metrics::Handle, gate: &Gate) -> Pages {
    let (law, started) = (gate.law.clone(), jiff::Timestamp::now());
    Pages {
        metrics: Arc::new(move || handle.render()),
        version: Arc::new(move || json!({"policies": law.load().digest, "started": started.to_string()})),
    }
}

/// Follows the source, into the gate's world and law, and where there is one, the mirror of the API.
fn follow(
    plan: Plan,
    gate: &Gate,
    law: (Which, Layers),
    opened: Option<&ledger::Opened>,
    mirror: Option<Mirror>,
    readiness: &Readiness,
    tasks: &mut Tasks,
) -> anyhow::Result<()> {
    // Without a webhook the world only answers what somebody asks the API: nobody waits for it.
    let elsewhere = Readiness::new();
    let readiness = if plan.gate { readiness } else { &elsewhere };
    let condition = readiness.condition("tenancy", "no snapshot loaded yet");
    let (names, named) = watch::channel(None);
    let enter = gate::enter(gate.worlds(), names);
    let (cache, (which, layers)) = (plan.follow.cache.clone(), law);
    let origin = match (plan.source, opened) {
        (Source::File(path), _) => {
            gate::follow_file(&path, gate, condition, tasks);
            return Ok(());
        }
        (Source::Remote(remote), _) => {
            let intake = ledger::intake(&plan.follow, enter, condition, tasks);
            ledger::follow_remote(remote.clone(), &plan.follow, intake, readiness, tasks);
            Origin::Remote(remote)
        }
        (Source::Database { .. }, Some(opened)) => {
            let intake = ledger::intake(&plan.follow, enter, condition, tasks);
            ledger::follow(opened, &plan.follow, intake, mirror, tasks)?;
            Origin::Database(opened.ledger.clone())
        }
        (Source::Database { .. }, None) => bail!("the ledger was not opened"),
    };
    if which != Which::Own {
        let condition = readiness.condition("ledger's law", "not known yet");
        let follower = law::Follower { layers, origin, cache, named };
        tasks.spawn("ledger's law", |stop| follower.run(condition, stop));
    }
    Ok(())
}

/// Who is believed, and their keys followed.
fn issuers(access: AccessArgs, tasks: &mut Tasks) -> anyhow::Result<Arc<Issuers>> {
    let (issuers, made) = access.open()?;
    if let Some(file) = made {
        tracing::info!(file = %file.display(), "made a first key to sign tokens with");
    }
    let issuers = Arc::new(issuers);
    let tended = Arc::clone(&issuers);
    tasks.spawn("issuers", |stop| async move {
        tokio::select! {
            () = stop.cancelled() => {}
            () = tended.tend() => {}
        }
        Ok::<_, std::convert::Infallible>(())
    });
    Ok(issuers)
}
