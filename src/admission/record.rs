//! A verdict → a line of the decision log, and the counters.

use std::sync::Arc;
use std::time::Duration;

use super::facts::Facts;
use super::review::Review;
use super::verdict::{Named, Verdict};
use portcullis_telemetry::decisions::{DecisionLog, Exemption, Finding, Objects, PolicyOutcome, Record};
use portcullis_telemetry::metrics::{Reviewed, reviewed};
use portcullis_telemetry::words::{NamespaceKind, Operation, Outcome};

/// Counts a decision and hands it to the log.
pub fn tell(
    log: &DecisionLog,
    review: &Review,
    facts: Option<&Facts>,
    verdict: &Verdict,
    took: Duration,
    peer_verified: bool,
) {
    let operation = Operation::of(&review.header.operation).unwrap_or(Operation::Other);
    let namespace_kind =
        facts.and_then(|facts| NamespaceKind::of(facts.kind.as_str())).unwrap_or(NamespaceKind::Unknown);
    let outcome = verdict.outcome();
    reviewed(
        Reviewed {
            endpoint: review.endpoint,
            operation,
            verdict: outcome,
            namespace_kind,
            dry_run: verdict.dry_run,
        },
        took,
    );
    log.record(plain(verdict), || {
        let header = &review.header;
        let resource = &header.resource;
        Record {
            time: jiff::Timestamp::now(),
            decision_id: verdict.decision_id.clone(),
            uid: header.uid.clone(),
            endpoint: review.endpoint,
            operation,
            group: header.kind.group.clone(),
            kind: header.kind.kind.clone(),
            resource: if resource.group.is_empty() {
                resource.resource.clone()
            } else {
                format!("{}.{}", resource.resource, resource.group)
            },
            subresource: header.subresource.clone(),
            namespace: facts.map_or(&header.namespace, |facts| &facts.namespace).clone(),
            namespace_kind,
            name: header.name.clone(),
            user: header.user.username.clone(),
            groups: header.user.groups.iter().take(33).cloned().collect(),
            requester_class: facts.map_or("unknown", |facts| facts.requester.class.as_str()),
            tenants: facts
                .map(|facts| facts.requester.tenants.iter().take(33).map(ToString::to_string).collect())
                .unwrap_or_default(),
            verdict: outcome,
            code: verdict.code(),
            policies: policies(verdict),
            findings: findings(verdict),
            findings_omitted: all_findings(verdict).saturating_sub(FINDINGS_MAX) as u64,
            exemptions: exemptions(verdict),
            warnings: verdict.warnings.len() as u64,
            patch_bytes: if verdict.patch.is_empty() {
                0
            } else {
                serde_json::to_vec(&verdict.patch).map_or(0, |json| json.len() as u64)
            },
            revision: Arc::from(verdict.revision.as_str()),
            duration_us: u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
            dry_run: verdict.dry_run,
            peer_verified,
            objects: log.wants_objects().then(|| objects(review)),
        }
    });
}

/// An allow that nobody has anything to say about: only such lines may be sampled away.
fn plain(verdict: &Verdict) -> bool {
    // An unknown operation is denied by no policy, and so has no outcome.
    verdict.denials.is_empty()
        && verdict.failures.is_empty()
        && verdict.outcomes.is_empty()
        && verdict.dropped.is_empty()
        && verdict.patch.is_empty()
}

fn policies(verdict: &Verdict) -> Vec<PolicyOutcome> {
    let said = verdict.outcomes.iter().map(|(id, outcome, mode)| PolicyOutcome {
        id: Arc::from(id.as_str()),
        outcome: *outcome,
        mode: mode.as_str(),
    });
    let broken = verdict.failures.iter().filter(|failure| failure.reason == "load");
    let broken = broken.map(|failure| PolicyOutcome {
        id: Arc::from(failure.policy.as_str()),
        outcome: Outcome::Error,
        mode: "enforce",
    });
    said.chain(broken).collect()
}

/// Those that lifted a denial; break-glass that is open and lifted nothing is in the audit annotations alone.
pub(super) fn exemptions(verdict: &Verdict) -> Vec<Exemption> {
    let lifted = verdict.leaves.iter().filter(|used| used.lifted);
    lifted.map(|used| Exemption { id: Arc::clone(&used.id), kind: used.kind.as_str() }).collect()
}

/// Findings of a line; the rest is counted, as in a denial.
const FINDINGS_MAX: usize = 20;

fn all_findings(verdict: &Verdict) -> usize {
    verdict.denials.len() + verdict.warnings.len() + verdict.audited.len() + verdict.failures.len()
}

fn findings(verdict: &Verdict) -> Vec<Finding> {
    let named = |named: &Named| Finding {
        policy: Arc::from(named.policy.as_str()),
        field: named.finding.field.clone(),
        msg: named.finding.msg.clone(),
        observed: named.finding.observed.clone(),
        details: named.finding.details.as_ref().map(|details| details.as_str().to_owned()),
    };
    let failures = verdict.failures.iter().map(|failure| Finding {
        policy: Arc::from(if failure.policy.is_empty() { "portcullis" } else { &failure.policy }),
        field: String::new(),
        msg: format!("{}: {}", failure.reason, failure.message),
        observed: None,
        details: None,
    });
    let found = verdict.denials.iter().chain(&verdict.warnings).chain(&verdict.audited).map(named);
    found.chain(failures).take(FINDINGS_MAX).collect()
}

/// The objects as they stand in the body; slices of it, so that nothing is copied.
fn objects(review: &Review) -> Objects {
    #[derive(serde::Deserialize)]
    struct Body<'a> {
        #[serde(borrow)]
        request: Request<'a>,
    }
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Request<'a> {
        #[serde(borrow, default)]
        object: Option<&'a serde_json::value::RawValue>,
        #[serde(borrow, default)]
        old_object: Option<&'a serde_json::value::RawValue>,
    }
    let Ok(body) = serde_json::from_slice::<Body<'_>>(&review.body) else { return Objects::default() };
    let slice = |raw: Option<&serde_json::value::RawValue>| {
        raw.map(|raw| review.body.slice_ref(raw.get().as_bytes()))
    };
    Objects { object: slice(body.request.object), old_object: slice(body.request.old_object), omitted: false }
}
