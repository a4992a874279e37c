//! One object that exists → what the law says to it.

use std::sync::Arc;

use bytes::Bytes;
use serde_json::Value as Json;

use super::writer::Writers;
use crate::cli::law::{Judge, Moment};
use portcullis_admission::ask::kinds::Resource;
use portcullis_admission::ask::request::{Request, Wanted, notation};
use portcullis_admission::ask::{Document, kinds};
use portcullis_admission::cases::Person;
use portcullis_admission::verdict::Named;
use portcullis_admission::{Endpoint, Verdict, message};
use portcullis_policy::{Finding, Operation};
use portcullis_tenancy::snapshot::Kind;

/// Kinds that are asked and answered, and of which nothing stays.
const CALLS: [&str; 2] = ["authentication.k8s.io", "authorization.k8s.io"];

/// What is made of a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Whoever wrote it: the law denies it.
    Deny,
    /// The law could not be asked, which denies too.
    Error,
    /// A policy in mode `warn`, or a warning.
    Warn,
    /// A policy in mode `audit`, or one that somebody has leave from.
    Audit,
    /// Its tenant may not write it, a controller may: who did, the object does not say.
    Doubt,
}

impl Level {
    /// All, the worst first.
    pub const ALL: [Self; 5] = [Self::Deny, Self::Error, Self::Warn, Self::Audit, Self::Doubt];

    /// As it is printed.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Deny => "deny",
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Audit => "audit",
            Self::Doubt => "doubt",
        }
    }

    /// Whether the command ends with exit code 1 for it.
    pub const fn bites(self) -> bool {
        matches!(self, Self::Deny | Self::Error)
    }
}

/// Against another law.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Only the law that is tried says so.
    New,
    /// Both do.
    Same,
    /// Only the other one did.
    Gone,
}

impl Change {
    /// As it is printed.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Same => "same",
            Self::Gone => "gone",
        }
    }
}

/// One finding.
#[derive(Debug, Clone)]
pub struct Found {
    /// How it weighs.
    pub level: Level,
    /// The policy's id; empty for the gate itself.
    pub policy: String,
    /// What it found.
    pub finding: Finding,
    /// The whole sentence, harmless in a terminal.
    pub sentence: String,
    /// Against another law, where one is given.
    pub change: Option<Change>,
}

/// An object, and what was found.
#[derive(Debug, Clone)]
pub struct Judged {
    /// File, `-` or `cluster`.
    pub source: Arc<str>,
    /// Line of the file, from 1; 0 where there are no lines.
    pub line: usize,
    /// `apps/v1`
    pub api_version: String,
    /// `Deployment`
    pub kind: String,
    /// `deployments.apps`
    pub resource: String,
    /// Empty for what has none.
    pub namespace: String,
    /// Empty with `generateName`.
    pub name: String,
    /// Kind of its namespace.
    pub place: Kind,
    /// Slug of its tenant.
    pub tenant: Option<Arc<str>>,
    /// Whether no policy applies to it.
    pub outside: bool,
    /// What was assumed.
    pub assumed: Vec<String>,
    /// What was found, the worst first.
    pub found: Vec<Found>,
}

impl Judged {
    /// `namespace/resource/name`, as the ledger keeps it.
    pub fn path(&self) -> String {
        format!("{}/{}/{}", self.namespace, self.resource, self.name)
    }
}

/// The law, the world, and as whom.
#[derive(Debug)]
pub struct Court {
    /// The law that is tried.
    pub judge: Judge,
    /// The law that it is compared with.
    pub against: Option<Judge>,
    /// Who is taken to have written what.
    pub writers: Writers,
    /// When, the same for all.
    pub moment: Moment,
    /// Namespace of objects that name none.
    pub namespace: Option<String>,
}

