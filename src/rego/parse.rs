//! Parses modules with the engine. Before its parser reads a module, brackets and expressions are bounded, imports that it
//! refuses are blanked, and clauses without a value get one; offsets in the syntax tree are those of the module.

use std::num::{NonZeroU32, NonZeroUsize};

use regorus::PolicyLengthConfig;
use serde_json::Value as Json;

use crate::bounds::string_end;
use crate::source::{Module, Problem};
use crate::syntax::{location, names};

/// Limits of the engine's parser: several times those of a file of a bundle.
const LENGTHS: PolicyLengthConfig = PolicyLengthConfig {
    max_col: NonZeroU32::new(1 << 24).unwrap(),
    max_file_bytes: NonZeroUsize::new(16 << 20).unwrap(),
    max_lines: NonZeroUsize::new(1 << 20).unwrap(),
};

/// An engine with the modules, Rego v1, failing builtins being errors.
pub(crate) fn load(modules: &[&Module]) -> Result<regorus::Engine, Problem> {
    let mut engine = regorus::Engine::new();
    engine.set_rego_v0(false);
    engine.set_strict_builtin_errors(true);
    // Files are bounded where they are read; the normal form of a list is one long line.
    engine.set_policy_length_config(LENGTHS);
    for module in modules {
        check_size(module)?;
        engine
            .add_policy(module.path.clone(), completed(&blank_imports(module)?).0)
            .map_err(|error| Problem::from_engine(&module.path, &format!("{error:#}")))?;
    }
    Ok(engine)
}

pub(crate) fn tree(module: &Module) -> Result<Json, Problem> {
    let mut engine = load(&[module]).map_err(|problem| problem.with_source_column(&module.text))?;
    let read = engine.get_modules().first().ok_or_else(|| Problem::of(&module.path, "is not a module"))?;
    // Not through the engine's JSON text, which takes megabytes for a long module.
    let mut ast =
        serde_json::to_value(read.as_ref()).map_err(|error| Problem::of(&module.path, error.to_string()))?;
    let (_, offsets) = completed(&module.text);
    if !offsets.is_empty() {
        as_before(&mut ast, &offsets);
    }
    check_imports(module, &ast).map_err(|problem| problem.with_source_column(&module.text))?;
    Ok(ast)
}

/// Levels of `[` and `{`. A CronJob in the input of a test needs fifteen. The parser takes twice as long for each level, a
/// minute for twenty.
const MAX: usize = 16;

/// Operators, dots and brackets of one expression; `a + b.c[0]` has three. The stack overflows at a thousand.
const LINKS_MAX: usize = 256;

/// The kind of source at a character.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Region {
    Code,
    Comment,
    /// `"…"`, and whether the previous character is an escaping backslash.
    Text(bool),
    /// `` `…` ``, without escapes.
    Raw,
}

