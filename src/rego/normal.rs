//! Rewrites modules to the normal form that OPA's compiler makes of them, and corrects for differences of the engines.

mod body_lines;
mod calls;
mod definitions;
mod machine;
mod messages;
mod mocks;
mod names;
mod operators;
mod order;
mod print;
mod read;
mod references;
mod tree;
mod values;

use std::collections::BTreeMap;

use serde_json::Value as Json;

pub(crate) use self::body_lines::BodyLine;
pub(crate) use self::mocks::MOCK_REPORT;
use self::names::{Dependencies, Globals, ResolveError};
pub(crate) use self::tree::Target;
use self::tree::{Expr, ExprKind, Location, Name, name_of, root};
use super::{builtins, parse};
use crate::source::{Module, Problem};

pub(crate) struct NormalForm {
    /// The source for the engines.
    pub(crate) text: String,
    /// The position in the modules of each of its lines.
    locations: Vec<Location>,
    /// What the register machine would evaluate differently from OPA.
    unsupported: Option<definitions::Unsupported>,
}

impl NormalForm {
    /// Why the policy must run on the interpreter, if the register machine would evaluate it differently from OPA.
    pub(crate) fn unsupported(&self, modules: &[&Module]) -> Option<String> {
        let found = self.unsupported.as_ref()?;
        let (module, (line, _)) = module_of(found.location, modules)?;
        Some(format!("{}:{line}: {}", module.path, found.message))
    }

    /// The module and position that a line of the normal form comes from.
    pub(crate) fn origin<'m>(&self, line: u32, modules: &[&'m Module]) -> Option<(&'m Module, Location)> {
        let location = self.locations.get(usize::try_from(line).ok()?.checked_sub(1)?)?;
        module_of(*location, modules)
    }
}

/// The first line of each module: lines are numbered through all modules, since the rules of a package move to one of them.
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

/// How many lines all modules before one have.
pub(crate) fn base(at: usize, modules: &[&Module]) -> u32 {
    bases(modules.iter().copied()).get(at).copied().unwrap_or_default()
}

/// Converts a line number through all modules to a module and its position there.
fn module_of<'m>((line, column): Location, modules: &[&'m Module]) -> Option<(&'m Module, Location)> {
    let bases = bases(modules.iter().copied());
    let at = bases.partition_point(|base| *base < line.max(1)).checked_sub(1)?;
    Some((modules.get(at)?, (line.saturating_sub(*bases.get(at)?), column)))
}

/// Converts a problem in a normal form to one in the module, with the author's names.
pub(crate) fn in_source(problem: Problem, modules: &[&Module], normal: &[NormalForm]) -> Problem {
    let Some((module, normal)) = modules.iter().zip(normal).find(|(module, _)| module.path == problem.file)
    else {
        return problem;
    };
    let (module, location) = normal.origin(problem.line, modules).unwrap_or((module, (0, 0)));
    let message = print::as_written(&problem.message);
    Problem::at(&module.path, location.0, location.1, message).with_source_column(&module.text)
}

pub(crate) type Bodies = Vec<Vec<BodyLine>>;

/// The normal forms of modules that are compiled together.
pub(crate) struct NormalForms {
    /// In the order of the modules; all rules of a package are in the first of its modules.
    pub(crate) normal: Vec<NormalForm>,
    /// The tests of all modules, for [`Target::Tests`].
    pub(crate) tests: Vec<Test>,
    /// The lines of the traced rule.
    pub(crate) bodies: Bodies,
}

#[derive(Debug)]
pub struct Test {
    /// The index of its module.
    pub module: usize,
    /// The rule to evaluate.
    pub rule: String,
    /// The name that is shown: with `#01` for the second test of a name, as in OPA.
    pub name: String,
    pub line: u32,
}

/// Makes the normal forms of modules that are compiled together. `of` names a rule to trace, by the index of its module;
/// rules for its lines are added to that module.
pub(crate) fn normal_forms(
    modules: &[(&Module, Json)],
    target: Target,
    of: Option<(usize, &str)>,
) -> Result<NormalForms, Problem> {
    let bases = bases(modules.iter().map(|(module, _)| *module));
    let mut read = Vec::with_capacity(modules.len());
    for ((module, ast), base) in modules.iter().zip(&bases) {
        let one = read::module(ast, &module.text, *base).map_err(|error| match error.location {
            Some((line, column)) => {
                Problem::at(&module.path, line.saturating_sub(*base), column, error.message)
            }
            None => Problem::of(&module.path, error.message),
        })?;
        read.push(one);
    }
    let tests = if target == Target::Tests || of.is_some() {
        rename_duplicate_tests(&mut read, &bases)
    } else {
        Vec::new()
    };
    let bundle = BundleNames::of(&read);
    if target == Target::Tests {
        mocks::refuse_functions(&read, modules, &bases, &bundle.functions)?;
    }
    let mut dependencies = Dependencies::default();
    for ((one, (module, _)), base) in read.iter_mut().zip(modules).zip(&bases) {
        let globals = bundle.globals(one);
        bundle.hoist(one, &globals, target, *base).map_err(|wrong| {
            let line = wrong.location.0.saturating_sub(*base);
            Problem::at(&module.path, line, wrong.location.1, wrong.message)
        })?;
        one.rules.iter().for_each(|rule| dependencies.add(&one.package, rule, &globals));
    }
    let mut bodies = Vec::new();
    if let Some((at, name)) = of
        && let Some(module) = read.get_mut(at)
    {
        let (lines, rules) = body_lines::lines(&module.rules, name);
        module.rules.extend(rules);
        bodies = lines;
    }
    gather_packages(&mut read);
    let normal = read.into_iter().map(|one| bundle.finish(one, target, &dependencies)).collect();
    Ok(NormalForms { normal, tests, bodies })
}

