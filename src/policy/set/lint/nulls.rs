//! What is null in every request that a policy is asked about.

use crate::manifest::{Manifest, Operation};
use crate::set::compile::Unit;
use portcullis_rego::analysis::Step;
use portcullis_rego::problem::Problem;

/// Fields of an object that is always null: `object` on DELETE, `oldObject` on CREATE (Kubernetes, *Dynamic Admission
/// Control*). The line is undefined, so the policy does not deny.
pub(in crate::set) fn nulls(units: &mut [Unit<'_>]) {
    for unit in units.iter_mut() {
        let Some(manifest) = &unit.manifest else { continue };
        let (null, instead) = if only(manifest, &[Operation::Delete]) {
            (
                "object",
                "on DELETE, and `match` has no other operation; what is deleted is `input.request.oldObject`",
            )
        } else if only(manifest, &[Operation::Create]) {
            (
                "oldObject",
                "on CREATE, and `match` has no other operation; what is created is `input.request.object`",
            )
        } else {
            continue;
        };
        let name =
            |step: Option<&Step>, wanted: &str| matches!(step, Some(Step::Name(name)) if name == wanted);
        let fields = unit.analysis.input.iter().filter(|reference| {
            let path = &reference.path;
            name(path.first(), "request") && name(path.get(1), null) && path.len() > 2
        });
        let found: Vec<Problem> = fields
            .map(|reference| {
                let message = format!("`input.request.{null}` is null {instead}");
                Problem::at(&unit.module.path, reference.place.0, reference.place.1, message)
                    .settled(&unit.module.text)
            })
            .collect();
        unit.problems.0.extend(found);
    }
}

fn only(manifest: &Manifest, operations: &[Operation]) -> bool {
    manifest.matches.iter().flat_map(|one| &one.operations).all(|operation| operations.contains(operation))
}
