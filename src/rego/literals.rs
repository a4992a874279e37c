//! Arguments of builtins that are written out: of the wrong kind, a pattern that is none, a format that does not fit.
//!
//! Each would fail whenever the rule is asked, or say nothing; its author can be told at once.

use serde_json::Value as Json;

use super::analysis::Call;
use super::builtins;
use super::safety::Flaw;

/// What an argument is, where that is written out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Given {
    /// `a text`, `a number`, …
    kind: Option<&'static str>,
    /// The text.
    text: Option<String>,
    /// How many elements an array has.
    items: Option<usize>,
}

/// Kinds by the names that the tree has for them, with the letters of what takes them.
const KINDS: &[(&str, &str, &str)] = &[
    ("String", "a text", "sc*"),
    ("RawString", "a text", "sc*"),
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

impl Given {
    pub(super) fn of(node: &Json) -> Self {
        let kind = KINDS.iter().find(|(kind, ..)| node.get(kind).is_some());
        let text = ["String", "RawString"].iter().find_map(|kind| node.get(kind)?.get("value")?.as_str());
        Self {
            kind: kind.map(|(_, said, _)| *said),
            text: text.map(str::to_owned),
            items: node.pointer("/Array/items").and_then(Json::as_array).map(Vec::len),
        }
    }

    fn fits(&self, letter: char) -> bool {
        self.kind
            .is_none_or(|kind| KINDS.iter().any(|(_, said, fits)| *said == kind && fits.contains(letter)))
    }
}

/// What a letter of a signature says.
fn wanted(letter: char) -> &'static str {
    match letter {
        's' => "a text",
        'n' => "a number",
        'b' => "a boolean",
        'a' => "an array",
        'o' => "an object",
        't' => "a set",
        '@' => "an array or a set",
        _ => "a collection or a text",
    }
}

/// Judges the calls of builtins. A name that is a function of the module's own is judged by nobody here.
pub(super) fn check(calls: &[Call]) -> Vec<Flaw> {
    calls.iter().filter_map(|call| Some(Flaw { place: call.place, message: judge(call)? })).collect()
}

fn judge(call: &Call) -> Option<String> {
    let name = call.name.as_str();
    let takes = builtins::signature(name)?;
    for (at, (letter, given)) in takes.chars().zip(&call.given).enumerate() {
        if !given.fits(letter) {
            let kind = given.kind.unwrap_or_default();
            return Some(format!(
                "argument {} of `{name}` must be {}, and is {kind}",
                at + 1,
                wanted(letter)
            ));
        }
    }
    let text = |at: usize| call.given.get(at).and_then(|given| given.text.as_deref());
    match name {
        "sprintf" => format(text(0)?, call.given.get(1).and_then(|given| given.items)),
        "regex.match" | "regex.split" | "regex.find_n" => pattern(text(0)?),
        "regex.replace" => pattern(text(1)?),
        "glob.match" => glob(text(0)?),
        _ => None,
    }
}

fn pattern(text: &str) -> Option<String> {
    let refused = ask(&format!("regex.match({}, \"\")", Json::from(text)))?;
    let hint = if text.contains("(?") { "; look-around is not supported" } else { "" };
    Some(format!("`{text}` is no regular expression: {refused}{hint}"))
}

fn glob(text: &str) -> Option<String> {
    let refused = ask(&format!("glob.match({}, [], \"\")", Json::from(text)))?;
    Some(format!("`{text}` is no glob: {refused}"))
}

/// What the engine says against a query.
fn ask(query: &str) -> Option<String> {
    let mut engine = regorus::Engine::new();
    engine.set_strict_builtin_errors(true);
    let refused = engine.eval_query(query.to_owned(), false).err()?;
    let said = super::rvm::last_line(&format!("{refused:#}"));
    Some(said.trim_start_matches("error:").trim().to_owned())
}

/// Verbs that the engine writes.
const VERBS: &str = "svbcdoOxXeEfFgGq";

fn format(text: &str, given: Option<usize>) -> Option<String> {
    let (mut verbs, mut letters) = (0, text.chars());
    while let Some(letter) = letters.next() {
        if letter != '%' {
            continue;
        }
        let mut verb = letters.next();
        if verb == Some('%') {
            continue;
        }
        if verb.is_some_and(|letter| letter == '.' || letter.is_numeric()) {
            verb = letters.find(|letter| !letter.is_numeric());
        }
        if verb == Some('+') {
            verb = letters.next().filter(|letter| *letter == 'v').or(Some('+'));
        }
        match verb {
            Some('.') => {
                return Some("sprintf knows a width or a precision and not both, `%5s` or `%.2f`".to_owned());
            }
            Some(verb) if VERBS.contains(verb) => verbs += 1,
            Some(verb) => {
                return Some(format!(
                    "`%{verb}` is no verb of sprintf; write %s, %d, %v, or %% for a percent sign"
                ));
            }
            None => {
                return Some(
                    "the format of sprintf ends in the middle of a verb; write %% for a percent sign"
                        .to_owned(),
                );
            }
        }
    }
    let given = given.filter(|given| *given != verbs)?;
    let plural = if verbs == 1 { "" } else { "s" };
    Some(format!("the format of sprintf has {verbs} verb{plural}, and is given {given}"))
}
