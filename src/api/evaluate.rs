//! Evaluates a manifest or an AdmissionReview without effect, under the policies and the snapshot in force.

use axum::extract::State;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};
use tokio::sync::Semaphore;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::Schema;
use utoipa::{PartialSchema, ToSchema};

use super::Api;
use super::answer::Answer;
use super::caller::Caller;
use super::extract::{Body, Query};
use super::fields;
use super::problem::{Code, Fault, Problem};
use portcullis_access::{Power, Scope};
use portcullis_admission::cases::User;
use portcullis_admission::review_builder::Document;
use portcullis_admission::review_builder::{RequestOptions, ReviewBuilder};
use portcullis_admission::{Endpoint, ReviewContext, Verdict, message};
use portcullis_policy::Operation;
use portcullis_tenancy::requester::Class;

/// Concurrent evaluations; reviews of kube-apiserver have priority.
const CONCURRENT_MAX: usize = 4;
static EVALUATIONS: Semaphore = Semaphore::const_new(CONCURRENT_MAX);

/// An AdmissionReview of `admission.k8s.io/v1`, or the manifest of an object.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
pub struct Subject(Json);

impl PartialSchema for Subject {
    fn schema() -> RefOr<Schema> {
        let pod = json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web", "namespace": "tn-acme-shop-sbx-001"},
            "spec": {"containers": [{"name": "web", "image": "docker.io/library/nginx:1.29"}]},
        });
        let description = "An AdmissionReview of `admission.k8s.io/v1`, or the manifest of an object.";
        fields::foreign(description, 100).examples([pod]).into()
    }
}

impl ToSchema for Subject {}

/// The request around a manifest. An AdmissionReview contains it.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EvaluateQuery {
    /// Username of the requester; the caller by default.
    #[schema(min_length = 1, max_length = 256, nullable = false)]
    user: Option<String>,
    /// Groups of the requester, separated by commas.
    #[schema(max_length = 2048, nullable = false)]
    groups: Option<String>,
    /// The operation; `CREATE` by default.
    #[schema(max_length = 7, pattern = "^(CREATE|DELETE|CONNECT)$", nullable = false)]
    operation: Option<String>,
    /// Namespace, for a manifest without one.
    #[schema(min_length = 1, max_length = 63, nullable = false)]
    namespace: Option<String>,
}

/// The verdict of the gate.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Evaluation {
    /// Whether the request would be allowed.
    allowed: bool,
    /// 200 if allowed, 403 if a policy denies, 500 if a policy fails.
    code: u16,
    /// The message for the requester; absent if the request is allowed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    message: Option<String>,
    /// Findings that deny.
    denials: Vec<Finding>,
    /// Findings that warn.
    warnings: Vec<Finding>,
    /// Findings that are only recorded.
    audited: Vec<Finding>,
    /// `<policies>/<snapshot>`: the revisions of the evaluation.
    revision: String,
}

/// A finding of a policy.
#[derive(Debug, Serialize, ToSchema)]
pub struct Finding {
    /// Id of the policy.
    policy: String,
    /// Field of the object; empty for the whole request.
    field: String,
    /// The message.
    msg: String,
    /// How to fix it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    fix: Option<String>,
    /// Details as any JSON of at most 1,024 bytes; absent if the policy gives none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Value, nullable = false)]
    details: Option<Json>,
}

pub async fn evaluate(
    State(api): State<Api>,
    caller: Caller,
    Query(query): Query<EvaluateQuery>,
    Body(Subject(subject)): Body<Subject>,
) -> Result<Answer<Evaluation>, Problem> {
    let gate = std::sync::Arc::clone(api.gate()?);
    let _permit = EVALUATIONS.try_acquire().map_err(|_| {
        let wait = std::time::Duration::from_secs(1);
        Problem::new(Code::RateLimitExceeded, "too many concurrent evaluations; retry after 1 s").after(wait)
    })?;
    let body = review(&caller, query, subject)?;
    let scope = caller.scope().clone();
    let evaluated = tokio::task::spawn_blocking(move || gate.evaluate(body, Endpoint::Validate)).await;
    let evaluated = evaluated.map_err(|error| Problem::internal(&error))?;
    let wrong = |error: portcullis_admission::review::DecodeError| {
        Problem::meaning(Code::UnprocessableEntity, "", message::clean(&error.to_string(), 300))
    };
    let (_, context, verdict) = evaluated.map_err(wrong)?;
    hide_other_tenants(&scope, context.as_ref())?;
    Ok(Answer::new(evaluation(&verdict)))
}

