//! The gate as it runs: a law, a world, and what is told of each decision. One load of each a review.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use bytes::Bytes;

use super::again::Again;
use super::facts::{Facts, World};
use super::leave::Emergencies;
use super::record;
use super::review::{self, DecodeError, Endpoint, Review};
use super::verdict::{SHED, Verdict};
use super::wanted::wanted;
use portcullis_cluster::view::View;
use portcullis_lifecycle::ready::Condition;
use portcullis_policy::{Budget, Live, PolicySet};
use portcullis_telemetry::decisions::DecisionLog;
use portcullis_telemetry::metrics;
use portcullis_tenancy::snapshot::{Changes, Snapshot};

/// What stands between the door and `decide`.
pub struct Gate {
    /// The law in force.
    pub law: Live,
    worlds: Worlds,
    log: DecisionLog,
    /// What one policy may spend.
    pub budget: Budget,
    again: Again,
}

/// The world as it is, for those who change it; cheap to clone.
#[derive(Clone, Default)]
pub struct Worlds(Arc<Inner>);

#[derive(Default)]
struct Inner {
    world: ArcSwapOption<World>,
    view: View,
    /// Held while a world is made, so that a snapshot and a break-glass document that come at once are both in it.
    emergencies: Mutex<Emergencies>,
}

impl Worlds {
    /// Takes a new world; the next review sees it.
    pub fn enter(&self, world: World) {
        let emergencies = self.0.emergencies.lock().unwrap_or_else(PoisonError::into_inner);
        self.settle(world.with(&emergencies));
    }

    /// Takes what break-glass documents are judged by, and those of a file.
    pub fn emergencies(&self, change: impl FnOnce(&mut Emergencies)) {
        let mut emergencies = self.0.emergencies.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut emergencies);
        if let Some(world) = self.load() {
            self.settle(World::clone(&world).with(&emergencies));
        }
    }

    /// What the cluster says of its Namespaces, for who follows it.
    pub fn view(&self) -> View {
        self.0.view.clone()
    }

    fn settle(&self, world: World) {
        let world = world.seeing(self.view());
        let before = self.load().map(|world| Arc::clone(&world.leaves)).unwrap_or_default();
        if world.leaves != before {
            world.leaves.tell(&before);
            metrics::breakglass_windows(
                world.leaves.windows().map(|(from, until)| (from.as_second(), until.as_second())),
            );
        }
        self.0.world.store(Some(Arc::new(world)));
    }

    /// Takes a snapshot, and where it is known what changed, prepares no more than that.
    pub fn change(&self, snapshot: &Arc<Snapshot>, changes: Option<&Changes>) {
        let snapshot = Arc::clone(snapshot);
        let before = self.load();
        self.enter(match (before, changes) {
            (Some(world), Some(changes)) => world.next(snapshot, changes),
            _ => World::new(snapshot),
        });
    }

    /// The world as it is; `None` before the first.
    pub fn load(&self) -> Option<Arc<World>> {
        self.0.world.load_full()
    }
}

/// An answer that may still be refused for want of capacity: the review is decoded, and whose share it falls under is known.
pub struct Decoded {
    review: Review,
    law: Arc<PolicySet>,
    facts: Result<Facts, Box<Verdict>>,
    started: Instant,
}

impl Gate {
    /// A gate without a world yet; it answers with failures until there is one.
    pub fn new(law: Live, log: DecisionLog, budget: Budget) -> Self {
        Self { law, worlds: Worlds::default(), log, budget, again: Again::default() }
    }

    /// The same that says in readiness which policies' patches are not idempotent.
    #[must_use]
    pub fn telling(self, condition: Condition) -> Self {
        Self { again: Again::new(condition), ..self }
    }

    /// The world, for those who change it.
    pub fn worlds(&self) -> Worlds {
        self.worlds.clone()
    }

