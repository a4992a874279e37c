//! OPA itself, as a process that answers for as long as it is asked; tests/controlplane/opa says how.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde::Serialize;
use serde_json::Value as Json;
use serde_json::value::RawValue;

use super::value::Plain;
use super::{Answer, Program};

/// The process; ended when dropped.
pub struct Opa {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

/// What OPA says of one rule and one input.
#[derive(Debug, Clone)]
pub struct Told {
    /// A builtin that fails is undefined.
    pub answer: Answer,
    /// The builtins that failed on the way.
    pub failed: Vec<String>,
    /// The builtins that fail without rule indexes and early exits.
    pub passed: Vec<String>,
}

/// Why OPA does not compile modules: its word for the kind of error, and its sentence.
#[derive(Debug, Clone)]
pub struct Refused {
    pub code: String,
    pub message: String,
}

/// Documents are texts, so that numbers reach OPA as they are written.
#[derive(Serialize)]
struct Question<'a> {
    modules: BTreeMap<&'a str, &'a str>,
    entries: Vec<String>,
    data: Option<&'a RawValue>,
    inputs: &'a [Box<RawValue>],
    input_term: &'a str,
    experimental: bool,
}

impl Opa {
    pub fn start(tool: &Path) -> Self {
        let mut child = Command::new(tool)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}", tool.display()));
        let stdin = child.stdin.take().expect("its input");
        let stdout = BufReader::new(child.stdout.take().expect("its output"));
        Self { child, stdin, stdout }
    }

    /// Compiles a program once and asks it of every input; a list an input, with an answer an entry.
    pub fn ask(&mut self, program: &Program, inputs: &[Box<RawValue>]) -> Result<Vec<Vec<Told>>, Refused> {
        let modules: BTreeMap<&str, &str> =
            program.modules.iter().map(|module| (module.path.as_str(), module.text.as_str())).collect();
        let entries: Vec<String> =
            program.entries.iter().map(|entry| format!("{}.{entry}", program.package)).collect();
        let answer = self.line(&Question {
            modules,
            entries,
            data: program.data.as_deref(),
            inputs,
            input_term: &program.input_term,
            experimental: program.experimental,
        });
        let text = |json: &Json, name: &str| json[name].as_str().unwrap_or_default().to_owned();
        if !text(&answer, "error").is_empty() {
            return Err(Refused { code: text(&answer, "code"), message: text(&answer, "error") });
        }
        let told = |json: &Json| {
            let texts = |name: &str| {
                let texts = json[name].as_array().into_iter().flatten();
                texts.filter_map(Json::as_str).map(str::to_owned).collect()
            };
            let (failed, passed) = (texts("failed"), texts("passed"));
            let answer = match (json.get("error"), json.get("value")) {
                (Some(error), _) => Answer::Error(error.as_str().unwrap_or_default().to_owned()),
                (None, Some(value)) => Answer::Value(Plain::read(value)),
                (None, None) => Answer::Undefined,
            };
            Told { answer, failed, passed }
        };
        let rows = answer["answers"].as_array().into_iter().flatten();
        Ok(rows.map(|row| row.as_array().into_iter().flatten().map(told).collect()).collect())
    }

    fn line(&mut self, question: &Question<'_>) -> Json {
        let mut line = serde_json::to_string(question).expect("a question is JSON");
        line.push('\n');
        self.stdin.write_all(line.as_bytes()).expect("OPA reads");
        self.stdin.flush().expect("OPA reads");
        let mut answer = String::new();
        self.stdout.read_line(&mut answer).expect("OPA answers");
        serde_json::from_str(&answer).unwrap_or_else(|error| panic!("OPA's answer `{answer}`: {error}"))
    }
}

impl Drop for Opa {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
