//! OPA, the register machine and the interpreter on the same programs; shared with tests/fuzz, so it names nothing of the
//! tests.

pub mod opa; // OPA as a process
pub mod ours; // both engines
pub mod random; // policies and objects
pub mod shrink; // the smallest program that still differs
pub mod tally; // what was compared, and how it came out
pub mod value; // values that can be compared

use std::fmt;

use portcullis_policy::Value;
use portcullis_rego::Compiled;
use portcullis_rego::Module;
use serde_json::value::RawValue;

use opa::Told;
use value::Plain;

/// Modules, and the rules of one package that are asked.
#[derive(Debug, Clone, Default)]
pub struct Program {
    pub modules: Vec<Module>,
    /// `data.…`
    pub package: String,
    pub entries: Vec<&'static str>,
    /// `None` where it is absent.
    pub data: Option<Box<RawValue>>,
    /// An input that JSON cannot hold, as Rego.
    pub input_term: String,
    /// Whether OPA is to know keywords that it does not announce yet.
    pub experimental: bool,
}

/// What comes of a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    Value(Plain),
    Undefined,
    Error(String),
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Value(value) => write!(f, "{value}"),
            Self::Undefined => f.write_str("undefined"),
            Self::Error(error) => write!(f, "error: {error}"),
        }
    }
}

/// How an answer of ours stands to OPA's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Relation {
    /// The same value, or undefined both.
    Same,
    /// An error of both.
    BothFail,
    /// A builtin fails: an error with us, undefined with OPA, and an error with OPA if it is strict. Deliberate.
    Builtin,
    /// The same, and our error does not say which builtin.
    Unnamed,
    /// A text of a finding is undefined: an error with us. Deliberate.
    UndefinedText,
    /// A builtin failed in OPA, and both have the value that does without: counted, since the verdict is OPA's.
    Unnoticed,
    /// A builtin or a rule fails with us where OPA did not come to it. It denies, so it is counted and no difference.
    Unreached,
    /// Anything else is a fault of ours.
    Differs,
}

/// How our error begins or ends where a finding's text is undefined.
pub const UNDEFINED_TEXT: &str = "the message of the finding is undefined";

/// Puts an answer of ours beside OPA's.
pub fn relation(told: &Told, ours: &Answer) -> Relation {
    let mut failed = told.failed.iter().chain(&told.passed);
    match (&told.answer, ours) {
        (Answer::Error(_), Answer::Error(_)) => Relation::BothFail,
        // A fault of OPA's own, which says so.
        (Answer::Error(error), _) if error.contains("eval_internal_error") => Relation::BothFail,
        (Answer::Error(_), _) => Relation::Differs,
        (_, Answer::Error(error)) if error.contains(UNDEFINED_TEXT) => Relation::UndefinedText,
        (_, Answer::Error(error)) if failed.clone().any(|failed| same_builtin(failed, error)) => {
            Relation::Builtin
        }
        (_, Answer::Error(error)) if failed.next().is_some() && !of_the_engine(error) => Relation::Unnamed,
        (_, Answer::Error(error)) if unreached(error) => Relation::Unreached,
        (opa, ours) if opa == ours && told.failed.is_empty() => Relation::Same,
        (Answer::Value(opa), Answer::Value(ours)) if told.failed.is_empty() && opa.is_near(ours) => {
            Relation::Same
        }
        (opa, ours) if opa == ours => Relation::Unnoticed,
        _ => Relation::Differs,
    }
}

/// Whether an error is of something that OPA may not come to: it looks a key up before it evaluates the rules that could
/// have it, and takes the first of several values.
fn unreached(error: &str) -> bool {
    [
        "builtin `",
        "takes numbers",
        "expects ",
        "requires ",
        "multiple outputs",
        "multiple times",
        "by zero",
        "modulo on",
    ]
    .iter()
    .any(|said| error.contains(said))
}

/// Whether our error is of a builtin that failed in OPA: "builtin `lower` failed: …", "`sum` requires …". Operators have
/// no name in ours.
fn same_builtin(failed: &str, error: &str) -> bool {
    // `p.rego:5: eval_type_error: lower: operand 1 must be …`
    let name = failed.split("_error: ").nth(1).and_then(|rest| rest.split(':').next()).unwrap_or_default();
    let operators = ["plus", "minus", "mul", "div", "rem", "and", "or"];
    let mut quoted = error.split('`').skip(1).step_by(2);
    quoted.any(|ours| ours == name) || operators.contains(&name) || failed.contains("divide by zero")
}

/// Whether an error is not of a builtin.
fn of_the_engine(error: &str) -> bool {
    [
        "builtin `",
        "item cannot be indexed",
        "multiple outputs",
        "multiple times",
        "panicked",
        "stopped",
        "not an object",
        "unsafe",
    ]
    .iter()
    .any(|said| error.contains(said))
}

/// A program on an engine of ours beside what OPA told.
pub fn compare(
    compiled: &Compiled,
    data: &Value,
    inputs: &[Value],
    told: &[Vec<Told>],
) -> Vec<(usize, usize, Answer, Relation)> {
    let mut all = Vec::new();
    for (at, (input, row)) in inputs.iter().zip(told).enumerate() {
        for (entry, told) in row.iter().enumerate() {
            let answer = ours::answer(compiled, entry, input, data);
            let relation = relation(told, &answer);
            all.push((at, entry, answer, relation));
        }
    }
    all
}