    /// The tenant that a namespace belongs to, as the snapshot has it.
    pub fn tenant_of(&self, namespace: &str) -> Option<Arc<str>> {
        let world = self.worlds.load()?;
        world.snapshot.namespace(namespace).map(|known| Arc::clone(&known.tenant))
    }

    /// Decodes a body and gathers the facts.
    ///
    /// # Errors
    /// The body is no review, so there is no uid to echo.
    pub fn decode(&self, body: Bytes, endpoint: Endpoint) -> Result<Decoded, DecodeError> {
        let started = Instant::now();
        let law = self.law.load();
        let Some(world) = self.worlds.load() else {
            let review =
                review::decode(body, endpoint, &|_| portcullis_policy::select::Wanted::everything())?;
            let message = "no snapshot of the tenants is loaded yet; try again shortly".to_owned();
            let facts = Err(Box::new(Verdict::failed(&review, decision_id(), "data", message)));
            return Ok(Decoded { review, law, facts, started });
        };
        let review = review::decode(body, endpoint, &|header| wanted(&law, &world, header))?;
        let now = jiff::Timestamp::now();
        let facts = Facts::gather(&world, &review, decision_id(), format!("{now:.3}"));
        let facts = facts.map_err(|error| {
            let message = format!("the object cannot be judged: {error}");
            Box::new(Verdict::failed(&review, decision_id(), "shape", message))
        });
        Ok(Decoded { review, law, facts, started })
    }

    /// Judges what was decoded, and records it. `deadline` is how long the caller waits, from when the review was there.
    pub fn decide(&self, decoded: Decoded, deadline: Option<Duration>, peer_verified: bool) -> Verdict {
        let Decoded { review, law, facts, started } = decoded;
        let deadline = deadline.unwrap_or(self.budget.deadline).saturating_sub(started.elapsed());
        let budget = Budget { deadline, ..self.budget };
        let (facts, verdict) = match facts {
            Ok(facts) => {
                let verdict = super::decide(&law, &facts, &review, budget);
                (Some(facts), verdict)
            }
            Err(verdict) => (None, *verdict),
        };
        record::tell(&self.log, &review, facts.as_ref(), &verdict, started.elapsed(), peer_verified);
        if let Some(facts) = &facts {
            let left = Budget { deadline: deadline.saturating_sub(started.elapsed()), ..self.budget };
            self.again.look(&law, facts, &review, &verdict, left);
        }
        verdict
    }

    /// Judges a body, and tells nobody: what `POST /api/v1/policies/evaluate` asks. The review as a whole, its facts where
    /// there are any, and the verdict.
    ///
    /// # Errors
    /// The body is no review.
    pub fn ask(
        &self,
        body: Bytes,
        endpoint: Endpoint,
    ) -> Result<(Review, Option<Facts>, Verdict), DecodeError> {
        let Decoded { review, law, facts, .. } = self.decode(body, endpoint)?;
        match facts {
            Ok(facts) => {
                let verdict = super::decide(&law, &facts, &review, self.budget);
                Ok((review, Some(facts), verdict))
            }
            Err(verdict) => Ok((review, None, *verdict)),
        }
    }

    /// Answers what was decoded without judging it: more is asked than the gate can do, and this share has had its part.
    pub fn shed(&self, decoded: &Decoded, peer_verified: bool) -> Verdict {
        let message =
            format!("the gate is busy and `{}` has its full share of it; try again", decoded.share());
        let verdict = Verdict::failed(&decoded.review, decision_id(), SHED, message);
        record::tell(
            &self.log,
            &decoded.review,
            decoded.facts.as_ref().ok(),
            &verdict,
            decoded.started.elapsed(),
            peer_verified,
        );
        verdict
    }
}

impl Decoded {
    /// Under whose share of the gate this falls.
    pub fn share(&self) -> &str {
        self.facts.as_ref().map_or("unknown", Facts::share)
    }
}

/// A decision id: UUIDv7, so that ids sort as decisions did.
pub fn decision_id() -> String {
    uuid::Uuid::now_v7().to_string()
}
