//! The policies of this process: the local ones with hot reload, and the ledger's, fetched when the snapshot names another
//! revision and cached on disk so that a gate can start without the ledger.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use portcullis_access::{Action, Identity, authorize};
use portcullis_admission::snapshot::SnapshotCell;
use portcullis_admission::{Gate, PreparedSnapshot};
use portcullis_lifecycle::ready::{Condition, Readiness};
use portcullis_lifecycle::tasks::Tasks;
use portcullis_policy::layers::{LayerMode, Layers};
use portcullis_policy::policy_cell::Reload;
use portcullis_policy::set::Options;
use portcullis_policy::source::last_good::LastGoodPolicies;
use portcullis_policy::source::{Source, dir};
use portcullis_policy::{Budget, Bundle, PolicyCell, Problem, Problems, registration};
use portcullis_server::args::Span;
use portcullis_store::feed::remote::Remote;
use portcullis_store::feed::{OnSnapshot, file};
use portcullis_store::{Ledger, bundles};
use portcullis_telemetry::decisions::DecisionLog;
use portcullis_tenancy::snapshot::LedgerPolicies;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum PolicySource {
    /// The ledger's policies over the local ones: a policy with the same id or package replaces, unless it is locked
    #[default]
    Merged,
    /// The local policies only: the directory of --policies, or the embedded library
    Local,
    /// The ledger's policies only, as soon as the ledger has some
    Ledger,
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Policies")]
pub struct PolicyArgs {
    /// Directory of policies, reloaded when it changes; without it the embedded library is used
    #[arg(long, env = "PORTCULLIS_POLICIES", value_name = "DIR")]
    policies: Option<PathBuf>,

    /// Which policies are in force when the ledger has policies too
    #[arg(long, env = "PORTCULLIS_POLICY_SOURCE", value_enum, default_value_t, value_name = "SOURCE")]
    pub policy_source: PolicySource,

    /// Directory for the last good policies, which are used when the gate starts and the policies do not compile
    #[arg(long, env = "PORTCULLIS_STATE", value_name = "DIR")]
    pub state: Option<PathBuf>,

    /// CPU time that one policy may use for one review (all policies together: 500ms); METADATA can set less
    #[arg(long, env = "PORTCULLIS_POLICY_BUDGET", value_name = "TIME", default_value = "50ms")]
    policy_budget: Span,

    /// Instructions that one rule of a policy may execute for one review
    #[arg(long, env = "PORTCULLIS_POLICY_INSTRUCTIONS", value_name = "N", default_value = "10000000")]
    policy_instructions: usize,

    /// Build the whole input for every policy instead of the fields that it reads; slower, same verdicts
    #[arg(long, env = "PORTCULLIS_FULL_INPUT")]
    full_input: bool,

    /// Maximum number of reviews of one tenant evaluated at once; further ones get 503 in their AdmissionReview
    #[arg(long, env = "PORTCULLIS_MAX_INFLIGHT_PER_TENANT", value_name = "N", default_value = "64")]
    pub max_inflight_per_tenant: usize,
}

const RETRY_AFTER: Duration = Duration::from_secs(2);

/// Where the ledger's policies are fetched from.
pub enum Origin {
    Database(Ledger),
    Remote(Remote),
}

/// Fetches the ledger's policies whenever the snapshot names another revision.
pub struct LedgerPolicyFollower {
    pub layers: Layers,
    pub origin: Origin,
    /// Directory for the last good policies.
    pub cache: Option<PathBuf>,
    /// `None` until there is a snapshot.
    pub named: watch::Receiver<Option<Option<LedgerPolicies>>>,
}

impl LedgerPolicyFollower {
    pub async fn run(mut self, condition: Condition, stop: CancellationToken) -> Result<(), Infallible> {
        loop {
            let named = self.named.borrow_and_update().clone();
            let wait = match named {
                None => None,
                Some(None) => {
                    self.set_in_force(None).await;
                    condition.good();
                    None
                }
                Some(Some(policies)) => match self.load_revision(&policies).await {
                    Ok(()) => {
                        condition.good();
                        None
                    }
                    Err(LoadError::Refused(problems)) => {
                        let first = problems.0.first().map(ToString::to_string).unwrap_or_default();
                        condition.good_but(format!(
                            "the ledger's policies, revision {}, do not compile with the local policies; the last good ones are in force: {first}",
                            policies.revision
                        ));
                        None
                    }
                    Err(LoadError::Unreachable(why)) => {
                        tracing::error!(revision = policies.revision, %why, "the ledger's policies cannot be fetched");
                        condition.bad(format!(
                            "the ledger's policies, revision {}, are not fetched yet",
                            policies.revision
                        ));
                        Some(RETRY_AFTER)
                    }
                },
            };
            let again = async {
                match wait {
                    Some(wait) => tokio::time::sleep(wait).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                () = again => {}
                changed = self.named.changed() => if changed.is_err() { stop.cancelled().await },
            }
        }
    }

    /// Puts a revision in force: from the cache directory if it is there, else from the ledger.
    async fn load_revision(&self, policies: &LedgerPolicies) -> Result<(), LoadError> {
        let last_good = self.cache.as_deref().map(LastGoodPolicies::of_ledger);
        let known = last_good
            .as_ref()
            .and_then(LastGoodPolicies::read)
            .filter(|bundle| bundle.digest == policies.sha256);
        let bundle = match known {
            Some(bundle) => bundle,
            None => {
                let files = self.fetch(policies).await?;
                let mut bundle = Bundle::from_files(files).map_err(LoadError::Refused)?;
                // The digest that the snapshot names, so that the next start finds this bundle.
                bundle.digest.clone_from(&policies.sha256);
                if let Some(last_good) = &last_good {
                    last_good.write(&bundle);
                }
                bundle
            }
        };
        match self.set_in_force(Some(bundle)).await {
            Some(Reload::Refused(problems)) => Err(LoadError::Refused(problems)),
            _ => Ok(()),
        }
    }

    async fn set_in_force(&self, bundle: Option<Bundle>) -> Option<Reload> {
        let layers = self.layers.clone();
        let done = tokio::task::spawn_blocking(move || layers.set_ledger(bundle)).await;
        done.inspect_err(|error| tracing::error!(%error, "the compilation of policies panicked")).ok()
    }

    async fn fetch(&self, policies: &LedgerPolicies) -> Result<Vec<(String, Vec<u8>)>, LoadError> {
        let unreachable = |why: String| LoadError::Unreachable(why);
        let files: BTreeMap<String, String> = match &self.origin {
            Origin::Database(ledger) => {
                let scope = authorize(&Identity::process("gate"), Action::RevisionsGet, None, "policies")
                    .map_err(|error| unreachable(error.to_string()))?;
                let mut tx = ledger.read(&scope).await.map_err(|error| unreachable(error.to_string()))?;
                let revision = i64::try_from(policies.revision).unwrap_or(i64::MAX);
                bundles::get(&mut tx, revision).await.map_err(|error| unreachable(error.to_string()))?.1
            }
            Origin::Remote(remote) => {
                let (remote, revision) = (remote.clone(), policies.revision);
                let got = tokio::task::spawn_blocking(move || remote.policy_files(revision)).await;
                got.map_err(|error| unreachable(error.to_string()))?
                    .map_err(|error| unreachable(error.to_string()))?
            }
        };
        let text = serde_json::to_string(&files).unwrap_or_default();
        if hex::encode(Sha256::digest(text)) != policies.sha256 {
            let message = "their SHA-256 is not the one that the snapshot names";
            return Err(LoadError::Refused(Problems(vec![Problem::of("the ledger's policies", message)])));
        }
        Ok(files.into_iter().map(|(path, text)| (path, text.into_bytes())).collect())
    }
}

enum LoadError {
    /// The ledger does not answer or denies access; retried.
    Unreachable(String),
    /// The policies do not compile together with the layers below.
    Refused(Problems),
}

/// Compiles the policies, starts their hot reload and builds the gate, which has no snapshot yet.
pub fn gate(
    args: &PolicyArgs,
    log: DecisionLog,
    readiness: &Readiness,
    tasks: &mut Tasks,
) -> anyhow::Result<(Arc<Gate>, Layers)> {
    let policies_ready = readiness.condition("policies", "not compiled yet");
    let source = args.policies.clone().map_or(Source::Embedded, Source::Dir);
    // Only an unreadable directory stops the start; a policy that does not compile answers by its on_error.
    let options = Options { interpreter: false, full_input: args.full_input };
    let base = source.read();
    let policy_cell =
        PolicyCell::resume(base.clone(), options, args.state.as_deref().map(LastGoodPolicies::new))
            .map_err(|problems| anyhow::anyhow!("--policies: {problems}"))?;
    let set = policy_cell.load();
    for problem in registration::check(&set) {
        tracing::warn!(%problem, "a policy matches resources that the webhook does not receive");
    }
    match policy_cell.caveat() {
        Some(caveat) => policies_ready.good_but(caveat),
        None => policies_ready.good(),
    };
    let budget =
        Budget { time: args.policy_budget.0, instructions: args.policy_instructions, ..Budget::default() };
    let mode =
        if args.policy_source == PolicySource::Ledger { LayerMode::LedgerOnly } else { LayerMode::Merged };
    let layers = Layers::new(policy_cell.clone(), base, mode);
    if let Source::Dir(root) = source {
        let layers = layers.clone();
        tasks.spawn("policies", |stop| dir::follow(root, layers, policies_ready, stop));
    }
    let gate = Gate::new(policy_cell, log, budget)
        .with_idempotence_condition(readiness.condition("patches", "no policies yet"));
    Ok((Arc::new(gate), layers))
}

/// Loads the snapshot from a file and reloads it when the file changes.
pub fn follow_file(path: &Path, gate: &Gate, condition: Condition, tasks: &mut Tasks) {
    let snapshots = gate.snapshots();
    let enter = move |snapshot| snapshots.replace(PreparedSnapshot::new(Arc::new(snapshot)));
    let first = file::read(path)
        .inspect_err(|error| tracing::error!(%error, "the snapshot cannot be read; the gate is not ready"))
        .ok();
    let path = path.to_path_buf();
    tasks.spawn("tenancy", |stop| file::follow(path, first, enter, condition, stop));
}

/// Builds the callback that puts a new snapshot in force. A whole one is prepared in `block_in_place`, because the worker
/// threads must go on answering reviews. `named` receives the ledger's policy revision that the snapshot names.
pub fn snapshot_callback(
    snapshots: SnapshotCell,
    named: watch::Sender<Option<Option<LedgerPolicies>>>,
) -> OnSnapshot {
    Box::new(move |snapshot, changes| {
        let policies = Some(snapshot.policies.clone());
        match changes {
            Some(changes) if !changes.everything => snapshots.apply(snapshot, Some(changes)),
            _ => tokio::task::block_in_place(|| snapshots.apply(snapshot, None)),
        }
        named.send_if_modified(|known| {
            let changed = *known != policies;
            known.clone_from(&policies);
            changed
        });
    })
}
