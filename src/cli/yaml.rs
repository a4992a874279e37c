//! YAML as kubectl reads it. Our library asks that each line of a quoted text be indented further than its key; kubectl's
//! does not, so what the library refuses for that alone is indented and read again.

use serde_json::Value as Json;
use serde_saphyr::{Error, Options};

/// Bytes that are read again in all: enough for any manifest, and an end for one that is made to be read for ever.
const REREAD_BYTES_MAX: usize = 256 << 20;

/// Columns by which a line is indented; what is nested deeper keeps its error.
const INDENT_MAX: usize = 500;

/// Numbers as kubectl reads them: `defaultMode: 0644` is 420.
pub fn as_kubectl() -> Options {
    serde_saphyr::options! { legacy_octal_numbers: true }
}

/// The documents of a text, as kubectl reads them: a quoted text may go on at any column.
pub fn documents(text: &str, options: &Options) -> Result<Vec<Json>, Error> {
    let read = |text: &str| serde_saphyr::from_multiple_with_options::<Json>(text, options.clone());
    let mut error = match read(text) {
        Err(error) => error,
        documents => return documents,
    };
    let mut text = text.to_owned();
    let mut reread = 0;
    loop {
        // The text itself, and twice what stands above the line.
        reread += 3 * text.len();
        let indented = if reread > REREAD_BYTES_MAX { None } else { indented(&text, &error, &read) };
        let Some(next) = indented else { return Err(error) };
        match read(&next) {
            Err(other) if line_of(&other) > line_of(&error) => (text, error) = (next, other),
            Err(_) => return Err(error),
            documents => return documents,
        }
    }
}

fn line_of(error: &Error) -> usize {
    error.location().and_then(|place| usize::try_from(place.line()).ok()).unwrap_or(0)
}

/// The text with the rest of the quoted text indented in whose middle the error is; `None` where it is in none.
fn indented(text: &str, error: &Error, read: &impl Fn(&str) -> Result<Vec<Json>, Error>) -> Option<String> {
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let above = line_of(error).checked_sub(1)?;
    let start: usize = lines.iter().take(above).map(|line| line.len()).sum();
    let (before, rest) = text.split_at_checked(start)?;
    let column =
        lines.iter().take(above).map(|line| line.len() - line.trim_start_matches(' ').len()).max()?;
    let indent = Some(" ".repeat(column + 1)).filter(|_| column < INDENT_MAX)?;
    let open_after = |letter: char| {
        let probed = read(&format!("{before}{indent}{letter}"));
        probed.is_err_and(|error| error.to_string().contains("unclosed quote"))
    };
    if !open_after('x') {
        return None;
    }
    let quote = if open_after('"') { '\'' } else { '"' };
    let (inside, after) = rest.split_at_checked(end_of(rest, quote)?)?;
    let mut out = String::with_capacity(text.len() + 1024);
    out.push_str(before);
    for line in inside.split_inclusive('\n') {
        if line.starts_with("---") || line.starts_with("...") {
            return None; // the mark of a document, to kubectl too
        }
        let content = line.trim_start_matches([' ', '\t']);
        if !content.trim_end().is_empty() {
            out.push_str(&indent);
        }
        out.push_str(content);
    }
    out.push_str(after);
    Some(out)
}

/// Where a quoted text ends that goes on at the beginning of `rest`: behind its quote.
fn end_of(rest: &str, quote: char) -> Option<usize> {
    let mut letters = rest.char_indices().peekable();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '\\' if quote == '"' => drop(letters.next()),
            _ if letter != quote => {}
            '\'' if letters.peek().is_some_and(|(_, next)| *next == '\'') => drop(letters.next()),
            _ => return Some(at + letter.len_utf8()),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &Json) {
        let read = documents(text, &as_kubectl()).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(read, std::slice::from_ref(expected));
    }

    #[track_caller]
    fn refused(text: &str, line: usize) {
        let error = documents(text, &as_kubectl()).expect_err(text);
        assert_eq!(line_of(&error), line, "{error}");
    }

    /// What `kubectl patch --local` prints of each.
    #[test]
    fn quoted_text_over_several_lines_is_what_kubectl_reads() {
        for (text, expected) in [
            ("a: \"one two\nthree\"\n", "one two three"),
            ("a: 'one two\nthree'\n", "one two three"),
            ("a: \"one\n\ttwo\"\n", "one two"),
            ("a: \"one\n\ntwo\n\n  three  \n\tfour\"\n", "one\ntwo\nthree four"),
            ("a: 'it''s\none'\n", "it's one"),
            ("a: 'one\nit''s \"two\"'\n", "one it's \"two\""),
            ("a: \"one\nit's \\\"two\\\"\"\n", "one it's \"two\""),
            ("a: \"end\n\"\n", "end "),
            ("a: \"esc\\\ntwo \\\n three\"\n", "esctwo three"),
            (
                "a: \"a # no comment\n# nor this\n: nor that\n- nor a list\"\n",
                "a # no comment # nor this : nor that - nor a list",
            ),
            ("a: one\n  two\n\n  three\n", "one two\nthree"),
            ("a: \"one\r\ntwo\"\r\n", "one two"),
        ] {
            check(text, &json!({ "a": expected }));
        }
        check(
            "a:\n  b: \"one\n  two\"\n  c: 'three\n  four'\nd: \"five\nsix\"\n",
            &json!({"a": {"b": "one two", "c": "three four"}, "d": "five six"}),
        );
        check(
            "a:\n- \"one\ntwo\"\n- 'three\nfour'\n- mode: 0644\n",
            &json!({"a": ["one two", "three four", {"mode": 420}]}),
        );
        check("a: {b: \"one\ntwo\", c: 'x\ny'}\n", &json!({"a": {"b": "one two", "c": "x y"}}));
    }

    #[test]
    fn what_kubectl_refuses_keeps_its_error() {
        refused("a: \"one\n... two\"\n", 2);
        refused("a: one\n\ttwo\n", 1);
        refused("a: \"one\ntwo\" b\n", 2);
        refused("a: \"one\ntwo\n", 2);
        refused("a: 1\nb: [\n", 2);
    }

    #[test]
    fn what_is_made_to_be_read_for_ever_ends() {
        let pad = format!("pad: {}\n", "x".repeat(4 << 20));
        let scalars: Vec<String> = (0..100).map(|at| format!("k{at}: \"one\ntwo\"\n")).collect();
        assert!(documents(&scalars.concat(), &as_kubectl()).is_ok());
        assert!(documents(&(pad + &scalars.concat()), &as_kubectl()).is_err());
        let deep = format!("{}a: \"one\n  two\"\n", " ".repeat(INDENT_MAX + 1));
        assert!(documents(&deep, &as_kubectl()).is_err());
    }
}
