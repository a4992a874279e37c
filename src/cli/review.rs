//! `portcullis review`: shows the gate's verdict on manifests or AdmissionReviews.

mod gate;
pub mod read;
mod report;
pub mod users;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use bytes::Bytes;
use clap::ValueEnum;

use self::gate::GateClient;
use self::report::Report;
use super::{Exit, evaluator, output};
use portcullis_admission::PreparedSnapshot;
use portcullis_admission::cases::{TestUsers, User};
use portcullis_admission::review_builder::{self, ReviewBuilder};
use portcullis_admission::{kinds, review_builder::Document};
use portcullis_policy::Operation;
use portcullis_policy::set::Options;
use portcullis_tenancy::resource::Pattern;

const EXAMPLES: &str = "\
Examples:
  portcullis review pod.yaml                                  as one of the namespace's own tenant
  kubectl get deploy,po -n tn-acme-shop-sbx-001 -o yaml | portcullis review -
  portcullis review --as acme-dev --operation DELETE pod.yaml
  portcullis review --resource pods/exec pod.yaml             may its tenant exec into it?
  portcullis review --old before.yaml after.yaml              an update
  portcullis review --policies policies --tenancy tenancy.yaml --output json manifests/
  portcullis review --server https://127.0.0.1:8443 --ca ca.pem review.json

--as takes a username, or a short name of the example tenancy's test users: acme-dev, globex-dev, acme-sa,
mgr, vela, root and others. The shape of --output json is in docs/cases.md.
Exit code 1: something was denied or failed; 2: something was no review at all.";

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Manifests or AdmissionReviews, YAML or JSON; directories are searched, `-` is standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Which endpoint to evaluate; by default both for a manifest, as for a write, and /validate for an AdmissionReview
    #[arg(long, value_enum, value_name = "CALL")]
    endpoint: Option<Call>,
    /// URL of a running gate that evaluates instead of this process
    #[arg(long, value_name = "URL", conflicts_with_all = ["policies", "full_input"])]
    server: Option<String>,
    /// PEM file with the CA certificates that verify --server
    #[arg(long, value_name = "FILE", requires = "server")]
    ca: Option<PathBuf>,
    /// Output format
    #[arg(long, short, value_enum, default_value_t, value_name = "FORMAT")]
    output: Format,
    #[command(flatten)]
    policies: PolicyArgs,
    #[command(flatten)]
    request: RequestArgs,
}

#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Policies and tenancy")]
pub struct PolicyArgs {
    /// Directory of policies; by default the embedded library
    #[arg(long, value_name = "DIR", env = "PORTCULLIS_POLICIES", hide_env_values = true)]
    pub policies: Option<PathBuf>,
    /// Snapshot of tenants, projects and namespaces; by default the example tenancy
    #[arg(long, value_name = "FILE", env = "PORTCULLIS_TENANCY", hide_env_values = true)]
    pub tenancy: Option<PathBuf>,
    /// Build the whole input for every policy instead of the fields that it reads
    #[arg(long)]
    pub full_input: bool,
}

