//! The gate: an AdmissionReview in, a verdict out.
//!
//! [`decide`] is the heart: pure, synchronous, and the only way to a verdict. The HTTP handler, `portcullis
//! review`, `policy test|eval`, the benches, the golden cases and the fuzzer all call it. What is not pure is
//! handed in: [`Facts`] carries the decision id and the time.

mod again;
pub mod ask;
pub mod cases;
pub mod changes;
pub mod decode;
mod events;
pub mod facts;
pub mod gate;
pub mod http;
pub mod input;
pub mod leave;
mod listed;
pub mod mask;
pub mod message;
pub mod mutate;
pub mod patch;
pub mod record;
pub mod response;
pub mod review;
pub mod shape;
mod templates;
pub mod validate;
pub mod verdict;
pub mod wanted;
pub mod workload;

pub use facts::{Facts, World};
pub use gate::Gate;
pub use review::{Endpoint, Header, Review};
pub use verdict::{Outcome, Verdict};

use portcullis_policy::{Budget, Meter, Operation, PolicySet};
use portcullis_tenancy::requester::Class;
use portcullis_tenancy::snapshot::Kind;

/// Judges a review under a law, given its surroundings.
///
/// Never panics and never waits; every failure is in the verdict. On `/validate` an unknown is an error and an
/// error is a denial; on `/mutate` a failure sends no patch and says so, since the validating call decides.
pub fn decide(law: &PolicySet, facts: &Facts, review: &Review, budget: Budget) -> Verdict {
    let mut verdict = Verdict::new(law, facts, review);
    let Some(operation) = review.header.operation() else {
        // Policies are about what has no namespace and about Namespaces, too.
        if judged(facts.kind) || facts.kind == Kind::Cluster || review.header.is_namespace() {
            verdict.unknown_operation(&review.header.operation);
        }
        return verdict;
    };
    // The system's own parts may be newer than the gate.
    let newer = matches!(facts.requester.class, Class::System | Class::Node);
    if review.header.is_unknown_form_of_namespace() && !newer && facts.requester.class != Class::Admin {
        verdict.unknown_subresource(&review.header.subresource);
        return verdict;
    }
    if judged(facts.kind)
        && let Some(missing) = missing(review, operation)
    {
        verdict.fail("", "shape", format!("{operation} without `request.{missing}`"));
        return verdict;
    }
    let mut meter = Meter::new(budget);
    let plan = law.plan(&review.header.query(operation, facts.kind));
    let whole;
    // A review that was decoded for another plan lacks what this one reads, and what is missing must not pass for absent.
    let review = if review.covers(&plan) {
        review
    } else {
        match review.whole() {
            Ok(decoded) => whole = decoded,
            Err(error) => {
                verdict.fail("", "shape", error.to_string());
                return verdict;
            }
        }
        &whole
    };
    let unknown = || if newer { Ok(()) } else { shape::check_unknown_subresource(review) };
    if judged(facts.kind)
        && let Err(error) = shape::check(review).and_then(|()| unknown())
    {
        verdict.fail("", "shape", format!("the object cannot be judged: {error}"));
        return verdict;
    }
    let matched = judged(facts.kind) || !plan.policies.is_empty();
    if matched && review.cut && !passes_cut(review, facts, operation) {
        verdict.too_deep(decode::DEPTH_MAX);
        return verdict;
    }
    for broken in plan.broken.iter().filter_map(|at| law.broken.get(*at)) {
        verdict.broken(broken);
    }
    match review.endpoint {
        Endpoint::Validate => validate::run(law, &plan, facts, review, &mut meter, &mut verdict),
        Endpoint::Mutate => changes::with_stack(review, || {
            mutate::run(law, &plan, facts, review, &mut meter, &mut verdict);
        }),
    }
    if review.endpoint == Endpoint::Validate {
        leave::apply(facts, &mut verdict);
    }
    verdict
}

/// Namespaces that are ours to judge; elsewhere what no policy matches is let through.
const fn judged(kind: Kind) -> bool {
    matches!(kind, Kind::App | Kind::Sandbox | Kind::Unregistered)
}

/// Whether a request goes on although a part that a policy reads is missing, because it lies too deep. Otherwise what
/// exists could neither be deleted nor cleaned up by the garbage collector.
fn passes_cut(review: &Review, facts: &Facts, operation: Operation) -> bool {
    operation == Operation::Delete
        || facts.requester.class == Class::System
        || changes::finalizer_removal(review)
}

/// The object that the operation must carry and does not.
fn missing(review: &Review, operation: Operation) -> Option<&'static str> {
    let (object, old) = (review.object.is_some(), review.old_object.is_some());
    match operation {
        Operation::Create | Operation::Update if !object => Some("object"),
        Operation::Update | Operation::Delete if !old => Some("oldObject"),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