impl Court {
    /// Judges an object as CREATE on `/validate`; `resource` where it is known better than from the kind.
    ///
    /// # Errors
    /// Why it cannot be judged, for people.
    pub fn judge(&self, document: &Document, resource: Option<Resource>) -> Result<Judged, String> {
        let (group, _) = document.text("/apiVersion").split_once('/').unwrap_or_default();
        let resource = resource.unwrap_or_else(|| kinds::resource(group, document.text("/kind")));
        if document.is_review() || !resource.subresource.is_empty() || CALLS.contains(&group) {
            return Err(format!(
                "{} is a call and not an object that exists",
                message::clean(document.text("/kind"), 100)
            ));
        }
        let nowhere = document.text("/metadata/namespace").is_empty();
        let wanted = Wanted {
            operation: Some(Operation::Create),
            resource: Some(resource.clone()).filter(|known| !known.guessed),
            namespace: self.namespace.clone().filter(|_| nowhere),
            old: Vec::new(),
        };
        let request = Request::of(document, &wanted).map_err(|error| error.to_string())?;
        let world = &self.judge.world;
        let place = world.snapshot.kind(&request.namespace);
        let is_namespace = resource.resource == "namespaces" && resource.group.is_empty();
        let pair = self.writers.of(world, &request.namespace, place, is_namespace);
        let body = body(&request, &pair.first)?;
        let second = pair.second.as_ref();
        let (mut found, outside) = self.opinion(&self.judge, &body, &request, second)?;
        if let Some(against) = &self.against {
            let (before, _) = self.opinion(against, &body, &request, second)?;
            compare(&mut found, before);
        }
        let known = world.snapshot.namespace(&request.namespace);
        Ok(Judged {
            source: Arc::from(document.source.as_str()),
            line: document.number,
            api_version: document.text("/apiVersion").to_owned(),
            kind: document.text("/kind").to_owned(),
            resource: notation(&request.resource),
            name: request.name.clone(),
            place,
            tenant: known.map(|known| Arc::clone(&known.tenant)),
            outside,
            // There is no such flag here.
            assumed: request
                .assumed
                .iter()
                .map(|text| text.replace(" (--resource says otherwise)", ""))
                .collect(),
            namespace: request.namespace,
            found,
        })
    }

    /// What one law says, and whether none of its policies applies.
    fn opinion(
        &self,
        judge: &Judge,
        body: &Bytes,
        request: &Request,
        second: Option<&Person>,
    ) -> Result<(Vec<Found>, bool), String> {
        let ask = |body: &Bytes| {
            judge.judge(body, Endpoint::Validate, &self.moment).map_err(|error| error.to_string())
        };
        let judged = ask(body)?;
        let mut found = findings(&judged.verdict);
        let denied = found.iter().any(|found| found.level == Level::Deny);
        if let (true, Some(second)) = (denied, second) {
            let other = ask(&self::body(request, second)?)?.verdict;
            let stays = |policy: &str| {
                other.denials.iter().any(|named| named.policy == policy)
                    || other.failures.iter().any(|failure| failure.policy == policy)
            };
            let doubtful = |found: &&mut Found| found.level == Level::Deny && !stays(&found.policy);
            found.iter_mut().filter(doubtful).for_each(|found| found.level = Level::Doubt);
        }
        found.sort_by_key(|found| found.level);
        Ok((found, judged.asked.is_empty()))
    }
}

fn body(request: &Request, person: &Person) -> Result<Bytes, String> {
    let mut review = request.review(person);
    if let Some(fields) = review.get_mut("request").and_then(Json::as_object_mut) {
        // Nothing is going to be stored, and a server counts such reviews apart.
        fields.insert("dryRun".to_owned(), true.into());
    }
    serde_json::to_vec(&review).map(Bytes::from).map_err(|error| error.to_string())
}

fn findings(verdict: &Verdict) -> Vec<Found> {
    let named = |level, named: &Named| Found {
        level,
        policy: named.policy.clone(),
        sentence: message::line(named),
        finding: named.finding.clone(),
        change: None,
    };
    let failed = verdict.failures.iter().map(|failure| Found {
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

/// Marks what is new and what stayed, and adds what is gone. What is found is the same where policy, place and weight are.
fn compare(found: &mut Vec<Found>, before: Vec<Found>) {
    let same = |a: &Found, b: &Found| {
        (a.level, &a.policy, &a.finding.field, &a.finding.observed)
            == (b.level, &b.policy, &b.finding.field, &b.finding.observed)
    };
    for one in found.iter_mut() {
        let stayed = before.iter().any(|old| same(old, one));
        one.change = Some(if stayed { Change::Same } else { Change::New });
    }
    let gone: Vec<Found> = before
        .into_iter()
        .filter(|old| !found.iter().any(|one| same(old, one)))
        .map(|old| Found { change: Some(Change::Gone), ..old })
        .collect();
    found.extend(gone);
}
