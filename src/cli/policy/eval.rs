//! `portcullis policy eval`: what each policy finds in one request, with a trace of its rules on demand.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::bail;
use clap::ValueEnum;

use super::super::evaluator::{Evaluation, Evaluator, Moment, PolicyFiles};
use super::super::output::{self, BAD, CARE, FAINT, GOOD, STRONG};
use super::super::review::{self, PolicyArgs, Question, RequestArgs};
use super::Exit;
use portcullis_admission::input::json;
use portcullis_admission::validate::{self, Inputs};
use portcullis_admission::verdict::{Named, clip};
use portcullis_admission::{Endpoint, ReviewContext, message};
use portcullis_policy::set::Options;
use portcullis_policy::{Bundle, Finding, Meter, Policy, Value};
use portcullis_rego::Module;
use portcullis_rego::analysis::{self, Form};
use portcullis_rego::rule_evaluator::RuleEvaluator;

const EXAMPLES: &str = "\
Examples:
  portcullis policy eval --policies policies pod.yaml
  portcullis policy eval --policies policies --policy no-latest-tag --trace pod.yaml
  portcullis policy eval --as globex-dev --input pod.yaml

Microseconds are those of a warm gate: the second run is reported. The output of `print` is shown
with --trace.";

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Manifest or AdmissionReview, YAML or JSON; only the first document is evaluated; `-` is standard input
    file: PathBuf,
    /// Only this policy; may be repeated
    #[arg(long, value_name = "ID")]
    policy: Vec<String>,
    /// Show the value of every rule, and the output of `print`
    #[arg(long)]
    trace: bool,
    /// Show the input document that the policies see
    #[arg(long)]
    input: bool,
    /// Which endpoint of the webhook to evaluate
    #[arg(long, value_enum, default_value = "validate", value_name = "CALL")]
    endpoint: OneCall,
    #[command(flatten)]
    policies: PolicyArgs,
    #[command(flatten)]
    request: RequestArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum OneCall {
    /// `POST /validate`
    Validate,
    /// `POST /mutate`
    Mutate,
}

pub fn run(args: Args) -> anyhow::Result<Exit> {
    let Args { file, policy, trace, input, endpoint, policies, request } = args;
    let files = PolicyFiles::read(policies.policies.as_deref())?;
    let set = files.compile(Options { full_input: policies.full_input, ..Options::default() })?;
    if let Some(id) = policy.iter().find(|id| set.policy(id).is_none()) {
        let known: Vec<&str> = set.policies.iter().map(|policy| policy.manifest.id.as_str()).collect();
        bail!("--policy `{id}` is not in {}; there is: {}", files.name(), known.join(", "));
    }
    let tenancy = Arc::new(review::load_tenancy(&policies, false)?);
    let questions = review::questions(std::slice::from_ref(&file), &request, &tenancy)?;
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
    let evaluator = Evaluator::new(set, tenancy);
    let seen = Inspector { evaluator: &evaluator, only: &policy, tracer: tracer.as_ref(), input };
    let (text, allowed) = seen.question(question, endpoint)?;
    output::print(&text)?;
    Ok(Exit::findings(!allowed))
}

struct Inspector<'a> {
    evaluator: &'a Evaluator,
    only: &'a [String],
    tracer: Option<&'a Tracer>,
    input: bool,
}

