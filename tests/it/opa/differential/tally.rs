//! A run over random policies: what was compared and how it came out.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use fastrand::Rng;
use portcullis_policy::Value;
use portcullis_rego::Compiled;
use serde_json::Value as Json;
use serde_json::value::RawValue;

use super::opa::{Opa, Refused, Told};
use super::ours::Ours;
use super::random::{Policy, object};
use super::shrink::shrink;
use super::{Answer, Program, Relation, compare, ours};

/// Objects a policy.
pub const OBJECTS: usize = 16;

/// The engines by name.
const ENGINES: [&str; 2] = ["machine", "interpreter"];

/// What came of a run.
#[derive(Debug, Default)]
pub struct Tally {
    pub policies: usize,
    pub pairs: usize,
    /// Policies that OPA does not compile, by its word for why.
    pub refused_by_opa: BTreeMap<String, usize>,
    /// Policies that OPA compiles and we do not load, by message.
    pub refused: BTreeMap<String, usize>,
    /// Policies on the interpreter, by the reason.
    pub fallbacks: BTreeMap<String, usize>,
    /// Answers of single rules.
    pub relations: BTreeMap<(&'static str, Relation), usize>,
    /// Our errors, by message.
    pub failures: BTreeMap<(Relation, String), usize>,
    /// Pairs that differ on either engine.
    pub different: usize,
    /// How many differences were made small.
    pub shrunk: usize,
    /// Those, one of a form; how many there were of it, and one of them.
    pub shown: BTreeMap<String, (usize, String)>,
}

/// What a run compares.
pub struct Run<'a> {
    pub tool: &'a Path,
    /// Says all policies and objects.
    pub seed: u64,
    pub pairs: usize,
    /// Differences that are made small, which takes up to a second each; the rest is counted.
    pub shrunk: usize,
    /// Policies that hold one of these texts are left out, to see what differs besides.
    pub without: Vec<String>,
}

impl Run<'_> {
    /// Compares on as many threads as there are processors, while `go_on` holds.
    pub fn tally(&self, go_on: impl Fn() -> bool + Sync) -> Tally {
        let (next, tally) = (AtomicUsize::new(0), Mutex::new(Tally::default()));
        let enough = || tally.lock().expect("no thread panicked").pairs >= self.pairs;
        std::thread::scope(|scope| {
            for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
                scope.spawn(|| {
                    let mut opa = Opa::start(self.tool);
                    loop {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        if enough() || !go_on() {
                            break;
                        }
                        self.one(&mut opa, number, &tally);
                    }
                });
            }
        });
        tally.into_inner().expect("no thread panicked")
    }

    fn full(&self, tally: &Mutex<Tally>) -> bool {
        tally.lock().expect("no thread panicked").shrunk >= self.shrunk
    }

    /// The policy of this number of a seed, on its objects.
    fn one(&self, opa: &mut Opa, number: usize, tally: &Mutex<Tally>) {
        let mut rng = Rng::with_seed(
            self.seed.wrapping_mul(0x2545_f491_4f6c_dd1d)
                ^ (number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15),
        );
        let policy = Policy::random(&mut rng);
        let text = policy.tree.to_string();
        // OPA 1.22.0 takes the place of a body that is `not true` alone (`isEmptyBody` looks at the term, not at the sign).
        if text.contains("not true") || self.without.iter().any(|part| text.contains(part)) {
            return;
        }
        let inputs: Vec<Json> = (0..OBJECTS).map(|_| object(&mut rng)).collect();
        let mut own = Tally { policies: 1, ..Tally::default() };
        let program = policy.program();
        match (opa.ask(&program, &inputs.iter().map(raw).collect::<Vec<_>>()), ours::load(&program)) {
            (Err(refused), _) => *own.refused_by_opa.entry(reason(&refused)).or_default() += 1,
            (Ok(_), Err(message)) => {
                let why = class(&message);
                if self.shrunk > 0 && !tally.lock().expect("no thread panicked").refused.contains_key(&why) {
                    own.shown.insert(why.clone(), (1, refused(opa, &policy, &why)));
                }
                *own.refused.entry(why).or_default() += 1;
            }
            (Ok(told), Ok(loaded)) => {
                own.pairs = inputs.len();
                let mut engines = vec![(1, &loaded.interpreter)];
                match loaded.chosen.fallback() {
                    Some(why) => *own.fallbacks.entry(class(why)).or_default() += 1,
                    None => engines.push((0, &loaded.chosen)),
                }
                let quiet = OnceCell::new();
                let quiet = || quiet.get_or_init(|| ours::load(&without_findings(&program)).ok());
                let values: Vec<Value> = inputs.iter().map(|input| Value::from(input.clone())).collect();
                let mut different = vec![false; inputs.len()];
                for (engine, compiled) in engines {
                    let found = own.count(engine, compiled, &quiet, &values, &told);
                    let differs = found.iter().filter(|(.., relation)| *relation == Relation::Differs);
                    differs.for_each(|(at, ..)| different[*at] = true);
                    // One of a policy is enough to look at.
                    let full = self.full(tally);
                    if let Some((at, entry, ours, relation)) = found.first().filter(|_| !full) {
                        let signs = (sign(&told[*at][*entry].answer), sign(ours));
                        let name = policy.entries[*entry];
                        let seen = Seen { engine, relation: *relation, name, signs, number };
                        let (form, text) = seen.shown(opa, &policy, &inputs[*at]);
                        own.shown.insert(form, (1, text));
                        own.shrunk += 1;
                    }
                }
                own.different = different.iter().filter(|is| **is).count();
            }
        }
        tally.lock().expect("no thread panicked").add(own);
    }
}

