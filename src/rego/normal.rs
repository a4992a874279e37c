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
use crate::module::Module;
use crate::problem::Problem;

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
    pub fn unanswered(&self, modules: &[&Module]) -> Option<String> {
        let found = self.unanswered.as_ref()?;
        let (module, (line, _)) = module_of(found.place, modules)?;
        Some(format!("{}:{line}: {}", module.path, found.message))
    }

    /// Where a line of the normal form comes from.
    pub fn origin<'m>(&self, line: u32, modules: &[&'m Module]) -> Option<(&'m Module, Place)> {
        let place = self.places.get(usize::try_from(line).ok()?.checked_sub(1)?)?;
        module_of(*place, modules)
    }
}

/// Lines are counted through all modules, since the rules of one package stand in one of them.
fn bases<'m>(modules: impl Iterator<Item = &'m Module>) -> Vec<u32> {
    let mut base = 0_u32;
    let mut all = Vec::new();
    for module in modules {
        all.push(base);
        base = base
            .saturating_add(u32::try_from(module.text.lines().count()).unwrap_or(u32::MAX))
            .saturating_add(1);
    }
    all
}

/// The lines of all modules before one.
pub(super) fn base(at: usize, modules: &[&Module]) -> u32 {
    bases(modules.iter().copied()).get(at).copied().unwrap_or_default()
}

/// The module of a line that is counted through all of them, and its place there.
fn module_of<'m>((line, column): Place, modules: &[&'m Module]) -> Option<(&'m Module, Place)> {
    let bases = bases(modules.iter().copied());
    let at = bases.partition_point(|base| *base < line.max(1)).checked_sub(1)?;
    Some((modules.get(at)?, (line.saturating_sub(*bases.get(at)?), column)))
}

/// A problem of a normal form as one of the module: at the place that the line comes from, with the names that the
/// author gave.
pub(super) fn settled(problem: Problem, modules: &[&Module], normal: &[Normal]) -> Problem {
    let Some((module, normal)) = modules.iter().zip(normal).find(|(module, _)| module.path == problem.file)
    else {
        return problem;
    };
    let (module, place) = normal.origin(problem.line, modules).unwrap_or((module, (0, 0)));
    let message = print::as_written(&problem.message);
    Problem::at(&module.path, place.0, place.1, message).settled(&module.text)
}

/// The lines of the bodies of a rule.
pub type Bodies = Vec<Vec<Reached>>;

/// The engine that a normal form is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    Machine,
    Interpreter,
    /// The interpreter, with reports of what tests put in place of `input` and `data`.
    Tests,
}

/// What is made of modules that are compiled together.
pub struct Made {
    /// Their normal forms, in their order; all rules of a package stand in the first of its modules.
    pub normal: Vec<Normal>,
    /// The tests of all modules, for which the target was [`Target::Tests`].
    pub tests: Vec<Test>,
    /// The lines of one rule.
    pub bodies: Bodies,
}

/// A test.
#[derive(Debug)]
pub struct Test {
    /// Which module it stands in.
    pub module: usize,
    /// The rule that is asked.
    pub rule: String,
    /// What its author sees: `#01` behind the second of a name, as in OPA.
    pub name: String,
    /// Its line.
    pub line: u32,
}

