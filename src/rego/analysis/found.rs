//! What is found in a module.

use std::collections::BTreeSet;

use super::Step;
use crate::literals::Given;
use crate::safety::Flaw;
use crate::uses::Use;

/// How a rule is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// `r contains x if …`
    Set,
    /// `r := x if …`, `r if …`, `default r := …`
    Value,
    /// `r(x) := …`
    Function,
}

/// A rule's name, form and place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Its name; the first part of a dotted head.
    pub name: String,
    /// All of its name that is constant: `a`, `b` of `a.b[c] := 1`.
    pub path: Vec<String>,
    /// Whether its name ends in what is no constant.
    pub open: bool,
    /// Steps of its name behind the first part: two of `a.b[c]`.
    pub steps: usize,
    /// How it is written.
    pub form: Form,
    /// Whether it is a `default`.
    pub default: bool,
    /// How many arguments it takes.
    pub arity: usize,
    /// What it refers to.
    pub uses: Vec<Use>,
    /// Line and column, from 1.
    pub place: (u32, u32),
}

/// A call of a builtin or a function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// The name as written, dots included.
    pub name: String,
    /// Which arguments are constant numbers or texts.
    pub constant: Vec<bool>,
    /// What its arguments are, as far as they are written out.
    pub given: Vec<Given>,
    /// Whether it is a statement, which may name what it answers as one argument more.
    pub statement: bool,
    /// Line and column, from 1.
    pub place: (u32, u32),
}

/// One module, analysed.
#[derive(Debug, Clone, Default)]
pub struct Analysis {
    /// `["portcullis", "lib", "names"]`.
    pub package: Vec<String>,
    /// Local name → path, `data` or `input` first.
    pub imports: Vec<(String, Vec<String>)>,
    /// Rules in order.
    pub rules: Vec<Rule>,
    /// Calls in order.
    pub calls: Vec<Call>,
    /// Paths below `input`; an empty path is all of it.
    pub input: Vec<Reference<Step>>,
    /// Paths below `input` that are read through a local name; what a name stands for may be more than it is at that place.
    pub through: Vec<Vec<Step>>,
    /// Of those the ones where a name can stand for nothing else, at their places.
    pub certain: Vec<Reference<Step>>,
    /// Places of the input that are held against a text.
    pub compared: Vec<Compared>,
    /// Constant prefixes below `data`; an empty path is all of it.
    pub data: Vec<Reference<String>>,
    /// Calls and comparisons that can be seen to be wrong.
    pub flaws: Vec<Flaw>,
    /// Patches that always append: `policy check` reports them, and the gate loads them.
    pub appends: Vec<Flaw>,
    /// Variables without a value, as far as this module alone can tell; whoever knows the others asks [`unbound`].
    pub unbound: Vec<Flaw>,
}

/// A use of `input` or `data`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference<S> {
    /// What follows the root.
    pub path: Vec<S>,
    /// Line and column, from 1.
    pub place: (u32, u32),
}

/// A place of the input that is held against a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compared {
    /// What follows `input`.
    pub path: Vec<Step>,
    /// The text.
    pub text: String,
    /// Line and column, from 1.
    pub place: (u32, u32),
}

impl Analysis {
    /// Names that its rules and imports give.
    pub fn names(&self) -> BTreeSet<String> {
        let rules = self.rules.iter().map(|rule| rule.name.clone());
        rules.chain(self.imports.iter().map(|(alias, _)| alias.clone())).collect()
    }
}
