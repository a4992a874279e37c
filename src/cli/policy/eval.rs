//! `portcullis policy eval`: one request, seen from each policy.

mod trace;

use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::bail;
use clap::ValueEnum;

use self::trace::Tracer;
use super::super::law::{Files, Judge, Judged, Moment};
use super::super::output::{self, BAD, CARE, FAINT, GOOD, STRONG};
use super::super::review::{self, LawArgs, Question, RequestArgs};
use super::Exit;
use portcullis_admission::input::json;
use portcullis_admission::message;
use portcullis_admission::validate::{self, Inputs};
use portcullis_admission::verdict::Named;
use portcullis_admission::{Endpoint, Facts};
use portcullis_policy::set::Options;
use portcullis_policy::{Finding, Meter, Policy, Value};

const EXAMPLES: &str = "\
Examples:
  portcullis policy eval --policies policies pod.yaml
  portcullis policy eval --policies policies --policy no-latest-tag --trace pod.yaml
  portcullis policy eval --as globex-dev --input pod.yaml

Microseconds are those of a warm gate: what is told is the second run. What `print` says is shown
with --trace.";

/// Words of `portcullis policy eval`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// A manifest or an AdmissionReview, YAML or JSON; the first document counts, `-` is standard input
    file: PathBuf,
    /// Only this policy; may be repeated
    #[arg(long, value_name = "ID")]
    policy: Vec<String>,
    /// Show the value of every rule, and what `print` said
    #[arg(long)]
    trace: bool,
    /// Show the input document that the policies see
    #[arg(long)]
    input: bool,
    /// Which call is asked
    #[arg(long, value_enum, default_value = "validate", value_name = "CALL")]
    endpoint: OneCall,
    #[command(flatten)]
    law: LawArgs,
    #[command(flatten)]
    request: RequestArgs,
}

/// Which call of the webhook.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum OneCall {
    /// `POST /validate`
    Validate,
    /// `POST /mutate`
    Mutate,
}

/// Asks and prints.
///
/// # Errors
/// Input that is no request, a law or a world that does not load, a policy that is not there.
pub fn run(args: Args) -> anyhow::Result<Exit> {
    let Args { file, policy, trace, input, endpoint, law, request } = args;
    let files = Files::read(law.policies.as_deref())?;
    let set = files.compile(Options { full_input: law.full_input, ..Options::default() })?;
    if let Some(id) = policy.iter().find(|id| set.policy(id).is_none()) {
        let known: Vec<&str> = set.policies.iter().map(|policy| policy.manifest.id.as_str()).collect();
        bail!("--policy `{id}` is not in {}; there is: {}", files.name(), known.join(", "));
    }
    let world = Arc::new(review::world(&law, false)?);
    let questions = review::questions(std::slice::from_ref(&file), &request, &world)?;
    let Some(question) = questions.first() else { bail!("`{}` holds no object", file.display()) };
    if questions.len() > 1 {
        output::note(format!(
            "`{}` holds {} documents; this is about the first",
            file.display(),
            questions.len()
        ));
    }
    let endpoint = if endpoint == OneCall::Mutate { Endpoint::Mutate } else { Endpoint::Validate };
    let tracer = if trace { Some(Tracer::new(&files)?) } else { None };
    let judge = Judge::new(set, world);
    let seen = See { judge: &judge, only: &policy, tracer: tracer.as_ref(), input };
    let (text, allowed) = seen.question(question, endpoint)?;
    output::print(&text)?;
    Ok(Exit::findings(!allowed))
}

struct See<'a> {
    judge: &'a Judge,
    only: &'a [String],
    tracer: Option<&'a Tracer>,
    input: bool,
}