/// The same program with names of rules that are asked for no findings.
fn without_findings(program: &Program) -> Program {
    let other = |name: &str| {
        [("deny", "d_ny"), ("warn", "w_rn")]
            .iter()
            .fold(name.to_owned(), |text, (from, to)| text.replace(from, to))
    };
    let mut program = program.clone();
    program.modules.iter_mut().for_each(|module| module.text = other(&module.text));
    for entry in &mut program.entries {
        *entry = match *entry {
            "deny" => "d_ny",
            "warn" => "w_rn",
            other => other,
        };
    }
    program
}

fn raw(input: &Json) -> Box<RawValue> {
    serde_json::value::to_raw_value(input).expect("a document is JSON")
}

/// Answers to look at: of which object and rule.
type Found = Vec<(usize, usize, Answer, Relation)>;

impl Tally {
    fn count<'q>(
        &mut self,
        engine: usize,
        compiled: &Compiled,
        quiet: &dyn Fn() -> &'q Option<Ours>,
        values: &[Value],
        told: &[Vec<Told>],
    ) -> Found {
        let (mut found, data) = (Vec::new(), Value::new_object());
        for (at, entry, answer, mut relation) in compare(compiled, &data, values, told) {
            // OPA drops a finding whose text is undefined: without our error, both must find the same.
            if relation == Relation::UndefinedText {
                let same = quiet().as_ref().is_some_and(|quiet| {
                    let engine = [&quiet.chosen, &quiet.interpreter][engine];
                    let answer = ours::answer(engine, entry, &values[at], &data);
                    super::relation(&told[at][entry], &answer) != Relation::Differs
                });
                relation = if same { relation } else { Relation::Differs };
            }
            *self.relations.entry((ENGINES[engine], relation)).or_default() += 1;
            if let Answer::Error(error) = &answer {
                *self.failures.entry((relation, class(error))).or_default() += 1;
            }
            if matches!(relation, Relation::Differs | Relation::Unnoticed) {
                found.push((at, entry, answer, relation));
            }
        }
        found.sort_by_key(|(.., relation)| *relation != Relation::Differs);
        found
    }

    fn add(&mut self, other: Self) {
        fn all<K: Ord>(into: &mut BTreeMap<K, usize>, from: BTreeMap<K, usize>) {
            from.into_iter().for_each(|(key, count)| *into.entry(key).or_default() += count);
        }
        self.policies += other.policies;
        self.pairs += other.pairs;
        self.different += other.different;
        all(&mut self.refused_by_opa, other.refused_by_opa);
        all(&mut self.refused, other.refused);
        all(&mut self.fallbacks, other.fallbacks);
        all(&mut self.relations, other.relations);
        all(&mut self.failures, other.failures);
        self.shrunk += other.shrunk;
        for (form, (count, text)) in other.shown {
            self.shown.entry(form).or_insert((0, text)).0 += count;
        }
    }

    /// Pairs that differ, and answers of rules that hide a failing builtin.
    pub fn wrong(&self) -> usize {
        self.different
    }

    /// Policies that OPA compiled.
    pub fn compiled(&self) -> usize {
        self.policies - self.refused_by_opa.values().sum::<usize>()
    }

    /// Policies that we load too.
    pub fn loaded(&self) -> usize {
        self.compiled() - self.refused.values().sum::<usize>()
    }

    /// Policies that ran on the register machine.
    pub fn on_the_machine(&self) -> usize {
        self.loaded() - self.fallbacks.values().sum::<usize>()
    }
}

/// OPA's word for the kind of error, and the first it says.
fn reason(refused: &Refused) -> String {
    let first = refused.message.split(&refused.code).nth(1).unwrap_or_default();
    let first = first.lines().next().unwrap_or_default();
    let known = ["undefined ref", "invalid argument(s)"].into_iter().find(|known| first.contains(known));
    class(&format!("{}: {}", refused.code, known.unwrap_or(first.trim_start_matches([':', ' ']))))
}

/// So many of a hundred.
pub fn percent(part: usize, whole: usize) -> usize {
    part * 100 / whole.max(1)
}

/// A message without what is particular to one policy.
pub fn class(message: &str) -> String {
    let mut quoted = false;
    let mut out = String::new();
    for c in message.chars() {
        match c {
            '`' | '\'' | '"' => {
                quoted = !quoted;
                out.push(c);
            }
            _ if quoted => {}
            '0'..='9' if out.ends_with('#') => {}
            '0'..='9' => out.push('#'),
            _ => out.push(c),
        }
    }
    out.chars().take(140).collect()
}

