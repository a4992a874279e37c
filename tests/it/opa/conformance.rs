//! OPA's conformance suite, as its Go module holds it: every case that loads has OPA's answer on both engines.
//!
//! `tests/it/opa/refused.tsv` counts the cases that do not load, a line a file of the suite and a reason.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use portcullis_policy::Value;
use portcullis_rego::Module;
use serde::Deserialize;
use serde_json::Value as Json;
use serde_json::value::RawValue;

use super::differential::opa::{Opa, Told};
use super::differential::value::Plain;
use super::differential::{Answer, Program, Relation, ours, relation};
use super::tool;
use crate::support::root;

/// Cases that do not load. Lower it with each that does.
const REFUSED_MAX: usize = 941;

/// Cases that cannot be asked here, and why.
const UNASKED: &[(&str, &str)] = &[
    ("fix1863/is defined", "asks for all of `data`, where the question itself stands"),
    ("topdowndynamicdispatch/dynamic dispatch", "asks below any package, where the question itself stands"),
    ("time/time caching", "calls a builtin that only OPA's own tests have"),
];

/// Cases whose answer is another one, and why. One that has OPA's answer must leave this list.
const OTHERWISE: &[(&str, &str)] = &[
    (
        "data/nested integer",
        "an index of a base document that is a number, and a text in it: the gate's data has none",
    ),
    ("defaultkeyword/function with var arg", "asks for a package that holds nothing but a function"),
    (
        "defaultkeyword/function with var arg, ref head",
        "asks for a package that holds nothing but a function",
    ),
    ("refheads/general, set leaf, deep query", "asks below a set by a variable"),
    ("sprintf/float/exponent", "1e2 is a number without its text here, and an integer"),
    ("globmatch/empty pattern alternative", "an error, which says to write two globs"),
];

/// A case, as `opa cases` tells it.
#[derive(Debug, Deserialize)]
struct Case {
    file: String,
    note: String,
    query: String,
    modules: Option<Vec<String>>,
    data: Option<Box<RawValue>>,
    data_value: Json,
    /// `null` where it is absent.
    input: Box<RawValue>,
    input_term: String,
    input_value: Json,
    want_result: Option<Vec<BTreeMap<String, Json>>>,
    wants_result: bool,
    strict: bool,
    experimental: bool,
}

