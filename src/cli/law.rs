//! A law and a world, loaded for one command, and the gate's own question asked of them in process.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use bytes::Bytes;

use super::{diagnostic, output};
use portcullis_admission::review::DecodeError;
use portcullis_admission::validate;
use portcullis_admission::wanted::wanted;
use portcullis_admission::{Endpoint, Facts, Review, Verdict, World, cases};
use portcullis_policy::set::Options;
use portcullis_policy::source::{dir, embedded};
use portcullis_policy::{Budget, Bundle, Mode, PolicySet, Problems};
use portcullis_tenancy::snapshot::Snapshot;

/// The example world, in which the embedded library's cases are told.
pub const WORLD: &str = portcullis_tenancy::example::DOCUMENT;
/// Its cast by short names.
pub const PEOPLE: &str = include_str!("../../tests/cases/people.yaml");

/// Files of a law as they were read, so that a problem can be shown in its line.
#[derive(Debug)]
pub struct Files {
    root: Option<PathBuf>,
    files: Vec<(String, Vec<u8>)>,
}

impl Files {
    /// Reads a directory, or the embedded library where there is none.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn read(policies: Option<&Path>) -> anyhow::Result<Self> {
        let files = match policies {
            Some(root) => dir::files(root).map_err(|problems| anyhow::anyhow!("policies of {problems}"))?,
            None => embedded::files(),
        };
        Ok(Self { root: policies.map(Path::to_path_buf), files })
    }

    /// Where they come from, for people.
    pub fn name(&self) -> String {
        self.root
            .as_ref()
            .map_or_else(|| "the embedded library".to_owned(), |root| format!("`{}`", root.display()))
    }

    /// Path inside the law and contents, in order of path.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        let mut files: Vec<_> =
            self.files.iter().map(|(path, bytes)| (path.as_str(), bytes.as_slice())).collect();
        files.sort_unstable();
        files.into_iter()
    }

    /// The bundle.
    ///
    /// # Errors
    /// Every file that cannot be read as what its name says.
    pub fn bundle(&self) -> Result<Bundle, Problems> {
        Bundle::from_files(self.files.iter().cloned())
    }

    /// The path by which a reader can open a file of the law.
    pub fn shown(&self, path: &str) -> String {
        self.root.as_ref().map_or_else(|| path.to_owned(), |root| root.join(path).display().to_string())
    }

    /// All problems, each where it stands.
    pub fn render(&self, problems: &Problems) -> String {
        let text = |path: &str| {
            self.files
                .iter()
                .find(|(file, _)| file == path)
                .and_then(|(_, bytes)| std::str::from_utf8(bytes).ok())
        };
        let one = |problem| diagnostic::render(problem, &self.shown(&problem.file), text(&problem.file));
        problems.0.iter().map(one).collect::<Vec<_>>().join("\n")
    }

    /// The compiled law.
    ///
    /// # Errors
    /// It does not load; what is wrong with it has been said.
    pub fn compile(&self, options: Options) -> anyhow::Result<PolicySet> {
        self.compile_after(options, None)
    }

    /// The same, with what is known of the files already.
    ///
    /// # Errors
    /// As [`Files::compile`].
    pub fn compile_after(&self, options: Options, known: Option<&PolicySet>) -> anyhow::Result<PolicySet> {
        let compiled = self.bundle().and_then(|bundle| PolicySet::compile(&bundle, options, known));
        compiled.map_err(|problems| {
            output::say(&format!("{}\n", self.render(&problems)));
            anyhow::anyhow!("{} does not load: {}", self.name(), output::count(problems.0.len(), "problem"))
        })
    }
}

/// Reads a snapshot, or the example world where no file is given.
///
/// # Errors
/// The file cannot be read, or is no snapshot.
pub fn world(file: Option<&Path>) -> anyhow::Result<World> {
    let snapshot = match file {
        Some(path) => {
            let bytes = std::fs::read(path).with_context(|| format!("--tenancy `{}`", path.display()))?;
            Snapshot::parse(&path.display().to_string(), &bytes)?
        }
        None => portcullis_tenancy::example::snapshot()?,
    };
    Ok(World::new(Arc::new(snapshot)))
}

