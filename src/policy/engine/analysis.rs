//! What a module says, read from its syntax tree: package, imports, rules, calls, and what it reads.
//!
//! The tree is the engine's own, as JSON. The walk is closed: whatever node it meets, a use of `input` or `data`
//! below it is a variable of that name, and a chain of constants after it is the longest thing it may claim to
//! have understood.

mod locals;

use serde_json::Value as Json;

use self::locals::Locals;
use super::hazards::{self, Hazard};
use crate::policy::bundle::Module;
use crate::policy::problem::Problem;

/// A step of a reference: `.labels` or `["labels"]` is a name, anything else can be any key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// A constant key.
    Name(String),
    /// `[_]`, `[i]`, a number: any key.
    Any,
}

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
    /// How it is written.
    pub form: Form,
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
    /// Constant prefixes below `data`; an empty path is all of it.
    pub data: Vec<Reference<String>>,
    /// Constructs for the interpreter.
    pub hazards: Vec<Hazard>,
}

/// A use of `input` or `data`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference<S> {
    /// What follows the root.
    pub path: Vec<S>,
    /// Line and column, from 1.
    pub place: (u32, u32),
}

/// Parses and walks a module.
///
/// # Errors
/// A syntax error at its place.
pub fn analyse(module: &Module) -> Result<Analysis, Problem> {
    let mut engine = super::load(&[module]).map_err(|problem| problem.settled(&module.text))?;
    let read = engine.get_modules().first().ok_or_else(|| Problem::of(&module.path, "is no module"))?;
    // Not by way of the text that the engine would write: of a long module it is megabytes.
    let ast =
        &serde_json::to_value(read.as_ref()).map_err(|error| Problem::of(&module.path, error.to_string()))?;
    let mut walk = Walk { text: &module.text, found: Analysis::default(), locals: Locals::default() };
    walk.found.package = names(ast.pointer("/package/refr").unwrap_or(&Json::Null)).unwrap_or_default();
    walk.imports(ast.get("imports").unwrap_or(&Json::Null));
    for rule in ast.get("rules").and_then(Json::as_array).into_iter().flatten() {
        walk.rule(rule);
    }
    walk.found.hazards = hazards::find(ast);
    Ok(walk.found)
}

struct Walk<'a> {
    text: &'a str,
    found: Analysis,
    /// Of the rule that is walked.
    locals: Locals,
}

impl Walk<'_> {
    fn imports(&mut self, imports: &Json) {
        for import in imports.as_array().into_iter().flatten() {
            let Some(path) = import.get("refr").and_then(names) else { continue };
            let alias =
                import.get("as").and_then(|as_| span(self.text, as_)).or_else(|| path.last().cloned());
            if let Some(alias) = alias {
                self.found.imports.push((alias, path));
            }
        }
    }

    fn rule(&mut self, rule: &Json) {
        let (head, form) = match (rule.pointer("/Spec/head"), rule.get("Default")) {
            (Some(head), _) => match (head.get("Set"), head.get("Func"), head.get("Compr")) {
                (Some(set), _, _) => (Some(set), Form::Set),
                (_, Some(function), _) => (Some(function), Form::Function),
                (_, _, value) => (value, Form::Value),
            },
            (None, default) => {
                let function = default
                    .and_then(|d| d.get("args"))
                    .and_then(Json::as_array)
                    .is_some_and(|a| !a.is_empty());
                (default, if function { Form::Function } else { Form::Value })
            }
        };
        if let Some(refr) = head.and_then(|head| head.get("refr")) {
            // `deny contains x` keeps its name in the reference; a dotted head `a.b := 1` is named by its first part.
            let name = chain(refr).0.map(str::to_owned).unwrap_or_default();
            self.found.rules.push(Rule { name, form, place: place(rule) });
        }
        self.locals = Locals::of(rule, self.text, &|root| self.leads_to_input(root));
        self.node(rule);
        for name in self.locals.unused() {
            self.through(&name, &[]);
        }
    }

    fn leads_to_input(&self, root: &str) -> bool {
        let imported = self.found.imports.iter().find(|(alias, _)| alias == root);
        imported.map_or(root, |(_, path)| path.first().map_or("", String::as_str)) == "input"
    }

    fn node(&mut self, node: &Json) {
        match node {
            Json::Array(items) => items.iter().for_each(|item| self.node(item)),
            Json::Object(map) => {
                if ["Var", "RefDot", "RefBrack"].iter().any(|kind| map.contains_key(*kind)) {
                    self.reference(node);
                } else if let Some(call) = map.get("Call") {
                    self.call(call);
                } else if let Some(binding) = self.locals.followed(map, self.text) {
                    chain(binding.value).2.into_iter().chain(binding.rest).for_each(|inner| self.node(inner));
                } else {
                    map.values().for_each(|value| self.node(value));
                }
            }
            _ => {}
        }
    }

    /// What a local name reads when it is followed by `steps`.
    fn through(&mut self, name: &str, steps: &[Step]) {
        for (root, path) in self.locals.reads(name, steps) {
            let imported = self.found.imports.iter().find(|(alias, _)| *alias == root);
            let before = imported.map_or(&[][..], |(_, path)| path.get(1..).unwrap_or_default());
            self.found.through.push(before.iter().cloned().map(Step::Name).chain(path).collect());
        }
    }

    fn call(&mut self, call: &Json) {
        let empty = Vec::new();
        let params = call.get("params").and_then(Json::as_array).unwrap_or(&empty);
        let function = call.get("fcn").unwrap_or(&Json::Null);
        self.found.calls.push(Call {
            name: names(function).unwrap_or_default().join("."),
            constant: params
                .iter()
                .map(|param| ["Number", "String", "RawString"].iter().any(|kind| param.get(*kind).is_some()))
                .collect(),
            place: place(call),
        });
        self.reference(function);
        for param in params {
            self.node(param);
        }
    }

    fn reference(&mut self, node: &Json) {
        let (root, steps, inner) = chain(node);
        for expression in inner {
            self.node(expression);
        }
        let Some(root) = root else { return };
        self.through(root, &steps);
        let imported =
            self.found.imports.iter().find(|(alias, _)| alias == root).map(|(_, path)| path.clone());
        let mut path = imported.unwrap_or_else(|| vec![root.to_owned()]).into_iter();
        let first = path.next();
        let steps: Vec<Step> = path.map(Step::Name).chain(steps).collect();
        match first.as_deref() {
            Some("input") => self.found.input.push(Reference { path: steps, place: place(node) }),
            Some("data") => {
                let constant = steps
                    .into_iter()
                    .map_while(|step| if let Step::Name(name) = step { Some(name) } else { None });
                self.found.data.push(Reference { path: constant.collect(), place: place(node) });
            }
            _ => {}
        }
    }
}

