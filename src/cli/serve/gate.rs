//! The law and the world of this process, which the webhook judges by and the API asks.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::watch;

use portcullis_admission::gate::Worlds;
use portcullis_admission::{Gate, World};
use portcullis_lifecycle::ready::{Condition, Readiness};
use portcullis_lifecycle::tasks::Tasks;
use portcullis_policy::layers::{Layers, Manner};
use portcullis_policy::set::Options;
use portcullis_policy::source::kept::Kept;
use portcullis_policy::source::{Source, dir};
use portcullis_policy::{Budget, Live, registration};
use portcullis_server::units::Span;
use portcullis_store::feed::{Enter, file};
use portcullis_telemetry::decisions::DecisionLog;
use portcullis_tenancy::snapshot;

/// Which law is in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Which {
    /// The ledger's over this process' own: the same id or package replaces, unless it is locked
    #[default]
    Layered,
    /// This process' own: the directory, or the library
    Own,
    /// The ledger's alone, once it keeps one
    Ledger,
}

/// The law, and what an evaluation may spend.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Law")]
pub struct LawArgs {
    /// Directory of policies, followed while serving; without it the library inside the binary is the law
    #[arg(long, env = "PORTCULLIS_POLICIES", value_name = "DIR")]
    policies: Option<PathBuf>,

    /// Which law is in force where the ledger keeps one too
    #[arg(long, env = "PORTCULLIS_LAW", value_enum, default_value_t, value_name = "WHICH")]
    pub law: Which,

    /// Directory where the last good law is kept, for a start with a broken one
    #[arg(long, env = "PORTCULLIS_STATE", value_name = "DIR")]
    pub state: Option<PathBuf>,

    /// Processor time that one policy may spend on one review, all policies together 500ms; a policy may set less in its METADATA
    #[arg(long, env = "PORTCULLIS_POLICY_BUDGET", value_name = "TIME", default_value = "50ms")]
    policy_budget: Span,

    /// Instructions that one rule of a policy may spend on one review
    #[arg(long, env = "PORTCULLIS_POLICY_INSTRUCTIONS", value_name = "N", default_value = "10000000")]
    policy_instructions: usize,

    /// Hand every policy the whole input, whatever it reads; slower, and never another verdict
    #[arg(long, env = "PORTCULLIS_FULL_INPUT")]
    full_input: bool,

    /// The most reviews of one tenant judged at once; one more is answered 503 in its AdmissionReview
    #[arg(long, env = "PORTCULLIS_MAX_INFLIGHT_PER_TENANT", value_name = "N", default_value = "64")]
    pub max_inflight_per_tenant: usize,
}

/// Puts the law in force, and has it followed. The gate has no world yet.
///
/// # Errors
/// The policies cannot be read at all.
pub fn gate(
    args: &LawArgs,
    log: DecisionLog,
    readiness: &Readiness,
    tasks: &mut Tasks,
) -> anyhow::Result<(Arc<Gate>, Layers)> {
    let law_ready = readiness.condition("policies", "not compiled yet");
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
    let manner = if args.law == Which::Ledger { Manner::Alone } else { Manner::Layered };
    let layers = Layers::new(live.clone(), base, manner);
    if let Source::Dir(root) = source {
        let layers = layers.clone();
        tasks.spawn("policies", |stop| dir::follow(root, layers, law_ready, stop));
    }
    let gate = Gate::new(live, log, budget).telling(readiness.condition("patches", "no policies yet"));
    Ok((Arc::new(gate), layers))
}

/// Takes the world from a file, and has it followed.
pub fn follow_file(path: &Path, gate: &Gate, condition: Condition, tasks: &mut Tasks) {
    let worlds = gate.worlds();
    let enter = move |snapshot| worlds.enter(World::new(Arc::new(snapshot)));
    let first = file::read(path)
        .inspect_err(|error| tracing::error!(%error, "no snapshot yet; the gate is not ready"))
        .ok();
    let path = path.to_path_buf();
    tasks.spawn("tenancy", |stop| file::follow(path, first, enter, condition, stop));
}

/// How a new snapshot becomes the gate's world. A whole one is prepared away from the workers, who have reviews to answer.
/// `named` is told which law the snapshot names.
pub fn enter(worlds: Worlds, named: watch::Sender<Option<Option<snapshot::Law>>>) -> Enter {
    Box::new(move |snapshot, changes| {
        let law = Some(snapshot.law.clone());
        match changes {
            Some(changes) if !changes.everything => worlds.change(snapshot, Some(changes)),
            _ => tokio::task::block_in_place(|| worlds.change(snapshot, None)),
        }
        named.send_if_modified(|known| {
            let news = *known != law;
            known.clone_from(&law);
            news
        });
    })
}