/// The normal forms of modules that are compiled together, from their syntax trees; and the lines of the bodies of one
/// rule, named with the index of its module, for which there are rules in that module then.
///
/// # Errors
/// A construct that is not known, or lines that cannot be ordered, at their place.
pub fn all(modules: &[(&Module, Json)], target: Target, of: Option<(usize, &str)>) -> Result<Made, Problem> {
    let bases = bases(modules.iter().map(|(module, _)| *module));
    let mut read = Vec::with_capacity(modules.len());
    for ((module, ast), base) in modules.iter().zip(&bases) {
        let one = read::module(ast, &module.text, *base).map_err(|what| Problem::of(&module.path, what))?;
        read.push(one);
    }
    let tests = if target == Target::Tests || of.is_some() { apart(&mut read, &bases) } else { Vec::new() };
    let known = Known::of(&read);
    if target == Target::Tests {
        refuse_mocks(&read, modules, &bases, &known.functions)?;
    }
    let mut needs = Needs::default();
    for ((one, (module, _)), base) in read.iter_mut().zip(modules).zip(&bases) {
        let globals = known.globals(one);
        known.take_out(one, &globals, target, *base).map_err(|wrong| {
            let line = wrong.place.0.saturating_sub(*base);
            Problem::at(&module.path, line, wrong.place.1, wrong.message)
        })?;
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
    gather(&mut read);
    let normal = read.into_iter().map(|one| known.written(one, target, &needs)).collect();
    Ok(Made { normal, tests, bodies })
}

/// All rules of a package in the first of its modules: of a rule in several, the register machine knows the last, and the
/// interpreter takes a name with dots and a function for a conflict (regorus 0.14.1, `interpreter.rs`, `rvm`).
fn gather(modules: &mut [read::Module]) {
    for at in 1..modules.len() {
        let (before, rest) = modules.split_at_mut(at);
        let Some(module) = rest.first_mut() else { continue };
        if let Some(first) = before.iter_mut().find(|first| first.package == module.package) {
            first.rules.append(&mut module.rules);
            first.defaults.append(&mut module.defaults);
        }
    }
}

/// `with f as …` for a function of a policy, which the interpreter heeds in some calls only (regorus 0.14.1,
/// `interpreter.rs`): the test would pass or fail without a word.
fn refuse_mocks(
    read: &[read::Module],
    modules: &[(&Module, Json)],
    bases: &[u32],
    functions: &BTreeMap<Vec<String>, usize>,
) -> Result<(), Problem> {
    for ((one, (module, _)), base) in read.iter().zip(modules).zip(bases) {
        let function = |target: &Expr| {
            let path = asked::names(target)?;
            let imported = one
                .imports
                .iter()
                .find(|(import, alias)| alias.as_ref().or_else(|| import.last()) == path.first());
            let whole: Vec<String> = match (path.first().map(String::as_str), imported) {
                (Some("data"), _) => path.iter().skip(1).cloned().collect(),
                (_, Some((import, _))) => import.iter().skip(1).chain(path.iter().skip(1)).cloned().collect(),
                _ => one.package.iter().chain(&path).cloned().collect(),
            };
            functions.contains_key(&whole).then_some(target.place)
        };
        let bodies = one.rules.iter().flat_map(|rule| &rule.branches).map(|branch| &branch.body);
        if let Some((line, column)) = bodies.into_iter().find_map(|body| asked::target(body, &function)) {
            let message = "`with` in place of a function of a policy is not supported here; give the function an input under which it has that value";
            return Err(Problem::at(&module.path, line.saturating_sub(*base), column, message));
        }
    }
    Ok(())
}

/// Tests of one name are tests of their own, as in OPA.
fn apart(modules: &mut [read::Module], bases: &[u32]) -> Vec<Test> {
    let mut seen: BTreeMap<(Vec<String>, String), usize> = BTreeMap::new();
    let mut tests: Vec<Test> = Vec::new();
    for (at, (module, base)) in modules.iter_mut().zip(bases).enumerate() {
        for rule in module.rules.iter_mut().filter(|rule| rule.args.is_none()) {
            let Some(root) = root(&rule.name).filter(|name| name.starts_with("test_")).map(str::to_owned)
            else {
                continue;
            };
            let mut test =
                Test { module: at, rule: root.clone(), name: root.clone(), line: rule.place.0 - base };
            let count = seen.entry((module.package.clone(), root.clone())).or_default();
            match &mut rule.name.kind {
                Kind::Name(Name::Written(name)) if *count > 0 => {
                    *name = format!("{root}__{count}");
                    test.rule.clone_from(name);
                    test.name = format!("{root}#{count:02}");
                }
                // Cases of one test.
                Kind::Reference(..) if *count > 0 => continue,
                _ => {}
            }
            *count += 1;
            tests.push(test);
        }
    }
    tests
}

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
        base: u32,
    ) -> Result<(), Redeclared> {
        let holds_rules = |expr: &Expr| {
            path(expr).is_some_and(|path| {
                // The machine does not find `data.p[k].x`, but iterates over a package as over an object.
                let above = |package: &Vec<String>| target != Target::Machine || package.len() > path.len();
                self.packages.iter().any(|package| package.starts_with(&path) && above(package))
            })
        };
        let is_package = |expr: &Expr| path(expr).is_some_and(|path| self.packages.contains(&path));
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
            references::take_out(rule, target, &holds_rules, &is_package).map_err(unordered)?;
            texts::require(rule, base);
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