/// A tenant may only evaluate requests of its own users in its own namespaces; others are hidden.
fn hide_other_tenants(scope: &Scope, context: Option<&ReviewContext>) -> Result<(), Problem> {
    let Power::Tenant { id, .. } = scope.power() else { return Ok(()) };
    let hidden = || Problem::of(Code::TenantNotFound);
    let context = context.ok_or_else(hidden)?;
    let place = context.registered.as_ref().ok_or_else(hidden)?;
    let project = scope.may_project(&place.project_id);
    // An unknown requester belongs to no tenant, so the verdict reveals nothing about one.
    let requester = &context.requester;
    // A service account of an absent namespace is hidden like one of another tenant.
    let nowhere = requester.class == Class::Tenant && requester.tenants.is_empty();
    let strangers = nowhere || requester.tenants.iter().any(|tenant| *tenant != place.tenant);
    if *place.tenant_id == **id && project && !strangers { Ok(()) } else { Err(hidden()) }
}

/// The review as kube-apiserver sends it, marked as a dry run so that metrics count it separately.
fn review(caller: &Caller, query: EvaluateQuery, subject: Json) -> Result<Bytes, Problem> {
    let mut review = if subject.get("kind").and_then(Json::as_str) == Some("AdmissionReview") {
        subject
    } else {
        build_review(caller, query, subject)?
    };
    own_groups(caller, &review)?;
    if let Some(request) = review.get_mut("request").and_then(Json::as_object_mut) {
        request.insert("dryRun".to_owned(), true.into());
    }
    serde_json::to_vec(&review).map(Into::into).map_err(|error| Problem::internal(&error))
}

/// A tenant may not name another tenant's group `<slug>-devs`. The response is the same whether that tenant exists or not.
fn own_groups(caller: &Caller, review: &Json) -> Result<(), Problem> {
    if !matches!(caller.scope().power(), Power::Tenant { .. }) {
        return Ok(());
    }
    let own = caller.identity().tenant.as_ref().map(|tenant| format!("{}-devs", tenant.slug));
    let groups = review.pointer("/request/userInfo/groups").and_then(Json::as_array);
    let mut groups = groups.into_iter().flatten().filter_map(Json::as_str);
    let foreign = groups.any(|group| group.ends_with("-devs") && own.as_deref() != Some(group));
    if foreign { Err(Problem::of(Code::TenantNotFound)) } else { Ok(()) }
}

fn build_review(caller: &Caller, query: EvaluateQuery, subject: Json) -> Result<Json, Problem> {
    let document = Document { source: "body".to_owned(), number: 1, value: subject, verbatim: None };
    if document.text("/kind").is_empty() || document.text("/apiVersion").is_empty() {
        let fault =
            Fault::new("", "the body must be an AdmissionReview or an object with `apiVersion` and `kind`");
        return Err(Problem::faults(Code::UnprocessableEntity, vec![fault]));
    }
    let operation = query.operation.as_deref().and_then(Operation::parse);
    let options = RequestOptions { operation, namespace: query.namespace, ..RequestOptions::default() };
    let request = ReviewBuilder::new(&document, &options);
    let request =
        request.map_err(|error| Problem::meaning(Code::UnprocessableEntity, "", error.to_string()))?;
    let own = caller.identity().tenant.as_ref().map(|tenant| format!("{}-devs", tenant.slug));
    let groups = query.groups.map_or_else(
        || own.into_iter().collect(),
        |groups| groups.split(',').map(|group| group.trim().to_owned()).collect::<Vec<_>>(),
    );
    let username = query.user.unwrap_or_else(|| caller.identity().subject.clone());
    let mut groups = groups;
    groups.push("system:authenticated".to_owned());
    Ok(request.build(&User { username, groups }))
}

fn evaluation(verdict: &Verdict) -> Evaluation {
    let findings = |all: &[portcullis_admission::verdict::Named]| -> Vec<Finding> {
        let one = |named: &portcullis_admission::verdict::Named| Finding {
            policy: named.policy.clone(),
            field: named.finding.field.clone(),
            msg: message::clean(&named.finding.msg, 500),
            fix: named.finding.fix.clone(),
            details: named.finding.details.as_ref().map(portcullis_policy::Details::json),
        };
        all.iter().map(one).collect()
    };
    Evaluation {
        allowed: verdict.allowed(),
        code: verdict.code(),
        message: (!verdict.allowed()).then(|| message::denial(verdict)),
        denials: findings(&verdict.denials),
        warnings: findings(&verdict.warnings),
        audited: findings(&verdict.audited),
        revision: verdict.revision.clone(),
    }
}
