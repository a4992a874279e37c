//! Policies and tenancy of one command, and their evaluation in this process by the code of the gate.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use bytes::Bytes;

use super::output;
use portcullis_admission::projection::projection;
use portcullis_admission::review::DecodeError;
use portcullis_admission::validate;
use portcullis_admission::{Endpoint, PreparedSnapshot, Review, ReviewContext, Verdict, cases};
use portcullis_policy::set::Options;
use portcullis_policy::source::{dir, embedded_files};
use portcullis_policy::{Budget, Bundle, Mode, PolicySet, Problems};
use portcullis_tenancy::snapshot::Snapshot;

const TEST_USERS: &str = include_str!("../../tests/cases/test-users.yaml");

/// Policy files as read, so that a problem can be shown with its source line.
#[derive(Debug)]
pub struct PolicyFiles {
    root: Option<PathBuf>,
    files: Vec<(String, Vec<u8>)>,
}

impl PolicyFiles {
    /// Reads a directory, or the embedded library if there is none.
    pub fn read(policies: Option<&Path>) -> anyhow::Result<Self> {
        let files = match policies {
            Some(root) => dir::files(root).map_err(|problems| anyhow::anyhow!("policies of {problems}"))?,
            None => embedded_files(),
        };
        Ok(Self { root: policies.map(Path::to_path_buf), files })
    }

    pub fn name(&self) -> String {
        self.root
            .as_ref()
            .map_or_else(|| "the embedded library".to_owned(), |root| format!("`{}`", root.display()))
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        let mut files: Vec<_> =
            self.files.iter().map(|(path, bytes)| (path.as_str(), bytes.as_slice())).collect();
        files.sort_unstable();
        files.into_iter()
    }

    pub fn bundle(&self) -> Result<Bundle, Problems> {
        Bundle::from_files(self.files.iter().cloned())
    }

    /// The path that the user can open.
    pub fn shown(&self, path: &str) -> String {
        self.root.as_ref().map_or_else(|| path.to_owned(), |root| root.join(path).display().to_string())
    }

    /// Every problem with its source line.
    pub fn render(&self, problems: &Problems) -> String {
        let text = |path: &str| {
            self.files
                .iter()
                .find(|(file, _)| file == path)
                .and_then(|(_, bytes)| std::str::from_utf8(bytes).ok())
        };
        let one = |problem| output::problem(problem, &self.shown(&problem.file), text(&problem.file));
        problems.0.iter().map(one).collect::<Vec<_>>().join("\n")
    }

    /// Prints the problems if the policies do not compile.
    pub fn compile(&self, options: Options) -> anyhow::Result<PolicySet> {
        self.compile_after(options, None)
    }

    /// Reuses what `known` has compiled of the same files.
    pub fn compile_after(&self, options: Options, known: Option<&PolicySet>) -> anyhow::Result<PolicySet> {
        let compiled = self.bundle().and_then(|bundle| PolicySet::compile(&bundle, options, known));
        compiled.map_err(|problems| {
            output::say(&format!("{}\n", self.render(&problems)));
            anyhow::anyhow!(
                "{} does not compile: {}",
                self.name(),
                output::count(problems.0.len(), "problem")
            )
        })
    }
}

/// Reads a snapshot, or the example tenancy if no file is given.
pub fn load_tenancy(file: Option<&Path>) -> anyhow::Result<PreparedSnapshot> {
    let snapshot = match file {
        Some(path) => {
            let bytes = std::fs::read(path).with_context(|| format!("--tenancy `{}`", path.display()))?;
            Snapshot::parse(&path.display().to_string(), &bytes)?
        }
        None => portcullis_tenancy::example::snapshot()?,
    };
    Ok(PreparedSnapshot::new(Arc::new(snapshot)))
}

/// Reads test users, or those of the example tenancy if no file is given.
pub fn load_test_users(file: Option<&Path>) -> anyhow::Result<cases::TestUsers> {
    let Some(path) = file else { return Ok(serde_saphyr::from_str(TEST_USERS)?) };
    let named = || format!("--test-users `{}`", path.display());
    let text = std::fs::read_to_string(path).with_context(named)?;
    match serde_saphyr::from_str(&text) {
        Ok(people) => Ok(people),
        Err(error) => {
            bail!("{}: {}; a line is `NAME: {{username: …, groups: […]}}`", named(), error.without_snippet())
        }
    }
}

/// The inputs of a decision that change from call to call, so that a caller can fix them.
#[derive(Debug, Clone)]
pub struct Moment {
    pub decision_id: String,
    /// RFC 3339, as `input.now`.
    pub now: String,
}

impl Moment {
    pub fn present() -> Self {
        Self {
            decision_id: portcullis_admission::gate::decision_id(),
            now: format!("{:.3}", jiff::Timestamp::now()),
        }
    }
}

#[derive(Debug)]
pub struct Evaluator {
    /// Shared with the gate where a server evaluates too.
    pub policies: Arc<PolicySet>,
    pub tenancy: Arc<PreparedSnapshot>,
    pub budget: Budget,
}

#[derive(Debug)]
pub struct Evaluation {
    pub verdict: Verdict,
    pub review: Review,
    /// `None` if the object has a form that cannot be evaluated.
    pub context: Option<ReviewContext>,
    /// Ids of the evaluated policies, in order.
    pub asked: Vec<String>,
    /// The time of decoding and deciding, as in the gate; encoding is not included.
    pub took: Duration,
}

impl Evaluator {
    /// The gate's budget with a longer deadline, because no API server waits for the verdict.
    pub fn new(policies: impl Into<Arc<PolicySet>>, tenancy: Arc<PreparedSnapshot>) -> Self {
        Self {
            policies: policies.into(),
            tenancy,
            budget: Budget { deadline: Duration::from_secs(30), ..Budget::default() },
        }
    }

    /// Evaluates as the webhook does, from the bytes of the review.
    pub fn evaluate(
        &self,
        body: &Bytes,
        endpoint: Endpoint,
        moment: &Moment,
    ) -> Result<Evaluation, DecodeError> {
        let started = Instant::now();
        let review = portcullis_admission::review::decode(body.clone(), endpoint, &|header| {
            projection(&self.policies, &self.tenancy, header)
        })?;
        let context =
            ReviewContext::gather(&self.tenancy, &review, moment.decision_id.clone(), moment.now.clone());
        let (verdict, context) = match context {
            Ok(context) => {
                (portcullis_admission::decide(&self.policies, &context, &review, self.budget), Some(context))
            }
            Err(error) => {
                let message = format!("the object cannot be evaluated: {error}");
                (Verdict::failed(&review, moment.decision_id.clone(), "shape", message), None)
            }
        };
        let took = started.elapsed();
        let asked = context.as_ref().map(|context| self.asked(&review, context)).unwrap_or_default();
        Ok(Evaluation { verdict, review, context, asked, took })
    }

    fn asked(&self, review: &Review, context: &ReviewContext) -> Vec<String> {
        let header = &review.header;
        let Some(operation) = header.operation() else { return Vec::new() };
        let plan = self.policies.plan(&header.query(operation, context.kind));
        let effective = validate::effective(&self.policies, context);
        let asked = self.policies.planned(&plan).filter(|policy| {
            match (review.endpoint, validate::mode(policy, context, effective.as_ref())) {
                (_, Mode::Off) => false,
                (Endpoint::Validate, _) => policy.defines("deny") || policy.defines("warn"),
                (Endpoint::Mutate, mode) => mode == Mode::Enforce && policy.patches(),
            }
        });
        asked.map(|policy| policy.manifest.id.clone()).collect()
    }
}
