//! Whose turn it is: of several replicas one does what is to be done so often, and nobody has to lead for that.
//!
//! A Lease says when it was last begun. Whoever finds that to be long ago writes the time of now into it, guarded by its
//! `resourceVersion`; who comes second is refused, and leaves it be.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::Api;
use kube::api::{ObjectMeta, PostParams};

use super::client::Cluster;
use super::error::{ClusterError, Need};

/// What is asked of the Lease, in the cluster's own namespace.
pub fn needs(cluster: &Cluster) -> Vec<Need> {
    ["get", "create", "update"].map(|verb| need(cluster, verb)).into()
}

fn need(cluster: &Cluster, verb: &'static str) -> Need {
    Need::new(verb, "coordination.k8s.io", "leases").within(&cluster.namespace)
}

/// Takes the turn of this name if the last one was begun `every` ago or longer, as `holder`.
///
/// # Errors
/// The Lease cannot be read or written.
pub async fn take(
    cluster: &Cluster,
    name: &str,
    holder: &str,
    every: Duration,
) -> Result<bool, ClusterError> {
    let api: Api<Lease> = Api::namespaced(cluster.client.clone(), &cluster.namespace);
    let failed = |verb, error: &kube::Error| need(cluster, verb).of(name).failed(error);
    let found = api.get_opt(name).await.map_err(|error| failed("get", &error))?;
    // After the answer: what another has written meanwhile is not in the future.
    let now = Timestamp::now();
    let spec = LeaseSpec {
        holder_identity: Some(holder.to_owned()),
        lease_duration_seconds: i32::try_from(every.as_secs()).ok(),
        renew_time: Some(MicroTime(now)),
        ..LeaseSpec::default()
    };
    let written = match found {
        Some(lease) if !over(&lease, now, every) => return Ok(false),
        Some(lease) => {
            let lease = Lease { spec: Some(spec), ..lease };
            api.replace(name, &PostParams::default(), &lease).await.map_err(|error| ("update", error))
        }
        None => {
            let metadata = ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() };
            let lease = Lease { metadata, spec: Some(spec) };
            api.create(&PostParams::default(), &lease).await.map_err(|error| ("create", error))
        }
    };
    match written {
        Ok(_) => Ok(true),
        // Somebody else was there first.
        Err((_, kube::Error::Api(status))) if status.code == 409 => Ok(false),
        Err((verb, error)) => Err(failed(verb, &error)),
    }
}

/// Whether the last turn was begun so long ago. Clocks differ a little; a time further in the future than the interval is
/// that of a clock that was wrong.
fn over(lease: &Lease, now: Timestamp, every: Duration) -> bool {
    let begun = lease.spec.as_ref().and_then(|spec| spec.renew_time.as_ref()).map(|time| time.0);
    begun.is_none_or(|begun| now.duration_since(begun).unsigned_abs() >= every)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(begun: &str, expected: bool) {
        let time = MicroTime(begun.parse().expect("a time"));
        let spec = LeaseSpec { renew_time: Some(time), ..LeaseSpec::default() };
        let lease = Lease { spec: Some(spec), ..Lease::default() };
        let now = "2026-01-01T12:00:00Z".parse().expect("a time");
        assert_eq!(over(&lease, now, Duration::from_hours(1)), expected, "{begun}");
    }

    #[test]
    fn a_turn_is_over_when_it_was_begun_long_ago() {
        check("2026-01-01T11:00:00Z", true);
        check("2026-01-01T11:00:01Z", false);
        check("2026-01-01T12:00:00.000001Z", false);
        check("2026-01-01T13:00:00Z", true);
        assert!(over(&Lease::default(), Timestamp::now(), Duration::from_hours(1)), "nobody ever began one");
    }
}