/// Checks the nesting of brackets and the length of expressions.
fn check_size(module: &Module) -> Result<(), Problem> {
    let (mut within, mut depth, mut line, mut column) = (Region::Code, 0_usize, 1, 0);
    let mut links = Links::default();
    for letter in module.text.chars() {
        column += 1;
        within = match (within, letter) {
            (Region::Comment, '\n') | (Region::Text(false), '"') | (Region::Raw, '`') => Region::Code,
            (Region::Text(escaped), _) => Region::Text(!escaped && letter == '\\'),
            (Region::Code, '#') => Region::Comment,
            (Region::Code, '"') => Region::Text(false),
            (Region::Code, '`') => Region::Raw,
            (same, _) => same,
        };
        match letter {
            '\n' => (line, column) = (line + 1, 0),
            '[' | '{' if within == Region::Code => depth += 1,
            ']' | '}' if within == Region::Code => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > MAX {
            let message = format!(
                "brackets are nested more than {MAX} levels deep; assign an inner part to a variable"
            );
            return Err(Problem::at(&module.path, line, column, message));
        }
        links.see(letter, within);
        if links.count > LINKS_MAX {
            let message = format!(
                "an expression has more than {LINKS_MAX} operators and steps; assign a part of it to a variable, or iterate over an array"
            );
            return Err(Problem::at(&module.path, line, column, message));
        }
    }
    Ok(())
}

/// Counts the operators and steps of the current expression.
#[derive(Default)]
struct Links {
    count: usize,
    /// A line ended after what may be the end of an expression.
    ended: bool,
    last: char,
}

impl Links {
    fn see(&mut self, letter: char, within: Region) {
        let operator = |letter| "+-*/%|&<>=!".contains(letter);
        match letter {
            '\n' if within != Region::Raw => self.ended = !operator(self.last) && !"([{,".contains(self.last),
            _ if within != Region::Code || letter.is_whitespace() => return,
            ',' | ';' | ':' => self.count = 0,
            _ => {
                if std::mem::take(&mut self.ended) && !operator(letter) && letter != '[' {
                    self.count = 0;
                }
                self.count += usize::from(operator(letter) || letter == '.' || letter == '[');
            }
        }
        if !letter.is_whitespace() {
            self.last = letter;
        }
    }
}

const TRUE: &str = " := true";

/// Keywords before an expression.
const BEFORE_EXPRESSIONS: &[&str] =
    &["default", "else", "if", "in", "not", "as", "with", "contains", "import", "package"];

/// Adds a value to clauses of functions without value and body, `f("x", _)`, which the engine does not parse (regorus
/// 0.14.1, `parser.rs`, `parse_rule`). Returns the source and the offsets of the additions.
fn completed(text: &str) -> (String, Vec<usize>) {
    let (mut out, mut offsets, mut done) = (String::with_capacity(text.len()), Vec::new(), 0);
    let tokens: Vec<(usize, &str)> = Tokens { text, at: 0 }.collect();
    let mut depth = 0_usize;
    // Inside the parentheses of its arguments.
    let mut clause = false;
    for (at, (start, token)) in tokens.iter().enumerate() {
        let before =
            |back: usize| at.checked_sub(back).and_then(|at| tokens.get(at)).map(|(_, token)| *token);
        match *token {
            "(" if depth == 0 && before(1).is_some_and(is_name) && before(2).is_none_or(ends_a_rule) => {
                clause = true;
                depth += 1;
            }
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 && *token == ")" && std::mem::take(&mut clause) {
            let next = tokens.get(at + 1).map(|(_, token)| *token);
            let empty = before(1) == Some("(");
            if !empty && next.is_none_or(|next| is_name(next) && !["if", "contains", "else"].contains(&next))
            {
                let end = start + 1;
                out.push_str(text.get(done..end).unwrap_or_default());
                out.push_str(TRUE);
                offsets.push(end);
                done = end;
            }
        }
    }
    out.push_str(text.get(done..).unwrap_or_default());
    (out, offsets)
}

/// Converts the offsets in the syntax tree of a completed module to those of its source.
fn as_before(tree: &mut Json, offsets: &[usize]) {
    let added: Vec<usize> = offsets.iter().enumerate().map(|(at, offset)| offset + at * TRUE.len()).collect();
    move_back(tree, &added);
}

fn move_back(node: &mut Json, added: &[usize]) {
    match node {
        Json::Array(items) => items.iter_mut().for_each(|item| move_back(item, added)),
        Json::Object(map) => {
            for (key, value) in map.iter_mut() {
                match value.as_u64().and_then(|offset| usize::try_from(offset).ok()) {
                    Some(offset) if key == "start" || key == "end" => {
                        *value = Json::from(before(offset, added));
                    }
                    _ => move_back(value, added),
                }
            }
        }
        _ => {}
    }
}

/// The offset in the source; the offset of an addition for offsets inside of it.
fn before(offset: usize, added: &[usize]) -> usize {
    let count = added.partition_point(|start| *start < offset);
    let within =
        added.get(count.wrapping_sub(1)).map_or(0, |start| (start + TRUE.len()).saturating_sub(offset));
    offset + within - count * TRUE.len()
}

fn is_name(token: &str) -> bool {
    token.starts_with(|first: char| first.is_alphanumeric() || first == '_')
}

fn ends_a_rule(token: &str) -> bool {
    matches!(token, ")" | "]" | "}")
        || token.starts_with(['"', '`'])
        || (is_name(token) && !BEFORE_EXPRESSIONS.contains(&token))
}

/// Tokens with offsets: a dotted name is one token, comments and space are skipped.
struct Tokens<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Iterator for Tokens<'t> {
    type Item = (usize, &'t str);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let rest = self.text.get(self.at..)?;
            let first = rest.chars().next()?;
            let length = match first {
                '#' => rest.find('\n').unwrap_or(rest.len()),
                '"' => string_end(rest),
                '`' => rest.get(1..)?.find('`').map_or(rest.len(), |end| end + 2),
                c if c.is_alphanumeric() || c == '_' => rest
                    .find(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | '.')))
                    .unwrap_or(rest.len()),
                c => c.len_utf8(),
            };
            let start = self.at;
            self.at += length;
            if first != '#' && !first.is_whitespace() {
                return Some((start, rest.get(..length)?));
            }
        }
    }
}

