//! Records a decision in the decision log and the metrics.

use std::sync::Arc;
use std::time::Duration;

use super::context::ReviewContext;
use super::review::Review;
use super::verdict::{Named, Verdict};
use portcullis_telemetry::decisions::{DecisionLog, Exemption, Finding, Objects, PolicyOutcome, Record};
use portcullis_telemetry::labels::{NamespaceKind, Operation, Outcome};
use portcullis_telemetry::metrics::{ReviewLabels, review_completed};

pub(crate) fn record(
    log: &DecisionLog,
    review: &Review,
    context: Option<&ReviewContext>,
    verdict: &Verdict,
    took: Duration,
    peer_verified: bool,
) {
    let operation = Operation::parse(&review.header.operation).unwrap_or(Operation::Other);
    let namespace_kind = context
        .and_then(|context| NamespaceKind::parse(context.kind.as_str()))
        .unwrap_or(NamespaceKind::Unknown);
    let outcome = verdict.outcome();
    review_completed(
        ReviewLabels {
            endpoint: review.endpoint,
            operation,
            verdict: outcome,
            namespace_kind,
            dry_run: verdict.dry_run,
        },
        took,
    );
    log.record(has_no_findings(verdict), || {
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
            namespace: context.map_or(&header.namespace, |context| &context.namespace).clone(),
            namespace_kind,
            name: header.name.clone(),
            user: header.user.username.clone(),
            groups: header.user.groups.iter().take(33).cloned().collect(),
            requester_class: context.map_or("unknown", |context| context.requester.class.as_str()),
            tenants: context
                .map(|context| context.requester.tenants.iter().take(33).map(ToString::to_string).collect())
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
            objects: log.logs_objects().then(|| objects(review)),
        }
    });
}

/// Only such lines may be left out by sampling.
fn has_no_findings(verdict: &Verdict) -> bool {
    // An unknown operation is denied without an outcome of a policy.
    verdict.denials.is_empty()
        && verdict.failures.is_empty()
        && verdict.outcomes.is_empty()
        && verdict.dropped.is_empty()
        && verdict.patch.is_empty()
}

fn policies(verdict: &Verdict) -> Vec<PolicyOutcome> {
    let outcomes = verdict.outcomes.iter().map(|(id, outcome, mode)| PolicyOutcome {
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
    outcomes.chain(broken).collect()
}

/// The exemptions that lifted a denial. Open break-glass that lifted nothing is in the audit annotations only.
pub(super) fn exemptions(verdict: &Verdict) -> Vec<Exemption> {
    let lifted = verdict.exemptions.iter().filter(|used| used.lifted);
    lifted.map(|used| Exemption { id: Arc::clone(&used.id), kind: used.kind.as_str() }).collect()
}

/// The findings of a log line; further ones are counted.
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

/// The objects as slices of the body, without copying.
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
