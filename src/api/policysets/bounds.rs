//! How many policy sets a tenant may have, and how large: no more than gates read.

use super::{PolicySet, Tenant};
use crate::problem::{Fault, Problem};
use portcullis_store::{Tx, snapshot};
use portcullis_tenancy::snapshot::{
    Origin, PARAMS_DEPTH_MAX, RULES_BYTES_MAX, Rule, SETS_MAX, depth, rules_bytes,
};

/// What would make of a tenant's sets more than gates read. A tenant keeps half of the room, so that it cannot keep the
/// platform's sets out.
pub(super) async fn bounds(
    tx: &mut Tx,
    tenant: &Tenant,
    rules: &[Rule],
    places: usize,
    tenant_speaks: bool,
    was: Option<&PolicySet>,
) -> Result<Vec<Fault>, Problem> {
    let deep = |rule: &Rule| rule.params.values().any(|value| depth(value) > PARAMS_DEPTH_MAX);
    let deep = rules.iter().enumerate().filter(|(_, rule)| deep(rule)).map(|(index, _)| {
        let detail = format!("nests deeper than {PARAMS_DEPTH_MAX}");
        Fault::new(format!("/rules/{index}/params"), detail)
    });
    let mut faults: Vec<Fault> = deep.collect();
    let mut others = snapshot::policy_sets(tx, &tenant.name).await?;
    others.retain(|set| set.origin == Origin::Plan || was.is_none_or(|was| *set.name != *was.name));
    let half = if tenant_speaks { 2 } else { 1 };
    others.retain(|set| !tenant_speaks || set.origin == Origin::Tenant);
    // In the whole tenant and in projects, a set is two.
    let count = others.len() + places.min(2);
    if count > SETS_MAX / half {
        let detail = format!("makes {count} sets of the tenant (allowed: {} at most)", SETS_MAX / half);
        faults.push(Fault::new("/attachedTo", detail));
    }
    let bytes = places.min(2).saturating_mul(rules_bytes(rules));
    let bytes = others.iter().fold(bytes, |sum, set| sum.saturating_add(rules_bytes(&set.rules)));
    if bytes > RULES_BYTES_MAX / half {
        let most = RULES_BYTES_MAX / half;
        let detail = format!("makes {bytes} bytes of rules of the tenant's sets (allowed: {most} at most)");
        faults.push(Fault::new("/rules", detail));
    }
    Ok(faults)
}