/// What came of a case.
enum Came {
    /// It is no Rego v1.
    OldRego,
    /// It does not load, and why.
    Refused(String),
    Same,
    /// On an engine: OPA's answer and ours.
    Differs(Vec<(&'static str, Answer, Answer)>),
}

/// The suite's folder in the module cache.
fn folder() -> PathBuf {
    let mut list = Command::new("go");
    list.args(["list", "-mod=readonly", "-m", "-f", "{{.Dir}}", "github.com/open-policy-agent/opa"]);
    let said = list.current_dir(root().join("tests/controlplane/opa")).output().unwrap();
    assert!(said.status.success(), "go list: {}", String::from_utf8_lossy(&said.stderr));
    PathBuf::from(String::from_utf8(said.stdout).unwrap().trim()).join("v1/test/cases/testdata")
}

fn cases(tool: &Path, folder: &Path) -> Vec<Case> {
    let said = Command::new(tool).arg("cases").arg(folder).output().unwrap();
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    let lines = String::from_utf8(said.stdout).unwrap();
    lines.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"))).collect()
}

impl Case {
    /// Its modules and what is asked: the rule itself where the query is `data.package.rule = x`, else a rule made of the
    /// query. The second says whether it is the former.
    fn program(&self) -> (Program, bool) {
        let modules = self.modules.iter().flatten().enumerate();
        let mut program = Program {
            modules: modules
                .map(|(at, text)| Module { path: format!("test-{at}.rego"), text: text.clone() })
                .collect(),
            data: self.data.clone(),
            input_term: self.input_term.clone(),
            experimental: self.experimental,
            ..Program::default()
        };
        if let Some((package, rule)) = self.asks_a_rule() {
            program.package = package;
            program.entries = vec![Box::leak(rule.into_boxed_str())];
            return (program, true);
        }
        let names: BTreeSet<&String> = self.want_result.iter().flatten().flat_map(BTreeMap::keys).collect();
        let bindings: Vec<String> = names.iter().map(|name| format!("\"{name}\": {name}")).collect();
        let text = format!(
            "package conformance_query\n\nanswer contains {{{}}} if {{\n{}\n}}\n",
            bindings.join(", "),
            self.query
        );
        program.modules.insert(0, Module { path: "query.rego".to_owned(), text });
        program.package = "data.conformance_query".to_owned();
        program.entries = vec!["answer"];
        (program, false)
    }

    fn asks_a_rule(&self) -> Option<(String, String)> {
        let (path, variable) = self.query.split_once(" = ")?;
        let name =
            |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        let parts: Vec<&str> = path.split('.').collect();
        let (rule, package) = parts.split_last()?;
        if !name(variable.trim()) || package.first() != Some(&"data") || !parts.iter().all(|part| name(part))
        {
            return None;
        }
        let line = format!("package {}", package.get(1..)?.join("."));
        let holds = |text: &String| {
            text.lines().any(|found| found.trim() == line)
                && text.lines().any(|found| {
                    let found = found.strip_prefix("default ").unwrap_or(found);
                    found.strip_prefix(rule).is_some_and(|rest| rest.starts_with([' ', ':']))
                })
        };
        self.modules.iter().flatten().any(holds).then(|| (package.join("."), (*rule).to_owned()))
    }

    /// Whether what OPA told is what its suite wants, so that the case is asked as it is meant.
    fn is_wanted(&self, told: &Told, direct: bool) -> bool {
        if !self.wants_result {
            let failed = matches!(&told.answer, Answer::Error(_));
            return failed || (self.strict && !told.failed.is_empty());
        }
        let rows = self.want_result.iter().flatten();
        let wanted: BTreeSet<Plain> = rows
            .map(|row| {
                let pairs = row.iter().map(|(name, value)| (Plain::Text(name.clone()), Plain::read(value)));
                Plain::Object(pairs.collect()).flat()
            })
            .collect();
        let got: BTreeSet<Plain> = match &told.answer {
            Answer::Undefined => BTreeSet::new(),
            Answer::Value(value) if direct => {
                let name = self.query.rsplit(' ').next().unwrap_or_default().trim();
                [Plain::Object([(Plain::Text(name.to_owned()), value.clone())].into()).flat()].into()
            }
            Answer::Value(Plain::Set(rows)) => rows.iter().map(Plain::flat).collect(),
            _ => return false,
        };
        got == wanted
    }

    fn run(&self, opa: &mut Opa, unasked: &mut Vec<String>) -> Came {
        let (program, direct) = self.program();
        let inputs = if self.input_term.is_empty() { vec![self.input.clone()] } else { Vec::new() };
        let told = match opa.ask(&program, &inputs) {
            Ok(mut told) => told.remove(0).remove(0),
            Err(_) if self.file.starts_with("v0/") => return Came::OldRego,
            Err(refused) => {
                unasked.push(format!("{}: {}: {}", self.file, self.note, refused.message));
                return Came::OldRego;
            }
        };
        if !self.is_wanted(&told, direct) && !self.file.starts_with("v0/") {
            unasked.push(format!("{}: {}: OPA says {}", self.file, self.note, told.answer));
        }
        let loaded = match ours::load(&program) {
            Ok(loaded) => loaded,
            Err(message) => return Came::Refused(reason(&message)),
        };
        let document = |json: &Json| match json {
            Json::Null => Value::new_object(),
            json => Plain::read(json).value(),
        };
        let absent = self.input.get() == "null" && self.input_term.is_empty();
        let input = if absent { Value::Undefined } else { Plain::read(&self.input_value).value() };
        let mut engines = vec![("interpreter", &loaded.interpreter)];
        if loaded.chosen.fallback().is_none() {
            engines.push(("machine", &loaded.chosen));
        }
        let answers = engines.into_iter().map(|(name, engine)| {
            (name, told.answer.clone(), ours::answer(engine, 0, &input, &document(&self.data_value)))
        });
        let wrong = answers.filter(|(.., ours)| relation(&told, ours) == Relation::Differs);
        let wrong: Vec<_> = wrong.collect();
        if wrong.is_empty() { Came::Same } else { Came::Differs(wrong) }
    }
}

/// A message on one line of bounded length.
fn reason(message: &str) -> String {
    message.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(200).collect()
}

/// The refused cases that are known: file and reason → count.
type Refused = BTreeMap<(String, String), usize>;

fn known() -> Refused {
    let text = std::fs::read_to_string(file()).unwrap_or_default();
    let mut known = Refused::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let parts: Vec<&str> = line.split('\t').collect();
        let [file, count, reason] = parts[..] else { panic!("refused.tsv: `{line}` has no three columns") };
        known.insert((file.to_owned(), reason.to_owned()), count.parse().unwrap());
    }
    known
}

fn file() -> PathBuf {
    root().join("tests/it/opa/refused.tsv")
}

fn write(refused: &Refused) {
    let mut text =
        "# Cases of OPA's conformance suite that do not load: file, how many, the message.\n".to_owned();
    for ((file, reason), count) in refused {
        writeln!(text, "{file}\t{count}\t{reason}").unwrap();
    }
    std::fs::write(file(), text).unwrap();
}

#[test]
fn the_conformance_suite_of_opa_has_the_answers_of_opa() {
    let Some(tool) = tool() else { return };
    let started = Instant::now();
    let mut opa = Opa::start(&tool);
    let (mut refused, mut different, mut unasked) = (Refused::new(), Vec::new(), Vec::new());
    let (mut old, mut same) = (0, 0);
    let mut stale: BTreeSet<&str> = OTHERWISE.iter().map(|(note, _)| *note).collect();
    for version in ["v1", "v0"] {
        for mut case in cases(&tool, &folder().join(version)) {
            case.file = format!("{version}/{}", case.file);
            if UNASKED.iter().any(|(note, _)| *note == case.note) {
                continue;
            }
            match case.run(&mut opa, &mut unasked) {
                Came::OldRego => old += 1,
                Came::Refused(why) => *refused.entry((case.file, why)).or_default() += 1,
                Came::Same => same += 1,
                Came::Differs(_) if OTHERWISE.iter().any(|(note, _)| *note == case.note) => {
                    stale.remove(case.note.as_str());
                }
                Came::Differs(engines) => {
                    for (engine, opa, ours) in engines {
                        let name = format!("{}: {}", case.file, case.note);
                        different.push(format!("{name}: {engine}\n  OPA:  {opa}\n  ours: {ours}"));
                    }
                }
            }
        }
    }
    let count: usize = refused.values().sum();
    eprintln!(
        "{same} cases have OPA's answer, {} answers differ, {count} do not load, {old} are no Rego v1; {:.1?}",
        different.len(),
        started.elapsed()
    );
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        write(&refused);
    }
    eprintln!("{}", different.join("\n"));
    assert!(unasked.is_empty(), "these are not asked as they are meant:\n{}", unasked.join("\n"));
    assert_eq!(
        refused,
        known(),
        "tests/it/opa/refused.tsv is not what does not load; UPDATE_GOLDEN=1 writes it"
    );
    assert_eq!(count, REFUSED_MAX, "REFUSED_MAX is the number of cases that do not load; it only falls");
    assert!(stale.is_empty(), "have OPA's answer, or are gone: {stale:?}");
    assert!(different.is_empty(), "{} answers differ", different.len());
}
