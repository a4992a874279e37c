//! Every rule of a policy's package and its value, and what `print` said: on the interpreter, which can be asked for
//! any of them.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use crate::cli::law::Files;
use crate::cli::output::{CARE, FAINT};
use portcullis_admission::verdict::clip;
use portcullis_policy::{Bundle, Policy, Value};
use portcullis_rego::Module;
use portcullis_rego::analysis::{self, Form};
use portcullis_rego::any_rule::AnyRule;

/// Characters of a value.
const VALUE_MAX: usize = 400;

/// A law, ready to be looked into.
pub(super) struct Tracer(Bundle);

impl Tracer {
    /// Reads the law.
    ///
    /// # Errors
    /// It cannot be read.
    pub(super) fn new(files: &Files) -> anyhow::Result<Self> {
        Ok(Self(files.bundle()?))
    }

    /// The rules of a policy, in order, with their values.
    ///
    /// # Errors
    /// The engine refuses what it accepted before.
    pub(super) fn policy(&self, policy: &Policy, input: &Value, data: &Value) -> anyhow::Result<String> {
        let modules: Vec<&Module> = self.0.modules.iter().collect();
        let mut rules =
            AnyRule::new(&modules, data.clone()).map_err(|problem| anyhow::anyhow!("{problem}"))?;
        rules.input(input.clone());
        let (mut text, mut seen) = (String::new(), BTreeSet::new());
        let mut prints = BTreeSet::new();
        for module in &modules {
            let found = analysis::analyse(module).map_err(|problem| anyhow::anyhow!("{problem}"))?;
            if format!("data.{}", found.package.join(".")) != policy.package {
                continue;
            }
            for rule in found
                .rules
                .iter()
                .filter(|rule| rule.form != Form::Function && seen.insert(rule.path.clone()))
            {
                // A name with a variable cannot be evaluated; the rule above it can.
                let path = if rule.open { rule.path.get(..1).unwrap_or_default() } else { &rule.path };
                let name = path.join(".");
                let answer = rules.value(&module.path, format!("{}.{name}", policy.package));
                // For `m[k].z`, neither `m` nor the whole can be evaluated.
                if rule.open && answer.value.is_err() {
                    continue;
                }
                let value = answer
                    .value
                    .map_or_else(|problem| format!("failed: {}", problem.message), |value| shown(&value));
                let _ = writeln!(
                    text,
                    "    {FAINT}{}:{}{FAINT:#} {} = {}",
                    module.path,
                    rule.place.0,
                    name,
                    clip(&value, VALUE_MAX)
                );
                prints.extend(answer.prints);
            }
        }
        for line in prints {
            let _ = writeln!(text, "    {CARE}print{CARE:#} {}", clip(&line, VALUE_MAX));
        }
        Ok(text)
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::Undefined => "undefined".to_owned(),
        other => other.to_string(),
    }
}
