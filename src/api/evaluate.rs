//! What the gate would say, without effect: by the gate's own `decide`, under the law and the snapshot in force.

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
use super::body::{Body, Query};
use super::caller::Caller;
use super::fields;
use super::problem::{Code, Fault, Problem};
use portcullis_access::{Power, Scope};
use portcullis_admission::ask::Document;
use portcullis_admission::ask::request::{Request, Wanted};
use portcullis_admission::cases::Person;
use portcullis_admission::{Endpoint, Facts, Verdict, message};
use portcullis_policy::Operation;
use portcullis_tenancy::requester::Class;

/// Evaluations at once; the gate's own reviews come first.
const PLACES: usize = 4;
static BUSY: Semaphore = Semaphore::const_new(PLACES);

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

/// What is said of a manifest; an AdmissionReview says it itself.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EvaluateQuery {
    /// Who writes; a tenant's own person where it is absent.
    #[schema(min_length = 1, max_length = 256, nullable = false)]
    user: Option<String>,
    /// Its groups, separated by commas.
    #[schema(max_length = 2048, nullable = false)]
    groups: Option<String>,
    /// What is done.
    #[schema(max_length = 7, pattern = "^(CREATE|DELETE|CONNECT)$", nullable = false)]
    operation: Option<String>,
    /// Where, for a manifest that does not say it.
    #[schema(min_length = 1, max_length = 63, nullable = false)]
    namespace: Option<String>,
}

/// What the gate would say.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Evaluation {
    /// Whether it would be let through.
    allowed: bool,
    /// 200, 403 for a law, 500 for a failure.
    code: u16,
    /// As the requester would read it; absent where it is let through.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    message: Option<String>,
    /// What denies.
    denials: Vec<Finding>,
    /// What warns.
    warnings: Vec<Finding>,
    /// What is only recorded.
    audited: Vec<Finding>,
    /// `<law>/<snapshot>`: what it was judged by.
    revision: String,
}

/// What a policy found.
#[derive(Debug, Serialize, ToSchema)]
pub struct Finding {
    /// Its id.
    policy: String,
    /// Where in the object; empty for the request as a whole.
    field: String,
    /// The sentence.
    msg: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    fix: Option<String>,
    /// More about it, any JSON of 1,024 bytes at most; absent where the policy gives none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Value, nullable = false)]
    details: Option<Json>,
}

/// Judges a manifest or a review.
pub async fn evaluate(
    State(api): State<Api>,
    caller: Caller,
    Query(query): Query<EvaluateQuery>,
    Body(Subject(subject)): Body<Subject>,
) -> Result<Answer<Evaluation>, Problem> {
    let gate = std::sync::Arc::clone(api.gate()?);
    let _place = BUSY.try_acquire().map_err(|_| {
        let wait = std::time::Duration::from_secs(1);
        Problem::new(Code::RateLimitExceeded, "too many evaluations at once").after(wait)
    })?;
    let body = review(&caller, query, subject)?;
    let scope = caller.scope().clone();
    let judged = tokio::task::spawn_blocking(move || gate.ask(body, Endpoint::Validate)).await;
    let judged = judged.map_err(|error| Problem::internal(&error))?;
    let wrong = |error: portcullis_admission::review::DecodeError| {
        Problem::meaning(Code::UnprocessableEntity, "", message::clean(&error.to_string(), 300))
    };
    let (_, facts, verdict) = judged.map_err(wrong)?;
    known(&scope, facts.as_ref())?;
    Ok(Answer::new(told(&verdict)))
}

/// A tenant asks about its own namespaces and its own people; of others it is not told that they exist.
fn known(scope: &Scope, facts: Option<&Facts>) -> Result<(), Problem> {
    let Power::Tenant { id, .. } = scope.power() else { return Ok(()) };
    let hidden = || Problem::of(Code::TenantNotFound);
    let facts = facts.ok_or_else(hidden)?;
    let place = facts.known.as_ref().ok_or_else(hidden)?;
    let project = scope.may_project(&place.project_id);
    // An unknown requester is nobody's: the law says what it may, and nothing is given away.
    let requester = &facts.requester;
    // A service account of a namespace that is not there is hidden like one of another tenant's that is.
    let nowhere = requester.class == Class::Tenant && requester.tenants.is_empty();
    let strangers = nowhere || requester.tenants.iter().any(|tenant| *tenant != place.tenant);
    if *place.tenant_id == **id && project && !strangers { Ok(()) } else { Err(hidden()) }
}

/// The review as kube-apiserver would send it, marked as a dry run so that it is counted apart.
fn review(caller: &Caller, query: EvaluateQuery, subject: Json) -> Result<Bytes, Problem> {
    let mut review = if subject.get("kind").and_then(Json::as_str) == Some("AdmissionReview") {
        subject
    } else {
        asked(caller, query, subject)?
    };
    own_groups(caller, &review)?;
    if let Some(request) = review.get_mut("request").and_then(Json::as_object_mut) {
        request.insert("dryRun".to_owned(), true.into());
    }
    serde_json::to_vec(&review).map(Into::into).map_err(|error| Problem::internal(&error))
}

/// Whoever is of a tenant asks about no other tenant's group, `<slug>-devs`. One is hidden whether there is such a tenant or
/// not: otherwise the answer tells.
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

fn asked(caller: &Caller, query: EvaluateQuery, subject: Json) -> Result<Json, Problem> {
    let document = Document { source: "body".to_owned(), number: 1, value: subject, verbatim: None };
    if document.text("/kind").is_empty() || document.text("/apiVersion").is_empty() {
        let fault = Fault::new("", "an AdmissionReview or an object has `apiVersion` and `kind`");
        return Err(Problem::faults(Code::UnprocessableEntity, vec![fault]));
    }
    let operation = query.operation.as_deref().and_then(Operation::parse);
    let wanted = Wanted { operation, namespace: query.namespace, ..Wanted::default() };
    let request = Request::of(&document, &wanted);
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
    Ok(request.review(&Person { username, groups }))
}

fn told(verdict: &Verdict) -> Evaluation {
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
