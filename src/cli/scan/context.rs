//! What a scan evaluates with (policies, tenancy, assumed users), and the evaluation of one existing object.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::Value as Json;

use super::assumed_users::AssumedUsers;
use super::upload;
use crate::cli::evaluator::{self, Evaluator, Moment};
use crate::cli::ledger::client::Client;
use crate::cli::output;
use crate::cli::review::users;
use portcullis_admission::cases::User;
use portcullis_admission::kinds::Resource;
use portcullis_admission::review_builder::{Document, RequestOptions, ReviewBuilder, notation};
use portcullis_admission::verdict::Named;
use portcullis_admission::{Endpoint, Verdict, kinds, message};
use portcullis_policy::set::Options;
use portcullis_policy::{Budget, Finding, Operation, PolicySet};
use portcullis_tenancy::snapshot::Kind;

/// Kinds that are calls: nothing is stored.
const CALLS: [&str; 2] = ["authentication.k8s.io", "authorization.k8s.io"];

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Denied for every user.
    Deny,
    /// A policy failed, which denies too.
    Error,
    /// A policy in mode `warn`, or a warning.
    Warn,
    /// A policy in mode `audit`, or one with an exemption.
    Audit,
    /// Denied to the tenant and allowed to a controller; the object does not name its author.
    Unattributed,
}

impl Level {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Deny => "deny",
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Audit => "audit",
            Self::Unattributed => "unattributed",
        }
    }

    pub const fn bites(self) -> bool {
        matches!(self, Self::Deny | Self::Error)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Only the scanned policies find it.
    New,
    Same,
    /// Only the baseline found it.
    Resolved,
}

impl Change {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Same => "same",
            Self::Resolved => "resolved",
        }
    }
}

#[derive(Debug, Clone)]
pub struct ScanFinding {
    pub level: Level,
    /// Empty for the gate itself.
    pub policy: String,
    pub finding: Finding,
    /// The message without control characters, so that a terminal can show it.
    pub sentence: String,
    /// Compared with the baseline, if there is one.
    pub change: Option<Change>,
}

#[derive(Debug, Clone)]
pub struct ScannedObject {
    /// File, `-` or `cluster`.
    pub source: Arc<str>,
    /// From 1; 0 if the source has no lines.
    pub line: usize,
    /// `apps/v1`
    pub api_version: String,
    /// `Deployment`
    pub kind: String,
    /// `deployments.apps`
    pub resource: String,
    /// Empty for a cluster-scoped object.
    pub namespace: String,
    /// Empty with `generateName`.
    pub name: String,
    pub place: Kind,
    pub tenant: Option<Arc<str>>,
    pub outside: bool,
    pub assumed: Vec<String>,
    /// The most severe first.
    pub findings: Vec<ScanFinding>,
}

impl ScannedObject {
    /// `namespace/resource/name`, as the ledger stores it.
    pub fn path(&self) -> String {
        format!("{}/{}/{}", self.namespace, self.resource, self.name)
    }
}

#[derive(Debug)]
pub struct ScanContext {
    pub evaluator: Evaluator,
    /// The policies to compare with.
    pub baseline: Option<Evaluator>,
    pub assumed_users: AssumedUsers,
    /// One time for all objects.
    pub moment: Moment,
    /// Namespace of objects without one.
    pub namespace: Option<String>,
}

