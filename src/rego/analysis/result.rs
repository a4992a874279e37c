//! The result of analysing a module.

use std::collections::BTreeSet;

use serde_json::Value as Json;

use crate::syntax::{Flaw, Step};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// `r contains x if …`
    Set,
    /// `r := x if …`, `r if …`, `default r := …`
    Value,
    /// `r(x) := …`
    Function,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// The first part of a dotted name.
    pub name: String,
    /// The constant parts of its name: `a`, `b` of `a.b[c] := 1`.
    pub path: Vec<String>,
    /// Whether a part of its name is not constant.
    pub open: bool,
    /// Parts of its name after the first: two in `a.b[c]`.
    pub steps: usize,
    pub form: Form,
    pub default: bool,
    pub arity: usize,
    pub uses: Vec<Use>,
    /// Line and column, from 1.
    pub location: (u32, u32),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// As written, dots included.
    pub name: String,
    /// Which arguments are constant numbers or strings.
    pub constant: Vec<bool>,
    /// Types and constants of the arguments, as far as the text shows them.
    pub arguments: Vec<Argument>,
    /// Whether it is a statement; then an extra argument may take the result.
    pub statement: bool,
    /// Line and column, from 1.
    pub location: (u32, u32),
}

#[derive(Debug, Clone, Default)]
pub struct Analysis {
    pub package: Vec<String>,
    /// Alias and path; the path begins with `data` or `input`.
    pub imports: Vec<(String, Vec<String>)>,
    pub rules: Vec<Rule>,
    pub calls: Vec<Call>,
    /// Paths below `input`; an empty path reads all of it.
    pub input: Vec<Reference<Step>>,
    /// Paths below `input` that are read through a local name, for every value that the name may have.
    pub through_locals: Vec<Vec<Step>>,
    /// Those of `through_locals` where the name can have no other value.
    pub certain_paths: Vec<Reference<Step>>,
    /// Paths below `input` that are compared with a string.
    pub comparisons: Vec<Comparison>,
    /// Constant prefixes below `data`; an empty path reads all of it.
    pub data: Vec<Reference<String>>,
    pub flaws: Vec<Flaw>,
    /// Patches that always append: `policy check` reports them, the gate loads them.
    pub appends: Vec<Flaw>,
    /// Unbound variables as far as this module shows; [`super::unbound`] decides with the other modules.
    pub unbound: Vec<Flaw>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference<S> {
    pub path: Vec<S>,
    /// Line and column, from 1.
    pub location: (u32, u32),
}

/// A path below `input` that is compared with a string.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Comparison {
    pub path: Vec<Step>,
    pub text: String,
    /// Line and column, from 1.
    pub location: (u32, u32),
}

impl Analysis {
    /// Names of its rules and imports.
    pub fn names(&self) -> BTreeSet<String> {
        let rules = self.rules.iter().map(|rule| rule.name.clone());
        rules.chain(self.imports.iter().map(|(alias, _)| alias.clone())).collect()
    }
}

/// A reference to a rule or to `data`, as a path below `data`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Use {
    /// Empty for all of `data`.
    pub path: Vec<String>,
    /// Whether it is called, or stands after `with … as`, where a function may replace another.
    pub called: bool,
    /// Whether steps follow that are not constant.
    pub open: bool,
    /// Line and column, from 1.
    pub location: (u32, u32),
}

/// The type and constant of an argument, as far as the text shows them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Argument {
    pub(crate) kind: Option<&'static str>,
    pub(crate) text: Option<String>,
    /// Elements of an array.
    pub(crate) items: Option<usize>,
}

/// Types by their names in the syntax tree, with the letters of signatures that accept them.
const KINDS: &[(&str, &str, &str)] = &[
    ("String", "a string", "sc*"),
    ("RawString", "a string", "sc*"),
    ("Number", "a number", "n*"),
    ("Bool", "a boolean", "b*"),
    ("Null", "null", "*"),
    ("Array", "an array", "a@c*"),
    ("ArrayCompr", "an array", "a@c*"),
    ("Set", "a set", "t@c*"),
    ("SetCompr", "a set", "t@c*"),
    ("Object", "an object", "oc*"),
    ("ObjectCompr", "an object", "oc*"),
];

impl Argument {
    pub(crate) fn of(node: &Json) -> Self {
        let kind = KINDS.iter().find(|(kind, ..)| node.get(kind).is_some());
        let text = ["String", "RawString"].iter().find_map(|kind| node.get(kind)?.get("value")?.as_str());
        Self {
            kind: kind.map(|(_, name, _)| *name),
            text: text.map(str::to_owned),
            items: node.pointer("/Array/items").and_then(Json::as_array).map(Vec::len),
        }
    }

    pub(crate) fn fits(&self, letter: char) -> bool {
        self.kind
            .is_none_or(|kind| KINDS.iter().any(|(_, name, fits)| *name == kind && fits.contains(letter)))
    }
}
