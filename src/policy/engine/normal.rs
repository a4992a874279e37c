//! The normal form: the module that OPA's compiler makes of what is written, before it is evaluated.

mod asked;
mod calls;
mod definitions;
mod inline;
mod names;
mod needs;
mod operators;
mod order;
mod print;
mod reached;
mod read;
mod references;
mod roots;
mod same;
mod texts;
mod tree;
mod values;

use std::collections::BTreeMap;

use serde_json::Value as Json;

pub(super) use self::asked::ASKED;
use self::names::{Globals, Redeclared};
use self::needs::Needs;
pub use self::reached::Reached;
use self::tree::{Expr, Kind, Name, Place, Step};
use super::{builtins, imports};
use crate::policy::bundle::Module;
use crate::policy::problem::Problem;

/// A module in normal form.
pub struct Normal {
    /// The source that the engines read.
    pub text: String,
    /// Where each of its lines comes from.
    places: Vec<Place>,
    /// Of the register machine.
    unanswered: Option<definitions::Unanswered>,
}

impl Normal {
    /// What the register machine would not answer as the language says; the interpreter does.
    pub fn unanswered(&self, file: &str) -> Option<String> {
        let found = self.unanswered.as_ref()?;
        Some(format!("{file}:{}: {}", found.place.0, found.message))
    }

    /// Where a line of the normal form comes from.
    pub fn origin(&self, line: u32) -> Option<Place> {
        self.places.get(usize::try_from(line).ok()?.checked_sub(1)?).copied()
    }
}

/// A problem of a normal form as one of the module: at the place that the line comes from, with the names that the
/// author gave.
pub(super) fn settled(problem: Problem, modules: &[&Module], normal: &[Normal]) -> Problem {
    let Some((module, normal)) = modules.iter().zip(normal).find(|(module, _)| module.path == problem.file)
    else {
        return problem;
    };
    let place = normal.origin(problem.line).unwrap_or_default();
    let message = print::as_written(&problem.message);
    Problem::at(&problem.file, place.0, place.1, message).settled(&module.text)
}

/// The lines of the bodies of a rule.
pub type Bodies = Vec<Vec<Reached>>;

/// The engine that a normal form is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    Machine,
    Interpreter,
    /// The interpreter, which is told what tests put in place of `input` and `data`.
    Tests,
}

/// The normal forms of modules that are compiled together, from their syntax trees; and the lines of the bodies of one
/// rule, named with the index of its module, for which there are rules in that module then.
///
/// # Errors
/// A construct that is not known, or lines that cannot be ordered, at their place.
pub fn all(
    modules: &[(&Module, Json)],
    target: Target,
    of: Option<(usize, &str)>,
) -> Result<(Vec<Normal>, Bodies), Problem> {
    let mut read = Vec::with_capacity(modules.len());
    for (module, ast) in modules {
        let one = read::module(ast, &module.text).map_err(|what| Problem::of(&module.path, what))?;
        read.push(one);
    }
    if target == Target::Tests || of.is_some() {
        read.iter_mut().for_each(|one| apart(&mut one.rules));
    }
    let known = Known::of(&read);
    let mut needs = Needs::default();
    for (one, (module, _)) in read.iter_mut().zip(modules) {
        let globals = known.globals(one);
        known
            .take_out(one, &globals, target)
            .map_err(|wrong| Problem::at(&module.path, wrong.place.0, wrong.place.1, wrong.message))?;
        one.rules.iter().for_each(|rule| needs.add(&one.package, rule, &globals));
    }
    let mut bodies = Vec::new();
    if let Some((at, name)) = of
        && let Some(module) = read.get_mut(at)
    {
        let (lines, rules) = reached::lines(&module.rules, name);
        module.rules.extend(rules);
        bodies = lines;
    }
    Ok((read.into_iter().map(|one| known.written(one, target, &needs)).collect(), bodies))
}

/// What is known of all modules together.
struct Known {
    packages: Vec<Vec<String>>,
    /// Rules by package and name.
    rules: Vec<(Vec<String>, String)>,
    functions: BTreeMap<Vec<String>, usize>,
}

impl Known {
    fn of(modules: &[read::Module]) -> Self {
        let rules = modules.iter().flat_map(|one| {
            let names = one.rules.iter().map(|rule| &rule.name).chain(one.defaults.iter().map(|d| &d.name));
            names.filter_map(root).map(|name| (one.package.clone(), name.to_owned()))
        });
        Self {
            packages: modules.iter().map(|one| one.package.clone()).collect(),
            rules: rules.collect(),
            functions: functions(modules),
        }
    }