/// Reads a cast, or the example world's where no file is given.
///
/// # Errors
/// The file cannot be read, or is no map of names to persons.
pub fn people(file: Option<&Path>) -> anyhow::Result<cases::People> {
    let Some(path) = file else { return Ok(serde_saphyr::from_str(PEOPLE)?) };
    let named = || format!("--people `{}`", path.display());
    let text = std::fs::read_to_string(path).with_context(named)?;
    match serde_saphyr::from_str(&text) {
        Ok(people) => Ok(people),
        Err(error) => {
            bail!("{}: {}; a line is `NAME: {{username: …, groups: […]}}`", named(), error.without_snippet())
        }
    }
}

/// What is not pure about a decision, so that a caller can keep it the same.
#[derive(Debug, Clone)]
pub struct Moment {
    /// Names the decision.
    pub decision_id: String,
    /// RFC 3339, as `input.now`.
    pub now: String,
}

impl Moment {
    /// This one.
    pub fn present() -> Self {
        Self {
            decision_id: portcullis_admission::gate::decision_id(),
            now: format!("{:.3}", jiff::Timestamp::now()),
        }
    }
}

/// A law and a world to ask.
#[derive(Debug)]
pub struct Judge {
    /// The law; shared where a server judges by it too.
    pub law: Arc<PolicySet>,
    /// The world.
    pub world: Arc<World>,
    /// What one policy may spend.
    pub budget: Budget,
}

/// An answer, and how it came about.
#[derive(Debug)]
pub struct Judged {
    /// The answer.
    pub verdict: Verdict,
    /// The review as it was decoded.
    pub review: Review,
    /// Its surroundings; `None` where the object has a shape about which nothing can be said.
    pub facts: Option<Facts>,
    /// Ids of the policies that were asked, in order.
    pub asked: Vec<String>,
    /// Decoding, deciding and encoding left out of account: what the gate itself takes.
    pub took: Duration,
}

impl Judge {
    /// Policies and a snapshot, and the gate's own budget; only the deadline is longer, because no caller waits.
    pub fn new(law: impl Into<Arc<PolicySet>>, world: Arc<World>) -> Self {
        Self {
            law: law.into(),
            world,
            budget: Budget { deadline: Duration::from_secs(30), ..Budget::default() },
        }
    }

    /// Asks as the webhook does, from the bytes on.
    ///
    /// # Errors
    /// The bytes are no review; the webhook answers 400.
    pub fn judge(&self, body: &Bytes, endpoint: Endpoint, moment: &Moment) -> Result<Judged, DecodeError> {
        let started = Instant::now();
        let review = portcullis_admission::review::decode(body.clone(), endpoint, &|header| {
            wanted(&self.law, &self.world, header)
        })?;
        let facts = Facts::gather(&self.world, &review, moment.decision_id.clone(), moment.now.clone());
        let (verdict, facts) = match facts {
            Ok(facts) => (portcullis_admission::decide(&self.law, &facts, &review, self.budget), Some(facts)),
            Err(error) => {
                let message = format!("the object cannot be judged: {error}");
                (Verdict::failed(&review, moment.decision_id.clone(), "shape", message), None)
            }
        };
        let took = started.elapsed();
        let asked = facts.as_ref().map(|facts| self.asked(&review, facts)).unwrap_or_default();
        Ok(Judged { verdict, review, facts, asked, took })
    }

    fn asked(&self, review: &Review, facts: &Facts) -> Vec<String> {
        let header = &review.header;
        let Some(operation) = header.operation() else { return Vec::new() };
        let plan = self.law.plan(&header.query(operation, facts.kind));
        let effective = validate::effective(&self.law, facts);
        let asked = self.law.planned(&plan).filter(|policy| {
            match (review.endpoint, validate::mode(policy, facts, effective.as_ref())) {
                (_, Mode::Off) => false,
                (Endpoint::Validate, _) => policy.defines("deny") || policy.defines("warn"),
                (Endpoint::Mutate, mode) => mode == Mode::Enforce && policy.patches(),
            }
        });
        asked.map(|policy| policy.manifest.id.clone()).collect()
    }
}