impl ScanContext {
    /// Evaluates an object as a CREATE on `/validate`; `resource` if the source knows it better than the kind tells.
    pub fn evaluate(&self, document: &Document, resource: Option<Resource>) -> Result<ScannedObject, String> {
        let (group, _) = document.text("/apiVersion").split_once('/').unwrap_or_default();
        let resource = resource.unwrap_or_else(|| kinds::resource(group, document.text("/kind")));
        if document.is_review() || !resource.subresource.is_empty() || CALLS.contains(&group) {
            return Err(format!(
                "{} is a call and not an object that exists",
                message::clean(document.text("/kind"), 100)
            ));
        }
        let nowhere = document.text("/metadata/namespace").is_empty();
        let options = RequestOptions {
            operation: Some(Operation::Create),
            resource: Some(resource.clone()).filter(|known| !known.guessed),
            namespace: self.namespace.clone().filter(|_| nowhere),
            old: Vec::new(),
        };
        let request = ReviewBuilder::new(document, &options).map_err(|error| error.to_string())?;
        let tenancy = &self.evaluator.tenancy;
        let place = tenancy.snapshot.kind(&request.namespace);
        let is_namespace = resource.resource == "namespaces" && resource.group.is_empty();
        let pair = self.assumed_users.of(tenancy, &request.namespace, place, is_namespace);
        let body = body(&request, &pair.first)?;
        let second = pair.second.as_ref();
        let (mut found, outside) = self.opinion(&self.evaluator, &body, &request, second)?;
        if let Some(baseline) = &self.baseline {
            let (before, _) = self.opinion(baseline, &body, &request, second)?;
            compare(&mut found, before);
        }
        let known = tenancy.snapshot.namespace(&request.namespace);
        Ok(ScannedObject {
            source: Arc::from(document.source.as_str()),
            line: document.number,
            api_version: document.text("/apiVersion").to_owned(),
            kind: document.text("/kind").to_owned(),
            resource: notation(&request.resource),
            name: request.name.clone(),
            place,
            tenant: known.map(|known| Arc::clone(&known.tenant)),
            outside,
            // `scan` has no flag --resource.
            assumed: request
                .assumed
                .iter()
                .map(|text| text.replace(" (--resource says otherwise)", ""))
                .collect(),
            namespace: request.namespace,
            findings: found,
        })
    }

    /// The findings, and whether no policy applies.
    fn opinion(
        &self,
        evaluator: &Evaluator,
        body: &Bytes,
        request: &ReviewBuilder,
        second: Option<&User>,
    ) -> Result<(Vec<ScanFinding>, bool), String> {
        let ask = |body: &Bytes| {
            evaluator.evaluate(body, Endpoint::Validate, &self.moment).map_err(|error| error.to_string())
        };
        let evaluation = ask(body)?;
        let mut found = findings(&evaluation.verdict);
        let denied = found.iter().any(|found| found.level == Level::Deny);
        if let (true, Some(second)) = (denied, second) {
            let other = ask(&self::body(request, second)?)?.verdict;
            let stays = |policy: &str| {
                other.denials.iter().any(|named| named.policy == policy)
                    || other.failures.iter().any(|failure| failure.policy == policy)
            };
            let by_writer = |found: &&mut ScanFinding| found.level == Level::Deny && !stays(&found.policy);
            found.iter_mut().filter(by_writer).for_each(|found| found.level = Level::Unattributed);
        }
        found.sort_by_key(|found| found.level);
        Ok((found, evaluation.asked.is_empty()))
    }
}

fn body(request: &ReviewBuilder, person: &User) -> Result<Bytes, String> {
    let mut review = request.build(person);
    if let Some(fields) = review.get_mut("request").and_then(Json::as_object_mut) {
        // A server counts dry runs apart.
        fields.insert("dryRun".to_owned(), true.into());
    }
    serde_json::to_vec(&review).map(Bytes::from).map_err(|error| error.to_string())
}

fn findings(verdict: &Verdict) -> Vec<ScanFinding> {
    let named = |level, named: &Named| ScanFinding {
        level,
        policy: named.policy.clone(),
        sentence: message::line(named),
        finding: named.finding.clone(),
        change: None,
    };
    let failed = verdict.failures.iter().map(|failure| ScanFinding {
        level: if failure.denies { Level::Error } else { Level::Audit },
        policy: failure.policy.clone(),
        finding: Finding { msg: failure.message.clone(), ..Finding::default() },
        sentence: message::failure_line(failure),
        change: None,
    });
    let denied = verdict.denials.iter().map(|one| named(Level::Deny, one)).chain(failed);
    let warned = verdict.warnings.iter().map(|one| named(Level::Warn, one));
    denied.chain(warned).chain(verdict.audited.iter().map(|one| named(Level::Audit, one))).collect()
}