impl Inspector<'_> {
    fn question(&self, question: &Question, endpoint: Endpoint) -> anyhow::Result<(String, bool)> {
        let moment = Moment::present();
        let evaluation = self
            .evaluator
            .evaluate(&question.body, endpoint, &moment)
            .and_then(|_warm| self.evaluator.evaluate(&question.body, endpoint, &moment))?;
        let Some(context) = &evaluation.context else { bail!("{}", message::denial(&evaluation.verdict)) };
        let whole = evaluation.review.whole()?;
        let header = &whole.header;
        let operation = header.operation();
        let Some(operation) = operation else { bail!("operation `{}` is none", header.operation) };
        let policies = &self.evaluator.policies;
        let plan = policies.plan(&header.query(operation, context.kind));
        let inputs = Inputs::build(&plan, context, &whole, true)?;
        let data = validate::data(
            policies,
            context,
            validate::effective(policies, context).as_ref(),
            &context.cluster(plan.cluster),
        );
        let mut text = head(&evaluation, context);
        if self.input {
            let everything = portcullis_rego::reads::Reads::everything();
            let input = portcullis_admission::input::build(&whole, context, &everything, false)?;
            let _ =
                writeln!(text, "\n{STRONG}input{STRONG:#}\n{}", serde_json::to_string_pretty(&json(&input))?);
        }
        let wanted = |policy: &&Policy| self.only.is_empty() || self.only.contains(&policy.manifest.id);
        let mut asked = 0;
        for policy in policies.planned(&plan).filter(wanted) {
            asked += 1;
            text.push_str(&self.policy(policy, context, endpoint, inputs.of(policy, &whole), &data)?);
        }
        let silent = policies.policies.iter().filter(wanted).count() - asked;
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
            evaluation.verdict.outcome().as_str(),
            evaluation.took.as_micros()
        );
        Ok((text, evaluation.verdict.allowed()))
    }

    fn policy(
        &self,
        policy: &Policy,
        context: &ReviewContext,
        endpoint: Endpoint,
        input: &Value,
        data: &Value,
    ) -> anyhow::Result<String> {
        let manifest = &policy.manifest;
        let mode =
            validate::mode(policy, context, validate::effective(&self.evaluator.policies, context).as_ref());
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

    /// The rule's findings and its time in a second run, when the caches are warm.
    fn rule(&self, policy: &Policy, rule: &str, input: &Value, data: &Value) -> (Vec<String>, Duration) {
        let budget = self.evaluator.budget;
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

fn head(evaluation: &Evaluation, context: &ReviewContext) -> String {
    let header = &evaluation.review.header;
    let requester = &context.requester;
    let tenants: Vec<&str> = requester.tenants.iter().map(AsRef::as_ref).collect();
    let of = if tenants.is_empty() { String::new() } else { format!(" of {}", tenants.join(", ")) };
    let subresource =
        if header.subresource.is_empty() { String::new() } else { format!("/{}", header.subresource) };
    let namespace =
        if context.namespace.is_empty() { String::new() } else { format!(" in {}", context.namespace) };
    let shown =
        message::clean(&format!("{}{subresource} {}{namespace}", header.resource.resource, header.name), 600);
    let user = message::clean(&header.user.username, 253);
    format!(
        "{STRONG}{} {shown}{STRONG:#}\n{FAINT}namespace kind {}, requester {user}: class {}{of}{FAINT:#}\n",
        message::clean(&header.operation, 16),
        context.kind.as_str(),
        requester.class.as_str()
    )
}

const VALUE_MAX: usize = 400;

struct Tracer(Bundle);

impl Tracer {
    fn new(files: &PolicyFiles) -> anyhow::Result<Self> {
        Ok(Self(files.bundle()?))
    }

    /// The rules of a policy, in source order, with their values.
    fn policy(&self, policy: &Policy, input: &Value, data: &Value) -> anyhow::Result<String> {
        let modules: Vec<&Module> = self.0.modules.iter().collect();
        let mut rules =
            RuleEvaluator::new(&modules, data.clone()).map_err(|problem| anyhow::anyhow!("{problem}"))?;
        rules.set_input(input.clone());
        let (mut text, mut seen) = (String::new(), BTreeSet::new());
        let mut prints = BTreeSet::new();
        for module in &modules {
            let found = analysis::analyse(module).map_err(|problem| anyhow::anyhow!("{problem}"))?;
            if format!("data.{}", found.package.join(".")) != policy.package {
                continue;
            }
            for rule in found
                .rules
                .iter()
                .filter(|rule| rule.form != Form::Function && seen.insert(rule.path.clone()))
            {
                // A name with a variable cannot be evaluated; the rule above it can.
                let path = if rule.open { rule.path.get(..1).unwrap_or_default() } else { &rule.path };
                let name = path.join(".");
                let answer = rules.evaluate(&module.path, format!("{}.{name}", policy.package));
                // For `m[k].z`, neither `m` nor the whole can be evaluated.
                if rule.open && answer.value.is_err() {
                    continue;
                }
                let value = answer
                    .value
                    .map_or_else(|problem| format!("failed: {}", problem.message), |value| shown(&value));
                let _ = writeln!(
                    text,
                    "    {FAINT}{}:{}{FAINT:#} {} = {}",
                    module.path,
                    rule.location.0,
                    name,
                    clip(&value, VALUE_MAX)
                );
                prints.extend(answer.prints);
            }
        }
        for line in prints {
            let _ = writeln!(text, "    {CARE}print{CARE:#} {}", clip(&line, VALUE_MAX));
        }
        Ok(text)
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::Undefined => "undefined".to_owned(),
        other => other.to_string(),
    }
}