/// Value, undefined or error.
fn sign(answer: &Answer) -> u8 {
    match answer {
        Answer::Value(_) => 0,
        Answer::Undefined => 1,
        Answer::Error(_) => 2,
    }
}

/// An answer to look at, which shrinking keeps as it is.
struct Seen {
    engine: usize,
    relation: Relation,
    name: &'static str,
    signs: (u8, u8),
    /// Of the policy.
    number: usize,
}

impl Seen {
    /// The same in the smallest program: the form of it, and how it is shown.
    fn shown(&self, opa: &mut Opa, policy: &Policy, input: &Json) -> (String, String) {
        let alone = Policy { entries: vec![self.name], ..policy.clone() };
        let mut last = None;
        let (small, input) = shrink(&alone, input, |policy, input| {
            let found = self.again(opa, policy, input);
            let same = found.as_ref().is_some_and(|(told, ours)| (sign(told), sign(ours)) == self.signs);
            if same {
                last = found;
            }
            same
        });
        let (told, ours) =
            last.map_or_else(Default::default, |(told, ours)| (told.to_string(), ours.to_string()));
        let (text, engine, number, name) =
            (small.tree.to_string(), ENGINES[self.engine], self.number, self.name);
        let shown = format!(
            "{:?}, policy {number}, {engine}, rule `{name}`:\n{text}\n# input {input}\n# OPA:  {told}\n# ours: {ours}\n",
            self.relation
        );
        (format!("{engine} {}", form(&text)), shown)
    }

    /// What both say where it is the same.
    fn again(&self, opa: &mut Opa, policy: &Policy, input: &Json) -> Option<(Answer, Answer)> {
        let program = policy.program();
        let told = opa.ask(&program, &[raw(input)]).ok()?;
        let loaded = ours::load(&program).ok()?;
        let compiled = match self.engine {
            0 if loaded.chosen.fallback().is_some() => return None,
            0 => &loaded.chosen,
            _ => &loaded.interpreter,
        };
        let values = [Value::from(input.clone())];
        let all = compare(compiled, &Value::new_object(), &values, &told);
        let (_, _, ours, _) = all.into_iter().find(|(.., relation)| *relation == self.relation)?;
        Some((told[0][0].answer.clone(), ours))
    }
}

/// A program without its names, numbers and texts.
fn form(text: &str) -> String {
    let mut words: Vec<String> = vec![String::new()];
    for c in text.chars() {
        let last = words.last_mut().expect("there is one");
        let inside = last.chars().next().is_some_and(|first| first.is_alphanumeric() || first == '"');
        if (c.is_alphanumeric() || matches!(c, '_' | '.' | '"')) && inside {
            last.push(c);
        } else if !c.is_whitespace() {
            words.push(c.to_string());
        } else {
            words.push(String::new());
        }
    }
    let plain = |word: String| match word.chars().next() {
        Some('"' | '0'..='9') => "1".to_owned(),
        Some('v' | 'r' | 'f') if word.chars().skip(1).any(|c| c.is_ascii_digit()) => word[..1].to_owned(),
        _ if word.starts_with("input") => "input".to_owned(),
        _ if matches!(word.as_str(), "true" | "null" | "false" | "-") => "1".to_owned(),
        _ if matches!(word.as_str(), "deny" | "warn") => "r".to_owned(),
        _ => word,
    };
    words.into_iter().filter(|word| !word.is_empty()).map(plain).collect::<Vec<_>>().join(" ")
}

/// The smallest policy that OPA compiles and that we refuse for the same reason.
fn refused(opa: &mut Opa, policy: &Policy, why: &str) -> String {
    let (small, _) = shrink(policy, &Json::Null, |policy, _| {
        let program = policy.program();
        ours::load(&program).err().is_some_and(|message| class(&message) == why)
            && opa.ask(&program, &[]).is_ok()
    });
    let message = ours::load(&small.program()).err().unwrap_or_default();
    format!("does not load:\n{}\n# ours: {message}\n", small.tree)
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} pairs of {} policies, of which {} % run on the register machine; {} pairs differ\n  \
             of {} policies OPA does not compile {}, and of the rest {} do not load",
            self.pairs,
            self.loaded(),
            percent(self.on_the_machine(), self.loaded()),
            self.different,
            self.policies,
            self.policies - self.compiled(),
            self.compiled() - self.loaded()
        )?;
        for (what, counts) in [
            ("OPA does not compile", &self.refused_by_opa),
            ("does not load", &self.refused),
            ("on the interpreter", &self.fallbacks),
        ] {
            counts.iter().try_for_each(|(why, count)| writeln!(f, "  {what}: {count}: {why}"))?;
        }
        for ((engine, relation), count) in &self.relations {
            writeln!(f, "  {engine}: {relation:?}: {count}")?;
        }
        for ((relation, why), count) in &self.failures {
            writeln!(f, "  fails at run time, {relation:?}: {count}: {why}")?;
        }
        self.shown.values().try_for_each(|(count, shown)| writeln!(f, "\n{count} of this form: {shown}"))
    }
}