impl See<'_> {
    fn question(&self, question: &Question, endpoint: Endpoint) -> anyhow::Result<(String, bool)> {
        let moment = Moment::present();
        let judged = self
            .judge
            .judge(&question.body, endpoint, &moment)
            .and_then(|_warm| self.judge.judge(&question.body, endpoint, &moment))?;
        let Some(facts) = &judged.facts else { bail!("{}", message::denial(&judged.verdict)) };
        let whole = judged.review.whole()?;
        let header = &whole.header;
        let operation = header.operation();
        let Some(operation) = operation else { bail!("operation `{}` is none", header.operation) };
        let law = &self.judge.law;
        let plan = law.plan(&header.query(operation, facts.kind));
        let inputs = Inputs::build(&plan, facts, &whole, true)?;
        let data = validate::data(
            law,
            facts,
            validate::effective(law, facts).as_ref(),
            &facts.cluster(plan.cluster),
        );
        let mut text = head(&judged, facts);
        if self.input {
            let everything = portcullis_rego::reads::Reads::everything();
            let input = portcullis_admission::input::build(&whole, facts, &everything, false)?;
            let _ =
                writeln!(text, "\n{STRONG}input{STRONG:#}\n{}", serde_json::to_string_pretty(&json(&input))?);
        }
        let wanted = |policy: &&Policy| self.only.is_empty() || self.only.contains(&policy.manifest.id);
        let mut asked = 0;
        for policy in law.planned(&plan).filter(wanted) {
            asked += 1;
            text.push_str(&self.policy(policy, facts, endpoint, inputs.of(policy, &whole), &data)?);
        }
        let silent = law.policies.iter().filter(wanted).count() - asked;
        if silent > 0 {
            let _ = writeln!(
                text,
                "\n{FAINT}{} not apply to this request{FAINT:#}",
                if silent == 1 { "1 policy does".to_owned() } else { format!("{silent} policies do") }
            );
        }
        let _ = writeln!(
            text,
            "\n{STRONG}verdict {}{STRONG:#} {FAINT}· {} µs, decoding included{FAINT:#}",
            judged.verdict.outcome().as_str(),
            judged.took.as_micros()
        );
        Ok((text, judged.verdict.allowed()))
    }

    fn policy(
        &self,
        policy: &Policy,
        facts: &Facts,
        endpoint: Endpoint,
        input: &Value,
        data: &Value,
    ) -> anyhow::Result<String> {
        let manifest = &policy.manifest;
        let mode = validate::mode(policy, facts, validate::effective(&self.judge.law, facts).as_ref());
        let rules: &[&str] =
            if endpoint == Endpoint::Validate { &["deny", "warn"] } else { &["merge", "patch", "deny"] };
        let engine = if policy.fallback().is_none() { "" } else { " · interpreter" };
        let (mut lines, mut took, mut fired) = (String::new(), Duration::ZERO, Vec::new());
        for rule in rules.iter().filter(|rule| policy.defines(rule)) {
            let (said, time) = self.rule(policy, rule, input, data);
            took += time;
            if !said.is_empty() {
                fired.push(*rule);
            }
            for line in &said {
                let _ = writeln!(lines, "    {line}");
            }
        }
        let style = if fired.contains(&"deny") {
            BAD
        } else if fired.is_empty() {
            GOOD
        } else {
            CARE
        };
        let word = if fired.is_empty() { "nothing".to_owned() } else { fired.join(" ") };
        let mut text = format!(
            "\n{STRONG}{}{STRONG:#} {style}{word}{style:#} {FAINT}· {mode} · {} µs{engine}{FAINT:#}\n{lines}",
            manifest.id,
            took.as_micros()
        );
        if let Some(tracer) = self.tracer {
            text.push_str(&tracer.policy(policy, input, data)?);
        }
        Ok(text)
    }

    /// What a rule says, and how long it took once the machine was warm.
    fn rule(&self, policy: &Policy, rule: &str, input: &Value, data: &Value) -> (Vec<String>, Duration) {
        let budget = self.judge.budget;
        let run = || -> Result<Vec<String>, portcullis_rego::EvalError> {
            let meter = &mut Meter::new(budget);
            if matches!(rule, "deny" | "warn") {
                let lines = |finding: Finding| {
                    let details =
                        finding.details.as_ref().map(|details| format!("  details: {}", details.as_str()));
                    let line = message::line(&Named { policy: rule.to_owned(), finding });
                    std::iter::once(line).chain(details)
                };
                return Ok(policy.findings(rule, input, data, meter)?.into_iter().flat_map(lines).collect());
            }
            Ok(policy
                .documents(rule, input, data, meter)?
                .iter()
                .map(|document| format!("[{rule}] {document}"))
                .collect())
        };
        let _warm = run();
        let started = Instant::now();
        let said = run();
        let took = started.elapsed();
        (said.unwrap_or_else(|error| vec![format!("{BAD}failed ({}){BAD:#}: {error}", error.reason())]), took)
    }
}

fn head(judged: &Judged, facts: &Facts) -> String {
    let header = &judged.review.header;
    let requester = &facts.requester;
    let tenants: Vec<&str> = requester.tenants.iter().map(AsRef::as_ref).collect();
    let of = if tenants.is_empty() { String::new() } else { format!(" of {}", tenants.join(", ")) };
    let subresource =
        if header.subresource.is_empty() { String::new() } else { format!("/{}", header.subresource) };
    let namespace =
        if facts.namespace.is_empty() { String::new() } else { format!(" in {}", facts.namespace) };
    let shown =
        message::clean(&format!("{}{subresource} {}{namespace}", header.resource.resource, header.name), 600);
    let user = message::clean(&header.user.username, 253);
    format!(
        "{STRONG}{} {shown}{STRONG:#}\n{FAINT}namespace kind {}, requester {user}: class {}{of}{FAINT:#}\n",
        message::clean(&header.operation, 16),
        facts.kind.as_str(),
        requester.class.as_str()
    )
}
