//! Random policies on random objects, from a seed.

mod bodies; // lines of bodies
mod objects; // inputs
mod rules; // rules of every form
mod terms; // what has a value

use std::fmt;

use fastrand::Rng;
use portcullis_rego::Module;

use super::Program;

pub use objects::object;

/// What a part of a policy is, which says how it can be made smaller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Policy,
    /// A rule with all of its definitions, or an import.
    Rule,
    /// One definition of several, or an `else`.
    Clause,
    Line,
    Term,
}

/// A part of a policy.
#[derive(Debug, Clone)]
pub struct Node {
    pub kind: Kind,
    pub parts: Vec<Part>,
}

#[derive(Debug, Clone)]
pub enum Part {
    Text(String),
    Node(Node),
}

impl From<&str> for Part {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Part {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<Node> for Part {
    fn from(node: Node) -> Self {
        Self::Node(node)
    }
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.parts.iter().try_for_each(|part| match part {
            Part::Text(text) => f.write_str(text),
            Part::Node(node) => node.fmt(f),
        })
    }
}

/// A node from its parts; where it is used, `Node` and `Kind` are imported.
macro_rules! node {
    ($kind:ident; $($part:expr),* $(,)?) => {
        Node { kind: Kind::$kind, parts: vec![$($part.into()),*] }
    };
}
use node;

/// The line between a policy and its library.
pub const LIBRARY: &str = "\n# lib.rego\n";

/// Names of rules, in the order in which they are made; a rule knows only those before it.
pub const NAMES: [&str; 8] = ["r0", "r1", "r2", "r3", "r4", "r5", "r6", "r7"];

/// A random policy and the rules of it that can be asked.
#[derive(Debug, Clone)]
pub struct Policy {
    pub tree: Node,
    pub entries: Vec<&'static str>,
}

impl Policy {
    pub fn random(rng: &mut Rng) -> Self {
        Maker::new(rng).policy()
    }

    /// The text of the policy, and of its library where it has one.
    pub fn program(&self) -> Program {
        let text = self.tree.to_string();
        let texts = text.split(LIBRARY).map(str::to_owned).zip(["p.rego", "lib.rego"]);
        Program {
            modules: texts.map(|(text, path)| Module { path: path.to_owned(), text }).collect(),
            package: "data.p".to_owned(),
            entries: self.entries.clone(),
            ..Program::default()
        }
    }
}

/// What a name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sort {
    Any,
    Set,
    Object,
    Array,
    Truth,
    /// Of so many arguments; whether it has other values than true.
    Function(usize, bool),
}

/// Variables that have a value, and how deep the next thing may be.
#[derive(Debug, Clone, Default)]
struct Scope {
    variables: Vec<String>,
    /// Variables that stand for an element of `input.cs`.
    elements: Vec<String>,
    /// Below a negation a wildcard has no value.
    negated: bool,
    depth: usize,
}

impl Scope {
    fn deeper(&self) -> Self {
        Self { depth: self.depth + 1, ..self.clone() }
    }

    fn below_not(&self) -> Self {
        Self { negated: true, ..self.deeper() }
    }

    /// The scope of a body inside: what is negated around it does not count there.
    fn inside(&self) -> Self {
        Self { negated: false, ..self.deeper() }
    }
}

struct Maker<'r> {
    rng: &'r mut Rng,
    /// Rules and functions so far.
    known: Vec<(&'static str, Sort)>,
    variables: usize,
    /// Whether lines may end in `with`, which only the interpreter runs.
    with: bool,
    /// Whether it keeps to what most policies are made of.
    plain: bool,
}

impl<'r> Maker<'r> {
    fn new(rng: &'r mut Rng) -> Self {
        Self { rng, known: Vec::new(), variables: 0, with: false, plain: false }
    }

    fn chance(&mut self, percent: u32) -> bool {
        self.rng.u32(..100) < percent
    }

    fn one<'t>(&mut self, of: &[&'t str]) -> &'t str {
        of[self.rng.usize(..of.len())]
    }

    fn variable(&mut self) -> String {
        self.variables += 1;
        format!("v{}", self.variables)
    }

    fn of_sort(&mut self, wanted: impl Fn(Sort) -> bool) -> Option<(&'static str, Sort)> {
        let fitting: Vec<_> = self.known.iter().filter(|(_, sort)| wanted(*sort)).copied().collect();
        (!fitting.is_empty()).then(|| fitting[self.rng.usize(..fitting.len())])
    }
}
