//! The law in force: compiled aside, swapped in whole, the last good one kept.

use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;

use super::set::Options;
use super::source::kept::Kept;
use super::{Bundle, PolicySet, Problems};
use portcullis_telemetry::metrics;

/// A handle on the law in force; cheap to clone.
#[derive(Clone)]
pub struct Live(Arc<Shared>);

struct Shared {
    set: ArcSwap<PolicySet>,
    options: Options,
    /// Where a law that is in force is kept for the next start.
    kept: Option<Kept>,
    /// What was wrong with the last bundle that was refused; `None` after one that was taken. Also the lock of reloads.
    refused: Mutex<Option<Refused>>,
}

/// A bundle that was refused while an earlier law stays in force.
#[derive(Debug, Clone)]
pub struct Refused {
    /// Its digest; empty where it could not even be read.
    pub digest: String,
    /// What is wrong with it.
    pub problems: Problems,
}

/// What came of a reload.
#[derive(Debug)]
pub enum Reload {
    /// The same digest is in force already.
    Unchanged,
    /// A new set is in force.
    Swapped,
    /// The old set stays.
    Refused(Problems),
}

impl Live {
    /// Starts with a bundle, or where that is broken with the last good one that was kept. Where there is none, what does
    /// not load answers by its `on_error`.
    ///
    /// # Errors
    /// The bundle cannot be read at all, and none was kept.
    pub fn resume(
        bundle: Result<Bundle, Problems>,
        options: Options,
        kept: Option<Kept>,
    ) -> Result<Self, Problems> {
        // Compiled once more only where there is something to fall back on.
        let broken =
            || bundle.as_ref().map_or(true, |bundle| PolicySet::compile(bundle, options, None).is_err());
        if let Some(last) = kept.as_ref().and_then(Kept::read).filter(|_| broken()) {
            let live = Self::start(&last, options, kept.clone());
            if live.load().broken.is_empty() {
                tracing::warn!(revision = %last.digest, "starting with the last good law that was kept");
                live.reload(bundle);
                return Ok(live);
            }
        }
        Ok(Self::start(&bundle?, options, kept))
    }

    /// Starts with a bundle. What does not load answers by its `on_error`, since there is no last good set to keep.
    pub fn start(bundle: &Bundle, options: Options, kept: Option<Kept>) -> Self {
        let set = PolicySet::compile_what_can_be(bundle, options, None);
        for broken in &set.broken {
            metrics::policy_broken(&broken.id, true);
            tracing::error!(policy = %broken.id, on_error = %broken.on_error, problems = %broken.problems, "policy does not load and answers by its on_error");
        }
        metrics::policy_reload(set.broken.is_empty());
        metrics::policy_revision(&set.digest);
        if let Some(kept) = kept.as_ref().filter(|_| set.broken.is_empty()) {
            kept.write(bundle);
        }
        Self(Arc::new(Shared { set: ArcSwap::from_pointee(set), options, kept, refused: Mutex::new(None) }))
    }

    /// The law in force. A review loads it once.
    pub fn load(&self) -> Arc<PolicySet> {
        self.0.set.load_full()
    }

    /// Compiles a bundle aside and puts it in force, or refuses it whole and keeps the law that is. Blocks while it compiles.
    pub fn reload(&self, bundle: Result<Bundle, Problems>) -> Reload {
        let mut refused = self.0.refused.lock().unwrap_or_else(PoisonError::into_inner);
        let current = self.load();
        let digest = bundle.as_ref().map(|bundle| bundle.digest.clone()).unwrap_or_default();
        if digest == current.digest {
            // Put back as it was: what was refused is gone.
            if let Some(earlier) = refused.take() {
                mended(&current, &earlier.problems);
            }
            return Reload::Unchanged;
        }
        // A file beside the law was touched, or the poll came round: told once is enough.
        let same = |earlier: &&Refused| {
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
                mended(&set, &refused.take().map(|earlier| earlier.problems).unwrap_or_default());
                for broken in &current.broken {
                    metrics::policy_broken(&broken.id, false);
                }
                tracing::info!(revision = %digest, policies = count, "law swapped");
                if let Some(kept) = &self.0.kept {
                    kept.write(&bundle);
                }
                Reload::Swapped
            }
            Err(problems) => {
                metrics::policy_reload(false);
                if let Some(earlier) = refused.take() {
                    // What was wrong then may be mended now; what still is comes next.
                    for file in files(&earlier.problems) {
                        metrics::policy_broken(file, false);
                    }
                }
                for file in files(&problems) {
                    metrics::policy_broken(file, true);
                }
                tracing::error!(problems = %problems, in_force = %current.digest, "bundle refused; the last good law stays in force");
                *refused = Some(Refused { digest, problems: problems.clone() });
                Reload::Refused(problems)
            }
        }
    }

    /// What an operator should know of the law in force: that a policy of it did not load, or that it is not the newest.
    pub fn caveat(&self) -> Option<String> {
        if let Some(refused) = self.refused() {
            let first = refused.problems.0.first().map(ToString::to_string).unwrap_or_default();
            return Some(format!("the last good law is in force; the newest is refused: {first}"));
        }
        let set = self.load();
        let broken = set.broken.first()?;
        let first = broken.problems.0.first().map(ToString::to_string).unwrap_or_default();
        Some(format!("`{}` does not load and answers by its on_error: {first}", broken.id))
    }

    /// What is wrong with the newest bundle, where it was refused.
    pub fn refused(&self) -> Option<Refused> {
        self.0.refused.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Tells that a set is in force and that what was wrong before is not any more.
fn mended(set: &PolicySet, earlier: &Problems) {
    metrics::policy_reload(set.broken.is_empty());
    metrics::policy_revision(&set.digest);
    for file in files(earlier) {
        metrics::policy_broken(file, false);
    }
}

/// The files that problems name, each once.
pub fn files(problems: &Problems) -> Vec<&str> {
    let mut files: Vec<&str> = problems.0.iter().map(|problem| problem.file.as_str()).collect();
    files.dedup();
    files
}