fn span(text: &str, span: &Json) -> Option<String> {
    let at = |key| span.get(key).and_then(Json::as_u64).and_then(|value| usize::try_from(value).ok());
    text.get(at("start")?..at("end")?).map(str::to_owned)
}

/// Unwinds a reference: its root variable, its steps, and the expressions that stand inside it.
fn chain(node: &Json) -> (Option<&str>, Vec<Step>, Vec<&Json>) {
    let (mut steps, mut inner, mut current) = (Vec::new(), Vec::new(), node);
    loop {
        if let Some(dot) = current.get("RefDot") {
            let field = dot.pointer("/field/1").and_then(Json::as_str);
            steps.push(field.map_or(Step::Any, |name| Step::Name(name.to_owned())));
            current = dot.get("refr").unwrap_or(&Json::Null);
        } else if let Some(bracket) = current.get("RefBrack") {
            let index = bracket.get("index").unwrap_or(&Json::Null);
            let constant =
                ["String", "RawString"].iter().find_map(|kind| index.get(*kind)).and_then(|s| s.get("value"));
            if let Some(name) = constant.and_then(Json::as_str) {
                steps.push(Step::Name(name.to_owned()));
            } else {
                steps.push(Step::Any);
                inner.push(index);
            }
            current = bracket.get("refr").unwrap_or(&Json::Null);
        } else if let Some(var) = current.get("Var") {
            steps.reverse();
            return (var.get("value").and_then(Json::as_str), steps, inner);
        } else {
            // A call or a literal is indexed: what it holds is judged on its own.
            inner.push(current);
            return (None, Vec::new(), inner);
        }
    }
}

/// A reference that is nothing but names.
fn names(node: &Json) -> Option<Vec<String>> {
    let (root, steps, _) = chain(node);
    let mut path = vec![root?.to_owned()];
    for step in steps {
        match step {
            Step::Name(name) => path.push(name),
            Step::Any => return None,
        }
    }
    Some(path)
}

fn place(node: &Json) -> (u32, u32) {
    let span = node.get("span").or_else(|| node.as_object()?.values().find_map(|inner| inner.get("span")));
    let at = |key| span.and_then(|s| s.get(key)).and_then(Json::as_u64).and_then(|v| u32::try_from(v).ok());
    (at("line").unwrap_or(0), at("col").unwrap_or(0))
}

#[cfg(test)]
mod tests;
