//! A Lease that one of several replicas acquires per interval, without leader election. Its `renewTime` says when it was last
//! acquired; `resourceVersion` makes the second writer fail.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::Api;
use kube::api::{ObjectMeta, PostParams};

use super::client::Cluster;
use super::error::{ClusterError, Need};

pub fn needs(cluster: &Cluster) -> Vec<Need> {
    ["get", "create", "update"].map(|verb| need(cluster, verb)).into()
}

fn need(cluster: &Cluster, verb: &'static str) -> Need {
    Need::new(verb, "coordination.k8s.io", "leases").within(&cluster.namespace)
}

/// Whether this replica acquired the Lease, which must have been acquired at least `every` ago.
pub async fn acquire(
    cluster: &Cluster,
    name: &str,
    holder: &str,
    every: Duration,
) -> Result<bool, ClusterError> {
    let api: Api<Lease> = Api::namespaced(cluster.client.clone(), &cluster.namespace);
    let failed = |verb, error: &kube::Error| need(cluster, verb).of(name).failed(error);
    let found = api.get_opt(name).await.map_err(|error| failed("get", &error))?;
    // Read after the answer, so that a time that another replica wrote meanwhile is not in the future.
    let now = Timestamp::now();
    let spec = LeaseSpec {
        holder_identity: Some(holder.to_owned()),
        lease_duration_seconds: i32::try_from(every.as_secs()).ok(),
        renew_time: Some(MicroTime(now)),
        ..LeaseSpec::default()
    };
    let written = match found {
        Some(lease) if !has_expired(&lease, now, every) => return Ok(false),
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
        // Another replica was first.
        Err((_, kube::Error::Api(status))) if status.code == 409 => Ok(false),
        Err((verb, error)) => Err(failed(verb, &error)),
    }
}

/// Clocks differ a little. A time further in the future than the interval comes from a wrong clock.
fn has_expired(lease: &Lease, now: Timestamp, every: Duration) -> bool {
    let acquired = lease.spec.as_ref().and_then(|spec| spec.renew_time.as_ref()).map(|time| time.0);
    acquired.is_none_or(|acquired| now.duration_since(acquired).unsigned_abs() >= every)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(acquired: &str, expected: bool) {
        let time = MicroTime(acquired.parse().expect("a time"));
        let spec = LeaseSpec { renew_time: Some(time), ..LeaseSpec::default() };
        let lease = Lease { spec: Some(spec), ..Lease::default() };
        let now = "2026-01-01T12:00:00Z".parse().expect("a time");
        assert_eq!(has_expired(&lease, now, Duration::from_hours(1)), expected, "{acquired}");
    }

    #[test]
    fn lease_expires_after_its_interval() {
        check("2026-01-01T11:00:00Z", true);
        check("2026-01-01T11:00:01Z", false);
        check("2026-01-01T12:00:00.000001Z", false);
        check("2026-01-01T13:00:00Z", true);
        assert!(
            has_expired(&Lease::default(), Timestamp::now(), Duration::from_hours(1)),
            "a lease without renewTime has expired"
        );
    }
}