/// The parts of a request that a manifest does not contain.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "The request that a manifest becomes")]
pub struct RequestArgs {
    /// Username of the request, or a test user of the example tenancy; by default a user of the namespace's tenant
    #[arg(long = "as", value_name = "USER")]
    user: Option<String>,
    /// Group of --as; may be repeated
    #[arg(long = "as-group", value_name = "GROUP", requires = "user")]
    groups: Vec<String>,
    /// Operation; by default CREATE, UPDATE for objects in --old, CONNECT for pods/exec and similar subresources
    #[arg(long, value_parser = operation, value_name = "CREATE|UPDATE|DELETE|CONNECT")]
    operation: Option<Operation>,
    /// Resource in kubectl notation, for a subresource or an unknown kind: pods/exec, widgets.example.com
    #[arg(long, value_parser = resource, value_name = "NOTATION")]
    resource: Option<kinds::Resource>,
    /// The old objects of an UPDATE
    #[arg(long, value_name = "FILE")]
    old: Option<PathBuf>,
    /// Namespace of objects without one
    #[arg(long, short, value_name = "NAMESPACE")]
    namespace: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Call {
    /// `POST /validate`
    Validate,
    /// `POST /mutate`
    Mutate,
    /// `/mutate`, then `/validate` of the patched object
    Both,
}

/// Output format
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
enum Format {
    /// Text for people
    #[default]
    Text,
    /// One JSON array
    Json,
    /// One JSON object per line
    Ndjson,
}

fn operation(word: &str) -> Result<Operation, String> {
    Operation::parse(&word.to_uppercase())
        .ok_or_else(|| "allowed: CREATE, UPDATE, DELETE, CONNECT".to_owned())
}

fn resource(notation: &str) -> Result<kinds::Resource, String> {
    Pattern::parse(notation).map_err(|error| error.to_string())?;
    if notation.contains('*') {
        return Err("a request is for one resource, for example `pods/exec` or `deployments.apps`".to_owned());
    }
    Ok(kinds::parse(notation))
}

/// A review to evaluate, and the document that it came from.
pub struct Question {
    pub document: Document,
    pub body: Bytes,
    /// Whether the input was an AdmissionReview and not a manifest.
    pub whole: bool,
}

pub fn run(args: Args) -> anyhow::Result<Exit> {
    let Args { files, policies, request, endpoint, server, ca, output } = args;
    let tenancy = Arc::new(load_tenancy(&policies, server.is_some())?);
    let questions = questions(&files, &request, &tenancy)?;
    let gate = match server {
        Some(url) => GateClient::remote(&url, ca.as_deref())?,
        None => GateClient::local(compile_policies(&policies)?, tenancy),
    };
    let mut reports = Vec::new();
    for question in &questions {
        let call = endpoint.unwrap_or(if question.whole { Call::Validate } else { Call::Both });
        let report = gate.review(question, call)?;
        match output {
            Format::Text => output::print(&report::block(&report))?,
            Format::Ndjson => output::print(&format!("{}\n", serde_json::to_string(&report)?))?,
            Format::Json => {}
        }
        reports.push(report);
    }
    match output {
        Format::Json => output::print_json(&reports)?,
        Format::Text if reports.len() > 1 => output::print(&report::summary(&reports))?,
        Format::Text | Format::Ndjson => {}
    }
    Ok(exit(&reports))
}

fn exit(reports: &[Report]) -> Exit {
    if reports.iter().any(Report::unreadable) {
        return Exit::Broken;
    }
    Exit::findings(reports.iter().any(|report| !report.allowed || report.verdict == "error"))
}

/// Prints a note if the example tenancy is used.
pub fn load_tenancy(args: &PolicyArgs, elsewhere: bool) -> anyhow::Result<PreparedSnapshot> {
    if args.tenancy.is_none() && !elsewhere {
        output::note("no --tenancy: the example tenancy with the tenants acme, globex, initech and hooli");
    }
    evaluator::load_tenancy(args.tenancy.as_deref())
}

/// Prints a note if the embedded library is used.
pub fn compile_policies(args: &PolicyArgs) -> anyhow::Result<portcullis_policy::PolicySet> {
    let files = evaluator::PolicyFiles::read(args.policies.as_deref())?;
    let set = files.compile(Options { full_input: args.full_input, ..Options::default() })?;
    if args.policies.is_none() {
        let count = output::count(set.policies.len(), "policy");
        output::note(format!("no --policies: the embedded library is used ({count})"));
    }
    Ok(set)
}

/// Builds a review from each document, and prints each assumption once.
pub fn questions(
    files: &[PathBuf],
    args: &RequestArgs,
    tenancy: &PreparedSnapshot,
) -> anyhow::Result<Vec<Question>> {
    let people = evaluator::load_test_users(None)?;
    let old = args
        .old
        .as_ref()
        .map(|path| read::all(std::slice::from_ref(path)))
        .transpose()
        .context("--old")?
        .unwrap_or_default();
    let options = review_builder::RequestOptions {
        operation: args.operation,
        resource: args.resource.clone(),
        namespace: args.namespace.clone(),
        old,
    };
    let mut notes = BTreeSet::new();
    let mut questions = Vec::new();
    for document in read::all(files)? {
        if document.is_review() {
            let body = document
                .verbatim
                .clone()
                .map_or_else(|| serde_json::to_vec(&document.value).map(Bytes::from), Ok)?;
            questions.push(Question { document, body, whole: true });
            continue;
        }
        let request = ReviewBuilder::new(&document, &options)?;
        notes.extend(request.assumed.iter().cloned());
        let person = person(args, &people, tenancy, &request, &mut notes);
        let body = serde_json::to_vec(&request.build(&person))?.into();
        questions.push(Question { document, body, whole: false });
    }
    notes.into_iter().for_each(output::note);
    Ok(questions)
}

fn person(
    args: &RequestArgs,
    people: &TestUsers,
    tenancy: &PreparedSnapshot,
    request: &ReviewBuilder,
    notes: &mut BTreeSet<String>,
) -> User {
    if let Some(name) = &args.user {
        return users::named(name, &args.groups, people);
    }
    let users::Requester { person, assumed } = users::of_namespace(tenancy, &request.namespace);
    notes.extend(assumed);
    person
}
