//! Decides AdmissionReviews.
//!
//! [`decide`] is pure and synchronous, and every caller uses it: the webhook, `portcullis review`, `policy test` and
//! `policy eval`, the benches and the fuzzer. The decision id and the time come in with [`ReviewContext`].

pub mod cases;
pub mod changes;
pub mod context;
pub mod decode;
pub mod exemption;
pub mod gate;
pub mod http;
pub mod idempotence;
pub mod input;
pub mod kinds;
pub mod message;
pub mod mutate;
mod object_checks;
pub mod patch;
pub mod projection;
mod record;
mod registries;
pub mod response;
pub mod review;
pub mod review_builder;
pub mod snapshot;
mod templates;
pub mod validate;
pub mod verdict;
pub mod workload;

pub use context::ReviewContext;
pub use gate::Gate;
pub use review::{Endpoint, Header, Review};
pub use snapshot::PreparedSnapshot;
pub use verdict::{Outcome, Verdict};

use portcullis_policy::{Budget, Meter, Operation, PolicySet};
use portcullis_tenancy::requester::Class;
use portcullis_tenancy::snapshot::Kind;

/// Decides a review. Never panics and never waits; every failure is in the verdict.
///
/// An unknown is an error. On `/validate` an error denies; on `/mutate` it sends no patch and a warning, because the
/// validating call decides.
pub fn decide(set: &PolicySet, context: &ReviewContext, review: &Review, budget: Budget) -> Verdict {
    let mut verdict = Verdict::new(set, context, review);
    let Some(operation) = review.header.operation() else {
        // Policies also match cluster-scoped objects and Namespaces.
        if tenant_namespace(context.kind) || context.kind == Kind::Cluster || review.header.is_namespace() {
            verdict.unknown_operation(&review.header.operation);
        }
        return verdict;
    };
    // The control plane may be newer than the gate.
    let control_plane = matches!(context.requester.class, Class::System | Class::Node);
    if review.header.is_unknown_namespace_subresource()
        && !control_plane
        && context.requester.class != Class::Admin
    {
        verdict.unknown_subresource(&review.header.subresource);
        return verdict;
    }
    if tenant_namespace(context.kind)
        && let Some(field) = missing_object(review, operation)
    {
        verdict.fail("", "shape", format!("{operation} without `request.{field}`"));
        return verdict;
    }
    let mut meter = Meter::new(budget);
    let plan = set.plan(&review.header.query(operation, context.kind));
    let whole;
    // A review that was decoded for another plan lacks fields that this one reads; they must not count as absent.
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
    if tenant_namespace(context.kind)
        && let Err(error) = check_objects(review, control_plane)
    {
        verdict.fail("", "shape", format!("the object cannot be judged: {error}"));
        return verdict;
    }
    let matched = tenant_namespace(context.kind) || !plan.policies.is_empty();
    if matched && review.cut && !may_be_cut(review, context, operation) {
        verdict.too_deep(decode::DEPTH_MAX);
        return verdict;
    }
    for broken in plan.broken.iter().filter_map(|at| set.broken.get(*at)) {
        verdict.broken(broken);
    }
    match review.endpoint {
        Endpoint::Validate => {
            validate::run(set, &plan, context, review, &mut meter, &mut verdict);
            exemption::apply(context, &mut verdict);
        }
        Endpoint::Mutate => changes::with_stack(review, || {
            mutate::run(set, &plan, context, review, &mut meter, &mut verdict);
        }),
    }
    verdict
}

/// Whether the namespace belongs to a tenant or has a tenant's name. Elsewhere a review that no policy matches is allowed.
const fn tenant_namespace(kind: Kind) -> bool {
    matches!(kind, Kind::App | Kind::Sandbox | Kind::Unregistered)
}

fn check_objects(review: &Review, control_plane: bool) -> Result<(), workload::ShapeError> {
    object_checks::check(review)?;
    if control_plane { Ok(()) } else { object_checks::check_unknown_subresource(review) }
}

/// Whether a review is decided although a part that a policy reads is nested too deep. Otherwise no user could delete such
/// an object, nor could the garbage collector.
fn may_be_cut(review: &Review, context: &ReviewContext, operation: Operation) -> bool {
    operation == Operation::Delete
        || context.requester.class == Class::System
        || changes::finalizer_removal(review)
}

/// The object that the operation requires and the request lacks.
fn missing_object(review: &Review, operation: Operation) -> Option<&'static str> {
    let (object, old) = (review.object.is_some(), review.old_object.is_some());
    match operation {
        Operation::Create | Operation::Update if !object => Some("object"),
        Operation::Update | Operation::Delete if !old => Some("oldObject"),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
