//! Heads that OPA takes and the engine does not, and the other way round (OPA 1.22.0, `v1/ast/parser.go`).

use serde_json::Value as Json;

use super::bounds::string_end;
use super::safety::Flaw;
use super::tree::{Step, chain};

/// Judges the rules of a module's tree.
pub(super) fn check(ast: &Json) -> Vec<Flaw> {
    let rules = ast.get("rules").and_then(Json::as_array).into_iter().flatten();
    rules.filter_map(judge).collect()
}

/// What an argument in a head may hold, besides lists and objects of it.
const ARGUMENTS: &[&str] =
    &["Array", "Bool", "Null", "Number", "Object", "RawString", "Set", "String", "Var"];

fn judge(rule: &Json) -> Option<Flaw> {
    let mut args = rule.pointer("/Spec/head/Func/args").and_then(Json::as_array).into_iter().flatten();
    if let Some(wrong) = args.find_map(computed) {
        let message = "an argument in a head is a name, a constant, or a list or an object of them; compute it in the body";
        return Some(Flaw::at(wrong, message.to_owned()));
    }
    let otherwise = rule.pointer("/Spec/bodies/1")?;
    let head = rule.pointer("/Spec/head")?;
    let name = ["Compr", "Func"].iter().find_map(|kind| head.get(*kind)?.get("refr"))?;
    let variable = chain(name).1.iter().any(|step| !matches!(step, Step::Name(_)));
    let message = "`else` cannot follow a rule with a variable in its name: write a function of the key, which may have one";
    variable.then(|| Flaw::at(otherwise, message.to_owned()))
}

/// The first part of an argument that is computed.
fn computed(arg: &Json) -> Option<&Json> {
    let (kind, inner) = arg.as_object()?.iter().next()?;
    let negative = kind == "UnaryExpr" && inner.pointer("/expr/Number").is_some();
    if !negative && !ARGUMENTS.contains(&kind.as_str()) {
        return Some(arg);
    }
    let items = inner.get("items").and_then(Json::as_array).into_iter().flatten();
    let fields = inner.get("fields").and_then(Json::as_array).into_iter().flatten();
    let parts = fields.filter_map(Json::as_array).flat_map(|field| field.iter().skip(1));
    items.chain(parts).find_map(computed)
}

/// The value that is added to a clause without one.
const TRUE: &str = " := true";

/// Words that an expression follows, and not a rule.
const BEFORE_EXPRESSIONS: &[&str] =
    &["default", "else", "if", "in", "not", "as", "with", "contains", "import", "package"];

/// Adds a value to clauses of functions without value and body, `f("x", _)`, which the engine does not parse (regorus
/// 0.14.1, `parser.rs`, `parse_rule`). Returns the text and the offsets where it added one.
pub(super) fn completed(text: &str) -> (String, Vec<usize>) {
    let (mut out, mut places, mut done) = (String::with_capacity(text.len()), Vec::new(), 0);
    let tokens: Vec<(usize, &str)> = Tokens { text, at: 0 }.collect();
    let mut depth = 0_usize;
    // Between the brackets of its arguments.
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
                places.push(end);
                done = end;
            }
        }
    }
    out.push_str(text.get(done..).unwrap_or_default());
    (out, places)
}

/// Changes the offsets in the tree of a completed module to those of its own text.
pub(super) fn as_before(tree: &mut Json, places: &[usize]) {
    let added: Vec<usize> = places.iter().enumerate().map(|(at, place)| place + at * TRUE.len()).collect();
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

/// An offset without what was added before it; inside of that, where it was added.
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

/// Tokens with their offsets: a name with dots is one token, comments and space are skipped.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_move_back_by_what_was_added_before_them() {
        // `f(1)` and `g(2)` with ` := true` behind each.
        let added = [4, 17];
        for (offset, expected) in
            [(0, 0), (4, 4), (5, 4), (11, 4), (12, 4), (13, 5), (17, 9), (18, 9), (25, 9), (26, 10)]
        {
            assert_eq!(before(offset, &added), expected, "{offset}");
        }
    }

    #[test]
    fn clauses_are_written_out() {
        for (text, places) in [
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
            assert_eq!(put.len(), places, "{completed}");
            let mut tree = serde_json::json!({"start": completed.len(), "below": [{"end": completed.len()}]});
            as_before(&mut tree, &put);
            let expected = serde_json::json!({"start": text.len(), "below": [{"end": text.len()}]});
            assert_eq!(tree, expected, "{completed}");
        }
    }
}
