//! The policy set in force, behind one atomic pointer. A reload compiles the new set aside and swaps it in whole; when it
//! does not compile, the last good set stays.

use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;

use super::set::Options;
use super::source::last_good::LastGoodPolicies;
use super::{Bundle, PolicySet, Problems};
use portcullis_telemetry::metrics;

/// A handle on the policy set in force; cheap to clone.
#[derive(Clone)]
pub struct PolicyCell(Arc<CellState>);

struct CellState {
    set: ArcSwap<PolicySet>,
    options: Options,
    /// Where a set that is in force is saved for the next start.
    last_good: Option<LastGoodPolicies>,
    /// The last bundle that was refused; `None` after one that was taken. The mutex also serializes reloads.
    refused: Mutex<Option<RefusedBundle>>,
}

/// A bundle that was refused while an earlier set stays in force.
#[derive(Debug, Clone)]
struct RefusedBundle {
    /// Empty where the bundle could not be read.
    digest: String,
    problems: Problems,
}

#[derive(Debug)]
pub enum Reload {
    /// A set with the same digest is in force already.
    Unchanged,
    Swapped,
    /// The earlier set stays in force.
    Refused(Problems),
}

impl PolicyCell {
    /// Starts with `bundle`, or with the last good policies where `bundle` does not compile. Without either, a policy that
    /// does not load answers by its `on_error`.
    ///
    /// # Errors
    /// The bundle cannot be read, and there are no last good policies.
    pub fn resume(
        bundle: Result<Bundle, Problems>,
        options: Options,
        last_good: Option<LastGoodPolicies>,
    ) -> Result<Self, Problems> {
        // Lazy: it compiles the bundle a second time, so only where there is something to fall back on.
        let broken =
            || bundle.as_ref().map_or(true, |bundle| PolicySet::compile(bundle, options, None).is_err());
        if let Some(saved) = last_good.as_ref().and_then(LastGoodPolicies::read).filter(|_| broken()) {
            let cell = Self::start(&saved, options, last_good.clone());
            if cell.load().broken.is_empty() {
                tracing::warn!(revision = %saved.digest, "starting with the last good policies from disk");
                cell.reload(bundle);
                return Ok(cell);
            }
        }
        Ok(Self::start(&bundle?, options, last_good))
    }

    /// Starts with `bundle`. A policy that does not load answers by its `on_error`, since there is no earlier set.
    pub fn start(bundle: &Bundle, options: Options, last_good: Option<LastGoodPolicies>) -> Self {
        let set = PolicySet::compile_partial(bundle, options, None);
        for broken in &set.broken {
            metrics::policy_broken(&broken.id, true);
            tracing::error!(policy = %broken.id, on_error = %broken.on_error, problems = %broken.problems, "policy does not load and answers by its on_error");
        }
        metrics::policy_reload(set.broken.is_empty());
        metrics::policy_revision(&set.digest);
        if let Some(last_good) = last_good.as_ref().filter(|_| set.broken.is_empty()) {
            last_good.write(bundle);
        }
        Self(Arc::new(CellState {
            set: ArcSwap::from_pointee(set),
            options,
            last_good,
            refused: Mutex::new(None),
        }))
    }

    /// The set in force. A review loads it once, so that one verdict comes from one set.
    pub fn load(&self) -> Arc<PolicySet> {
        self.0.set.load_full()
    }

    /// Compiles `bundle` and puts it in force, or refuses it whole. Blocks while it compiles.
    pub fn reload(&self, bundle: Result<Bundle, Problems>) -> Reload {
        let mut refused = self.0.refused.lock().unwrap_or_else(PoisonError::into_inner);
        let current = self.load();
        let digest = bundle.as_ref().map(|bundle| bundle.digest.clone()).unwrap_or_default();
        if digest == current.digest {
            // The files are back as they were, so the refused bundle is gone.
            if let Some(earlier) = refused.take() {
                report_in_force(&current, &earlier.problems);
            }
            return Reload::Unchanged;
        }
        // A poll or an unrelated file change brings the same bundle again; its problems are logged once.
        let same = |earlier: &&RefusedBundle| {
            earlier.digest == digest
                && bundle.as_ref().err().is_none_or(|problems| *problems == earlier.problems)
        };
        if let Some(earlier) = refused.as_ref().filter(same) {
            return Reload::Refused(earlier.problems.clone());
        }
        let compiled = bundle
            .and_then(|bundle| Ok((PolicySet::compile(&bundle, self.0.options, Some(&current))?, bundle)));
        match compiled {
            Ok((set, bundle)) => {
                let count = set.policies.len();
                let set = Arc::new(set);
                self.0.set.store(Arc::clone(&set));
                report_in_force(&set, &refused.take().map(|earlier| earlier.problems).unwrap_or_default());
                for broken in &current.broken {
                    metrics::policy_broken(&broken.id, false);
                }
                tracing::info!(revision = %digest, policies = count, "policies reloaded");
                if let Some(last_good) = &self.0.last_good {
                    last_good.write(&bundle);
                }
                Reload::Swapped
            }
            Err(problems) => {
                metrics::policy_reload(false);
                if let Some(earlier) = refused.take() {
                    // Some of these files may be correct now; the loop below marks those that are not.
                    for file in files(&earlier.problems) {
                        metrics::policy_broken(file, false);
                    }
                }
                for file in files(&problems) {
                    metrics::policy_broken(file, true);
                }
                tracing::error!(problems = %problems, in_force = %current.digest, "policies refused; the last good policies stay in force");
                *refused = Some(RefusedBundle { digest, problems: problems.clone() });
                Reload::Refused(problems)
            }
        }
    }

    /// What readiness says about the set in force: a policy that did not load, or a newer bundle that was refused.
    pub fn caveat(&self) -> Option<String> {
        if let Some(refused) = self.refused() {
            let first = refused.problems.0.first().map(ToString::to_string).unwrap_or_default();
            return Some(format!("the last good policies are in force; the newest are refused: {first}"));
        }
        let set = self.load();
        let broken = set.broken.first()?;
        let first = broken.problems.0.first().map(ToString::to_string).unwrap_or_default();
        Some(format!("`{}` does not load and answers by its on_error: {first}", broken.id))
    }

    /// The newest bundle, where it was refused.
    fn refused(&self) -> Option<RefusedBundle> {
        self.0.refused.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Sets the metrics of a set in force and clears those of the problems before it.
fn report_in_force(set: &PolicySet, earlier: &Problems) {
    metrics::policy_reload(set.broken.is_empty());
    metrics::policy_revision(&set.digest);
    for file in files(earlier) {
        metrics::policy_broken(file, false);
    }
}

fn files(problems: &Problems) -> Vec<&str> {
    let mut files: Vec<&str> = problems.0.iter().map(|problem| problem.file.as_str()).collect();
    files.dedup();
    files
}
