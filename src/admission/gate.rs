//! The running gate: it decides a review under the policies and the snapshot in force, and records the decision.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::context::ReviewContext;
use super::idempotence::IdempotenceChecks;
use super::projection::projection;
use super::record::record;
use super::review::{self, DecodeError, Endpoint, Review};
use super::snapshot::SnapshotCell;
use super::verdict::{OVERLOADED, Verdict};
use portcullis_lifecycle::ready::Condition;
use portcullis_policy::select::Projection;
use portcullis_policy::{Budget, PolicyCell, PolicySet};
use portcullis_telemetry::decisions::DecisionLog;

pub struct Gate {
    pub policies: PolicyCell,
    snapshots: SnapshotCell,
    log: DecisionLog,
    /// What one policy may spend.
    pub budget: Budget,
    idempotence: IdempotenceChecks,
}

/// A decoded review with its context, not yet decided. The caller may still reject it because the gate is overloaded.
pub struct Decoded {
    review: Review,
    set: Arc<PolicySet>,
    context: Result<ReviewContext, Box<Verdict>>,
    started: Instant,
}

impl Gate {
    /// Until a snapshot arrives, every review fails.
    pub fn new(policies: PolicyCell, log: DecisionLog, budget: Budget) -> Self {
        let (snapshots, idempotence) = (SnapshotCell::default(), IdempotenceChecks::default());
        Self { policies, snapshots, log, budget, idempotence }
    }

    /// Reports in a readiness condition which policies' patches are not idempotent.
    #[must_use]
    pub fn with_idempotence_condition(self, condition: Condition) -> Self {
        Self { idempotence: IdempotenceChecks::new(condition), ..self }
    }

    pub fn snapshots(&self) -> SnapshotCell {
        self.snapshots.clone()
    }

    /// The tenant of a namespace in the snapshot in force.
    pub fn tenant_of(&self, namespace: &str) -> Option<Arc<str>> {
        let prepared = self.snapshots.load()?;
        prepared.snapshot.namespace(namespace).map(|entry| Arc::clone(&entry.tenant))
    }

    /// Decodes a request body and gathers the review's context.
    ///
    /// # Errors
    /// The body is not an AdmissionReview; without a uid there is no verdict to send.
    pub fn decode(&self, body: Bytes, endpoint: Endpoint) -> Result<Decoded, DecodeError> {
        let started = Instant::now();
        let set = self.policies.load();
        let Some(prepared) = self.snapshots.load() else {
            let review = review::decode(body, endpoint, &|_| Projection::everything())?;
            let message = "no snapshot of the tenants is loaded yet; try again shortly".to_owned();
            let context = Err(Box::new(Verdict::failed(&review, decision_id(), "data", message)));
            return Ok(Decoded { review, set, context, started });
        };
        let review = review::decode(body, endpoint, &|header| projection(&set, &prepared, header))?;
        let now = jiff::Timestamp::now();
        let context = ReviewContext::gather(&prepared, &review, decision_id(), format!("{now:.3}"));
        let context = context.map_err(|error| {
            let message = format!("the object cannot be judged: {error}");
            Box::new(Verdict::failed(&review, decision_id(), "shape", message))
        });
        Ok(Decoded { review, set, context, started })
    }

    /// Decides a decoded review and records the decision. `deadline` counts from the start of decoding.
    pub fn decide(&self, decoded: Decoded, deadline: Option<Duration>, peer_verified: bool) -> Verdict {
        let Decoded { review, set, context, started } = decoded;
        let deadline = deadline.unwrap_or(self.budget.deadline).saturating_sub(started.elapsed());
        let budget = Budget { deadline, ..self.budget };
        let (context, verdict) = match context {
            Ok(context) => {
                let verdict = super::decide(&set, &context, &review, budget);
                (Some(context), verdict)
            }
            Err(verdict) => (None, *verdict),
        };
        record(&self.log, &review, context.as_ref(), &verdict, started.elapsed(), peer_verified);
        if let Some(context) = &context {
            let left = Budget { deadline: deadline.saturating_sub(started.elapsed()), ..self.budget };
            self.idempotence.check(&set, context, &review, &verdict, left);
        }
        verdict
    }

    /// Evaluates a review for `POST /api/v1/policies/evaluate`: the decision is neither logged nor counted. The context
    /// is absent where it could not be gathered.
    ///
    /// # Errors
    /// The body is not an AdmissionReview.
    pub fn evaluate(
        &self,
        body: Bytes,
        endpoint: Endpoint,
    ) -> Result<(Review, Option<ReviewContext>, Verdict), DecodeError> {
        let Decoded { review, set, context, .. } = self.decode(body, endpoint)?;
        match context {
            Ok(context) => {
                let verdict = super::decide(&set, &context, &review, self.budget);
                Ok((review, Some(context), verdict))
            }
            Err(verdict) => Ok((review, None, *verdict)),
        }
    }

    /// Rejects a decoded review because its tenant uses its full share of an overloaded gate.
    pub fn reject(&self, decoded: &Decoded, peer_verified: bool) -> Verdict {
        let Decoded { review, context, started, .. } = decoded;
        let message = format!(
            "the gate is overloaded and `{}` uses its full share of it; try again",
            decoded.fairness_key()
        );
        let verdict = Verdict::failed(review, decision_id(), OVERLOADED, message);
        record(&self.log, review, context.as_ref().ok(), &verdict, started.elapsed(), peer_verified);
        verdict
    }
}

impl Decoded {
    /// The name by which the gate's capacity is shared out.
    pub fn fairness_key(&self) -> &str {
        self.context.as_ref().map_or("unknown", ReviewContext::fairness_key)
    }
}

/// A new UUIDv7, so that ids sort in the order of the decisions.
pub fn decision_id() -> String {
    uuid::Uuid::now_v7().to_string()
}
