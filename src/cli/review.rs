//! `portcullis review`: what would the gate say? Manifests or AdmissionReviews in, verdicts out.

pub mod ask;
pub mod read;
pub mod report;
pub mod show;
pub mod who;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use bytes::Bytes;
use clap::ValueEnum;

use self::ask::Door;
use self::report::Report;
use super::{Exit, law, output};
use portcullis_admission::World;
use portcullis_admission::ask::request::{self, Request};
use portcullis_admission::ask::{Document, kinds};
use portcullis_admission::cases::{People, Person};
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

--as takes a username, or a short name of the example world's cast: acme-dev, globex-dev, acme-sa,
mgr, vela, root and others. The shape of --output json is in docs/cases.md.
Exit code 1: something was denied or failed; 2: something was no review at all.";

/// Words of `portcullis review`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Manifests or AdmissionReviews, YAML or JSON; directories are searched, `-` is standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Which call is asked; manifests go through both as a write does, an AdmissionReview to /validate
    #[arg(long, value_enum, value_name = "CALL")]
    endpoint: Option<Call>,
    /// Ask a running gate instead
    #[arg(long, value_name = "URL", conflicts_with_all = ["policies", "full_input"])]
    server: Option<String>,
    /// Certificates that vouch for --server, PEM
    #[arg(long, value_name = "FILE", requires = "server")]
    ca: Option<PathBuf>,
    /// How to print
    #[arg(long, short, value_enum, default_value_t, value_name = "FORMAT")]
    output: Format,
    #[command(flatten)]
    law: LawArgs,
    #[command(flatten)]
    request: RequestArgs,
}

/// Which law, in which world.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "The law and its world")]
pub struct LawArgs {
    /// Directory of policies; without it the embedded library is the law
    #[arg(long, value_name = "DIR", env = "PORTCULLIS_POLICIES", hide_env_values = true)]
    pub policies: Option<PathBuf>,
    /// Snapshot of tenants, projects and namespaces; without it the example world
    #[arg(long, value_name = "FILE", env = "PORTCULLIS_TENANCY", hide_env_values = true)]
    pub tenancy: Option<PathBuf>,
    /// Hand every policy the whole input instead of what it reads
    #[arg(long)]
    pub full_input: bool,
}

/// What a manifest does not say about its request.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "The request that a manifest becomes")]
pub struct RequestArgs {
    /// Who asks: a username, or a short name of the cast; without it one of the namespace's tenant
    #[arg(long = "as", value_name = "USER")]
    user: Option<String>,
    /// A group of --as; may be repeated
    #[arg(long = "as-group", value_name = "GROUP", requires = "user")]
    groups: Vec<String>,
    /// What is done; without it CREATE, UPDATE for what --old holds, CONNECT for pods/exec and its like
    #[arg(long, value_parser = operation, value_name = "CREATE|UPDATE|DELETE|CONNECT")]
    operation: Option<Operation>,
    /// The resource in kubectl notation, for a subresource or a kind nobody knows: pods/exec, widgets.example.com
    #[arg(long, value_parser = resource, value_name = "NOTATION")]
    resource: Option<kinds::Resource>,
    /// What is there before, for an UPDATE
    #[arg(long, value_name = "FILE")]
    old: Option<PathBuf>,
    /// Namespace of objects that name none
    #[arg(long, short, value_name = "NAMESPACE")]
    namespace: Option<String>,
}

/// Which call of the webhook.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Call {
    /// `POST /validate`
    Validate,
    /// `POST /mutate`
    Mutate,
    /// `/mutate`, and `/validate` of what it made
    Both,
}

/// How to print.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
enum Format {
    /// For people
    #[default]
    Text,
    /// One array
    Json,
    /// One object a line
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

/// One question: a review, and what it is about.
pub struct Question {
    /// Where it came from.
    pub document: Document,
    /// The AdmissionReview, as bytes.
    pub body: Bytes,
    /// Whether the caller gave the whole review.
    pub whole: bool,
}

/// Asks and prints.
///
/// # Errors
/// Input that is no object, a law or a world that does not load, a gate that cannot be reached.
pub fn run(args: Args) -> anyhow::Result<Exit> {
    let Args { files, law, request, endpoint, server, ca, output } = args;
    let world = Arc::new(world(&law, server.is_some())?);
    let questions = questions(&files, &request, &world)?;
    let door = match server {
        Some(url) => Door::remote(&url, ca.as_deref())?,
        None => Door::here(policies(&law)?, world),
    };
    let mut reports = Vec::new();
    for question in &questions {
        let call = endpoint.unwrap_or(if question.whole { Call::Validate } else { Call::Both });
        let report = door.ask(question, call)?;
        match output {
            Format::Text => output::print(&show::block(&report))?,
            Format::Ndjson => output::print(&format!("{}\n", serde_json::to_string(&report)?))?,
            Format::Json => {}
        }
        reports.push(report);
    }
    match output {
        Format::Json => output::print_json(&reports)?,
        Format::Text if reports.len() > 1 => output::print(&show::summary(&reports))?,
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

/// The world of the flags; said where it is the example's.
///
/// # Errors
/// The file is no snapshot.
pub fn world(args: &LawArgs, elsewhere: bool) -> anyhow::Result<World> {
    if args.tenancy.is_none() && !elsewhere {
        output::note("no --tenancy: the example world with the tenants acme, globex, initech and hooli");
    }
    law::world(args.tenancy.as_deref())
}

/// The law of the flags; said where it is the embedded library.
///
/// # Errors
/// It does not load.
pub fn policies(args: &LawArgs) -> anyhow::Result<portcullis_policy::PolicySet> {
    let files = law::Files::read(args.policies.as_deref())?;
    let set = files.compile(Options { full_input: args.full_input, ..Options::default() })?;
    if args.policies.is_none() {
        let count = output::count(set.policies.len(), "policy");
        output::note(format!("no --policies: the embedded library is the law ({count})"));
    }
    Ok(set)
}

/// The reviews that files become; what was assumed on the way is said once.
///
/// # Errors
/// Input that is no object, or no request.
pub fn questions(files: &[PathBuf], args: &RequestArgs, world: &World) -> anyhow::Result<Vec<Question>> {
    let people = law::people(None)?;
    let old = args
        .old
        .as_ref()
        .map(|path| read::all(std::slice::from_ref(path)))
        .transpose()
        .context("--old")?
        .unwrap_or_default();
    let wanted = request::Wanted {
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
        let request = Request::of(&document, &wanted)?;
        notes.extend(request.assumed.iter().cloned());
        let person = person(args, &people, world, &request, &mut notes);
        let body = serde_json::to_vec(&request.review(&person))?.into();
        questions.push(Question { document, body, whole: false });
    }
    notes.into_iter().for_each(output::note);
    Ok(questions)
}

fn person(
    args: &RequestArgs,
    people: &People,
    world: &World,
    request: &Request,
    notes: &mut BTreeSet<String>,
) -> Person {
    if let Some(name) = &args.user {
        return who::named(name, &args.groups, people);
    }
    let who::Requester { person, assumed } = who::of_namespace(world, &request.namespace);
    notes.extend(assumed);
    person
}