/// Imports without effect in Rego v1.
const IMPLIED: &[&str] = &[
    "rego.v1",
    "future.keywords.contains",
    "future.keywords.every",
    "future.keywords.if",
    "future.keywords.in",
];

/// Imports that make `not` hold for an undefined expression (OPA 1.22, `v1/ast/compile.go`).
const NEGATING: &[&str] = &["future.keywords", "future.keywords.not", "rego.v2"];

/// All keywords. The engine refuses it beside `future.keywords.in` as a duplicate.
const ALL: &str = "future.keywords";
/// Replaces it for the engine. It is shorter, so offsets stay.
const WRITTEN: &str = "import rego.v2";

/// Whether an import changes the meaning of `not`.
pub(crate) fn negates(path: &[String]) -> bool {
    NEGATING.contains(&path.join(".").as_str())
}

/// Blanks the imports without effect, because the engine refuses two that name one keyword. Offsets stay. Refuses an
/// import that is repeated or unknown.
fn blank_imports(module: &Module) -> Result<String, Problem> {
    let mut text = String::with_capacity(module.text.len());
    let mut seen: Vec<&str> = Vec::new();
    let mut head = true;
    for (at, line) in module.text.split_inclusive('\n').enumerate() {
        let code = line.split('#').next().unwrap_or_default();
        let mut words = code.split_whitespace();
        let (first, path) = (words.next(), words.next().unwrap_or_default());
        // Imports come before rules; after the first rule, such a line is part of a raw string.
        head &= matches!(first, None | Some("package" | "import"));
        let number = u32::try_from(at + 1).unwrap_or(u32::MAX);
        let ours = path.starts_with("rego.") || path.starts_with("future.");
        if !head || first != Some("import") || !ours || (NEGATING.contains(&path) && path != ALL) {
            text.push_str(line);
            continue;
        }
        if !IMPLIED.contains(&path) && path != ALL {
            return Err(unknown(module, (number, 1), path));
        }
        match words.next() {
            Some("as") => return Err(named(module, (number, 1), path)),
            Some(_) => {
                text.push_str(line);
                continue;
            }
            None if seen.contains(&path) => {
                let twice = format!("`import {path}` appears twice; remove one");
                return Err(Problem::at(&module.path, number, 1, twice));
            }
            None => {}
        }
        seen.push(path);
        let width = code.trim_end().len();
        let written = if path == ALL { WRITTEN } else { "" };
        text.push_str(written);
        text.push_str(&" ".repeat(width.saturating_sub(written.len())));
        text.push_str(line.get(code.trim_end().len()..).unwrap_or_default());
    }
    Ok(text)
}

/// Refuses imports of unknown versions and keywords.
fn check_imports(module: &Module, ast: &Json) -> Result<(), Problem> {
    for import in ast.get("imports").and_then(Json::as_array).into_iter().flatten() {
        let Some(path) = import.get("refr").and_then(names) else { continue };
        if !matches!(path.first().map(String::as_str), Some("rego" | "future")) {
            continue;
        }
        let path = path.join(".");
        let (line, column) = location(import);
        if import.get("as").is_some_and(|alias| !alias.is_null()) {
            return Err(named(module, (line, column), &path));
        }
        if ![IMPLIED, NEGATING].concat().contains(&path.as_str()) {
            return Err(unknown(module, (line, column), &path));
        }
    }
    Ok(())
}

fn named(module: &Module, (line, column): (u32, u32), path: &str) -> Problem {
    let what = format!("`import {path}` cannot have an alias; remove `as …`");
    Problem::at(&module.path, line, column, what)
}