/// Moves all rules of a package to the first of its modules: of a rule in several modules, the register machine uses the
/// last, and the interpreter reports dotted names and functions as conflicts (regorus 0.14.1, `interpreter.rs`, `rvm`).
fn gather_packages(modules: &mut [read::ParsedModule]) {
    for at in 1..modules.len() {
        let (before, rest) = modules.split_at_mut(at);
        let Some(module) = rest.first_mut() else { continue };
        if let Some(first) = before.iter_mut().find(|first| first.package == module.package) {
            first.rules.append(&mut module.rules);
            first.defaults.append(&mut module.defaults);
        }
    }
}

/// Gives tests of the same name different names, as in OPA.
fn rename_duplicate_tests(modules: &mut [read::ParsedModule], bases: &[u32]) -> Vec<Test> {
    let mut seen: BTreeMap<(Vec<String>, String), usize> = BTreeMap::new();
    let mut tests: Vec<Test> = Vec::new();
    for (at, (module, base)) in modules.iter_mut().zip(bases).enumerate() {
        for rule in module.rules.iter_mut().filter(|rule| rule.args.is_none()) {
            let Some(root) = root(&rule.name).filter(|name| name.starts_with("test_")).map(str::to_owned)
            else {
                continue;
            };
            let mut test =
                Test { module: at, rule: root.clone(), name: root.clone(), line: rule.location.0 - base };
            let count = seen.entry((module.package.clone(), root.clone())).or_default();
            match &mut rule.name.kind {
                ExprKind::Name(Name::Written(name)) if *count > 0 => {
                    *name = format!("{root}__{count}");
                    test.rule.clone_from(name);
                    test.name = format!("{root}#{count:02}");
                }
                // Another case of the same test.
                ExprKind::Reference(..) if *count > 0 => continue,
                _ => {}
            }
            *count += 1;
            tests.push(test);
        }
    }
    tests
}

struct BundleNames {
    packages: Vec<Vec<String>>,
    rules: Vec<(Vec<String>, String)>,
    functions: BTreeMap<Vec<String>, usize>,
}

impl BundleNames {
    fn of(modules: &[read::ParsedModule]) -> Self {
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

    fn globals(&self, module: &read::ParsedModule) -> Globals {
        let mut globals: Globals =
            ["input", "data"].map(|root| (root.to_owned(), vec![root.to_owned()])).into();
        for (package, name) in self.rules.iter().filter(|(package, _)| *package == module.package) {
            let path = ["data"].into_iter().chain(package.iter().chain([name]).map(String::as_str));
            globals.insert(name.clone(), path.map(str::to_owned).collect());
        }
        // `import rego.v1` and `future.keywords` declare no name.
        let named = |path: &[String]| !matches!(path.first().map(String::as_str), Some("rego" | "future"));
        for (path, alias) in module.imports.iter().filter(|(path, _)| named(path)) {
            if let Some(name) = alias.as_ref().or_else(|| path.last()) {
                globals.insert(name.clone(), path.clone());
            }
        }
        globals
    }

    /// Resolves names, and hoists calls and references into lines of their own.
    fn hoist(
        &self,
        module: &mut read::ParsedModule,
        globals: &Globals,
        target: Target,
        base: u32,
    ) -> Result<(), ResolveError> {
        let holds_rules = |expr: &Expr| {
            path(expr).is_some_and(|path| {
                // The machine does not find `data.p[k].x`, but iterates over a package like over an object.
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
        let own_scope = module.imports.iter().any(|(path, _)| parse::negates(path));
        for rule in &mut module.rules {
            names::resolve(rule, globals, &arity)?;
            messages::mark(rule);
            calls::hoist(rule, own_scope);
            references::hoist(rule, target, &holds_rules, &is_package).map_err(unordered)?;
            messages::require(rule, base);
        }
        Ok(())
    }

    /// Corrects for the differences of an engine, and prints the module.
    fn finish(
        &self,
        mut module: read::ParsedModule,
        target: Target,
        dependencies: &Dependencies,
    ) -> NormalForm {
        let itself = |name: &str| dependencies.is_recursive(&module.package, name);
        let unsupported = definitions::join(&mut module.rules, &mut module.defaults, target, &itself);
        if target == Target::Tests {
            module.rules.iter_mut().for_each(mocks::report);
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
                machine::inline(rule, &builtin);
                machine::load_input(rule);
            }
        }
        let printed = print::module(&module);
        NormalForm { text: printed.text, locations: printed.locations, unsupported }
    }
}

fn functions(modules: &[read::ParsedModule]) -> BTreeMap<Vec<String>, usize> {
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

fn unordered(location: Location) -> ResolveError {
    let message = "this line uses a variable that has no value yet, and does not bind it";
    ResolveError { location, message: message.to_owned() }
}

/// The path of a reference below `data`; `None` if a step is not constant.
fn path(expr: &Expr) -> Option<Vec<String>> {
    let (head, steps) = match &expr.kind {
        ExprKind::Reference(head, steps) => (head.as_ref(), steps.as_slice()),
        _ => (expr, &[][..]),
    };
    if !matches!(&head.kind, ExprKind::Name(Name::Global(name)) if name == "data") {
        return None;
    }
    steps.iter().map(name_of).collect()
}
