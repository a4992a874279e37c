//! Whether a patch of ours would be what denies a request.

use std::collections::HashSet;
use std::sync::Arc;

use serde_json::Value as Json;

use super::patch::Composed;
use super::{drop_patch, enforced};
use crate::changes;
use crate::decode;
use crate::facts::Facts;
use crate::review::Review;
use crate::validate::Inputs;
use crate::verdict::{Named, Verdict};
use portcullis_policy::effective::Effective;
use portcullis_policy::{Finding, Meter, Operation, Plan, Policy, PolicySet, Value};

/// What is needed to judge another object in the place of the review's own.
pub struct Judge<'a> {
    pub law: &'a PolicySet,
    pub plan: &'a Plan,
    pub facts: &'a Facts,
    pub review: &'a Review,
    pub effective: Option<&'a Arc<Effective>>,
    pub data: &'a Value,
    /// Of the review's own object.
    pub inputs: &'a Inputs,
}

impl Judge<'_> {
    /// Drops the patches that make a denial of a request that would have passed.
    pub fn without_harm(&self, composed: Composed, meter: &mut Meter, verdict: &mut Verdict) -> Composed {
        let after = self.denials(&composed.object, meter);
        if after.is_empty() {
            return composed;
        }
        let original = changes::object(self.review);
        let before: HashSet<Named> =
            self.found(self.inputs, self.review, meter, |_| true).into_iter().collect();
        if after.iter().all(|named| before.contains(named)) {
            return composed;
        }
        let mut kept = Composed::new(original);
        for (policy, operations) in composed.parts {
            if let Err(error) = meter.check() {
                drop_patch(verdict, &policy, error.to_string());
                continue;
            }
            let mut with = kept.clone();
            if let Err(error) = with.add(&policy, operations) {
                drop_patch(verdict, &policy, error.to_string());
                continue;
            }
            match self.denials(&with.object, meter).into_iter().find(|named| !before.contains(named)) {
                Some(named) => {
                    drop_patch(verdict, &policy, format!("{} would deny its result", named.policy))
                }
                None => kept = with,
            }
        }
        kept
    }

    /// What `deny` says of an object in the place of the review's own, of the policies that can tell the two apart. What
    /// the others say, they say of both.
    fn denials(&self, object: &Json, meter: &mut Meter) -> Vec<Named> {
        let patched = with_object(self.plan, self.review, object);
        let Ok(inputs) = Inputs::build(self.plan, self.facts, &patched, false) else {
            return vec![unknown("portcullis")];
        };
        self.found(&inputs, &patched, meter, |policy| {
            // Where the whole input is to be judged, what a policy is known to read is not relied on.
            self.plan.whole
                || differ(policy, self.inputs.of(policy, self.review), inputs.of(policy, &patched))
        })
    }

    /// What the policies that enforce find. A failure counts as a denial: the patch is not known to be harmless.
    fn found(
        &self,
        inputs: &Inputs,
        review: &Review,
        meter: &mut Meter,
        asked: impl Fn(&Policy) -> bool,
    ) -> Vec<Named> {
        let mut found = Vec::new();
        let denying = enforced(self.law, self.plan, self.facts, self.effective)
            .filter(|(_, policy, _)| policy.defines("deny") && asked(policy));
        for (at, policy, _) in denying {
            let id = &policy.manifest.id;
            meter.enter(at);
            match policy.findings("deny", inputs.of(policy, review), self.data, meter) {
                Ok(findings) => found.extend(findings.into_iter().map(|finding| Named {
                    policy: id.clone(),
                    // Details may hold what the patch changes; the denial is the same.
                    finding: Finding { details: None, ..finding },
                })),
                Err(_) => found.push(unknown(id)),
            }
        }
        found
    }
}

/// The review with another object in the place of its own.
pub(super) fn with_object(plan: &Plan, review: &Review, object: &Json) -> Review {
    let object_value = decode::part(object, &review.built.object);
    let mut patched = Review { object: Some(object_value), ..review.clone() };
    // Told of an UPDATE alone, and costly: the object is written out to be read again.
    let compared = ["changed", "finalizerRemoval"].iter().any(|part| plan.reads.touches(&[part]));
    let update = review.header.operation() == Some(Operation::Update);
    if (compared && update) || plan.reads.touches(&["templates"]) {
        patched.body = changes::body_with(review, object);
    }
    patched
}

/// Whether two inputs are different in anything that a policy reads.
fn differ(policy: &Policy, one: &Value, other: &Value) -> bool {
    let (mut a, mut b) = (Vec::new(), Vec::new());
    let read = policy.reads.values(one, &mut a).and(policy.reads.values(other, &mut b));
    read.is_none() || a != b
}

fn unknown(policy: &str) -> Named {
    Named {
        policy: policy.to_owned(),
        finding: portcullis_policy::Finding { msg: "failed".to_owned(), ..Default::default() },
    }
}