fn unknown(module: &Module, (line, column): (u32, u32), path: &str) -> Problem {
    let known = [IMPLIED, NEGATING].concat().join(", ");
    Problem::at(
        &module.path,
        line,
        column,
        format!("`import {path}` is not supported; supported are {known}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: String, expected: Option<&str>) {
        let module = Module { path: "p.rego".to_owned(), text };
        let message = check_size(&module).err().map(|problem| problem.to_string());
        assert_eq!(message.as_deref(), expected, "{}", module.text);
    }

    #[test]
    fn long_expression_is_refused() {
        let refused = |line: &str| {
            format!(
                "p.rego:{line}: an expression has more than 256 operators and steps; assign a part of it to a variable, or iterate over an array"
            )
        };
        for (chain, location) in
            [("1 +\n", "257:3"), ("(1)\n- ", "258:1"), ("{1}|\n", "257:4"), ("a.", "2:517")]
        {
            let text = |count: usize| format!("package p\nx := {}1\n", chain.repeat(count));
            check(text(250), None);
            check(text(257), Some(&refused(location)));
        }
        // Each element, statement and string counts from zero.
        check(format!("package p\nx := [{}1]\n", "1 + 1, ".repeat(2000)), None);
        check(format!("package p\nx if {{\n{}}}\n", "input.a == 1\n".repeat(2000)), None);
        check(format!("package p\nx := \"{}\"\n", "+".repeat(2000)), None);
    }

    #[test]
    fn deeply_nested_brackets_are_refused() {
        let deep = |open: &str, count: usize| format!("package p\nx := {}", open.repeat(count));
        let refused = |location| {
            format!(
                "p.rego:2:{location}: brackets are nested more than 16 levels deep; assign an inner part to a variable"
            )
        };
        check(deep("[", 16), None);
        check(deep("[", 17), Some(&refused(22)));
        check(deep("[{", 9), Some(&refused(22)));
        check(deep("[]{}", 40), None);
        for text in [
            "# [[[[[[[[[[[[[[[[[[[[",
            "x := \"[[[[[[[[[[[[[[[[\\\"[[[[\"",
            "x := `[[[[[[[[[[[[[[[\\`",
            "]]]] [[[[[[[[[[[[[[[[",
        ] {
            check(format!("package p\n{text}\n"), None);
        }
        // After a comment or string, brackets count again.
        check(
            deep("# [\n\"[\"\n`[`\n[", 17),
            Some(
                "p.rego:53:1: brackets are nested more than 16 levels deep; assign an inner part to a variable",
            ),
        );
    }

    #[test]
    fn offsets_are_converted_to_the_source() {
        // `f(1)` and `g(2)`, each followed by ` := true`.
        let added = [4, 17];
        for (offset, expected) in
            [(0, 0), (4, 4), (5, 4), (11, 4), (12, 4), (13, 5), (17, 9), (18, 9), (25, 9), (26, 10)]
        {
            assert_eq!(before(offset, &added), expected, "{offset}");
        }
    }

    #[test]
    fn clauses_without_a_value_get_one() {
        for (text, offsets) in [
            ("f(1)", 1),
            ("f(1, _) # x\ng(2)\n", 2),
            ("f(\"a\",\n  \")\")\ng(x) := x\n", 1),
            ("package p\nimport data.x\nf(1)\ng([1, {\"a\": (2)}])\nx := 1", 2),
            ("x := f(1)\ny := 2", 0),
            ("x := 1 +\nf(1)\ny := 2", 0),
            ("p if f(1)\nq if\nf(2)\nr := 1", 0),
            ("p if {\nf(1)\ng(2)\n}", 0),
            ("default f(_) := 1", 0),
            ("f(1) if g(2)\nf(2) = 1\nf(3) := 1 else := f(1)\n", 0),
            ("s := `\nf(1)\n`\n", 0),
            ("p contains x if x in f(1)\nq := [f(1)]", 0),
        ] {
            let (completed, put) = completed(text);
            assert_eq!(put.len(), offsets, "{completed}");
            let mut tree = serde_json::json!({"start": completed.len(), "below": [{"end": completed.len()}]});
            as_before(&mut tree, &put);
            let expected = serde_json::json!({"start": text.len(), "below": [{"end": text.len()}]});
            assert_eq!(tree, expected, "{completed}");
        }
    }
}