/// Marks new and unchanged findings and adds the resolved ones. Findings are equal if policy, field, value and level are.
fn compare(found: &mut Vec<ScanFinding>, before: Vec<ScanFinding>) {
    let same = |a: &ScanFinding, b: &ScanFinding| {
        (a.level, &a.policy, &a.finding.field, &a.finding.observed)
            == (b.level, &b.policy, &b.finding.field, &b.finding.observed)
    };
    for one in found.iter_mut() {
        let stayed = before.iter().any(|old| same(old, one));
        one.change = Some(if stayed { Change::Same } else { Change::New });
    }
    let gone: Vec<ScanFinding> = before
        .into_iter()
        .filter(|old| !found.iter().any(|one| same(old, one)))
        .map(|old| ScanFinding { change: Some(Change::Resolved), ..old })
        .collect();
    found.extend(gone);
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Policies and tenancy")]
pub struct PolicyArgs {
    /// Directory of policies; by default the embedded library
    #[arg(long, value_name = "DIR", env = "PORTCULLIS_POLICIES", hide_env_values = true)]
    pub policies: Option<PathBuf>,
    /// Directory of policies to compare with: only new and resolved findings are listed
    #[arg(long, value_name = "DIR")]
    pub baseline: Option<PathBuf>,
    /// Snapshot of tenants, projects and namespaces; without it and --ledger the example tenancy
    #[arg(long, value_name = "FILE", env = "PORTCULLIS_TENANCY", hide_env_values = true)]
    pub tenancy: Option<PathBuf>,
    /// Evaluate every object as created by this user: a username, or a test user of the example tenancy
    #[arg(long = "as", value_name = "USER")]
    pub user: Option<String>,
    /// Group of --as; may be repeated
    #[arg(long = "as-group", value_name = "GROUP", requires = "user")]
    pub groups: Vec<String>,
    /// Build the whole input for every policy instead of the fields that it reads
    #[arg(long)]
    pub full_input: bool,
}

/// Returns the context and the username of --as, which is empty by default.
pub fn scan_context(
    args: &PolicyArgs,
    ledger: Option<&Client>,
    namespace: Option<String>,
) -> anyhow::Result<(ScanContext, String)> {
    let tenancy = match (&args.tenancy, ledger) {
        (_, Some(client)) => upload::tenancy(client)?,
        (file, None) => {
            if file.is_none() {
                output::note(
                    "no --tenancy: the example tenancy with the tenants acme, globex, initech and hooli",
                );
            }
            evaluator::load_tenancy(file.as_deref())?
        }
    };
    let tenancy = Arc::new(tenancy);
    let compile = |policies: Option<&Path>| -> anyhow::Result<PolicySet> {
        evaluator::PolicyFiles::read(policies)?
            .compile(Options { full_input: args.full_input, ..Options::default() })
    };
    let policies = compile(args.policies.as_deref())?;
    if args.policies.is_none() {
        let count = output::count(policies.policies.len(), "policy");
        output::note(format!("no --policies: the embedded library is used ({count})"));
    }
    let baseline = args.baseline.as_deref().map(|dir| compile(Some(dir))).transpose()?;
    let people = evaluator::load_test_users(None)?;
    let named = args.user.as_ref().map(|name| users::named(name, &args.groups, &people));
    let name = named.as_ref().map(|person| person.username.clone()).unwrap_or_default();
    let evaluator = |policies: PolicySet| Evaluator {
        budget: patient(),
        ..Evaluator::new(policies, Arc::clone(&tenancy))
    };
    let context = ScanContext {
        assumed_users: AssumedUsers::new(&tenancy, named),
        baseline: baseline.map(evaluator),
        evaluator: evaluator(policies),
        moment: Moment::present(),
        namespace,
    };
    Ok((context, name))
}

/// Instructions are limited as in the gate. The times are long, because a busy machine must not cause findings.
pub fn patient() -> Budget {
    Budget {
        time: Duration::from_secs(5),
        review: Duration::from_secs(20),
        deadline: Duration::from_mins(1),
        ..Budget::default()
    }
}