    /// What the names of a module stand for.
    fn globals(&self, module: &read::Module) -> Globals {
        let mut globals: Globals =
            ["input", "data"].map(|root| (root.to_owned(), vec![root.to_owned()])).into();
        for (package, name) in self.rules.iter().filter(|(package, _)| *package == module.package) {
            let path = ["data"].into_iter().chain(package.iter().chain([name]).map(String::as_str));
            globals.insert(name.clone(), path.map(str::to_owned).collect());
        }
        // `import rego.v1` and `future.keywords` name nothing.
        let named = |path: &[String]| !matches!(path.first().map(String::as_str), Some("rego" | "future"));
        for (path, alias) in module.imports.iter().filter(|(path, _)| named(path)) {
            if let Some(name) = alias.as_ref().or_else(|| path.last()) {
                globals.insert(name.clone(), path.clone());
            }
        }
        globals
    }

    /// Looks up names, and takes calls and references out of where they stand.
    fn take_out(
        &self,
        module: &mut read::Module,
        globals: &Globals,
        target: Target,
    ) -> Result<(), Redeclared> {
        let holds_rules = |expr: &Expr| {
            path(expr).is_some_and(|path| self.packages.iter().any(|package| package.starts_with(&path)))
        };
        let arity = |path: &[String]| {
            let (first, rest) = path.split_first()?;
            let global = globals.get(first).into_iter().flatten().chain(rest).skip(1).cloned();
            let own = self.functions.get(&global.collect::<Vec<_>>()).copied();
            own.or_else(|| builtins::arity(&path.join(".")))
        };
        let own_scope = module.imports.iter().any(|(path, _)| imports::negates(path));
        for rule in &mut module.rules {
            names::resolve(rule, globals, &arity)?;
            texts::mark(rule);
            calls::take_out(rule, own_scope);
            references::take_out(rule, target, &holds_rules).map_err(unordered)?;
            texts::require(rule);
        }
        Ok(())
    }

    /// Makes up for what an engine has otherwise, and writes the module.
    fn written(&self, mut module: read::Module, target: Target, needs: &Needs) -> Normal {
        let itself = |name: &str| needs.itself(&module.package, name);
        let unanswered = definitions::join(&mut module.rules, &mut module.defaults, target, &itself);
        if target == Target::Tests {
            module.rules.iter_mut().for_each(asked::tell);
        }
        module.rules.iter_mut().for_each(values::objects);
        if target == Target::Machine {
            module.rules.iter_mut().for_each(values::single);
        }
        module.rules.iter_mut().for_each(operators::replace);
        if target == Target::Machine {
            let builtin = |path: &[String]| {
                let own: Vec<String> = module.package.iter().chain(path).cloned().collect();
                builtins::arity(&path.join(".")).is_some() && !self.functions.contains_key(&own)
            };
            for rule in &mut module.rules {
                inline::inline(rule, &builtin);
                roots::load(rule);
            }
        }
        let printed = print::module(&module);
        Normal { text: printed.text, places: printed.places, unanswered }
    }
}

/// Tests of one name are tests of their own, as in OPA.
fn apart(rules: &mut [tree::Rule]) {
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    for rule in rules {
        if let Kind::Name(Name::Written(name)) = &mut rule.name.kind
            && name.starts_with(TEST)
        {
            let count = seen.entry(name.clone()).or_default();
            *name = test_name(name, *count);
            *count += 1;
        }
    }
}

/// How names of tests begin.
pub(super) const TEST: &str = "test_";

/// What the normal form calls the test of a name that stands so many times before it.
pub(super) fn test_name(name: &str, before: usize) -> String {
    if before == 0 { name.to_owned() } else { format!("{name}__{before}") }
}

/// How many arguments each function takes, by its path below `data`.
fn functions(modules: &[read::Module]) -> BTreeMap<Vec<String>, usize> {
    let mut functions = BTreeMap::new();
    for module in modules {
        for rule in &module.rules {
            if let (Some(args), Some(name)) = (&rule.args, root(&rule.name)) {
                let path = module.package.iter().cloned().chain([name.to_owned()]).collect();
                functions.insert(path, args.len());
            }
        }
    }
    functions
}

fn unordered(place: Place) -> Redeclared {
    let message = "a variable of this line has no value before it, and this line gives it none";
    Redeclared { place, message: message.to_owned() }
}

/// The name of a rule.
fn root(name: &Expr) -> Option<&str> {
    match &name.kind {
        Kind::Name(Name::Written(name) | Name::Global(name)) => Some(name),
        Kind::Reference(head, _) => root(head),
        _ => None,
    }
}

/// A reference below `data` as its path below it; `None` where a step is no name.
fn path(expr: &Expr) -> Option<Vec<String>> {
    let (head, steps) = match &expr.kind {
        Kind::Reference(head, steps) => (head.as_ref(), steps.as_slice()),
        _ => (expr, &[][..]),
    };
    if !matches!(&head.kind, Kind::Name(Name::Global(name)) if name == "data") {
        return None;
    }
    steps.iter().map(name_of).collect()
}

fn name_of(step: &Step) -> Option<String> {
    match step {
        Step::Field(name) => Some(name.clone()),
        Step::Index(Expr { kind: Kind::Scalar(text), .. }) => serde_json::from_str(text).ok(),
        Step::Index(_) => None,
    }
}
